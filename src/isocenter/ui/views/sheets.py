# SPDX-License-Identifier: MIT
"""Smaller sheets: choose from a list, ask, export, keys."""

from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from isocenter.app.service import QueueItem
from isocenter.ui.action import Action
from isocenter.ui.text import translate
from isocenter.ui.widgets.labels import set_health, state_text, styled
from isocenter.ui.widgets.sheet import Sheet


class ChoiceSheet(Sheet):
    """A list of buttons, one of which is wanted."""

    def __init__(self, title: str, over: QWidget, choices: Iterable[tuple[str, str, str, Callable[[], None]]]) -> None:
        """Choices are heading, text, tooltip and what to do."""
        super().__init__(title, over, 520)
        self.buttons: list[QPushButton] = []
        heading = ""
        for group, text, tooltip, run in choices:
            if group != heading:
                heading = group
                self.body.addWidget(styled(QLabel(group), "group"))
            button = QPushButton(text)
            button.setObjectName("row")
            button.setToolTip(tooltip)
            button.clicked.connect(lambda _checked=False, run=run: self._choose(run))
            self.body.addWidget(button)
            self.buttons.append(button)
        self.body.addStretch(1)
        self.add_cancel()

    def _choose(self, run: Callable[[], None]) -> None:
        self.dismiss()
        run()


class QuestionSheet(Sheet):
    """A question before something that cannot be undone. The keyboard is on the harmless answer."""

    def __init__(self, title: str, text: str, over: QWidget, answer: str, run: Callable[[], None], *, keep: str) -> None:
        super().__init__(title, over, 480)
        words = QLabel(text)
        words.setWordWrap(True)
        self.body.addWidget(words)
        self._run = run
        self.accept = self.add_button(QPushButton(answer))
        self.accept.clicked.connect(self._on_accept)
        self.keep = self.add_cancel(keep)
        self.keep.setObjectName("primary")

    @Slot()
    def _on_accept(self) -> None:
        self.dismiss()
        self._run()


class ExportSheet(Sheet):
    """Which finished scans go to which folder."""

    def __init__(
        self, over: QWidget, items: tuple[QueueItem, ...], patient: str, run: Callable[[tuple[str, ...], Path], None]
    ) -> None:
        super().__init__(translate("Export", "Export images of {0}").format(patient), over, 560)
        self._run = run
        hint = styled(
            QLabel(translate("Export", "DICOM and NIfTI files, a folder for each scan. They name the patient.")), "muted"
        )
        hint.setWordWrap(True)
        self.body.addWidget(hint)
        self.boxes: dict[str, QCheckBox] = {}
        for item in items:
            box = QCheckBox(f"{item.protocol.name} · {item.state.value}")
            box.setChecked(True)
            box.toggled.connect(self._sync)
            self.body.addWidget(box)
            self.boxes[item.item_id] = box
        row = QHBoxLayout()
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(translate("Export", "Folder"))
        self.folder.setAccessibleName(translate("Export", "Folder"))
        self.folder.textChanged.connect(self._sync)
        self.folder.returnPressed.connect(self.submit)
        browse = QPushButton(translate("Export", "Browse …"))
        browse.clicked.connect(self._browse)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        self.body.addLayout(row)
        self._problem = styled(QLabel(), "small")
        self._problem.setWordWrap(True)
        set_health(self._problem, "warning")
        self.body.addWidget(self._problem)
        self.add_cancel()
        self.accept = self.add_button(QPushButton(translate("Export", "Export")))
        self.accept.setObjectName("primary")
        self.accept.clicked.connect(self.submit)
        self._sync()

    def _problem_text(self) -> str:
        if not any(box.isChecked() for box in self.boxes.values()):
            return translate("Export", "Tick at least one scan.")
        return "" if self.folder.text().strip() else translate("Export", "Choose a folder, such as that of a USB stick.")

    @Slot()
    def _sync(self) -> None:
        text = self._problem_text()
        self._problem.setText(state_text("warning", text) if text else "")
        self.accept.setEnabled(not text)

    @Slot()
    def _browse(self) -> None:
        """Not modal, and Qt's own, so that Stop stays within reach."""
        dialog = QFileDialog(self, translate("Export", "Folder for the images"), self.folder.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setModal(False)
        dialog.fileSelected.connect(self.folder.setText)
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    @Slot()
    def submit(self) -> None:
        """Export, if all is said."""
        if not self._problem_text():
            chosen = tuple(item_id for item_id, box in self.boxes.items() if box.isChecked())
            folder = Path(self.folder.text().strip()).expanduser()
            self.dismiss()
            self._run(chosen, folder)


class KeysSheet(Sheet):
    """Every action with its key, made from the table."""

    def __init__(self, over: QWidget, table: Iterable[Action], groups: dict[str, str]) -> None:
        super().__init__(translate("Keys", "Keys"), over, 640)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(2, 1)
        group = ""
        for action in table:
            if action.group != group:
                group = action.group
                grid.addWidget(styled(QLabel(groups.get(group, group)), "group"), grid.rowCount(), 0, 1, 3)
            row = grid.rowCount()
            grid.addWidget(styled(QLabel(action.shortcut or "–"), "small"), row, 0)
            grid.addWidget(QLabel(action.text), row, 1)
            tip = styled(QLabel(action.tooltip), "muted")
            tip.setWordWrap(True)
            grid.addWidget(tip, row, 2)
        self.body.addLayout(grid)
        self.close_button = self.add_cancel(translate("Keys", "Close"))


class ExplainSheet(Sheet):
    """How a picture was made: every step and what came of it; figures before and after first."""

    def __init__(self, over: QWidget, title: str, steps: tuple[tuple[str, str], ...]) -> None:
        super().__init__(translate("Explain", "How this picture was made"), over, 720)
        name = styled(QLabel(title), "heading")
        name.setWordWrap(True)
        self.body.addWidget(name)
        figures = tuple((step, text) for step, text in steps if _is_figure(text))
        for heading, lines in (
            (translate("Explain", "Before and after"), figures),
            (translate("Explain", "All steps in order"), steps),
        ):
            if lines:
                self.body.addWidget(styled(QLabel(heading), "group"))
                self.body.addLayout(self._grid(lines))
        if not steps:
            self.body.addWidget(QLabel(translate("Explain", "Nobody wrote down how it was made.")))
        self.close_button = self.add_cancel(translate("Explain", "Close"))

    @staticmethod
    def _grid(lines: tuple[tuple[str, str], ...]) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(1, 1)
        for row, (step, text) in enumerate(lines):
            head = styled(QLabel(step), "small")
            grid.addWidget(head, row, 0, Qt.AlignmentFlag.AlignTop)
            words = styled(QLabel(text or "–"), "muted")
            words.setWordWrap(True)
            grid.addWidget(words, row, 1)
        return grid


def _is_figure(text: str) -> bool:
    """Steps that measured what they did say it as ``... 0.12 before, 0.03 after``."""
    return " before, " in text and " after" in text
