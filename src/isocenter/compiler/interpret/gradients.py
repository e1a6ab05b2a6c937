# SPDX-License-Identifier: MIT
"""Gradients: from Pulseq's events on logical axes to DAC codes on channels.

The waveforms are turned, summed and shimmed as exact piecewise linear functions; only then are they cut into cells.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.timeline import Timeline
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.errors import LimitError
from isocenter.domain.events import GRADIENT_CHANNELS, Track
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import Calibration, GradientBoard, GradientSystem, Scanner, board_spacing_ticks
from isocenter.domain.units import GAMMA_HZ_PER_T

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Line = tuple[Floats, Floats]
GradientLoad = tuple[float, float, float]
"""Peak [T/m], slew [T/m/s], integral of the square [T²s/m²] of one channel; a step that follows another sooner than the
shortest time between updates counts as one over this time."""

CODE_RANGE: Final = {GradientBoard.OCRA1: (-131072, 131071), GradientBoard.GPA_FHDO: (-32768, 32767)}


def spacing_ticks(gradients: GradientSystem) -> int:
    """Smallest distance of two transfers to the gradient board [ticks]."""
    return board_spacing_ticks(gradients.board, gradients.spi_divider)


def interval_ticks(gradients: GradientSystem, clock_hz: float) -> float:
    """Smallest distance of two updates of one channel that the compiler uses [ticks]."""
    shared = 1 if gradients.board is GradientBoard.OCRA1 else len(GRADIENT_CHANNELS)
    return max(gradients.update_interval_s * clock_hz, float(shared * spacing_ticks(gradients)))


def channel_offsets(gradients: GradientSystem) -> tuple[int, int, int]:
    """How far each channel's updates lie from the common update times [ticks]."""
    if gradients.board is GradientBoard.OCRA1:
        return (0, 0, 0)
    spacing = spacing_ticks(gradients)  # one line for all channels: one after the other, centred
    return (-spacing, 0, spacing)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientTracks:
    """Codes of the three channels over the whole scan, on its absolute ticks.

    Attributes
    ----------
    tracks
        Changes of channels x, y, z. Between lobes a channel rests at its shim code.
    shim_codes
        Codes at rest.
    slots
        Common update times, int64 [ticks].
    slot_is_zero, cell_is_zero
        Whether every waveform is zero at a slot, and from it to the next.
    t_per_m_per_code
        Gradient of one code [T/m].
    loads
        Load of each channel over the whole scan.
    """

    tracks: tuple[Track, Track, Track]
    shim_codes: tuple[int, int, int]
    slots: Ints
    slot_is_zero: NDArray[np.bool_]
    cell_is_zero: NDArray[np.bool_]
    t_per_m_per_code: tuple[float, float, float]
    loads: tuple[GradientLoad, GradientLoad, GradientLoad]


def logical_lines(file: PulseqFile, timeline: Timeline) -> tuple[Line, Line, Line]:
    """Waveforms on the logical axes [ticks, Hz/m], rotations of blocks applied."""
    blocks = file.blocks
    points = _event_points(file, timeline.clock_hz)
    uses = tuple(np.flatnonzero(rows >= 0) for rows in (blocks.gx, blocks.gy, blocks.gz))
    rows = (blocks.gx, blocks.gy, blocks.gz)
    if timeline.rotation is None:
        x, y, z = (_flatten(file, timeline, points, use, row[use], None) for use, row in zip(uses, rows, strict=True))
        return x, y, z
    turned = []
    for axis in range(3):
        parts = [
            _flatten(file, timeline, points, use, row[use], timeline.rotation[use, axis, source])
            for source, (use, row) in enumerate(zip(uses, rows, strict=True))
        ]
        turned.append(combine(parts, (1.0, 1.0, 1.0)))
    return turned[0], turned[1], turned[2]


def combine(lines: list[Line] | tuple[Line, ...], factors: tuple[float, float, float] | Floats) -> Line:
    """Sum of waveforms times factors."""
    from isocenter.compiler.interpret.lines import add_lines

    used = [(times, values * factor) for (times, values), factor in zip(lines, factors, strict=True) if abs(factor) > 1e-12]
    if not used:
        return np.empty(0), np.empty(0)
    bounds = np.cumsum([0] + [len(times) for times, _ in used])
    summed: Line = add_lines(np.concatenate([t for t, _ in used]), np.concatenate([v for _, v in used]), bounds)
    return summed


_Points = tuple[Ints, Ints, Floats, Floats]


def _event_points(file: PulseqFile, clock_hz: float) -> _Points:
    """First point and count of each gradient event; all points [ticks, Hz/m]."""
    events = file.gradients
    counts = np.array([len(times) for times in events.times_s], dtype=np.int64)
    if not len(counts):
        return counts, counts, np.empty(0), np.empty(0)
    times = np.concatenate(events.times_s) + np.repeat(events.delay_s, counts)
    values = np.concatenate(events.shape) * np.repeat(events.amplitude_hz_per_m, counts)
    return np.cumsum(counts) - counts, counts, times * clock_hz, values


def _flatten(
    file: PulseqFile, timeline: Timeline, points: _Points, blocks: Ints, events: Ints, factors: Floats | None
) -> Line:
    """One axis' uses of gradients as one waveform; edges that join nothing fall to zero at once."""
    del file
    first, count, times, values = points
    if not len(blocks):
        return np.empty(0), np.empty(0)
    start = timeline.start_ticks[blocks]
    scale = np.ones(len(blocks)) if factors is None else factors
    begin, end = first[events], first[events] + count[events] - 1
    joined = np.abs((start + times[begin])[1:] - (start + times[end])[:-1]) < 0.5
    joined_before, joined_after = np.concatenate([[False], joined]), np.concatenate([joined, [False]])
    guard_before = ((values[begin] * scale != 0) & ~joined_before).astype(np.int64)
    guard_after = ((values[end] * scale != 0) & ~joined_after).astype(np.int64)
    n = count[events]
    total = n + guard_before + guard_after
    at = np.cumsum(total) - total
    out_t, out_v = np.zeros(int(total.sum())), np.zeros(int(total.sum()))
    within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
    source, target = within + np.repeat(begin, n), within + np.repeat(at + guard_before, n)
    out_t[target] = times[source] + np.repeat(start, n)
    out_v[target] = values[source] * np.repeat(scale, n)
    before, after = guard_before > 0, guard_after > 0
    out_t[at[before]] = (start + times[begin])[before]
    out_t[(at + total - 1)[after]] = (start + times[end])[after]
    return out_t, out_v


def make_gradients(
    file: PulseqFile,
    scanner: Scanner,
    calibration: Calibration,
    placement: Placement,
    timeline: Timeline,
    lines: tuple[Line, Line, Line],
) -> GradientTracks:
    """DAC codes of the whole scan.

    Parameters
    ----------
    lines
        Waveforms on the logical axes, see ``logical_lines``.

    Raises
    ------
    LimitError
        When a waveform with its shim is beyond the range of the DAC.
    """
    from isocenter.compiler.interpret.cells import most_changes, play_channel
    from isocenter.compiler.interpret.lines import find_corners
    from isocenter.compiler.interpret.slots import place_slots

    system, clock_hz = scanner.gradients, scanner.console.clock_hz
    lowest, highest = CODE_RANGE[system.board]
    per_code = np.array([axis.full_scale_t_per_m / highest for axis in system.axes])
    shim = np.round(np.asarray(calibration.shim_t_per_m) / per_code).astype(np.int64)
    matrix = system.channel_from_device @ placement.device_from_logical / (per_code[:, None] * GAMMA_HZ_PER_T)
    channels = []
    for channel, axis in enumerate(system.axes):
        times, codes = combine(lines, matrix[channel])
        _check_range(file, timeline, (channel, times, codes), (int(shim[channel]), lowest, highest), per_code[channel])
        channels.append((times - axis.delay_s * clock_hz, codes))
    interval = interval_ticks(system, clock_hz)
    bounds = np.cumsum([0] + [len(times) for times, _ in channels])
    together = np.concatenate([t for t, _ in channels]), np.concatenate([v for _, v in channels])
    exact, slots = place_slots(*find_corners(*together, bounds, 1e-7), interval)
    spacing = spacing_ticks(system)
    offsets = channel_offsets(system)

    room = most_changes(exact, 4 * interval)

    def play(channel: int) -> tuple[Track, GradientLoad]:
        phase = channel * spacing if system.board is GradientBoard.OCRA1 else 0
        grid = (phase, 3 * spacing, int(interval) + 3 * spacing)
        limits = (int(shim[channel]), lowest, highest)
        ticks, codes = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int32)
        updates = (exact, slots, offsets[channel])
        n = play_channel(channels[channel], updates, grid, 4 * interval, limits, (ticks, codes))
        ticks.resize(n, refcheck=False)  # gives back what is not used, without a copy
        codes.resize(n, refcheck=False)
        track = Track(ticks, codes)
        return track, _load(track, limits[0], float(per_code[channel]), clock_hz, interval)

    longest_first = sorted(range(len(channels)), key=lambda channel: -len(channels[channel][0]))
    with ThreadPoolExecutor(2) as pool:  # the kernel releases the interpreter lock
        playing = pool.map(play, longest_first)
        marking = pool.submit(_zeros, channels, exact)
        played = dict(zip(longest_first, playing, strict=True))
    x, y, z = (played[channel] for channel in range(len(channels)))
    zero_slot, zero_cell = marking.result()
    return GradientTracks(
        tracks=(x[0], y[0], z[0]),
        shim_codes=(int(shim[0]), int(shim[1]), int(shim[2])),
        slots=slots,
        slot_is_zero=zero_slot,
        cell_is_zero=zero_cell,
        t_per_m_per_code=(float(per_code[0]), float(per_code[1]), float(per_code[2])),
        loads=(x[1], y[1], z[1]),
    )


def _load(track: Track, shim: int, per_code: float, clock_hz: float, interval: float) -> GradientLoad:
    """Load of one channel."""
    from isocenter.compiler.interpret.lines import staircase_load

    peak, steepest, square = staircase_load(track.ticks, track.values, shim, interval)
    return peak * per_code, steepest * per_code * clock_hz, square * per_code**2 / clock_hz


def _zeros(channels: list[Line], exact: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether all waveforms are zero at each slot, and from it to the next."""
    from isocenter.compiler.interpret.slots import mark_busy

    zero_slot, zero_cell = np.ones(len(exact), dtype=bool), np.ones(len(exact), dtype=bool)
    for times, codes in channels:
        mark_busy(times, codes, exact, zero_slot, zero_cell)
    return zero_slot, zero_cell


def _check_range(
    file: PulseqFile, timeline: Timeline, line: tuple[int, Floats, Floats], limits: tuple[int, int, int], per_code: float
) -> None:
    """Refuse what is beyond the DAC."""
    channel, times, codes = line
    shim, lowest, highest = limits
    if not len(codes):
        return
    worst = int(np.argmax(np.abs(codes + shim)))
    total = codes[worst] + shim
    if lowest <= np.round(total) <= highest:
        return
    block = timeline.block_at(times[worst])
    asked, full, resting = abs(total) * per_code * 1e3, highest * per_code * 1e3, shim * per_code * 1e3
    raise LimitError(
        f"The gradient on channel {'xyz'[channel]} needs {asked:.4g} mT/m (shim of {resting:.3g} included); the "
        f"board's full scale is {full:.4g}. Event: block "
        f"{file.blocks.number[block]} at {timeline.seconds(times[worst]):.6g} s.",
        f"Lower the gradient by {100 * (1 - full / asked):.1f} %: enlarge the field of view, the slice or the voxel, "
        "lengthen the gradient, or turn the slab back to an axis.",
    )
