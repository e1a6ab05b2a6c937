# SPDX-License-Identifier: MIT
"""The magnet's frequency while a scan ran, and lines as if it had not changed.

A permanent magnet follows its temperature. A frequency f turns the samples of a line by ``2 pi f (evolution + t)``: t counts
from the echo's centre, and evolution is for how long the phase has grown until then: the echo time in a gradient echo,
nothing in a spin echo. What is measured is always a difference between two readouts of the same line: navigators (label
NAV), or lines that were measured more than once. Without either, the drift that makes the image sharpest can be looked for.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.figure import Figure

Complex: TypeAlias = NDArray[np.complex64]
_LEAST_SNR: Final = 10.0
"""Sum of a product over its noise; noise alone reaches about four."""
_HIGHEST_ORDER: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Measured changes of frequency between pairs of readouts.

    Attributes
    ----------
    earlier_s, later_s
        When the readouts of each pair were taken [s], float64, shape ``(n,)``.
    change_hz
        Frequency at ``later_s`` minus that at ``earlier_s`` [Hz], float64.
    sd_hz
        How uncertain each is [Hz], float64.
    """

    earlier_s: NDArray[np.float64]
    later_s: NDArray[np.float64]
    change_hz: NDArray[np.float64]
    sd_hz: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.change_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCurve:
    """Frequency since the start as a smooth function of time.

    Attributes
    ----------
    coefficients
        Of powers 1, 2 ... of the time over ``duration_s`` [Hz], float64; empty for no drift.
    start_s, duration_s
        Time at which it is zero; length of the stretch for which it holds [s].
    rms_hz
        How far the measured changes lie from it [Hz].
    """

    coefficients: NDArray[np.float64]
    start_s: float
    duration_s: float
    rms_hz: float

    def frequency_hz(self, time_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """Frequency minus that at the start [Hz]; outside the measured stretch as at its nearer end."""
        part = np.clip((np.asarray(time_s, dtype=np.float64) - self.start_s) / self.duration_s, 0.0, 1.0)
        return _powers(part, len(self.coefficients)) @ self.coefficients


def compare_readouts(later: Complex, earlier: Complex, dwell_s: float) -> tuple[float, float]:
    """Change of frequency between two readouts of the same line, and its standard deviation [Hz]; infinite when unknown.

    Parameters
    ----------
    later, earlier
        complex64, shape ``(n_channels, n_samples)``.
    dwell_s
        Sample spacing [s].

    Source
    ------
    The frequency at which the product of one with the other's conjugate is largest: most likely for an unknown line with
    equal noise in both.
    """
    from scipy import fft

    product = (later * earlier.conj()).sum(axis=0).astype(np.complex128)
    n = len(product)
    if n < 4 or not product.any():
        return 0.0, float("inf")
    size = 8 * n
    peak = int(np.argmax(np.abs(fft.fft(product, size))))
    turn = (peak - size if peak >= size // 2 else peak) / size
    time = np.arange(n) - (n - 1) / 2
    for _ in range(4):
        turned = product * np.exp(-2j * np.pi * turn * time)
        turned *= np.exp(-1j * np.angle(turned.sum()))
        away = time - (time * turned.real).sum() / turned.real.sum()
        if (bend := float((away**2 * turned.real).sum())) <= 0:
            return 0.0, float("inf")
        turn += float((away * turned.imag).sum()) / bend / (2 * np.pi)
    noise = float(np.sqrt((turned.imag**2).sum()))
    if float(turned.real.sum()) < _LEAST_SNR * noise:
        return 0.0, float("inf")  # noise against noise
    sd = float(np.sqrt((away**2 * turned.imag**2).sum())) / bend / (2 * np.pi) + 1e-6 / n
    return turn / dwell_s, sd / dwell_s


def measure_changes(
    samples: Complex, groups: NDArray[np.integer], time_s: NDArray[np.floating], dwell_s: float
) -> Differences:
    """Changes of frequency within groups of readouts that measured the same line.

    Parameters
    ----------
    samples
        complex64, shape ``(n_readouts, n_channels, n_samples)``.
    groups
        Which readouts belong together, any numbers, shape ``(n_readouts,)``; below zero: none. All navigators are one group.
    time_s
        When each was taken [s].
    dwell_s
        Sample spacing [s].

    Returns
    -------
        Each readout against the strongest of its group; pairs that say nothing are left out.
    """
    rows: list[tuple[float, float, float, float]] = []
    for number in np.unique(groups[groups >= 0]):
        members = np.flatnonzero(groups == number)
        strongest = members[int(np.argmax((np.abs(samples[members]) ** 2).sum(axis=(1, 2))))]
        for member in members[members != strongest]:
            change_hz, sd_hz = compare_readouts(samples[member], samples[strongest], dwell_s)
            if np.isfinite(sd_hz):
                rows.append((float(time_s[strongest]), float(time_s[member]), change_hz, sd_hz))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Differences(earlier_s=table[:, 0], later_s=table[:, 1], change_hz=table[:, 2], sd_hz=table[:, 3])


def fit_drift(changes: Differences, start_s: float, end_s: float) -> DriftCurve:
    """Smooth drift through measured changes: a polynomial of the lowest order that explains them.

    Parameters
    ----------
    changes
        From ``measure_changes``.
    start_s, end_s
        Of the scan [s]; the drift is zero at the start, where the frequency was last set.

    Raises
    ------
    ReconError
        Nothing to go by.
    """
    duration_s = max(end_s - start_s, 1e-9)
    if len(changes) == 0:
        raise ReconError(
            "The scan has no navigators and no line measured twice that are strong enough to follow the frequency.",
            "Leave out the drift correction, or scan with navigators or with two averages.",
        )
    part_a, part_b = ((np.asarray(t) - start_s) / duration_s for t in (changes.earlier_s, changes.later_s))
    floor_hz = max(float(np.median(changes.sd_hz)), 1e-6)
    weight = 1 / (changes.sd_hz**2 + floor_hz**2)
    best: NDArray[np.float64] = np.zeros(0)
    best_score, n = _score(changes.change_hz, weight, 0), len(changes)
    for order in range(1, min(_HIGHEST_ORDER, max(n // 3, 1)) + 1):
        table = _powers(part_b, order) - _powers(part_a, order)
        root = np.sqrt(weight)
        found = _least_squares(table * root[:, None], changes.change_hz * root)
        for _ in range(3):  # outliers lose their weight
            left = changes.change_hz - table @ found
            limit = 3 * max(1.4826 * float(np.median(np.abs(left))), floor_hz)
            robust = root * np.minimum(1, limit / np.maximum(np.abs(left), 1e-12))
            found = _least_squares(table * robust[:, None], changes.change_hz * robust)
        left = np.clip(changes.change_hz - table @ found, -limit, limit)
        if (score := _score(left, weight, order)) < best_score:
            best, best_score = found, score
    left = changes.change_hz - (_powers(part_b, len(best)) - _powers(part_a, len(best))) @ best
    rms_hz = float(np.sqrt(np.average(left**2, weights=weight)))
    return DriftCurve(coefficients=best, start_s=start_s, duration_s=duration_s, rms_hz=rms_hz)


def _least_squares(table: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.asarray(np.linalg.lstsq(table, values, rcond=1e-9)[0], dtype=np.float64)
    return found


def _score(left_hz: NDArray[np.float64], weight: NDArray[np.float64], order: int) -> float:
    """What is left, with a price for each further order (Bayesian information criterion)."""
    n = len(left_hz)
    return n * float(np.log(np.average(left_hz**2, weights=weight) + 1e-12)) + (2 + order) * float(np.log(max(n, 2)))


def _powers(part: NDArray[np.floating], order: int) -> NDArray[np.float64]:
    return np.asarray(part, dtype=np.float64)[..., None] ** np.arange(1, order + 1)


def remove_drift(
    samples: Complex,
    frequency_hz: NDArray[np.floating],
    dwell_s: float,
    centre_sample: float,
    *,
    evolution_s: float | NDArray[np.floating] = 0.0,
) -> Complex:
    """Lines as if the frequency had not changed.

    Parameters
    ----------
    samples
        complex64, shape ``(n_readouts, n_channels, n_samples)``, in the order in which they were taken.
    frequency_hz
        At each readout, minus that at the start [Hz], shape ``(n_readouts,)``.
    dwell_s
        Sample spacing [s].
    centre_sample
        At which sample the echo has its centre.
    evolution_s
        For how long the phase has grown at that centre [s]: the echo time of a gradient echo, 0 for a spin echo.
    """
    time_s = (np.arange(samples.shape[-1]) - centre_sample) * dwell_s
    evolution = np.broadcast_to(np.asarray(evolution_s, dtype=np.float64), frequency_hz.shape)
    turns = np.asarray(frequency_hz, dtype=np.float64)[:, None] * (evolution[:, None] + time_s)
    return cast(Complex, samples * np.exp(-2j * np.pi * turns).astype(np.complex64)[:, None])


def drift_figure(curve: DriftCurve, dwell_s: float, n_samples: int) -> Figure:
    """Largest move along the readout while the scan ran [voxels]: uncorrected, and as uncertain as the fit leaves it."""
    whole = curve.frequency_hz(curve.start_s + np.linspace(0, 1, 33) * curve.duration_s)
    voxel = dwell_s * n_samples
    return Figure(what="move along the readout", unit="voxels", values=(float(np.ptp(whole)) * voxel, curve.rms_hz * voxel))
