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
def sample_lobe(
    line: tuple[Floats, Floats], span: tuple[int, int], slots: tuple[Floats, Ints, float], state: int, work: Floats
) -> tuple[float, float, int]:
    """Mean of the waveform over each cell of one lobe into ``work`` (mean, length, centre, kind).

    Returns its area, its moment and the point to go on from.
    """
    times, values = line
    first, last = span
    exact, ticks, long_cell = slots
    n, area, moment = len(times), 0.0, 0.0
    origin, loaded = exact[first], -1
    t0, t1, v0, slope = 0.0, -np.inf, 0.0, 0.0
    for i in range(first, last):
        low, high = float(ticks[i]), float(ticks[i + 1])
        length = high - low
        start = exact[first] if i == first else low
        stop = max(start, exact[last] if i == last - 1 else high)
        while state + 1 < n and times[state + 1] <= start:
            state += 1
        if state != loaded:
            loaded, t1 = state, -np.inf
            if 0 <= state < n - 1:
                t0, t1, v0 = times[state], times[state + 1], values[state]
                slope = (values[state + 1] - v0) / (t1 - t0)
        if t1 >= stop:  # most cells lie between two points: the same as ``integrate``
            inner = stop - start
            left = v0 + slope * (start - t0)
            right = left + slope * inner
            part, part_moment = 0.5 * (left + right) * inner, (left + 2.0 * right) * inner * inner / 6.0
            constant = abs(right - left) < 1e-6
        else:
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
        work[i - first, 0], work[i - first, 1], work[i - first, 2] = mean, length, 0.5 * (low + high) - origin
        work[i - first, 3] = kind
    return area, moment, state


@numba.njit(cache=True, error_model="numpy", nogil=True)
def middle_of(line: tuple[Floats, Floats], state: int, low: float, high: float) -> float:
    """Mean of the waveform over the middle half of a cell; ``state`` is a point before it."""
    times, values = line
    quarter = 0.25 * (high - low)
    return float(integrate(times, values, state, low + quarter, high - quarter)[0] / (2 * quarter))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def correction(work: Floats, span: tuple[int, int], missing: tuple[float, float]) -> tuple[float, float, float]:
    """Offset, slope and pivot of the change of the ramping cells that adds the missing area and first moment."""
    total, pivot = 0.0, 0.0
    for i in range(span[0], span[1]):
        if work[i, 3] == RAMPING:
            total += work[i, 1]
            pivot += work[i, 1] * work[i, 2]
    if total == 0.0:
        return 0.0, 0.0, 0.0
    pivot /= total
    spread = 0.0
    for i in range(span[0], span[1]):
        if work[i, 3] == RAMPING:
            spread += work[i, 1] * (work[i, 2] - pivot) ** 2
    slope = 0.0
    if spread > total:  # more than one cell
        slope = (missing[1] - missing[0] * pivot) / spread
    return missing[0] / total, slope, pivot


@numba.njit(cache=True, error_model="numpy", nogil=True)
def settle_flats(
    work: Floats, span: tuple[int, int], ticks: Ints, grid: tuple[int, int, int], long_cell: float
) -> tuple[float, float]:
    """Codes of the flat cells into ``work`` (code, split start, split stop); area and moment of what is settled."""
    first, last = span
    ramping, n_ramping, left_over = 0.0, 0, 0.0
    for i in range(first, last):
        if work[i - first, 3] == RAMPING:
            ramping += work[i - first, 1]
            n_ramping += 1
        else:
            left_over += (work[i - first, 0] - np.round(work[i - first, 0])) * work[i - first, 1]
    if n_ramping < 2:  # nothing to take the rest up: short flat cells must
        for i in range(first, last):
            if work[i - first, 3] == FLAT and work[i - first, 1] <= long_cell:
                work[i - first, 3] = RAMPING
    split = abs(left_over) > 0.5 * ramping
    area, moment = 0.0, 0.0
    for i in range(first, last):
        mean, length, centre = work[i - first, 0], work[i - first, 1], work[i - first, 2]
        played = mean * length
        if work[i - first, 3] == FLAT:
            low = ticks[i]
            code, start, stop = int(np.round(mean)), low, low
            if split and length > long_cell:
                code, start, stop = split_flat(mean, low, ticks[i + 1], grid)
            work[i - first, 4], work[i - first, 5], work[i - first, 6] = code, start, stop
            played = code * length + (stop - start)
            moment += (stop - start) * (0.5 * (start + stop) - 0.5 * (low + ticks[i + 1]))
        area += played
        moment += played * centre
    return area, moment


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
    ticks: Ints,
    change: tuple[float, float, float],
    limits: tuple[int, int, int],
) -> int:
    """Write one lobe's changes: flat cells as settled, ramping cells corrected and rounded by error diffusion."""
    first, last = span
    level, slope, pivot = change
    offset, lowest, highest = limits
    out_t, out_v = out
    error, floor, ceiling = 0.0, lowest - offset, highest - offset
    held = out_v[m - 1] if m else offset
    for j in range(first, last):
        if work[j - first, 3] == FLAT:
            code = int(work[j - first, 4]) + offset
            m = emit(out, m, (ticks[j], code), offset)
            if work[j - first, 6] > work[j - first, 5]:
                m = emit(out, m, (int(work[j - first, 5]), min(code + 1, highest)), offset)
                m = emit(out, m, (int(work[j - first, 6]), code), offset)
            held = code
            continue
        length = work[j - first, 1]
        wanted = work[j - first, 0] + level + slope * (work[j - first, 2] - pivot)
        code = min(max(int(np.rint(wanted + error / length)), floor), ceiling)
        error += (wanted - code) * length
        if code + offset != held:
            held = code + offset
            out_t[m], out_v[m] = ticks[j], held
            m += 1
    return m


@numba.njit(cache=True, error_model="numpy", nogil=True)
def play_channel(  # noqa: C901, PLR0912, PLR0915  one pass over all cells
    line: tuple[Floats, Floats],
    exact: Floats,
    ticks: Ints,
    grid: tuple[int, int, int],
    long_cell: float,
    limits: tuple[int, int, int],
) -> tuple[Ints, NDArray[np.int32]]:
    """Changes of one channel.

    Parameters
    ----------
    line
        Times and values of its waveform [ticks, codes], the constant offset left out.
    exact, ticks
        Common update times, and when this channel updates.
    grid, long_cell
        See ``split_flat``; flat cells longer than ``long_cell`` may be split [ticks].
    limits
        Offset, lowest and highest code.
    """
    times, values = line
    n, n_points, offset = len(exact), len(times), limits[0]
    work = np.empty((256, 7))
    room = n + 1
    for i in range(n - 1):
        if exact[i + 1] - exact[i] > long_cell - 2:
            room += 2  # a long cell may be split in three
    out = (np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int32))
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
            m = emit(out, m, (ticks[first], offset), offset)
            rest_until = times[look + 1] - SAME_TICK if look + 1 < n_points else np.inf
            while i + 1 < n and exact[i + 1] < rest_until:
                i += 1
            first = i
            continue
        if i < n - 1 and not quiet and at - t0 > SAME_TICK and abs(v0 + slope * (at - t0)) > 1e-5:
            continue
        if i < n - 1 and not is_zero(times, values, look, at):
            continue
        span = (first, i)
        if rests(times, values, state, (exact[first], exact[i])):
            m = emit(out, m, (ticks[first], offset), offset)
            first = i
            continue
        if i - first > len(work):
            work = np.empty((2 * (i - first), 7))
        area, moment, state = sample_lobe(line, span, (exact, ticks, long_cell), state, work)
        settled, settled_moment = settle_flats(work, span, ticks, grid, long_cell)
        change = correction(work, (0, i - first), (area - settled, moment - settled_moment))
        m = emit_lobe(out, m, work, span, ticks, change, limits)
        first = i
    if n:
        m = emit(out, m, (ticks[n - 1], offset), offset)
    return out[0][:m].copy(), out[1][:m].copy()
