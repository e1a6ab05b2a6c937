# SPDX-License-Identifier: MIT
"""The part of the link that calibrates the gradient board's own currents, and has them played."""

import math
from collections.abc import Callable
from threading import Event
from typing import Final

from isocenter.acquisition.control.guard import ScanGuard
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.acquisition.hardware import HardwareThread
from isocenter.app.control import rf_limits
from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.devices.protocols import Console, ConsoleIdentity, SafeReport
from isocenter.domain.calibration import CalibrationValue
from isocenter.domain.currents import SLOPE_RANGE, BoardCurrents, ChannelFit
from isocenter.domain.errors import ConfigError, DeviceError, WrongState
from isocenter.domain.scanner import GradientBoard, GradientSystem, Scanner

_BOARD_S: Final = 30.0  # each question to the board has a deadline of its own, which is far shorter
_ZERO_S: Final = 10.0
_N_COEFFICIENTS: Final = 4
_GAIN_RANGE: Final = (0.9 / SLOPE_RANGE[1], 1.1 / SLOPE_RANGE[0])


class BoardCurrentsLink:
    """For the link that it is part of, whose attributes it uses."""

    scanner: Scanner
    supervisor: Supervisor
    identity: ConsoleIdentity | None
    _console: Console
    _hardware: HardwareThread
    _make_safe: Callable[[], SafeReport]
    _require_ready: Callable[[ScanGuard, Event], None]
    judge_currents: Callable[[SafeReport], None]
    _currents: BoardCurrents | None = None

    @property
    def why_no_currents(self) -> str:
        """Why the gradient board's currents cannot be calibrated, in words; empty when they can."""
        if not isinstance(self._console, MarcosConsole):
            return "this console cannot read its gradient board back"
        if self.scanner.gradients.board is not GradientBoard.GPA_FHDO:
            return f"a gradient board of the kind {self.scanner.gradients.board.value} cannot be read back"
        if math.isnan(self.scanner.gradients.board_full_scale_a):
            return "the hardware file does not say the board's full scale (board_full_scale_a)"
        return ""

    def calibrate_currents(self, cancel: Event) -> BoardCurrents:
        """Drive each channel through its range and read what flows; changes nothing that is in use.

        Amplifiers are armed as for a scan and are off again afterwards; the outputs are seen at zero or the scanner latches.

        Raises
        ------
        ConfigError
            This board cannot be read back.
        WrongState
            The scanner is not ready.
        AcquisitionError
            A channel cannot be trusted.
        ScanAborted
            Stopped.
        DeviceError
            The console or an amplifier did not do what it was told; everything was tripped.
        """
        console = self._console
        if self.why_no_currents or not isinstance(console, MarcosConsole):
            raise ConfigError(
                f"The currents cannot be calibrated: {self.why_no_currents}.",
                "Measure the gradients' strength with a phantom instead.",
            )
        full_scale_a = self.scanner.gradients.board_full_scale_a
        most_a = largest_current_a(self.scanner.gradients)
        guard = ScanGuard(
            self.supervisor, rf_limits(self.scanner, None), lambda: None, is_clinical=False, on_zero=self.judge_currents
        )
        self._require_ready(guard, cancel)
        guard.arm(cancel)
        try:
            with guard.segment(_BOARD_S):
                return self._hardware.call(
                    lambda: console.calibrate_currents(full_scale_a, most_a, cancel),
                    timeout_s=_BOARD_S,
                    doing="calibrate the gradient board",
                )
        except DeviceError as error:
            guard.console_failed(error)
            raise
        finally:
            self._to_zero()
            guard.disarm()

    def _to_zero(self) -> None:
        try:
            self._hardware.call(self._make_safe, timeout_s=_ZERO_S, doing="bring the outputs to zero")
        except DeviceError as error:
            self.supervisor.console_zero(False, detail=error.problem)

    def use_currents(self, currents: BoardCurrents | None) -> None:
        """Play with this calibration of the board from now on, None for none; not while a scan runs. Returns at once.

        Raises
        ------
        WrongState
            The calibration cannot be played; what was in use stays.
        """
        console = self._console
        if self.why_no_currents or not isinstance(console, MarcosConsole) or currents == self._currents:
            return
        console.set_currents(currents)
        self._currents = currents
        if self.identity is not None:
            self._hardware.submit(self._make_safe)  # no current flows at another code than before


def largest_current_a(gradients: GradientSystem) -> float:
    """What every channel may be driven with [A]: the least that any of them may be asked for in a scan."""
    return min(gradients.board_full_scale_a * axis.max_t_per_m / axis.full_scale_t_per_m for axis in gradients.axes)


def currents_of(value: CalibrationValue, gradients: GradientSystem) -> BoardCurrents:
    """What was kept of a calibration, as the driver takes it; how it was before correction follows from its inverse.

    Raises
    ------
    WrongState
        No board that was accepted can have been like this: the file was changed by hand or by a fault.
    """
    fits = []
    for first in range(0, len(value.value), _N_COEFFICIENTS):
        c0, c1, c2, c3 = value.value[first : first + _N_COEFFICIENTS]
        if not _GAIN_RANGE[0] <= c1 <= _GAIN_RANGE[1]:
            raise WrongState(
                f"The kept calibration of the gradient board asks for {c1:.2f} times the current that is wanted, which no "
                "board needs.",
                "Repeat the calibration of the gradient currents on the Service page.",
            )
        residual = value.sd[first] if first < len(value.sd) else math.nan
        fits.append(ChannelFit(coefficients=(c0, c1, c2, c3), slope=1 / c1, offset_share=-c0 / c1, residual_share=residual))
    return BoardCurrents(channels=(fits[0], fits[1], fits[2]), full_scale_a=gradients.board_full_scale_a)
