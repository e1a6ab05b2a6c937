# SPDX-License-Identifier: MIT
"""The console's transmitter into its own receiver, over a cable with an attenuator: what goes out, and how it comes back.

The pulses are built, compiled and let through the last gate as those of any scan. Only then they are moved into the
readouts, which no scan may do, and the RF amplifier stays blanked.
"""

import math
from dataclasses import dataclass, replace
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.devices.protocols import Console
from isocenter.domain.events import TX_FULL_SCALE, CompiledScan, Readouts, Segment, Track
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.receiver import CIC_ORDER, CIC_SETTLING, raw_sample_ticks
from isocenter.domain.scanner import Scanner, nominal_calibration

OFFSET_HZ: Final = 20e3
STEP_RAD: Final = math.pi / 2
SHARES: Final = (0.0125, 0.025, 0.05, 0.1)
"""Of full scale: at most -20 dB, as the ladder on which the gain has to be the same."""
_SHARE: Final = 0.05
_PULSE_US: Final = 1000
_QUIET_S: Final = 0.3e-3  # before and after it in its readout
_RAW_S: Final = 2.5e-6
_TR_S: Final = 0.03
_STEP_US: Final = 10  # raster of blocks
_CLEAR: Final = 8  # raw samples beside a pulse that its edges may reach
_MIDDLE: Final = 0.8  # of a pulse, that is looked at
_TX: Final = ("tx0_i", "tx0_q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """A rectangular pulse: share of full scale, frequency offset [Hz], phase [rad]."""

    share: float
    offset_hz: float = 0.0
    phase_rad: float = 0.0


PULSES: Final = (
    Pulse(share=_SHARE, offset_hz=OFFSET_HZ),
    Pulse(share=_SHARE, offset_hz=-OFFSET_HZ),
    Pulse(share=_SHARE, phase_rad=STEP_RAD),
    *(Pulse(share=share) for share in SHARES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One pulse as it came back.

    Attributes
    ----------
    share
        Of the transmitter's full scale, as it was played.
    offset_hz, phase_rad
        As they were asked for.
    level, opposite
        Amplitude at the offset and at the opposite offset, of the receiver's full scale, complex; equal without an offset.
    frequency_hz
        As it came back, next to the stronger of the two [Hz].
    delay_ticks, delay_sd_ticks
        From the middle of the pulse to when the middle of it came out of the receiver, and how well that is known [ticks];
        NaN with an offset.
    decimation
        Ticks per sample.
    noise
        Standard deviation of ``level``.
    peak
        Largest sample.
    """

    share: float
    offset_hz: float
    phase_rad: float
    level: complex
    opposite: complex
    frequency_hz: float
    delay_ticks: float
    delay_sd_ticks: float
    decimation: int
    noise: float
    peak: float


def attenuator_db(scanner: Scanner) -> int:
    """How strong an attenuator has to be so that full scale of the transmitter does not clip the receiver.

    In steps of 10 dB.

    Source
    ------
    The boards in use give at most 1 V into 50 ohm; the receiver's full scale is the hardware file's ``volts_per_unit``.
    """
    volts = scanner.receiver.volts_per_unit
    needed_db = 40.0 if math.isnan(volts) else -20 * math.log10(volts)
    return int(min(max(10 * math.ceil(needed_db / 10), 20), 60))


def play_loop_back(scanner: Scanner, console: Console) -> tuple[Arrival, ...]:
    """Send every one of ``PULSES`` and say how it came back, in this order.

    Raises
    ------
    ConsoleError
        The scanner's limits do not allow the pulses, or the console failed.
    """
    scan = _compiled(scanner)
    arrivals: list[Arrival] = []
    for segment in scan.segments:
        moved, spans = _into_readouts(segment)
        samples = console.play(console.prepare(moved, scan.lo_hz), Event()).samples
        coil = samples if samples.ndim == 1 else samples[0]
        parts = np.split(coil, np.cumsum(segment.readouts.n_raw)[:-1])
        for row, (part, span) in enumerate(zip(parts, spans, strict=True)):
            i, q = (_value_at(moved.tracks[name], sum(span) // 2) for name in _TX)
            window = _Window.of(segment.readouts, row, part, span, scan.clock_hz)
            arrivals.append(window.arrival(PULSES[len(arrivals)], math.hypot(i, q) / TX_FULL_SCALE))
    return tuple(arrivals)


def _compiled(scanner: Scanner) -> CompiledScan:
    calibration = nominal_calibration(scanner)
    placement = place(Orientation.AXIAL, PatientPosition.HFS, (0.0, 0.0, 0.0), (0.0, 0.0), False)
    scan = compile_scan(read_pulseq(_sequence(scanner), name="loop-back"), scanner, calibration, placement)
    check_scan(scan, scanner, calibration).raise_if_refused()
    return scan


def _steps(us: float) -> int:
    return math.ceil(round(us / _STEP_US, 6))


def _sequence(scanner: Scanner) -> bytes:
    """Pulse after pulse in Pulseq, a readout behind each."""
    rf, dwell_s = scanner.rf, _RAW_S * scanner.receiver.oversampling
    delay_us = _STEP_US * _steps(rf.warmup_s * 1e6)
    pulse_steps = _steps(delay_us + _PULSE_US + rf.hold_s * 1e6)
    n_samples = math.ceil((_PULSE_US * 1e-6 + 2 * _QUIET_S) / dwell_s)
    wait_us = _STEP_US * _steps(rf.dead_time_s * 1e6) + 100
    tr_us = max(_TR_S * 1e6, 1.25 * _PULSE_US / rf.max_duty, 2 * wait_us + 2e6 * n_samples * dwell_s)
    blocks, pulses = [], []
    for number, pulse in enumerate(PULSES, start=1):
        blocks += [
            f"{2 * number - 1} {pulse_steps} {number} 0 0 0 0 0",
            f"{2 * number} {_steps(tr_us) - pulse_steps} 0 0 0 0 1 0",
        ]
        amplitude_hz = pulse.share * rf.full_scale_hz
        pulses.append(
            f"{number} {amplitude_hz!r} 1 2 3 {_PULSE_US // 2} {delay_us} 0 0 {pulse.offset_hz!r} {pulse.phase_rad!r} o"
        )
    rasters = ("AdcRasterTime 1e-07", "BlockDurationRaster 1e-05", "GradientRasterTime 1e-05")
    sections = {
        "VERSION": ("major 1", "minor 5", "revision 0"),
        "DEFINITIONS": (*rasters, "Name loop-back", "RadiofrequencyRasterTime 1e-06"),
        "BLOCKS": blocks,
        "RF": pulses,
        "ADC": (f"1 {n_samples} {round(dwell_s * 1e9)} {wait_us} 0 0 0 0 0",),
        "SHAPES": tuple(
            f"shape_id {number}\nnum_samples 2\n{first}\n{last}\n"
            for number, (first, last) in enumerate(((1, 1), (0, 0), (0, _PULSE_US)), start=1)
        ),
    }
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items()).encode()


def _into_readouts(segment: Segment) -> tuple[Segment, list[tuple[int, int]]]:
    """Each pulse in the middle of the readout behind it, the amplifier blanked; where the pulses begin and end now."""
    gate, readouts = segment.tracks["tx_gate"], segment.readouts
    opens, shuts = gate.ticks[gate.values == 1], gate.ticks[gate.values == 0][-len(readouts) :]
    middles = readouts.window_tick + readouts.decimation.astype(np.int64) * readouts.n_raw // 2
    moved: dict[str, list[Track]] = {name: [] for name in _TX}
    spans = []
    for opened, shut, middle in zip(opens, shuts, middles, strict=True):
        parts = {name: _between(segment.tracks[name], int(opened), int(shut)) for name in _TX}
        first = min(int(part.ticks[np.argmax(part.values != 0)]) for part in parts.values() if np.any(part.values))
        last = max(int(part.ticks[-1]) for part in parts.values() if len(part.ticks))
        shift = int(middle) - (first + last) // 2
        for name, part in parts.items():
            moved[name].append(Track(part.ticks + shift, part.values))
        spans.append((first + shift, last + shift))
    tracks = {name: track for name, track in segment.tracks.items() if name != "tx_gate"}
    for name, parts_of in moved.items():
        tracks[name] = Track(
            np.concatenate([part.ticks for part in parts_of]), np.concatenate([part.values for part in parts_of])
        )
    return replace(segment, tracks=tracks), spans


def _between(track: Track, start: int, stop: int) -> Track:
    inside = (track.ticks >= start) & (track.ticks <= stop)
    return Track(track.ticks[inside], track.values[inside])


def _value_at(track: Track, tick: int) -> int:
    return int(track.values[np.searchsorted(track.ticks, tick, side="right") - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """Samples of one readout with a pulse in its middle; ``ticks`` are when they came out, less the filter's delay."""

    samples: NDArray[np.complex128]
    ticks: NDArray[np.float64]
    span: tuple[int, int]
    decimation: int
    clock_hz: float

    @classmethod
    def of(
        cls, readouts: Readouts, row: int, samples: NDArray[np.complex64], span: tuple[int, int], clock_hz: float
    ) -> "_Window":
        decimation, n_raw = int(readouts.decimation[row]), int(readouts.n_raw[row])
        return cls(
            samples=samples.astype(np.complex128),
            ticks=raw_sample_ticks(float(readouts.window_tick[row]), decimation, n_raw),
            span=span,
            decimation=decimation,
            clock_hz=clock_hz,
        )

    def arrival(self, pulse: Pulse, share: float) -> Arrival:
        start, stop = self.span
        quiet = self.samples[CIC_SETTLING:][self.ticks[CIC_SETTLING:] < start - _CLEAR * self.decimation]
        heard = self.samples - quiet.mean()  # without what leaks from the oscillator
        inside = np.abs(self.ticks - (start + stop) / 2) < _MIDDLE / 2 * (stop - start)
        middle, seconds = heard[inside], (self.ticks[inside] - start) / self.clock_hz
        weights = np.hanning(len(middle) + 2)[1:-1]
        weights /= weights.sum()
        level, opposite = (
            complex(np.sum(weights * middle * np.exp(-2j * np.pi * offset_hz * seconds)))
            for offset_hz in (pulse.offset_hz, -pulse.offset_hz)
        )
        near_hz = pulse.offset_hz if abs(level) >= abs(opposite) else -pulse.offset_hz
        delay_ticks, delay_sd_ticks = (math.nan, math.nan) if pulse.offset_hz else self._delay_ticks(heard, level, quiet)
        return Arrival(
            share=share,
            offset_hz=pulse.offset_hz,
            phase_rad=pulse.phase_rad,
            level=level,
            opposite=opposite,
            frequency_hz=near_hz + self._rest_hz(middle * np.exp(-2j * np.pi * near_hz * seconds)),
            delay_ticks=delay_ticks,
            delay_sd_ticks=delay_sd_ticks,
            decimation=self.decimation,
            noise=float(quiet.std() * np.sqrt(np.sum(weights**2))),
            peak=float(np.abs(self.samples).max()),
        )

    def _rest_hz(self, still: NDArray[np.complex128]) -> float:
        """Frequency of a signal that hardly turns, from half to half, in which an image that turns fast averages out."""
        half = len(still) // 2
        turn = float(np.angle(still[half : 2 * half].sum() * still[:half].sum().conj()))
        return turn / (2 * math.pi * half) * self.clock_hz / self.decimation

    def _delay_ticks(
        self, heard: NDArray[np.complex128], level: complex, quiet: NDArray[np.complex128]
    ) -> tuple[float, float]:
        """By the centroid of the pulse, to which its edges count alike however the filter has bent them; how well."""
        start, stop = self.span
        near = np.abs(self.ticks - (start + stop) / 2) < (stop - start) / 2 + 2 * _CLEAR * self.decimation
        shape = np.real(heard[near] * np.conj(level)) / max(abs(level) ** 2, 1e-30)
        area = float(shape.sum())
        if not area > 1:
            return math.nan, math.nan
        centroid = float(np.sum(shape * self.ticks[near])) / area
        arm_ticks = math.sqrt(float(np.sum((self.ticks[near] - centroid) ** 2))) / area
        sd_ticks = float(quiet.std()) / math.sqrt(2) / max(abs(level), 1e-15) * arm_ticks
        return centroid - (start + stop) / 2 + filter_ticks(self.decimation), sd_ticks


def filter_ticks(decimation: int) -> float:
    """Delay of the decimator's filter [ticks]; see ``domain.receiver``."""
    return CIC_ORDER * (decimation - 1) / 2
