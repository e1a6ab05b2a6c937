# SPDX-License-Identifier: MIT
"""Piecewise linear waveforms as points, added up and integrated (numba).

A waveform is a pair of arrays, times and values, joined by straight lines; two points at one time are a jump. Before the
first point and behind the last it is zero.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SAME_TICK = 0.02
"""Points closer than this are one point [ticks]; far below what any clock resolves."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def add_lines(  # noqa: C901  one pass over three waveforms
    times: Floats, values: Floats, bounds: Ints
) -> tuple[Floats, Floats]:
    """Sum of several waveforms, with a point of value zero wherever the sum crosses zero.

    Parameters
    ----------
    times, values
        Points of all waveforms one after the other.
    bounds
        Where each starts and the last ends, shape ``(n + 1,)``.
    """
    n = len(bounds) - 1
    pos = bounds[:-1].copy()
    total = len(times)
    out_t, out_v = np.empty(3 * total + 2), np.empty(3 * total + 2)
    m = 0
    while True:
        now = np.inf
        for a in range(n):
            if pos[a] < bounds[a + 1]:
                now = min(now, times[pos[a]])
        if now == np.inf:
            break
        left = 0.0
        right = 0.0
        for a in range(n):
            p, end = pos[a], bounds[a + 1]
            if p < end and times[p] <= now + SAME_TICK:
                left += values[p]
                while p + 1 < end and times[p + 1] <= now + SAME_TICK:
                    p += 1
                right += values[p]
                pos[a] = p + 1
            elif bounds[a] < p < end:
                value = values[p - 1] + (values[p] - values[p - 1]) * (now - times[p - 1]) / (times[p] - times[p - 1])
                left += value
                right += value
        if abs(left) < 1e-9:
            left = 0.0
        if abs(right) < 1e-9:
            right = 0.0
        if m and out_v[m - 1] * left < 0:
            out_t[m] = out_t[m - 1] + (now - out_t[m - 1]) * out_v[m - 1] / (out_v[m - 1] - left)
            out_v[m] = 0.0
            m += 1
        out_t[m] = now
        out_v[m] = left
        m += 1
        if abs(right - left) > 1e-6:
            out_t[m] = now
            out_v[m] = right
            m += 1
    return out_t[:m].copy(), out_v[:m].copy()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def value_at(times: Floats, values: Floats, p: int, at: float) -> float:
    """Value at a time between the points ``p`` and ``p + 1``."""
    if p < 0 or p + 1 >= len(times):
        return 0.0
    span = times[p + 1] - times[p]
    if span <= 0.0:
        return float(values[p + 1])
    return float(values[p] + (values[p + 1] - values[p]) * (at - times[p]) / span)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def integrate(times: Floats, values: Floats, p: int, low: float, high: float) -> tuple[float, float, bool, int]:
    """Area, first moment about ``low``, whether it is constant, and the point to go on from.

    ``p`` is the last point at or before ``low``, or -1. What a rounded edge (up to half a tick) lets in does not count as
    change.
    """
    n = len(times)
    area, moment, constant = 0.0, 0.0, True
    while p + 1 < n and times[p + 1] <= low:
        p += 1
    if p >= 0 and p + 1 < n and times[p + 1] >= high:  # most cells lie between two points
        slope = (values[p + 1] - values[p]) / (times[p + 1] - times[p])
        span = high - low
        v0 = values[p] + slope * (low - times[p])
        v1 = v0 + slope * span
        return 0.5 * (v0 + v1) * span, (v0 + 2.0 * v1) * span * span / 6.0, abs(v1 - v0) < 1e-6, p
    level = np.nan
    cursor = low
    while cursor < high:
        stop = high
        if p + 1 < n and times[p + 1] < high:
            stop = times[p + 1]
        v0, v1 = value_at(times, values, p, cursor), value_at(times, values, p, stop)
        span = stop - cursor
        area += 0.5 * (v0 + v1) * span
        moment += 0.5 * (v0 + v1) * span * (cursor - low) + (v0 + 2.0 * v1) * span * span / 6.0
        if span > 0.6:
            level = v0 if np.isnan(level) else level
            constant = constant and abs(v0 - level) < 1e-6 and abs(v1 - level) < 1e-6
        cursor = stop
        while p + 1 < n and times[p + 1] <= cursor:
            p += 1
    return area, moment, constant, p


@numba.njit(cache=True, error_model="numpy", nogil=True)
def find_corners(  # noqa: C901  one pass over all waveforms
    times: Floats, values: Floats, bounds: Ints, flat: float
) -> tuple[Floats, NDArray[np.int8], NDArray[np.int8]]:
    """Where any of several waveforms bends.

    Parameters
    ----------
    flat
        Slopes and steps below this count as none [codes per tick, and codes].

    Returns
    -------
        Times; 2 where a waveform starts, ends or crosses zero, else 1; bit 0: something ramps behind the corner, bit 1:
        it is a jump.
    """
    n = len(bounds) - 1
    pos = bounds[:-1].copy()
    slopes = np.zeros(n)
    out_t = np.empty(len(times))
    out_class, out_flags = np.empty(len(times), dtype=np.int8), np.empty(len(times), dtype=np.int8)
    m = 0
    while True:
        now = np.inf
        for a in range(n):
            if pos[a] < bounds[a + 1]:
                now = min(now, times[pos[a]])
        if now == np.inf:
            break
        bends, zero, jumps = False, False, False
        for a in range(n):
            p, end = pos[a], bounds[a + 1]
            if p >= end or times[p] > now + SAME_TICK:
                continue
            left = values[p]
            while p + 1 < end and times[p + 1] <= now + SAME_TICK:
                p += 1
            right = values[p]
            slope = 0.0
            if p + 1 < end:
                slope = (values[p + 1] - right) / (times[p + 1] - times[p])
            step = abs(right - left) > 1e3 * flat
            active = step or abs(slope) > flat or abs(slopes[a]) > flat
            jumps = jumps or step
            bends = bends or step or abs(slope - slopes[a]) > flat
            zero = zero or (active and (left == 0.0 or right == 0.0))
            slopes[a] = slope
            pos[a] = p + 1
        if not (bends or zero):
            continue
        ramps = False
        for a in range(n):
            ramps = ramps or abs(slopes[a]) > flat
        out_t[m] = now
        out_class[m] = 2 if zero else 1
        out_flags[m] = (1 if ramps else 0) + (2 if jumps else 0)
        m += 1
    return out_t[:m].copy(), out_class[:m].copy(), out_flags[:m].copy()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def follow(sign: Floats, constant: Floats) -> Floats:
    """x_k = constant_k + sign_k x_(k-1) for each column, from 0 on."""
    found = np.zeros(constant.shape)
    for column in range(constant.shape[1]):
        current = 0.0
        for row in range(len(sign)):
            current = constant[row, column] + sign[row] * current
            found[row, column] = current
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def staircase_load(ticks: Ints, codes: NDArray[np.int32], resting: int, interval: float) -> tuple[float, float, float]:
    """Peak [codes], largest step over its time [codes per tick], integral of the square [codes² ticks] of one channel.

    A step takes as long as the value before it was held, and one ``interval`` at least.
    """
    peak, steepest, square = abs(float(resting)), 0.0, 0.0
    before, since = float(resting), interval
    for i in range(len(ticks)):
        value = float(codes[i])
        if i:
            hold = float(ticks[i] - ticks[i - 1])
            square += before * before * hold
            since = max(hold, interval)
        steepest = max(steepest, abs(value - before) / since)
        peak = max(peak, abs(value))
        before = value
    return peak, steepest, square


@numba.njit(cache=True, error_model="numpy", nogil=True)
def running_area(line: tuple[Floats, Floats], sums: Floats, clock_hz: float, ticks: Floats, out: Floats) -> None:
    """Integral of a waveform over time up to each tick; ``sums`` holds it at the points. Fastest where ticks increase."""
    times, values = line
    p, last = 0, len(times) - 2
    for i in range(len(ticks)):
        if i and ticks[i] < ticks[i - 1]:
            p = 0
        while p < last and times[p + 1] <= ticks[i]:
            p += 1
        span = max(times[p + 1] - times[p], 1e-9)
        after = min(max(ticks[i] - times[p], 0.0), span)
        slope = (values[p + 1] - values[p]) / span
        out[i] = sums[p] + (values[p] * after + 0.5 * slope * (after * after)) / clock_hz
