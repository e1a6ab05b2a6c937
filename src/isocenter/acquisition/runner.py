# SPDX-License-Identifier: MIT
"""Plays a compiled scan, segment after segment, and has each on the disk before the next is played."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

import numpy as np

from isocenter.acquisition.clipping import Clipping
from isocenter.acquisition.clock import CLOCKS, Clock, Pace
from isocenter.acquisition.contracts import Guard, LateStart, Listeners, NoGuard, Resume, ScanResult, ScanSink
from isocenter.acquisition.hardware import HardwareThread
from isocenter.acquisition.order import PlayOrder, Turn
from isocenter.acquisition.states import next_state
from isocenter.acquisition.zeroing import bring_to_zero
from isocenter.compiler.check.report import SafetyReport
from isocenter.devices.protocols import Console, DeviceMessage, Prepared, RawRun, SafeReport, Severity
from isocenter.domain.errors import (
    ConsoleError,
    DeviceError,
    DeviceTimeout,
    SamplesLost,
    ScanAborted,
    ScanEnded,
    ScanIncomplete,
    StorageError,
    WrongState,
)
from isocenter.domain.events import CompiledScan
from isocenter.domain.scan import EndReason, ScanProgress, ScanState
from isocenter.recon.receive import ReceiveFilter, Samples

LATE_TOLERANCE_S: Final = 0.02
"""A segment that starts later than this changes the contrast enough to be told [s]."""


class ScanRunner:
    """Runs scans on one console, one at a time. States: see ``states.TRANSITIONS``.

    Parameters
    ----------
    console
        An open console; only ``prepare`` is called outside the hardware thread.
    hardware
        The thread that owns it.
    scanner_name
        Which scanner hangs on this console; scans compiled for another are refused.
    pace
        ``wall``: segments start on the clock on the wall. ``none``: at once, for a virtual scanner at full speed.
    grace_s
        How long the console may take beyond the length of a segment [s]. May be set between scans: a simulated console
        may compute longer than a segment lasts.
    safe_grace_s
        How long it may take to bring the outputs to zero [s].

    Attributes
    ----------
    guard
        Who switches the amplifiers and may stop the scan; may be set between scans.
    """

    def __init__(
        self,
        console: Console,
        hardware: HardwareThread,
        scanner_name: str,
        *,
        pace: Pace = "wall",
        grace_s: float = 10.0,
        safe_grace_s: float = 10.0,
        late_tolerance_s: float = LATE_TOLERANCE_S,
        clock: Callable[[], Clock] | None = None,
    ) -> None:
        self.guard: Guard = NoGuard()
        self.console, self.hardware, self._scanner_name = console, hardware, scanner_name
        self.make_clock: Callable[[], Clock] = clock or CLOCKS[pace]
        self.grace_s, self.safe_grace_s, self.late_tolerance_s = grace_s, safe_grace_s, late_tolerance_s
        self._busy = Lock()
        self.state = ScanState.IDLE

    def require_playable(self, scan: CompiledScan, safety: SafetyReport) -> None:
        """Raise WrongState for a scan of another scanner, and for one that has not passed the last gate."""
        if scan.scanner_name != self._scanner_name:
            raise WrongState(
                f"The scan was compiled for scanner {scan.scanner_name}, but {self._scanner_name} is connected.",
                "Choose the scanner that is connected, then start the scan again.",
            )
        if not safety.allows(scan):
            raise WrongState(
                "The scan has not been checked against the scanner's limits, so it is not played.",
                "Prepare the scan again. If that does not help, report it: this is a fault of the program.",
            )

    def run(
        self,
        scan: CompiledScan,
        sink: ScanSink,
        cancel: Event,
        listeners: Listeners | None = None,
        *,
        safety: SafetyReport,
    ) -> ScanResult:
        """Play a scan that the gate has let through. Blocks; belongs in a thread of its own, not in the hardware thread.

        Parameters
        ----------
        scan
            Compiled for this scanner.
        sink
            Takes the samples. It is finished in any case.
        cancel
            Set by whoever presses Stop. The runner sets it too when a scan fails, so that a segment still playing ends.
        safety
            What the last gate said of this very scan: of this object, not of one like it.

        Returns
        -------
            A scan that completed, or that was stopped.

        Raises
        ------
        WrongState
            Another scan runs, or this one was compiled for another scanner, or has not passed the last gate; the sink is
            left alone.
        ScanIncomplete, DeviceError, StorageError, CompileError
            The scan failed. The outputs were brought to zero; the problem says how much is kept, and where.
        """
        self.require_playable(scan, safety)
        if not self._busy.acquire(blocking=False):
            raise WrongState("Another scan is running.", "Wait until it has ended, or press Stop.")
        try:
            return _Run(self, scan, sink, cancel, listeners or Listeners()).run()
        finally:
            self.state = ScanState.IDLE
            self._busy.release()


@dataclass(slots=True)
class _Run:
    """One scan on its way."""

    runner: ScanRunner
    scan: CompiledScan
    sink: ScanSink
    cancel: Event
    tell: Listeners
    order: PlayOrder = field(init=False)
    filter: ReceiveFilter = field(init=False)
    lo_hz: float = field(init=False)
    n_readouts: int = 0
    n_segments: int = 0
    elapsed_s: float = 0.0
    origin_s: float = 0.0
    late_starts: list[LateStart] = field(default_factory=list)
    clipping: Clipping = field(default_factory=Clipping)

    def __post_init__(self) -> None:
        self.order, self.lo_hz = PlayOrder(self.scan), self.scan.lo_hz
        self.filter = ReceiveFilter(self.scan.readouts, self.scan.clock_hz)

    def run(self) -> ScanResult:
        reason, failure, note = EndReason.FAILED, None, ""
        try:
            self._play_all()
            reason = EndReason.COMPLETED
        except ScanAborted:
            reason, note = EndReason.ABORTED, self.runner.guard.why_stopped()
        except ScanEnded as error:
            reason, note = EndReason.ABORTED, f"{error.problem} {error.remedy}"
        except ConsoleError as error:
            failure = error
        finally:
            if self.order.lost:
                note = f"Lines {self.order.lines_text(self.order.lost)} were lost and are empty. {note}".strip()
            safe, trouble = self._finish(reason, note, failure)
        failure = failure or trouble
        if failure is not None:
            kept = f"{self.n_readouts} of {len(self.scan.readouts)} readouts are kept in {self.sink.path}."
            raise type(failure)(f"{failure.problem} {self._in_doubt(failure)}{kept}", failure.remedy) from failure
        return ScanResult(
            reason=reason,
            n_readouts=self.n_readouts,
            n_expected=len(self.scan.readouts),
            safe=safe,
            late_starts=tuple(self.late_starts),
            note=note,
        )

    def _in_doubt(self, failure: ConsoleError) -> str:
        """Which lines would have to be measured again when samples were lost."""
        doubtful = {*self.order.lost, *([self.order.playing] if isinstance(failure, SamplesLost) else [])}
        if not doubtful:
            return ""
        return f"In doubt are lines {self.order.lines_text(tuple(sorted(doubtful)))} of {len(self.scan.readouts)}. "

    def _play_all(self) -> None:
        self._to("start")
        n_segments = len(self.scan.segments)
        self.sink.note("started", n_segments=n_segments, lo_hz=self.lo_hz)
        clock, upcoming = self.runner.make_clock(), self._prepared_next()
        self._to("ready")
        self.runner.guard.arm(self.cancel)
        while True:
            if (resume := self._between()) is not None:
                self._resume(resume)
                upcoming = None
            if self.order.next is None:
                self.order.repeat_lost()
            if self.order.next is None:
                return
            prepared, upcoming = upcoming or self._prepared_next(), None
            assert prepared is not None
            upcoming, trouble = self._play(self.order.take(), prepared, clock)
            if trouble is not None:
                raise trouble

    def _between(self) -> Resume | None:
        """Before the next segment, or behind the last one."""
        guard = self.runner.guard
        return guard.before_segment(self.cancel) if self.order.next is not None else guard.after_last(self.cancel)

    def _resume(self, resume: Resume) -> None:
        self.lo_hz = resume.lo_hz
        first = self.order.resume(resume.first_readout)
        self.sink.note("resumed", lo_hz=self.lo_hz, first_readout=first, lead_s=self.order.lead_s)
        self.tell.on_resume(first, self.lo_hz)

    def _play(self, turn: Turn, prepared: Prepared, clock: Clock) -> tuple[Prepared | None, ConsoleError | None]:
        """Play one segment and keep what it measured; the one after it in the console's form, or why there is none."""
        segment = self.scan.segments[turn.index]
        due_s = 0.0 if turn.is_fresh else max(self.origin_s + segment.start_s - clock.now_s(), 0.0)
        self.tell.on_segment(turn.index, due_s)
        self._wait(turn, clock)
        trouble: ConsoleError | None = None
        with self.runner.guard.segment(prepared.duration_s):
            future = self.runner.hardware.submit(self.runner.console.play, prepared, self.cancel)
            if self.runner.state is ScanState.ARMED:
                self._to("play")
            try:
                upcoming = self._prepared_next()
            except ConsoleError as error:
                upcoming, trouble = None, error
            run = self._await(turn, prepared, future)
        if run is not None:
            self._collect(turn, run)  # also when the next cannot be prepared
        clock.has_played(prepared.duration_s)
        return upcoming, trouble

    def _prepared_next(self) -> Prepared | None:
        """The next segment in the console's form; None behind the last."""
        index = self.order.next
        return None if index is None else self.runner.console.prepare(self.scan.segments[index], self.lo_hz)

    def _wait(self, turn: Turn, clock: Clock) -> None:
        segment = self.scan.segments[turn.index]
        if turn.is_fresh:  # it follows nothing, so it cannot be late
            self.origin_s = clock.now_s() - segment.start_s
        start_s = self.origin_s + segment.start_s
        clock.wait_until(start_s, self.cancel)
        if self.cancel.is_set():
            raise ScanAborted("The scan was stopped.", "Start it again when the patient is ready.")
        late_s = clock.now_s() - start_s
        if turn.is_fresh or late_s <= self.runner.late_tolerance_s:
            return
        # Those that follow keep their distance to this one: one repetition is longer, none is shorter.
        self.origin_s += late_s
        self.late_starts.append(LateStart(segment=segment.index, late_s=late_s))
        self.sink.note("late start", segment=segment.index, late_s=late_s)
        text = (
            f"Part {segment.index + 1} of the scan started {late_s * 1e3:.0f} ms late, so one repetition was longer. "
            "The contrast of its lines may differ."
        )
        self._message(DeviceMessage(severity=Severity.WARNING, text=text, original=f"late by {late_s:.6f} s"))

    def _await(self, turn: Turn, prepared: Prepared, future: "Future[RawRun]") -> RawRun | None:
        """What the console measured, None when it was lost. A console that fails cuts the amplifiers before all else."""
        try:
            return future.result(timeout=prepared.duration_s + self.runner.grace_s)
        except TimeoutError as error:
            late = DeviceTimeout(
                f"The console did not finish part {turn.index + 1} of the scan, which takes {prepared.duration_s:.2f} s.",
                "Press Stop on the amplifiers, check the console's power and network cable, then connect again.",
            )
            self.runner.guard.console_failed(late)
            raise late from error
        except (DeviceError, ScanAborted) as error:
            if isinstance(error, DeviceError):
                self.runner.guard.console_failed(error)
            if isinstance(error, SamplesLost) and (not turn.is_wanted or self.order.may_lose(turn.index)):
                self._lose(turn, error)
                return None
            partial = getattr(error, "partial", None)
            if turn.is_wanted and partial is not None and partial.shape[-1]:
                self._store(turn, self.filter.apply(partial, self.scan.segments[turn.index].readouts), partial.shape[-1])
            raise

    def _lose(self, turn: Turn, error: SamplesLost) -> None:
        """The lines of a segment did not all arrive. What is right of them nobody knows, so they are left empty."""
        if not turn.is_wanted:
            return
        self.order.lose(turn.index)
        lines = self.order.lines_text((turn.index,))
        text = f"Lines {lines} of {len(self.scan.readouts)} were lost; they are measured again at the end of the scan."
        self._message(DeviceMessage(severity=Severity.WARNING, text=text, original=error.problem))
        readouts = self.scan.segments[turn.index].readouts
        n_channels = 2 if "rx1_en" in self.scan.segments[turn.index].tracks else 1
        raw = np.zeros((n_channels, int(readouts.n_raw.sum())), dtype=np.complex64)
        self._store(turn, self.filter.apply(raw if n_channels > 1 else raw[0], readouts), 0)

    def _collect(self, turn: Turn, run: RawRun) -> None:
        for message in (*run.messages, *self.clipping.look(run.samples)):
            self._message(message)
        segment = self.scan.segments[turn.index]
        n_due, n_raw = int(segment.readouts.n_raw.sum()), run.samples.shape[-1]
        if n_raw <= n_due and turn.is_wanted:  # with too many nobody knows which belong where
            self._store(turn, self.filter.apply(run.samples, segment.readouts), n_raw)
        if n_raw != n_due:
            raise ScanIncomplete(
                f"Part {segment.index + 1} of the scan delivered {n_raw} samples instead of {n_due}.",
                "Check the network cable to the console, then repeat the scan.",
            )
        if turn.is_wanted:
            self.order.found(turn.index)
        self.n_segments = max(self.n_segments, turn.index + 1)
        self.elapsed_s = segment.start_s + segment.end_tick / self.scan.clock_hz
        self._progress()

    def _store(self, turn: Turn, samples: Samples, n_raw: int) -> None:
        first = self.order.first_readout(turn.index)
        readouts = self.scan.segments[turn.index].readouts.slice(0, len(samples))
        is_again = first < self.n_readouts
        if is_again:
            self.sink.replace(first, readouts, samples)
        elif len(readouts):
            self.sink.append(readouts, samples)
            self.n_readouts += len(readouts)
        again: dict[str, int] = {"again": True} if is_again else {}
        if self.lo_hz != self.scan.lo_hz:
            again |= {"first": first, "n": len(readouts)}
        self.sink.note("segment", index=turn.index, n_readouts=self.n_readouts, n_raw=n_raw, lo_hz=self.lo_hz, **again)
        if is_again:
            self.tell.on_lines_again(first, readouts, samples)
        elif len(readouts):
            self.tell.on_lines(readouts, samples)

    def _finish(self, reason: EndReason, note: str, failure: ConsoleError | None) -> tuple[SafeReport, StorageError | None]:
        """Outputs to zero before anything else, then close the data, whatever happens."""
        self.runner.state = next_state(self.runner.state, "end")
        if reason is EndReason.FAILED:
            self.cancel.set()
            if failure is None:
                self.runner.guard.program_failed()
        trouble = None
        runner = self.runner
        safe = bring_to_zero(runner.console, runner.hardware, runner.safe_grace_s)
        self.runner.guard.console_stopped(safe)
        self.runner.guard.disarm()
        try:
            self._progress()
            for message in safe.messages:
                with suppress(
                    StorageError
                ):  # the operator has read it; a full disk must not keep the data from being closed
                    self._message(message)
        finally:
            try:
                self.sink.finish(reason, failure.problem if failure else note)
            except StorageError as error:
                trouble = error
            self._to("safe")
        return safe, trouble

    def _message(self, message: DeviceMessage) -> None:
        self.tell.on_message(message)
        self.sink.note("message", severity=message.severity, text=message.text, original=message.original)

    def _to(self, event: str) -> None:
        self.runner.state = next_state(self.runner.state, event)
        self._progress()

    def _progress(self) -> None:
        segments = self.scan.segments
        total_s = segments[-1].start_s + segments[-1].end_tick / self.scan.clock_hz if segments else 0.0
        self.tell.on_progress(
            ScanProgress(
                state=self.runner.state,
                segment=self.n_segments,
                n_segments=len(segments),
                elapsed_s=self.elapsed_s,
                remaining_s=max(total_s - self.elapsed_s, 0.0),
                readouts=self.n_readouts,
                n_readouts=len(self.scan.readouts),
            )
        )
