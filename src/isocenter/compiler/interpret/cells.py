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
    """Mean of the waveform over each cell of one lobe into ``work`` (mean, length, centre, kind), its area and moment."""
    times, values = line
    first, last = span
    exact, ticks, long_cell = slots
    area, moment = 0.0, 0.0
    origin, middle = exact[first], 0.0
    for i in range(first, last):
        low, high = float(ticks[i]), float(ticks[i + 1])
        start = exact[first] if i == first else low
        stop = exact[last] if i == last - 1 else high
        if high - low > long_cell:  # its edges may reach into a ramp; what they hold is left to the ramp's cells
            quarter = 0.25 * (high - low)
            middle = integrate(times, values, state, low + quarter, high - quarter)[0] / (2 * quarter)
        part, part_moment, constant, state = integrate(times, values, state, start, max(start, stop))
        area += part
        moment += part_moment + part * (start - origin)
        whole = constant and abs(start - low) < 1.0 and abs(stop - high) < 1.0
        mean = part / (high - low)
        if whole and stop > start:
            mean = part / (stop - start)
        if high - low > long_cell:
            whole, mean = True, middle
        work[i - first, 0], work[i - first, 1], work[i - first, 2] = mean, high - low, 0.5 * (low + high) - origin
        work[i - first, 3] = FLAT if whole else RAMPING
    return area, moment, state


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
    error = 0.0
    for j in range(first, last):
        if work[j - first, 3] == FLAT:
            code = int(work[j - first, 4]) + offset
            m = emit(out, m, (ticks[j], code), offset)
            if work[j - first, 6] > work[j - first, 5]:
                m = emit(out, m, (int(work[j - first, 5]), min(code + 1, highest)), offset)
                m = emit(out, m, (int(work[j - first, 6]), code), offset)
            continue
        wanted = work[j - first, 0] + level + slope * (work[j - first, 2] - pivot)
        code = int(np.round(wanted + error / work[j - first, 1]))
        code = min(max(code, lowest - offset), highest - offset)
        error += (wanted - code) * work[j - first, 1]
        m = emit(out, m, (ticks[j], code + offset), offset)
    return m


@numba.njit(cache=True, error_model="numpy", nogil=True)
def play_channel(
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
    n = len(exact)
    work = np.empty((256, 7))
    room = n + 1 + 2 * np.sum(np.diff(exact) > long_cell - 2)  # a long cell may be split in three
    out = (np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int32))
    offset = limits[0]
    m, state, look, first = 0, -1, -1, 0
    for i in range(1, n):
        while look + 1 < len(times) and times[look + 1] <= exact[i] + SAME_TICK:
            look += 1
        if i < n - 1 and not is_zero(times, values, look, exact[i]):
            continue
        span = (first, i)
        if rests(times, values, state, (exact[first], exact[i])):
            for j in range(first, i):
                m = emit(out, m, (ticks[j], offset), offset)
            first = i
            continue
        if i - first > len(work):
            work = np.empty((2 * (i - first), 7))
        area, moment, state = sample_lobe((times, values), span, (exact, ticks, long_cell), state, work)
        settled, settled_moment = settle_flats(work, span, ticks, grid, long_cell)
        level, slope, pivot = correction(work, (0, i - first), (area - settled, moment - settled_moment))
        m = emit_lobe(out, m, work, span, ticks, (level, slope, pivot), limits)
        first = i
    if n:
        m = emit(out, m, (ticks[n - 1], offset), offset)
    return out[0][:m].copy(), out[1][:m].copy()
