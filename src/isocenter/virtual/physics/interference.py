# SPDX-License-Identifier: MIT
"""Sources outside the scanner, and how the receive coil and the sensors pick them up.

Every source is a function of virtual time that runs on between windows and runs, so its phase is right wherever it is
looked at. It is evaluated where the receiver wants its samples, in the frame of the local oscillator, with the response of
the decimator; what the decimator would suppress is left out rather than folded into the band.

A channel hears a source through a short filter of its own, so channels differ in strength, phase and frequency response,
and no two sources reach them alike. The coil's own filter is the reference: it hears a source at its ``level``. The filters
of the sensors drift by a few per cent in minutes, as they do when somebody moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.receiver import cic_response
from isocenter.domain.scenario import Interference, InterferenceKind
from isocenter.virtual.console.playback import RxWindow
from isocenter.virtual.console.receiver import CIC_TAPS
from isocenter.virtual.physics.bandlimited import WIDEST_SLOPE, Grid, Kernel, noise_grid, periodic_grid

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

TAP_S: Final = 10e-6
"""Distance of the taps of a channel's filter [s]: that of a coil whose bandwidth is some 20 kHz."""
TAP_SPREAD: Final = (1.0, 0.3, 0.1)
"""How strong the taps of a sensor's filter are, about."""
SENSOR_GAINS: Final = (0.5, 2.0)
"""What a sensor hears over what the coil hears, from ... to."""
DRIFT_SHARE: Final = 0.03
"""Root mean square of the slow change of a sensor's filter."""
DRIFT_PERIODS_S: Final = (20.0, 200.0)
WANDER_PERIODS_S: Final = (0.3, 20.0)
MODULATION_DEPTH: Final = 0.5
DEFAULT_MAINS_HZ: Final = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The local oscillator in one run.

    Attributes
    ----------
    start_s
        Virtual time of the run's tick 0 [s].
    clock_hz
        Ticks per second [Hz].
    lo_hz
        Frequency of the oscillator [Hz].
    lo_turns
        Its phase at tick 0 [turns], as it would be had it always had this frequency.
    """

    start_s: float
    clock_hz: float
    lo_hz: float
    lo_turns: float


@dataclass(frozen=True, slots=True)
class _Span:
    """Times at which a source is wanted: virtual time of the first sample and spacing [s], number of samples."""

    start_s: float
    step_s: float
    n: int

    def times_s(self, delay_s: float = 0.0) -> Floats:
        return np.asarray(self.start_s - delay_s + self.step_s * np.arange(self.n), dtype=np.float64)


class _Source(Protocol):
    def at(self, span: _Span, offset_hz: float, delay_s: float) -> Complex | None:
        """Envelope about the source's middle, ``delay_s`` late; None where the receiver cannot hear it."""
        ...


def _slow(rng: np.random.Generator, periods_s: tuple[float, float], n_terms: int) -> tuple[Floats, Floats]:
    """Frequencies and phases of a slow quasi-periodic function [Hz, rad]."""
    low, high = np.log(periods_s)
    return np.exp(-rng.uniform(low, high, n_terms)), rng.uniform(0, 2 * np.pi, n_terms)


@dataclass(slots=True)
class _Tone:
    """A line whose frequency wanders: ``width_hz`` is twice the root mean square of its deviation."""

    source: Interference
    wander: tuple[Floats, Floats]

    def at(self, span: _Span, offset_hz: float, delay_s: float) -> Complex | None:
        t = span.times_s(delay_s)
        rates_hz, phases = self.wander
        deviation_hz = self.source.width_hz / 2 * np.sqrt(2 / len(rates_hz))
        rad = np.zeros(span.n)
        for rate_hz, phase in zip(rates_hz, phases, strict=True):
            rad += deviation_hz / rate_hz * np.sin(2 * np.pi * rate_hz * t + phase)
        turns_per_sample = offset_hz * span.step_s
        angle = 2 * np.pi * turns_per_sample
        sampled = float(CIC_TAPS @ np.cos(angle * np.arange(-2, 3)))  # what the decimator's taps will do to the alias
        response = float(cic_response(np.array([turns_per_sample]))[0]) / sampled
        return np.asarray(self.source.level * response * np.exp(1j * rad))


@dataclass(slots=True)
class _Band:
    """Noise through a band, or a comb of lines."""

    source: Interference
    grid: Grid
    kernels: dict[tuple[float, float], Kernel | None] = field(default_factory=dict)

    def at(self, span: _Span, offset_hz: float, delay_s: float) -> Complex | None:
        key = (span.step_s, offset_hz)
        if key not in self.kernels:
            self.kernels[key] = self._kernel(span.step_s, offset_hz)
        kernel = self.kernels[key]
        if kernel is None:
            return None
        return self.grid.at(span.start_s - delay_s, span.step_s, span.n, kernel)

    def _kernel(self, step_s: float, offset_hz: float) -> Kernel | None:
        """Only what lies within half the raw sample rate of the local oscillator."""
        rate_hz, half_hz, reach_hz = self.grid.rate_hz, self.source.width_hz / 2, 0.5 / step_s
        low_hz, high_hz = -reach_hz - offset_hz, reach_hz - offset_hz
        if low_hz >= half_hz or high_hz <= -half_hz:
            return None
        low, high = max(low_hz / rate_hz, -self.grid.edge), min(high_hz / rate_hz, self.grid.edge)
        return Kernel.for_band(low, high, WIDEST_SLOPE * min(1.0, 1 / (step_s * rate_hz)))


def _make(source: Interference, seed: Sequence[int]) -> _Source:
    rng = np.random.default_rng(seed)
    if source.kind is InterferenceKind.TONE or source.width_hz <= 0:
        return _Tone(source, _slow(rng, WANDER_PERIODS_S, 8))
    if source.kind is InterferenceKind.BROADBAND:
        return _Band(source, noise_grid(source.level, source.width_hz, seed))
    spacing_hz = source.modulation_hz or DEFAULT_MAINS_HZ
    n_side = int(source.width_hz / 2 / spacing_hz)
    lines = rng.normal(size=2 * n_side + 1) + 1j * rng.normal(size=2 * n_side + 1)
    return _Band(source, periodic_grid(source.level * lines / np.linalg.norm(lines), spacing_hz))


class Ether:
    """All sources of a scenario and their ways into the channels.

    Parameters
    ----------
    sources
        May be empty.
    n_channels
        The receive coil's channels and the sensors.
    nominal_hz
        The magnet's nominal frequency [Hz].
    seed
        Chooses phases, filters, noise; each source has streams of its own, and so has each channel.
    """

    def __init__(self, sources: Sequence[Interference], *, n_channels: int, nominal_hz: float, seed: int) -> None:
        self._definitions = tuple(sources)
        self._nominal_hz = nominal_hz
        self._sources = [_make(source, [seed, 0xE41, index]) for index, source in enumerate(sources)]
        rngs = [[np.random.default_rng([seed, 0xE42, i, c]) for c in range(n_channels)] for i in range(len(sources))]
        self._filters = np.array([[_filter(rng, c) for c, rng in enumerate(row)] for row in rngs], dtype=np.complex128)
        self._drifts = [[_slow(rng, DRIFT_PERIODS_S, 4) for rng in row] for row in rngs]

    def hear(self, window: RxWindow, frame: Frame, channels: Sequence[int]) -> Complex:
        """What channels pick up at a window's sample ticks, shape ``(n_channels, n)`` [1 = receiver full scale]."""
        ticks = window.sample_ticks
        out = np.zeros((len(channels), len(ticks)), dtype=np.complex128)
        if not self._sources or not len(ticks):
            return out
        span = _Span(frame.start_s + float(ticks[0]) / frame.clock_hz, window.decimation / frame.clock_hz, len(ticks))
        for index, (definition, source) in enumerate(zip(self._definitions, self._sources, strict=True)):
            filters = np.stack([self._filter_at(index, channel, span) for channel in channels])
            carrier_hz = self._nominal_hz + definition.frequency_hz
            heard = _filtered(source, filters, span, carrier_hz - frame.lo_hz)
            if heard is None:
                continue
            lo_turns = frame.lo_turns + frame.lo_hz * float(ticks[0]) / frame.clock_hz
            first = (carrier_hz * span.start_s) % 1.0 - lo_turns % 1.0
            turns = first + (carrier_hz - frame.lo_hz) * span.step_s * np.arange(span.n)
            out += heard * (np.exp(2j * np.pi * turns) * _strength(definition, span))
        return out

    def _filter_at(self, source: int, channel: int, span: _Span) -> Complex:
        """Filter of a channel for a source, as it is in the middle of a window."""
        taps: Complex = self._filters[source, channel]
        if channel == 0:
            return taps
        rates_hz, phases = self._drifts[source][channel]
        middle_s = span.start_s + span.step_s * span.n / 2
        drift = np.exp(1j * (2 * np.pi * rates_hz * middle_s + phases)).sum() / np.sqrt(len(rates_hz))
        return np.asarray(taps * (1 + DRIFT_SHARE * drift))


def _filter(rng: np.random.Generator, channel: int) -> Complex:
    if channel == 0:
        return np.array([1.0, 0.0, 0.0], dtype=np.complex128)
    gain = np.exp(rng.uniform(*np.log(SENSOR_GAINS)) + 1j * rng.uniform(0, 2 * np.pi))
    taps = np.array(TAP_SPREAD) * (rng.normal(size=3) + 1j * rng.normal(size=3)) / np.sqrt(2)
    taps[0] = 1.0
    return np.asarray(gain * taps)


def _filtered(source: _Source, filters: Complex, span: _Span, offset_hz: float) -> Complex | None:
    """A source through each channel's filter, shape ``(n_channels, n)``."""
    out = np.zeros((len(filters), span.n), dtype=np.complex128)
    for tap in range(filters.shape[1]):
        if np.any(filters[:, tap]):
            envelope = source.at(span, offset_hz, tap * TAP_S)
            if envelope is None:
                return None
            out += filters[:, tap, None] * envelope * np.exp(-2j * np.pi * offset_hz * tap * TAP_S)
    return out


def _strength(source: Interference, span: _Span) -> Floats | float:
    """Slow change of a source's strength; its mean square is 1."""
    if source.kind is InterferenceKind.MAINS_COMB or source.modulation_hz <= 0:
        return 1.0
    wave = 1 + MODULATION_DEPTH * np.cos(2 * np.pi * source.modulation_hz * span.times_s())
    return np.asarray(wave / np.sqrt(1 + MODULATION_DEPTH**2 / 2))
