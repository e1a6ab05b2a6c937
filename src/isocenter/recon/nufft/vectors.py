# SPDX-License-Identifier: MIT
"""Compiled sums over images, each in one pass. Complex arrays come as flat float32: real and imaginary parts in turn.

Sums add up parts in single precision and those in double: fast, and exact to what single precision can hold.
"""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

_PART: Final = 1024

Complex = NDArray[np.complex64]


def flat(image: Complex) -> NDArray[np.float32]:
    """A contiguous complex array as numbers in a row, without a copy."""
    return image.reshape(-1).view(np.float32)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def product(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Real part of the inner product."""
    total = 0.0
    for begin in range(0, len(a), _PART):
        one, other = a[begin : begin + _PART], b[begin : begin + _PART]  # indices from 0 on are what vectors are made of
        part: Any = np.float32(0)
        for i in range(len(one)):
            part += one[i] * other[i]
        total += part
    return total


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def descend(image, rest, direction, applied, step, damping):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``image += step direction``, ``rest -= step (applied + damping direction)``, and the energy of the new rest."""
    for i in range(len(image)):
        image[i] += step * direction[i]
        rest[i] -= step * (applied[i] + damping * direction[i])
    return product(rest, rest)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def turn_to(direction, rest, factor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``direction = rest + factor direction``."""
    for i in range(len(direction)):
        direction[i] = rest[i] + factor * direction[i]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _turned(weights, turns, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """``weights exp(-2 pi i turns)``: Taylor series within an eighth of a turn, off by 2e-7 at most."""
    for i in range(len(weights)):
        quarters = np.rint(4 * turns[i])
        x = np.float32(2 * np.pi * (turns[i] - 0.25 * quarters))
        square = x * x
        sine = np.float32(-1 / 5040) * square + np.float32(1 / 120)
        sine = (sine * square - np.float32(1 / 6)) * square * x + x
        cosine = np.float32(1 / 40320) * square - np.float32(1 / 720)
        cosine = (cosine * square + np.float32(1 / 24)) * square - np.float32(0.5)
        cosine = cosine * square + np.float32(1)
        quarter = np.int32(quarters)
        real, imag = (sine, cosine) if quarter & 1 else (cosine, sine)
        found[2 * i] = weights[i] * (-real if (quarter + 1) & 2 else real)
        found[2 * i + 1] = weights[i] * (imag if quarter & 2 else -imag)


@numba.njit(cache=True, nogil=True)
def turned_weights(weights, points, shift_m, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Samples ``w_j exp(-2 pi i k_j . shift)``, whose adjoint is the one of the weights moved by a shift.

    Parameters
    ----------
    weights
        float32, shape ``(n,)``.
    points
        float64, shape ``(n, n_dim)`` [1/m].
    shift_m
        float64, shape ``(n_dim,)`` [m].
    found
        float32, shape ``(2 n,)``.
    """
    turns = np.empty(_PART)
    for begin in range(0, len(weights), _PART):
        some = weights[begin : begin + _PART]
        places = points[begin : begin + _PART]
        for i in range(len(some)):
            turns[i] = places[i, 0] * shift_m[0] + places[i, 1] * shift_m[1]
        if points.shape[1] == 3:
            for i in range(len(some)):
                turns[i] += places[i, 2] * shift_m[2]
        _turned(some, turns, found[2 * begin : 2 * (begin + len(some))])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add_product(coil, image, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(len(found) // 2):
        real, imag = coil[2 * i], coil[2 * i + 1]
        found[2 * i] += real * image[2 * i] + imag * image[2 * i + 1]
        found[2 * i + 1] += real * image[2 * i + 1] - imag * image[2 * i]


@numba.njit(cache=True, nogil=True)
def _combine(coils, channels, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    found[:] = 0
    for begin in range(0, len(found), 2 * _PART):
        end = begin + 2 * _PART
        for channel in range(len(coils)):
            _add_product(coils[channel, begin:end], channels[channel, begin:end], found[begin:end])


def combine(coils: Complex, channels: Complex) -> Complex:
    """``sum_c conj(coils[c]) channels[c]``, shape of one channel."""
    rows: Any = [np.ascontiguousarray(one, dtype=np.complex64).reshape(len(one), -1) for one in (coils, channels)]
    found = np.empty(channels.shape[1:], dtype=np.complex64)
    _combine(rows[0].view(np.float32), rows[1].view(np.float32), flat(found))
    return found
