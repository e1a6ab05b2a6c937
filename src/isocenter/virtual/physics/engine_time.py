# SPDX-License-Identifier: MIT
"""Slow changes in the rhythm of a run: the frequency that each pulse meets, and when a body may move."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.waveforms import Waveforms

COARSEST_HZ: Final = 8.0
COARSEST_TURNS: Final = 0.02
"""Pulses are composed for frequencies this far apart, or closer: so that a pulse turns by no more than this over its length
from one to the next. The rest goes half before and half after it."""
MOTION_S: Final = 0.05
"""A body lies still for at most this long [s]."""


def pulse_frequencies_hz(
    waves: Waveforms, frequency_hz: float, deviation_turns: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency for which the pulse of each window of RF is composed, and the phase that it then lacks [turns]."""
    starts, ends = waves.windows[:, 0], waves.windows[:, 1]
    length_s = (ends - starts) * waves.tick_s
    deviation_hz = (deviation_turns(ends) - deviation_turns(starts)) / length_s
    spacing_hz = np.minimum(COARSEST_HZ, COARSEST_TURNS / length_s)
    rounded_hz = np.round(deviation_hz / spacing_hz) * spacing_hz
    return frequency_hz + rounded_hz, (deviation_hz - rounded_hz) * length_s


def cuts_for_motion(waves: Waveforms, windows: Sequence[NDArray[np.int64]], end_tick: int) -> NDArray[np.int64]:
    """Ticks at which a body may move besides at pulses: every ``MOTION_S``, but neither in a pulse nor in a readout."""
    cuts = np.arange(0, end_tick, max(round(MOTION_S / waves.tick_s), 1), dtype=np.int64)
    filled = [(int(ticks[0]), int(ticks[-1])) for ticks in windows if len(ticks)]
    if filled:
        firsts, lasts = (np.array(part, dtype=np.int64) for part in zip(*filled, strict=True))
        index = np.searchsorted(firsts, cuts, side="right") - 1
        is_inside = (index >= 0) & (cuts <= lasts[np.maximum(index, 0)])
        cuts = np.where(is_inside, firsts[np.maximum(index, 0)], cuts)
    if len(waves.windows):
        index = np.searchsorted(waves.windows[:, 0], cuts, side="right") - 1
        cuts = cuts[(index < 0) | (cuts >= waves.windows[np.maximum(index, 0), 1])]
    return np.unique(cuts[cuts >= 0])


def readout_weights(waves: Waveforms, windows: Sequence[NDArray[np.int64]]) -> tuple[float, ...] | None:
    """What the readouts of a run make of differences in place and frequency, coarsely; None without a readout.

    Cycles per metre along three channels and per hertz, over the largest and rounded to a power of four, as the weights by
    which spins are put into blocks.
    """
    spans = [
        np.append(np.ptp(waves.k_per_m(ticks[:: max(len(ticks) // 16, 1)]), axis=0), (ticks[-1] - ticks[0]) * waves.tick_s)
        for ticks in windows
        if len(ticks) > 1
    ]
    if not spans:
        return None
    span = np.sqrt(np.mean(np.square(spans), axis=0))
    largest = float(span[:3].max())
    if largest == 0:
        return (1e-3, 1e-3, 1e-3, 1.0)
    # Not nothing: within a sheet that is thin enough along one direction, neighbours are still better.
    relative = np.maximum(span[:3] / largest, 1 / 64)
    time = max(float(span[3]) / largest, 1e-9)
    return tuple(float(4.0 ** np.round(np.log(value) / np.log(4.0))) for value in (*relative, time))
