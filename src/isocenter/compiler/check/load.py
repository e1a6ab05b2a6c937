# SPDX-License-Identifier: MIT
"""Largest mean of a staircase over any window of a given length."""

from typing import Final

import numpy as np

from isocenter.compiler.check.timeline import Ints
from isocenter.compiler.pulseq.model import Floats

_STEPS: Final = 200


def window_maximum(ticks: Ints, heights: Floats, window: int, limit: float) -> tuple[float, float]:
    """Largest mean over any window of ``window`` ticks, and where that window starts [tick].

    Parameters
    ----------
    ticks, heights
        The staircase: ``heights[i] >= 0`` holds from ``ticks[i]`` on, the last one must be 0. It is 0 before the first.
    limit
        What the caller compares with. A bound that is at most half a percent too high is returned if that is already
        below the limit; else the exact value.
    """
    if not len(ticks):
        return 0.0, 0.0
    area = np.concatenate(([0.0], np.cumsum(heights[:-1] * np.diff(ticks))))
    step = window / _STEPS
    grid = np.arange(float(ticks[0]) - step, float(ticks[-1]) + step, step)
    if len(grid) <= 4 * len(ticks) + 1000:
        means = (np.interp(grid + window + step, ticks, area) - np.interp(grid, ticks, area)) / window
        best = int(np.argmax(means))
        if means[best] <= limit:
            return float(means[best]), float(grid[best])
    # The largest window starts or ends at an edge of the staircase.
    begins = np.concatenate([ticks, ticks - window]).astype(np.float64)
    means = (np.interp(begins + window, ticks, area) - np.interp(begins, ticks, area)) / window
    best = int(np.argmax(means))
    return float(means[best]), float(begins[best])
