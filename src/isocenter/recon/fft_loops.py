# SPDX-License-Identifier: MIT
"""Fourier transforms of many lines in single precision, compiled for this processor.

The factors before and after the transform cost next to nothing, since each sample passes by anyway. For lengths whose prime
factors are 2, 3, 5 and 7. Importing this module compiles it, or loads what was compiled before.

Source
------
Stockham's transform, which sorts itself: Cochran et al., Proc. IEEE 55:1664 (1967), in the form of decimation in frequency.
"""

from typing import Final

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from isocenter.recon.lanes import (
    BLOCK,
    LANES,
    SAMPLE,
    butterfly_2,
    butterfly_3,
    butterfly_4,
    butterfly_5,
    butterfly_7,
    butterfly_8,
    load_across,
    load_along,
    store_across,
    store_along,
)

_RADICES: Final = (8, 5, 7, 3, 4, 2)
_ABREAST: Final = 2  # times 16 lines side by side: longer pieces of memory at once, and still in the first caches
_LONGEST: Final = 4096  # beyond, they no longer fit the second cache

_NUMBERS: Final = types.Array(types.float32, 1, "C")
_READ: Final = types.Array(types.float32, 1, "C", readonly=True)
_WHOLE: Final = types.Array(types.int64, 1, "C", readonly=True)
_ACROSS: Final = types.void(_READ, _NUMBERS, _WHOLE, _WHOLE, _WHOLE, _READ, _NUMBERS)
_ALONG: Final = types.void(_READ, _NUMBERS, _WHOLE, _WHOLE, _WHOLE, _WHOLE, _READ, _NUMBERS)


def radices_of(size: int) -> tuple[int, ...] | None:
    """How a length is taken apart; None for those that are not for these loops."""
    if not 1 <= size <= _LONGEST:
        return None
    found = []
    for radix in _RADICES:
        while size % radix == 0:
            found.append(radix)
            size //= radix
    return tuple(found) if size == 1 else None


def twiddles_of(size: int) -> NDArray[np.complex64]:
    """Factors between the stages, in the order in which they are used."""
    found: list[NDArray[np.complex128]] = []
    left = size
    for radix in radices_of(size) or ():
        turns = np.outer(np.arange(left // radix), np.arange(1, radix)) / left
        found.append(np.exp(-2j * np.pi * turns).ravel())
        left //= radix
    return np.concatenate([*found, np.zeros(0)]).astype(np.complex64)


@numba.njit(types.int64(_NUMBERS, types.int64, _WHOLE, _READ), cache=True, nogil=True)
def _stages(work, size, radices, tables):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Transform what lies at the start of *work*, twice as large as 16 lines are; returns where it lies then."""
    given, taken, done, twiddle, left = size * SAMPLE, 0, 1, 0, size
    for radix in radices:
        left //= radix
        step, stride = left * done * SAMPLE, done * SAMPLE
        for part in range(left):
            for same in range(done):
                into, source = given + (same + done * radix * part) * SAMPLE, taken + (same + done * part) * SAMPLE
                if radix == 8:
                    butterfly_8(work, source, step, into, stride, tables, twiddle)
                elif radix == 4:
                    butterfly_4(work, source, step, into, stride, tables, twiddle)
                elif radix == 2:
                    butterfly_2(work, source, step, into, stride, tables, twiddle)
                elif radix == 3:
                    butterfly_3(work, source, step, into, stride, tables, twiddle)
                elif radix == 5:
                    butterfly_5(work, source, step, into, stride, tables, twiddle)
                else:
                    butterfly_7(work, source, step, into, stride, tables, twiddle)
            twiddle += 2 * (radix - 1)
        done *= radix
        given, taken = taken, given
    return taken


@numba.njit(_ACROSS, cache=True, nogil=True)
def across(source, target, walk, sizes, radices, tables, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform lines whose samples are apart in memory, neighbours side by side.

    Parameters
    ----------
    source, target
        float32, real and imaginary parts in turn; may be one and the same.
    walk
        Of source, then of target: index of the first number, from one group of neighbours to the next, from sample to
        sample; how many groups; how many neighbours in each.
    sizes
        Samples of the transform; index of the first that is taken, how many, and where their factors are in the tables; the
        same for those that are given.
    radices, tables
        From ``radices_of``; ``twiddles_of`` as numbers, then the factors, then BLOCK more that do not matter.
    work
        ``work_numbers(size)`` numbers.
    """
    source_at, source_group, source_step, target_at, target_group, target_step, n_groups, n_lines = walk
    size, skipped, n_taken, factor, first, n_given, factor_after = sizes
    room, spare = 2 * size * SAMPLE, 2 * size * SAMPLE * _ABREAST
    for group in range(n_groups):
        for start in range(0, n_lines, LANES * _ABREAST):
            stop = min(start + LANES * _ABREAST, n_lines)
            at = source_at + group * source_group + skipped * source_step
            for sample in range(n_taken):
                place = sample * SAMPLE
                for line in range(start, stop, LANES):
                    n_here, begin = 2 * min(LANES, stop - line), at + 2 * line
                    if n_here == SAMPLE:
                        load_across(source, begin, tables, factor + 2 * sample, work, place)
                    else:
                        work[spare : spare + n_here] = source[begin : begin + n_here]
                        load_across(work, spare, tables, factor + 2 * sample, work, place)
                    place += room
                at += source_step
            done = 0
            for line in range(0, stop - start, LANES):
                part = work[line // LANES * room : (line // LANES + 1) * room]
                part[n_taken * SAMPLE : size * SAMPLE] = 0
                done = _stages(part, size, radices, tables) + first * SAMPLE
            at = target_at + group * target_group
            for sample in range(n_given):
                place = done + sample * SAMPLE
                for line in range(start, stop, LANES):
                    n_here, begin = 2 * min(LANES, stop - line), at + 2 * line
                    if n_here == SAMPLE:
                        store_across(target, begin, tables, factor_after + 2 * sample, work, place)
                    else:
                        store_across(work, spare, tables, factor_after + 2 * sample, work, place)
                        target[begin : begin + n_here] = work[spare : spare + n_here]
                    place += room
                at += target_step


@numba.njit(_ALONG, cache=True, nogil=True)
def along(source, target, walk, starts, sizes, radices, tables, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform lines whose samples are neighbours in memory.

    Parameters
    ----------
    walk
        Of the target: index of the first number, from line to line.
    starts
        Of the source: index of the first number of each line that is wanted, in the order of the target.
    source, target, sizes, radices, tables, work
        As for ``across``.
    """
    target_at, target_step = walk
    size, skipped, n_taken, factor, first, n_given, factor_after = sizes
    spare, n_lines = 2 * size * SAMPLE * _ABREAST, len(starts)
    spare_starts = spare + LANES * np.arange(LANES)
    for start in range(0, n_lines, LANES):
        n_here = min(LANES, n_lines - start)
        for sample in range(0, n_taken, BLOCK):
            n_numbers = 2 * min(BLOCK, n_taken - sample)
            at, place = 2 * (skipped + sample), sample * SAMPLE
            if n_here == LANES and n_numbers == LANES:
                load_along(source, at, starts, start, tables, factor + 2 * sample, work, place)
            else:
                for line in range(n_here):
                    begin, row = at + starts[start + line], spare + line * LANES
                    work[row : row + n_numbers] = source[begin : begin + n_numbers]
                load_along(work, 0, spare_starts, 0, tables, factor + 2 * sample, work, place)
        work[n_taken * SAMPLE : size * SAMPLE] = 0
        done = _stages(work, size, radices, tables) + first * SAMPLE
        at = target_at + start * target_step
        for sample in range(0, n_given, BLOCK):
            n_numbers = 2 * min(BLOCK, n_given - sample)
            place = done + sample * SAMPLE
            if n_here == LANES and n_numbers == LANES:
                store_along(target, at + 2 * sample, target_step, tables, factor_after + 2 * sample, work, place)
            else:
                store_along(work, spare, LANES, tables, factor_after + 2 * sample, work, place)
                for line in range(n_here):
                    begin, row = at + line * target_step + 2 * sample, spare + line * LANES
                    target[begin : begin + n_numbers] = work[row : row + n_numbers]


def work_numbers(size: int) -> int:
    """Length of the work array for transforms of a size: two times 16 lines, and room for what fills no vector."""
    return (2 * size * _ABREAST + BLOCK) * SAMPLE
