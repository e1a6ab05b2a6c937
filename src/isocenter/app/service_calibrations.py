# SPDX-License-Identifier: MIT
"""The part of the service that runs service calibrations: behind a person's word, in the queue's thread, one at a time."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from isocenter.acquisition.prescan.service import ServicePhantom, service_steps
from isocenter.app.board_currents import currents_of
from isocenter.app.prepare import PreparedScan
from isocenter.app.prescan_bench import SessionBench, magnet_temperature_c
from isocenter.app.prescan_service import PrescanService, calibration_store
from isocenter.app.service import Health, MessageRaised
from isocenter.app.service_job import ServiceJob
from isocenter.app.service_status import (
    HistoryEntry,
    ServiceCalibrationsChanged,
    ServiceCalibrationStatus,
    ServiceConfirmation,
    ServiceRow,
    phantom_text,
)
from isocenter.app.session import ScannerSession
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import ConsoleError, ScanAborted, StorageError, WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Calibration, Magnet

_log = logging.getLogger(__name__)

SERVICE_FOLDER: Final = "service"
CONFIRMATION_LASTS_S: Final = 30 * 60.0
"""So long after the last measurement nobody knows any more what lies in the magnet."""
_AFTER_STOP: Final = "The old value stays in use. See to the cause, press Make ready, then measure again."
_SMALLEST_M: Final = 0.02
_LONGEST_NAME: Final = 48


class ServiceCalibrations(PrescanService):
    """``ServiceCalibrationControl`` for the service that it is part of, whose attributes it uses."""

    _lock: threading.RLock
    _running: bool
    start_exam: Callable[..., Exam]
    _confirmation: ServiceConfirmation | None

    # --- asked from any thread --------------------------------------------------------------------------------------

    @property
    def service_calibrations(self) -> ServiceCalibrationStatus:
        """As they are now."""
        problem, remedy = self._service_problem
        rows: tuple[ServiceRow, ...] = ()
        try:
            session = self._session
            rows = self._service_job.rows(
                now_s=time.time(), temperature_c=magnet_temperature_c(session), coil=session.scanner.receiver.coil_name
            )
        except StorageError as error:
            problem, remedy = error.problem, error.remedy
        return ServiceCalibrationStatus(
            rows=tuple(self._with_why_never(row) for row in rows),
            confirmation=self._confirmation,
            why_not_measure=self._why_not_measure(),
            problem=problem,
            remedy=remedy,
        )

    def confirm_service(self, person: str, phantom: ServicePhantom, *, is_empty: bool) -> ServiceConfirmation:
        """A person says that no patient lies in the magnet, but this phantom."""
        check_word(person, phantom, self._session.scanner.magnet, is_empty=is_empty)
        with self._lock:
            if self._running:
                raise WrongState("A scan is running.", "Wait until it ends, or press Stop, then confirm again.")
            exam = self._exam
            if exam is not None and not exam.patient.is_phantom:
                raise WrongState(
                    f"{exam.patient.display_name} is on the table.",
                    "Take the patient out of the magnet and end the exam, then confirm again.",
                )
            if exam is None:
                part = self._session.scanner.body_parts[0]
                words = f"Service calibration, {phantom.name}"
                exam = self.start_exam(_on_the_table(), PatientPosition.HFS, part, words)
            confirmation = ServiceConfirmation(
                person=person.strip(),
                phantom=phantom,
                at=datetime.now().astimezone().isoformat(timespec="seconds"),
                exam_id=exam.exam_id,
            )
            self._confirmation, self._touched_s = confirmation, time.monotonic()
        _log.info("%s confirmed that only %s lies in the magnet", confirmation.person, phantom_text(phantom))
        self._tell_service()
        return confirmation

    def measure_service(self, name: str) -> None:
        """Measure one calibration; nothing is taken into use by this."""
        row = self._service_job.row(name)
        confirmation = self._require_confirmed()
        if (pending := self._service_job.pending) is not None and pending.name != name:
            raise WrongState(
                f"{pending.title} waits for a decision.", "Say whether its new value is taken into use, then measure on."
            )
        if why_never := self._why_never(name):
            raise WrongState(f"{row.title} cannot be measured: {why_never}.", "It is not needed on this scanner.")
        if not self._begin(lambda: self._work_service(name, confirmation)):
            raise WrongState("A scan is running.", "Wait until it ends, or press Stop, then measure.")

    def accept_service(self, name: str) -> None:
        """Take what was measured into use."""
        self._require_idle()
        self._use_service(self._service_job.accept(name, self._require_mine().person))

    def keep_service(self, name: str) -> None:
        """Leave the old value in use."""
        self._require_idle()
        self._service_job.keep_old(name, time.time(), self._require_mine())

    def service_history(self, name: str) -> tuple[HistoryEntry, ...]:
        """What was ever accepted and refused, newest first."""
        return self._service_job.history(name)

    def go_back_service(self, name: str, number: int, person: str) -> None:
        """Take an older value into use again."""
        self._require_idle()
        self._use_service(self._service_job.go_back(name, number, person))

    # --- what is refused --------------------------------------------------------------------------------------------

    def _require_idle(self) -> None:
        if self._running:
            raise WrongState("A scan is running.", "Wait until it ends, or press Stop; then change the calibration.")

    def _require_mine(self) -> ServiceConfirmation:
        """Who decides: the one who confirmed what was measured."""
        if self._confirmation is None:
            raise WrongState("Nobody has confirmed what lies in the magnet.", "Confirm it, then measure.")
        return self._confirmation

    def _require_confirmed(self) -> ServiceConfirmation:
        """The same, with nobody but the phantom in the magnet, and not long ago."""
        confirmation, exam = self._require_mine(), self._exam
        if exam is None or exam.exam_id != confirmation.exam_id or not exam.patient.is_phantom:
            raise WrongState("Somebody else is on the table now.", "Confirm what lies in the magnet, then measure.")
        if self._is_confirmation_old():
            raise WrongState(
                f"More than {CONFIRMATION_LASTS_S / 60:.0f} minutes ago {confirmation.person} confirmed what lies in the "
                "magnet.",
                "Look into the magnet and confirm again, then measure.",
            )
        return confirmation

    def _is_confirmation_old(self) -> bool:
        return time.monotonic() - self._touched_s > CONFIRMATION_LASTS_S

    def _why_not_measure(self) -> str:
        try:
            self._require_idle()
            self._require_confirmed()
        except WrongState as error:
            return error.problem
        return ""

    def _why_never(self, name: str) -> str:
        return self._session.why_no_currents if name == "gradient_currents" else ""

    def _with_why_never(self, row: ServiceRow) -> ServiceRow:
        why_never = self._why_never(row.name)
        return replace(row, why_never=why_never) if why_never else row

    # --- begun anew -------------------------------------------------------------------------------------------------

    def _make_prescan(self, session: ScannerSession) -> None:
        """Also service calibrations are of this session's scanner."""
        self._confirmation = None
        self._touched_s = -math.inf
        self._service_problem = ("", "")
        self._knows_virtual = session.is_virtual
        self._service_job = ServiceJob(
            service_steps(None),
            calibration_store(self._data_folder, session),
            session.scanner,
            since_s=time.time() if session.is_virtual else -math.inf,
            tell=self._tell_service,
        )
        super()._make_prescan(session)

    def _begin_prescan(self, exam: Exam | None) -> None:
        """Somebody else is on the table: what a person said of it, and what waited for a word, is over."""
        session = self._session
        if session.is_virtual != self._knows_virtual:  # the console said so when it was connected
            self._make_prescan(session)
        confirmation, self._confirmation = self._confirmation, None
        if confirmation is not None:
            self._service_problem = ("", "")
            self._service_job.give_up(time.time(), confirmation)
        super()._begin_prescan(exam)

    def _take_values(self, values: Sequence[CalibrationValue]) -> None:
        """Scans also use the board's currents."""
        super()._take_values(values)
        session = self._session
        found = next((one.value for one in self._snapshot().used if one.quantity is Quantity.GRADIENT_CURRENTS), None)
        try:
            session.use_currents(None if found is None else currents_of(found, session.scanner.gradients))
        except ConsoleError as error:
            self._service_problem = (error.problem, error.remedy)
            self._emit(MessageRaised(health=Health.BAD, problem=error.problem, remedy=error.remedy))

    def _use_service(self, values: Sequence[CalibrationValue]) -> None:
        """Have scans use what was kept just now."""
        session = self._session
        with self._lock:  # no scan begins meanwhile
            if self._running:
                raise WrongState(
                    "A scan began just now; the value is kept, and is used from the next exam on.",
                    "Press Stop if it must not be measured without the value.",
                )
            exam = self._exam
            self._prescan_job.load(coil=session.scanner.receiver.coil_name, subject=exam.exam_id if exam else "")
            self._take_values(values)
        self._tell_prescan()
        self._tell_service()

    def _tell_service(self) -> None:
        job = self._service_job
        if job.running_title:
            self._say(f"Service calibration: {job.running_title}")
        self._emit(ServiceCalibrationsChanged(service=self.service_calibrations))

    # --- in the queue's thread --------------------------------------------------------------------------------------

    def _work_service(self, name: str, confirmation: ServiceConfirmation) -> None:
        exam, job = self._exam, self._service_job
        assert exam is not None  # ending an exam is refused while running
        self._service_problem = ("", "")
        try:
            job.begin(name)
            self._connect_to_known()
            if job is not self._service_job:
                raise WrongState(
                    "A simulation answers as the console; its calibrations are kept apart from the real scanner's.",
                    "Confirm what lies in it, then measure again.",
                )
            if name != "gradient_currents":
                self._settle_coil()
                self._find_frequency(exam)
            step = next(step for step in service_steps(confirmation.phantom) if step.name == name)
            job.run(self._service_bench(exam), step, confirmation)
        except ScanAborted:
            why = self._session.latch or "Somebody pressed Stop."
            self._service_problem = (f"The measurement was stopped. {why}", _AFTER_STOP)
            job.stopped(name)
        except ConsoleError as error:
            self._service_problem = (error.problem, error.remedy)
            job.stopped(name)
        except Exception as error:  # noqa: BLE001  the job boundary: the queue's thread goes on, and the person must learn of it
            _log.exception("The service calibration %s failed", name)
            self._service_problem = (
                f"The calibration failed by a mistake of the program, {type(error).__name__}: {error}. The old value stays.",
                "Measure again; if it fails again, save the log and ask.",
            )
            job.stopped(name)
        finally:
            self._touched_s = time.monotonic()
            self._tell_service()

    def _service_bench(self, exam: Exam) -> SessionBench:
        session, pool = self._session, self._pool

        def prepare(protocol: ScanProtocol, calibration: Calibration) -> PreparedScan:
            return pool.prepare(protocol, session.scanner, calibration, exam.position, session.situation(exam)).result()

        return SessionBench(
            session,
            exam,
            self._data_folder / exam.exam_id / SERVICE_FOLDER,
            cancel=self._cancel,
            newest=self._prescan_job.newest,
            prepare=prepare,
        )


def check_word(person: str, phantom: ServicePhantom, magnet: Magnet, *, is_empty: bool) -> None:
    """Refuse a person's word that does not say all of it, or says what cannot be.

    Raises
    ------
    WrongState
        The problem says what is missing or wrong.
    """
    if not is_empty:
        raise WrongState(
            "Nobody has said that there is no patient in the magnet.",
            "Look into the magnet; service calibrations are never measured with a patient in it.",
        )
    if not person.strip():
        raise WrongState("Nobody has said who looked into the magnet.", "Give your name, then confirm again.")
    _check_phantom(phantom, magnet)


def _on_the_table() -> Patient:
    return Patient(patient_id="PHANTOM", family_name="Phantom", given_name="Service", is_phantom=True)


def _check_phantom(phantom: ServicePhantom, magnet: Magnet) -> None:
    """Refuse what cannot lie in this magnet: a wrong size makes every gradient wrong.

    Raises
    ------
    WrongState
        The problem says what is wrong.
    """
    if not phantom.name.strip() or len(phantom.name) > _LONGEST_NAME:
        raise WrongState(
            "Nobody has said which phantom lies in the magnet.",
            f"Give what is written on it, at most {_LONGEST_NAME} characters.",
        )
    if not _SMALLEST_M <= phantom.diameter_m <= magnet.bore_m:
        raise WrongState(
            f"A phantom of {1e3 * phantom.diameter_m:.0f} mm cannot be; it is {1e3 * _SMALLEST_M:.0f} mm to "
            f"{1e3 * magnet.bore_m:.0f} mm wide inside, as the bore allows.",
            "Measure its inner diameter and enter it in millimetres.",
        )
    away_m = math.hypot(*phantom.centre_device_m)
    if not away_m <= magnet.imaging_diameter_m / 2:
        raise WrongState(
            f"The phantom's centre is said to lie {1e3 * away_m:.0f} mm from the isocenter, outside of the imaging sphere.",
            f"Lay it nearer to the middle, at most {5e2 * magnet.imaging_diameter_m:.0f} mm off, and enter where it lies.",
        )
