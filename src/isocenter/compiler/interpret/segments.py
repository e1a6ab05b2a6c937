# SPDX-License-Identifier: MIT
"""Cutting a scan's tables into segments that are played one by one."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.gradients import GradientTracks
from isocenter.compiler.interpret.shots import Cuts
from isocenter.compiler.interpret.windows import RATE_LEAD_TICKS
from isocenter.domain.events import GRADIENT_CHANNELS, Readouts, Segment, Track

Ints = NDArray[np.int64]

LEAD_TICKS: Final = 6144
"""From a segment's tick 0 to its first event: time for the console's set-up and the shim [ticks]."""
_SHIM_TICK: Final = 2048
_RATE_TICK: Final = 1024
TAIL_S: Final = 60e-6
"""All outputs are zero that long at the end: the decimator and the serial lines run out (reference marcos.md 13, G3) [s]."""
_NOT_IN_DUMMIES: Final = ("rx0_en", "rx_gate", "trig_out", "leds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A whole scan on absolute ticks.

    Attributes
    ----------
    tracks
        All channels but the gradients and rx0_rate.
    gradients
        The three gradient channels.
    readouts
        All readouts; ticks absolute.
    first, last
        First and last tick at which something happens.
    """

    tracks: dict[str, Track]
    gradients: GradientTracks
    readouts: Readouts
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One segment to be made [absolute ticks].

    Attributes
    ----------
    start, measure_from, stop, active_until
        First event (of a dummy shot, where there are any); first event of the first measured shot; cut to the next
        segment; when the last event is over.
    dummies
        Shots before ``measure_from``.
    fits
        True when the pause before it is part of the sequence's own timing.
    """

    start: int
    measure_from: int
    stop: int
    active_until: int
    dummies: int
    fits: bool


def plan_segments(cuts: Cuts, chosen: list[tuple[int, bool]], tables: Tables, dummies: int) -> list[Plan]:
    """Ranges of all segments."""
    edges = [(tables.first, 0, True)]
    for row, fit in chosen:
        shot = int(cuts.shot[row])
        start = row if fit else int(np.searchsorted(cuts.shot, max(shot - dummies, 0), side="right")) - 1
        edges.append((int(cuts.idle_to[max(start, 0)]), 0 if fit else shot - int(cuts.shot[max(start, 0)]), fit))
    plans = []
    for number, (start, count, fit) in enumerate(edges):
        measure_from = tables.first if number == 0 else int(cuts.idle_to[chosen[number - 1][0]])
        is_last = number == len(edges) - 1
        stop = tables.last + LEAD_TICKS if is_last else int(cuts.idle_to[chosen[number][0]])
        until = tables.last if is_last else int(cuts.idle_from[chosen[number][0]])
        plans.append(Plan(start, measure_from, stop, until, count, fit))
    return plans


def cut(
    tables: Tables,
    plans: list[Plan],
    offsets: tuple[int, int, int],
    settle: int,
    clock_hz: float,
    gap_s: float,
    max_s: float,
) -> tuple[Segment, ...]:
    """Segments as planned.

    Parameters
    ----------
    offsets
        How far each gradient channel's updates lie from the common slots [ticks].
    settle
        Least time between two gradient updates [ticks].
    gap_s
        Pause between two segments [s].
    max_s
        Longest idle segment [s], so that a stop takes effect in good time.
    """
    segments: list[Segment] = []
    late_s, origin, reach = 0.0, plans[0].start - LEAD_TICKS, max(offsets)
    for index, plan in enumerate(plans):
        zero = plan.start - LEAD_TICKS
        rest = plan.active_until + 2 * reach + settle + 2 - zero
        end_tick = rest + 2 * reach + round(TAIL_S * clock_hz)
        idle: list[int] = []
        if index + 1 < len(plans) and plans[index + 1].fits:
            next_zero = plans[index + 1].start - LEAD_TICKS
            end_tick, *idle = _wait_out(end_tick, next_zero - zero, round(gap_s * clock_hz), round(max_s * clock_hz))
        tracks = _other_tracks(tables, plan, zero)
        for channel, name in enumerate(GRADIENT_CHANNELS):
            shim = tables.gradients.shim_codes[channel]
            bounds = (plan.start + offsets[channel], plan.stop + offsets[channel])
            shim_ticks = (_SHIM_TICK + offsets[channel], rest + reach + offsets[channel])
            track = _gradient_track(tables.gradients.tracks[channel], bounds, zero, shim, shim_ticks)
            if len(track.ticks):
                tracks[name] = track
        readouts = _readouts_of(tables.readouts, plan, zero)
        if len(readouts):
            tracks["rx0_rate"] = _rate_track(readouts)
        start_s = (zero - origin) / clock_hz + late_s
        if not plan.fits:
            due_s = segments[-1].start_s + segments[-1].end_tick / clock_hz + gap_s
            late_s += due_s - start_s
            start_s = due_s
        segments.append(
            Segment(
                index=len(segments),
                tracks=tracks,
                end_tick=end_tick,
                start_s=start_s,
                readouts=readouts,
                n_dummy_shots=plan.dummies,
                shim_codes=tables.gradients.shim_codes,
            )
        )
        segments += _idle_segments(segments[-1], idle, clock_hz, gap_s)
    return tuple(segments)


def _wait_out(busy: int, due: int, gap: int, longest: int) -> list[int]:
    """Lengths of segments that fill the time until the next one is due, each followed by a gap [ticks].

    The console itself waits out a sequence's idle time: what the host has to time is short and always the same. The first
    length is that of the segment which has events until ``busy``; others follow where one would be too long to be stopped.
    """
    n = max(-(-(due - gap) // (longest + gap)), 1)
    each = due // n - gap
    if n == 1 or each >= busy:
        lengths = [each] * n
    else:  # what is left after the busy one is shared out among the others
        rest = due - busy - gap
        n = max(-(-rest // (longest + gap)), 1)
        lengths = [busy, *([rest // n - gap] * n)]
        if lengths[-1] < gap:
            lengths = [due - gap]
    lengths[-1] += due - sum(lengths) - gap * len(lengths)
    return [max(lengths[0], busy), *lengths[1:]]


def _idle_segments(before: Segment, lengths: list[int], clock_hz: float, gap_s: float) -> list[Segment]:
    """Segments in which nothing happens, one after the other behind ``before``."""
    found: list[Segment] = []
    for length in lengths:
        start_s = before.start_s + before.end_tick / clock_hz + gap_s
        readouts = before.readouts.slice(0, 0)
        before = replace(
            before, index=before.index + 1, tracks={}, end_tick=length, start_s=start_s, readouts=readouts, n_dummy_shots=0
        )
        found.append(before)
    return found


def _other_tracks(tables: Tables, plan: Plan, zero: int) -> dict[str, Track]:
    """Channels that rest at zero, on the segment's ticks."""
    tracks = {}
    for name, track in tables.tracks.items():
        start = plan.measure_from if name in _NOT_IN_DUMMIES else plan.start
        low, high = np.searchsorted(track.ticks, [start, plan.stop])
        if low < high and track.values[low] == 0:
            low += 1  # an output that the segment before has already switched off
        ticks, values = track.ticks[low:high] - zero, track.values[low:high]
        if len(values) and values[-1] != 0:
            ticks, values = np.append(ticks, plan.stop - zero), np.append(values, np.int32(0))
        if len(ticks):
            tracks[name] = Track(ticks, values)
    return tracks


def _gradient_track(track: Track, bounds: tuple[int, int], zero: int, shim: int, shim_ticks: tuple[int, int]) -> Track:
    """A gradient channel on the segment's ticks, its shim switched on before and off after."""
    low, high = np.searchsorted(track.ticks, bounds)
    if low < high and track.values[low] == shim:
        low += 1
    ticks, values = [track.ticks[low:high] - zero], [track.values[low:high]]
    if low < high and values[0][-1] != shim:
        ticks.append(np.array([bounds[1] - zero], dtype=np.int64))
        values.append(np.array([shim], dtype=np.int32))
    if shim:
        on, off = shim_ticks
        ticks = [np.array([on], dtype=np.int64), *ticks, np.array([off], dtype=np.int64)]
        values = [np.array([shim], dtype=np.int32), *values, np.array([0], dtype=np.int32)]
    return Track(np.concatenate(ticks), np.concatenate(values))


def _readouts_of(readouts: Readouts, plan: Plan, zero: int) -> Readouts:
    """Readouts of the segment on its ticks."""
    low, high = np.searchsorted(readouts.window_tick, [plan.measure_from, plan.stop])
    part = readouts.slice(int(low), int(high))
    return replace(part, window_tick=part.window_tick - zero, first_sample_tick=part.first_sample_tick - zero)


def _rate_track(readouts: Readouts) -> Track:
    """Changes of decimation: the first near the segment's start, others just before their windows."""
    changed = np.concatenate([[True], np.diff(readouts.decimation) != 0])
    ticks = np.where(np.arange(len(readouts)) == 0, _RATE_TICK, readouts.window_tick - RATE_LEAD_TICKS)
    return Track(ticks[changed], readouts.decimation[changed])
