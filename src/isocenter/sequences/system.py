# SPDX-License-Identifier: MIT
"""One scanner as a sequence sees it: what it may ask for, on which raster, and the building blocks that respect both."""

import math
from dataclasses import dataclass
from typing import Any, Final

from isocenter.domain.errors import SequenceError
from isocenter.domain.scanner import Calibration, Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T, show
from isocenter.sequences.lazy import pp
from isocenter.sequences.transmit import Lengthened, Transmitter, hard_band_hz

RASTER_S: Final = 10e-6
"""Raster of gradients and blocks."""
RF_RASTER_S: Final = 1e-6
DWELL_RASTER_S: Final = 2e-6
"""Dwell times are even microseconds, so that the centre of any sample can lie on the RF raster."""
GUARD_DWELLS: Final = 4
"""Dwell times before and after a readout in which the receiver's filters settle: three for the filter of the wanted band,
one for the decimator."""

# A sequence may be turned to any scanner axis, so the weakest channel counts; what is left is for shim and calibration.
AMPLITUDE_MARGIN: Final = 0.9
SLEW_MARGIN: Final = 0.8
DUTY_MARGIN: Final = 0.8
SHORTEST_RAMP_S: Final = 100e-6


def up(time_s: float, raster_s: float = RASTER_S) -> float:
    """The next multiple of a raster."""
    return round(math.ceil(time_s / raster_s - 1e-6) * raster_s, 9)


def nearest(time_s: float, raster_s: float = RASTER_S) -> float:
    """The nearest multiple of a raster."""
    return round(round(time_s / raster_s) * raster_s, 9)


def dwell_for(bandwidth_hz: float) -> float:
    """Dwell time on the raster that comes nearest to a bandwidth over the whole field of view [s]."""
    return max(DWELL_RASTER_S, nearest(1 / bandwidth_hz, DWELL_RASTER_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lobe:
    """Timing of a symmetric trapezoid whose amplitude changes from use to use.

    Attributes
    ----------
    duration_s, rise_s
        Whole length and one ramp [s].
    """

    duration_s: float
    rise_s: float

    def make(self, channel: str, area_per_m: float) -> Any:
        """Pulseq event with an area [1/m] on ``x``, ``y`` or ``z``."""
        flat_s = round(self.duration_s - 2 * self.rise_s, 9)
        return pp.make_trapezoid(
            channel=channel,
            amplitude=area_per_m / (self.duration_s - self.rise_s),
            rise_time=self.rise_s,
            flat_time=flat_s,
            fall_time=self.rise_s,
            max_grad=math.inf,
            max_slew=math.inf,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """A line read in a constant gradient; its centre sample, ``n // 2``, lies at the middle of the trapezoid.

    Attributes
    ----------
    n_samples, dwell_s
        Samples and their spacing [s].
    duration_s, rise_s
        Of the trapezoid [s].
    adc_delay_s
        From the start of the trapezoid to the start of the readout [s].
    amplitude_hz_per_m
        Gradient [Hz/m].
    """

    n_samples: int
    dwell_s: float
    duration_s: float
    rise_s: float
    adc_delay_s: float
    amplitude_hz_per_m: float

    @property
    def area_per_m(self) -> float:
        """Area of the trapezoid [1/m]."""
        return self.amplitude_hz_per_m * (self.duration_s - self.rise_s)

    @property
    def guard_s(self) -> float:
        """Time before and after in which the transmitter is silent [s]."""
        return GUARD_DWELLS * self.dwell_s

    @property
    def lobe(self) -> Lobe:
        """Timing of the trapezoid."""
        return Lobe(duration_s=self.duration_s, rise_s=self.rise_s)

    def gradient(self, channel: str = "x") -> Any:
        """Pulseq event of the gradient."""
        return self.lobe.make(channel, self.area_per_m)

    def adc(self, system: "System", phase_rad: float = 0.0) -> Any:
        """Pulseq event of the readout, to be played in one block with the gradient."""
        return pp.make_adc(
            num_samples=self.n_samples,
            dwell=self.dwell_s,
            delay=self.adc_delay_s,
            phase_offset=phase_rad,
            system=system.opts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """An RF pulse with the block that it needs.

    Attributes
    ----------
    event
        Pulseq event.
    centre_s
        From the start of the block to the pulse's centre [s], a multiple of the gradient raster.
    block_s
        Length of the block [s].
    """

    event: Any
    centre_s: float
    block_s: float

    @property
    def after_s(self) -> float:
        """From the pulse's centre to the end of the block [s]."""
        return round(self.block_s - self.centre_s, 9)


class System:
    """A scanner's limits with a margin, pypulseq's ``Opts`` made of them, and building blocks.

    Attributes
    ----------
    scanner
        The scanner, as its hardware file says.
    transmitter
        How strong it is as it was measured last, and which pulses had to be longer.
    max_grad_hz_per_m, max_slew_hz_per_m_s
        What a sequence may use on any logical axis [Hz/m, Hz/m/s].
    """

    def __init__(self, scanner: Scanner, calibration: Calibration | None = None) -> None:
        axes = scanner.gradients.axes
        self.scanner = scanner
        self.transmitter = Transmitter(scanner, calibration.rf_scale if calibration is not None else 1.0)
        self.max_grad_hz_per_m = AMPLITUDE_MARGIN * GAMMA_HZ_PER_T * min(axis.max_t_per_m for axis in axes)
        self.max_slew_hz_per_m_s = SLEW_MARGIN * GAMMA_HZ_PER_T * min(axis.max_slew_t_per_m_s for axis in axes)
        self.warmup_s = up(scanner.rf.warmup_s, RF_RASTER_S)
        self.hold_s = up(scanner.rf.hold_s, RF_RASTER_S)
        self.dead_time_s = up(scanner.rf.dead_time_s)
        self.opts = pp.Opts(
            max_grad=self.max_grad_hz_per_m,
            grad_unit="Hz/m",
            max_slew=self.max_slew_hz_per_m_s,
            slew_unit="Hz/m/s",
            gamma=GAMMA_HZ_PER_T,
            B0=scanner.magnet.b0_t,
            rf_dead_time=self.warmup_s,
            rf_ringdown_time=self.hold_s,
            adc_dead_time=RASTER_S,
            rf_raster_time=RF_RASTER_S,
            grad_raster_time=RASTER_S,
            block_duration_raster=RASTER_S,
            adc_raster_time=100e-9,
            adc_samples_divisor=1,
        )

    def sequence(self) -> Any:
        """A new, empty pypulseq sequence for this scanner."""
        return pp.Sequence(system=self.opts)

    def lobe_s(self, area_per_m: float) -> float:
        """Shortest trapezoid of an area [s]."""
        area, slew = abs(area_per_m), self.max_slew_hz_per_m_s
        if area <= self.max_grad_hz_per_m**2 / slew:
            return max(2 * SHORTEST_RAMP_S, 2 * up(math.sqrt(area / slew)))
        rise_s = up(self.max_grad_hz_per_m / slew)
        return max(2 * SHORTEST_RAMP_S, 2 * rise_s, up(area / self.max_grad_hz_per_m + rise_s)) + RASTER_S

    def lobe(self, largest_area_per_m: float, duration_s: float) -> Lobe:
        """Trapezoid timing of a given length for areas up to the given one, with ramps no steeper than needed."""
        area, steps = abs(largest_area_per_m), round(duration_s / RASTER_S)
        for step in range(round(SHORTEST_RAMP_S / RASTER_S), steps // 2 + 1):
            rise_s = step * RASTER_S
            amplitude = area / (duration_s - rise_s)
            if amplitude <= self.max_slew_hz_per_m_s * rise_s:
                if amplitude > self.max_grad_hz_per_m * (1 + 1e-9):
                    break
                return Lobe(duration_s=duration_s, rise_s=round(rise_s, 9))
        raise ValueError(f"an area of {area:.4g} /m does not fit into {duration_s:.6g} s; ask lobe_s first")

    def readout(self, fov_m: float, n_samples: int, dwell_s: float, *, bandwidth_name: str, fov_name: str) -> Readout:
        """Readout of a field of view.

        Raises
        ------
        SequenceError
            When the gradient is stronger than allowed; gives the bandwidth and the field of view that would do.
        """
        amplitude = 1 / (dwell_s * fov_m)
        if amplitude > self.max_grad_hz_per_m:
            bandwidth_hz = 1 / up(1 / (self.max_grad_hz_per_m * fov_m), DWELL_RASTER_S)
            raise SequenceError(
                f"Bandwidth ({bandwidth_name}) {show(1 / dwell_s, 'kHz', 4)} over a field of view ({fov_name}) of "
                f"{show(fov_m, 'mm')} needs a gradient of {self._mt(amplitude)}; {self._allowed()}.",
                f"Set the bandwidth to {show(bandwidth_hz, 'kHz', 4)} or less, or the field of view to "
                f"{show(math.ceil(1e3 / (dwell_s * self.max_grad_hz_per_m)) * 1e-3, 'mm', 4)} or more.",
            )
        rise_s = max(SHORTEST_RAMP_S, up(amplitude / self.max_slew_hz_per_m_s))
        flat_s = up((2 * (n_samples // 2) + 1) * dwell_s, 2 * RASTER_S)
        adc_delay_s = round(rise_s + flat_s / 2 - (n_samples // 2 + 0.5) * dwell_s, 9)
        return Readout(
            n_samples=n_samples,
            dwell_s=dwell_s,
            duration_s=round(2 * rise_s + flat_s, 9),
            rise_s=rise_s,
            adc_delay_s=adc_delay_s,
            amplitude_hz_per_m=amplitude,
        )

    def hard_pulse(
        self,
        flip_rad: float,
        rf_s: float,
        *,
        use: str,
        times: int = 1,
        phase_rad: float = 0.0,
        is_fixed: bool = False,
    ) -> Pulse:
        """Rectangular pulse that lasts ``times`` the sequence's parameter ``rf_s``, or longer when the transmitter is weak.

        Parameters
        ----------
        is_fixed
            Its length is what the sequence is about: it is refused rather than lengthened.

        Raises
        ------
        SequenceError
            When it needs more B1 than the transmitter gives; says how long ``rf_s`` must be.
        """
        duration_s = self._hard_length_s(flip_rad, nearest(times * rf_s, 2 * RF_RASTER_S), use, times, is_fixed)
        self.check_length(duration_s, times=times)
        centre_s = up(self.warmup_s + duration_s / 2)
        event = pp.make_block_pulse(
            flip_angle=flip_rad,
            duration=duration_s,
            delay=round(centre_s - duration_s / 2, 9),
            phase_offset=phase_rad,
            system=self.opts,
            use=use,
        )
        return Pulse(event=event, centre_s=centre_s, block_s=up(centre_s + duration_s / 2 + self.hold_s))

    def _hard_length_s(self, flip_rad: float, asked_s: float, use: str, times: int, is_fixed: bool) -> float:
        """As asked for where that is possible, else as short as possible, else refused."""
        peak_hz = flip_rad / (2 * math.pi) / asked_s
        shortest_s = self.transmitter.needed_s(peak_hz, asked_s, 2 * RF_RASTER_S)
        if asked_s >= shortest_s:
            return asked_s
        if is_fixed or not self.transmitter.could_be(peak_hz):
            raise SequenceError(
                f"The {show(flip_rad, 'deg')} pulse of {show(asked_s, 'us', 4)} (rf_s) needs {self._ut(peak_hz)}; this "
                f"scanner's transmitter gives {self._ut(self.max_b1_hz)}.",
                f"Set the RF pulse length to {show(up(shortest_s / times, 2 * RF_RASTER_S), 'us', 4)} or more, or lower the "
                "flip angle.",
            )
        pulse = Lengthened(
            use=use,
            flip_rad=flip_rad,
            asked_s=asked_s,
            given_s=shortest_s,
            band_hz=hard_band_hz(flip_rad, shortest_s, is_refocusing=use in {"refocusing", "inversion"}),
            span_hz=self.transmitter.field_spread_hz,
        )
        self.transmitter.lengthen(pulse)
        return shortest_s

    @property
    def max_b1_hz(self) -> float:
        """Largest B1 that a sequence may use, as a nutation frequency [Hz]."""
        return self.transmitter.max_b1_hz

    def amplifier_s(self, on_s: float) -> float:
        """Time in which the RF amplifier may be on for ``on_s`` [s], with a little room at the edges of any second."""
        return on_s / (DUTY_MARGIN * self.scanner.rf.max_duty)

    def check_length(self, duration_s: float, times: int = 1) -> None:
        """Refuse a pulse that the RF amplifier cannot hold; it lasts ``times`` the parameter ``rf_s``."""
        limit_s = self.scanner.rf.max_pulse_s
        if duration_s > limit_s * (1 + 1e-9):
            raise SequenceError(
                f"A pulse of {show(duration_s, 'us', 4)} (rf_s) is longer than this scanner's {show(limit_s, 'us', 4)}.",
                f"Set the RF pulse length to {show(limit_s / times, 'us', 4)} or less.",
            )

    def _mt(self, hz_per_m: float) -> str:
        return show(hz_per_m / GAMMA_HZ_PER_T, "mT/m")

    def _ut(self, hz: float) -> str:
        return show(hz / GAMMA_HZ_PER_T, "uT")

    def _allowed(self) -> str:
        return f"this scanner gives {self._mt(self.max_grad_hz_per_m)} on every axis"
