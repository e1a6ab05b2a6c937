# SPDX-License-Identifier: MIT
"""What the receiver hears while nothing is transmitted: its noise, and the lines of interference in it.

Source
------
Reference domain.md 2, step 1: Welch's spectrum of three windows or more; lines 12 dB above the median; thermal noise of a
resistance R in a bandwidth B is sqrt(k T R B) in each of the two parts of a matched complex signal, sqrt(2 k T R B) as
the root mean square of its magnitude. The latter is the convention here: both parts of the samples together. k: CODATA
2022, exact.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.domain.raw import RawScan

SPUR_DB: Final = 12.0
GOOD_RATIO: Final = 1.5
WARN_RATIO: Final = 2.0
FAIL_RATIO: Final = 5.0
MIN_WINDOWS: Final = 3
CLIP_LEVEL: Final = 0.98
FALLS: Final = 0.63
"""2 dB: what interference keeps of its power for some seconds, and a signal with the T2 of fluid (2 s) does not."""

_BOLTZMANN_J_PER_K: Final = 1.380649e-23
_RESISTANCE_OHM: Final = 50.0
_TEMPERATURE_K: Final = 293.0
_SIDE: Final = 6  # bins on each side that a line reaches through the window
_EDGE: Final = 0.08  # of the band, where the receiver's filter falls
_MAINS_HZ: Final = (50.0, 60.0, 100.0, 120.0)
_MIN_TEETH: Final = 4
_MAX_LINES: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpurLine:
    """One line of interference.

    Attributes
    ----------
    frequency_hz
        Where.
    level_db
        Above the noise beside it, in one bin of the spectrum [dB].
    rms
        How strong, in the unit of the samples.
    """

    frequency_hz: float
    level_db: float
    rms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFigures:
    """What was heard.

    Attributes
    ----------
    rms
        All that was heard, in the unit of the samples (1 is the receiver's full scale), both parts together.
    broadband_rms
        The same without the lines.
    bandwidth_hz
        In which.
    lines
        Strongest first.
    comb_hz
        Distance of lines at equal distances, NaN when there is no such comb.
    comb_middle_hz
        Their strongest.
    frequency_hz, density_db
        Spectrum, shape ``(n,)``: frequency [Hz], power over the median [dB].
    covariance
        Between the channels, complex, shape ``(n_channels, n_channels)``.
    """

    rms: float
    broadband_rms: float
    bandwidth_hz: float
    lines: tuple[SpurLine, ...]
    comb_hz: float
    comb_middle_hz: float
    frequency_hz: NDArray[np.float64]
    density_db: NDArray[np.float64]
    covariance: NDArray[np.complex128]

    @property
    def is_mains(self) -> bool:
        """True when the comb's distance is that of mains or of its rectified half waves."""
        return any(abs(self.comb_hz - mains_hz) < 0.03 * mains_hz for mains_hz in _MAINS_HZ)


def thermal_rms_v(bandwidth_hz: float, gain_db: float = 0.0) -> float:
    """Noise of a matched coil at room temperature behind an amplifier that adds none, both parts together [V]."""
    return math.sqrt(2 * _BOLTZMANN_J_PER_K * _TEMPERATURE_K * _RESISTANCE_OHM * bandwidth_hz) * 10 ** (gain_db / 20)


def measure_noise(raw: RawScan) -> NoiseFigures | Refusal:
    """Noise and interference in the windows of a ``noise`` scan, of its first channel."""
    samples = raw.samples if len(raw.samples) else raw.noise
    if samples is None or len(samples) < MIN_WINDOWS or samples.shape[2] < 256:
        n = 0 if samples is None else len(samples)
        return Refusal(
            doubt=Doubt.NO_SIGNAL,
            problem=f"{n} windows of noise were measured; {MIN_WINDOWS} are needed.",
            remedy="Repeat the measurement.",
        )
    windows = np.asarray(samples[:, 0], dtype=np.complex128)
    if not np.all(np.any(windows, axis=1)):
        return Refusal(
            doubt=Doubt.SILENT,
            problem="The receiver delivers nothing but zeros.",
            remedy="Switch the console off and on, then repeat. If it stays so, call service.",
        )
    if np.count_nonzero(np.abs(windows) >= CLIP_LEVEL) >= 3:
        return Refusal(
            doubt=Doubt.CLIPPED,
            problem="Interference is so strong that the receiver is clipped.",
            remedy="Switch off chargers, lamps and supplies near the scanner, close the shield, then repeat.",
        )
    figures = _spectrum(raw, windows)
    flat = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1).astype(np.complex128)
    covariance = flat @ flat.conj().T / flat.shape[1]
    return _figures(raw, windows, figures, np.asarray(covariance))


def falls(before: NoiseFigures | Refusal, after: NoiseFigures | Refusal) -> bool:
    """True when the lines became less while nothing was done but wait: the signal of a scan just before does that."""
    if isinstance(before, Refusal) or isinstance(after, Refusal):
        return False
    was, left = (sum(line.rms**2 for line in figures.lines) for figures in (before, after))
    return left < FALLS * was


def _spectrum(raw: RawScan, windows: NDArray[np.complex128]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies and Welch's mean power per bin, scaled so that white noise of variance 1 gives 1 everywhere."""
    n = windows.shape[1]
    taper = np.hanning(n)
    power = np.mean(np.abs(np.fft.fftshift(np.fft.fft(windows * taper, axis=1), axes=1)) ** 2, axis=0)
    return raw.lo_hz + np.fft.fftshift(np.fft.fftfreq(n, raw.dwell_s)), power / np.sum(taper**2)


def _figures(
    raw: RawScan,
    windows: NDArray[np.complex128],
    spectrum: tuple[NDArray[np.float64], NDArray[np.float64]],
    covariance: NDArray[np.complex128],
) -> NoiseFigures:
    frequency_hz, power = spectrum
    n = len(power)
    inner = slice(int(_EDGE * n), n - int(_EDGE * n))
    beside = _running_median(power, max(n // 24, 64) | 1)
    # The median of a mean of m exponential values lies below their mean.
    m = len(windows)
    floor = beside / (1 - 1 / (9 * m)) ** 3
    lines, used = _lines(frequency_hz, power, floor, inner, n)
    comb_hz, comb_middle_hz = _comb(lines, 1 / (n * raw.dwell_s))
    broadband = float(np.sqrt(np.mean(floor[inner])))
    return NoiseFigures(
        rms=float(np.sqrt(np.mean(np.abs(windows) ** 2))),
        broadband_rms=min(broadband, float(np.sqrt(np.mean(power[inner][~used[inner]]))))
        if not used[inner].all()
        else broadband,
        bandwidth_hz=1 / raw.dwell_s,
        lines=lines,
        comb_hz=comb_hz,
        comb_middle_hz=comb_middle_hz,
        frequency_hz=frequency_hz,
        density_db=np.asarray(10 * np.log10(np.maximum(power, 1e-30) / np.median(floor[inner]))),
        covariance=covariance,
    )


def _running_median(power: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Median of blocks, joined by straight lines: lines do not count, slow changes do."""
    edges = np.arange(0, len(power) + 1, width)
    edges[-1] = len(power)
    middle = (edges[:-1] + edges[1:]) / 2
    medians = [float(np.median(power[start:stop])) for start, stop in itertools.pairwise(edges)]
    return np.interp(np.arange(len(power)), middle, medians)


def _lines(
    frequency_hz: NDArray[np.float64],
    power: NDArray[np.float64],
    floor: NDArray[np.float64],
    inner: slice,
    n: int,
) -> tuple[tuple[SpurLine, ...], NDArray[np.bool_]]:
    """Bins far above what lies beside them, strongest first, and which bins belong to lines."""
    excess_db = 10 * np.log10(np.maximum(power, 1e-30) / np.maximum(floor, 1e-30))
    used = np.zeros(n, dtype=np.bool_)
    candidates = np.arange(n)[inner][excess_db[inner] > SPUR_DB]
    found: list[SpurLine] = []
    for place in candidates[np.argsort(-power[candidates])].tolist():
        near = slice(max(place - 3, 0), place + 4)
        if used[place] or power[place] < power[near].max():
            continue
        reach = slice(max(place - _SIDE, 0), place + _SIDE + 1)
        strength = float(np.sum(np.maximum(power[near] - floor[near], 0))) / n
        found.append(SpurLine(frequency_hz=float(frequency_hz[place]), level_db=float(excess_db[place]), rms=strength**0.5))
        used[reach] = True
        if len(found) == _MAX_LINES:
            break
    used |= excess_db > SPUR_DB
    return tuple(sorted(found, key=lambda line: -line.rms)), used


def _comb(lines: tuple[SpurLine, ...], resolution_hz: float) -> tuple[float, float]:
    """Distance and strongest line of a comb, NaN when there is none: a mains distance that explains most lines."""
    if len(lines) < _MIN_TEETH:
        return math.nan, math.nan
    places_hz = np.array([line.frequency_hz for line in lines])
    gaps_hz = np.abs(places_hz[:, None] - places_hz[None, :])
    gaps_hz = gaps_hz[gaps_hz > 4 * resolution_hz]
    trials = [*_MAINS_HZ, *np.unique(np.round(gaps_hz / resolution_hz)) * resolution_hz][:400]
    best: tuple[int, float, float, float] = (0, 0.0, math.nan, math.nan)
    for trial_hz in trials:
        if trial_hz < 6 * resolution_hz:
            continue
        for middle_hz in places_hz[:5]:
            spacing_hz = _refined(places_hz - middle_hz, trial_hz, resolution_hz)
            steps = (places_hz - middle_hz) / spacing_hz
            fits = np.abs(steps - np.round(steps)) * spacing_hz < 1.2 * resolution_hz
            n_fit = int(np.unique(np.round(steps[fits])).size)
            by_chance = len(lines) * min(2.4 * resolution_hz / trial_hz, 1.0)
            if n_fit >= _MIN_TEETH and n_fit > 3 * by_chance and n_fit >= 0.5 * len(lines):
                best = max(best, (n_fit, spacing_hz, spacing_hz, float(middle_hz)), key=lambda item: item[:2])
    return best[2], best[3]


def _refined(from_middle_hz: NDArray[np.float64], trial_hz: float, resolution_hz: float) -> float:
    """Distance of a comb's lines, better than the spectrum resolves, from those near its middle."""
    steps = np.round(from_middle_hz / trial_hz)
    off_hz = np.abs(from_middle_hz - steps * trial_hz)
    near = (np.abs(steps) <= 8) & (steps != 0) & (off_hz < (1.2 + 0.5 * np.abs(steps)) * resolution_hz)
    if not near.any():
        return trial_hz
    found_hz = float(from_middle_hz[near] @ steps[near] / (steps[near] @ steps[near]))
    return found_hz if abs(found_hz - trial_hz) < resolution_hz else trial_hz
