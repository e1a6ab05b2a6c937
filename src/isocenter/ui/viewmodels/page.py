# SPDX-License-Identifier: MIT
"""What the view-models of pages share: they ask anew when there is news of theirs, and tell what was refused."""

from collections.abc import Callable
from typing import ClassVar

from PySide6.QtCore import QObject, Signal, Slot

from isocenter.app.service import Health, MessageRaised, ServiceEvent
from isocenter.domain.errors import ConsoleError
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel


class PageViewModel(QObject):
    """Made in the window's thread; ``NEWS`` is the event that tells of what this page shows."""

    changed = Signal()
    message_raised = Signal(object)

    NEWS: ClassVar[type]

    def __init__(self, exam: ExamViewModel, control: ControlViewModel) -> None:
        super().__init__(exam)
        self._exam, self._control = exam, control
        exam.delivered.connect(self._on_events)
        exam.exam_changed.connect(self.refresh)
        exam.scanner_changed.connect(self.refresh)
        control.changed.connect(self.changed)

    @Slot(object)
    def _on_events(self, events: tuple[ServiceEvent, ...]) -> None:
        if any(isinstance(event, self.NEWS) for event in events):
            self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Ask how things are."""
        raise NotImplementedError

    @property
    def person(self) -> str:
        """Who answered last, offered again."""
        return self._control.person

    def _try(self, call: Callable[[], object]) -> bool:
        """Do what a person asked for; False when that was refused, with a message."""
        try:
            call()
        except ConsoleError as error:
            self.message_raised.emit(MessageRaised(health=Health.WARNING, problem=error.problem, remedy=error.remedy))
            return False
        return True
