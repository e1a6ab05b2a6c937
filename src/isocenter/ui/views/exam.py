# SPDX-License-Identifier: MIT
"""The Exam place: queue, pictures, parameters; with nobody on the table it says how to begin."""

from typing import Final

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.scenarios import ScenarioViewModel
from isocenter.ui.views.parameters import ParameterPanel
from isocenter.ui.views.queue import QueuePanel
from isocenter.ui.views.scenarios import ScenarioCard
from isocenter.ui.views.viewers import ViewerGrid
from isocenter.ui.widgets.bars import panel
from isocenter.ui.widgets.labels import styled

_CARD_WIDTH_PX: Final = 640


class ExamPlace(QStackedWidget):
    """Start page, or the exam."""

    def __init__(self, exam: ExamViewModel, scenarios: ScenarioViewModel, actions: ActionSet) -> None:
        super().__init__()
        self._exam = exam
        self.queue = QueuePanel(exam, actions)
        self.viewers = ViewerGrid(exam)
        self.parameters = ParameterPanel(exam, actions)
        self.queue.setFixedWidth(276)
        self.parameters.setFixedWidth(318)
        columns = QWidget()
        row = QHBoxLayout(columns)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.queue)
        row.addWidget(self.viewers, 1)
        row.addWidget(self.parameters)
        self._register = ActionButton(actions["exam.register"], "primary")
        buttons = (self._register, ActionButton(actions["exam.phantom"]))
        card = ScenarioCard(scenarios, ActionButton(actions["scanner.scenario"])) if scenarios.is_available else None
        self.addWidget(_start_page(buttons, card))
        self.addWidget(columns)
        exam.exam_changed.connect(self._on_exam)
        self._on_exam()

    @Slot()
    def _on_exam(self) -> None:
        self.setCurrentIndex(1 if self._exam.exam else 0)
        self.focus_first()

    def focus_first(self) -> None:
        """Put the keyboard where the next step is, never on Stop."""
        (self.queue.first_button if self._exam.exam else self._register).setFocus(Qt.FocusReason.OtherFocusReason)


def _start_page(buttons: tuple[QWidget, ...], card: QWidget | None) -> QWidget:
    page = panel()
    column = QVBoxLayout(page)
    column.addStretch(2)
    for text, style in (
        (translate("Exam", "Nobody is on the table"), "title"),
        (translate("Exam", "Register a patient to begin an exam, or scan a phantom."), "muted"),
    ):
        label = styled(QLabel(text), style)
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(label)
    column.addSpacing(14)
    row = QHBoxLayout()
    row.addStretch(1)
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    column.addLayout(row)
    if card is not None:
        card.setFixedWidth(_CARD_WIDTH_PX)
        column.addSpacing(34)
        column.addWidget(card, alignment=Qt.AlignmentFlag.AlignHCenter)
    column.addStretch(3)
    note = styled(
        QLabel(
            translate(
                "Exam", "Research software. It is not approved for clinical use; such approval is for your site to obtain."
            )
        ),
        "muted",
    )
    note.setAlignment(Qt.AlignmentFlag.AlignCenter)
    column.addWidget(note)
    return page
