# SPDX-License-Identifier: MIT
"""The sheet in which a patient is registered. Nothing of an earlier patient is ever filled in."""

from collections.abc import Callable
from datetime import date

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient, Sex
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.registration import Registration, body_part_choices, position_text, read_form
from isocenter.ui.widgets.labels import set_health, state_text, styled
from isocenter.ui.widgets.sheet import Sheet


class RegistrationSheet(Sheet):
    """Form of a patient. ``begin`` is called with patient, position, body part and side, and says whether it was taken."""

    def __init__(
        self,
        over: QWidget,
        body_parts: tuple[str, ...],
        begin: Callable[[Patient, PatientPosition, str, str], bool],
        today: Callable[[], date],
    ) -> None:
        super().__init__(translate("Registration", "Register patient"), over)
        self._begin, self._today = begin, today
        self.inputs: dict[str, QLineEdit] = {}
        self._problems: dict[str, QLabel] = {}
        self._touched: set[str] = set()
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self.body.addLayout(self._grid)
        self._add_line("patient_id", translate("Registration", "Patient ID *"), "")
        self._add_line("family_name", translate("Registration", "Family name *"), "")
        self._add_line("given_name", translate("Registration", "Given name"), "")
        self._add_line("birth_date", translate("Registration", "Birth date"), translate("Registration", "year-month-day"))
        self.sex = self._add_box(
            translate("Registration", "Sex"),
            (
                (translate("Registration", "not known"), Sex.UNKNOWN.value),
                (translate("Registration", "female"), Sex.FEMALE.value),
                (translate("Registration", "male"), Sex.MALE.value),
                (translate("Registration", "other"), Sex.OTHER.value),
            ),
        )
        self._add_line("weight_kg", translate("Registration", "Weight"), translate("Registration", "kg"))
        self.position = self._add_box(
            translate("Registration", "Lies"), tuple((position_text(item), item.value) for item in PatientPosition)
        )
        self.body_part = self._add_box(translate("Registration", "Body part *"), body_part_choices(body_parts))
        self._part_problem = styled(
            QLabel(state_text("bad", translate("Registration", "Choose what is examined."))), "small"
        )
        self._part_problem.setVisible(False)
        set_health(self._part_problem, "bad")
        self.body_part.currentIndexChanged.connect(lambda: self._part_problem.setVisible(False))
        self._grid.addWidget(self._part_problem, self._grid.rowCount(), 1)
        self._note = styled(QLabel(), "small")
        self._note.setWordWrap(True)
        self.body.addWidget(self._note)
        self.add_cancel()
        self.accept = self.add_button(QPushButton(translate("Registration", "Begin exam")))
        self.accept.setObjectName("primary")
        self.accept.clicked.connect(self.submit)
        for line in self.inputs.values():
            line.returnPressed.connect(self.submit)
        self._sync()

    def _add_line(self, name: str, label: str, hint: str) -> None:
        row = self._grid.rowCount()
        line = QLineEdit()
        line.setPlaceholderText(hint)
        line.setAccessibleName(label)
        problem = styled(QLabel(), "small")
        problem.setWordWrap(True)
        problem.setVisible(False)
        set_health(problem, "bad")
        self._grid.addWidget(QLabel(label), row, 0)
        self._grid.addWidget(line, row, 1)
        self._grid.addWidget(problem, row + 1, 1)
        line.textEdited.connect(lambda: self._on_edited(name))
        self.inputs[name], self._problems[name] = line, problem

    def _add_box(self, label: str, choices: tuple[tuple[str, str], ...]) -> QComboBox:
        row = self._grid.rowCount()
        box = QComboBox()
        for text, value in choices:
            box.addItem(text, value)
        box.setAccessibleName(label)
        self._grid.addWidget(QLabel(label), row, 0)
        self._grid.addWidget(box, row, 1)
        return box

    def _read(self) -> Registration:
        texts = {name: line.text() for name, line in self.inputs.items()}
        return read_form({**texts, "sex": str(self.sex.currentData())}, self._today())

    def _on_edited(self, name: str) -> None:
        self._touched.add(name)
        self._sync()

    def _sync(self) -> None:
        """Say what is wrong at fields that were touched, and what will be registered."""
        read = self._read()
        for name, label in self._problems.items():
            text = read.problems.get(name, "") if name in self._touched else ""
            label.setText(state_text("bad", text) if text else "")
            label.setVisible(bool(text))
            line = self.inputs[name]
            line.setProperty("refused", "true" if text else "false")
            line.style().unpolish(line)
            line.style().polish(line)
        if read.patient is None:
            self._note.setText(translate("Registration", "* is needed. Everything else may stay empty."))
        else:
            self._note.setText(translate("Registration", "Read back to the patient: {0}.").format(read.note))
        self.place()

    @Slot()
    def submit(self) -> None:
        """Begin the exam, or say what is missing."""
        read = self._read()
        if read.patient is None:
            self._touched = set(self.inputs)
            self._sync()
            self.inputs[next(iter(read.problems))].setFocus()
            return
        chosen = str(self.body_part.currentData())
        if not chosen:
            self._part_problem.setVisible(True)
            self.body_part.setFocus()
            self.place()
            return
        part, _, side = chosen.partition(":")
        if self._begin(read.patient, PatientPosition(self.position.currentData()), part, side):
            self.dismiss()
