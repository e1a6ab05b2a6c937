# SPDX-License-Identifier: MIT
"""The part of the service that prescans: it lends the queue's thread to ``PrescanJob``."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypedDict

from isocenter.acquisition.prescan.drift_model import learn_drift
from isocenter.acquisition.prescan.recentre import FRESH_S, Recentre, recent_rate_hz_per_s, tolerance_hz
from isocenter.acquisition.prescan.snapshot import Snapshot, snapshot
from isocenter.acquisition.prescan.steps import clinical_steps
from isocenter.app import catalogue
from isocenter.app.coil_settings import CoilWanted
from isocenter.app.prepare import PreparedScan
from isocenter.app.prescan_bench import SessionBench, magnet_temperature_c
from isocenter.app.prescan_job import PrescanJob
from isocenter.app.prescan_start import (
    FREQUENCY_STEPS,
    MAY_BE_LEFT,
    NotReady,
    makes_pictures,
    missing_steps,
    not_ready,
    only_frequency,
    to_run,
)
from isocenter.app.prescan_status import PrescanChanged, PrescanStatus, Verdict
from isocenter.app.service import Health, MessageRaised, QueueItem, ServiceEvent
from isocenter.app.session import ScannerSession
from isocenter.app.workers import PreparationPool
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import AcquisitionError, ConsoleError, ScanAborted, StorageError, WrongState
from isocenter.domain.patient import Exam
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Calibration
from isocenter.storage.calibrations import CalibrationStore
from isocenter.storage.journal import now_iso

PRESCAN_FOLDER: Final = "prescan"
_OTHER_POWER: Final = 0.02  # by so much more or less, pulses may have another length


def calibration_store(folder: Path, session: ScannerSession) -> CalibrationStore:
    """Where this scanner's calibrations are kept: what a virtual one of the same name measured is nothing to a real one."""
    return CalibrationStore(folder, f"{'virtual-' if session.is_virtual else ''}{session.scanner.name}")


class Conditions(TypedDict):
    """Under which values have to hold; as ``CalibrationValue.why_not`` takes them."""

    now_s: float
    temperature_c: float
    coil: str
    subject: str


class PrescanService:
    """``PrescanControl`` for the service that it is part of, whose attributes it uses."""

    _session: ScannerSession
    _exam: Exam | None
    _data_folder: Path
    _cancel: threading.Event
    _pool: PreparationPool
    _emit: Callable[[ServiceEvent], None]
    _say: Callable[[str], None]
    _begin: Callable[[Callable[[], None]], bool]
    _check_anew: Callable[[], None]
    _is_prescan_at_start: bool
    _knows_virtual: bool  # what was known of the console when its values were read
    _is_coil_due: bool = False
    _frequency_only_in: str = ""  # the exam in which somebody asked for that
    _frequency_only: Mapping[str, str] = MappingProxyType({})  # who, and when

    # --- asked from any thread --------------------------------------------------------------------------------------

    @property
    def prescan(self) -> PrescanStatus:
        """As it is now."""
        return replace(
            self._prescan_job.status(**self._conditions()),
            is_frequency_only=self._is_frequency_only,
            frequency_only_by=self._frequency_only_here.get("person", ""),
        )

    @property
    def _is_frequency_only(self) -> bool:
        return self._exam is not None and self._frequency_only_in == self._exam.exam_id

    @property
    def _frequency_only_here(self) -> Mapping[str, str]:
        """Who chose that in this exam, and when; empty for nobody."""
        return self._frequency_only if self._is_frequency_only else {}

    def run_prescan(self) -> None:
        """Measure all steps that do not hold any more, in order."""
        self._ask_prescan(lambda: self._work_prescan((), ""))

    def measure_only_frequency(self, person: str) -> None:
        """Start measures the frequency only in this exam; a prescan that runs ends before its next measurement."""
        if self._exam is None:
            raise WrongState("Nobody is on the table.", "Register a patient or a phantom first.")
        if not person.strip():
            raise WrongState(
                "Nobody has said who goes on with the frequency only.", "Give the name of the person who is responsible."
            )
        self._frequency_only = {"person": person.strip(), "at": now_iso()}
        self._frequency_only_in = self._exam.exam_id
        self._session.control.note("frequency_only", **self._frequency_only, exam=self._exam.exam_id)
        self._emit(PrescanChanged(prescan=self.prescan))

    def retry_prescan(self, step: str) -> None:
        """Measure one step again, and those after it that did not end well."""
        if why_not := self._prescan_job.why_not_retry(step):
            raise WrongState(why_not, "Choose one of the steps that are shown.")
        self._ask_prescan(lambda: self._work_prescan((step, *self._prescan_job.unsettled), step))

    def skip_prescan(self, step: str, reason: str, person: str) -> None:
        """A person goes on without a step that failed; what is left is measured."""
        self._prescan_job.leave_out(step, reason, person, time.time())
        if self._prescan_job.unsettled:
            self._ask_prescan(lambda: self._work_prescan(self._prescan_job.unsettled, ""))

    def _ask_prescan(self, work: Callable[[], None]) -> None:
        if not self._begin(work):
            raise WrongState("A scan is running.", "Wait until it ends, or press Stop, then run the prescan.")

    def _tell_prescan(self) -> None:
        job = self._prescan_job
        if job.running_title:
            self._say(job.running_title)
        self._emit(PrescanChanged(prescan=self.prescan))

    # --- begun anew -------------------------------------------------------------------------------------------------

    def _make_prescan(self, session: ScannerSession) -> None:
        """Steps for this session's scanner. A virtual scanner that starts is another magnet: nothing old holds for it."""
        self._prescan_job = PrescanJob(
            clinical_steps(session.scanner),
            calibration_store(self._data_folder, session),
            since_s=time.time() if session.is_virtual else -math.inf,
            take=self._take_values,
            tell=self._tell_prescan,
        )
        session.used_calibrations = lambda: self._snapshot().used
        session.frequency_only = lambda: self._frequency_only_here
        session.coil.wanted = self._coil_wanted
        session.prepare_aside = lambda *what: self._pool.prepare(*what).result()
        session.run_beside = self._prescan_job.run_beside
        session.frequency_history = lambda: self._prescan_job.history(Quantity.LARMOR)
        self._begin_prescan(None)

    def _begin_prescan(self, exam: Exam | None) -> None:
        """Somebody else is on the table: what depends on who lies there does not hold any more."""
        job, session = self._prescan_job, self._session
        job.forget()
        try:
            job.load(coil=session.scanner.receiver.coil_name, subject=exam.exam_id if exam else "")
        except ConsoleError as error:
            job.failed(error)
        if not session.calibration.measured_at and (larmor := job.newest(Quantity.LARMOR)) is not None:
            session.calibration = replace(session.calibration, larmor_hz=larmor.value[0])  # where the search begins
        self._take_values(())
        self._is_coil_due = True

    def _connect_to_known(self) -> None:
        """Connect. Only the console tells whether it is a simulation, whose values are kept apart from a real scanner's."""
        self._session.connect()
        if self._session.is_virtual != self._knows_virtual:
            self._begin_prescan(self._exam)

    def _coil_wanted(self) -> CoilWanted:
        """What was found last for this coil. With somebody else in it that is where the prescan begins."""
        coil = self._session.scanner.receiver.coil_name

        def newest(quantity: Quantity) -> tuple[float, ...] | None:
            fitting = [value.value for value in self._prescan_job.history(quantity) if value.coil in ("", coil)]
            return fitting[-1] if fitting else None

        try:
            codes, gain = newest(Quantity.TUNING), newest(Quantity.RECEIVE_GAIN)
        except StorageError:  # whoever opens the prescan is told; what is not known is not set
            return CoilWanted()
        return CoilWanted(
            capacitors=None if codes is None else (round(codes[0]), round(codes[1]), round(codes[2])),
            gain_db=None if gain is None else gain[0],
        )

    def _settle_coil(self) -> None:
        """Set the boxes beside the coil for whoever is on the table now; connecting does it, too."""
        if self._is_coil_due and self._session.identity is not None:
            self._is_coil_due = False
            self._session.coil.settle()

    def _take_values(self, values: Sequence[CalibrationValue]) -> None:
        """Scans use what holds from now on; where nothing does, the hardware file's value."""
        session = self._session
        larmor = next((value for value in values if value.quantity is Quantity.LARMOR), None)
        if larmor is not None:
            session.set_frequency(larmor.value[0])
        before = session.calibration
        session.calibration = replace(
            self._snapshot().calibration, larmor_hz=before.larmor_hz, measured_at=before.measured_at
        )
        if abs(session.calibration.rf_scale / before.rf_scale - 1) > _OTHER_POWER:
            self._check_anew()

    def _snapshot(self) -> Snapshot:
        """What a scan that starts now uses, and why it does not use the rest."""
        return snapshot(self._session.scanner, self._prescan_job.values, **self._conditions())

    def _conditions(self) -> "Conditions":
        exam, session = self._exam, self._session
        return {
            "now_s": time.time(),
            "temperature_c": magnet_temperature_c(session),
            "coil": session.scanner.receiver.coil_name,
            "subject": exam.exam_id if exam else "",
        }

    # --- in the queue's thread --------------------------------------------------------------------------------------

    def _work_prescan(self, names: Sequence[str], forced: str) -> None:
        exam = self._exam
        assert exam is not None  # ending an exam is refused while running
        self._frequency_only_in = ""  # a person asked for more
        try:
            self._connect_to_known()
            self._run_prescan_job(exam, names, forced)
        except ConsoleError as error:
            self._prescan_job.failed(error)

    def _run_prescan_job(self, exam: Exam, names: Sequence[str], forced: str = "") -> bool:
        """Run steps that somebody may cut short to the frequency."""
        job = self._prescan_job

        def may_go_on() -> None:
            if self._is_frequency_only:
                raise only_frequency()

        def may_measure() -> None:
            if job.current_step in MAY_BE_LEFT:
                may_go_on()

        try:
            return job.run(self._bench(exam, may_measure), names, forced=forced, may_go_on=may_go_on)
        finally:  # a step that failed may have left the boxes anyhow; the values that hold are what scans rely on
            self._session.coil.settle()

    def _prescan_before(self, item: QueueItem, exam: Exam) -> None:
        """Before the first pictures of an exam: all that does not hold for this coil and subject.

        Raises
        ------
        NotReady
            A step was not good enough; nothing was scanned.
        ScanAborted
            Stop was pressed.
        """
        if not (self._is_prescan_at_start and makes_pictures(catalogue.find(item.protocol.sequence))):
            return
        job, now = self._prescan_job, self._snapshot()
        missing = missing_steps(job.steps, now.holds, has_attenuator=self._bench(exam).attenuator is not None)
        if not missing:
            return
        if not self._is_frequency_only and not self._run_prescan_job(exam, to_run(job.steps, missing)):
            if self._cancel.is_set():
                raise ScanAborted("Stopped.", "Press Start to go on.")
            if not self._is_frequency_only:
                raise self._why_not_ready()
        if self._is_frequency_only:
            person = self._frequency_only_here["person"]
            self._emit(
                MessageRaised(
                    health=Health.WARNING,
                    problem=f"Power, gain and shim were not all measured in this exam, as {person} asked: where they were "
                    "not, scans use what the hardware file says.",
                    remedy="Contrast and brightness may be off. Press Run prescan before pictures that have to be right.",
                )
            )

    def _why_not_ready(self) -> ConsoleError:
        status = self.prescan
        if status.problem:
            return NotReady(f"{status.problem} Nothing was scanned.", status.remedy)
        return not_ready(status.failed[0])

    def _find_frequency(self, exam: Exam) -> None:
        """Before a scan: the frequency, when it was never measured here or does not hold any more.

        Raises
        ------
        AcquisitionError
            No frequency can be told; nothing was changed.
        ScanAborted
            Stop was pressed.
        """
        if self._session.needs_frequency():
            self._search_frequency(exam, forced=FREQUENCY_STEPS[-1])

    def _search_frequency(self, exam: Exam, forced: str) -> None:
        self._say("Prescan: finding the frequency")
        if self._prescan_job.run(self._bench(exam), FREQUENCY_STEPS, forced=forced):
            return
        if self._cancel.is_set():
            raise ScanAborted("Stopped.", "Press Start to go on.")
        failed = next(
            step.result for step in self._prescan_job.steps if step.name in FREQUENCY_STEPS and not step.is_settled
        )
        raise AcquisitionError(failed.text, failed.remedy or "Open the Prescan page and measure again.")

    def _prepared(self, item: QueueItem, exam: Exam) -> PreparedScan:
        """A scan prepared with a frequency that was measured recently enough for what its images can bear.

        Raises
        ------
        ConsoleError
            No frequency can be told, or the scan cannot be played.
        """
        self._prescan_before(item, exam)
        self._find_frequency(exam)
        self._recentre(exam, math.inf)  # one that is old is measured anew whatever the scan is
        self._say(f"Preparing {item.protocol.name}")
        prepared = self._prepare_item(item, exam)
        if self._recentre(exam, tolerance_hz(prepared.scan)):
            prepared = self._prepare_item(item, exam)
        return prepared

    def _prepare_item(self, item: QueueItem, exam: Exam) -> PreparedScan:
        session = self._session
        situation = session.situation(exam, item.first_level)
        return self._pool.prepare(item.protocol, session.scanner, session.calibration, exam.position, situation).result()

    def _recentre(self, exam: Exam, limit_hz: float) -> bool:
        """Measure the frequency once more when it may have moved by more than ``limit_hz``; True when it was measured."""
        job = self._prescan_job
        if job.newest(Quantity.LARMOR) is None and self._session.calibration_age_s < FRESH_S:
            return False  # set by whoever made the session
        history = job.history(Quantity.LARMOR)
        step = Recentre(
            limit_hz,
            slope_hz_per_c=learn_drift(history, self._session.scanner.magnet).slope_hz_per_c,
            rate_hz_per_s=recent_rate_hz_per_s(history),
        )
        bench = self._bench(exam)
        if not step.why_skip(bench):
            self._say("Measuring the frequency before the scan")
        result = job.run_beside(bench, step)
        if result.verdict is Verdict.FAIL:  # it may have gone far: look everywhere
            self._search_frequency(exam, forced=FREQUENCY_STEPS[0])
        elif result.verdict is Verdict.WARN:
            self._emit(MessageRaised(health=Health.WARNING, problem=result.text, remedy=result.remedy))
        return result.verdict is not Verdict.SKIPPED

    def _bench(self, exam: Exam, may_measure: Callable[[], None] = lambda: None) -> SessionBench:
        def prepare(protocol: ScanProtocol, calibration: Calibration) -> PreparedScan:
            may_measure()
            session = self._session
            situation = session.situation(exam)
            return self._pool.prepare(protocol, session.scanner, calibration, exam.position, situation).result()

        return SessionBench(
            self._session,
            exam,
            self._data_folder / exam.exam_id / PRESCAN_FOLDER,
            cancel=self._cancel,
            newest=self._prescan_job.newest,
            prepare=prepare,
        )
