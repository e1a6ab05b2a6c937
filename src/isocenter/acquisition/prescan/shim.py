# SPDX-License-Identifier: MIT
"""The best constant gradient on one axis from spectra measured at several, and whether it helps.

The narrower a line, the higher its peak. Away from the best value the square of the width grows with the square of the
gradient, so the inverse square of the peak is a parabola near the best value, whatever the object's shape.

Source
------
Reference domain.md 2, step 5: one axis after the other, by the height of the spectrum's peak; the peak must grow; up to a
tenth of the gradient amplifier.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.domain.raw import RawScan

MIN_SNR: Final = 8.0
MAX_SHARE: Final = 0.1
"""Of the gradient amplifier's full scale."""
MAX_STEP_T_PER_M: Final = 0.5e-3
"""A scan switches its shim in one step; more is refused by its check."""

_ZERO_FILL: Final = 4
_SECOND: Final = 0.6  # of the higher maximum, what a second one must reach to be mentioned
_VALLEY: Final = 0.85  # of the lower of two maxima, below which the peaks between them must fall
_LEAK: Final = 4  # resolutions to each side of a tone that are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Spectra at several gradients on one axis.

    Attributes
    ----------
    offset_t_per_m, peak
        Gradients, rising, and the height of the spectrum's peak, shape ``(n,)``.
    snr
        Of the highest.
    width_hz
        Full width at half of the power of the highest line.
    """

    offset_t_per_m: NDArray[np.float64]
    peak: NDArray[np.float64]
    snr: float
    width_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Where the peak is highest.

    Attributes
    ----------
    offset_t_per_m, sd_t_per_m
        Gradient, and about how well it is known.
    peak
        Expected there.
    maxima_t_per_m
        All maxima that were seen, highest first.
    is_at_edge
        The highest was the first or last value of the sweep.
    """

    offset_t_per_m: float
    sd_t_per_m: float
    peak: float
    maxima_t_per_m: tuple[float, ...]
    is_at_edge: bool


def read_sweep(raw: RawScan, tones_hz: tuple[float, ...] = ()) -> Sweep | Refusal:
    """Peaks of a ``shim_sweep`` scan, without tones that are known to be interference."""
    offsets = np.array([float(text) for text in raw.definitions["Offsets"].split()])
    samples, at = raw.samples[:, 0].astype(np.complex128), raw.label("SET")
    if np.count_nonzero(np.abs(samples) >= 0.98) >= 3:
        return Refusal(
            doubt=Doubt.CLIPPED,
            problem="The signal is too strong for the receiver and was clipped.",
            remedy="Lower the receiver's gain, then repeat.",
        )
    echoes = np.stack([samples[at == step].mean(axis=0) for step in range(len(offsets))])
    n = echoes.shape[1]
    window = np.exp(-0.5 * ((np.arange(n) - n // 2) / (n / 3)) ** 2)  # keeps side lobes away
    spectra = np.abs(np.fft.fftshift(np.fft.fft(echoes * window, _ZERO_FILL * n, axis=1), axes=1))
    order = np.argsort(offsets)
    offsets, spectra = offsets[order], spectra[order]
    if tones_hz:
        spectra[:, bins_of(tones_hz, raw)] = 0.0
    level = np.sort(spectra, axis=1)[:, : 3 * spectra.shape[1] // 4]
    noise = float(np.median(level[level > 0])) / 0.83 if np.any(level > 0) else 1.0
    peak = spectra.max(axis=1)
    snr = float(peak.max()) / noise
    if snr < MIN_SNR:
        return Refusal(
            doubt=Doubt.NO_SIGNAL,
            problem=f"There is too little signal to shim with (signal to noise {snr:.1f}, needed {MIN_SNR:g}).",
            remedy="Check that the patient or phantom is in the coil and the coil is plugged in, then repeat.",
        )
    best = spectra[int(np.argmax(peak))] ** 2
    width_hz = float(np.count_nonzero(best >= best.max() / 2)) / (_ZERO_FILL * n * raw.dwell_s)
    return Sweep(offset_t_per_m=offsets, peak=peak, snr=snr, width_hz=width_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The line of a ``frequency`` scan.

    Attributes
    ----------
    peak
        Height of the spectrum's peak.
    width_hz
        Full width at half of the power.
    spread_hz
        Part of the band that holds 80 % of the power: more than the width where a narrow peak stands on a wide foot.
    """

    peak: float
    width_hz: float
    spread_hz: float


def read_line(raw: RawScan, tones_hz: tuple[float, ...] = ()) -> Line:
    """The line of a ``frequency`` scan, without tones that are known to be interference."""
    echo = raw.samples[:, 0].astype(np.complex128).mean(axis=0)
    n = len(echo)
    window = np.exp(-0.5 * ((np.arange(n) - n // 2) / (n / 3)) ** 2)
    power = np.abs(np.fft.fftshift(np.fft.fft(echo * window, _ZERO_FILL * n))) ** 2
    if tones_hz:
        power[bins_of(tones_hz, raw)] = 0.0
    bin_hz = 1 / (_ZERO_FILL * n * raw.dwell_s)
    ranked = np.sort(np.maximum(power - 6 * np.median(power), 0.0))[::-1]
    held = int(np.searchsorted(np.cumsum(ranked), 0.8 * ranked.sum())) + 1
    return Line(
        peak=float(np.sqrt(power.max())),
        width_hz=float(np.count_nonzero(power >= power.max() / 2)) * bin_hz,
        spread_hz=held * bin_hz,
    )


def bins_of(tones_hz: tuple[float, ...], raw: RawScan) -> NDArray[np.int64]:
    """Bins of a sweep's spectra that hold some tones [Hz], with what leaks beside them."""
    n = _ZERO_FILL * raw.samples.shape[2]
    places = np.round((np.array(tones_hz) - raw.lo_hz) * n * raw.dwell_s).astype(np.int64) + n // 2
    reach = np.arange(-_LEAK * _ZERO_FILL, _LEAK * _ZERO_FILL + 1)
    bins = np.unique(places[:, None] + reach)
    return np.asarray(bins[(bins >= 0) & (bins < n)], dtype=np.int64)


def find_best(offset_t_per_m: NDArray[np.float64], peak: NDArray[np.float64]) -> Best:
    """The highest maximum of a sweep, between its points, and the others that were seen."""
    places = _maxima(peak)
    top = places[0]
    near = slice(max(top - 2, 0), top + 3)
    x, y = offset_t_per_m[near], peak[near]
    scale = float(np.ptp(offset_t_per_m)) / max(len(offset_t_per_m) - 1, 1)
    best, sd = float(offset_t_per_m[top]), scale / 2
    if len(x) >= 4:
        inverse = (y.max() / y) ** 2
        weight = y**3 / y.max() ** 3  # noise of 1/y² grows like 1/y³
        curve = np.polyfit((x - best) / scale, inverse, 2, w=weight)
        if curve[0] > 0:
            shift = float(np.clip(-curve[1] / (2 * curve[0]), -1.0, 1.0))
            left = inverse - np.polyval(curve, (x - best) / scale)
            best += shift * scale
            sd = scale * float(np.clip(np.sqrt(np.mean((left * weight) ** 2)) / curve[0] + 0.05, 0.05, 0.5))
    return Best(
        offset_t_per_m=best,
        sd_t_per_m=sd,
        peak=float(peak[top]),
        maxima_t_per_m=tuple(float(offset_t_per_m[place]) for place in places),
        is_at_edge=top in {0, len(peak) - 1},
    )


def _maxima(peak: NDArray[np.float64]) -> list[int]:
    """Places of maxima that are told from each other by a valley, highest first."""
    padded = np.concatenate(([-np.inf], peak, [-np.inf]))
    tops = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]))
    kept: list[int] = []
    for place in tops[np.argsort(-peak[tops])].tolist():
        if kept and peak[place] < _SECOND * peak[kept[0]]:
            break
        between = [peak[min(place, other) : max(place, other) + 1].min() for other in kept]
        if all(valley < _VALLEY * peak[place] for valley in between):
            kept.append(place)
    return kept


def limit_t_per_m(full_scale_t_per_m: float) -> float:
    """Largest shim of a channel [T/m]."""
    return min(MAX_SHARE * abs(full_scale_t_per_m), MAX_STEP_T_PER_M)
