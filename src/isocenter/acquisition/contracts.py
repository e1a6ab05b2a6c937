# SPDX-License-Identifier: MIT
"""What the runner needs of others and what it gives back."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from isocenter.devices.protocols import DeviceMessage, SafeReport
from isocenter.domain.errors import DeviceError
from isocenter.domain.events import Readouts
from isocenter.domain.scan import EndReason, ScanProgress
from isocenter.recon.receive import Samples


class ScanSink(Protocol):
    """Where a scan's data go, such as ``storage.ScanFolder``."""

    path: Path

    def append(self, readouts: Readouts, samples: Samples) -> None:
        """Store samples; when it returns they are safe."""
        ...

    def replace(self, first: int, readouts: Readouts, samples: Samples) -> None:
        """Store samples of readouts that are there already, from number ``first`` on; they were measured again."""
        ...

    def note(self, event: str, **details: Any) -> None:
        """Write down what happened."""
        ...

    def finish(self, reason: EndReason, note: str = "") -> None:
        """Say how the scan ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """How a scan goes on after a pause.

    Attributes
    ----------
    lo_hz
        Frequency of the local oscillator from now on [Hz].
    first_readout
        Everything from this readout on is measured with it; what was measured of that before is replaced.
    """

    lo_hz: float
    first_readout: int


class Guard(Protocol):
    """Who switches the amplifiers on and off around a scan and may stop it at any time, such as ``control.Supervisor``.

    All methods are called in the thread that runs the scan.
    """

    def arm(self, cancel: Event) -> None:
        """Switch on what the scan needs; ``cancel`` is set when the scanner is stopped.

        Raises
        ------
        ConsoleError
            Nothing may be played.
        """
        ...

    def before_segment(self, cancel: Event) -> Resume | None:
        """Wait while the scan has to pause; what has changed meanwhile, None when it goes on as it was.

        Raises
        ------
        ScanAborted
            The scanner was stopped.
        ScanEnded
            The scan ends here by itself; what was measured is good.
        """
        ...

    def after_last(self, cancel: Event) -> Resume | None:
        """All is measured: what has to be measured again, None when nothing has. Errors as ``before_segment``."""
        ...

    def segment(self, duration_s: float) -> AbstractContextManager[None]:
        """Around a segment while it is being played; entering raises ScanAborted when the scanner was stopped."""
        ...

    def console_failed(self, error: DeviceError) -> None:
        """The console did not do what it should. Never raises, never waits."""
        ...

    def program_failed(self) -> None:
        """The program itself has a fault. Never raises, never waits."""
        ...

    def console_stopped(self, safe: SafeReport) -> None:
        """What bringing the console's outputs to zero led to. Never raises."""
        ...

    def disarm(self) -> None:
        """Switch everything off again. Never raises."""
        ...

    def why_stopped(self) -> str:
        """Who or what stopped the scan, in words."""
        ...


class NoGuard:
    """For a scanner whose amplifiers this program does not control."""

    def arm(self, cancel: Event) -> None:
        """Nothing to switch on."""

    def before_segment(self, cancel: Event) -> Resume | None:
        """Nothing to wait for."""

    def after_last(self, cancel: Event) -> Resume | None:
        """Nothing to measure again."""

    def segment(self, duration_s: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nobody watches."""
        return nullcontext()

    def console_failed(self, error: DeviceError) -> None:
        """Nothing to cut."""

    def program_failed(self) -> None:
        """Nothing to cut."""

    def console_stopped(self, safe: SafeReport) -> None:
        """Nobody to tell."""

    def disarm(self) -> None:
        """Nothing to switch off."""

    def why_stopped(self) -> str:
        """Only a person can have done it."""
        return "Stopped by the operator."


@dataclass(frozen=True, slots=True, kw_only=True)
class LateStart:
    """A segment that could not start in time."""

    segment: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """How a scan ended that did not fail.

    Attributes
    ----------
    n_readouts, n_expected
        Stored, and planned.
    safe
        What bringing the outputs to zero led to.
    note
        Why it ended early, for the operator; empty when it did not.
    """

    reason: EndReason
    n_readouts: int
    n_expected: int
    safe: SafeReport
    late_starts: tuple[LateStart, ...] = ()
    note: str = ""


def _ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Whom the runner tells; called in the thread that runs the scan.

    Attributes
    ----------
    on_progress
        At each change of state and after each segment.
    on_lines
        Readouts and their samples, after they are on the disk.
    on_message
        Everything that the console says, and what the runner has to say.
    on_lines_again
        Number of the first, readouts and their samples, when they were measured again and are on the disk.
    on_resume
        Number of the first readout that is measured after a pause, and the frequency of the oscillator from then on [Hz].
    on_segment
        Number of a segment, just before it is played, and in how many seconds it starts. An error ends the scan there.
    """

    on_progress: Callable[[ScanProgress], None] = _ignore
    on_lines: Callable[[Readouts, Samples], None] = _ignore
    on_lines_again: Callable[[int, Readouts, Samples], None] = _ignore
    on_resume: Callable[[int, float], None] = _ignore
    on_message: Callable[[DeviceMessage], None] = _ignore
    on_segment: Callable[[int, float], None] = _ignore
