# SPDX-License-Identifier: MIT
"""Currents of a GPA-FHDO: reading them back and calibrating them."""

import time
from collections.abc import Callable
from threading import Event
from typing import Any, Final

import numpy as np

from isocenter.devices.marcos.correction import FULL_SCALE
from isocenter.devices.marcos.outputs import Outputs
from isocenter.domain.currents import BoardCurrents, fit_channel
from isocenter.domain.errors import AcquisitionError, DeviceFault, ScanAborted
from isocenter.domain.events import GRADIENT_CHANNELS

ZERO_TOLERANCE: Final = 0.02
"""A current beyond this at zero is not zero, of full scale. Source: reference domain.md 4.5."""
NO_ANSWER: Final = 1.2
"""No board carries so much, of full scale: its converter answers all zeros or all ones, as without power or cable."""
CHECK_BOARD: Final = "Check the gradient board's power and its cable to the console."

_ADC_DIVIDER: Final = 30  # the ADC is slower than the DAC
_ADC_SELECT: Final = 0x40C0_0000  # of the ADS8684: convert this channel from now on
_DAC_WRITE: Final = 0x0008_0000
_ADC_VOLTS: Final = 5.12
_MIDDLE_VOLTS: Final = 2.5
_SHUNT_OHM: Final = 0.2
_N_POINTS: Final = 20
_N_READS: Final = 5
_SETTLE_S: Final = 1e-3


class BoardReader:
    """Reads a GPA-FHDO's currents and sets them one at a time, outside runs.

    Parameters
    ----------
    outputs
        The console's outputs.
    full_scale_a
        Current at full scale [A].
    """

    def __init__(self, outputs: Outputs, full_scale_a: float) -> None:
        self._outputs, self._full_scale_a = outputs, full_scale_a

    def read(self, channel: int, n: int = 1) -> float:
        """Mean current of a channel, of full scale.

        Raises
        ------
        AcquisitionError
            The board does not answer.
        """
        shares = self._read(channel, n)
        if not is_answer(worst := max(shares, key=abs)):
            raise AcquisitionError(
                f"The gradient board does not answer: its converter reads {worst * 100:+.0f} % of full scale on channel "
                f"{'xyz'[channel]}.",
                f"{CHECK_BOARD} Then repeat.",
            )
        return float(np.mean(shares))

    def _read(self, channel: int, n: int) -> list[float]:
        """Of full scale. The converter answers one question late, so one more is asked."""
        shares = []
        for _ in range(n + 1):
            code = self._outputs.exchange(_ADC_DIVIDER, _ADC_SELECT | channel << 18) & 0xFFFF
            shares.append((code / 65_535 * _ADC_VOLTS - _MIDDLE_VOLTS) / _SHUNT_OHM / self._full_scale_a)
        return shares[1:]

    def set(self, channel: int, code: int) -> None:
        """Set a channel, signed code."""
        self._outputs.exchange(_ADC_DIVIDER, _DAC_WRITE | channel << 16 | channel << 25 | (code + 0x8000))

    def currents(self) -> tuple[float, float, float]:
        """Of channels x, y, z now, of full scale; whether the board answered at all, ``is_answer`` tells."""
        return self._read(0, 1)[0], self._read(1, 1)[0], self._read(2, 1)[0]

    def require_zero(self) -> None:
        """Raise DeviceFault when a channel that was told zero still carries current."""
        for name, current in zip(GRADIENT_CHANNELS, self.currents(), strict=True):
            if not is_answer(current):
                raise DeviceFault("The gradient board does not answer when its currents are read.", CHECK_BOARD)
            if abs(current) > ZERO_TOLERANCE:
                raise DeviceFault(
                    f"Gradient channel {name[-1]} was told zero but carries {current * self._full_scale_a:.2f} A.",
                    "Switch the gradient amplifier off by hand, then call service: the board or its calibration is wrong.",
                )


def is_answer(share: float) -> bool:
    """Whether a current that was read, of full scale, is one that a board with power can carry."""
    return abs(share) <= NO_ANSWER


def probe(
    reader: BoardReader, full_scale_a: float, current_a: float, *, pause: Callable[[float], Any] = time.sleep
) -> tuple[tuple[float, float], ...]:
    """Currents of channels x, y, z while each in turn is told ``current_a`` and its negative [A]; zero afterwards."""
    code = round(current_a / full_scale_a * FULL_SCALE)
    seen = []
    for channel in range(3):
        try:
            pair = []
            for told in (code, -code):
                reader.set(channel, told)
                pause(_SETTLE_S)
                pair.append(reader.read(channel, _N_READS) * full_scale_a)
        finally:
            reader.set(channel, 0)
        seen.append((pair[0], pair[1]))
    return tuple(seen)


def calibrate(
    reader: BoardReader,
    full_scale_a: float,
    max_a: float,
    cancel: Event,
    *,
    pause: Callable[[float], Any] = time.sleep,
) -> BoardCurrents:
    """Drive each channel through its range, read what flows, and fit. All channels are at zero afterwards, whatever happens.

    Parameters
    ----------
    max_a
        Largest current to drive [A].
    pause
        Waits for a current to settle [s].

    Raises
    ------
    AcquisitionError
        A channel cannot be trusted; nothing may be changed.
    ScanAborted
        ``cancel`` was set.
    """
    top = min(max_a / full_scale_a, 0.95)
    codes = np.rint(np.linspace(-top, top, _N_POINTS) * FULL_SCALE).astype(np.int64)
    fits = []
    for channel, name in enumerate("xyz"):
        measured = np.empty(len(codes))
        try:
            for index, code in enumerate(codes):
                if cancel.is_set():
                    raise ScanAborted("The calibration was stopped.", "Start it again; the old calibration stays in use.")
                reader.set(channel, int(code))
                pause(_SETTLE_S)
                measured[index] = reader.read(channel, _N_READS)
        finally:
            reader.set(channel, 0)
        fits.append(fit_channel(name, codes / FULL_SCALE, measured))
    return BoardCurrents(channels=(fits[0], fits[1], fits[2]), full_scale_a=full_scale_a)
