# SPDX-License-Identifier: MIT
"""Gradient channels: amplitude with shim, slew, root mean square, spacing of updates.

Slew of a staircase. The converter changes in steps, so the slope within a step is no measure. A step belongs to the shorter
of the two values that it joins: on a ramp made of equal cells that gives the ramp's slope. Cells are at least the update
interval long and less than two of them, so a step between two longer values is no part of a ramp but a jump; the fastest
that the converter could play it as a ramp is one update interval, and that is what it is divided by. A jump after a long
pause is thereby as steep as it is. Steps finer than the interval count together: what a channel changes within any one
interval, between its lowest and its highest value there, is divided by the interval.
"""

from typing import Final

import numpy as np

from isocenter.compiler.check.load import window_maximum
from isocenter.compiler.check.report import Finding
from isocenter.compiler.check.rf import lengthen_tr
from isocenter.compiler.check.timeline import GRADIENT_FULL_SCALE, Ints, Line, Timeline
from isocenter.compiler.pulseq.model import Floats
from isocenter.domain.events import GRADIENT_CHANNELS, CompiledScan
from isocenter.domain.scanner import GradientAxis, GradientBoard, Scanner, board_spacing_ticks

_SLACK: Final = 1.002  # rounding of cell lengths to ticks
_SLACK_CODES: Final = 2
_SWITCHED_SHIM_T_PER_M: Final = 0.5e-3  # in one step; at 0.2 m a change of 0.1 mT, far below what a nerve feels


def check_gradients(scan: CompiledScan, timeline: Timeline, scanner: Scanner) -> tuple[list[Finding], dict[str, float]]:
    """Findings and loads of the three channels."""
    findings: list[Finding] = []
    loads: dict[str, float] = {}
    full = GRADIENT_FULL_SCALE[scanner.gradients.board]
    spacing, is_shared = spacing_ticks(scanner)
    update_s = max(scanner.gradients.update_interval_s, spacing * (3 if is_shared else 1) / timeline.clock_hz)
    for number, (name, axis) in enumerate(zip(GRADIENT_CHANNELS, scanner.gradients.axes, strict=True)):
        line, letter = timeline.lines[name], name[-1]
        t_per_m_per_code = abs(axis.full_scale_t_per_m) / full
        found = [
            _amplitude(timeline, line, letter, axis, t_per_m_per_code),
            _slew(scan, timeline, line, number, axis, t_per_m_per_code, update_s),
            _rms(scan, timeline, line, letter, axis, t_per_m_per_code),
        ]
        for finding, load, limit in found:
            loads[limit] = load
            findings += [finding] if finding else []
    findings += _spacing(timeline, scanner)
    return findings, loads


_Outcome = tuple[Finding | None, float, str]


def _amplitude(timeline: Timeline, line: Line, letter: str, axis: GradientAxis, t_per_m_per_code: float) -> _Outcome:
    limit = f"{letter} gradient amplitude"
    place = int(np.argmax(np.abs(line.values)))
    asked = float(abs(line.values[place])) * t_per_m_per_code
    load = asked / axis.max_t_per_m
    if asked <= axis.max_t_per_m + t_per_m_per_code:
        return None, load, limit
    remedy = f"Enlarge the field of view or lengthen the gradient at least {load:.3f} times; the shim counts as well."
    return _finding(timeline, limit, (asked, axis.max_t_per_m), "mT/m", line.ticks[place], remedy), load, limit


def _slew(
    scan: CompiledScan,
    timeline: Timeline,
    line: Line,
    number: int,
    axis: GradientAxis,
    t_per_m_per_code: float,
    update_s: float,
) -> _Outcome:
    limit = f"{'xyz'[number]} gradient slew"
    steps = np.abs(np.diff(line.values))
    if not np.any(steps):
        return None, 0.0, limit
    steps[shim_switches(scan, timeline, line, number, t_per_m_per_code)] = 0
    steps = _within(line, steps, np.floor(update_s * timeline.clock_hz) - 2)
    asked = steps * t_per_m_per_code / (cell_ticks(line.ticks, update_s * timeline.clock_hz) / timeline.clock_hz)
    place = int(np.argmax(asked))
    worst = float(asked[place])
    load = worst / axis.max_slew_t_per_m_s
    if worst <= axis.max_slew_t_per_m_s * _SLACK + _SLACK_CODES * t_per_m_per_code / update_s:
        return None, load, limit
    remedy = f"Lengthen the ramps at least {load:.2f} times, or enlarge the field of view."
    pair = (worst, axis.max_slew_t_per_m_s)
    return _finding(timeline, limit, pair, "T/m/s", line.ticks[place + 1], remedy), load, limit


def _within(line: Line, steps: Ints, ticks: float) -> Ints:
    """Each step together with those that follow within some ticks: the largest change in that time, shape ``(n - 1,)``."""
    largest = steps.copy()
    low, high = np.minimum(line.values[:-1], line.values[1:]), np.maximum(line.values[:-1], line.values[1:])
    for ahead in range(1, len(steps)):
        near = line.ticks[1 + ahead :] - line.ticks[1:-ahead] < ticks
        near &= steps[ahead:] > 0
        if not np.any(line.ticks[1 + ahead :] - line.ticks[1:-ahead] < ticks):
            break
        low[:-ahead] = np.where(near, np.minimum(low[:-ahead], line.values[1 + ahead :]), low[:-ahead])
        high[:-ahead] = np.where(near, np.maximum(high[:-ahead], line.values[1 + ahead :]), high[:-ahead])
        largest[:-ahead] = np.where(near & (steps[:-ahead] > 0), (high - low)[:-ahead], largest[:-ahead])
    return largest


def cell_ticks(ticks: Ints, update_ticks: float) -> Floats:
    """Time over which each step counts [ticks]; see the head of this module. Shape ``(n - 1,)``."""
    holds = np.diff(ticks, append=ticks[-1] + round(1e9)).astype(np.float64)
    shorter = np.minimum(holds[:-1], holds[1:])
    return np.where(shorter >= 2 * update_ticks + 1, update_ticks, np.maximum(shorter, update_ticks))


def shim_switches(scan: CompiledScan, timeline: Timeline, line: Line, number: int, t_per_m_per_code: float) -> Ints:
    """Steps with which a segment takes up a small shim from 0, or gives it back; the driver does these in its own time."""
    places: list[int] = []
    firsts = np.searchsorted(line.ticks, timeline.start_ticks)
    lasts = np.append(firsts[1:], len(line.ticks)) - 1
    for segment, first, last in zip(scan.segments, firsts.tolist(), lasts.tolist(), strict=True):
        shim = segment.shim_codes[number]
        if not shim or first == last:
            continue
        if line.values[first] == 0 and line.values[first + 1] == shim:
            places.append(first)
        if line.values[last] == 0 and line.values[last - 1] == shim:
            places.append(last - 1)
        if first and line.values[first] == shim and line.values[first - 1] == 0:
            places.append(first - 1)
        if last + 1 < len(line.ticks) and line.values[last] == shim:
            places.append(last)  # the driver takes the shim away between two segments
    switched = np.array(places, dtype=np.int64)
    small: Ints = switched[np.abs(np.diff(line.values)[switched]) * t_per_m_per_code <= _SWITCHED_SHIM_T_PER_M]
    return small


def _rms(
    scan: CompiledScan, timeline: Timeline, line: Line, letter: str, axis: GradientAxis, t_per_m_per_code: float
) -> _Outcome:
    limit = f"{letter} gradient RMS in one second"
    scale = t_per_m_per_code / axis.max_rms_t_per_m
    power = np.square(line.values * scale)
    if power[-1]:
        line = Line(ticks=np.append(line.ticks, timeline.end_ticks[-1]), values=np.append(line.values, 0))
        power = np.append(power, 0.0)
    squared, start = window_maximum(line.ticks, power, int(timeline.clock_hz), 1.0)
    load = float(np.sqrt(squared))
    if load <= 1.0001:
        return None, load, limit
    remedy = lengthen_tr(scan, load**2) + f" or enlarge the field of view {load:.2f} times."
    pair = (load * axis.max_rms_t_per_m, axis.max_rms_t_per_m)
    return _finding(timeline, limit, pair, "mT/m", start, remedy), load, limit


def _finding(timeline: Timeline, limit: str, pair: tuple[float, float], unit: str, tick: float, remedy: str) -> Finding:
    scale = 1e3 if unit == "mT/m" else 1.0
    return Finding(
        limit=limit,
        requested=pair[0] * scale,
        allowed=pair[1] * scale,
        unit=unit,
        event=f"the {limit[0]} gradient in segment {max(timeline.segment_of(tick), 0)}",
        time_s=max(timeline.time_s(tick), 0.0),
        remedy=remedy,
    )


def spacing_ticks(scanner: Scanner) -> tuple[int, bool]:
    """Shortest time between two updates of the board [ticks], and whether the channels share one line."""
    gradients = scanner.gradients
    return board_spacing_ticks(gradients.board, gradients.spi_divider), gradients.board is GradientBoard.GPA_FHDO


def _spacing(timeline: Timeline, scanner: Scanner) -> list[Finding]:
    """Updates that follow each other faster than the board's serial line can send them."""
    needed, is_shared = spacing_ticks(scanner)
    ticks = np.sort(np.concatenate([_changes(timeline.lines[name]) for name in GRADIENT_CHANNELS]), kind="stable")
    gaps = np.diff(ticks)
    if not is_shared:
        gaps = np.where(gaps == 0, needed, gaps)
    if not np.any(gaps < needed):
        return []
    place = int(np.argmin(gaps))
    return [
        Finding(
            limit="gradient update spacing",
            requested=float(gaps[place]),
            allowed=float(needed),
            unit="ticks",
            event=f"the gradient board in segment {timeline.segment_of(ticks[place])}",
            time_s=timeline.time_s(ticks[place]),
            remedy="Set a longer update_interval in the hardware file, or a smaller spi_divider.",
        )
    ]


def _changes(line: Line) -> Ints:
    """Ticks at which a new value is sent."""
    sent: Ints = line.ticks[1:][np.diff(line.values) != 0]
    return sent
