# SPDX-License-Identifier: MIT
"""Short measurements in the pause of a scan, on the same console: checked, recorded and watched like any scan."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Protocol

from isocenter.acquisition.contracts import Listeners
from isocenter.acquisition.control.arming import RfLimits
from isocenter.acquisition.control.guard import AsideGuard, ScanGuard
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.acquisition.prescan.contract import Step, StepResult
from isocenter.acquisition.runner import ScanRunner
from isocenter.app.aside_bench import ASIDE_FOLDER, AsideBench, RunStep, require_going
from isocenter.app.computer_watch import ComputerWatch
from isocenter.app.drift import MagnetDrift
from isocenter.app.exposures import ExposureLog, Playing, subject_for
from isocenter.app.follow import FrequencyFollower, Say
from isocenter.app.prepare import PreparedScan
from isocenter.compiler.check.exposure import Situation, live_exposures, raise_if_over
from isocenter.devices.protocols import ConsoleIdentity, SafeReport
from isocenter.domain.errors import LimitError, ScanAborted, ScanEnded
from isocenter.domain.limits import Subject
from isocenter.domain.patient import Exam
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import EndReason
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Calibration, Scanner, as_measured
from isocenter.storage.record import ScanRequest
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw


class Host(Protocol):
    """What of a session is needed here."""

    scanner: Scanner
    supervisor: Supervisor
    watch: ComputerWatch
    aside_runner: ScanRunner
    prepare_aside: Callable[..., PreparedScan]
    run_beside: RunStep

    @property
    def exposure_log(self) -> ExposureLog:
        """What was played on the scanner."""
        ...

    @property
    def drift(self) -> MagnetDrift:
        """What to expect of the magnet."""
        ...

    def connect(self) -> ConsoleIdentity:
        """Who answers; the link is open while a scan runs."""
        ...

    def situation(self, exam: Exam | None) -> Situation:
        """In what a scan would be played now."""
        ...

    def request(
        self, prepared: PreparedScan, exam: Exam | None, parent: Path, identity: ConsoleIdentity, playing: Playing
    ) -> ScanRequest:
        """What the record of a scan says of it."""
        ...

    def prescanning(self) -> AbstractContextManager[None]:
        """Within, a scan is no clinical one."""
        ...

    def judge_currents(self, safe: SafeReport) -> None:
        """Look at what still flows at zero."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What a scan may have measured while it waits.

    Attributes
    ----------
    session
        Whose second runner plays it.
    outer, exam, parent, playing, limits
        The scan that waits: what it is, of whom, in which folder, its exposures, limits of the RF monitor.
    """

    session: Host
    outer: PreparedScan
    exam: Exam | None
    parent: Path
    playing: Playing
    limits: RfLimits | None

    def follow(self, guard: ScanGuard, folder: ScanFolder, listeners: Listeners, say: Say) -> Listeners:
        """Have the frequency followed in the scan: measured again in a pause when it has, or may have, gone too far."""
        session = self.session
        follower = FrequencyFollower(
            self.outer.scan,
            self.outer.calibration,
            drift=session.drift,
            supervisor=session.supervisor,
            watch=session.watch,
            sink=folder,
            measure=self.run_step,
            say=say,
        )
        guard.relock = follower.between

        def before_segment(index: int, in_s: float) -> None:
            listeners.on_segment(index, in_s)
            follower.playing(index)

        return replace(
            listeners,
            on_segment=before_segment,
            on_lines=follower.add,
            on_lines_again=follower.add_again,
            on_resume=follower.resumed,
        )

    def run_step(self, step: Step, calibration: Calibration, cancel: Event) -> StepResult:
        """Run a step and take into use what it found.

        Raises
        ------
        ScanAborted
            Stopped.
        ConsoleError
            It could not be prepared, played or kept.
        """
        session = self.session
        self.playing.completed()  # as far as it was played
        bench = AsideBench(
            session.scanner,
            calibration,
            subject=self.exam.exam_id if self.exam else "",
            temperature_c=session.watch.magnet_c,
            cancel=cancel,
            play=partial(self._play, cancel),
        )
        return session.run_beside(bench, step)

    def _play(self, cancel: Event, protocol: ScanProtocol, calibration: Calibration) -> tuple[RawScan, Path]:
        session, exam = self.session, self.exam
        require_going(cancel)
        position = self.outer.placement.position
        prepared = session.prepare_aside(protocol, session.scanner, calibration, position, session.situation(exam))
        require_going(cancel)
        subject, supervisor = subject_for(exam), session.supervisor
        scanner = as_measured(session.scanner, prepared.calibration)
        playing = Playing(session.exposure_log, prepared.safety, scanner, subject)
        parent = self.parent / ASIDE_FOLDER
        with session.prescanning():
            request = session.request(prepared, exam, parent, session.connect(), playing)
        folder = ScanFolder.create(parent, request, prepared.scan, prepared.seq)
        runner = session.aside_runner
        runner.guard = AsideGuard(supervisor, self.limits, lambda: None, is_clinical=False, on_zero=session.judge_currents)
        result = runner.run(
            prepared.scan, folder, cancel, Listeners(on_segment=playing.before_segment), safety=prepared.safety
        )
        if result.reason is not EndReason.COMPLETED:
            raise ScanAborted(result.note or "Stopped while the scan waited.", "Start the scan again when all is well.")
        playing.completed()
        return read_raw(folder.path), folder.path


class RoomForMore:
    """Looks at exposures before each segment of a scan that plays some of it again.

    What the gate predicted was the scan as it was planned. A pause, what is measured in it, and segments that come once more
    are not in that; from the first of them on every limit is looked at before each segment, with that segment.

    Parameters
    ----------
    log, playing
        What was played, and this scan on its way into it.
    prepared, scanner, subject
        The scan, the scanner as it is measured, who lies in it.
    """

    def __init__(
        self, log: ExposureLog, prepared: PreparedScan, scanner: Scanner, subject: Subject | None, playing: Playing
    ) -> None:
        self._log, self._prepared, self._scanner, self._subject = log, prepared, scanner, subject
        self._playing = playing
        self._next, self._is_as_planned = 0, True

    def before_segment(self, index: int, in_s: float) -> None:
        """For the runner: this segment starts in so many seconds.

        Raises
        ------
        ScanEnded
            A limit would be passed; what was measured is good.
        LimitError, StorageError
            As ``Playing.before_segment``.
        """
        self._is_as_planned &= index == self._next
        self._next = index + 1
        if not self._is_as_planned:
            self._require(index, in_s)
        self._playing.before_segment(index, in_s)

    def _require(self, index: int, in_s: float) -> None:
        planned = self._prepared.safety.planned
        assert planned is not None  # the gate has let the scan through
        self._playing.completed()  # as far as it was played
        at_s = self._log.clock.now_s() + in_s
        end_s = at_s + float(planned.segment_end_s[index] - planned.segment_start_s[index])
        history = self._log.known.with_segment(planned, index, at_s)
        try:
            raise_if_over(live_exposures(history, end_s, self._scanner, self._subject, self._prepared.safety.mode))
        except LimitError as error:
            raise ScanEnded(
                f"The scan ended, since some of it had to be measured again. {error.problem} What was measured is kept.",
                "Wait until the exposure has fallen, then start the scan again.",
            ) from error
