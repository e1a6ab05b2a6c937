# SPDX-License-Identifier: MIT
"""The magnet's frequency in a scan that was paused, and went on with the oscillator at a frequency measured anew.

What the samples show is how far the magnet is from its oscillator. That is a smooth function of time between two pauses and
jumps at each; time passed there, too.
"""

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.drift import Complex, compare_readouts, fit_drift, measure_changes


def follow_stretches(
    samples: Complex,
    groups: NDArray[np.integer],
    time_s: NDArray[np.floating],
    dwell_s: float,
    stretch: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Magnet minus oscillator at each readout, less what it was at the start [Hz], float64, shape ``(n_readouts,)``.

    Parameters
    ----------
    samples, groups, time_s, dwell_s
        As for ``measure_changes``.
    stretch
        Number of the stretch between two pauses that each readout belongs to, from 0, in order of time.
    """
    frequency_hz = np.zeros(len(samples))
    for number in range(int(stretch.max(initial=0)) + 1):
        part = stretch == number
        changes = measure_changes(samples, np.where(part, groups, -1), time_s, dwell_s)
        start_s, end_s = float(time_s[part].min()), float(time_s[part].max())
        try:
            curve = fit_drift(changes, start_s if number else 0.0, end_s)
        except ReconError:  # too short to tell: as steady as it was set
            continue
        frequency_hz[part] = curve.frequency_hz(time_s[part])
    for number in range(1, int(stretch.max(initial=0)) + 1):
        frequency_hz[stretch == number] += _step_hz(samples, groups, dwell_s, stretch, number, frequency_hz)
    return frequency_hz


def _step_hz(
    samples: Complex,
    groups: NDArray[np.integer],
    dwell_s: float,
    stretch: NDArray[np.integer],
    number: int,
    frequency_hz: NDArray[np.float64],
) -> float:
    """What a stretch lacks to agree with those before it, by readouts of the same lines [Hz]; 0 where none tell."""
    found = []
    for group in np.unique(groups[groups >= 0]):
        members = np.flatnonzero(groups == group)
        before, here = members[stretch[members] < number], members[stretch[members] == number]
        if len(before) == 0:
            continue
        power = (np.abs(samples[before]) ** 2).sum(axis=(1, 2))
        earlier = before[int(np.argmax(power))]
        for later in here:
            change_hz, sd_hz = compare_readouts(samples[later], samples[earlier], dwell_s)
            if np.isfinite(sd_hz):
                found.append(change_hz + frequency_hz[earlier] - frequency_hz[later])
    return float(np.median(found)) if found else 0.0
