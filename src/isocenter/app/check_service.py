# SPDX-License-Identifier: MIT
"""The part of the service that says beforehand what protocols would do, and keeps these answers true while time passes."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

from isocenter.app.exam_queue import ExamQueue
from isocenter.app.exposures import confirmed_by, subject_for
from isocenter.app.measured_power import measured_now
from isocenter.app.protocol_check import ProtocolCheck
from isocenter.app.service import ItemState
from isocenter.app.session import ScannerSession
from isocenter.app.workers import PreparationPool
from isocenter.domain.errors import SequenceError, StorageError
from isocenter.domain.exposure import Exposure
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import FirstLevelConfirmation
from isocenter.domain.patient import Exam
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import as_measured

FIRST_LEVEL_CONFIRMED: Final = "first_level_confirmed"
_LIVE_S: Final = 0.25  # what is shown live is computed no more often
_ROUNDING_S: Final = 0.5
_LONGEST_S: Final = 86_400.0
_NEAR: Final = 0.95


def _may_change(check: ProtocolCheck | None, played: Mapping[str, float]) -> bool:
    """True when a check may end otherwise with what was played since. Few do: each takes the worker some seconds."""
    if check is None:
        return False
    near = any(one.fraction + played.get(one.title, 0.0) > _NEAR for one in check.exposures)
    return near or math.isfinite(check.wait_s)


class CheckService:
    """``check`` and all that hangs on it, for the service that it is part of, whose attributes it uses."""

    _session: ScannerSession
    _exam: Exam | None
    _pool: PreparationPool
    _queue: ExamQueue
    _publish: Callable[[], None]

    def _begin_checks(self) -> None:
        self._live: tuple[float, tuple[Exposure, ...]] = (-math.inf, ())
        self._alarms: dict[str, threading.Timer] = {}
        self._alarms_lock = threading.Lock()
        self._has_ended = False

    def check(self, protocol: ScanProtocol) -> "Future[ProtocolCheck]":
        """Build, compile and check a protocol in the worker process; never raises for a bad protocol."""
        return self._check(protocol, None)

    def confirm_first_level(self, item_id: str, name: str) -> None:
        """A person takes responsibility for a waiting entry in first level mode; it is checked anew."""
        confirmation = confirmed_by(name)
        protocol = self._queue.confirm(item_id, confirmation)
        exam_id = self._exam.exam_id if self._exam else ""
        self._session.control.note(
            FIRST_LEVEL_CONFIRMED,
            person=confirmation.name,
            confirmed_at=confirmation.at,
            protocol=protocol.name,
            exam=exam_id,
        )
        self._publish()
        self._check_item(item_id, protocol, confirmation)

    def _check(self, protocol: ScanProtocol, confirmation: FirstLevelConfirmation | None) -> "Future[ProtocolCheck]":
        exam, session = self._exam, self._session
        try:
            situation = session.situation(exam, confirmation)
        except StorageError as error:
            unknown: Future[ProtocolCheck] = Future()
            unknown.set_result(ProtocolCheck(facts=None, problem=error.problem, remedy=error.remedy))
            return unknown
        position = exam.position if exam else PatientPosition.HFS
        drift_hz_per_s = session.drift.rate_hz_per_s
        return self._pool.check(protocol, session.scanner, session.calibration, position, situation, drift_hz_per_s)

    def _check_item(self, item_id: str, protocol: ScanProtocol, confirmation: FirstLevelConfirmation | None = None) -> None:
        def checked(future: "Future[ProtocolCheck]") -> None:
            error = future.exception()
            if isinstance(error, SequenceError):
                check = ProtocolCheck(facts=None, problem=error.problem, remedy=error.remedy)
            elif error is not None:
                return
            else:
                check = future.result()
            if self._queue.set_check(item_id, protocol, check):
                self._publish()
                if check.wait_s < _LONGEST_S:
                    self._check_again(item_id, check.wait_s + _ROUNDING_S)

        self._check(protocol, confirmation).add_done_callback(checked)

    def _check_again(self, item_id: str, in_s: float) -> None:
        """An entry that only has to wait is checked anew once it has."""
        alarm = threading.Timer(in_s, self._check_waiting, (item_id,))
        alarm.daemon = True
        with self._alarms_lock:
            if (before := self._alarms.pop(item_id, None)) is not None:
                before.cancel()
            if not self._has_ended:
                self._alarms[item_id] = alarm
                alarm.start()

    def _check_waiting(self, item_id: str = "") -> None:
        """Check once more, with what was played by now: one entry, or all that wait and may have another answer."""
        played = {one.title: one.fraction for one in self._live_exposures}
        for item in self._queue.items:
            is_meant = item.item_id == item_id or (not item_id and _may_change(item.check, played))
            if item.state is ItemState.WAITING and is_meant and not self._has_ended:
                self._check_item(item.item_id, item.protocol, item.first_level)

    def _check_anew(self) -> None:
        """Check all that is still to come once more: with another power pulses may be longer, or not possible any more."""
        for item in self._queue.items:
            if item.state in (ItemState.WAITING, ItemState.PREPARING) and not self._has_ended:
                self._check_item(item.item_id, item.protocol, item.first_level)

    def _end_checks(self) -> None:
        with self._alarms_lock:
            self._has_ended = True
            for alarm in self._alarms.values():
                alarm.cancel()
            self._alarms.clear()

    @property
    def _live_exposures(self) -> tuple[Exposure, ...]:
        """What was really played, in the windows that end now; nothing while nobody knows."""
        at_s, exposures = self._live
        if time.monotonic() - at_s < _LIVE_S:
            return exposures
        session, subject = self._session, subject_for(self._exam)
        log = session.exposure_log
        exposures = ()
        with contextlib.suppress(StorageError):  # every check says what is wrong
            _ = log.history
            exposures = log.live(subject, session.calibration)
        measured = measured_now(session.supervisor.devices)
        if exposures and measured.is_known:
            scanner = as_measured(session.scanner, session.calibration)
            exposures = (*exposures, *measured.exposures(scanner, subject, log.mode))
        self._live = (time.monotonic(), exposures)
        return exposures
