# SPDX-License-Identifier: MIT
"""Lines of an image whose voxels are not where a Fourier transform expects them (numba).

Each line is a problem of its own: sample m is ``sum over x of rho(x) exp(i theta(x) m)`` with m counted from the middle, and
``theta = 2 pi / n (x - n // 2 + shift)``. Samples m and -m share their factors. Everything of one line stays in the cache.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=True)
def forward(rr: Floats, ri: Floats, wr: Floats, wi: Floats, sr: Floats, si: Floats) -> None:
    """Samples of one line: ``sr, si``, shape ``(n,)``, the middle at ``n // 2``; ``wr, wi`` are cos and sin of theta."""
    n, n_x = len(sr), len(rr)
    half = n // 2
    zr = np.ones(n_x, dtype=np.float32)
    zi = np.zeros(n_x, dtype=np.float32)
    for m in range(half + 1):
        a = np.float32(0.0)
        b = np.float32(0.0)
        c = np.float32(0.0)
        d = np.float32(0.0)
        for x in range(n_x):
            a += rr[x] * zr[x]
            b += ri[x] * zi[x]
            c += rr[x] * zi[x]
            d += ri[x] * zr[x]
            t = zr[x] * wr[x] - zi[x] * wi[x]
            zi[x] = zr[x] * wi[x] + zi[x] * wr[x]
            zr[x] = t
        if half + m < n:
            sr[half + m] = a - b
            si[half + m] = c + d
        sr[half - m] = a + b
        si[half - m] = d - c


@numba.njit(cache=True, nogil=True, fastmath=True)
def adjoint(sr: Floats, si: Floats, wr: Floats, wi: Floats, rr: Floats, ri: Floats) -> None:
    """The adjoint of ``forward``: ``sum over m of s(m) exp(-i theta(x) m)``."""
    n, n_x = len(sr), len(rr)
    half = n // 2
    zr = np.ones(n_x, dtype=np.float32)
    zi = np.zeros(n_x, dtype=np.float32)
    rr[:] = 0
    ri[:] = 0
    for m in range(half + 1):
        pr, pi = (sr[half + m], si[half + m]) if half + m < n else (np.float32(0.0), np.float32(0.0))
        qr, qi = (sr[half - m], si[half - m]) if m > 0 else (np.float32(0.0), np.float32(0.0))
        er, ei, fr, fi = pr + qr, pi - qi, pr - qr, pi + qi
        for x in range(n_x):
            rr[x] += er * zr[x] + ei * zi[x]
            ri[x] += fi * zr[x] - fr * zi[x]
            t = zr[x] * wr[x] - zi[x] * wi[x]
            zi[x] = zr[x] * wi[x] + zi[x] * wr[x]
            zr[x] = t


@numba.njit(cache=True, nogil=True, fastmath=True)
def _dot(ar: Floats, ai: Floats, br: Floats, bi: Floats) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(ar)):
        total += ar[k] * br[k] + ai[k] * bi[k]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def solve_lines(  # noqa: C901, PLR0912, PLR0915  one line after the other, all of it in the cache
    samples: NDArray[np.complex64],
    theta: Floats,
    stretch: Floats,
    measured: Floats,
    n_steps: int,
    damping: float,
    out: NDArray[np.complex64],
) -> None:
    """Lines that explain the samples, by conjugate gradients; none of its steps: the adjoint times the stretch.

    Parameters
    ----------
    samples
        complex64, shape ``(n_lines, n)``.
    theta
        Radians per sample of each voxel, shape ``(n_lines, n_x)``.
    stretch
        How much longer a voxel has become in the image, shape ``(n_lines, n_x)``; steers the search.
    measured
        1 for samples that were measured, 0 for others, shape ``(n,)``.
    n_steps, damping
        Steps; what is added to the diagonal, over its value for an image without distortion.
    out
        complex64, shape ``(n_lines, n_x)``.
    """
    n_lines, n = samples.shape
    n_x = theta.shape[1]
    wr = np.empty(n_x, dtype=np.float32)
    wi = np.empty(n_x, dtype=np.float32)
    sr, si = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    xr, xi = np.empty(n_x, dtype=np.float32), np.empty(n_x, dtype=np.float32)
    gr, gi = np.empty(n_x, dtype=np.float32), np.empty(n_x, dtype=np.float32)
    pr, pi = np.empty(n_x, dtype=np.float32), np.empty(n_x, dtype=np.float32)
    qr, qi = np.empty(n_x, dtype=np.float32), np.empty(n_x, dtype=np.float32)
    scale = np.float32(1.0 / measured.sum())
    extra = np.float32(damping / scale)
    for line in range(n_lines):
        for x in range(n_x):
            wr[x] = np.cos(theta[line, x])
            wi[x] = np.sin(theta[line, x])
        for k in range(n):
            sr[k] = samples[line, k].real * measured[k]
            si[k] = samples[line, k].imag * measured[k]
        adjoint(sr, si, wr, wi, gr, gi)
        if n_steps == 0:
            for x in range(n_x):
                out[line, x] = complex(gr[x], gi[x]) * (scale * stretch[line, x])
            continue
        xr[:] = 0
        xi[:] = 0
        for x in range(n_x):
            pr[x] = gr[x] * stretch[line, x] * scale
            pi[x] = gi[x] * stretch[line, x] * scale
        rho = _dot(gr, gi, pr, pi)
        for _ in range(n_steps):
            if not rho > 0:
                break
            forward(pr, pi, wr, wi, sr, si)
            for k in range(n):
                sr[k] *= measured[k]
                si[k] *= measured[k]
            adjoint(sr, si, wr, wi, qr, qi)
            for x in range(n_x):
                qr[x] += extra * pr[x]
                qi[x] += extra * pi[x]
            alpha = rho / _dot(pr, pi, qr, qi)
            for x in range(n_x):
                xr[x] += alpha * pr[x]
                xi[x] += alpha * pi[x]
                gr[x] -= alpha * qr[x]
                gi[x] -= alpha * qi[x]
            new = np.float32(0.0)
            for x in range(n_x):
                new += (gr[x] * gr[x] + gi[x] * gi[x]) * stretch[line, x] * scale
            beta = new / rho
            for x in range(n_x):
                pr[x] = gr[x] * stretch[line, x] * scale + beta * pr[x]
                pi[x] = gi[x] * stretch[line, x] * scale + beta * pi[x]
            rho = new
        for x in range(n_x):
            out[line, x] = complex(xr[x], xi[x])


@numba.njit(cache=True, nogil=True, fastmath=True)
def misfit(samples: NDArray[np.complex64], theta: Floats, measured: Floats, lines: NDArray[np.complex64]) -> float:
    """Sum of squares of what the lines do not explain."""
    n_lines, n = samples.shape
    n_x = theta.shape[1]
    sr, si = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    total = 0.0
    wr = np.empty(n_x, dtype=np.float32)
    wi = np.empty(n_x, dtype=np.float32)
    rr = np.empty(n_x, dtype=np.float32)
    ri = np.empty(n_x, dtype=np.float32)
    for line in range(n_lines):
        for x in range(n_x):
            wr[x] = np.cos(theta[line, x])
            wi[x] = np.sin(theta[line, x])
            rr[x] = lines[line, x].real
            ri[x] = lines[line, x].imag
        forward(rr, ri, wr, wi, sr, si)
        for k in range(n):
            if measured[k] > 0:
                total += (samples[line, k].real - sr[k]) ** 2 + (samples[line, k].imag - si[k]) ** 2
    return total
