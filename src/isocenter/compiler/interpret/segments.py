# SPDX-License-Identifier: MIT
"""Cutting a scan's tables into segments that are played one by one."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.gradients import GradientTracks
from isocenter.compiler.interpret.shim_lobes import LEAD_TICKS, ShimLobes
from isocenter.compiler.interpret.shots import Cuts
from isocenter.compiler.interpret.windows import RATE_LEAD_TICKS
from isocenter.domain.events import GRADIENT_CHANNELS, Readouts, Segment, Track

Ints = NDArray[np.int64]

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
    rows = [row for row, _ in chosen]
    idle_from, idle_to = cuts.idle_from[rows].tolist(), cuts.idle_to[rows].tolist()
    edges = [(tables.first, 0, True)]
    for (row, fit), start in zip(chosen, idle_to, strict=True):
        edges.append((start, 0, True) if fit else (*_dummies_before(cuts, row, dummies), False))
    measured, stops = [tables.first, *idle_to], [*idle_to, tables.last + LEAD_TICKS]
    ranges = zip(edges, measured, stops, [*idle_from, tables.last], strict=True)
    return [Plan(start, measure, stop, until, count, fit) for (start, count, fit), measure, stop, until in ranges]


def _dummies_before(cuts: Cuts, row: int, dummies: int) -> tuple[int, int]:
    """Where the dummy shots in front of a cut start, and how many there are."""
    shot = int(cuts.shot[row])
    rows = np.flatnonzero(~cuts.is_inner)
    start = rows[max(int(np.searchsorted(cuts.shot[rows], max(shot - dummies, 0), side="right")) - 1, 0)]
    return int(cuts.idle_to[start]), shot - int(cuts.shot[start])


def cut(
    tables: Tables,
    plans: list[Plan],
    lobes: ShimLobes,
    settle: int,
    clock_hz: float,
    gap_s: float,
    max_s: float,
) -> tuple[Segment, ...]:
    """Segments as planned.

    Parameters
    ----------
    tables
        Used up: where no shot is played twice, the segments take over the memory of the gradients' ticks.
    lobes
        The shim around the pauses.
    settle
        Least time between two gradient updates [ticks].
    gap_s
        Pause between two segments [s].
    max_s
        Longest idle segment [s], so that a stop takes effect in good time.
    """
    segments: list[Segment] = []
    late_s, origin, reach = 0.0, plans[0].start - lobes.lead, max(lobes.offsets)
    zeros = np.array([plan.start for plan in plans], dtype=np.int64) - lobes.lead
    parts = _parts(tables, plans, lobes, zeros)
    windows = _windows(tables.readouts, plans, zeros)
    for index, plan in enumerate(plans):
        zero = plan.start - lobes.lead
        rest = plan.active_until + 2 * reach + settle + 2 - zero
        end_tick = rest + 2 * reach + round(TAIL_S * clock_hz)
        idle: list[int] = []
        if index + 1 < len(plans) and plans[index + 1].fits:
            next_zero = plans[index + 1].start - lobes.lead
            end_tick, *idle = _wait_out(end_tick, next_zero - zero, round(gap_s * clock_hz), round(max_s * clock_hz))
        start_s = (zero - origin) / clock_hz + late_s
        if not plan.fits:
            due_s = segments[-1].start_s + segments[-1].end_tick / clock_hz + gap_s
            late_s += due_s - start_s
            start_s = due_s
        missing = lobes.missing(segments, start_s, clock_hz)
        tracks = {}
        for part in parts:
            if part.shim:
                head = lobes.head(part.channel, missing)
                tracks[part.name] = _shimmed_track(part, index, zero, head, end_tick - lobes.end + part.offset)
            elif (track := part.plain[index]) is not None:
                tracks[part.name] = track
        readouts, rates = _readouts_of(windows, index)
        if rates is not None:
            tracks["rx0_rate"] = rates
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
        _add_idle(segments, idle, lobes, clock_hz, gap_s)
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
        if lengths[-1] < gap / 10:  # not worth a segment
            lengths = [due - gap]
    lengths[-1] += due - sum(lengths) - gap * len(lengths)
    return [max(lengths[0], busy), *lengths[1:]]


def _add_idle(segments: list[Segment], lengths: list[int], lobes: ShimLobes, clock_hz: float, gap_s: float) -> None:
    """Append segments in which nothing happens but the shim."""
    for length in lengths:
        before = segments[-1]
        start_s = before.start_s + before.end_tick / clock_hz + gap_s
        segments.append(
            replace(
                before,
                index=before.index + 1,
                tracks=lobes.idle(length, lobes.missing(segments, start_s, clock_hz)),
                end_tick=length,
                start_s=start_s,
                readouts=before.readouts.slice(0, 0),
                n_dummy_shots=0,
            )
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """One channel and where each segment's share of it lies; lists hold one entry a segment.

    Attributes
    ----------
    name, track
        The channel and its changes on absolute ticks.
    low, high
        First event of each segment and the one behind its last; an event that only repeats the value at rest is left out.
    stop
        Absolute tick at which the channel goes to rest, None where it is there already.
    shim, offset, channel
        Value at rest; how far the channel's updates lie from the common slots [ticks]; number of a gradient channel.
    is_moved
        True when the ticks within ``low`` to ``high`` are already the segment's own.
    plain
        Tracks of a channel that rests at zero, on the segments' ticks; None where nothing happens.
    """

    name: str
    track: Track
    low: list[int]
    high: list[int]
    stop: list[int | None]
    shim: int
    offset: int
    channel: int = -1
    is_moved: bool = False
    plain: list[Track | None] = field(default_factory=list)


def _parts(tables: Tables, plans: list[Plan], lobes: ShimLobes, zeros: Ints) -> list[_Part]:
    """Every channel but rx0_rate."""
    starts = np.array([plan.start for plan in plans], dtype=np.int64)
    measured = np.array([plan.measure_from for plan in plans], dtype=np.int64)
    stops = np.array([plan.stop for plan in plans], dtype=np.int64)
    found = []
    for name, track in tables.tracks.items():
        part = _part(name, track, measured if name in _NOT_IN_DUMMIES else starts, stops, 0, 0)
        found.append(_with_plain(_moved_copy(part, zeros), zeros))
    gradients = tables.gradients
    for channel, (name, track) in enumerate(zip(GRADIENT_CHANNELS, gradients.tracks, strict=True)):
        part = _part(name, track, starts, stops, gradients.shim_codes[channel], lobes.offsets[channel])
        part = _move(replace(part, channel=channel), zeros)
        found.append(part if part.shim else _with_plain(part, zeros))
    return found


def _has_own_events(part: _Part) -> bool:
    """Whether no event belongs to two segments."""
    return all(low >= high for low, high in zip(part.low[1:], part.high[:-1], strict=True))


def _shifts(low: Ints | list[int], zeros: Ints, n: int) -> Ints:
    """How far each of ``n`` rows moves where those from ``low[i]`` on belong to segment i [ticks]."""
    return np.repeat(np.concatenate([[0], zeros]), np.diff(np.concatenate([[0], low, [n]])))


def _moved_copy(part: _Part, zeros: Ints) -> _Part:
    """The channel with a copy of its ticks turned into those of its segments, unless segments share events."""
    if not _has_own_events(part):
        return part
    ticks = part.track.ticks - _shifts(part.low, zeros, len(part.track.ticks))
    return replace(part, track=Track(ticks, part.track.values), is_moved=True)


def _move(part: _Part, zeros: Ints) -> _Part:
    """The channel with its ticks turned into those of its segments in place, unless segments share events.

    Gradients are most of a scan's events: a copy of them would cost as much as all the rest of the cutting.
    """
    ticks = part.track.ticks
    if not (_has_own_events(part) and ticks.flags.writeable):
        return part
    for low, high, zero in zip(part.low, part.high, zeros.tolist(), strict=True):
        own = ticks[low:high]
        own -= zero
    return replace(part, is_moved=True)


def _part(name: str, track: Track, starts: Ints, stops: Ints, shim: int, offset: int) -> _Part:
    """One channel cut at all edges at once."""
    starts, stops = starts + offset, stops + offset
    low, high = np.searchsorted(track.ticks, starts), np.searchsorted(track.ticks, stops)
    if not len(track.ticks):
        return _Part(name, track, low.tolist(), high.tolist(), [None] * len(starts), shim, offset)
    last_row = len(track.ticks) - 1
    # A first event that goes to rest: the segment before has already switched this output off.
    low += (low < high) & (track.values[np.minimum(low, last_row)] == shim)
    is_left_on = (low < high) & (track.values[np.minimum(high, last_row + 1) - 1] != shim)
    stop = [tick if is_on else None for tick, is_on in zip(stops.tolist(), is_left_on.tolist(), strict=True)]
    return _Part(name, track, low.tolist(), high.tolist(), stop, shim, offset)


def _with_plain(part: _Part, zeros: Ints) -> _Part:
    """The channel with the tracks of all segments."""
    ticks, values = part.track.ticks, part.track.values
    plain: list[Track | None] = []
    for low, high, stop, zero in zip(part.low, part.high, part.stop, zeros.tolist(), strict=True):
        if low >= high:
            plain.append(None)
            continue
        own, codes = ticks[low:high] if part.is_moved else ticks[low:high] - zero, values[low:high]
        if stop is not None:
            own, codes = np.append(own, stop - zero), np.append(codes, np.int32(0))
        plain.append(Track(own, codes))
    return replace(part, plain=plain)


def _shimmed_track(part: _Part, index: int, zero: int, head: tuple[Ints, Ints], off: int) -> Track:
    """A gradient channel on the segment's ticks, behind its shim and lobe; off at the end."""
    low, high, stop = part.low[index], part.high[index], part.stop[index]
    n, first = max(high - low, 0), len(head[0])
    length = first + n + 1 + (stop is not None)
    ticks, values = np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int32)
    ticks[:first], values[:first] = head
    np.subtract(part.track.ticks[low : low + n], 0 if part.is_moved else zero, out=ticks[first : first + n])
    values[first : first + n] = part.track.values[low : low + n]
    if stop is not None:
        ticks[first + n], values[first + n] = stop - zero, part.shim
    ticks[-1], values[-1] = off, 0
    return Track(ticks, values)


@dataclass(frozen=True, slots=True)
class _Windows:
    """All readouts, each on the ticks of its segment, and what else every segment needs of them.

    Attributes
    ----------
    readouts
        All readouts.
    low, high
        Rows of each segment.
    changes, rate_ticks
        Rows with a new decimation, and when it is set there [ticks of the segment].
    low_change, high_change
        Which changes lie behind the first readout of each segment.
    first_ticks
        When the first decimation of each segment is set [ticks of the segment].
    """

    readouts: Readouts
    low: list[int]
    high: list[int]
    changes: Ints
    rate_ticks: Ints
    low_change: list[int]
    high_change: list[int]
    first_ticks: Ints


def _windows(readouts: Readouts, plans: list[Plan], zeros: Ints) -> _Windows:
    """All segments' windows at once."""
    edges = np.array([[plan.measure_from for plan in plans], [plan.stop for plan in plans]], dtype=np.int64)
    low, high = np.searchsorted(readouts.window_tick, edges)
    shifts = _shifts(low, zeros, len(readouts))  # readouts are measured once, so no two segments share one
    moved = replace(
        readouts, window_tick=readouts.window_tick - shifts, first_sample_tick=readouts.first_sample_tick - shifts
    )
    changes = np.flatnonzero(np.diff(readouts.decimation)) + 1
    return _Windows(
        readouts=moved,
        low=low.tolist(),
        high=high.tolist(),
        changes=changes,
        rate_ticks=moved.window_tick[changes] - RATE_LEAD_TICKS,
        low_change=np.searchsorted(changes, low, side="right").tolist(),
        high_change=np.searchsorted(changes, high).tolist(),
        first_ticks=np.full(len(plans), _RATE_TICK, dtype=np.int64),
    )


def _readouts_of(windows: _Windows, index: int) -> tuple[Readouts, Track | None]:
    """Readouts of the segment on its ticks.

    With them the changes of decimation: the first near the segment's start, others just before their windows.
    """
    low, high = windows.low[index], windows.high[index]
    found = windows.readouts.slice(low, high)
    if low >= high:
        return found, None
    first, decimation = windows.first_ticks[index : index + 1], windows.readouts.decimation
    part = slice(windows.low_change[index], windows.high_change[index])
    if part.start >= part.stop:
        return found, Track(first, decimation[low : low + 1])
    rates = np.concatenate([decimation[low : low + 1], decimation[windows.changes[part]]])
    return found, Track(np.concatenate([first, windows.rate_ticks[part]]), rates)
