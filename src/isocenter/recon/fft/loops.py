# SPDX-License-Identifier: MIT
"""Compiled transforms of many lines, sixteen at a time. Importing this module compiles it, or loads what was.

Factors before and after a transform cost next to nothing, since each sample passes by anyway. ``plan`` is ``Plan.loops``.
"""

from typing import Final

import numpy as np
from numba import types

from isocenter.recon.fft.butterflies import (
    butterfly_2,
    butterfly_3,
    butterfly_4,
    butterfly_5,
    butterfly_7,
    butterfly_8,
    last_8,
)
from isocenter.recon.fft.lanes import FIXED_NUMBERS, NUMBERS, WHOLE, loop
from isocenter.recon.fft.moves import load_across, load_along, store_across, store_along
from isocenter.recon.fft.plan import BLOCK, LANES, SAMPLE

_ABREAST: Final = 2  # times 16 lines side by side: longer pieces of memory at once, and still in the first caches
_INT: Final = types.int64
PLAN: Final = types.Tuple((WHOLE, WHOLE, WHOLE, FIXED_NUMBERS))


@loop(types.void(NUMBERS, _INT, PLAN))
def stages(work, begin, plan):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform the samples from the number ``begin`` on where they are; the plan's order says where the values lie then."""
    sizes, radices, _, tables = plan
    size, twiddle = sizes[0] * SAMPLE, 0
    end = begin + size
    for radix in radices:
        step = size // radix
        for block in range(begin, end, size):
            factor = twiddle
            for place in range(block, block + step, SAMPLE):
                if radix == 8 and step == SAMPLE:
                    last_8(work, place, step, tables, factor)
                elif radix == 8:
                    butterfly_8(work, place, step, tables, factor)
                elif radix == 4:
                    butterfly_4(work, place, step, tables, factor)
                elif radix == 2:
                    butterfly_2(work, place, step, tables, factor)
                elif radix == 3:
                    butterfly_3(work, place, step, tables, factor)
                elif radix == 5:
                    butterfly_5(work, place, step, tables, factor)
                else:
                    butterfly_7(work, place, step, tables, factor)
                factor += 2 * (radix - 1)
        twiddle += 2 * (radix - 1) * (step // SAMPLE)
        size = step


@loop(types.void(NUMBERS, _INT, FIXED_NUMBERS, _INT, _INT))
def copy(target, to, source, at, n_numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """As slices would do it, which take a second to compile."""
    for k in range(n_numbers):
        target[to + k] = source[at + k]


@loop(types.void(NUMBERS, _INT, _INT))
def clear(work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Zeros."""
    for k in range(begin, end):
        work[k] = 0


@loop(types.void(FIXED_NUMBERS, NUMBERS, WHOLE, PLAN, NUMBERS))
def across(source, target, walk, plan, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform lines whose samples are apart in memory, neighbours side by side.

    Parameters
    ----------
    source, target
        float32, real and imaginary parts in turn; may be one and the same.
    walk
        Of source, then of target: index of the first number, from one group of neighbours to the next, from sample to
        sample; how many groups; how many neighbours in each.
    work
        ``work_numbers(size)`` numbers.
    """
    source_at, source_group, source_step, target_at, target_group, target_step, n_groups, n_lines = walk
    sizes, _, order, tables = plan
    size, skipped, n_taken, factor, n_given, factor_after = sizes
    room, spare = size * SAMPLE, size * SAMPLE * _ABREAST
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
                        copy(work, spare, source, begin, n_here)
                        load_across(work, spare, tables, factor + 2 * sample, work, place)
                    place += room
                at += source_step
            for line in range(0, stop - start, LANES):
                begin = line // LANES * room
                clear(work, begin + n_taken * SAMPLE, begin + room)
                stages(work, begin, plan)
            at = target_at + group * target_group
            for sample in range(n_given):
                place = order[sample]
                for line in range(start, stop, LANES):
                    n_here, begin = 2 * min(LANES, stop - line), at + 2 * line
                    if n_here == SAMPLE:
                        store_across(target, begin, tables, factor_after + 2 * sample, work, place)
                    else:
                        store_across(work, spare, tables, factor_after + 2 * sample, work, place)
                        copy(target, begin, work, spare, n_here)
                    place += room
                at += target_step


@loop(types.void(FIXED_NUMBERS, NUMBERS, WHOLE, WHOLE, PLAN, NUMBERS))
def along(source, target, walk, starts, plan, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform lines whose samples are neighbours in memory.

    Parameters
    ----------
    walk
        Of the target: index of the first number, from line to line.
    starts
        Of the source: index of the first number of each line that is wanted, in the order of the target.
    source, target, work
        As for ``across``.
    """
    target_at, target_step = walk
    sizes, _, order, tables = plan
    size, skipped, n_taken, factor, n_given, factor_after = sizes
    spare, n_lines = size * SAMPLE * _ABREAST, len(starts)
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
                    copy(work, spare + line * LANES, source, at + starts[start + line], n_numbers)
                load_along(work, 0, spare_starts, 0, tables, factor + 2 * sample, work, place)
        clear(work, n_taken * SAMPLE, size * SAMPLE)
        stages(work, 0, plan)
        at = target_at + start * target_step
        for sample in range(0, n_given, BLOCK):
            n_numbers = 2 * min(BLOCK, n_given - sample)
            if n_here == LANES and n_numbers == LANES:
                store_along(target, at + 2 * sample, target_step, tables, factor_after + 2 * sample, work, order, sample)
            else:
                store_along(work, spare, LANES, tables, factor_after + 2 * sample, work, order, sample)
                for line in range(n_here):
                    copy(target, at + line * target_step + 2 * sample, work, spare + line * LANES, n_numbers)


def work_numbers(size: int) -> int:
    """Length of the work array for transforms of a size: two times 16 lines, and room for what fills no vector."""
    return (size * _ABREAST + BLOCK) * SAMPLE
