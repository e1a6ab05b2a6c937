# SPDX-License-Identifier: MIT
"""The service behind the window: who is on the table, the queue, and the thread that works it off.

One worker thread runs scans one after another in the order shown; one process builds and compiles; the console belongs to
the session's hardware thread. State is guarded by one lock, held for assignments only.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from isocenter.app import catalogue, programmes
from isocenter.app.check_service import CheckService
from isocenter.app.control_status import ControlStatus
from isocenter.app.exam_queue import ExamQueue
from isocenter.app.exams import new_exam
from isocenter.app.images import export_scan
from isocenter.app.lights import device_lights, disk_light, frequency_light, link_light
from isocenter.app.no_scenarios import NoScenarios
from isocenter.app.prescan_start import NotReady
from isocenter.app.service import (
    ControlChanged,
    ExamChanged,
    Health,
    ImageChanged,
    ItemState,
    MessageRaised,
    Programme,
    QueueChanged,
    QueueItem,
    ServiceEvent,
    ServiceStatus,
    StatusChanged,
)
from isocenter.app.service_calibrations import ServiceCalibrations
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.app.workers import PreparationPool, in_thread
from isocenter.domain.errors import ConsoleError, ScanAborted, WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.parameters import Parameter
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import EndReason, ScanProgress, SequenceInfo
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Scanner
from isocenter.domain.volume import Volume

_log = logging.getLogger(__name__)
_STOP_WAIT_S = 10.0


class ExamService(CheckService, ServiceCalibrations, NoScenarios):
    """``ScannerService`` on a real or a virtual scanner.

    Parameters
    ----------
    session
        The scanner, not yet connected; the service closes it.
    data_folder
        Where exams are kept.
    is_prescan_at_start
        Whether Start measures power, gain and shim before the first pictures of an exam; if not, the frequency only.
    """

    def __init__(self, session: ScannerSession, data_folder: Path, *, is_prescan_at_start: bool = True) -> None:
        self._session = session
        self._is_prescan_at_start = is_prescan_at_start
        self._data_folder = data_folder
        self._pool = PreparationPool()
        self._lock = threading.RLock()
        self._listeners: list[Callable[[ServiceEvent], None]] = []
        self._exam: Exam | None = None
        self._queue = ExamQueue()
        self._activity = "Idle"
        self._cancel = threading.Event()
        self._wake = threading.Event()
        self._running = False
        self._closing = False
        self._scenario, self._is_exercise = "", False
        self._restarting = False  # guarded by the lock: whoever begins an exam looks at it first
        self._worker = threading.Thread(target=self._work, name="scan-queue", daemon=True)
        self._task: Callable[[], None] = self._work_off
        self._begin_checks()
        self._make_prescan(session)
        self._begin_control(session)
        self._worker.start()
        self._pool.warm_up()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def scanner(self) -> Scanner:
        """The scanner that is driven."""
        return self._session.scanner

    @property
    def exam(self) -> Exam | None:
        """Who is on the table, None for nobody."""
        return self._exam

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        """The exam's queue in the order in which it runs."""
        return self._queue.items

    @property
    def status(self) -> ServiceStatus:
        """The newest snapshot."""
        session = self._session
        return ServiceStatus(
            lights=(
                link_light(session.identity, session.latch or session.link_problem),
                frequency_light(session.calibration),
                *device_lights(session.control.status.devices, is_virtual=session.is_virtual),
                disk_light(self._data_folder),
            ),
            is_virtual=session.is_virtual,
            is_running=self._running,
            activity=self._activity,
            larmor_hz=session.calibration.larmor_hz if session.calibration.measured_at else float("nan"),
            larmor_age_s=session.calibration_age_s,
            remaining_s=self._queue.remaining_s,
            scenario=self._scenario,
            is_exercise=self._is_exercise,
            is_restarting=self._restarting,
            exposures=self._live_exposures,
            mode=session.exposure_log.mode,
        )

    @property
    def control(self) -> ControlStatus:
        """State, devices, faults and the last stop, as they are now."""
        return self._session.control.status

    def make_ready(self, person: str) -> "Future[None]":
        """A person says that the cause of a stop is gone; the future fails with a ConsoleError while it is not."""
        future = in_thread("make ready", partial(self._session.make_ready, person))
        future.add_done_callback(lambda _: self._publish())
        return future

    def feed(self) -> None:
        """The window reacts."""
        self._session.control.feed()

    def listen(self, listener: Callable[[ServiceEvent], None]) -> Callable[[], None]:
        """Call ``listener`` with every event, from any thread; returns a function that ends it."""
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return forget

    def sequences(self) -> tuple[SequenceInfo, ...]:
        """Every sequence there is."""
        return catalogue.sequences()

    def parameters(self, sequence: str) -> tuple[Parameter, ...]:
        """Declared parameters of a sequence; none for a ``.seq`` file."""
        return catalogue.parameters(sequence)

    def programmes(self) -> tuple[Programme, ...]:
        """Named lists of protocols."""
        return programmes.programmes()

    # --- exam and queue ---------------------------------------------------------------------------------------------

    def start_exam(
        self, patient: Patient, position: PatientPosition, body_part: str, description: str = "", laterality: str = ""
    ) -> Exam:
        """Register who is on the table. Ends a running exam; refused while scanning."""
        exam = new_exam(patient, position, body_part, description, laterality=laterality)
        self.end_exam()
        with self._lock:
            if self._restarting:
                raise WrongState("The virtual scanner is being started.", "Wait a few seconds, then begin the exam.")
            self._exam = exam
        self._begin_prescan(exam)
        self._wake.set()  # its thread sets the boxes beside the coil
        self._emit(ExamChanged(exam=exam))
        self._publish()
        return exam

    def end_exam(self) -> None:
        """Nobody is on the table any more; what still waited is dropped. Refused while scanning."""
        with self._lock:
            if self._running:
                raise WrongState("A scan is running.", "Wait until it ends, or press Stop, then end the exam.")
            had_exam, self._exam = self._exam is not None, None
            self._queue.clear()
        if had_exam:
            self._begin_prescan(None)
            self._emit(ExamChanged(exam=None))
            self._publish()

    def add(self, protocol: ScanProtocol) -> QueueItem:
        """Put a protocol at the end of the queue."""
        if self._exam is None:
            raise WrongState("Nobody is on the table.", "Register a patient or a phantom first.")
        item = self._queue.add(self._exam.exam_id, protocol)
        self._publish()
        self._check_item(item.item_id, protocol)
        return item

    def update(self, item_id: str, protocol: ScanProtocol) -> None:
        """Change a waiting entry."""
        self._queue.update(item_id, protocol)
        self._publish()
        self._check_item(item_id, protocol)

    def remove(self, item_id: str) -> None:
        """Take a waiting entry out."""
        self._queue.remove(item_id)
        self._publish()

    def move(self, item_id: str, to_index: int) -> None:
        """Move a waiting entry; what has run or is running stays in front."""
        self._queue.move(item_id, to_index)
        self._publish()

    # --- running ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Work off the queue from the first waiting entry."""
        if self._exam is not None and not self._running and not self._queue.has_waiting:
            raise WrongState("Nothing waits in the queue.", "Add a protocol first.")
        self._begin(self._work_off)

    def _begin(self, task: Callable[[], None]) -> bool:
        """Have something done in the queue's thread; False when something is being done already."""
        with self._lock:
            if self._running:
                return False
            if self._exam is None:
                raise WrongState("Nobody is on the table.", "Register a patient or a phantom first.")
            if refusal := self.control.why_no_start:
                raise WrongState(refusal, "Look after the patient, see to the cause, then press Make ready.")
            self._cancel.clear()
            self._task, self._running = task, True
        self._wake.set()
        self._publish()
        return True

    def stop(self) -> None:
        """Stop now. Needs no confirmation, never waits, may be called from any thread at any time."""
        self._cancel.set()
        if self._running or self._session.supervisor.is_live:
            self._session.stop()
        else:
            self._session.request_safe()

    def export(self, item_ids: tuple[str, ...], folder: Path) -> "Future[tuple[Path, ...]]":
        """Write DICOM and NIfTI files of finished entries."""
        folders = [item.folder for item in self._queue.items if item.item_id in item_ids and item.folder is not None]
        return in_thread("export", lambda: tuple(path for source in folders for path in export_scan(source, folder)))

    def close(self) -> None:
        """Stop, make safe, end all workers."""
        self._closing = True
        self._end_checks()
        self.stop()
        self._wake.set()
        self._worker.join(_STOP_WAIT_S)
        self._session.close()
        self._pool.close()

    # --- the worker thread ------------------------------------------------------------------------------------------

    def _begin_control(self, session: ScannerSession) -> None:
        """Watch this session's devices from now on, and tell of them."""
        session.control.listen(lambda control: self._emit(ControlChanged(control=control)))
        session.control.begin(self._data_folder)
        session.exposures.folder = session.exposures.folder or self._data_folder

    def _connect(self) -> None:
        with contextlib.suppress(ConsoleError):  # its light says why; Start tries again
            self._session.connect()
        self._publish()

    def _work(self) -> None:
        self._connect()
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            self._settle_coil()
            if self._running:
                self._do_task()

    def _do_task(self) -> None:
        try:
            self._task()
        finally:
            with self._lock:
                self._running = False
                self._activity = "Stopped" if self._cancel.is_set() else "Idle"
            self._publish()
            if not (self._session.identity or self._session.latch or self._closing):  # a scan failed with its link
                self._connect()
            self._check_waiting()  # what was played counts for what comes

    def _work_off(self) -> None:
        while not self._cancel.is_set():
            item = self._queue.take_next()
            if item is None or not self._run_item(item):
                break

    def _run_item(self, item: QueueItem) -> bool:
        """Run one entry; False when the queue should not go on by itself."""
        exam = self._exam
        assert exam is not None  # ending an exam is refused while running
        try:
            outcome = self._scan(item, exam)
        except ScanAborted as stopped:
            self._change(item.item_id, state=ItemState.STOPPED, note=str(stopped), progress=None)
            return False
        except ConsoleError as error:
            if self._cancel.is_set() and self.control.is_stopped and self.control.cause is None:  # by a person
                self._change(item.item_id, state=ItemState.STOPPED, note=str(error), progress=None)
            else:
                self._fail(item, error.problem, error.remedy, has_run=not isinstance(error, NotReady))
            return False
        except Exception as error:  # noqa: BLE001  the job boundary: the operator must learn of anything
            _log.exception("Scan %s failed", item.protocol.name)
            self._fail(
                item, f"{item.protocol.name} failed: {error}.", "Repeat the scan; if it fails again, save the log and ask."
            )
            return False
        state = ItemState.DONE if outcome.reason is EndReason.COMPLETED else ItemState.STOPPED
        self._change(item.item_id, state=state, folder=outcome.folder, progress=None, note=outcome.note)
        return state is ItemState.DONE

    def _scan(self, item: QueueItem, exam: Exam) -> ScanOutcome:
        session = self._session
        self._say(f"Connecting to {self.scanner.title}" if session.identity is None else f"Preparing {item.protocol.name}")
        self._connect_to_known()
        folder = self._data_folder / exam.exam_id
        prepared = self._prepared(item, exam)
        if self._cancel.is_set():
            raise ScanAborted("Stopped before the scan began.", "Press Start to run it.")
        self._change(item.item_id, state=ItemState.SCANNING)
        self._say(f"Scanning {item.protocol.name}")
        title = item.protocol.name

        def on_progress(progress: ScanProgress) -> None:
            self._change(item.item_id, progress=progress)

        def on_volumes(volumes: tuple[Volume, ...], fraction: float) -> None:
            self._emit(
                ImageChanged(exam_id=exam.exam_id, item_id=item.item_id, title=title, volumes=volumes, fraction=fraction)
            )

        return session.scan(
            prepared,
            exam,
            folder,
            cancel=self._cancel,
            on_progress=on_progress,
            on_volumes=on_volumes,
            on_message=lambda health, problem, remedy: self._emit(
                MessageRaised(health=health, problem=problem, remedy=remedy)
            ),
        )

    def _fail(self, item: QueueItem, problem: str, remedy: str, *, has_run: bool = True) -> None:
        state = ItemState.FAILED if has_run else ItemState.WAITING
        self._change(item.item_id, state=state, note=f"{problem}\nWhat to do: {remedy}", progress=None)
        self._emit(MessageRaised(health=Health.BAD, problem=problem, remedy=remedy))

    # --- state ------------------------------------------------------------------------------------------------------

    def _change(self, item_id: str, **changes: Any) -> None:
        self._queue.change(item_id, **changes)
        self._publish()

    def _say(self, activity: str) -> None:
        self._activity = activity
        self._publish()

    def _publish(self) -> None:
        self._emit(QueueChanged(items=self._queue.items))
        self._emit(StatusChanged(status=self.status))

    def _emit(self, event: ServiceEvent) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001  whoever looks on must not end a scan, nor the thread that runs them
                _log.exception("A listener failed at %s", type(event).__name__)
