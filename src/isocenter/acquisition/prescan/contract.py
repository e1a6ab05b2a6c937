# SPDX-License-Identifier: MIT
"""What a prescan or a service calibration is made of: steps, each with a plot, a verdict and what to do.

A step measures through the ``Bench`` that it is given and returns what it found. It changes nothing itself: whoever runs it
takes the values into use when the verdict allows. A step that cannot trust what it measured returns FAIL and no value, and
the old value stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.roles import Attenuator, NetworkAnalyser, Tuner
from isocenter.domain.calibration import CalibrationValue
from isocenter.domain.currents import BoardCurrents
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Calibration, Scanner


class Verdict(StrEnum):
    """How a step ended."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    """Good enough to scan; the text says what to look at."""
    FAIL = "fail"
    """Not good enough; nothing was changed."""
    SKIPPED = "skipped"
    """Not needed: an earlier value still holds, or there is no such device; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One curve or set of points; ``x`` and ``y`` of shape ``(n,)``, in the plot's units."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    is_points: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What the operator sees of a step. Units are for people (kHz, %), so that axes read as they should."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    marks: Mapping[str, float] = field(default_factory=dict)
    """Vertical lines: what they stand for, and where on ``x``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step found, or has found so far.

    Attributes
    ----------
    step, title
        Which; its name for people, such as ``Centre frequency``.
    verdict
        None while it is running.
    text
        One sentence with the value and its spread, such as ``2.001 696 MHz, ± 3 Hz``.
    remedy
        What the operator does next, empty when nothing.
    values
        What is to be taken into use; empty for FAIL.
    plots
        Newest state.
    """

    step: str
    title: str
    verdict: Verdict | None = None
    text: str = ""
    remedy: str = ""
    values: tuple[CalibrationValue, ...] = ()
    plots: tuple[Plot, ...] = ()


Tell = Callable[[StepResult], None]
"""Takes the state of a running step, for its live plot."""


class Bench(Protocol):
    """What a step may use. Everything goes through the gate, the supervisor and the runner like any scan."""

    @property
    def scanner(self) -> Scanner:
        """The scanner."""
        ...

    @property
    def calibration(self) -> Calibration:
        """In use now."""
        ...

    @property
    def cancel(self) -> Event:
        """Set when somebody presses Stop."""
        ...

    @property
    def temperature_c(self) -> float:
        """Of the magnet, NaN where there is no sensor."""
        ...

    @property
    def subject(self) -> str:
        """Identifier of the exam."""
        ...

    @property
    def tuner(self) -> Tuner | None:
        """The coil's relays, None where there are none. Calls run in the device's own thread."""
        ...

    @property
    def analyser(self) -> NetworkAnalyser | None:
        """The network analyser, None where there is none."""
        ...

    @property
    def attenuator(self) -> Attenuator | None:
        """The receiver's attenuator, None where there is none."""
        ...

    @property
    def calibrate_currents(self) -> Callable[[], BoardCurrents] | None:
        """Calibrates the gradient board's currents while nothing is played; None for a board that cannot be read.

        Runs in the console's own thread and may raise as ``devices.marcos.driver`` says.
        """
        ...

    def held(self, quantity: str) -> CalibrationValue | None:
        """The value in use, if it still holds under the present conditions."""
        ...

    def measure(self, protocol: ScanProtocol, calibration: Calibration | None = None) -> tuple[RawScan, Path]:
        """Prepare, check and play a scan, with another calibration than the one in use if asked; its data and their folder.

        Raises
        ------
        ScanAborted
            Stopped.
        ConsoleError
            It could not be prepared or played.
        """
        ...

    def now_s(self) -> float:
        """Seconds since 1970, UTC; on a virtual scanner that plays faster than time, on its clock."""
        ...


class Step(Protocol):
    """One step of a prescan."""

    @property
    def name(self) -> str:
        """Stable name, such as ``fine_frequency``."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    def why_skip(self, bench: Bench) -> str:
        """Why it is not needed now, in words; empty when it is."""
        ...

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Measure and judge.

        Raises
        ------
        ScanAborted
            Stopped.
        """
        ...
