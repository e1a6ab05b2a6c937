# SPDX-License-Identifier: MIT
"""An event table as the entries of the sequencer's output buffers: which value leaves which buffer in which cycle."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.isa import PIN_CYCLE_OFFSET, Buffer
from isocenter.domain.errors import CompileError
from isocenter.domain.events import CHANNELS, GRADIENT_CHANNELS, Track
from isocenter.domain.scanner import GradientBoard, GradientSystem

_TX_REGISTER = 1  # TX outputs pass one register more than all others

_SILENT = Track(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32))

_RANGES: dict[str, tuple[int, int]] = {
    "tx0_i": (-32_767, 32_767),
    "tx0_q": (-32_767, 32_767),
    "rx0_rate": (0, 4095),
    "rx0_en": (0, 1),
    "tx_gate": (0, 1),
    "rx_gate": (0, 1),
    "trig_out": (0, 1),
    "leds": (0, 255),
}


@dataclass(frozen=True, slots=True)
class Queue:
    """Entries of one buffer: ``cycles`` strictly increasing int64, ``values`` uint16."""

    buffer: Buffer
    cycles: NDArray[np.int64]
    values: NDArray[np.uint16]


def at_time(tick: float) -> str:
    """A tick as text with its time."""
    return f"{tick / isa.CLOCK_HZ * 1e3:.6f} ms (tick {tick:.0f})"


def check_tracks(tracks: Mapping[str, Track], end_tick: int, gradients: GradientSystem) -> None:
    """Raise CompileError unless every track is in order, in range, within the segment and zero at its end."""
    low, high = isa.gradient_code_range(gradients.board)
    ranges = _RANGES | dict.fromkeys(GRADIENT_CHANNELS, (low, high))
    for name, track in tracks.items():
        if name not in CHANNELS:
            raise CompileError(f"This console has no channel {name!r}.", f"Use one of {', '.join(CHANNELS)}.")
        if len(track.ticks):
            _check_track(name, track, end_tick, ranges[name])


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
    if name != "rx0_rate" and track.values[-1] != 0:
        raise CompileError(
            f"{name} is still {track.values[-1]} when the segment ends.", "End every output at zero within the segment."
        )


def build_queues(tracks: Mapping[str, Track], lo_hz: float, gradients: GradientSystem, cic_shift: bool) -> list[Queue]:
    """Buffers that change during the segment, in ascending order of buffer.

    Raises
    ------
    CompileError
        When gradient updates are too close for the board, or an event is too early.
    """
    queues = [*_gradient_queues(tracks, gradients)]
    rate = _rate_events(tracks, cic_shift)
    if len(rate[0]):
        queues.append(Queue(Buffer.RX0_RATE, *rate))
    for name, buffer in (("tx0_i", Buffer.TX0_I), ("tx0_q", Buffer.TX0_Q)):
        if name in tracks:
            ticks, values = _changes(tracks[name])
            ticks += PIN_CYCLE_OFFSET - _TX_REGISTER
            queues.append(Queue(buffer, ticks, values.astype(np.uint16)))
    queues += [*_lo_queues(lo_hz), _gates_queue(tracks), _rx_control_queue(tracks, rate[0], cic_shift)]
    queues = [queue for queue in queues if len(queue.cycles)]
    _check_lead_in(queues)
    return queues


def _changes(track: Track) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Events of a track that change its value; both arrays are the caller's own."""
    keep = np.empty(len(track.values), dtype=bool)
    if len(keep):
        keep[0] = track.values[0] != 0
        np.not_equal(track.values[1:], track.values[:-1], out=keep[1:])
    return track.ticks[keep].astype(np.int64, copy=False), track.values[keep].astype(np.int32, copy=False)


def _gradient_queues(tracks: Mapping[str, Track], gradients: GradientSystem) -> list[Queue]:
    from isocenter.devices.marcos import schedule

    board, divider = gradients.board, gradients.spi_divider
    parts = [_changes(tracks.get(name, _SILENT)) for name in GRADIENT_CHANNELS]
    lengths = [len(ticks) for ticks, _ in parts]
    n = sum(lengths)
    if n == 0:
        return []
    targets, frames = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.uint32)
    spacing = isa.gradient_spacing_ticks(board, divider)
    tick, distance = schedule.merge_gradients(
        np.concatenate([ticks for ticks, _ in parts]),
        np.concatenate([codes for _, codes in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        board is GradientBoard.OCRA1,
        spacing,
        targets,
        frames,
    )
    del parts
    if tick >= 0:
        _refuse_spacing(tracks, board, tick, distance, spacing)
    targets += PIN_CYCLE_OFFSET - isa.gradient_latency_ticks(board, divider)
    return [
        Queue(Buffer.GRAD_LSB, *_only_changes(targets, (frames & 0xFFFF).astype(np.uint16))),
        Queue(Buffer.GRAD_MSB, *_only_changes(targets, (frames >> 16).astype(np.uint16))),
    ]


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


def _only_changes(cycles: NDArray[np.int64], values: NDArray[np.uint16]) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Drop halves of gradient words that stay the same: a write to the other half is enough to send the word."""
    keep = np.empty(len(values), dtype=bool)
    keep[0] = values[0] != 0
    np.not_equal(values[1:], values[:-1], out=keep[1:])
    return cycles[keep], values[keep]


def _rate_events(tracks: Mapping[str, Track], cic_shift: bool) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Every rate is written anew, also one that stays: the strobe clears the filter."""
    if "rx0_rate" not in tracks:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint16)
    track = tracks["rx0_rate"]
    ticks, rates = track.ticks[track.values > 0] + PIN_CYCLE_OFFSET, track.values[track.values > 0]
    if not cic_shift:
        return ticks, rates.astype(np.uint16)
    shifts = isa.CIC_SHIFT_ADDRESS | np.floor(cic_gain_bits(rates)).astype(np.int64)
    both_ticks = np.stack([ticks, ticks + 1], axis=1).ravel()
    return both_ticks, np.stack([shifts, rates], axis=1).ravel().astype(np.uint16)


def cic_gain_bits(decimation: NDArray[np.int32]) -> NDArray[np.float64]:
    """Bits by which the decimator's gain falls short of the largest: 6 log2(4096 / R) (reference marcos.md 10)."""
    return np.asarray(6.0 * np.log2(4096.0 / decimation), dtype=np.float64)


def _lo_queues(lo_hz: float) -> list[Queue]:
    step, held = isa.lo_step(lo_hz), isa.LO_RESET_TICK + PIN_CYCLE_OFFSET
    low, high = step & 0xFFFF, step >> 16
    return [
        Queue(Buffer.LO0_LSB, np.array([held]), np.array([low], dtype=np.uint16)),
        Queue(Buffer.LO0_MSB, np.array([held, held + 1]), np.array([high | isa.LO_HOLD_BIT, high], dtype=np.uint16)),
    ]


def _gates_queue(tracks: Mapping[str, Track]) -> Queue:
    bits = [
        (tracks[name], factor)
        for name, factor in (
            ("tx_gate", isa.GATE_TX_BIT),
            ("rx_gate", isa.GATE_RX_BIT),
            ("trig_out", isa.TRIGGER_BIT),
            ("leds", 1 << isa.LEDS_SHIFT),
        )
        if name in tracks
    ]
    return _merged(Buffer.GATES_LEDS, bits)


def _rx_control_queue(tracks: Mapping[str, Track], rate_cycles: NDArray[np.int64], cic_shift: bool) -> Queue:
    reset_tick = isa.LO_RESET_TICK
    released = Track(np.array([reset_tick], dtype=np.int64), np.array([1], dtype=np.int32))
    bits = [(released, isa.RX0_RESET_N_BIT)]
    if len(rate_cycles):
        first = rate_cycles[:: 2 if cic_shift else 1] - PIN_CYCLE_OFFSET
        length = 2 if cic_shift else 1
        if np.any(np.diff(first) <= length):
            where = int(first[int(np.argmax(np.diff(first) <= length)) + 1])
            raise CompileError(f"rx0_rate changes twice within {length} ticks at {at_time(where)}.", "Move one of them.")
        ticks = np.stack([first, first + length], axis=1).ravel()
        bits.append((Track(ticks, np.tile(np.array([1, 0], dtype=np.int32), len(first))), isa.RX0_RATE_VALID_BIT))
    if "rx0_en" in tracks:
        bits.append((tracks["rx0_en"], isa.RX0_ENABLE_BIT))
    return _merged(Buffer.RX_CTRL, bits)


def _merged(buffer: Buffer, parts: list[tuple[Track, int]]) -> Queue:
    """Several signals that share the bits of one buffer."""
    parts = [(track, factor) for track, factor in parts if len(track.ticks)]
    if not parts:
        return Queue(buffer, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint16))
    ticks = np.unique(np.concatenate([track.ticks for track, _ in parts]))
    values = np.zeros(len(ticks), dtype=np.int64)
    for track, factor in parts:
        at = np.searchsorted(track.ticks, ticks, side="right") - 1
        values += np.where(at >= 0, track.values[np.maximum(at, 0)], 0) * factor
    keep = np.concatenate([[values[0] != 0], values[1:] != values[:-1]])
    return Queue(buffer, ticks[keep] + PIN_CYCLE_OFFSET, values[keep].astype(np.uint16))


def _check_lead_in(queues: list[Queue]) -> None:
    """The first cycles belong to the initial writes and the oscillators."""
    for queue in queues:
        earliest = isa.LO_RESET_TICK + PIN_CYCLE_OFFSET
        if queue.buffer is Buffer.RX0_RATE:
            earliest += 2 * isa.RX_RESET_SETTLE_TICKS
        if queue.cycles[0] < earliest:
            raise CompileError(
                f"The first event on {queue.buffer.name} must leave {earliest - int(queue.cycles[0])} ticks before "
                "the console is ready to play it.",
                f"Start the segment's events at tick {isa.LEAD_IN_TICKS} or later.",
            )
