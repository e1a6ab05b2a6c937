# SPDX-License-Identifier: MIT
"""What the loops need to know of one axis: sizes, stages and factors."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LANES: Final = 16
SAMPLE: Final = 2 * LANES
"""Numbers of one sample of all lines."""
BLOCK: Final = LANES // 2
"""Samples of a line in one vector, for lines whose samples are neighbours in memory."""

_RADICES: Final = (8, 4, 2, 3, 5, 7)

Loops = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """The transform along one axis, with factors before and after it.

    Attributes
    ----------
    size
        Samples of the transform; those that are not taken are zero.
    n_given
        Values of each line of the result.
    loops
        As the loops want it. Sizes: samples of the transform; index of the first that is taken, how many, and where their
        factors are in the tables; how many values are given, and where theirs are. Radices of the stages. Where each value
        that is given lies when the stages are done, counted in numbers. Tables, as numbers: factors between the stages in
        the order in which they are used, those before, those after.
    """

    size: int
    n_given: int
    loops: Loops


def plan_of(
    size: int, before: NDArray[Any] | None = None, after: NDArray[Any] | None = None, *, skipped: int = 0, first: int = 0
) -> Plan | None:
    """A transform to use again and again; None for lengths that are not for our loops.

    Parameters
    ----------
    size
        Samples of the transform.
    before, after
        Factors of the samples that are taken, and of the values that are given; at most ``size`` each. None: ``size`` ones.
    skipped
        Samples at the start of each line that are not taken.
    first
        First value of the transform that is given.
    """
    radices = radices_of(size)
    if radices is None:
        return None
    before, after = (np.ones(size) if factors is None else factors for factors in (before, after))
    twiddles = _twiddles(size, radices)
    tables = np.concatenate([twiddles, before, after, np.zeros(BLOCK)]).astype(np.complex64).view(np.float32)
    places = 2 * len(twiddles), 2 * (len(twiddles) + len(before))
    sizes = np.array([size, skipped, len(before), places[0], len(after), places[1]], dtype=np.int64)
    order = np.append(_order(radices)[first : first + len(after)] * SAMPLE, np.zeros(BLOCK, dtype=np.int64))
    loops = sizes, np.array(radices, dtype=np.int64), order, tables
    for array in loops:
        array.flags.writeable = False
    return Plan(size=size, n_given=len(after), loops=loops)


def radices_of(size: int) -> tuple[int, ...] | None:
    """How a length is taken apart, an 8 last where there is one; None for lengths that are not for these loops."""
    if size < 1:
        return None
    found = []
    for radix in _RADICES:
        while size % radix == 0:
            found.append(radix)
            size //= radix
    return tuple(reversed(found)) if size == 1 else None


def _twiddles(size: int, radices: tuple[int, ...]) -> NDArray[np.complex128]:
    """Factors between the stages: of each part of what is left, one for each value of a butterfly but the first."""
    found = [np.zeros(0, dtype=np.complex128)]
    for radix in radices:
        turns = np.outer(np.arange(size // radix), np.arange(1, radix)) / size
        found.append(np.exp(-2j * np.pi * turns).ravel())
        size //= radix
    return np.concatenate(found)


def _order(radices: tuple[int, ...]) -> NDArray[np.int64]:
    """Where each frequency lies: the first stage leaves those that are 0, 1, ... modulo its radix in one piece each."""
    frequency = np.zeros(1, dtype=np.int64)
    for radix in reversed(radices):
        frequency = (np.arange(radix)[:, np.newaxis] + radix * frequency).ravel()
    return np.argsort(frequency)


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


def aligned(n_numbers: int) -> NDArray[np.float32]:
    """Zeros at the beginning of a line of the processor's cache, without which loads and stores take twice as long."""
    memory = np.zeros(n_numbers + LANES, dtype=np.float32)
    skip = -memory.ctypes.data % (4 * LANES) // 4
    return memory[skip : skip + n_numbers]
