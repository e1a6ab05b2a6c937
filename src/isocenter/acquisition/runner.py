# SPDX-License-Identifier: MIT
"""Plays a compiled scan, segment after segment, and has each on the disk before the next is played."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.clock import CLOCKS, Clock, Pace
from isocenter.acquisition.contracts import Guard, LateStart, Listeners, NoGuard, ScanResult, ScanSink
from isocenter.acquisition.hardware import HardwareThread
from isocenter.acquisition.states import next_state
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
from isocenter.domain.events import CompiledScan, Segment
from isocenter.domain.scan import EndReason, ScanProgress, ScanState
from isocenter.recon.receive import ReceiveFilter

LATE_TOLERANCE_S: Final = 0.02
"""A segment that starts later than this changes the contrast enough to be told [s]."""
CLIP_LEVEL: Final = 0.999
CLIPPED: Final = "samples at full scale on channel"
"""In the original words of a message about clipping."""
MIN_CLIPPED: Final = 3
"""So many raw samples at the receiver's full scale are no accident. Source: reference domain.md 2, step 8."""
_COIL_CLIPPED: Final = (
    "The signal is too strong for the receiver and was clipped. Lower the receiver's gain, then repeat the scan."
)
_SENSOR_CLIPPED: Final = (
    "The interference at the sensor is too strong for its receiver and was clipped, so images may keep some of it. "
    "Lower the sensor's gain or move it away from the source, then repeat the scan if the images have stripes."
)


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
    n_readouts: int = 0
    n_segments: int = 0
    elapsed_s: float = 0.0
    origin_s: float = 0.0
    late_starts: list[LateStart] = field(default_factory=list)
    clipped: set[int] = field(default_factory=set)

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
        """Which lines would have to be measured again when samples were lost: those of the part that was played."""
        if not isinstance(failure, SamplesLost) or self.n_segments >= len(self.scan.segments):
            return ""
        first = sum(len(segment.readouts) for segment in self.scan.segments[: self.n_segments])
        last = first + len(self.scan.segments[self.n_segments].readouts)
        return f"In doubt are lines {first + 1} to {last} of {len(self.scan.readouts)}. "

    def _play_all(self) -> None:
        self._to("start")
        segments, console = self.scan.segments, self.runner.console
        self.sink.note("started", n_segments=len(segments), lo_hz=self.scan.lo_hz)
        filter_ = ReceiveFilter(self.scan.readouts, self.scan.clock_hz)
        clock = self.runner.make_clock()
        upcoming = console.prepare(segments[0], self.scan.lo_hz) if segments else None
        self._to("ready")
        self.runner.guard.arm(self.cancel)
        self.origin_s = clock.now_s() - (segments[0].start_s if segments else 0.0)
        for index, segment in enumerate(segments):
            assert upcoming is not None
            prepared, upcoming = upcoming, None
            self.runner.guard.before_segment(self.cancel)
            self.tell.on_segment(index, max(self.origin_s + segment.start_s - clock.now_s(), 0.0))
            self._wait(segment, clock)
            with self.runner.guard.segment(prepared.duration_s):
                future = self.runner.hardware.submit(console.play, prepared, self.cancel)
                if self.runner.state is ScanState.ARMED:
                    self._to("play")
                upcoming, trouble = self._prepare(index + 1)
                run = self._await(segment, prepared, future, filter_)
            self._collect(segment, run, filter_)  # also when the next cannot be prepared
            if trouble is not None:
                raise trouble
            clock.has_played(prepared.duration_s)

    def _prepare(self, index: int) -> tuple[Prepared | None, ConsoleError | None]:
        """The segment of that number in the console's form, or why there is none; both None after the last."""
        if index >= len(self.scan.segments):
            return None, None
        try:
            return self.runner.console.prepare(self.scan.segments[index], self.scan.lo_hz), None
        except ConsoleError as error:
            return None, error

    def _wait(self, segment: Segment, clock: Clock) -> None:
        start_s = self.origin_s + segment.start_s
        clock.wait_until(start_s, self.cancel)
        if self.cancel.is_set():
            raise ScanAborted("The scan was stopped.", "Start it again when the patient is ready.")
        late_s = clock.now_s() - start_s
        if late_s <= self.runner.late_tolerance_s:
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

    def _await(self, segment: Segment, prepared: Prepared, future: "Future[RawRun]", filter_: ReceiveFilter) -> RawRun:
        """What the console measured. A console that fails cuts the amplifiers before anything else is done."""
        try:
            return future.result(timeout=prepared.duration_s + self.runner.grace_s)
        except TimeoutError as error:
            late = DeviceTimeout(
                f"The console did not finish part {segment.index + 1} of the scan, which takes {prepared.duration_s:.2f} s.",
                "Press Stop on the amplifiers, check the console's power and network cable, then connect again.",
            )
            self.runner.guard.console_failed(late)
            raise late from error
        except (DeviceError, ScanAborted) as error:
            if isinstance(error, DeviceError):
                self.runner.guard.console_failed(error)
            partial = getattr(error, "partial", None)
            if partial is not None and partial.shape[-1]:
                self._store(segment, partial, filter_)
            raise

    def _collect(self, segment: Segment, run: RawRun, filter_: ReceiveFilter) -> None:
        for message in run.messages:
            self._message(message)
        self._look_for_clipping(run.samples)
        n_due, n_raw = int(segment.readouts.n_raw.sum()), run.samples.shape[-1]
        if n_raw <= n_due:  # with too many nobody knows which belong where
            self._store(segment, run.samples, filter_)
        if n_raw != n_due:
            raise ScanIncomplete(
                f"Part {segment.index + 1} of the scan delivered {n_raw} samples instead of {n_due}.",
                "Check the network cable to the console, then repeat the scan.",
            )
        self.n_segments += 1
        self.elapsed_s = segment.start_s + segment.end_tick / self.scan.clock_hz
        self._progress()

    def _look_for_clipping(self, raw: NDArray[np.complex64]) -> None:
        for channel, samples in enumerate(np.atleast_2d(raw)):
            # A carrier's amplitude is what meets the converter's full scale, whatever its phase.
            n_clipped = np.count_nonzero(samples.real**2 + samples.imag**2 >= CLIP_LEVEL**2)
            if n_clipped < MIN_CLIPPED or channel in self.clipped:
                continue
            self.clipped.add(channel)  # once a scan is enough
            text = _SENSOR_CLIPPED if channel else _COIL_CLIPPED
            original = f"{n_clipped} {CLIPPED} {channel}"
            self._message(DeviceMessage(severity=Severity.WARNING, text=text, original=original))

    def _store(self, segment: Segment, raw: NDArray[np.complex64], filter_: ReceiveFilter) -> None:
        samples = filter_.apply(raw, segment.readouts)
        readouts = segment.readouts.slice(0, len(samples))
        if len(readouts):
            self.sink.append(readouts, samples)
            self.n_readouts += len(readouts)
        self.sink.note("segment", index=segment.index, n_readouts=self.n_readouts, n_raw=raw.shape[-1])
        if len(readouts):
            self.tell.on_lines(readouts, samples)

    def _finish(self, reason: EndReason, note: str, failure: ConsoleError | None) -> tuple[SafeReport, StorageError | None]:
        """Outputs to zero before anything else, then close the data, whatever happens."""
        self.runner.state = next_state(self.runner.state, "end")
        if reason is EndReason.FAILED:
            self.cancel.set()
            if failure is None:
                self.runner.guard.program_failed()
        trouble = None
        safe = self._make_safe()
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

    def _make_safe(self) -> SafeReport:
        make_safe, grace_s = self.runner.console.make_safe, self.runner.safe_grace_s
        try:
            safe = self.runner.hardware.call(make_safe, timeout_s=grace_s, doing="bring the outputs to zero")
        except DeviceTimeout as error:
            silent = DeviceMessage(severity=Severity.ERROR, text=str(error), original="no answer")
            safe = SafeReport(verified=False, messages=(silent,))
        if safe.verified:
            return safe
        text = (
            "The console has not confirmed that every output is zero. "
            "Switch the amplifiers off by hand, look after the patient, then connect again."
        )
        warning = DeviceMessage(severity=Severity.ERROR, text=text, original="make safe not verified")
        return SafeReport(verified=False, messages=(*safe.messages, warning))

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
