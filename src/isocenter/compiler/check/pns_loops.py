# SPDX-License-Identifier: MIT
"""The SAFE model of nerve stimulation as a recursive filter, in one pass over the changes of three gradients."""

import math
from typing import Final

import numba
import numpy as np

from isocenter.compiler.check.timeline import Ints
from isocenter.compiler.pulseq.model import Floats

_N_CACHED: Final = 512
_NEVER: Final = 2**62


@numba.njit(cache=True)
def slopes_of(ticks: Ints, values: Ints, half_update: int, slower: float) -> tuple[Ints, Floats]:
    """A staircase as straight lines: when each begins [half ticks], and its slope [codes per half tick]; the last is 0.

    The compiler gives each cell of a ramp the ramp's mean, so the ramp goes through the middle of its cells; a value that is
    held longer stays what it is, and a jump between two such takes one update interval.

    Parameters
    ----------
    half_update
        Half the shortest time between two updates of a channel [half ticks].
    slower
        Ramps take this many times as long.
    """
    n = len(ticks)
    times, slopes = np.empty(2 * n, dtype=np.int64), np.zeros(2 * n)
    count, last, shift, was_long = 0, 0, np.int64(0), False
    for row in range(n):
        start = 2 * ticks[row]
        stop = 2 * ticks[row + 1] if row + 1 < n else start + 8 * half_update
        is_long = stop - start >= 4 * half_update + 2
        follows_long = row + 2 >= n or 2 * (ticks[row + 2] - ticks[row + 1]) >= 4 * half_update + 2
        node = (start + stop) // 2
        if is_long:
            node = start + (half_update if was_long else 0)
        if count:
            length = max(node - last, 1)
            longer = max(np.int64(round(length * slower)), 1)
            slopes[count - 1] = (values[row] - values[row - 1]) / longer
            shift += longer - length
        times[count] = node + shift
        count, last, was_long = count + 1, node, is_long
        if is_long:
            last = stop - (half_update if row + 1 < n and follows_long else 0)
            times[count] = last + shift
            count += 1
    return times[:count], slopes[:count]


@numba.njit(cache=True)
def _next_time(times: Ints, place: Ints, stop: Ints) -> int:
    """When the next slope of any channel starts; ``_NEVER`` for no more."""
    following = _NEVER
    for channel in range(3):
        if place[channel] < stop[channel]:
            following = min(following, int(times[place[channel]]))
    return following


@numba.njit(cache=True)
def _advance(slope: Floats, state: Floats, decay: Floats, weights: Floats) -> float:
    """Moves all low-passes on by one step; square of the stimulation there."""
    total = 0.0
    for channel in range(3):
        rate, row = slope[channel], 3 * channel
        one = rate + (state[channel, 0] - rate) * decay[row]
        two = abs(rate) + (state[channel, 1] - abs(rate)) * decay[row + 1]
        three = rate + (state[channel, 2] - rate) * decay[row + 2]
        state[channel, 0], state[channel, 1], state[channel, 2] = one, two, three
        here = weights[channel, 0] * abs(one) + weights[channel, 1] * two + weights[channel, 2] * abs(three)
        total += here * here
    return total


@numba.njit(cache=True)
def largest_stimulation(
    times: Ints, slopes: Floats, counts: Ints, tick_s: float, tau_s: Floats, weights: Floats
) -> tuple[float, int]:
    """Largest stimulation, and when.

    Between two changes each slew rate is constant, so a low-pass is known in closed form at the next change, however far
    off: exact for ramps, with no raster. Decays are kept by step, since steps repeat.

    Parameters
    ----------
    times
        When each slope starts, one channel after the other, each in order, shape ``(n,)`` [units of ``tick_s``].
    slopes
        Slew rate from then on, shape ``(n,)`` [T/m/s]; the last of a channel is 0.
    counts
        How many belong to each channel, shape ``(3,)``.
    tau_s, weights
        Time constants and weights of the three low-passes of each channel, shape ``(3, 3)``; weights include scale and
        limit.
    """
    stop = np.cumsum(counts)
    place = stop - counts
    slope, state, rate = np.zeros(3), np.zeros((3, 3)), tick_s / tau_s.reshape(-1)
    keys, decays = np.full(_N_CACHED, -1, dtype=np.int64), np.zeros((_N_CACHED, 9))
    largest, where = 0.0, 0
    now = _next_time(times, place, stop)
    following = now
    while following < _NEVER:
        step = following - now
        if step > 0:
            slot = step % _N_CACHED
            if keys[slot] != step:
                keys[slot] = step
                decays[slot] = np.exp(-step * rate)
            total = _advance(slope, state, decays[slot], weights)
            if total > largest:
                largest, where = total, following
            now = following
        for channel in range(3):
            while place[channel] < stop[channel] and times[place[channel]] == now:
                slope[channel] = slopes[place[channel]]
                place[channel] += 1
        following = _next_time(times, place, stop)
    return math.sqrt(largest), where
