# SPDX-License-Identifier: MIT
"""What a step needs to measure something while a scan waits."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

from isocenter.acquisition.prescan.contract import Bench, Step, StepResult, Verdict
from isocenter.domain.calibration import CalibrationValue
from isocenter.domain.errors import ScanAborted
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Calibration, Scanner

ASIDE_FOLDER: Final = "prescan"

PlayAside = Callable[[Protocol, Calibration], tuple[RawScan, Path]]
RunStep = Callable[[Bench, Step], StepResult]


class AsideBench:
    """``Bench`` for the step that measures the frequency while a scan waits.

    Parameters
    ----------
    calibration
        As the scan uses it now.
    play
        Prepares and plays a protocol beside the scan.
    """

    tuner = analyser = attenuator = calibrate_currents = None

    def __init__(
        self,
        scanner: Scanner,
        calibration: Calibration,
        *,
        subject: str,
        temperature_c: float,
        cancel: Event,
        play: PlayAside,
    ) -> None:
        self.scanner, self.calibration, self.subject = scanner, calibration, subject
        self.temperature_c, self.cancel, self._play = temperature_c, cancel, play

    def held(self, quantity: str) -> CalibrationValue | None:
        """None: what was in use is what is in doubt."""

    def measure(self, protocol: Protocol, calibration: Calibration | None = None) -> tuple[RawScan, Path]:
        """As ``Bench``."""
        return self._play(protocol, calibration or self.calibration)

    def now_s(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()


def require_going(cancel: Event) -> None:
    """Raise ScanAborted when Stop was pressed."""
    if cancel.is_set():
        raise ScanAborted("Stopped while the frequency was measured again.", "Start the scan again when all is well.")


def take_into_use(set_frequency: Callable[[float], object]) -> RunStep:
    """How a step is run where nobody keeps a history: its frequency is in use from now on."""

    def run(bench: Bench, step: Step) -> StepResult:
        result = step.run(bench, lambda _: None)
        if result.verdict is not Verdict.FAIL and result.values:
            set_frequency(result.values[0].value[0])
        return result

    return run
