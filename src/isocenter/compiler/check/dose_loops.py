# SPDX-License-Identifier: MIT
"""Integrals of one gradient channel over bins, in one pass over its changes."""

import numba
import numpy as np

from isocenter.compiler.check.timeline import Ints
from isocenter.compiler.pulseq.model import Floats


@numba.njit(cache=True)
def binned(ticks: Ints, values: Ints, edges: Floats) -> Floats:
    """Integrals of the square and of the magnitude of a staircase over each bin, shape ``(2, n_bins)``.

    Parameters
    ----------
    ticks, values
        The staircase; it is 0 before its first tick and holds its last value to the last edge.
    edges
        Of the bins [ticks], in order, shape ``(n_bins + 1,)``.
    """
    n = len(ticks)
    out = np.zeros((2, len(edges) - 1))
    row = 0
    for number in range(len(edges) - 1):
        low, high = edges[number], edges[number + 1]
        while row + 1 < n and ticks[row + 1] <= low:
            row += 1
        at, place = row, low
        square = size = 0.0
        while at < n and ticks[at] < high:
            start = max(float(ticks[at]), place)
            stop = min(float(ticks[at + 1]), high) if at + 1 < n else high
            value = abs(float(values[at]))
            square += value * value * (stop - start)
            size += value * (stop - start)
            place = stop
            at += 1
        out[0, number], out[1, number] = square, size
        row = max(at - 1, 0)
    return out
