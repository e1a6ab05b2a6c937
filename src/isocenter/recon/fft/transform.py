# SPDX-License-Identifier: MIT
"""Arrays transformed by our own loops: which part of memory each call takes, on as many threads as it is worth."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.fft.loops import across, along, work_numbers
from isocenter.recon.fft.plan import LANES, Plan, aligned

Complex: TypeAlias = NDArray[np.complex64]
Job: TypeAlias = Callable[[NDArray[np.float32]], None]

_BLOCK_VALUES: Final = 2**17  # a megabyte, what a usual second cache holds
_JOBS_PER_THREAD: Final = 4  # so that one whose processor is needed elsewhere does not keep the others waiting


def transform_axis(source: Complex, target: Complex, axis: int, how: Plan, n_threads: int = 1) -> None:
    """One axis; both arrays C-contiguous, of the same shape but along ``axis``, or one and the same."""
    parts = _n_parts(n_threads)
    if math.prod(source.shape[axis + 1 :]) == 1:
        lines = source.reshape(-1, source.shape[axis])
        _run(_along(lines, np.arange(len(lines)), target, how, parts), how, n_threads)
    else:
        _run(_across(source, target, axis, how, parts), how, n_threads)


def transform_lines(
    lines: Complex,
    order: NDArray[np.int64],
    target: Complex,
    how: Plan,
    planes: Plan | None = None,
    n_threads: int = 1,
) -> None:
    """The last axis of the target from lines in any order, and the one before it while they are in the cache.

    Parameters
    ----------
    lines
        complex64, shape ``(n_lines, n_samples)``, C-contiguous.
    order
        Which of them belongs where, one behind the other as they are in the target.
    target
        C-contiguous; not in the same memory.
    planes
        The transform along the axis before the last, which does not change its size; None leaves that axis alone.
    """
    if planes is None:
        _run(_along(lines, order, target, how, _n_parts(n_threads)), how, n_threads)
        return
    whole = target.reshape(-1, *target.shape[-2:])
    step = max(_BLOCK_VALUES // max(whole[0].size, 1), 1)
    jobs = []
    for start in range(0, len(whole), step):
        part = whole[start : start + step]
        rows = order[start * part.shape[1] : (start + len(part)) * part.shape[1]]
        jobs.append(_in_turn([*_along(lines, rows, part, how, 1), *_across(part, part, 1, planes, 1)]))
    _run(jobs, max(how, planes, key=lambda item: item.size), n_threads)


def _in_turn(jobs: list[Job]) -> Job:
    def all_of_them(work: NDArray[np.float32]) -> None:
        for job in jobs:
            job(work)

    return all_of_them


def _n_parts(n_threads: int) -> int:
    return 1 if n_threads <= 1 else _JOBS_PER_THREAD * n_threads


def _run(jobs: list[Job], how: Plan, n_threads: int) -> None:
    waiting = iter(jobs)

    def take_turns(_: int) -> None:
        work = aligned(work_numbers(how.size))
        for job in waiting:  # the interpreter's lock lets one thread at a time take the next
            job(work)

    if n_threads <= 1 or len(jobs) == 1:
        take_turns(0)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(take_turns, range(n_threads)))


def _along(lines: Complex, order: NDArray[np.int64], target: Complex, how: Plan, parts: int) -> list[Job]:
    step, starts = 2 * how.n_given, 2 * lines.shape[1] * order
    return [
        _job(along, lines, target, (first * step, step), how, starts[first:last])
        for first, last in _spans(len(order), parts)
    ]


def _across(source: Complex, target: Complex, axis: int, how: Plan, parts: int) -> list[Job]:
    n_groups, n_lines = math.prod(source.shape[:axis]), math.prod(source.shape[axis + 1 :])
    from_group, to_group = 2 * source.shape[axis] * n_lines, 2 * target.shape[axis] * n_lines
    groups, step, jobs = _spans(n_groups, parts), 2 * n_lines, []
    for first, last in groups:
        for a, b in _spans(n_lines, parts // len(groups)):
            taken, given = (first * from_group + 2 * a, from_group, step), (first * to_group + 2 * a, to_group, step)
            jobs.append(_job(across, source, target, (*taken, *given, last - first, b - a), how))
    return jobs


def _job(loop: Any, source: Complex, target: Complex, walk: tuple[int, ...], how: Plan, *more: NDArray[np.int64]) -> Job:
    numbers, result = source.reshape(-1).view(np.float32), target.reshape(-1).view(np.float32)
    where = np.array(walk, dtype=np.int64)
    return lambda work: loop(numbers, result, where, *more, how.loops, work)


def _spans(n_items: int, parts: int) -> list[tuple[int, int]]:
    """Even parts, whole vectors where there are many."""
    step = max(-(-n_items // max(parts, 1)), 1)
    step = -(-step // LANES) * LANES if step > LANES else step
    return [(start, min(start + step, n_items)) for start in range(0, n_items, step)]
