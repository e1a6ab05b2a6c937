# SPDX-License-Identifier: MIT
"""The way of events from any thread into the window's thread: newest values only, at most thirty times a second."""

import threading
from typing import Final

from PySide6.QtCore import QElapsedTimer, QObject, Qt, QTimer, Signal, Slot

from isocenter.app.service import ExamChanged, ImageChanged, MessageRaised, ServiceEvent

FRAME_MS: Final = 33


class EventRelay(QObject):
    """Made in the window's thread; ``post`` may be called from any thread and never waits."""

    delivered = Signal(object)  # tuple[ServiceEvent, ...], in order
    _posted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._events: list[ServiceEvent] = []
        self._since_last = QElapsedTimer()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._deliver)
        self._posted.connect(self._schedule, Qt.ConnectionType.QueuedConnection)

    def post(self, event: ServiceEvent) -> None:
        """Take an event; it replaces an older one that it makes worthless."""
        with self._lock:
            was_empty = not self._events
            self._events = [old for old in self._events if not _is_outdated(old, event)]
            self._events.append(event)
        if was_empty:
            self._posted.emit()

    @Slot()
    def _schedule(self) -> None:
        if not self._timer.isActive():
            waited_ms = self._since_last.elapsed() if self._since_last.isValid() else FRAME_MS
            self._timer.start(max(0, FRAME_MS - int(waited_ms)))

    @Slot()
    def _deliver(self) -> None:
        with self._lock:
            events, self._events = tuple(self._events), []
        self._since_last.start()
        if events:
            self.delivered.emit(events)


def _is_outdated(old: ServiceEvent, new: ServiceEvent) -> bool:
    """True when nobody needs ``old`` any more. Messages and changes of the exam are never lost."""
    if isinstance(old, MessageRaised | ExamChanged) or type(old) is not type(new):
        return False
    if isinstance(old, ImageChanged) and isinstance(new, ImageChanged):
        return (old.exam_id, old.item_id) == (new.exam_id, new.item_id)
    return True
