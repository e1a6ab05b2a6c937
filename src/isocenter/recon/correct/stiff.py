# SPDX-License-Identifier: MIT
"""Solutions of the normal equations of sensor channels, and what they explain (numba; single precision, sums in double)."""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Sums = NDArray[np.complex128]

BLOCK = 32
"""Rows are cut to whole blocks: what compilers make of a short loop is fast for multiples of this only."""


@numba.njit(cache=True, nogil=True, fastmath=True)
def take_four(rows: Floats, weights: Floats, i: int, out: Floats) -> None:
    """Subtract from row i of a Hermitian matrix four others, each times a weight and the conjugate of its number i.

    Only what is not behind the diagonal, in whole blocks. Numbers are real and imaginary part in turn. Each of the four is
    given as it is and over i: times a complex number that is two rows times real ones, a single loop that writes one row.
    """
    at, w0, w1, w2, w3 = 2 * i, weights[0], weights[1], weights[2], weights[3]
    p0, p1, p2, p3 = w0 * rows[0, at], w1 * rows[2, at], w2 * rows[4, at], w3 * rows[6, at]
    q0, q1, q2, q3 = w0 * rows[1, at], w1 * rows[3, at], w2 * rows[5, at], w3 * rows[7, at]
    for t in range((at // BLOCK + 1) * BLOCK):
        first = p0 * rows[0, t] + q0 * rows[1, t] + p1 * rows[2, t] + q1 * rows[3, t]
        out[t] -= first + p2 * rows[4, t] + q2 * rows[5, t] + p3 * rows[6, t] + q3 * rows[7, t]


@numba.njit(cache=True, nogil=True, fastmath=True)
def solve_stiff(gram: Sums, cross: Sums, ridges: NDArray[np.float64]) -> Sums:
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
    width = -(-2 * n_taps // BLOCK) * BLOCK
    factor = np.zeros((2 * n_taps + 8, width), dtype=np.float32)
    scaled = np.zeros((n_taps, width), dtype=np.float32)
    x = np.empty(2 * n_taps, dtype=np.float32)
    for at in range(n):
        level = 0.0
        for i in range(n_taps):
            level += gram[at, i, i].real / n_taps
        over = np.float32(1 / max(level, 1e-12))
        for i in range(n_taps):
            row, values = scaled[i], gram[at, i]
            for k in range(i + 1):
                row[2 * k] = np.float32(values[k].real) * over
                row[2 * k + 1] = np.float32(values[k].imag) * over
        for trial in range(ridges.shape[1]):
            _decompose(scaled, np.float32(ridges[at, trial]), factor)
            for m in range(n_coils):
                for i in range(n_taps):
                    x[2 * i] = np.float32(cross[at, i, m].real) * over
                    x[2 * i + 1] = -np.float32(cross[at, i, m].imag) * over
                _substitute(factor, x)
                for i in range(n_taps):
                    out[trial, at, i, m] = complex(x[2 * i], -x[2 * i + 1])
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _decompose(matrix: Floats, ridge: np.float32, factor: Floats) -> None:
    """Cholesky factor L of a matrix with something on its diagonal, L^H L, from the last row to the first.

    In ``factor`` each row follows as it is and over i, then eight rows of zeros, so that four can always be taken at once.
    """
    even = np.ones(4, dtype=np.float32)
    for i in range(len(matrix) - 1, -1, -1):
        at = 2 * i
        row, turned = factor[at], factor[at + 1]
        row[:] = matrix[i]
        row[at] += ridge
        for k in range(i + 1, len(matrix), 4):
            take_four(factor[2 * k : 2 * k + 8], even, i, row)
        row[at + 1 :] = 0
        over = 1 / np.sqrt(max(row[at], np.float32(1e-7)))
        row *= over
        row[at] = 1 / over
        for t in range(i + 1):
            turned[2 * t] = row[2 * t + 1]
            turned[2 * t + 1] = -row[2 * t]
        turned[at + 2 :] = 0


@numba.njit(cache=True, nogil=True, fastmath=True)
def _substitute(factor: Floats, x: Floats) -> None:
    """Solve with the factor's transpose and the factor, in place; ``x`` holds conjugates, real and imaginary in turn."""
    n = len(x) // 2
    for i in range(n - 1, -1, -1):
        a, b = factor[2 * i], factor[2 * i + 1]
        p, q = x[2 * i] / a[2 * i], x[2 * i + 1] / a[2 * i]
        x[2 * i], x[2 * i + 1] = p, q
        for t in range(2 * i):
            x[t] -= p * a[t] - q * b[t]
    for i in range(n):
        a, b = factor[2 * i], factor[2 * i + 1]
        p = q = np.float32(0.0)
        for t in range(2 * i):
            p += a[t] * x[t]
            q += b[t] * x[t]
        x[2 * i] = (x[2 * i] - p) / a[2 * i]
        x[2 * i + 1] = (x[2 * i + 1] + q) / a[2 * i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def gains_of(gram: Sums, cross: Sums, trials: Sums, judge: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each trial of a bin explains in the bin's judge, shape ``(n_trials, n_bins)``; trials as of ``solve_stiff``."""
    out = np.empty(trials.shape[:2], dtype=np.float64)
    for trial in range(len(trials)):
        for at in range(len(judge)):
            out[trial, at] = explained(gram[judge[at]], cross[judge[at]], trials[trial, at])
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def explained(gram: Sums, cross: Sums, fit: Sums) -> float:
    """What the lines behind normal equations lose by a fit, whether it is theirs or not."""
    total = 0.0
    for m in range(fit.shape[1]):
        for i in range(len(fit)):
            ahead = 0j
            for k in range(len(fit)):
                ahead += gram[i, k] * fit[k, m]
            total += (np.conj(fit[i, m]) * (2 * cross[i, m] - ahead)).real
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def take_from(cross: Sums, gram: Sums, fits: Sums, per: int) -> None:
    """Subtract a fit from what is left in the sums: each serves ``per`` bins that follow each other; zeros are skipped."""
    for at in range(len(cross)):
        fit = fits[at // per]
        if not np.any(fit != 0):
            continue
        for m in range(fit.shape[1]):
            for i in range(len(fit)):
                total = 0j
                for k in range(len(fit)):
                    total += gram[at, i, k] * fit[k, m]
                cross[at, i, m] -= total
