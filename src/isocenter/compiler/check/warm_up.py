# SPDX-License-Identifier: MIT
"""Compiles the loops of the last gate before anyone waits for it: some seconds on the first use of a computer."""

import numpy as np

from isocenter.compiler.check.dose_loops import binned
from isocenter.compiler.check.pns_loops import largest_stimulation, slopes_of


def warm_up() -> None:
    """Call every compiled loop once, with the types that the gate uses."""
    ticks, values = np.array([0, 100], dtype=np.int64), np.array([5, 0], dtype=np.int64)
    binned(ticks, values, np.array([0.0, 200.0]))
    times, slopes = slopes_of(ticks, values, 10, 1.0)
    counts = np.array([len(times)] * 3, dtype=np.int64)
    ones = np.ones((3, 3))
    largest_stimulation(np.concatenate([times] * 3), np.concatenate([slopes] * 3), counts, 1e-9, ones, ones)
