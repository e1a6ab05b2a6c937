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

from isocenter.recon.correct.stiff import BLOCK, take_four

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
def _products(a: Parts, b: Parts, out: NDArray[np.complex64]) -> None:
    """Sums of conj(a[k]) b[k + j] over the length of ``a``, for each j of ``out``."""
    ar, ai = a
    br, bi = b
    n, j = len(ar), 0
    while j + 3 <= len(out):  # three at once: half of the reading
        b0r, b1r, b2r, b0i, b1i, b2i = br[j:], br[j + 1 :], br[j + 2 :], bi[j:], bi[j + 1 :], bi[j + 2 :]
        r0 = r1 = r2 = i0 = i1 = i2 = np.float32(0.0)
        for k in range(n):
            r0 += ar[k] * b0r[k] + ai[k] * b0i[k]
            i0 += ar[k] * b0i[k] - ai[k] * b0r[k]
            r1 += ar[k] * b1r[k] + ai[k] * b1i[k]
            i1 += ar[k] * b1i[k] - ai[k] * b1r[k]
            r2 += ar[k] * b2r[k] + ai[k] * b2i[k]
            i2 += ar[k] * b2i[k] - ai[k] * b2r[k]
        out[j], out[j + 1], out[j + 2] = complex(r0, i0), complex(r1, i1), complex(r2, i2)
        j += 3
    while j < len(out):
        r0, i0 = _dot(ar, ai, br[j : j + n], bi[j : j + n])
        out[j] = complex(r0, i0)
        j += 1


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_edges(er: Floats, ei: Floats, starts: NDArray[np.int64], weights: Floats, rows: Floats, change: Floats) -> None:
    """Add to ``change`` what the shift of both sensors by one sample does to the sums of a line, for all sensors and shifts.

    That is w conj(e_c[at + i]) e_d[at + j] with the steps w of the weights, four edges at once; only where the second is not
    behind the first: the rest are the same turned over. ``rows`` is room to work in.
    """
    n_shifts = len(change) // len(er)
    steps = np.empty(4, dtype=np.float32)
    for done in range(0, len(starts), 4):
        for q in range(4):
            edge = min(done + q, len(starts) - 1)
            before = weights[edge - 1] if edge > 0 else np.float32(0)
            after = weights[edge] if edge < len(weights) else np.float32(0)
            steps[q] = after - before if edge == done + q else np.float32(0)
            for c in range(len(er)):
                for j in range(n_shifts):
                    y = 2 * (c * n_shifts + j)
                    real, imag = er[c, starts[edge] + j], ei[c, starts[edge] + j]
                    rows[2 * q, y], rows[2 * q, y + 1], rows[2 * q + 1, y], rows[2 * q + 1, y + 1] = real, imag, imag, -real
        for i in range(len(change)):
            take_four(rows, steps, i, change[i])


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
    width = -(-2 * n_edge // BLOCK) * BLOCK
    rows = np.zeros((8, width), dtype=np.float32)
    change = np.zeros((n_bins, n_edge, width), dtype=np.float32)
    n_samples = sr.shape[2]
    weighed = np.empty(n_samples, dtype=np.float32), np.empty(n_samples, dtype=np.float32)
    lags = np.empty(n_shifts, dtype=np.complex64)
    for line in range(n_lines):
        at = bins[line]
        if at < 0:
            continue
        for c in range(n_sensors):
            _weigh(er[line, c], ei[line, c], starts, weights[line], weighed)
            for d in range(n_sensors):
                _products(weighed, (er[line, d], ei[line, d]), lags)
                gram[at, c * n_shifts, d * n_shifts : (d + 1) * n_shifts] += lags
        for m in range(n_coils):
            _weigh(sr[line, m], si[line, m], starts, weights[line], weighed)
            for c in range(n_sensors):
                _products(weighed, (er[line, c], ei[line, c]), lags)
                cross[at, c * n_shifts : (c + 1) * n_shifts, m] += np.conj(lags)
        _add_edges(er[line], ei[line], starts, weights[line], rows, change[at])
    _fill(gram, change, n_shifts)
    return gram, cross


@numba.njit(cache=True, nogil=True, fastmath=True)
def _weigh(real: Floats, imag: Floats, starts: NDArray[np.int64], weights: Floats, out: Parts) -> None:
    for q in range(len(weights)):
        w = weights[q]
        for k in range(starts[q], starts[q + 1]):
            out[0][k] = w * real[k]
            out[1][k] = w * imag[k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fill(gram: Sums, change: Floats, n_shifts: int) -> None:
    """All other products from those of the first shift and from what changes at the ends."""
    n_taps = gram.shape[1]
    n_sensors = n_taps // n_shifts
    for at in range(len(gram)):
        for c in range(n_sensors):
            for y in range(n_taps):  # what stands before the first row of a later sensor
                gram[at, y, c * n_shifts] = np.conj(gram[at, c * n_shifts, y])
        for c in range(n_sensors):
            for i in range(1, n_shifts):
                x = c * (n_shifts - 1) + i - 1
                for d in range(c + 1):
                    for j in range(1, i + 1 if c == d else n_shifts):
                        y = 2 * (d * (n_shifts - 1) + j - 1)
                        step = complex(change[at, x, y], change[at, x, y + 1])
                        after = gram[at, c * n_shifts + i - 1, d * n_shifts + j - 1] + step
                        gram[at, c * n_shifts + i, d * n_shifts + j] = after
                        gram[at, d * n_shifts + j, c * n_shifts + i] = np.conj(after)


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
    for line in range(len(er)):
        for m in range(pr.shape[1]):
            if bins[line] < 0:
                pr[line, m] = 0
                pi[line, m] = 0
            else:
                _predict_one(er[line], ei[line], fits[bins[line]], m, 0, pr[line, m], pi[line, m])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _predict_one(er: Floats, ei: Floats, fit: NDArray[np.complex64], m: int, start: int, real: Floats, imag: Floats) -> None:
    """What a line's sensors say that coil m hears from a sample on."""
    real[:] = 0
    imag[:] = 0
    n_shifts = len(fit) // len(er)
    for c in range(len(er)):
        own_r, own_i = er[c, start:], ei[c, start:]
        taps = fit[c * n_shifts : (c + 1) * n_shifts, m]
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
    sensors: Parts,
    residual: Parts,
    fits: NDArray[np.complex64],
    bins: NDArray[np.int64],
    starts: NDArray[np.int64],
    weights: Floats,
) -> NDArray[np.float64]:
    """Fall of the weighted power of each stretch of each line when what the fits predict is subtracted.

    As ``predict``, but only where ``weights`` are not zero, shape ``(n_lines, n_stretches)``, and kept nowhere.
    """
    er, ei = sensors
    sr, si = residual
    out = np.zeros(weights.shape, dtype=np.float64)
    room = np.empty(sr.shape[2], dtype=np.float32), np.empty(sr.shape[2], dtype=np.float32)
    for line in range(len(sr)):
        if bins[line] < 0:
            continue
        for q in range(len(starts) - 1):
            if weights[line, q] == 0:
                continue
            a, e = starts[q], starts[q + 1]
            pr, pi = room[0][: e - a], room[1][: e - a]
            total = np.float32(0.0)
            for m in range(sr.shape[1]):
                _predict_one(er[line], ei[line], fits[bins[line]], m, a, pr, pi)
                ar, ai = sr[line, m, a:e], si[line, m, a:e]
                for k in range(e - a):
                    total += pr[k] * (2 * ar[k] - pr[k]) + pi[k] * (2 * ai[k] - pi[k])
            out[line, q] = total * weights[line, q]
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def object_gain(
    residual: Parts, predicted: Parts, strong: NDArray[np.bool_], weak: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> Floats:
    """What subtracting ``predicted`` takes from the mean power of a line where the object is strong, and where it is weak.

    Then that power itself; shape ``(4, n_lines)``, zero in lines that are not chosen.
    """
    sr, si = residual
    pr, pi = predicted
    out = np.zeros((4, len(sr)), dtype=np.float32)
    share, own = np.empty(sr.shape[2], dtype=np.float32), np.empty(sr.shape[2], dtype=np.float32)
    parts = strong / max(strong.sum(), 1), weak / max(weak.sum(), 1)
    for line in range(len(sr)):
        if not chosen[line]:
            continue
        share[:] = 0
        own[:] = 0
        for m in range(sr.shape[1]):
            ar, ai, br, bi = sr[line, m], si[line, m], pr[line, m], pi[line, m]
            for k in range(len(share)):
                share[k] += br[k] * (2 * ar[k] - br[k]) + bi[k] * (2 * ai[k] - bi[k])
                own[k] += ar[k] * ar[k] + ai[k] * ai[k]
        for i in range(2):
            taken = power = 0.0
            for k in range(len(share)):
                taken += parts[i][k] * share[k]
                power += parts[i][k] * own[k]
            out[i, line], out[2 + i, line] = taken, power
    return out
