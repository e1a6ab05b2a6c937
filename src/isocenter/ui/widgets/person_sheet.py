# SPDX-License-Identifier: MIT
"""A sheet that a person answers with a name; the name is recorded with the answer."""

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from isocenter.ui.text import translate
from isocenter.ui.widgets.labels import set_health, state_text, styled, wrapped
from isocenter.ui.widgets.sheet import Sheet

MOST_LETTERS = 64
"""As long as a person's name may be in DICOM."""


class PersonSheet(Sheet):
    """Asks for a name, says why an answer is not possible yet, and takes it at the button or at Enter.

    A sheet of its own fills ``body``, calls ``add_person`` where the name belongs and ``add_answer`` at the end, and says
    ``_what_is_missing`` and what ``_answer`` does.
    """

    def __init__(self, title: str, over: QWidget, person: str, width_px: int = 560) -> None:
        super().__init__(title, over, width_px)
        self.person = QLineEdit(person)
        self.person.setMaxLength(MOST_LETTERS)
        self.person.setAccessibleName(translate("Sheet", "Your name"))
        self.person.textChanged.connect(self.sync)
        self.person.returnPressed.connect(self.submit)
        self.why_not = wrapped()
        set_health(self.why_not, "warning")
        self.accept = QPushButton()
        self.accept.clicked.connect(self.submit)

    def add_text(self, text: str, style: str = "small") -> QLabel:
        """Add a paragraph."""
        label = wrapped(style)
        label.setText(text)
        self.body.addWidget(label)
        return label

    def add_person(self, grid: QGridLayout | None = None, row: int = 0) -> None:
        """Add where the name is written: at the end of what there is, or in the first column of a grid."""
        label = styled(QLabel(translate("Sheet", "Your name")), "group")
        if grid is None:
            self.body.addWidget(label)
            self.body.addWidget(self.person)
        else:
            grid.addWidget(label, row, 0)
            grid.addWidget(self.person, row + 1, 0)

    def add_answer(self, text: str, keep: str = "", *, is_primary: bool = False) -> QPushButton:
        """Add why there is no answer yet, and both buttons; returns the one that changes nothing."""
        self.body.addWidget(self.why_not)
        cancel = self.add_cancel(keep)
        self.accept.setText(text)
        if is_primary:
            self.accept.setObjectName("primary")
        self.add_button(self.accept)
        self.sync()
        return cancel

    @Slot()
    def sync(self) -> None:
        """Say what is missing still."""
        why_not = self._what_is_missing()
        if not why_not and not self.person.text().strip():
            why_not = translate("Sheet", "Write your name.")
        self.why_not.setText(state_text("warning", why_not) if why_not else "")
        self.accept.setEnabled(not why_not)

    @Slot()
    def submit(self) -> None:
        """Answer, if all is there; the sheet stays when the answer was refused."""
        if self.accept.isEnabled() and self._answer(self.person.text().strip()):
            self.dismiss()

    def _what_is_missing(self) -> str:
        """Besides the name; empty when nothing is."""
        raise NotImplementedError

    def _answer(self, person: str) -> bool:
        """What the answer does; False when it was refused."""
        raise NotImplementedError
