# SPDX-License-Identifier: MIT
"""The tables of all segments on one clock, checked to be well formed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.check.report import Finding
from isocenter.domain.events import CHANNELS, CompiledScan, Segment, Track
from isocenter.domain.receiver import MAX_DECIMATION
from isocenter.domain.scanner import GradientBoard, Scanner

Ints = NDArray[np.int64]

GRADIENT_FULL_SCALE: Final = {GradientBoard.OCRA1: 131071, GradientBoard.GPA_FHDO: 32767}
"""Code of a gradient of ``full_scale_t_per_m``. Source: reference marcos.md 11.2 and 11.3."""

_REPORT: Final = "This is a fault of the program: keep the sequence and report it. Do not scan."
_LONGEST_SCAN_S: Final = 24 * 3600.0
_NONE: Final = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One channel over the whole scan: ``values[i]`` holds from ``ticks[i]`` on; 0 again at each segment's start.

    Ticks count from the start of the scan, shape ``(n,)``; values, shape ``(n,)``.
    """

    ticks: Ints
    values: Ints

    def at(self, ticks: Ints) -> Ints:
        """Value at given ticks."""
        place = np.searchsorted(self.ticks, ticks, side="right") - 1
        return (
            np.where(place >= 0, self.values[np.maximum(place, 0)], 0)
            if len(self.values)
            else np.zeros(len(ticks), np.int64)
        )

    def intervals(self) -> tuple[Ints, Ints]:
        """Starts and ends of the stretches in which the value is not 0 [ticks]."""
        return stretches(self.ticks, self.values != 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All channels of a scan.

    Attributes
    ----------
    lines
        By channel; every channel is there.
    start_ticks, end_ticks
        Of each segment, from the start of the scan.
    clock_hz
        Ticks per second [Hz].
    """

    lines: dict[str, Line]
    start_ticks: Ints
    end_ticks: Ints
    clock_hz: float

    def time_s(self, tick: float) -> float:
        """Time in the scan [s]."""
        return float(tick) / self.clock_hz

    def segment_of(self, tick: float) -> int:
        """Number of the segment that plays at a tick."""
        return int(np.searchsorted(self.start_ticks, tick, side="right")) - 1


def stretches(ticks: Ints, is_on: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Starts and ends of the stretches in which something is on; it must be off at the end."""
    change = np.flatnonzero(np.diff(is_on, prepend=False))
    edges = ticks[change]
    if len(edges) % 2:  # still on at the end; reported elsewhere
        edges = np.append(edges, ticks[-1] + 1)
    return edges[0::2], edges[1::2]


def fault(limit: str, event: str, time_s: float = float("nan")) -> Finding:
    """A table that no correct program makes."""
    nan = float("nan")
    return Finding(limit=limit, requested=nan, allowed=nan, unit="", event=event, time_s=time_s, remedy=_REPORT)


def build_timeline(scan: CompiledScan, scanner: Scanner) -> tuple[Timeline | None, list[Finding]]:
    """All segments on one clock; None, with the reasons, if their tables are malformed."""
    findings = list(_malformed(scan, scanner))
    if findings:
        return None, findings
    starts = np.array([round(segment.start_s * scan.clock_hz) for segment in scan.segments], dtype=np.int64)
    ends = starts + np.array([segment.end_tick for segment in scan.segments], dtype=np.int64)
    findings += [
        fault("segment order", f"segment {index + 1} starts before segment {index} ends", scan.segments[index + 1].start_s)
        for index in np.flatnonzero(starts[1:] < ends[:-1]).tolist()
    ]
    if findings:
        return None, findings
    lines = {name: _join(name, scan.segments, starts) for name in CHANNELS}
    return Timeline(lines=lines, start_ticks=starts, end_ticks=ends, clock_hz=scan.clock_hz), []


def _join(name: str, segments: tuple[Segment, ...], starts: Ints) -> Line:
    ticks: list[Ints] = []
    values: list[NDArray[np.int32]] = []
    for segment, start in zip(segments, starts.tolist(), strict=True):
        track = segment.tracks.get(name)
        if track is None or not len(track.ticks) or track.ticks[0] > 0:
            ticks.append(np.array([start], dtype=np.int64))
            values.append(np.zeros(1, dtype=np.int32))
        if track is not None and len(track.ticks):
            ticks.append(track.ticks + start)
            values.append(track.values)
    return Line(
        ticks=np.concatenate(ticks) if ticks else _NONE, values=np.concatenate(values).astype(np.int64) if values else _NONE
    )


def _malformed(scan: CompiledScan, scanner: Scanner) -> Iterator[Finding]:
    if not scan.segments:
        yield fault("segments", "the scan has no segments")
    if not (np.isfinite(scan.clock_hz) and scan.clock_hz > 0):
        yield fault("console clock", f"the scan counts with a clock of {scan.clock_hz} Hz")
        return
    ranges = _ranges(scanner)
    for segment in scan.segments:
        end_s = segment.start_s + segment.end_tick / scan.clock_hz
        if not (0 <= segment.start_s < end_s <= _LONGEST_SCAN_S):  # in this form NaN fails too
            yield fault(
                "segment times", f"segment {segment.index} starts at {segment.start_s} s and lasts {segment.end_tick} ticks"
            )
            continue
        for name, track in segment.tracks.items():
            event = f"{name} in segment {segment.index}"
            if name not in ranges:
                yield fault("channels", f"{event} is not a channel of this console", segment.start_s)
                continue
            if finding := _bad_track(track, segment, event, ranges[name], scan.clock_hz):
                yield finding


def _ranges(scanner: Scanner) -> dict[str, tuple[int, int]]:
    """Smallest and largest value of each channel."""
    full = GRADIENT_FULL_SCALE[scanner.gradients.board]
    ranges = dict.fromkeys(CHANNELS, (0, 1))
    ranges |= dict.fromkeys(("tx0_i", "tx0_q"), (-32767, 32767))
    ranges |= dict.fromkeys(("grad_vx", "grad_vy", "grad_vz"), (-full - 1, full))
    return ranges | {"rx0_rate": (0, MAX_DECIMATION), "rx1_rate": (0, MAX_DECIMATION), "leds": (0, 255)}


def _bad_track(track: Track, segment: Segment, event: str, allowed: tuple[int, int], clock_hz: float) -> Finding | None:
    ticks, values = track.ticks, track.values
    if ticks.dtype != np.int64 or values.dtype.kind != "i" or ticks.ndim != 1 or ticks.shape != values.shape:
        return fault(
            "table format",
            f"{event} has ticks {ticks.dtype}{ticks.shape} and values {values.dtype}{values.shape}",
            segment.start_s,
        )
    if not len(ticks):
        return None
    later = np.diff(ticks) > 0
    if not np.all(later):
        bad = float(ticks[int(np.argmin(later)) + 1])
        return fault(
            "order of events", f"{event} has two changes at one tick, or goes back in time", segment.start_s + bad / clock_hz
        )
    if ticks[0] < 0 or ticks[-1] >= segment.end_tick:
        return fault(
            "end of segment", f"{event} changes before the start or at or behind the end of its segment", segment.start_s
        )
    low, high = int(values.min()), int(values.max())
    if low < allowed[0] or high > allowed[1]:
        worst = high if high > allowed[1] else low
        place = int(np.argmax(values == worst))
        return Finding(
            limit=f"{event.partition(' ')[0]} range",
            requested=float(worst),
            allowed=float(allowed[1] if high > allowed[1] else allowed[0]),
            unit="",
            event=event,
            time_s=segment.start_s + float(ticks[place]) / clock_hz,
            remedy="Lower the amplitude of this channel: the converter has no such value.",
        )
    return None
