# SPDX-License-Identifier: MIT
"""Where a scan may be cut, and how many shots bring the steady state back after a pause.

A shot starts with its excitation, or with the preparation in front of it (inversion, saturation). In a scan with
preparations only these start a shot, so that a train of excitations after one inversion stays whole.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.gradients import GradientTracks
from isocenter.compiler.interpret.pulses import Pulses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEADY_STATE_ERROR: Final = 0.01
_T1_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
_GAP_MARGIN: Final = 2.0  # the link may need longer than it should
_FLIP_ERROR: Final = 0.1  # B1 is that uneven
_COHERENCE_S: Final = 0.5  # five times a T2 of 100 ms, the longest of solid tissue at 50 mT
_PREPARATIONS: Final = ("i", "s", "p")


@dataclass(frozen=True, slots=True)
class Cuts:
    """Places between two shots where every output is at rest; arrays of length n, absolute ticks.

    Attributes
    ----------
    idle_from, idle_to
        Nothing happens in between; the cut is at ``idle_to``.
    shot
        Which shot starts there.
    """

    idle_from: Ints
    idle_to: Ints
    shot: Ints


def shot_pulses(pulses: Pulses) -> Ints:
    """Row of the pulse that starts each shot."""
    kind = pulses.kind
    excitation = np.flatnonzero(kind == "e")
    if not len(excitation):
        return np.arange(len(kind))
    is_other = ~np.isin(kind, _PREPARATIONS)
    # The last pulse in front of each that is no preparation; excitations are none, so trains stay apart.
    last_other = np.concatenate([[-1], np.maximum.accumulate(np.where(is_other, np.arange(len(kind)), -1))])
    starts: Ints = last_other[excitation] + 1
    has_preparation = starts < excitation
    return starts[has_preparation] if has_preparation.any() else starts


def find_cuts(
    gradients: GradientTracks, starts: Ints, gates: tuple[Ints, Ints], busy: tuple[Ints, Ints], reach: int
) -> Cuts:
    """Possible cuts in front of shots.

    Parameters
    ----------
    starts
        Start of the first pulse (or of the first window, in a scan without pulses) of each shot [ticks].
    gates
        Spans in which one of ``starts`` lies; a shot begins when its span does.
    busy
        Union of all spans in which RF, receiver or a digital output is on.
    reach
        How far a channel's update may lie from the common slot [ticks].
    """
    span = np.searchsorted(gates[0], starts, side="right") - 1
    rise = gates[0][span]
    first_of_span = np.concatenate([[True], np.diff(span) > 0])
    before = np.searchsorted(busy[0], rise) - 1
    busy_until = np.where(before >= 0, busy[1][np.maximum(before, 0)], np.iinfo(np.int64).min // 4)
    low, high = _gradient_idle(gradients, rise)
    idle_from, idle_to = np.maximum(low, busy_until), np.minimum(high, rise)
    good = first_of_span & (idle_to >= idle_from) & (busy_until <= rise)
    idle_from = np.minimum(idle_from + reach, idle_to)
    return Cuts(idle_from[good], idle_to[good], np.flatnonzero(good))


def _gradient_idle(gradients: GradientTracks, rise: Ints) -> tuple[Ints, Ints]:
    """Last stretch before each tick in which all gradients are zero; it may be a single slot."""
    from isocenter.compiler.interpret.slots import last_rests

    far = np.iinfo(np.int64).max // 4
    slots = gradients.slots
    if not len(slots):
        return np.full(len(rise), -far), np.full(len(rise), far)
    row = np.searchsorted(slots, rise, side="right") - 1
    at, start = last_rests(gradients.slot_is_zero, gradients.cell_is_zero, row)
    ends = np.append(slots[np.minimum(at, len(slots) - 2) + 1], far)[:-1] if len(slots) > 1 else np.full(len(at), far)
    ends = np.where(at == len(slots) - 1, far, ends)
    low = np.where(at >= 0, slots[np.maximum(start, 0)], -far)
    high = np.where(gradients.cell_is_zero[np.maximum(at, 0)], ends, slots[np.maximum(at, 0)])
    high = np.where(at >= 0, high, slots[0])
    return low, high


def dummy_shots(pulses: Pulses, starts: Ints, slices: int, clock_hz: float, gap_s: float) -> int:
    """Shots to repeat after a pause so that magnetisation is within 1 % of its steady state, T1 from 0.1 to 4 s.

    Between two excitations of one slice, a deviation of the longitudinal magnetisation shrinks by cos(flip) exp(-TR/T1);
    the pause starts it as (1 - Mz) (1 - exp(-pause/T1)). The flip angle is taken as up to 10 % wrong. Where shots follow
    each other faster than transverse magnetisation decays, they must also span 0.5 s.
    """
    if len(starts) < 2:
        return 0
    spacing_s = float(np.median(np.diff(pulses.start_tick[starts]))) / clock_hz
    excitations = pulses.flip_rad[pulses.kind == "e"]
    flip = float(np.median(excitations)) if len(excitations) else math.pi / 2
    repetition_s = spacing_s * slices
    needed = max(_repeats(flip, repetition_s, _GAP_MARGIN * gap_s, t1_s) for t1_s in _T1_S)
    if spacing_s < _COHERENCE_S:
        needed = max(needed, math.ceil(_COHERENCE_S / repetition_s))
    return max(needed, 1) * slices


def _repeats(flip: float, repetition_s: float, pause_s: float, t1_s: float) -> int:
    """Repetitions until the deviation is below the limit."""
    decay = math.exp(-repetition_s / t1_s)
    factor = max(abs(math.cos(flip * (1 + error))) for error in (-_FLIP_ERROR, 0.0, _FLIP_ERROR)) * decay
    deviation = decay * (1 - math.cos(flip)) / max(1 - decay, 1e-9) * (1 - math.exp(-pause_s / t1_s))
    if deviation <= STEADY_STATE_ERROR:
        return 0
    return math.ceil(math.log(STEADY_STATE_ERROR / deviation) / math.log(min(factor, 1 - 1e-6))) if factor > 1e-12 else 1


def slice_count(pulses: Pulses) -> int:
    """Different frequencies at which the scan excites: slices that take turns."""
    return max(1, len(np.unique(np.round(pulses.offset_hz[pulses.kind == "e"], 3))))


def choose_cuts(cuts: Cuts, last: int, need_ticks: float, max_ticks: float) -> list[tuple[int, bool]]:
    """Which cuts are used, and whether the pause fits there.

    The last one that keeps a segment within ``max_ticks`` and whose idle time holds the pause; else the first such within
    twice that; else the last within twice that, without; else the next. ``last`` is the scan's end.
    """
    chosen: list[tuple[int, bool]] = []
    if len(cuts.shot) < 2:
        return chosen
    fits = cuts.idle_to - cuts.idle_from >= need_ticks
    fitting = np.flatnonzero(fits).tolist()
    idle_from, idle_to = cuts.idle_from.tolist(), cuts.idle_to.tolist()
    start, row, n = idle_to[0], 1, len(idle_to)
    while row < n and last - start > max_ticks:
        within = max(bisect_right(idle_from, start + max_ticks), row + 1)
        twice = max(bisect_right(idle_from, start + 2 * max_ticks), row + 1)
        first, until = bisect_left(fitting, row), bisect_left(fitting, within)
        if first < until:
            pick, is_fit = fitting[until - 1], True
        elif first < len(fitting) and fitting[first] < twice:
            pick, is_fit = fitting[first], True
        else:
            pick, is_fit = twice - 1, False
        chosen.append((pick, is_fit))
        start, row = idle_to[pick], pick + 1
    return chosen
