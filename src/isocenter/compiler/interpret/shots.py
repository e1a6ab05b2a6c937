# SPDX-License-Identifier: MIT
"""Where a scan may be cut, and how many shots bring the steady state back after a pause.

A shot starts with its excitation, or with the preparation in front of it (inversion, saturation). In a scan with
preparations only these start a shot, so that a train of excitations after one inversion stays whole. The wait behind an
inversion may be cut too, where it holds the pause: its timing stays, and there is no coherence that could be lost.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.gradients import GradientTracks
from isocenter.compiler.interpret.pulses import Pulses

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEADY_STATE_ERROR: Final = 0.01
_T1_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
_FLIP_ERROR: Final = 0.1  # B1 is that uneven
_COHERENCE_S: Final = 0.5  # five times a T2 of 100 ms, the longest of solid tissue at 50 mT
_DUMMY_SHARE: Final = 1 / 3  # of a segment, at most
_SAME_PHASE_RAD: Final = 0.02
_ALIKE: Final = 0.9  # idle times that are no longer apart than this are the same
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
    is_inner
        True in the wait behind an inversion: within a shot, so only where the pause fits.
    """

    idle_from: Ints
    idle_to: Ints
    shot: Ints
    is_inner: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What is done after a pause that TR does not hold, and what it leaves.

    Attributes
    ----------
    n_shots
        Played again without reception.
    pause_s
        How much longer that repetition is [s].
    residual_share
        Longitudinal magnetisation at the first shot that is measured then, over that of the steady state, less 1.
    """

    n_shots: int
    pause_s: float
    residual_share: float


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


def inner_pulses(pulses: Pulses, starts: Ints) -> Ints:
    """Row of each excitation that follows an inversion within its shot."""
    if not len(starts):
        return starts
    after = np.flatnonzero((pulses.kind[:-1] == "i") & (pulses.kind[1:] == "e")) + 1
    return np.setdiff1d(after[after > starts[0]], starts)


def find_cuts(
    gradients: GradientTracks,
    starts: Ints,
    gates: tuple[Ints, Ints],
    busy: tuple[Ints, Ints],
    reach: int,
    is_inner: Bools | None = None,
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
    is_inner
        Which of ``starts`` lie within a shot; None when all start one.
    """
    is_inner = np.zeros(len(starts), dtype=bool) if is_inner is None else is_inner
    span = np.searchsorted(gates[0], starts, side="right") - 1
    rise = gates[0][span]
    first_of_span = np.concatenate([[True], np.diff(span) > 0])
    before = np.searchsorted(busy[0], rise) - 1
    busy_until = np.where(before >= 0, busy[1][np.maximum(before, 0)], np.iinfo(np.int64).min // 4)
    low, high = _gradient_idle(gradients, rise)
    idle_from, idle_to = np.maximum(low, busy_until), np.minimum(high, rise)
    good = first_of_span & (idle_to >= idle_from) & (busy_until <= rise)
    idle_from = np.minimum(idle_from + reach, idle_to)
    return Cuts(idle_from[good], idle_to[good], (np.cumsum(~is_inner) - 1)[good], is_inner[good])


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


def recovery(pulses: Pulses, starts: Ints, clock_hz: float, pause_s: float, room_s: float) -> Recovery:
    """What brings the steady state back after a pause in it; decision 16 has what this leaves.

    Between two excitations of one slice, a deviation of the longitudinal magnetisation shrinks by cos(flip) exp(-TR/T1);
    the pause starts it as (1 - Mz) (1 - exp(-pause/T1)). Wanted is 1 %, for T1 from 0.1 to 4 s and a flip angle that is up
    to 10 % wrong; where shots follow each other faster than transverse magnetisation decays, 0.5 s as well.
    Shots are played again in whole periods of the pulses' phase only: others would meet what is left of the transverse
    magnetisation with a wrong phase, and disturb more than the pause did. So with RF spoiling there are none.

    Parameters
    ----------
    starts
        Row of the pulse that starts each shot.
    pause_s
        What the pause adds to one repetition [s].
    room_s
        Length of a segment [s]; a third of it may go to shots that are played again.
    """
    if len(starts) < 2:
        return Recovery(n_shots=0, pause_s=pause_s, residual_share=0.0)
    slices = slice_count(pulses)
    spacing_s = float(np.median(np.diff(pulses.start_tick[starts]))) / clock_hz
    excitations = pulses.flip_rad[pulses.kind == "e"]
    flip = float(np.median(excitations)) if len(excitations) else math.pi / 2
    repetition_s = spacing_s * slices
    needed = max(_repeats(flip, repetition_s, pause_s, t1_s) for t1_s in _T1_S)
    most = max(int(_DUMMY_SHARE * room_s / spacing_s), 0)
    step = slices
    if repetition_s < _COHERENCE_S:
        needed = max(needed, math.ceil(_COHERENCE_S / repetition_s)) if needed else 0
        step *= _phase_period(pulses.phase_rad[starts], most)
    n_shots = min(needed * slices, most) // step * step if step else 0
    left = (_deviation(flip, repetition_s, pause_s, n_shots // slices, t1_s) for t1_s in _T1_S)
    return Recovery(n_shots=n_shots, pause_s=pause_s, residual_share=max(left))


def _phase_period(phase_rad: Floats, most: int) -> int:
    """After so many shots the pulses' phases repeat, with few exceptions; 0 when they do not within ``most``."""
    for period in range(1, min(most, len(phase_rad) // 2) + 1):
        step = phase_rad[period:] - phase_rad[:-period]
        if np.mean(np.abs(np.angle(np.exp(1j * step))) < _SAME_PHASE_RAD) > _ALIKE:
            return period
    return 0


def _deviation(flip: float, repetition_s: float, pause_s: float, n_repeats: int, t1_s: float) -> float:
    """Longitudinal magnetisation after a pause and some repetitions, over that of the steady state, less 1."""
    decay = math.exp(-repetition_s / t1_s)
    start = decay * (1 - math.cos(flip)) / max(1 - decay, 1e-9) * (1 - math.exp(-pause_s / t1_s))
    return start * _shrinkage(flip, decay) ** n_repeats


def _shrinkage(flip: float, decay: float) -> float:
    """Of a deviation in one repetition, at the flip angle within its error that is worst."""
    return max(abs(math.cos(flip * (1 + error))) for error in (-_FLIP_ERROR, 0.0, _FLIP_ERROR)) * decay


def _repeats(flip: float, repetition_s: float, pause_s: float, t1_s: float) -> int:
    """Repetitions until the deviation is below the limit."""
    deviation = _deviation(flip, repetition_s, pause_s, 0, t1_s)
    factor = _shrinkage(flip, math.exp(-repetition_s / t1_s))
    if deviation <= STEADY_STATE_ERROR:
        return 0
    return math.ceil(math.log(STEADY_STATE_ERROR / deviation) / math.log(min(factor, 1 - 1e-6))) if factor > 1e-12 else 1


def slice_count(pulses: Pulses) -> int:
    """Different frequencies at which the scan excites: slices that take turns."""
    return max(1, len(np.unique(np.round(pulses.offset_hz[pulses.kind == "e"], 3))))


def choose_cuts(
    cuts: Cuts, last: int, need_ticks: float, max_ticks: float, repeated_ticks: float = 0.0
) -> list[tuple[int, bool]]:
    """Which cuts are used, and whether the pause fits there.

    The last one that keeps a segment within ``max_ticks`` and whose idle time holds the pause; else, of those with the
    longest idle time in the second half of ``max_ticks``, the last; else the next. ``last`` is the scan's end; a segment
    behind a cut where the pause does not fit begins with shots that are played again for ``repeated_ticks``.
    """
    chosen: list[tuple[int, bool]] = []
    idle = cuts.idle_to - cuts.idle_from
    usable = np.flatnonzero((idle >= need_ticks) | ~cuts.is_inner)
    if len(usable) < 2:
        return chosen
    fitting = np.flatnonzero(idle[usable] >= need_ticks).tolist()
    idle_from, idle_to = cuts.idle_from[usable].tolist(), cuts.idle_to[usable].tolist()
    start, row, n, room = idle_to[0], 1, len(idle_to), max_ticks
    while row < n and last - start > room:
        within = max(bisect_right(idle_from, start + room), row + 1)
        first, until = bisect_left(fitting, row), bisect_left(fitting, within)
        is_fit = first < until
        late = min(max(bisect_left(idle_from, start + room / 2), row), within - 1)
        pick = fitting[until - 1] if is_fit else late + _last_longest(idle[usable[late:within]])
        chosen.append((int(usable[pick]), is_fit))
        start, row, room = idle_to[pick], pick + 1, max_ticks - (0.0 if is_fit else repeated_ticks)
    return chosen


def _last_longest(idle: Ints) -> int:
    """The last of those that are about as long as the longest."""
    return int(np.flatnonzero(idle >= _ALIKE * idle.max())[-1])
