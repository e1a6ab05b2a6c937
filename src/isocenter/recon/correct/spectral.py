# SPDX-License-Identifier: MIT
"""Tones taken out of a record without sensors: found in the spectrum, fitted in every line, subtracted.

A tone is as strong at the ends of a readout as in its middle, and narrower than a voxel; the object is neither. So tones are
looked for in the noise readouts if there are any, else in the ends of the weaker lines, where both halves must show them.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.correct.figure import Figure

Complex: TypeAlias = NDArray[np.complex64]
_MOST_TONES: Final = 24
_LEAST_OVER_FLOOR: Final = 4.0
"""Power of a tone over the floor around it, averaged over lines; with few lines more is asked."""
_FINE: Final = 8
_ROUNDS: Final = 6
_MOST_OVER_WEAK: Final = 2.5
"""Amplitude of a tone in any line over its root mean square in the weaker half of the lines."""
_MOST_FALL: Final = 1.8
"""Power in the inner over that in the outer part of the ends; edges of objects reach 2.7 (k to the power of -3/2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TonesRemoved:
    """Lines without tones.

    Attributes
    ----------
    samples
        complex64, of the shape that was given; what was given when there are none.
    frequencies_hz
        Of the tones, against the receiver's frequency [Hz].
    figure
        Highest peak over the floor of the spectrum, before and after.
    """

    samples: Complex
    frequencies_hz: tuple[float, ...]
    figure: Figure

    @property
    def is_changed(self) -> bool:
        """False when no tone was found."""
        return len(self.frequencies_hz) > 0


def remove_tones(samples: Complex, dwell_s: float, *, noise: Complex | None = None) -> TonesRemoved:
    """Lines without narrow interference.

    Parameters
    ----------
    samples
        complex64, shape ``(n_lines, n_channels, n_samples)``.
    dwell_s
        Sample spacing [s].
    noise
        Noise readouts of the same scan, shape ``(n, n_channels, n_samples)`` with any number of samples; None for none.

    Returns
    -------
        See ``TonesRemoved``. Tones may wander a little from line to line; they are fitted in each anew.
    """
    n = samples.shape[-1]
    witness = _Witness(samples, noise)
    found: list[float] = []
    before = witness.highest()[1]
    for _ in range(_ROUNDS):
        new = witness.tones()
        fresh = [tone for tone in new if all(abs((tone - old + 0.5) % 1 - 0.5) > 2 / n for old in found)]
        if not fresh or len(found) + len(fresh) > _MOST_TONES:
            break
        found.extend(fresh)
        witness.remove(np.array(found))
    found = _outside_object(samples, found)
    if not found:
        return TonesRemoved(samples=samples, frequencies_hz=(), figure=_figure(before, before))
    cleaned = _subtract(samples, np.array(found), _weights(samples))
    after = _Witness(cleaned, None if noise is None else witness.records).highest()[1]
    in_order = tuple(sorted(tone / dwell_s for tone in found))
    return TonesRemoved(samples=cleaned, frequencies_hz=in_order, figure=_figure(before, after))


def _figure(before: float, after: float) -> Figure:
    return Figure(what="highest peak over the floor", unit="dB", values=(10 * np.log10(before), 10 * np.log10(after)))


class _Witness:
    """Records in which tones show: whole noise readouts, or the two ends of weak lines."""

    def __init__(self, samples: Complex, noise: Complex | None) -> None:
        self._is_noise = noise is not None and len(noise) > 0
        if noise is not None and self._is_noise:
            self.records = noise
        else:
            power = (np.abs(samples) ** 2).sum(axis=(1, 2))
            self.records = samples[power <= np.quantile(power, 0.5)]
        self._original = self.records

    def _spectra(self) -> list[NDArray[np.float64]]:
        """Mean power over a fine grid of frequencies; one spectrum for noise, one for each end of weak lines."""
        n = self.records.shape[-1]
        pieces = [self.records] if self._is_noise else [self.records[..., : n // 4], self.records[..., n - n // 4 :]]
        return [_mean_spectrum(piece, n) for piece in pieces]

    def excess(self) -> NDArray[np.float64]:
        """Power over the floor around it; what all pieces agree on."""
        ratios = []
        n = self.records.shape[-1]
        for spectrum, length in zip(self._spectra(), [n] if self._is_noise else [n // 4] * 2, strict=True):
            width = max(round(6 * _FINE * n / length), 3)
            ratios.append(spectrum / _floor(spectrum, width))
        ratio: NDArray[np.float64] = np.min(ratios, axis=0)
        return ratio

    def highest(self) -> tuple[int, float]:
        excess = self.excess()
        at = int(np.argmax(excess))
        return at, max(float(excess[at]), 1.0)

    def tones(self) -> list[float]:
        """Peaks that stand out, in turns per sample, highest first; one of several that touch."""
        excess = self.excess()
        size = len(excess)
        n_lines = max(len(self.records) * self.records.shape[1], 1)
        limit = max(_LEAST_OVER_FLOOR, 1 + 12 / np.sqrt(n_lines))
        reach = 3 * _FINE * (1 if self._is_noise else 4)  # beyond the main lobe of the window
        found: list[int] = []
        for at in np.argsort(-excess):
            if excess[at] < limit:
                break
            if all(min((at - old) % size, (old - at) % size) > reach for old in found):
                found.append(int(at))
            if len(found) >= _MOST_TONES:
                break
        refined = [self._refined(at / size if at < size // 2 else at / size - 1) for at in found]
        return [tone for tone in refined if self._is_steady(tone)]

    def _is_steady(self, tone: float) -> bool:
        """Whether it is as strong at the outer as at the inner half of the ends; an edge of the object is not."""
        if self._is_noise:
            return True
        n = self.records.shape[-1]
        wave = np.exp(-2j * np.pi * tone * np.arange(n)).astype(np.complex64)
        turned = (self.records * wave)[..., : n // 8 * 8]
        eighth = (np.abs(turned.reshape(*turned.shape[:-1], 8, -1).sum(axis=-1)) ** 2).mean(axis=(0, 1))
        return bool(eighth[1] + eighth[6] < _MOST_FALL * (eighth[0] + eighth[7]))

    def _refined(self, tone: float) -> float:
        """Frequency at which the tone is strongest over the whole readout."""
        n = self.records.shape[-1]
        reach = (1.0 if self._is_noise else 2.0) / n
        time = np.arange(n) - (n - 1) / 2
        weight = np.ones(n) if self._is_noise else np.abs(time) > n / 4
        for _ in range(3):
            trial = tone + np.linspace(-reach, reach, 33)
            wave = np.exp(-2j * np.pi * np.outer(time, trial)) * np.asarray(weight, dtype=np.float64)[:, None]
            power = (np.abs(self.records.reshape(-1, n) @ wave.astype(np.complex64)) ** 2).sum(axis=0)
            tone = float(trial[int(np.argmax(power))])
            reach /= 8
        return tone

    def remove(self, tones: NDArray[np.float64]) -> None:
        weights = np.ones(self._original.shape, dtype=np.float32) if self._is_noise else _weights(self._original)
        self.records = _subtract(self._original, tones, weights)


def _mean_spectrum(piece: Complex, n: int) -> NDArray[np.float64]:
    from scipy import fft

    window = np.hanning(piece.shape[-1] + 2)[1:-1].astype(np.float32)
    spectrum = fft.fft(piece * window, _FINE * n, axis=-1)
    mean = (np.abs(spectrum) ** 2).mean(axis=(0, 1), dtype=np.float64)
    return np.asarray(mean + 1e-30, dtype=np.float64)


def _floor(spectrum: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Larger of the medians of the power on either side, some way off: a shoulder of the object is no tone."""
    from scipy.ndimage import median_filter

    medians = median_filter(spectrum, 2 * width + 1, mode="wrap")
    floor: NDArray[np.float64] = np.maximum(np.roll(medians, width), np.roll(medians, -width))
    return np.asarray(np.maximum(floor, medians), dtype=np.float64)


def _weights(samples: Complex) -> NDArray[np.float32]:
    """Little weight where the object is strong."""
    from scipy.ndimage import uniform_filter1d

    power = np.abs(samples) ** 2
    near = uniform_filter1d(power, 5, axis=-1, mode="nearest")
    low = np.quantile(near, 0.25, axis=-1, keepdims=True) + 1e-30
    return cast(NDArray[np.float32], (low / np.maximum(near, low)).astype(np.float32))


def _outside_object(samples: Complex, tones: list[float]) -> list[float]:
    """Those that are as strong in weak lines as in strong ones: a sharp edge of the object is not."""
    if not tones:
        return []
    found, is_weak = _fit(samples, np.array(tones), _weights(samples))
    size = np.abs(found)
    weak = np.sqrt((size[is_weak] ** 2).mean(axis=0))
    strong = np.median(size[~is_weak], axis=0) if not is_weak.all() else weak
    return [tone for tone, a, b in zip(tones, strong, weak, strict=True) if a <= _MOST_OVER_WEAK * b]


def _subtract(samples: Complex, tones: NDArray[np.float64], weights: NDArray[np.float32]) -> Complex:
    """Each line without the tones as they fit it best."""
    found, is_weak = _fit(samples, tones, weights)
    size = np.abs(found)
    limit = _MOST_OVER_WEAK * np.sqrt((size[is_weak] ** 2).mean(axis=0))  # in strong lines the object would be taken along
    found = found * np.minimum(1, limit / np.maximum(size, 1e-30))
    flat = samples.reshape(-1, samples.shape[-1])
    return cast(Complex, (flat - found @ _waves(flat.shape[1], tones).T).astype(np.complex64).reshape(samples.shape))


def _fit(
    samples: Complex, tones: NDArray[np.float64], weights: NDArray[np.float32]
) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Complex amplitude of each tone in each line, and which lines are the weaker half."""
    n = samples.shape[-1]
    waves = _waves(n, tones)
    flat = samples.reshape(-1, n)
    weight = weights.reshape(-1, n)
    products = (waves.conj()[:, :, None] * waves[:, None, :]).reshape(n, -1)
    gram = (weight @ products).reshape(-1, len(tones), len(tones))
    gram += 1e-3 * np.eye(len(tones)) * np.trace(gram, axis1=1, axis2=2).real[:, None, None] / len(tones)
    right = (flat * weight) @ waves.conj()
    found = np.asarray(np.linalg.solve(gram, right[..., None])[..., 0], dtype=np.complex128)
    power = (np.abs(flat) ** 2).sum(axis=1)
    is_weak: NDArray[np.bool_] = power <= np.median(power)
    return found, is_weak


def _waves(n: int, tones: NDArray[np.float64]) -> NDArray[np.complex128]:
    turns = np.outer(np.arange(n) - (n - 1) / 2, tones)
    return np.asarray(np.exp(2j * np.pi * turns), dtype=np.complex128)
