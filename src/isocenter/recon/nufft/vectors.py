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
