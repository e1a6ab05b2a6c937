# SPDX-License-Identifier: MIT
"""The console itself: buffers, program memory, registers, FIFOs. It knows no socket and waits for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.console import isa
from isocenter.virtual.console.decoder import Outputs, waveforms
from isocenter.virtual.console.gradients import FHDO_ERROR, OCRA1_DATA_LOST, OCRA1_ERROR, GradientCores
from isocenter.virtual.console.playback import Playback
from isocenter.virtual.console.receiver import FifoReport, Receiver, Stretch, to_words
from isocenter.virtual.console.timing import ENDLESS, Decoded, decode, locate

_PREPARE_TICKS: Final = 36  # from the write that starts a run to its first cycle; measured, regstatus captures
_EMPTY: Final = (1 << isa.N_BUFFERS) - 1
_LO_CONSTANT: Final = 3  # mixing with a constant leaves nothing at the frequency of the signal
_END_POLL_TICKS: Final = 128  # the server looks at the queues about this long after the end


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTiming:
    """How long the server's accesses take [ticks]; what it sees of a run depends on them.

    Attributes
    ----------
    access_ticks
        One register read or write.
    request_ticks
        From one request to the next: the network.
    refill_ticks_per_word
        Copying one more word of a long program.
    pop_ticks
        Popping one complex sample.
    """

    access_ticks: int
    request_ticks: int
    refill_ticks_per_word: float
    pop_ticks: float


HARDWARE_BUS: Final = BusTiming(access_ticks=16, request_ticks=2500, refill_ticks_per_word=20.5, pop_ticks=33.0)
"""Reference marcos.md 3 and 4: 131 ns a read, 158 ns a write; a request takes at least 20 us."""
SIMULATOR_BUS: Final = BusTiming(access_ticks=6, request_ticks=0, refill_ticks_per_word=2.5, pop_ticks=13.0)
"""The HDL simulator: it only moves when the bus does. From the captures of regstatus during a manual run."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run between its start and its end."""

    decoded: Decoded
    outputs: Outputs
    playback: Playback
    stretches: tuple[list[Stretch], list[Stretch]]
    messages: dict[str, list[str]]
    words: NDArray[np.uint32]
    origin: int = 0

    @property
    def is_endless(self) -> bool:
        """True when the program has no FINISH that it could reach."""
        return self.decoded.status == ENDLESS


@dataclass(slots=True, kw_only=True)
class ManualRun:
    """A run started by a write to CTRL: nobody empties the FIFOs but the client."""

    run: Run
    streams: list[list[NDArray[np.complex128]]]
    _n_taken: list[int] = field(default_factory=lambda: [0, 0])

    def arrived(self, tick: int) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Samples that came out of each decimator since the last call, up to ``tick``."""
        found = []
        for index, (stretches, stream) in enumerate(zip(self.run.stretches, self.streams, strict=True)):
            ticks = np.concatenate([np.zeros(0, np.int64), *(each.emit_ticks for each in stretches)])
            samples = np.concatenate([np.zeros(0, np.complex128), *stream])
            first, last = self._n_taken[index], int(np.searchsorted(ticks, tick, side="right"))
            new = samples[first:last]
            found.append((new.real.astype(np.int32), new.imag.astype(np.int32)))
            self._n_taken[index] = max(first, last)
        return found


@dataclass(slots=True, kw_only=True)
class Machine:
    """State from power-up on; one thread at a time.

    Attributes
    ----------
    bus
        How fast the server sees and moves things.
    board
        The gradient board that is connected; None: whichever core is enabled.
    is_loopback
        True: a receiver returns what its transmitter plays, like the HDL simulator.
    """

    bus: BusTiming
    board: GradientBoard | None = None
    is_loopback: bool = True
    state: int = isa.IDLE
    now: int = 0
    buffers: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(isa.N_BUFFERS, np.uint16))
    memory: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(isa.MEMORY_WORDS, np.uint32))
    cores: GradientCores = field(default_factory=GradientCores)
    receivers: tuple[Receiver, Receiver] = field(default_factory=lambda: (Receiver(0), Receiver(1)))
    direct_word: int = 0
    ctrl_word: int = 0
    buffer_error: int = 0
    buffer_full: int = 0
    manual: ManualRun | None = None

    def access(self, n: int = 1) -> None:
        """Let the time of ``n`` register accesses pass."""
        self.now += n * self.bus.access_ticks

    def direct(self, word: int) -> None:
        """Write one buffer at once; ignored unless idle."""
        self.access()
        self.direct_word = word & 0x1F00FFFF
        buffer, value = word >> 24 & 0x1F, word & 0xFFFF
        if self.state != isa.IDLE or buffer >= isa.N_BUFFERS:
            return
        self.buffers[buffer] = value
        if buffer <= isa.GRAD_MSB:
            self.cores.write(
                np.array([self.now]), np.array([buffer], dtype=np.uint8), np.array([value], dtype=np.uint16), origin=0
            )
        if buffer in (isa.RX0_RATE, isa.RX1_RATE, isa.RX_CTRL):
            self._settle_receivers()

    def _settle_receivers(self) -> None:
        """Let the receivers see an output that changed outside a run."""
        control = np.array([int(self.buffers[isa.RX_CTRL])])
        for receiver, rate in zip(self.receivers, (isa.RX0_RATE, isa.RX1_RATE), strict=True):
            receiver.stretches(np.array([0]), control, np.array([int(self.buffers[rate])]), self.bus.request_ticks + 64)

    def begin(self, words: NDArray[np.uint32], start_s: float, idle_s: float) -> Run:
        """Load and start a program: everything that does not need the physics."""
        messages: dict[str, list[str]] = {"errors": [], "warnings": [], "infos": []}
        if self.state != isa.IDLE:
            messages["warnings"].append("mar FSM was not idle when the run began")
        before = self.buffers.copy()
        decoded = decode(words, self.memory, self.bus.refill_ticks_per_word)
        self.access(2)
        origin = self.now + _PREPARE_TICKS
        outputs = waveforms(decoded, before, self.cores, origin, self.board)
        end_tick = outputs.end_tick
        stretches = (self._follow(0, outputs), self._follow(1, outputs))
        playback = Playback(
            tracks=outputs.tracks,
            lo_ticks=outputs.lo_ticks,
            lo_hz=outputs.lo_hz,
            lo_reset_ticks=outputs.lo_reset_ticks,
            windows=tuple(stretch.window for stretch in stretches[0]),
            end_tick=end_tick,
            clock_hz=isa.CLOCK_HZ,
            start_s=start_s,
            idle_s=idle_s,
        )
        self.buffers[:] = outputs.final_buffers
        self.buffer_full |= decoded.full_mask
        self.buffer_error |= decoded.overflow_mask
        self.state = isa.RUN
        return Run(
            decoded=decoded,
            outputs=outputs,
            playback=playback,
            stretches=stretches,
            messages=messages,
            words=words,
            origin=origin,
        )

    def _follow(self, index: int, outputs: Outputs) -> list[Stretch]:
        ticks, controls, rates = outputs.receiver_inputs[index]
        return self.receivers[index].stretches(ticks, controls, rates, outputs.end_tick)

    def samples(self, run: Run, signals: Sequence[NDArray[np.complex64]]) -> list[list[NDArray[np.complex128]]]:
        """Integer samples of both receivers, stretch by stretch."""
        first, second = run.stretches
        if self.is_loopback:
            return [run.outputs.loopback(0, first), run.outputs.loopback(1, second)]
        heard = [
            np.zeros(len(each.window.sample_ticks), np.complex64) if each.lo == _LO_CONSTANT else np.asarray(signal)
            for each, signal in zip(first, signals, strict=True)
        ]
        silence = [np.zeros(len(each.emit_ticks), np.complex128) for each in second]  # nothing is connected to it
        return [[to_words(part) for part in self.receivers[0].filter(first, heard)], silence]

    def _collect(self, run: Run, signals: Sequence[NDArray[np.complex64]]) -> list[FifoReport]:
        n_active = sum(bool(stretches) for stretches in run.stretches)
        pop_ticks = self.bus.pop_ticks * max(n_active, 1)
        end = run.decoded.finish_tick
        return [
            receiver.store(stretches, stream, pop_ticks, end)
            for receiver, stretches, stream in zip(self.receivers, run.stretches, self.samples(run, signals), strict=True)
        ]

    def finish(
        self, run: Run, signals: Sequence[NDArray[np.complex64]]
    ) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """End of ``run_seq``: what was read from both FIFOs; the messages are in ``run``."""
        reports = self._collect(run, signals)
        self.now = run.origin + run.outputs.end_tick
        self.report(run, reports)
        self.state = isa.IDLE
        if run.decoded.has_aborted:
            self.halt_and_reset()
            return [receiver.take(0) for receiver in self.receivers]
        budget = isa.MAX_FINAL_POPS // max(1, sum(report.n_left > 0 for report in reports))
        return [
            receiver.take(len(receiver.fifo_i) - max(0, report.n_left - budget))
            for receiver, report in zip(self.receivers, reports, strict=True)
        ]

    def report(self, run: Run, reports: Sequence[FifoReport]) -> None:
        """The server's sentences about a run, in its order; clears what it reads."""
        decoded, messages = run.decoded, run.messages
        errors, warnings = messages["errors"], messages["warnings"]
        if decoded.underrun_pc >= 0:
            errors.append(f"memory buffer underrun around byte address 0x{4 * decoded.underrun_pc:x}")
        elif decoded.n_not_copied > 0:
            errors.append(f"didn't copy {4 * decoded.n_not_copied} bytes before FSM halted")
        elif decoded.n_low:
            warnings.append(f"memory buffer low for {decoded.n_low} inner loop cycles")
        self._report_fifos(run, reports)
        if self.buffer_error:
            errors.append(f"output buffers overflowed during sequence: 0x{self.buffer_error:08x}")
        elif self.buffer_full:
            warnings.append(f"output buffers were full during sequence: 0x{self.buffer_full:08x}")
        latch = self.cores.take_latch()
        if latch & OCRA1_ERROR:
            errors.append("ocra1 gradient error; possibly missing samples")
        if latch & FHDO_ERROR:
            errors.append("gpa-fhdo gradient error; possibly missing samples")
        if latch & OCRA1_DATA_LOST:
            warnings.append("ocra1 data was lost (overwritten before being sent)")
        late = sum(1 << b for b, ticks in enumerate(decoded.ticks) if self._is_late(ticks, decoded))
        if late:
            warnings.append(f"output buffers were not empty at the end of sequence: 0x{_EMPTY & ~late:08x}")
        self.buffer_error = self.buffer_full = 0

    def _report_fifos(self, run: Run, reports: Sequence[FifoReport]) -> None:
        full_ticks = [report.full_tick for report in reports if report.full_tick >= 0]
        nearly = sum(report.nearly_full_ticks for report in reports)
        if full_ticks:
            _, pc = locate(run.words, self.memory, min(full_ticks))
            run.messages["errors"].append(f"RX FIFO/s full during sequence around byte address 0x{4 * pc:x}")
        elif nearly > 0:
            n_rounds = max(1, round(nearly / (16 * self.bus.pop_ticks)))
            run.messages["warnings"].append(f"RX FIFO/s almost filled during sequence {n_rounds} times")

    @staticmethod
    def _is_late(ticks: NDArray[np.int64], decoded: Decoded) -> bool:
        return bool(len(ticks)) and int(ticks[-1]) > decoded.finish_tick + _END_POLL_TICKS

    def abandon(self, run: Run) -> None:
        """End a run that cannot end by itself; its outputs stay as they are."""
        self.now = run.origin + run.outputs.end_tick
        self.halt_and_reset()

    def halt_and_reset(self) -> bool:
        """Halt, wait for the queues, throw received data away; outputs stay, but for RX_CTRL."""
        self.access(8)
        self.state, self.manual = isa.IDLE, None
        self.direct(isa.RX_CTRL << 24)
        for receiver in self.receivers:
            receiver.take(len(receiver.fifo_i))
        return True

    def starts_with(self, word: int) -> bool:
        """True when this word in register 0 would start a run."""
        return bool(word & 1) and self.state == isa.IDLE

    def write_ctrl(
        self,
        word: int,
        start_s: float,
        idle_s: float,
        signals_of: Callable[[Run], Sequence[NDArray[np.complex64]]],
    ) -> None:
        """Register 0: start a run by hand, end it, or go back to idle from HALT."""
        self.access()
        self.ctrl_word = word
        if self.starts_with(word):
            run = self.begin(np.zeros(0, np.uint32), start_s, idle_s)
            run.origin -= 2 * self.bus.access_ticks  # this write was the start; begin has counted those of run_seq
            streams = self.samples(run, signals_of(run))
            self.manual = ManualRun(run=run, streams=streams)
        elif not word & 1 and self.manual is not None:
            self.settle()
            if self.state == isa.HALT or word & 2:
                self.state, self.manual = isa.IDLE, None

    def settle(self) -> None:
        """Let a run that was started by hand come to where the clock is."""
        manual = self.manual
        if manual is None:
            return
        tick = self.now - manual.run.origin
        for receiver, (arrived_i, arrived_q) in zip(self.receivers, manual.arrived(tick), strict=True):
            receiver.append(arrived_i, arrived_q)
        if tick >= manual.run.decoded.finish_tick and not manual.run.is_endless:
            self.state = isa.HALT

    def _exec(self) -> int:
        manual = self.manual
        if manual is None:
            return self.state << 24
        tick = self.now - manual.run.origin
        if tick < 0:
            return isa.PREPARE << 24
        state, pc = locate(np.zeros(0, np.uint32), self.memory, tick)
        return state << 24 | pc % isa.MEMORY_WORDS

    def read(self, index: int) -> int:
        """One register; 6, 7 and 8 are cleared by it, 11 and 12 pop their FIFO. Only four bits of the index count."""
        self.settle()
        value = self._read(index & 0xF)
        self.access()
        return value

    def _read(self, index: int) -> int:
        first, second = self.receivers
        simple: dict[int, Callable[[], int]] = {
            0: lambda: self.ctrl_word,
            2: lambda: self.direct_word,
            4: self._exec,
            5: lambda: self.cores.status(self.now),
            6: self.cores.take_latch,
            9: lambda: _EMPTY,
            10: lambda: min(len(second.fifo_i), 0x3FFF) << 16 | min(len(first.fifo_i), 0x3FFF),
            11: lambda: _head(first.take(1)[0]),
            12: lambda: _head(second.take(1)[0]),
            13: lambda: _head(first.fifo_q[:1]),
            14: lambda: _head(second.fifo_q[:1]),
        }
        if index == 7:
            value, self.buffer_error = self.buffer_error, 0
        elif index == 8:
            value, self.buffer_full = self.buffer_full, 0
        else:
            value = simple.get(index, lambda: 0)()
        return value

    def read_fifos(self) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """All that is in both FIFOs."""
        self.access()
        self.settle()
        taken = [receiver.take(len(receiver.fifo_i)) for receiver in self.receivers]
        self.access(2 * sum(len(part[0]) for part in taken))
        return taken


def _head(samples: NDArray[np.int32]) -> int:
    return int(samples[0]) & 0xFFFFFFFF if len(samples) else 0


def warm_up() -> None:
    """Compile what a run needs, so that the first client does not wait for it."""
    machine = Machine(bus=HARDWARE_BUS)
    words = (0x901000C0, 0x02000020, 0x83000100, 0x900000D0, 0x900001C0, 0x02000400, 0x00000000, 0x01000000)
    machine.finish(machine.begin(np.array(words, np.uint32), 0.0, 0.0), [])
    machine.direct(0x00000312)
    machine.read(4)
