# SPDX-License-Identifier: MIT
"""Segment to instruction words for marga: every value at its pin in exactly its tick, or a refusal that says why not."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.correction import CurrentCorrection
from isocenter.devices.marcos.isa import PIN_CYCLE_OFFSET, Buffer
from isocenter.devices.marcos.queues import Queues, at_time, build_queues, make_table
from isocenter.devices.marcos.receive import check_windows, n_receivers
from isocenter.domain.errors import CompileError
from isocenter.domain.events import Segment
from isocenter.domain.scanner import GradientSystem

_BATCH = 8  # segments
_PREAMBLE_FREE_CYCLE = 40  # the initial writes have left their buffers
_REFILL_WORDS_PER_CYCLE = 5e6 / isa.CLOCK_HZ  # the server writes a word in 158 ns; reference marcos.md 4, 14
_REFILL_RESERVE_WORDS = 16_384 + 256  # below, the server warns


@dataclass(frozen=True, slots=True, kw_only=True)
class MarcosProgram:
    """A segment as words for the console.

    Attributes
    ----------
    index
        Index of the segment.
    words
        Instruction words, uint32, shape ``(n,)``; FINISH is the last.
    n_raw
        Raw samples that each receiver will deliver.
    n_channels
        Receivers in use: the coil's, and perhaps a sensor's.
    duration_s
        From the first word to FINISH [s].
    window_decimation, window_n_raw
        Ticks per sample, and samples, of each receive window, int32.
    control
        Value of GRAD_CTRL that the words were made for.
    correction
        The calibration of the gradient board's currents that they contain, None for none.
    """

    index: int
    words: NDArray[np.uint32]
    n_raw: int
    n_channels: int
    duration_s: float
    window_decimation: NDArray[np.int32]
    window_n_raw: NDArray[np.int32]
    control: int
    correction: CurrentCorrection | None = None


def encode_segment(
    segment: Segment,
    lo_hz: float,
    gradients: GradientSystem,
    *,
    cic_shift: bool = False,
    correction: CurrentCorrection | None = None,
    tx_phase_sign: int = 1,
) -> MarcosProgram:
    """Encode one segment for a MaRCoS console.

    A value with tick t is at its pin in cycle ``t + isa.PIN_CYCLE_OFFSET``: TX values are issued one cycle early, gradient
    values earlier by the time of the board's serial line. Cycle 0 executes word 0. Delays are at most 127, no buffer ever
    holds more than three waiting entries, and the program ends with FINISH behind the last event by ``isa.TAIL_TICKS``.

    The first segment of a scan sets the oscillator's phase to zero. In the others it runs on as it did in the pause, since
    transverse magnetisation that outlives the pause must meet the next pulse with the phase it had.

    Parameters
    ----------
    segment
        Tracks, whose first events lie at ``isa.LEAD_IN_TICKS`` or later, and the readouts that they contain.
    lo_hz
        Frequency of oscillator 0, for transmitter and receiver [Hz].
    gradients
        Board and SPI divider.
    cic_shift
        Also send the decimator's shift word, for bitstreams whose decimator needs one.
    correction
        Codes that make the wanted currents flow, for a GPA-FHDO that has been calibrated.
    tx_phase_sign
        As in ``ConsoleLink``.

    Raises
    ------
    CompileError
        When the segment cannot be played exactly; the message names time and channel.

    Source
    ------
    reference marcos.md 6, 8 (initial writes), 10, 11.
    """
    isa.check_divider(gradients.board, gradients.spi_divider)
    if not 0 <= abs(lo_hz) < isa.CLOCK_HZ / 2:
        raise CompileError(
            f"The console cannot make {lo_hz / 1e6:g} MHz; its oscillator reaches {isa.CLOCK_HZ / 2e6:g} MHz.",
            "Correct the frequency of the scanner's hardware file or the calibration.",
        )
    table = make_table(segment.tracks, segment.end_tick, gradients, tx_phase_sign=tx_phase_sign)
    check_windows(segment, table)
    if correction is not None:
        table = correction.apply(table)
    queues = build_queues(segment, table, lo_hz, gradients, cic_shift)
    del table  # a dense segment should not be in memory twice
    control = isa.gradient_control(gradients.board, gradients.spi_divider, msb_strobes=True)
    first = initial_words(control, isa.lo_step(lo_hz) if segment.index else 0)
    words, finish = _words(queues, segment.end_tick + PIN_CYCLE_OFFSET, first)
    return MarcosProgram(
        index=segment.index,
        words=words,
        n_raw=int(segment.readouts.n_raw.sum()),
        n_channels=n_receivers(segment),
        duration_s=(finish + 1) / isa.CLOCK_HZ,
        window_decimation=segment.readouts.decimation,
        window_n_raw=segment.readouts.n_raw,
        control=control,
        correction=correction,
    )


def encode_segments(
    segments: Iterable[Segment], lo_hz: float, gradients: GradientSystem, *, cic_shift: bool = False
) -> Iterator[MarcosProgram]:
    """Encode many segments, two at a time; programs come in order. Raises what ``encode_segment`` raises."""

    def some(part: tuple[Segment, ...]) -> list[MarcosProgram]:
        return [encode_segment(one, lo_hz, gradients, cic_shift=cic_shift) for one in part]

    with ThreadPoolExecutor(2) as pool:  # the loops release the interpreter's lock
        for programs in pool.map(some, _batches(segments)):
            yield from programs


def _batches(segments: Iterable[Segment]) -> Iterator[tuple[Segment, ...]]:
    """A few at a time, so that handing them over costs nothing."""
    rest = iter(segments)
    while batch := tuple(itertools.islice(rest, _BATCH)):
        yield batch


@functools.cache
def initial_words(control: int, lo_step: int = 0) -> tuple[int, ...]:
    """First write to every buffer: all zero but the oscillator's step, then the gradient board's control word last."""
    values = {Buffer.GRAD_CTRL: control, Buffer.LO0_LSB: lo_step & 0xFFFF, Buffer.LO0_MSB: lo_step >> 16}
    return tuple(isa.data_word(buffer, values.get(buffer, 0), delay) for delay, buffer in enumerate(reversed(Buffer)))


def _words(queues: Queues, end: int, first: tuple[int, ...]) -> tuple[NDArray[np.uint32], int]:
    """All words, and the cycle of FINISH."""
    from isocenter.devices.marcos.schedule import assemble, plan

    buffers, room = _buffers(), len(queues.cycles)
    cycles, data = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.uint32)
    failed, n, finish, n_words = plan(
        (queues.cycles, queues.values, buffers, queues.first, queues.stop),
        _PREAMBLE_FREE_CYCLE,
        len(first),
        end,
        (cycles, data),
    )
    if failed >= 0:
        buffer = Buffer(int(buffers[int(np.searchsorted(queues.first, failed, side="right")) - 1]))
        raise CompileError(
            f"Too many values change within a few ticks of {at_time(queues.cycles[failed] - PIN_CYCLE_OFFSET)}: "
            f"{_channel_names(buffer)} cannot be delivered in time.",
            "Spread the changes, or use a coarser RF or gradient raster.",
        )
    _check_size(cycles[:n], n_words, len(first))
    words = np.empty(n_words, dtype=np.uint32)
    words[: len(first)] = first
    assemble(cycles[:n], data, len(first), finish, words[len(first) :])
    return words, finish


@functools.cache
def _buffers() -> NDArray[np.int64]:
    """Numbers of the buffers that are filled."""
    from isocenter.devices.marcos.fill import BUFFERS

    return np.array(BUFFERS, dtype=np.int64)


def _check_size(cycles: NDArray[np.int64], n_words: int, start: int) -> None:
    remedy = "Use a coarser raster for RF or gradients, or cut the scan into shorter segments."
    if n_words > isa.MAX_PROGRAM_WORDS:
        raise CompileError(
            f"The segment needs {n_words} instruction words; the console takes {isa.MAX_PROGRAM_WORDS} at once.", remedy
        )
    if n_words > isa.PROGRAM_MEMORY_WORDS:
        from isocenter.devices.marcos.schedule import refill_shortage

        short = refill_shortage(
            cycles, start, n_words, isa.PROGRAM_MEMORY_WORDS, _REFILL_RESERVE_WORDS, _REFILL_WORDS_PER_CYCLE
        )
        if short >= 0:
            raise CompileError(
                f"Around {at_time(short - PIN_CYCLE_OFFSET)} the segment changes values faster than the console "
                "can load them (5 words per microsecond).",
                remedy,
            )


def _channel_names(buffer: Buffer) -> str:
    names = {
        Buffer.GRAD_LSB: "a gradient channel",
        Buffer.GRAD_MSB: "a gradient channel",
        Buffer.RX0_RATE: "rx0_rate",
        Buffer.TX0_I: "tx0_i",
        Buffer.TX0_Q: "tx0_q",
        Buffer.GATES_LEDS: "a gate or output (tx_gate, rx_gate, trig_out, leds)",
        Buffer.RX_CTRL: "rx0_en or rx0_rate",
        Buffer.RX1_RATE: "rx1_rate",
    }
    return names.get(buffer, buffer.name)
