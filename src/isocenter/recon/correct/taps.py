# SPDX-License-Identifier: MIT
"""Sums that a fit of sensor channels to a coil needs, and the filter that follows from it (numba).

A fit predicts the coil's sample k of a line from the sensors' samples k - taps ... k + taps. Its normal equations hold the
products of every pair of shifted sensors. Shifting both by one sample changes such a sum only at the two ends of a stretch:
one row of products is summed and the others follow from it: with 15 shifts about a tenth of the work, and no matrix of
shifted copies.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Sums = NDArray[np.complex128]
Parts = tuple[Floats, Floats]


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _dot(ar: Floats, ai: Floats, br: Floats, bi: Floats) -> tuple[np.float32, np.float32]:
    """Sum of conj(a) b."""
    real = np.float32(0.0)
    imag = np.float32(0.0)
    for k in range(len(ar)):
        real += ar[k] * br[k] + ai[k] * bi[k]
        imag += ar[k] * bi[k] - ai[k] * br[k]
    return real, imag


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_edges(
    er: Floats, ei: Floats, at: int, weight: np.float32, row: tuple[Floats, Floats], sums: tuple[Floats, Floats]
) -> None:
    """Add conj(e_c[at + i]) e_d[at + j] for all sensors c, d and shifts i, j below the last; ``row`` is room to work in."""
    vr, vi = row
    dr, di = sums
    n_shifts = len(vr) // len(er)
    for c in range(len(er)):
        vr[c * n_shifts : (c + 1) * n_shifts] = er[c, at : at + n_shifts]
        vi[c * n_shifts : (c + 1) * n_shifts] = ei[c, at : at + n_shifts]
    for i in range(len(vr)):
        ar, ai = weight * vr[i], weight * vi[i]
        real, imag = dr[i], di[i]
        for j in range(len(vr)):
            real[j] += ar * vr[j] + ai * vi[j]
            imag[j] += ar * vi[j] - ai * vr[j]


@numba.njit(cache=True, nogil=True, fastmath=True)
def sum_products(
    sensors: tuple[Floats, Floats],
    coils: tuple[Floats, Floats],
    starts: NDArray[np.int64],
    weights: Floats,
    bins: NDArray[np.int64],
    n_bins: int,
) -> tuple[Sums, Sums]:
    """Normal equations of each bin of lines.

    Parameters
    ----------
    sensors
        Real and imaginary parts, float32, shape ``(n_lines, n_sensors, n_samples + 2 taps)``: zeros at both ends.
    coils
        Real and imaginary parts, float32, shape ``(n_lines, n_coils, n_samples)``.
    starts
        First sample of each stretch of a line, and the end of the last, shape ``(n_stretches + 1,)``.
    weights
        Of each stretch of each line, shape ``(n_lines, n_stretches)``.
    bins
        Into which bin a line goes, shape ``(n_lines,)``; below zero: nowhere.
    n_bins
        How many there are.

    Returns
    -------
        Products of sensors, shape ``(n_bins, n_taps, n_taps)``, of sensors with coils, ``(n_bins, n_taps, n_coils)``;
        tap ``c * n_shifts + i`` is sensor c at sample ``k + i - taps``.
    """
    er, ei = sensors
    sr, si = coils
    n_lines, n_sensors = er.shape[0], er.shape[1]
    n_coils, n_shifts = sr.shape[1], er.shape[2] - sr.shape[2] + 1
    n_taps = n_sensors * n_shifts
    gram = np.zeros((n_bins, n_taps, n_taps), dtype=np.complex128)
    cross = np.zeros((n_bins, n_taps, n_coils), dtype=np.complex128)
    n_edge = n_sensors * (n_shifts - 1)
    row = np.empty(n_edge, dtype=np.float32), np.empty(n_edge, dtype=np.float32)
    dr = np.zeros((n_bins, n_edge, n_edge), dtype=np.float32)
    di = np.zeros((n_bins, n_edge, n_edge), dtype=np.float32)
    for line in range(n_lines):
        at = bins[line]
        if at < 0:
            continue
        for q in range(len(starts) - 1):
            a, e, w = starts[q], starts[q + 1], weights[line, q]
            for c in range(n_sensors):
                for d in range(n_sensors):
                    for j in range(n_shifts):
                        r, i = _dot(
                            er[line, c, a:e], ei[line, c, a:e], er[line, d, a + j : e + j], ei[line, d, a + j : e + j]
                        )
                        gram[at, c * n_shifts, d * n_shifts + j] += w * complex(r, i)
                for m in range(n_coils):
                    for j in range(n_shifts):
                        r, i = _dot(
                            er[line, c, a + j : e + j], ei[line, c, a + j : e + j], sr[line, m, a:e], si[line, m, a:e]
                        )
                        cross[at, c * n_shifts + j, m] += w * complex(r, i)
            before = weights[line, q - 1] if q > 0 else np.float32(0.0)
            if w != before:  # neighbours of equal weight have nothing between them
                _add_edges(er[line], ei[line], a, before - w, row, (dr[at], di[at]))
        _add_edges(er[line], ei[line], starts[-1], weights[line, -1], row, (dr[at], di[at]))
    _fill(gram, dr, di, n_shifts)
    return gram, cross


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fill(gram: Sums, dr: Floats, di: Floats, n_shifts: int) -> None:
    """All other products from those of the first shift and from what changes at the ends."""
    n_sensors = gram.shape[1] // n_shifts
    for at in range(len(gram)):
        for c in range(n_sensors):
            for d in range(n_sensors):
                for i in range(1, n_shifts):
                    row, column = c * n_shifts + i, d * n_shifts
                    gram[at, row, column] = np.conj(
                        gram[at, column, row - i] if i == 0 else gram[at, column, c * n_shifts + i]
                    )
        for c in range(n_sensors):
            for i in range(1, n_shifts):
                for d in range(n_sensors):
                    for j in range(1, n_shifts):
                        x, y = c * (n_shifts - 1) + i - 1, d * (n_shifts - 1) + j - 1
                        change = complex(dr[at, x, y], di[at, x, y])
                        gram[at, c * n_shifts + i, d * n_shifts + j] = (
                            gram[at, c * n_shifts + i - 1, d * n_shifts + j - 1] + change
                        )


@numba.njit(cache=True, nogil=True, fastmath=True)
def predict(
    sensors: tuple[Floats, Floats], fits: NDArray[np.complex64], bins: NDArray[np.int64], out: tuple[Floats, Floats]
) -> None:
    """What the sensors say that the coil hears, line by line.

    Parameters
    ----------
    sensors
        As above.
    fits
        complex64, shape ``(n_bins, n_taps, n_coils)``.
    bins
        Which fit a line has; below zero: none, and the line of ``out`` becomes zero.
    out
        Real and imaginary parts, float32, shape ``(n_lines, n_coils, n_samples)``.
    """
    er, ei = sensors
    pr, pi = out
    n_samples = pr.shape[2]
    n_shifts = er.shape[2] - n_samples + 1
    for line in range(len(er)):
        for m in range(pr.shape[1]):
            real, imag = pr[line, m], pi[line, m]
            real[:] = 0
            imag[:] = 0
            if bins[line] < 0:
                continue
            for c in range(er.shape[1]):
                own_r, own_i = er[line, c], ei[line, c]
                taps = fits[bins[line], c * n_shifts : (c + 1) * n_shifts, m]
                j = 0
                while j + 3 <= n_shifts:  # three at once: a third of the reading and writing
                    _add_three(own_r[j:], own_i[j:], taps[j], taps[j + 1], taps[j + 2], real, imag)
                    j += 3
                while j < n_shifts:
                    _add_three(own_r[j:], own_i[j:], taps[j], np.complex64(0), np.complex64(0), real, imag)
                    j += 1


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _add_three(
    ar: Floats, ai: Floats, first: np.complex64, second: np.complex64, third: np.complex64, real: Floats, imag: Floats
) -> None:
    """Add a sensor, shifted by 0, 1 and 2 samples, times three taps; where those samples end, the first only."""
    pr, pi, qr, qi, sr, si = first.real, first.imag, second.real, second.imag, third.real, third.imag
    n = len(real)
    if len(ar) < n + 2:
        for k in range(n):
            real[k] += pr * ar[k] - pi * ai[k]
            imag[k] += pr * ai[k] + pi * ar[k]
        return
    for k in range(n):
        real[k] += pr * ar[k] - pi * ai[k] + qr * ar[k + 1] - qi * ai[k + 1] + sr * ar[k + 2] - si * ai[k + 2]
        imag[k] += pr * ai[k] + pi * ar[k] + qr * ai[k + 1] + qi * ar[k + 1] + sr * ai[k + 2] + si * ar[k + 2]


@numba.njit(cache=True, nogil=True, fastmath=True)
def stretch_power(parts: tuple[Floats, Floats], starts: NDArray[np.int64]) -> Floats:
    """Mean power of each stretch over all coils, shape ``(n_lines, n_stretches)``."""
    real, imag = parts
    power = np.zeros((len(real), len(starts) - 1), dtype=np.float32)
    for line in range(len(real)):
        for q in range(len(starts) - 1):
            for m in range(real.shape[1]):
                ar, ai = real[line, m, starts[q] : starts[q + 1]], imag[line, m, starts[q] : starts[q + 1]]
                power[line, q] += _dot(ar, ai, ar, ai)[0] / (starts[q + 1] - starts[q])
    return power


@numba.njit(cache=True, nogil=True, fastmath=True)
def stretch_gain(
    residual: tuple[Floats, Floats], predicted: tuple[Floats, Floats], starts: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Fall of the power of each stretch when ``predicted`` is subtracted from ``residual``, summed into ``out``."""
    sr, si = residual
    pr, pi = predicted
    for line in range(len(sr)):
        for q in range(len(starts) - 1):
            a, e = starts[q], starts[q + 1]
            total = np.float32(0.0)
            for m in range(sr.shape[1]):
                for k in range(a, e):
                    total += pr[line, m, k] * (2 * sr[line, m, k] - pr[line, m, k])
                    total += pi[line, m, k] * (2 * si[line, m, k] - pi[line, m, k])
            out[line, q] = total


@numba.njit(cache=True, nogil=True, fastmath=True)
def object_gain(residual: Parts, predicted: Parts, share: Floats, own: Floats) -> None:
    """Add to ``share`` what subtracting ``predicted`` takes from the power of each sample, to ``own`` that power."""
    sr, si = residual
    pr, pi = predicted
    for line in range(len(sr)):
        for m in range(sr.shape[1]):
            for k in range(sr.shape[2]):
                a, b, c, d = sr[line, m, k], si[line, m, k], pr[line, m, k], pi[line, m, k]
                share[line, k] += c * (2 * a - c) + d * (2 * b - d)
                own[line, k] += a * a + b * b


@numba.njit(cache=True, nogil=True, fastmath=True)
def solve_stiff(  # noqa: C901  a decomposition and two substitutions
    gram: Sums, cross: Sums, ridges: NDArray[np.float64]
) -> Sums:
    """Solve normal equations in single precision, each with the given stiffness.

    Parameters
    ----------
    gram, cross
        Of shape ``(n, n_taps, n_taps)`` and ``(n, n_taps, n_coils)``.
    ridges
        Shape ``(n, n_trials)``: what is added to the diagonal, over its mean.

    Returns
    -------
        Shape ``(n_trials, n, n_taps, n_coils)``.
    """
    n, n_taps, n_coils = cross.shape
    out = np.empty((ridges.shape[1], n, n_taps, n_coils), dtype=np.complex128)
    lr = np.zeros((n_taps, n_taps), dtype=np.float32)
    li = np.zeros((n_taps, n_taps), dtype=np.float32)
    for at in range(n):
        level = 0.0
        for i in range(n_taps):
            level += gram[at, i, i].real / n_taps
        level = max(level, 1e-12)
        for trial in range(ridges.shape[1]):
            for i in range(n_taps):
                for j in range(i + 1):
                    r, m = _dot(lr[j, :j], li[j, :j], lr[i, :j], li[i, :j])
                    value = gram[at, i, j]
                    if i == j:
                        square = value.real / level + ridges[at, trial] - r
                        lr[i, i] = np.sqrt(max(square, 1e-7))
                    else:
                        lr[i, j] = (value.real / level - r) / lr[j, j]
                        li[i, j] = (value.imag / level - m) / lr[j, j]
            for m in range(n_coils):
                x = out[trial, at, :, m]
                for i in range(n_taps):
                    total = cross[at, i, m] / level
                    for k in range(i):
                        total -= complex(lr[i, k], li[i, k]) * x[k]
                    x[i] = total / lr[i, i]
                for i in range(n_taps - 1, -1, -1):
                    x[i] /= lr[i, i]
                    for k in range(i):
                        x[k] -= complex(lr[i, k], -li[i, k]) * x[i]
    return out
