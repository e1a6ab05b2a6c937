# SPDX-License-Identifier: MIT
"""What ``fft_kernels`` needs to know of one axis: sizes, butterflies and twiddle factors."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Axis = tuple[int, int, NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]
"""Voxels n; points m of each of the two transforms; butterflies in their order; twiddle factors as pairs of floats; where
those of each stage begin; ``exp(-i pi j / m)`` for each voxel, as pairs of floats."""

_RADICES: Final = (5, 3, 2, 4)


def smooth(n: int) -> int:
    """The smallest number without a prime factor above 5 that is not below n."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def radices(m: int) -> tuple[int, ...]:
    """Sizes of the butterflies of a transform of m points; fours come last, where they need no twiddle factors."""
    n_twos = (m & -m).bit_length() - 1
    counts = {4: n_twos // 2, 2: n_twos % 2, 3: 0, 5: 0}
    m >>= n_twos
    for prime in (3, 5):
        while m % prime == 0:
            m //= prime
            counts[prime] += 1
    return tuple(radix for radix in _RADICES for _ in range(counts[radix]))


@cache
def axis_plan(n: int) -> Axis:
    """All about an axis of n voxels."""
    m = smooth(n)
    factors, starts, size = [np.zeros(0)], [], m
    for radix in radices(m):
        step = size // radix
        starts.append(sum(map(len, factors)))
        angle = -2 * np.pi * np.outer(np.arange(step), np.arange(1, radix)).ravel() / size
        factors.append(np.stack([np.cos(angle), np.sin(angle)], axis=1).ravel())
        size = step
    half = -np.pi * np.arange(n) / m
    return (
        n,
        m,
        np.array(radices(m), dtype=np.int64),
        np.concatenate(factors).astype(np.float32),
        np.array(starts, dtype=np.int64),
        np.stack([np.cos(half), np.sin(half)], axis=1).ravel().astype(np.float32),
    )


def frequency_order(m: int) -> NDArray[np.int64]:
    """Which frequency of m lies where after ``fft_kernels.forward``."""
    order, size = np.zeros(1, dtype=np.int64), 1
    for radix in reversed(radices(m)):
        order = (np.arange(radix)[:, np.newaxis] + radix * order).ravel()
        size *= radix
    return order


def double_order(m: int) -> NDArray[np.int64]:
    """Which frequency of 2 m lies where: the even ones, then the odd ones."""
    order = 2 * frequency_order(m)
    return np.concatenate([order, order + 1])
