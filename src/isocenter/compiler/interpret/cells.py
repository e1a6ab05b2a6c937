# SPDX-License-Identifier: MIT
"""Which DAC code each cell between two updates gets, so that area and centroid of every lobe are right (numba).

A lobe runs from one zero of the waveform to the next that is an update. Each of its cells gets the mean of the waveform.
What rounding and the staircase leave over is taken back in two ways: a long flat cell is played as two codes; the rest is
spread over the ramping cells as the smallest change (in the sense of least squares) that makes area and first moment exact.
The codes of the ramping cells are then rounded by error diffusion, so that the area is never off by more than half a code
times one cell.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.lines import SAME_TICK, integrate, value_at

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What a cell is.
RAMPING, FLAT = 0, 1

NEAR_TIE = 0.4999
"""Codes rounded by more than this are computed again exactly; a shortcut is off by far less than is missing to a tie."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def split_flat(value: float, low: int, high: int, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Code of a flat cell, and the stretch in its middle that plays one code more.

    ``grid`` is (phase, step, margin) of the ticks at which this channel may change inside a cell; the channels' phases
    differ, so that they never meet.
    """
    phase, step, margin = grid
    code = int(np.floor(value))
    wanted = (value - code) * (high - low)
    length = step * int(np.round(wanted / step))
    start = low + phase + step * int(np.round(((high - low - length) / 2 - phase) / step))
    if length < step or start < low + margin or start + length > high - margin:
        return int(np.round(value)), low, low
    return code, start, start + length


@numba.njit(cache=True, error_model="numpy", nogil=True)
def sample_lobe(  # noqa: PLR0915  one pass over a lobe's cells
    line: tuple[Floats, Floats],
    span: tuple[int, int],
    updates: tuple[Floats, Ints, int, float],
    state: int,
    work: Floats,
) -> tuple[float, float, int]:
    """Mean of the waveform over each cell of one lobe into ``work`` (mean, length, centre, kind).

    Returns its area, its moment and the point to go on from.
    """
    times, values = line
    first, last = span
    exact, slots, shift, long_cell = updates
    n, area, moment = len(times), 0.0, 0.0
    origin, loaded = exact[first], -1
    t0, t1, v0, slope = 0.0, -np.inf, 0.0, 0.0
    low, k, cells = float(slots[first] + shift), 0, last - first
    while k < cells:
        high = float(slots[first + k + 1] + shift)
        length = high - low
        start = origin if k == 0 else low
        stop = max(start, exact[last] if k == cells - 1 else high)
        while state + 1 < n and times[state + 1] <= start:
            state += 1
        if state != loaded:
            loaded, t1 = state, -np.inf
            if 0 <= state < n - 1:
                t0, t1, v0 = times[state], times[state + 1], values[state]
                slope = (values[state + 1] - v0) / (t1 - t0)
        if 0 < k < cells - 1 and high <= t1 and length <= long_cell:  # most cells lie inside a piece: as ``integrate``
            while k < cells - 1 and high <= t1 and length <= long_cell:
                left = v0 + slope * (low - t0)
                right = left + slope * length
                part = 0.5 * (left + right) * length
                area += part
                moment += (left + 2.0 * right) * length * length / 6.0 + part * (low - origin)
                work[0, k], work[1, k], work[2, k] = part / length, length, 0.5 * (low + high) - origin
                work[3, k] = FLAT if abs(right - left) < 1e-6 else RAMPING
                k += 1
                low, high = high, float(slots[first + k + 1] + shift)
                length = high - low
            continue
        part, part_moment, constant, state = integrate(times, values, state, start, stop)
        area += part
        moment += part_moment + part * (start - origin)
        mean, kind = part / length, RAMPING
        if length > long_cell:  # its edges may reach into a ramp; what they hold is left to the ramp's cells
            mean, kind = middle_of(line, loaded, low, high), FLAT
        elif constant and abs(start - low) < 1.0 and abs(stop - high) < 1.0:
            kind = FLAT
            if stop > start:
                mean = part / (stop - start)
        work[0, k], work[1, k], work[2, k], work[3, k] = mean, length, 0.5 * (low + high) - origin, kind
        low = high
        k += 1
    return area, moment, state


@numba.njit(cache=True, error_model="numpy", nogil=True)
def middle_of(line: tuple[Floats, Floats], state: int, low: float, high: float) -> float:
    """Mean of the waveform over the middle half of a cell; ``state`` is a point before it."""
    times, values = line
    quarter = 0.25 * (high - low)
    return float(integrate(times, values, state, low + quarter, high - quarter)[0] / (2 * quarter))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def weigh_cells(work: Floats, n: int, long_cell: float) -> tuple[float, float, bool]:
    """Length and centroid of the ramping cells, and whether long flat cells are to be split.

    Where less than two cells ramp, nothing could take the rest up: short flat cells then count as ramping.
    """
    total, pivot, n_ramping, left_over = 0.0, 0.0, 0, 0.0
    for k in range(n):
        if work[3, k] == RAMPING:
            total += work[1, k]
            pivot += work[1, k] * work[2, k]
            n_ramping += 1
        else:
            left_over += (work[0, k] - np.round(work[0, k])) * work[1, k]
    split = abs(left_over) > 0.5 * total
    if n_ramping < 2:
        total, pivot = 0.0, 0.0
        for k in range(n):
            if work[1, k] <= long_cell:
                work[3, k] = RAMPING
            if work[3, k] == RAMPING:
                total += work[1, k]
                pivot += work[1, k] * work[2, k]
    return total, pivot / total if total != 0.0 else 0.0, split


@numba.njit(cache=True, error_model="numpy", nogil=True)
def settle_lobe(
    work: Floats,
    span: tuple[int, int],
    updates: tuple[Ints, int],
    grid: tuple[int, int, int],
    long_cell: float,
    held: tuple[float, float],
) -> tuple[float, float, float]:
    """Codes of the flat cells into ``work`` (code, split start, split stop), and the change of the ramping cells.

    ``held`` is area and first moment of the waveform. What the cells miss of it is added by an offset and a slope about a
    pivot, which are returned.
    """
    (first, last), (slots, shift) = span, updates
    n = last - first
    total, pivot, split = weigh_cells(work, n, long_cell)
    area, moment, spread = 0.0, 0.0, 0.0
    for k in range(n):
        mean, length, centre = work[0, k], work[1, k], work[2, k]
        played = mean * length
        if work[3, k] == FLAT:
            low, high = slots[first + k] + shift, slots[first + k + 1] + shift
            code, start, stop = int(np.round(mean)), low, low
            if split and length > long_cell:
                code, start, stop = split_flat(mean, low, high, grid)
            work[4, k], work[5, k], work[6, k] = code, start, stop
            played = code * length + (stop - start)
            moment += (stop - start) * (0.5 * (start + stop) - 0.5 * (low + high))
        else:
            spread += length * (centre - pivot) ** 2
        area += played
        moment += played * centre
    if total == 0.0:
        return 0.0, 0.0, 0.0
    slope, missing, missing_moment = 0.0, held[0] - area, held[1] - moment
    if spread > total:  # more than one cell
        slope = (missing_moment - missing * pivot) / spread
    return missing / total, slope, pivot


@numba.njit(cache=True, error_model="numpy", nogil=True)
def emit(out: tuple[Ints, NDArray[np.int32]], m: int, change: tuple[int, int], resting: int) -> int:
    """Write one change (tick, code), unless it is none."""
    out_t, out_v = out
    tick, code = change
    if code == (out_v[m - 1] if m else resting):
        return m
    out_t[m] = tick
    out_v[m] = code
    return m + 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def is_zero(times: Floats, values: Floats, p: int, at: float) -> bool:
    """Whether the waveform is zero just before or just behind a time; ``p`` is the last point there."""
    if p < 0 or (p + 1 >= len(times) and at > times[p] + SAME_TICK):
        return True
    if abs(at - times[p]) > SAME_TICK:
        return bool(abs(value_at(times, values, p, at)) < 1e-6)
    while p >= 0 and abs(at - times[p]) <= SAME_TICK:
        if values[p] == 0.0:
            return True
        p -= 1
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def rests(times: Floats, values: Floats, p: int, span: tuple[float, float]) -> bool:
    """Whether the waveform is zero all through a span; ``p`` is a point before it."""
    n = len(times)
    while p + 1 < n and times[p + 1] <= span[0] + SAME_TICK:
        p += 1
    if p >= 0 and p + 1 < n and values[p] != 0.0 and times[p] < span[1] - SAME_TICK:
        return False
    while p + 1 < n and times[p + 1] < span[1] - SAME_TICK:
        p += 1
        if values[p] != 0.0:
            return False
    return p + 1 >= n or p < 0 or (values[p] == 0.0 and (values[p + 1] == 0.0 or times[p + 1] <= times[p] + SAME_TICK))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def emit_lobe(
    out: tuple[Ints, NDArray[np.int32]],
    m: int,
    work: Floats,
    span: tuple[int, int],
    updates: tuple[Ints, int],
    change: tuple[float, float, float],
    limits: tuple[int, int, int],
) -> int:
    """Write one lobe's changes: flat cells as settled, ramping cells corrected and rounded by error diffusion."""
    (first, last), (slots, shift) = span, updates
    level, slope, pivot = change
    offset, lowest, highest = limits
    out_t, out_v = out
    floor, ceiling = float(lowest - offset), float(highest - offset)
    # ``carried`` is ``error`` over the length of the cell before, but for rounding: it spares each cell the wait for a
    # division and a sum. It decides only where the rounding cannot matter.
    error, carried, before = 0.0, 0.0, 1.0
    held = out_v[m - 1] if m else offset
    for k in range(last - first):
        if work[3, k] == FLAT:
            code = int(work[4, k]) + offset
            m = emit(out, m, (slots[first + k] + shift, code), offset)
            if work[6, k] > work[5, k]:
                m = emit(out, m, (int(work[5, k]), min(code + 1, highest)), offset)
                m = emit(out, m, (int(work[6, k]), code), offset)
            held = code
            continue
        length = work[1, k]
        wanted = work[0, k] + level + slope * (work[2, k] - pivot)
        asked = wanted + carried * (before / length)
        played = np.rint(asked)
        carried, before = asked - played, length
        if abs(carried) > NEAR_TIE or not floor <= played <= ceiling:
            played = min(max(np.rint(wanted + error / length), floor), ceiling)
            error += (wanted - played) * length
            carried = error / length
        else:
            error += (wanted - played) * length
        code = int(played) + offset
        out_t[m], out_v[m] = slots[first + k] + shift, code
        m += code != held
        held = code
    return m


@numba.njit(cache=True, error_model="numpy", nogil=True)
def skip_piece(exact: Floats, i: int, end: float, piece: tuple[float, float, float]) -> int:
    """Last update up to which the waveform keeps clear of zero, from update ``i`` on, at which it is.

    ``piece`` is its start, value and slope; it ends at ``end``.
    """
    t0, v0, slope = piece
    j = i
    while j + 2 < len(exact) and end > exact[j + 1] + SAME_TICK:
        j += 1
    here, there = v0 + slope * (exact[i] - t0), v0 + slope * (exact[j] - t0)
    if (here > 0.0) == (there > 0.0) and abs(there) > 1e-5:  # in between it lies between the two
        return j
    return i


@numba.njit(cache=True, error_model="numpy", nogil=True)
def most_changes(exact: Floats, long_cell: float) -> int:
    """How many changes a channel can have at most."""
    n = len(exact)
    room = n + 1
    for i in range(n - 1):
        if exact[i + 1] - exact[i] > long_cell - 2:
            room += 2  # a long cell may be split in three
    return room


@numba.njit(cache=True, error_model="numpy", nogil=True)
def play_channel(  # noqa: C901, PLR0915  one pass over all cells
    line: tuple[Floats, Floats],
    updates: tuple[Floats, Ints, int],
    grid: tuple[int, int, int],
    long_cell: float,
    limits: tuple[int, int, int],
    out: tuple[Ints, NDArray[np.int32]],
) -> int:
    """Changes of one channel; returns how many.

    Parameters
    ----------
    line
        Times and values of its waveform [ticks, codes], the constant offset left out.
    updates
        Common update times, not rounded and in whole ticks, and how far this channel's lie from them [ticks].
    grid, long_cell
        See ``split_flat``; flat cells longer than ``long_cell`` may be split [ticks].
    limits
        Offset, lowest and highest code.
    out
        Out: ticks and codes. Room for ``most_changes`` is enough.
    """
    times, values = line
    exact, slots, shift = updates
    n, n_points, offset = len(exact), len(times), limits[0]
    work = np.empty((7, 256))
    m, state, look, first = 0, -1, -1, 0
    quiet, t0, v0, slope = True, 0.0, 0.0, 0.0  # of the piece behind ``look``
    i = 0
    while i + 1 < n:
        i += 1
        at, before = exact[i], look
        while look + 1 < n_points and times[look + 1] <= at + SAME_TICK:
            look += 1
        if look != before:
            t0, v0, slope, quiet = times[look], values[look], 0.0, True
            if look + 1 < n_points:
                slope = (values[look + 1] - v0) / (times[look + 1] - t0)
                quiet = v0 == 0.0 and values[look + 1] == 0.0
            # A time just behind a point may be zero by the point's other values; see ``is_zero``.
        elif quiet and first == i - 1:
            m = emit(out, m, (slots[first] + shift, offset), offset)
            rest_until = times[look + 1] - SAME_TICK if look + 1 < n_points else np.inf
            while i + 1 < n and exact[i + 1] < rest_until:
                i += 1
            first = i
            continue
        if i < n - 1 and not quiet and at - t0 > SAME_TICK and abs(v0 + slope * (at - t0)) > 1e-5:
            if look + 1 < n_points:
                i = skip_piece(exact, i, times[look + 1], (t0, v0, slope))
            continue
        if i < n - 1 and not is_zero(times, values, look, at):
            continue
        span = (first, i)
        if rests(times, values, state, (exact[first], exact[i])):
            m = emit(out, m, (slots[first] + shift, offset), offset)
            first = i
            continue
        if i - first > work.shape[1]:
            work = np.empty((7, 2 * (i - first)))
        area, moment, state = sample_lobe(line, span, (exact, slots, shift, long_cell), state, work)
        change = settle_lobe(work, span, (slots, shift), grid, long_cell, (area, moment))
        m = emit_lobe(out, m, work, span, (slots, shift), change, limits)
        first = i
    if n:
        m = emit(out, m, (slots[n - 1] + shift, offset), offset)
    return m
