# SPDX-License-Identifier: MIT
"""What all service calibrations have in common: a phantom, a refusal in words, a value with its conditions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Plot, StepResult, Tell, Verdict
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import AcquisitionError, ConsoleError, ScanAborted
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Calibration

CLIP_LEVEL: Final = 0.98
OLD_STAYS: Final = "The old value stays in use."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePhantom:
    """The ball that service calibrations measure.

    Attributes
    ----------
    name
        As it is written on it.
    diameter_m
        Of its inside [m].
    centre_device_m
        Where its centre lies, device axes from the isocenter [m]. Off the centre by different distances along all three
        axes, it shows which gradient is which.
    """

    name: str = "ball 140 mm"
    diameter_m: float = 0.14
    centre_device_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


class ServiceStep(ABC):
    """A service calibration: refuses what it cannot trust.

    Attributes
    ----------
    name, title
        See ``contract.Step``.
    needs_phantom
        True: never with a patient.
    """

    name: str = ""
    title: str = ""
    needs_phantom: bool = True

    def why_skip(self, bench: Bench) -> str:
        """See ``contract.Step``. A service calibration is asked for by a person, so it is always needed."""
        del bench
        return ""

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """See ``contract.Step``; whatever cannot be trusted or measured ends as FAIL without a value."""
        shown: list[StepResult] = []

        def remember(state: StepResult) -> None:
            shown[:] = [state]
            tell(state)

        remember(self._result("Measuring"))
        try:
            return self._run(bench, remember)
        except ScanAborted:
            raise
        except ConsoleError as error:
            return self._result(
                error.problem, verdict=Verdict.FAIL, remedy=f"{error.remedy} {OLD_STAYS}", plots=shown[-1].plots
            )

    @abstractmethod
    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        """Measure and judge; a ConsoleError that is raised becomes FAIL without a value."""

    def _result(
        self,
        text: str,
        *,
        verdict: Verdict | None = None,
        remedy: str = "",
        values: tuple[CalibrationValue, ...] = (),
        plots: tuple[Plot, ...] = (),
    ) -> StepResult:
        return StepResult(
            step=self.name, title=self.title, verdict=verdict, text=text, remedy=remedy, values=values, plots=plots
        )


def measure(
    bench: Bench,
    sequence: str,
    parameters: Mapping[str, float | int | str | bool],
    calibration: Calibration | None = None,
) -> tuple[RawScan, Path]:
    """Measure a sequence; all of it, and without clipping.

    Raises
    ------
    AcquisitionError
        It is incomplete or was clipped.
    """
    raw, path = bench.measure(Protocol(name=f"Service {sequence}", sequence=sequence, parameters=parameters), calibration)
    if not raw.is_complete or not len(raw.samples):
        raise AcquisitionError(
            f"Only {len(raw.samples)} of {raw.n_expected} signals were measured.", "Repeat the calibration."
        )
    if np.count_nonzero(np.abs(raw.samples[:, 0]) >= CLIP_LEVEL) >= 3:
        raise AcquisitionError(
            "The signal is too strong for the receiver and was clipped.", "Lower the receiver's gain, then repeat."
        )
    return raw, path


def calibrated(
    bench: Bench,
    quantity: Quantity,
    value: NDArray[np.float64] | tuple[float, ...],
    sd: NDArray[np.float64] | tuple[float, ...],
    path: Path | None,
    *,
    phantom: str = "",
) -> CalibrationValue:
    """A value under the conditions of now; it holds until it is replaced unless ``phantom`` names what it belongs to."""
    return CalibrationValue(
        quantity=quantity,
        value=tuple(float(each) for each in value),
        sd=tuple(float(each) for each in sd),
        measured_at_s=bench.now_s(),
        temperature_c=bench.temperature_c,
        coil=bench.scanner.receiver.coil_name if phantom else "",
        subject=phantom,
        raw="" if path is None else path.as_posix(),
    )


def vector(raw: RawScan, name: str) -> NDArray[np.float64]:
    """Numbers of a definition of the sequence; AcquisitionError when it does not say."""
    text = raw.definitions.get(name, "").replace("[", " ").replace("]", " ").replace(",", " ")
    try:
        return np.array([float(word) for word in text.split()])
    except ValueError:
        raise AcquisitionError(
            f"The sequence's definition {name} is '{text}', which is no number.",
            "Install the program's own sequences again.",
        ) from None


def number(raw: RawScan, name: str) -> float:
    """One number of a definition."""
    found = vector(raw, name)
    if len(found) != 1:
        raise AcquisitionError(
            f"The sequence's definition {name} has {len(found)} numbers, not one.",
            "Install the program's own sequences again.",
        )
    return float(found[0])


def channel_of_axis(raw: RawScan, channel_from_device: NDArray[np.float64], axis: int) -> tuple[int, int]:
    """Which gradient channel a logical axis plays, and with which sign."""
    row = channel_from_device @ raw.placement.device_from_logical[:, axis]
    channel = int(np.argmax(np.abs(row)))
    return channel, 1 if row[channel] > 0 else -1
