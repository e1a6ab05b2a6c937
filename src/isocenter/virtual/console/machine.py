# SPDX-License-Identifier: MIT
"""The console itself: buffers, program memory, registers, FIFOs. It knows no socket and waits for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.console import isa
from isocenter.virtual.console.decoder import PUBLIC_MIXER_SIGN, Outputs, waveforms
from isocenter.virtual.console.gradients import GradientCores
from isocenter.virtual.console.playback import Playback
from isocenter.virtual.console.receiver import FifoReport, Receiver, Stretch, to_words
from isocenter.virtual.console.report import RunFlags, report
from isocenter.virtual.console.runs import HARDWARE_BUS, BusTiming, ManualRun, Run
from isocenter.virtual.console.timing import decode, locate

_PREPARE_TICKS: Final = 36  # from the write that starts a run to its first cycle; measured, regstatus captures
_EMPTY: Final = (1 << isa.N_BUFFERS) - 1
_LO_CONSTANT: Final = 3  # mixing with a constant leaves nothing at the frequency of the signal


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
        True: a receiver returns what its transmitter plays, without the filter, like the HDL simulator.
    has_mixers
        True: that way leads through the mixers, as on a board; around them in the HDL simulator.
    mixer_sign
        What the transmit mixer makes of the phase of the words; 1 for a bitstream that turns the other way than the public
        one.
    """

    bus: BusTiming
    board: GradientBoard | None = None
    is_loopback: bool = True
    has_mixers: bool = False
    mixer_sign: int = PUBLIC_MIXER_SIGN
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
        self.direct_word = word
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
        self.manual = None
        before = self.buffers.copy()
        decoded = decode(words, self.memory, self.bus.refill_word_ticks)
        self.access(2)
        origin = self.now + _PREPARE_TICKS
        outputs = waveforms(decoded, before, self.cores, origin, self.board, self.mixer_sign)
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
            sensor_windows=tuple(stretch.window for stretch in stretches[1]),
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
            sign = self.mixer_sign if self.has_mixers else 1
            return [run.outputs.loopback(0, first, sign), run.outputs.loopback(1, second, sign)]
        coil, sensor = signals[: len(first)], signals[len(first) :]
        samples = [self._words(0, first, coil)]
        if sensor or not second:
            return [*samples, self._words(1, second, sensor)]
        return [*samples, [np.zeros(len(each.emit_ticks), np.complex128) for each in second]]  # nothing is connected to it

    def _words(
        self, index: int, stretches: list[Stretch], signals: Sequence[NDArray[np.complex64]]
    ) -> list[NDArray[np.complex128]]:
        """What a receiver makes of what is connected to it."""
        heard = [
            np.zeros(len(each.window.sample_ticks), np.complex64) if each.lo == _LO_CONSTANT else np.asarray(signal)
            for each, signal in zip(stretches, signals, strict=True)
        ]
        return [to_words(part) for part in self.receivers[index].filter(stretches, heard)]

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
        flags = RunFlags(full=self.buffer_full, error=self.buffer_error, latch=self.cores.take_latch())
        report(run, reports, flags, self.bus, self.memory)
        self.buffer_error = self.buffer_full = 0
        self.state = isa.IDLE
        if run.decoded.has_aborted:
            self.halt_and_reset()
            return [receiver.take(0) for receiver in self.receivers]
        budget = isa.MAX_FINAL_POPS // max(1, sum(report.n_left > 0 for report in reports))
        return [
            receiver.take(len(receiver.fifo_i) - max(0, report.n_left - budget))
            for receiver, report in zip(self.receivers, reports, strict=True)
        ]

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
            self.state = isa.IDLE  # in case the physics gives up
            self.manual = ManualRun(run=run, streams=self.samples(run, signals_of(run)))
            self.state = isa.RUN
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
