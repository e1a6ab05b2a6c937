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
    parts = _parts(tables, plans, offsets)
    windows = _edges(tables.readouts.window_tick, [plan.measure_from for plan in plans], [plan.stop for plan in plans])
    rate_changes = np.diff(tables.readouts.decimation, prepend=0) != 0
    for index, plan in enumerate(plans):
        zero = plan.start - LEAD_TICKS
        rest = plan.active_until + 2 * reach + settle + 2 - zero
        end_tick = rest + 2 * reach + round(TAIL_S * clock_hz)
        idle: list[int] = []
        if index + 1 < len(plans) and plans[index + 1].fits:
            next_zero = plans[index + 1].start - LEAD_TICKS
            end_tick, *idle = _wait_out(end_tick, next_zero - zero, round(gap_s * clock_hz), round(max_s * clock_hz))
        tracks = {}
        for name, track, edges in parts:
            low, high = edges[index]
            if name in GRADIENT_CHANNELS:
                channel = GRADIENT_CHANNELS.index(name)
                shim = tables.gradients.shim_codes[channel]
                shim_ticks = (_SHIM_TICK + offsets[channel], rest + reach + offsets[channel])
                part = _gradient_track(track, (low, high), plan.stop + offsets[channel] - zero, zero, shim, shim_ticks)
            else:
                part = _other_track(track, (low, high), plan.stop - zero, zero)
            if len(part.ticks):
                tracks[name] = part
        readouts = _readouts_of(tables.readouts, windows[index], zero)
        if len(readouts):
            tracks["rx0_rate"] = _rate_track(readouts, rate_changes[windows[index][0] : windows[index][1]])
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


_Edges = list[tuple[int, int]]


def _edges(ticks: Ints, starts: list[int], stops: list[int]) -> _Edges:
    """First event of each range, and the one behind its last."""
    low, high = np.searchsorted(ticks, np.array([starts, stops], dtype=np.int64))
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _parts(tables: Tables, plans: list[Plan], offsets: tuple[int, int, int]) -> list[tuple[str, Track, _Edges]]:
    """Every channel but rx0_rate with its events in each plan."""
    starts, measured, stops = (
        [plan.start for plan in plans],
        [plan.measure_from for plan in plans],
        [plan.stop for plan in plans],
    )
    found = []
    for name, track in tables.tracks.items():
        found.append((name, track, _edges(track.ticks, measured if name in _NOT_IN_DUMMIES else starts, stops)))
    for name, track, offset in zip(GRADIENT_CHANNELS, tables.gradients.tracks, offsets, strict=True):
        edges = _edges(track.ticks, [start + offset for start in starts], [stop + offset for stop in stops])
        found.append((name, track, edges))
    return found


def _other_track(track: Track, edges: tuple[int, int], stop: int, zero: int) -> Track:
    """A channel that rests at zero, on the segment's ticks."""
    low, high = edges
    if low < high and track.values[low] == 0:
        low += 1  # an output that the segment before has already switched off
    ticks, values = track.ticks[low:high] - zero, track.values[low:high]
    if low < high and values[-1] != 0:
        ticks, values = np.append(ticks, stop), np.append(values, np.int32(0))
    return Track(ticks, values)


def _gradient_track(
    track: Track, edges: tuple[int, int], stop: int, zero: int, shim: int, shim_ticks: tuple[int, int]
) -> Track:
    """A gradient channel on the segment's ticks, its shim switched on before and off after."""
    low, high = edges
    if low < high and track.values[low] == shim:
        low += 1
    plain = Track(track.ticks[low:high] - zero, track.values[low:high])
    is_at_rest = low >= high or plain.values[-1] == shim
    if is_at_rest and not shim:
        return plain
    ticks, values = [plain.ticks], [plain.values]
    if not is_at_rest:
        ticks.append(np.array([stop], dtype=np.int64))
        values.append(np.array([shim], dtype=np.int32))
    if shim:
        on, off = shim_ticks
        ticks = [np.array([on], dtype=np.int64), *ticks, np.array([off], dtype=np.int64)]
        values = [np.array([shim], dtype=np.int32), *values, np.array([0], dtype=np.int32)]
    return Track(np.concatenate(ticks), np.concatenate(values))


def _readouts_of(readouts: Readouts, edges: tuple[int, int], zero: int) -> Readouts:
    """Readouts of the segment on its ticks."""
    part = readouts.slice(*edges)
    return replace(part, window_tick=part.window_tick - zero, first_sample_tick=part.first_sample_tick - zero)


def _rate_track(readouts: Readouts, changed: NDArray[np.bool_]) -> Track:
    """Changes of decimation: the first near the segment's start, others just before their windows."""
    rows = 1 + np.flatnonzero(changed[1:])
    if not len(rows):
        return Track(np.array([_RATE_TICK], dtype=np.int64), readouts.decimation[:1])
    ticks = np.concatenate([[_RATE_TICK], readouts.window_tick[rows] - RATE_LEAD_TICKS])
    return Track(ticks, readouts.decimation[np.concatenate([[0], rows])])
