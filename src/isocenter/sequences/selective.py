# SPDX-License-Identifier: MIT
"""Slice-selective pulses, and slices that take turns within one TR."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from isocenter.domain.errors import SequenceError
from isocenter.domain.units import show
from isocenter.sequences.lazy import pp
from isocenter.sequences.ordering import interleaved, spoil_phase_deg
from isocenter.sequences.system import RASTER_S, SHORTEST_RAMP_S, Pulse, System, nearest, up
from isocenter.sequences.transmit import Lengthened

TIME_BANDWIDTH: Final = 4.0
_APODIZATION: Final = 0.46
_TURN_RAD: Final = 6.283185307179586


@dataclass(frozen=True, slots=True, kw_only=True)
class Selective:
    """A selective pulse with its gradient along z.

    Attributes
    ----------
    pulse
        Event and timing of the block.
    gradient
        Pulseq event of the slice gradient.
    half_area_per_m
        Area of the gradient after the pulse's centre [1/m].
    """

    pulse: Pulse
    gradient: Any
    half_area_per_m: float

    def at(self, position_m: float, phase_rad: float) -> Any:
        """Copy of the pulse for a slice elsewhere; its phase at the centre is its own plus the given one."""
        event = self.pulse.event
        copy = type(event)(**vars(event))
        copy.freq_offset = self.gradient.amplitude * position_m
        copy.phase_offset = event.phase_offset + phase_rad - _TURN_RAD * copy.freq_offset * event.center
        return copy


def selective_pulse(
    system: System, flip_rad: float, *, rf_s: float, thickness_m: float, use: str, phase_rad: float = 0.0
) -> Selective:
    """Sinc pulse with its slice gradient; longer, with a weaker gradient, when the transmitter is weak.

    Raises
    ------
    SequenceError
        When it needs more gradient or B1 than there is; says which ``thickness_m`` or ``rf_s`` would do.
    """
    asked_s = nearest(rf_s, 2 * RASTER_S)
    system.check_length(asked_s)
    peak_hz = _peak_hz(flip_rad, asked_s)
    duration_s = max(asked_s, system.transmitter.needed_s(peak_hz, asked_s, 2 * RASTER_S))
    if duration_s > asked_s:
        if not system.transmitter.could_be(peak_hz):
            raise SequenceError(
                f"The {flip_rad / _TURN_RAD * 360:.0f}° pulse of {show(asked_s, 'us', 4)} (rf_s) needs "
                f"{peak_hz / system.max_b1_hz:.2f} times what this scanner's transmitter gives.",
                f"Set the RF pulse length to {duration_s * 1e6:.0f} us or more.",
            )
        system.transmitter.lengthen(Lengthened(use=use, flip_rad=flip_rad, asked_s=asked_s, given_s=duration_s))
    amplitude = TIME_BANDWIDTH / duration_s / thickness_m
    if amplitude > system.max_grad_hz_per_m:
        longer_s = up(TIME_BANDWIDTH / (system.max_grad_hz_per_m * thickness_m), 2 * RASTER_S)
        thicker_m = TIME_BANDWIDTH / (system.max_grad_hz_per_m * duration_s)
        can_be_longer = longer_s <= system.scanner.rf.max_pulse_s
        longer = f", or the RF pulse length to {longer_s * 1e6:.0f} us" if can_be_longer else ""
        raise SequenceError(
            f"Slices (thickness_m) of {show(thickness_m, 'mm')} with pulses of {show(duration_s, 'us', 4)} need a "
            "stronger gradient than this scanner may use.",
            f"Set the thickness to {up(thicker_m, 1e-4) * 1e3:.1f} mm or more{longer}.",
        )
    rise_s = max(SHORTEST_RAMP_S, up(amplitude / system.max_slew_hz_per_m_s), up(system.warmup_s), up(system.hold_s))
    event = pp.make_sinc_pulse(
        flip_angle=flip_rad,
        duration=duration_s,
        delay=rise_s,
        apodization=_APODIZATION,
        time_bw_product=TIME_BANDWIDTH,
        phase_offset=phase_rad,
        system=system.opts,
        use=use,
    )
    gradient = pp.make_trapezoid(
        channel="z", amplitude=amplitude, rise_time=rise_s, flat_time=duration_s, fall_time=rise_s, system=system.opts
    )
    half_s = rise_s + duration_s / 2
    pulse = Pulse(event=event, centre_s=round(half_s, 9), block_s=round(2 * half_s, 9))
    return Selective(pulse=pulse, gradient=gradient, half_area_per_m=amplitude * (duration_s + rise_s) / 2)


def _peak_hz(flip_rad: float, duration_s: float) -> float:
    """Largest B1 of such a pulse, as a nutation frequency [Hz]."""
    shape = pp.make_sinc_pulse(
        flip_angle=flip_rad, duration=duration_s, apodization=_APODIZATION, time_bw_product=TIME_BANDWIDTH, use="excitation"
    )
    return float(abs(shape.signal).max())


def slice_positions(slices: int, thickness_m: float, gap_m: float) -> list[float]:
    """Centres along z of slices that lie symmetrically around the centre [m]."""
    return [(index - (slices - 1) / 2) * (thickness_m + gap_m) for index in range(slices)]


class Sliced(Protocol):
    """Parameters of a sequence whose slices take turns, see ``usual``."""

    @property
    def slices(self) -> int:
        """How many."""

    @property
    def thickness_m(self) -> float:
        """Of one [m]."""

    @property
    def gap_m(self) -> float:
        """Between two [m]."""

    @property
    def tr_s(self) -> float:
        """From one excitation of a slice to the next [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Slices that take turns within one TR.

    Attributes
    ----------
    positions_m
        Centre of each along z [m].
    order
        In which they are excited.
    slot_s, shot_s
        Time from one to the next, and what of it has events [s].
    slack_s
        What is left of TR after the last [s].
    tr_s
        On the raster [s].
    stack_m
        From the first slice's outer face to the last one's [m].
    """

    positions_m: list[float]
    order: list[int]
    slot_s: float
    shot_s: float
    slack_s: float
    tr_s: float
    stack_m: float

    def fill_s(self, number_of: int) -> float:
        """Idle time after a slice's shot [s]."""
        return self.slot_s - self.shot_s + (self.slack_s if number_of == self.order[-1] else 0.0)


def plan_turns(p: Sliced, system: System, shot_s: float, rf_s: float, parts: str) -> Turns:
    """Slices of one TR.

    Parameters
    ----------
    shot_s, rf_s
        Length of one slice's shot, and for how long the RF is on in it [s].
    parts
        What a shot consists of, for the refusal.

    Raises
    ------
    SequenceError
        TR is too short for so many; says which TR or how many slices would do.
    """
    tr_s = nearest(p.tr_s)
    slot_s = round(int(tr_s / p.slices / RASTER_S + 1e-6) * RASTER_S, 9)
    needs_s = max(shot_s, up(system.amplifier_s(rf_s)))
    if slot_s < needs_s - 1e-9:
        fits = int(tr_s / needs_s)
        fewer = f", or measure {fits} slices or fewer" if fits >= 1 else ""
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short for {p.slices} slices: {parts} and the RF amplifier's rest take "
            f"{show(needs_s, 'ms', 4)} each.",
            f"Set TR to {up(needs_s * p.slices, 1e-4) * 1e3:.1f} ms or more{fewer}.",
        )
    return Turns(
        positions_m=slice_positions(p.slices, p.thickness_m, p.gap_m),
        order=interleaved(p.slices),
        slot_s=slot_s,
        shot_s=shot_s,
        slack_s=round(tr_s - p.slices * slot_s, 9),
        tr_s=tr_s,
        stack_m=p.slices * p.thickness_m + (p.slices - 1) * p.gap_m,
    )


class SpoiledPulses:
    """Pulse and readout of each shot and slice with the phase of RF spoiling, each known to the sequence once."""

    def __init__(
        self, once: Callable[[Any], Any], excite: Selective, positions_m: list[float], adc: Callable[[float], Any]
    ) -> None:
        self._once, self._excite, self._positions_m, self._adc = once, excite, positions_m, adc
        self._known: dict[tuple[int, int], tuple[Any, Any]] = {}

    def at(self, count: int, number_of: int) -> tuple[Any, Any]:
        """Events of shot ``count`` in slice ``number_of``."""
        key = spoil_phase_deg(count), number_of
        if key not in self._known:
            phase_rad = key[0] / 360 * _TURN_RAD
            pulse = self._once(self._excite.at(self._positions_m[number_of], phase_rad))
            self._known[key] = pulse, self._once(self._adc(phase_rad))
        return self._known[key]
