# SPDX-License-Identifier: MIT
"""How strong the transmitter is, as it was measured last, and pulses that get longer when it is weaker than usual.

A pulse that the hardware file's transmitter could give is made longer when the measured one cannot, and this is told. A
pulse that even the hardware file's could not give is a wrong wish and is refused.
"""

import math
from dataclasses import dataclass
from typing import Final

from isocenter.domain.errors import SequenceError
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T, show

RF_MARGIN: Final = 0.95
"""Of full scale; what is left is for the next calibration."""
_TURN_RAD: Final = 2 * math.pi
_HALF: Final = 0.5
_MATTERS: Final = 1.1  # a pulse that is longer by less reaches practically as far
_STEPS: Final = 400
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengthened:
    """A pulse that lasts longer than its parameter says.

    Attributes
    ----------
    use, flip_rad
        What it is for, such as ``refocusing``.
    asked_s, given_s
        Its length as asked for, and as it is [s].
    band_hz, span_hz
        Width within which a hard pulse does at least half of what it does in the middle, and the frequencies that it has to
        reach [Hz]; NaN where that is unknown, and for selective pulses.
    """

    use: str
    flip_rad: float
    asked_s: float
    given_s: float
    band_hz: float = math.nan
    span_hz: float = math.nan

    @property
    def is_selective(self) -> bool:
        """True for a pulse with a slice gradient."""
        return math.isnan(self.band_hz)

    def __str__(self) -> str:
        return f"{self.use} {show(self.asked_s, 'us', 4)} to {show(self.given_s, 'us', 4)}"


class Transmitter:
    """What the transmitter gives now.

    Parameters
    ----------
    rf_scale
        Measured B1+ at full scale over the hardware file's.
    """

    def __init__(self, scanner: Scanner, rf_scale: float = 1.0) -> None:
        if not (math.isfinite(rf_scale) and rf_scale > 0):
            raise ValueError(f"rf_scale is {rf_scale}")
        self._scanner, self.rf_scale = scanner, rf_scale
        self._lengthened: dict[tuple[str, float, float], Lengthened] = {}

    @property
    def max_b1_hz(self) -> float:
        """Largest B1 that a sequence may use, as a nutation frequency [Hz]."""
        return RF_MARGIN * self._scanner.rf.full_scale_hz * self.rf_scale

    @property
    def lengthened(self) -> tuple[Lengthened, ...]:
        """Pulses that had to be made longer so far, in the order in which they were made."""
        return tuple(self._lengthened.values())

    def needed_s(self, peak_hz: float, duration_s: float, raster_s: float) -> float:
        """Shortest length at which a pulse of this shape needs no more than there is [s]."""
        steps = peak_hz * duration_s / self.max_b1_hz / raster_s
        return round(math.ceil(steps - _ROUNDING) * raster_s, 9)

    def could_be(self, peak_hz: float) -> bool:
        """True when the transmitter of the hardware file, or the measured one, gives as much."""
        return peak_hz <= max(1.0, 1 / self.rf_scale) * self.max_b1_hz * (1 + _ROUNDING)

    def lengthen(self, pulse: Lengthened) -> None:
        """Note a pulse that is longer than asked for.

        Raises
        ------
        SequenceError
            It would be longer than the amplifier can hold; says what would do.
        """
        limit_s = self._scanner.rf.max_pulse_s
        if pulse.given_s > limit_s * (1 + 1e-9):
            smaller = math.degrees(pulse.flip_rad * limit_s / pulse.given_s)
            lower = f", or lower the flip angle to {int(smaller)}° or less" if pulse.use == "excitation" else ""
            raise SequenceError(
                f"The {show(pulse.flip_rad, 'deg')} {pulse.use} pulse would have to last {show(pulse.given_s, 'us', 4)}, "
                f"since the transmitter gives {self.rf_scale:.2g} of its usual field; the RF amplifier holds "
                f"{show(limit_s, 'us', 4)}.",
                f"Check that the coil is tuned, its plug is in and the RF amplifier gives its full power, then repeat the "
                f"transmit power on the Prescan page{lower}.",
            )
        self._lengthened[(pulse.use, pulse.asked_s, pulse.given_s)] = pulse

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person at the form should know, as plain sentences; nothing when every pulse is as asked for."""
        if not self._lengthened:
            return ()
        given = self.rf_scale * self._scanner.rf.full_scale_hz / GAMMA_HZ_PER_T
        found = [
            f"RF pulses are longer than asked for ({', '.join(map(str, self.lengthened))}), because the transmitter gives "
            f"{show(given, 'uT')}, {self.rf_scale:.2g} of its usual field."
        ]
        narrow = [
            pulse for pulse in self.lengthened if pulse.band_hz < pulse.span_hz and pulse.given_s > _MATTERS * pulse.asked_s
        ]
        if narrow:
            worst = min(narrow, key=lambda pulse: pulse.band_hz / pulse.span_hz)
            found.append(
                f"The longer {worst.use} pulse reaches {show(worst.band_hz, 'kHz')} only; the frequencies in the object may "
                f"spread over {show(worst.span_hz, 'kHz')}, so that parts far from the middle may be darker."
            )
        bent = [pulse for pulse in self.lengthened if pulse.is_selective]
        if bent:
            factor = max(pulse.given_s / pulse.asked_s for pulse in bent)
            found.append(f"Slices bend and shift {factor:.2g} times as much where the field is uneven.")
        return tuple(found)

    @property
    def field_spread_hz(self) -> float:
        """Peak-to-peak spread of the frequency over the imaging sphere as the hardware file says [Hz], NaN when unknown."""
        magnet = self._scanner.magnet
        return magnet.homogeneity_ppm * 1e-6 * magnet.larmor_hz


def hard_band_hz(flip_rad: float, duration_s: float, *, is_refocusing: bool) -> float:
    """Full width within which a rectangular pulse does at least half of what it does in the middle [Hz].

    An excitation leaves transverse magnetisation (w/W) sin(W T), along one axis, and w d/W² (1 - cos W T), along the other,
    with w its nutation, d the offset and W² = w² + d², all in rad/s; refocusing and inversion do (w/W)² sin²(W T / 2).

    Source
    ------
    Rotation of a spin about a tilted axis, such as Levitt, Spin Dynamics, chapter 10.
    """
    nutation = flip_rad / duration_s

    def effect(offset: float) -> float:
        whole = math.hypot(nutation, offset)
        share, angle = nutation / whole, whole * duration_s
        if is_refocusing:
            return (share * math.sin(angle / 2)) ** 2
        return math.hypot(share * math.sin(angle), share * offset / whole * (1 - math.cos(angle)))

    middle, step = effect(0.0), _TURN_RAD * 2 / duration_s / _STEPS
    for number_of in range(1, _STEPS + 1):
        if effect(number_of * step) < _HALF * middle:
            return 2 * number_of * step / _TURN_RAD
    return 2 * _STEPS * step / _TURN_RAD
