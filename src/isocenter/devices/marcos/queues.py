# SPDX-License-Identifier: MIT
"""An event table as the entries of the sequencer's output buffers: what is refused, and in which words."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.isa import Buffer
from isocenter.domain.errors import CompileError
from isocenter.domain.events import CHANNELS, GRADIENT_CHANNELS, Segment, Track
from isocenter.domain.scanner import GradientBoard, GradientSystem

_RANGES: dict[str, tuple[int, int]] = {
    "tx0_i": (-32_767, 32_767),
    "tx0_q": (-32_767, 32_767),
    "rx0_rate": (0, 4095),
    "rx0_en": (0, 1),
    "tx_gate": (0, 1),
    "rx_gate": (0, 1),
    "trig_out": (0, 1),
    "leds": (0, 255),
    "rx1_rate": (0, 4095),
    "rx1_en": (0, 1),
}
RATES: Final = ("rx0_rate", "rx1_rate")
"""Settings that may stay when a segment ends; everything else is an output."""


_SILENT = Track(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32))


@dataclass(frozen=True, slots=True)
class Table:
    """All channels of a segment, one after the other in the order of ``CHANNELS``.

    Attributes
    ----------
    ticks, values
        int64 and int32, shape ``(n,)``.
    bounds
        Where each channel starts, and the end of the last, int64, shape ``(len(CHANNELS) + 1,)``.
    """

    ticks: NDArray[np.int64]
    values: NDArray[np.int32]
    bounds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Queues:
    """Entries of all buffers that the encoder uses (``fill.BUFFERS``).

    Attributes
    ----------
    cycles, values
        Output cycle and value of each entry, int64 and uint16; strictly increasing in time within each buffer.
    first, stop
        Entries of each buffer, int64.
    """

    cycles: NDArray[np.int64]
    values: NDArray[np.uint16]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]


def at_time(tick: float) -> str:
    """A tick as text with its time."""
    return f"{tick / isa.CLOCK_HZ * 1e3:.6f} ms (tick {tick:.0f})"


@functools.cache
def _limits(board: GradientBoard) -> tuple[dict[str, tuple[int, int]], NDArray[np.int64]]:
    """Smallest and largest value by channel, and as rows in the order of ``CHANNELS``."""
    ranges = _RANGES | dict.fromkeys(GRADIENT_CHANNELS, isa.gradient_code_range(board))
    return ranges, np.array([ranges[name] for name in CHANNELS], dtype=np.int64)


def make_table(tracks: Mapping[str, Track], end_tick: int, gradients: GradientSystem, *, tx_phase_sign: int = 1) -> Table:
    """One table of all tracks; ``tx_phase_sign`` as in ``ConsoleLink``.

    Raises
    ------
    CompileError
        Unless every track is in order, in range, within the segment and zero at its end.
    """
    from isocenter.devices.marcos.fill import is_sound

    ranges, limits = _limits(gradients.board)
    if not tracks.keys() <= ranges.keys():
        name = next(name for name in tracks if name not in ranges)
        raise CompileError(f"This console has no channel {name!r}.", f"Use one of {', '.join(CHANNELS)}.")
    present = [tracks.get(name, _SILENT) for name in CHANNELS]
    lengths = [len(track.ticks) for track in present]
    ticks = np.concatenate([track.ticks for track in present])
    values = np.concatenate([track.values for track in present])
    table = Table(
        ticks.astype(np.int64, copy=False),
        values.astype(np.int32, copy=False),
        np.array([0, *itertools.accumulate(lengths)], dtype=np.int64),
    )
    is_plain = len(values) == len(ticks) and values.dtype == np.int32
    if not (is_plain and is_sound(table.ticks, table.values, table.bounds, end_tick, limits)):
        for name, track in tracks.items():
            if len(track.ticks) or len(track.values):
                _check_track(name, track, end_tick, ranges[name])
    # The console's transmit mixer multiplies by exp(-i) of its oscillator's phase, as the receive mixer does (reference
    # marcos.md 9), so the field has the conjugate of the words as its envelope.
    q = CHANNELS.index("tx0_q")
    table.values[table.bounds[q] : table.bounds[q + 1]] *= -tx_phase_sign
    return table


def _check_track(name: str, track: Track, end_tick: int, allowed: tuple[int, int]) -> None:
    if len(track.ticks) != len(track.values):
        raise CompileError(
            f"{name} has {len(track.ticks)} ticks but {len(track.values)} values.", "Report this: the table is broken."
        )
    if np.any(track.ticks[1:] <= track.ticks[:-1]):
        where = int(track.ticks[int(np.argmax(track.ticks[1:] <= track.ticks[:-1])) + 1])
        raise CompileError(f"{name} has two values at or before {at_time(where)}.", "Keep the events of a channel in order.")
    if track.ticks[-1] >= end_tick:
        raise CompileError(
            f"{name} changes at {at_time(track.ticks[-1])}, at or behind the segment's end at {at_time(end_tick)}.",
            "Lengthen the segment or end the event earlier.",
        )
    low, high = allowed
    if track.values.min() < low or track.values.max() > high:
        bad = int(np.argmax((track.values < low) | (track.values > high)))
        raise CompileError(
            f"{name} is {track.values[bad]} at {at_time(track.ticks[bad])}; this console takes {low} ... {high}.",
            "Reduce the amplitude of the event.",
        )
    if name not in RATES and track.values[-1] != 0:
        raise CompileError(
            f"{name} is still {track.values[-1]} when the segment ends.", "End every output at zero within the segment."
        )


def build_queues(segment: Segment, table: Table, lo_hz: float, gradients: GradientSystem, cic_shift: bool) -> Queues:
    """Entries of all buffers. The oscillator's phase is set to zero in the first segment of a scan.

    Raises
    ------
    CompileError
        When gradient updates are too close for the board, or an event is too early.
    """
    from isocenter.devices.marcos.fill import BUFFERS, RATE_TWICE, TOO_CLOSE, TOO_EARLY, fill, places

    board, divider = gradients.board, gradients.spi_divider
    spacing = isa.gradient_spacing_ticks(board, divider)
    first = np.zeros(len(BUFFERS), dtype=np.int64)
    room = places(table.bounds, first)
    queues = Queues(np.empty(room, dtype=np.int64), np.empty(room, dtype=np.uint16), first, first.copy())
    code, where, by = fill(
        (table.ticks, table.values, table.bounds),
        (board is GradientBoard.OCRA1, spacing, isa.gradient_latency_ticks(board, divider)),
        (isa.lo_step(lo_hz), segment.index == 0),
        cic_shift,
        (queues.cycles, queues.values, queues.first, queues.stop),
    )
    if code == TOO_CLOSE:
        _refuse_spacing(segment.tracks, board, where, by, spacing)
    if code == RATE_TWICE:
        length = 2 if cic_shift else 1
        raise CompileError(f"{RATES[by]} changes twice within {length} ticks at {at_time(where)}.", "Move one of them.")
    if code == TOO_EARLY:  # the first cycles belong to the initial writes and the oscillators
        raise CompileError(
            f"The first event on {Buffer(BUFFERS[where]).name} must leave {by} ticks before "
            "the console is ready to play it.",
            f"Start the segment's events at tick {isa.LEAD_IN_TICKS} or later.",
        )
    return queues


def _refuse_spacing(tracks: Mapping[str, Track], board: GradientBoard, tick: int, distance: int, spacing: int) -> None:
    names = [name for name in GRADIENT_CHANNELS if name in tracks and np.any(tracks[name].ticks == tick)]
    spacing += len(names) - 1  # an OCRA1 takes the words of a group one after the other
    what = " and ".join(names)
    if distance == 0:
        problem = f"{what} change at once at {at_time(tick)}; a {board} board sends one channel at a time."
    else:
        problem = (
            f"{what} at {at_time(tick)} comes {distance} ticks after the gradient update before; "
            f"this board needs {spacing} ({spacing / isa.CLOCK_HZ * 1e6:.2f} us)."
        )
    raise CompileError(problem, "Enlarge update_interval_s of the gradients in the hardware file, or slow the waveform.")


def cic_gain_bits(decimation: NDArray[np.int32]) -> NDArray[np.float64]:
    """Bits by which the decimator's gain falls short of the largest: 6 log2(4096 / R) (reference marcos.md 10)."""
    return np.asarray(6.0 * np.log2(4096.0 / decimation), dtype=np.float64)
