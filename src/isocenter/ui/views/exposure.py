# SPDX-License-Identifier: MIT
"""What patient and hardware are exposed to: before Start, while it runs, and who takes it in first level mode."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from isocenter.app.service import ItemState, QueueItem
from isocenter.domain.exposure import Exposure
from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.exposure import exposure_line, mode_text, summary, worst
from isocenter.ui.widgets.bars import LightLabel
from isocenter.ui.widgets.labels import set_health, state_text, styled, wrapped
from isocenter.ui.widgets.person_sheet import PersonSheet
from isocenter.ui.widgets.sheet import Sheet


class ExposureStrip(QWidget):
    """In the panel of a scan: the exposure that is nearest to its limit, and what can be done about it."""

    def __init__(self, exam: ExamViewModel, actions: ActionSet) -> None:
        super().__init__()
        self._exam = exam
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.head = styled(QLabel(), "muted")
        self.text = wrapped()
        self.confirmed = wrapped()
        column.addWidget(self.head)
        column.addWidget(self.text)
        column.addWidget(self.confirmed)
        row = QHBoxLayout()
        row.setSpacing(6)
        self.all = ActionButton(actions["protocol.exposure"], shows_key=False)
        self.confirm = ActionButton(actions["protocol.firstlevel"], "primary", shows_key=False)
        row.addWidget(self.all)
        row.addWidget(self.confirm)
        row.addStretch(1)
        column.addLayout(row)
        exam.editor.check_changed.connect(self._sync)
        exam.editor.loaded.connect(self._sync)
        exam.status_changed.connect(self._sync)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        title, exposures = shown_exposures(self._exam)
        self.setVisible(bool(exposures))
        if not exposures:
            return
        item = self._exam.selected
        health, text = summary(exposures)
        self.head.setText(title)
        self.text.setText(state_text(health, text))
        set_health(self.text, health)
        self.confirmed.setText(confirmed_text(item) if item is not None else "")
        self.confirmed.setVisible(bool(self.confirmed.text()))
        set_health(self.confirmed, "warning")
        self.confirm.setVisible(not self._exam.why_not_confirm())


def shown_exposures(exam: ExamViewModel) -> tuple[str, tuple[Exposure, ...]]:
    """Heading and exposures of the selected scan: live while it is played, else what was predicted."""
    item = exam.selected
    if item is None:
        return "", ()
    if item.state is ItemState.SCANNING:
        return translate("Exposure", "Exposure now, as played"), exam.status.exposures
    check = exam.editor.check if item.state is ItemState.WAITING else item.check
    if check is None:
        return "", ()
    return translate("Exposure", "Exposure, predicted with what was played before"), check.exposures


def confirmed_text(item: QueueItem) -> str:
    """Who confirmed first level mode, and when; empty when nobody did."""
    if item.first_level is None:
        return ""
    text = translate("Exposure", "▲ First level mode, confirmed by {0} at {1}")
    return text.format(item.first_level.name, item.first_level.at[11:16])


class ExposureSheet(Sheet):
    """All exposures, each with its limit and how it is known."""

    def __init__(self, over: QWidget, exam: ExamViewModel) -> None:
        super().__init__(translate("Exposure", "What patient and hardware are exposed to"), over, 1040)
        self._exam = exam
        intro = wrapped("muted")
        intro.setText(
            translate(
                "Exposure",
                "Measured: a monitor measured it. Model: computed from the hardware file. Bound: the truth is at most this. "
                "Unknown is never good. First: if the selected scan is played; second: what was played until now.",
            )
        )
        self.body.addWidget(intro)
        self._tables = QVBoxLayout()
        self.body.addLayout(self._tables)
        self.close_button = self.add_cancel(translate("Exposure", "Close"))
        title, predicted = shown_exposures(exam)
        is_live = exam.selected is not None and exam.selected.state is ItemState.SCANNING
        if predicted and not is_live:
            self._add(title, predicted)
        mode = mode_text(exam.status.mode)
        self._live = self._add(translate("Exposure", "Played until now, {0}").format(mode), exam.status.exposures)
        exam.status_changed.connect(self._on_status)

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that is shown in tables."""
        return tuple(label.text() for label in self.findChildren(QLabel))

    @Slot()
    def _on_status(self) -> None:
        _fill(self._live, self._exam.status.exposures)

    def _add(self, title: str, exposures: Sequence[Exposure]) -> QGridLayout:
        self._tables.addWidget(styled(QLabel(title), "heading"))
        frame = QFrame()
        frame.setObjectName("card")
        grid = QGridLayout(frame)
        grid.setContentsMargins(12, 8, 12, 8)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(3)
        for column, stretch in enumerate((4, 4, 1, 1, 8)):
            grid.setColumnStretch(column, stretch)
        _fill(grid, exposures)
        self._tables.addWidget(frame)
        return grid


def _fill(grid: QGridLayout, exposures: Sequence[Exposure]) -> None:
    for row, one in enumerate(exposures):
        line = exposure_line(one)
        glyph = state_text(line.health, line.name) if line.health != "none" else f"– {line.name}"
        for column, (text, style) in enumerate(
            ((glyph, "small"), (line.text, "small"), (line.share, "small"), (line.label, "muted"), (line.note, "muted"))
        ):
            item = grid.itemAtPosition(row, column)
            label = item.widget() if item is not None else None
            if not isinstance(label, QLabel):
                label = wrapped(style) if column == 4 else styled(QLabel(), style)
                grid.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)
            label.setText(text)
            if column == 0:
                set_health(label, line.health)
    for row in range(len(exposures), grid.rowCount()):  # what nobody tells any more must not stand there as the present
        for column in range(5 if exposures else 0):
            item = grid.itemAtPosition(row, column)
            label = item.widget() if item is not None else None
            if isinstance(label, QLabel):
                label.clear()
    if not exposures and grid.count() == 0:
        grid.addWidget(styled(QLabel(translate("Exposure", "Nothing is known.")), "muted"), 0, 0)


class FirstLevelSheet(PersonSheet):
    """A person takes responsibility for one scan in first level controlled operating mode."""

    def __init__(self, over: QWidget, exam: ExamViewModel, control: ControlViewModel, item: QueueItem) -> None:
        super().__init__(translate("Exposure", "First level controlled operating mode?"), over, control.person, 600)
        self._exam, self._control, self._item_id = exam, control, item.item_id
        texts = [item.protocol.name]
        if item.check is not None:
            texts += [item.check.problem, summary(item.check.exposures)[1]]
        for text, style in zip(texts, ("heading", "small", "small"), strict=False):
            self.add_text(text, style)
        words = self.add_text(
            translate(
                "Exposure",
                "This scan goes beyond what is harmless for everybody. It may only be run under medical supervision, "
                "when its benefit outweighs the risk. Your name and the time are stored with the scan.",
            )
        )
        set_health(words, "warning")
        self.add_person()
        self.keep = self.add_answer(translate("Exposure", "I take responsibility"), translate("Exposure", "Do not run it"))

    def _what_is_missing(self) -> str:
        return ""

    def _answer(self, person: str) -> bool:
        if not self._exam.confirm_first_level(self._item_id, person):
            return False
        self._control.person = person
        return True


class ExposureLight(LightLabel):
    """In the banner of every place: what was really played, against the limit that is nearest."""

    def __init__(self, exam: ExamViewModel) -> None:
        super().__init__(is_roomy=True)
        self._exam = exam
        exam.status_changed.connect(self._sync)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        status = self._exam.status
        self.setVisible(self._exam.exam is not None and bool(status.exposures))
        health, text = summary(status.exposures)
        title = translate("Exposure", "Exposure, {0}").format(mode_text(status.mode))
        nearest = worst(status.exposures)
        short = text if nearest is None else f"{exposure_line(nearest).share} · {nearest.title}"
        self.set_light(title, health, short.replace("\n", " "))
        self.setToolTip(f"{title}\n{text}")
