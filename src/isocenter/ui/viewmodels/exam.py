# SPDX-License-Identifier: MIT
"""The exam on the table: patient, queue, pictures, and what a person can do now."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, Signal, Slot

from isocenter.app.service import (
    Health,
    ImageChanged,
    ItemState,
    MessageRaised,
    Programme,
    QueueItem,
    ScannerService,
    ServiceEvent,
    ServiceStatus,
)
from isocenter.domain.errors import ConsoleError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import Protocol, SequenceInfo
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.editor import ProtocolEditor
from isocenter.ui.viewmodels.images import ExamImages
from isocenter.ui.viewmodels.queue_model import QueueModel
from isocenter.ui.viewmodels.registration import phantom
from isocenter.ui.viewmodels.relay import EventRelay

RUNNING: Final = (ItemState.PREPARING, ItemState.SCANNING, ItemState.RECONSTRUCTING)


class ExamViewModel(QObject):
    """State of the exam screen and of the permanent parts of the window. Made in the window's thread."""

    exam_changed = Signal(object)  # Exam | None
    queue_changed = Signal()
    status_changed = Signal(object)  # ServiceStatus
    images_changed = Signal(str)  # item id, empty when all were cleared
    selection_changed = Signal(str)
    scanner_changed = Signal()
    message_raised = Signal(object)  # MessageRaised
    delivered = Signal(object)  # tuple[ServiceEvent, ...], for other view-models, after this one has seen them
    _exported = Signal(object)  # tuple[Path, Future]

    def __init__(self, service: ScannerService, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.service = service
        self.exam: Exam | None = service.exam
        self.items: tuple[QueueItem, ...] = service.queue
        self.status: ServiceStatus = service.status
        self._scanner = service.scanner
        self.selected_id = ""
        self.is_stopping = False
        self.images = ExamImages()
        self.images.begin(self.exam)
        self.queue = QueueModel(self)
        self.editor = ProtocolEditor(service, self)
        self.editor.message_raised.connect(self.message_raised)
        self._follows_run = True
        self._running_id = ""
        self._removed: list[tuple[str, Protocol, int]] = []
        self._relay = EventRelay(self)
        self._relay.delivered.connect(self._on_events)
        self._exported.connect(self._on_exported)
        self._forget = service.listen(self._relay.post)

    def detach(self) -> None:
        """Take no more events."""
        self._forget()

    # --- news from the service --------------------------------------------------------------------------------------

    @Slot(object)
    def _on_events(self, events: tuple[ServiceEvent, ...]) -> None:
        # Events of different threads may overtake each other, so they only say that something changed: the truth is asked.
        self.status = self.service.status  # asked first: what it says has ended is then seen in the queue, too
        self._sync_scanner()
        self._sync_exam()
        for event in events:
            if isinstance(event, MessageRaised):
                self.message_raised.emit(event)
        self._sync_queue()
        for event in events:
            if isinstance(event, ImageChanged):
                self._take_images(event)
        self._tell_status()
        self.delivered.emit(events)

    def _tell_status(self) -> None:
        if not self.status.is_running:
            self.is_stopping = False
        self.status_changed.emit(self.status)

    def _sync_scanner(self) -> None:
        """The virtual scanner may have become another one."""
        scanner = self.service.scanner
        if scanner is not self._scanner:
            self._scanner = scanner
            self.editor.scanner_changed()
            self.scanner_changed.emit()

    def _sync_exam(self) -> None:
        exam = self.service.exam
        if (exam.exam_id if exam else "") == (self.exam.exam_id if self.exam else ""):
            return
        self.exam = exam
        self.images.begin(exam)
        self._removed.clear()
        self._follows_run, self._running_id = True, ""
        self.exam_changed.emit(exam)
        self.images_changed.emit("")

    def _sync_queue(self) -> None:
        items = self.service.queue
        if items == self.items:
            return
        self.items = items
        self.queue.set_items(items)
        running = next((item.item_id for item in items if item.state in RUNNING), "")
        if running and running != self._running_id and (self._follows_run or self.selected_id == self._running_id):
            self._select(running)
        self._running_id = running or self._running_id
        if self.item(self.selected_id) is None:
            self._select(items[0].item_id if items else "")
        self.editor.show(self.item(self.selected_id))
        self.queue_changed.emit()
        for item_id in self.images.settle(running):
            self.images_changed.emit(item_id)

    def _take_images(self, event: ImageChanged) -> None:
        item = self.item(event.item_id)
        is_live = item is not None and item.state in RUNNING
        if self.images.take(event, is_live=is_live) is not None:
            self.images_changed.emit(event.item_id)

    # --- what there is ----------------------------------------------------------------------------------------------

    def item(self, item_id: str) -> QueueItem | None:
        """One entry of the queue."""
        return next((item for item in self.items if item.item_id == item_id), None)

    @property
    def selected(self) -> QueueItem | None:
        """The entry whose form is shown."""
        return self.item(self.selected_id)

    @property
    def running(self) -> QueueItem | None:
        """The entry that is being scanned."""
        return next((item for item in self.items if item.state in RUNNING), None)

    @property
    def waiting(self) -> tuple[QueueItem, ...]:
        """Entries that have not run."""
        return tuple(item for item in self.items if item.state is ItemState.WAITING)

    @property
    def exportable(self) -> tuple[QueueItem, ...]:
        """Entries with images."""
        finished = (ItemState.DONE, ItemState.STOPPED)
        return tuple(item for item in self.items if item.state in finished and item.folder is not None)

    def programmes(self) -> tuple[Programme, ...]:
        """Those for what the scanner can scan."""
        return self.service.programmes()

    def sequences(self) -> tuple[SequenceInfo, ...]:
        """Every sequence."""
        return self.service.sequences()

    # --- why something cannot be done now; empty when it can ------------------------------------------------------------

    def why_not_add(self) -> str:
        """Protocols need somebody on the table."""
        return "" if self.exam else translate("Exam", "Register a patient or a phantom first.")

    def why_not_change_exam(self) -> str:
        """Not while scanning, nor while the virtual scanner starts."""
        if self.status.is_restarting:
            return translate("Exam", "The virtual scanner is being started. Wait a few seconds.")
        return translate("Exam", "A scan is running. Stop it or wait.") if self.status.is_running else ""

    def why_not_end(self) -> str:
        """There must be an exam."""
        return self.why_not_change_exam() if self.exam else translate("Exam", "Nobody is on the table.")

    def why_not_start(self) -> str:
        """Everything that waits must be playable."""
        if self.status.is_running:
            return translate("Exam", "The queue is running already.")
        if why_not := self.service.control.why_no_start:
            return why_not
        if not self.waiting:
            return self.why_not_add() or translate("Exam", "Nothing waits. Add a programme first.")
        field = self.editor.refused
        if field is not None:
            return translate("Exam", "{0} holds a value that was refused. Correct it, or press Reset.").format(
                field.parameter.label
            )
        for item in self.waiting:
            if item.check is not None and not item.check.is_playable:
                return translate("Exam", "{0} cannot run: {1}").format(item.protocol.name, item.check.problem)
        return ""

    def why_not_edit(self) -> str:
        """Only waiting entries can be moved or removed."""
        item = self.selected
        if item is None:
            return translate("Exam", "Select an entry of the queue first.")
        return "" if item.state is ItemState.WAITING else translate("Exam", "Only entries that wait can be changed.")

    def why_not_repeat(self) -> str:
        """Something must be selected."""
        return "" if self.selected else translate("Exam", "Select an entry of the queue first.")

    def why_not_export(self) -> str:
        """There must be images."""
        return "" if self.exportable else translate("Exam", "No scan has finished yet.")

    def why_not_restore(self) -> str:
        """Something must have been removed."""
        return "" if self._removed and self.exam else translate("Exam", "Nothing was removed.")

    def why_not_confirm(self) -> str:
        """Only a waiting entry that lacks nothing but a person's word."""
        item = self.selected
        if item is not None and item.state is ItemState.WAITING and item.check is not None and item.check.needs_first_level:
            return ""
        return translate("Exam", "The selected scan needs no confirmation, or more than that.")

    # --- what a person does -----------------------------------------------------------------------------------------

    def register(self, patient: Patient, position: PatientPosition, body_part: str, side: str = "") -> bool:
        """Begin an exam; False when it was refused, with a message."""
        return self._try(lambda: self.service.start_exam(patient, position, body_part, laterality=side))

    def register_phantom(self) -> bool:
        """Begin an exam of the test object, in one click."""
        patient = phantom(is_virtual=self.status.is_virtual)
        return self.register(patient, PatientPosition.HFS, self.service.scanner.body_parts[0])

    def end_exam(self) -> None:
        """Nobody is on the table any more."""
        self._try(self.service.end_exam)

    def add(self, protocols: tuple[Protocol, ...]) -> None:
        """Put protocols at the end of the queue; the first of them is selected when nothing waited."""
        if self.waiting == () and not self.status.is_running:
            self._follows_run = True
        n_before = len(self.items)
        for protocol in protocols:
            if not self._try(lambda protocol=protocol: self.service.add(protocol)):  # type: ignore[misc]
                return
        if not self.status.is_running and n_before < len(self.items):
            self.select(self.items[n_before].item_id)

    def add_sequence(self, info: SequenceInfo) -> None:
        """Put a single sequence, with its defaults, at the end of the queue."""
        self.add((Protocol(name=info.title, sequence=info.name),))

    def repeat(self) -> None:
        """Put a copy of the selected entry at the end of the queue."""
        self.editor.commit()
        if self.selected is not None:
            self.add((self.selected.protocol,))

    def select(self, item_id: str) -> None:
        """Show another entry."""
        self._follows_run = self._running_id in ("", item_id) or not self.status.is_running
        if item_id != self.selected_id:
            self._select(item_id)
            self.editor.show(self.item(item_id))

    def move(self, steps: int) -> None:
        """Move the selected entry up (negative) or down."""
        index = next((row for row, item in enumerate(self.items) if item.item_id == self.selected_id), -1)
        if index >= 0:
            self.move_to(self.selected_id, index + steps)

    def move_to(self, item_id: str, index: int) -> None:
        """Move an entry to a place in the queue."""
        self._try(lambda: self.service.move(item_id, max(index, 0)))

    def remove(self) -> None:
        """Take the selected entry out; ``restore`` brings it back."""
        item = self.selected
        if item is None:
            return
        index = self.items.index(item)
        if self._try(lambda: self.service.remove(item.item_id)):
            self._removed.append((item.item_id, item.protocol, index))
            self.queue_changed.emit()
            if self.items:
                self.select(self.items[min(index, len(self.items) - 1)].item_id)

    def restore(self) -> None:
        """Bring back what was removed last."""
        if not self._removed or self.exam is None:
            return
        _, protocol, index = self._removed.pop()
        n_before = len(self.items)
        self.add((protocol,))
        if len(self.items) > n_before:
            self.move_to(self.items[-1].item_id, index)

    def confirm_first_level(self, item_id: str, name: str) -> bool:
        """A person takes responsibility for an entry in first level mode; False when it was refused, with a message."""
        return self._try(lambda: self.service.confirm_first_level(item_id, name))

    def start(self) -> None:
        """Work off the queue in the order shown."""
        self.editor.commit()
        self._sync_queue()
        why_not = self.why_not_start()
        if why_not:
            self._warn(why_not, translate("Exam", "Then press Start again."))
            return
        self._follows_run = True
        self._try(self.service.start)

    def stop(self) -> None:
        """Stop now; never asks, never waits."""
        self.service.stop()
        self.is_stopping = self.status.is_running
        self.status_changed.emit(self.status)

    def export(self, item_ids: tuple[str, ...], folder: Path) -> None:
        """Copy DICOM and NIfTI files of finished entries to a folder; the outcome comes as a message."""
        future = self.service.export(item_ids, folder)
        future.add_done_callback(lambda done: self._exported.emit((folder, done)))

    @Slot(object)
    def _on_exported(self, outcome: "tuple[Path, Future[tuple[Path, ...]]]") -> None:
        folder, done = outcome
        error = done.exception()
        if error is None:
            text = translate("Exam", "{0} files were written to {1}.").format(len(done.result()), folder)
            self.message_raised.emit(MessageRaised(health=Health.GOOD, problem=text, remedy=""))
        elif isinstance(error, ConsoleError):
            self.message_raised.emit(MessageRaised(health=Health.BAD, problem=error.problem, remedy=error.remedy))
        else:
            raise error

    # --- inside -----------------------------------------------------------------------------------------------------

    def _select(self, item_id: str) -> None:
        self.selected_id = item_id
        self.selection_changed.emit(item_id)

    def _try(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except ConsoleError as error:
            self._warn(error.problem, error.remedy)
            return False
        self.status = self.service.status
        self._sync_exam()
        self._sync_queue()
        self._tell_status()
        return True

    def _warn(self, problem: str, remedy: str) -> None:
        self.message_raised.emit(MessageRaised(health=Health.WARNING, problem=problem, remedy=remedy))
