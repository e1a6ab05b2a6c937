# SPDX-License-Identifier: MIT
"""The Service place: service calibrations at the left, the selected one in full at the right."""

from typing import Final

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.service import CalibrationLine, ServiceViewModel
from isocenter.ui.views.page import SPACING_PX, Page
from isocenter.ui.widgets.labels import elided, set_health, state_text, styled, wrapped
from isocenter.ui.widgets.plot import PlotView

_LIST_SHARE: Final = 13
_DETAIL_SHARE: Final = 10
_LEAST_PLOT_PX: Final = 150
_LEAST_DETAIL_PX: Final = 500
_ROW_PX: Final = 60


class CalibrationRow(QFrame):
    """One calibration: takes the keyboard, is selected by it, and has its own Measure."""

    step_wanted = Signal(int)

    def __init__(self, model: ServiceViewModel) -> None:
        super().__init__()
        self.setObjectName("card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._model = model
        self.name = ""
        self.setFixedHeight(_ROW_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 2, 8, 2)
        row.setSpacing(12)
        self.title, self.value = elided("small"), elided("small")
        self.state, self.detail, self.holds = elided("small"), elided("muted"), elided("muted")
        for labels, stretch in (((self.title, self.state), 7), ((self.value, self.detail, self.holds), 12)):
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addStretch(1)
            for label in labels:
                column.addWidget(label)
            column.addStretch(1)
            row.addLayout(column, stretch)
        self.measure = QPushButton(translate("Service", "Measure"))
        self.measure.clicked.connect(self._on_measure)
        row.addWidget(self.measure)

    def show_line(self, line: CalibrationLine) -> None:
        """Show news of it."""
        self.name = line.name
        self.title.setText(line.title)
        self.state.setText(state_text(line.health, line.state))
        set_health(self.state, line.health)
        self.value.setText(line.value)
        self.detail.setText(line.detail)
        self.holds.setText(line.holds)
        self.detail.setVisible(bool(line.detail))
        self.holds.setVisible(bool(line.holds))
        self.measure.setEnabled(not line.why_not_measure)
        self.measure.setToolTip(line.why_not_measure or translate("Service", "Measure {0}").format(line.title))
        self.measure.setAccessibleName(translate("Service", "Measure {0}").format(line.title))
        if self.property("selected") != line.is_selected:
            self.setProperty("selected", line.is_selected)
            self.style().unpolish(self)
            self.style().polish(self)
        self.setAccessibleName(f"{line.title}: {line.state}, {line.value}, {line.detail}, {line.holds}")

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802  Qt's name
        """Who has the keyboard is shown in full."""
        super().focusInEvent(event)
        self._model.select(self.name)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802  Qt's name
        """A click selects."""
        super().mousePressEvent(event)
        self.setFocus(Qt.FocusReason.MouseFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  Qt's name
        """Up and Down go to the next one, Enter measures."""
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
        if step is not None:
            self.step_wanted.emit(step)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.measure.click()
        else:
            super().keyPressEvent(event)

    @Slot()
    def _on_measure(self) -> None:
        self._model.measure(self.name)


class DetailView(QFrame):
    """The selected calibration: plot, verdict, what to do, and the decision."""

    def __init__(self, model: ServiceViewModel, actions: ActionSet) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setMinimumWidth(_LEAST_DETAIL_PX)  # the three buttons of a decision
        self._model = model
        self._shown = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(6)
        head = QHBoxLayout()
        self.title = elided("heading")
        self.verdict = styled(QLabel(), "small")
        head.addWidget(self.title, 1)
        head.addWidget(self.verdict)
        column.addLayout(head)
        self.plot = PlotView()
        self.plot.setMinimumHeight(_LEAST_PLOT_PX)
        column.addWidget(self.plot, 1)
        self.more = QPushButton()
        self.more.setObjectName("flat")
        self.more.clicked.connect(self._on_more)
        more = QHBoxLayout()
        more.addWidget(self.more)
        more.addStretch(1)
        column.addLayout(more)
        self.text, self.remedy, self.new, self.old = wrapped(), wrapped(), wrapped(), wrapped("muted")
        for label in (self.text, self.remedy, self.new, self.old):
            column.addWidget(label)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        self.measure = ActionButton(actions["service.measure"], "primary")
        self.history = ActionButton(actions["service.history"])
        self.accept = ActionButton(actions["service.accept"], "primary")
        self.keep = ActionButton(actions["service.keep"])
        for button in (self.measure, self.accept, self.keep):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.history)
        column.addLayout(buttons)

    @Slot()
    def sync(self) -> None:
        """Show the selected one."""
        detail = self._model.detail
        if detail is None:
            return
        self.title.setText(detail.title)
        self.verdict.setText(f"{detail.glyph} {detail.word}")
        set_health(self.verdict, detail.health)
        self._shown = min(self._shown, max(len(detail.plots) - 1, 0))
        self.plot.set_plot(detail.plots[self._shown] if detail.plots else None, detail.empty)
        self.more.setVisible(len(detail.plots) > 1)
        self.more.setText(translate("Prescan", "Plot {0} of {1} ▸").format(self._shown + 1, len(detail.plots)))
        remedy = translate("Service", "What to do: {0}").format(detail.remedy) if detail.remedy else ""
        new = translate("Service", "New value: {0}").format(detail.new) if detail.new else ""
        old = translate("Service", "In use: {0}").format(detail.old) if detail.old else ""
        for label, text in ((self.text, detail.text), (self.remedy, remedy), (self.new, new), (self.old, old)):
            label.setText(text)
            label.setVisible(bool(text))
        set_health(self.remedy, "bad" if detail.health == "bad" else "warning")
        set_health(self.new, "running")
        is_pending = bool(detail.new)
        self.measure.setVisible(not is_pending)
        self.accept.setVisible(is_pending)
        self.keep.setVisible(is_pending)
        self.setAccessibleName(f"{detail.title}: {detail.word}. {detail.text} {detail.remedy} {new} {old}".strip())

    @Slot()
    def _on_more(self) -> None:
        detail = self._model.detail
        if detail is not None and detail.plots:
            self._shown = (self._shown + 1) % len(detail.plots)
            self.sync()


class ServicePlace(Page):
    """One thing at a time: say what lies in the magnet, measure, decide."""

    def __init__(self, model: ServiceViewModel, actions: ActionSet) -> None:
        super().__init__()
        self._model = model
        self.rows: list[CalibrationRow] = []
        self._fill_head(actions)
        below = QHBoxLayout()
        below.setSpacing(SPACING_PX)
        content = QWidget()
        self._list = QVBoxLayout(content)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(4)
        self._list.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidget(content)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.detail = DetailView(model, actions)
        below.addWidget(self._scroll, _LIST_SHARE)
        below.addWidget(self.detail, _DETAIL_SHARE)
        self.column.addLayout(below, 1)
        model.changed.connect(self._sync)
        self._sync()

    def _fill_head(self, actions: ActionSet) -> None:
        self.back = QPushButton(translate("Service", "Back to the scanner"))
        self.back.setToolTip(translate("Service", "State of the scanner and its devices (Ctrl+3)"))
        self.confirm = ActionButton(actions["service.confirm"], "primary")
        self.head.add(self.back, self.confirm)

    @Slot()
    def _sync(self) -> None:
        model = self._model
        self.head.show_state(translate("Service", "Service · {0}").format(model.headline), model.outcome)
        name = "" if model.status.confirmation is not None else "primary"
        if self.confirm.objectName() != name:  # one accented button at a time
            self.confirm.setObjectName(name)
            self.confirm.style().unpolish(self.confirm)
            self.confirm.style().polish(self.confirm)
        lines = model.lines
        while len(self.rows) < len(lines):
            row = CalibrationRow(model)
            row.step_wanted.connect(self._on_step)
            self._list.insertWidget(len(self.rows), row)
            self.rows.append(row)
        for row, line in zip(self.rows, lines, strict=False):
            row.show_line(line)
            row.setVisible(True)
        for row in self.rows[len(lines) :]:
            row.setVisible(False)
        self.detail.sync()

    @Slot(int)
    def _on_step(self, step: int) -> None:
        shown = [row for row in self.rows if not row.isHidden()]
        index = shown.index(self.sender()) + step  # type: ignore[arg-type]
        if 0 <= index < len(shown):
            shown[index].setFocus(Qt.FocusReason.OtherFocusReason)
            self._scroll.ensureWidgetVisible(shown[index])

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802  Qt's name
        """The keyboard belongs on the selected calibration."""
        super().focusInEvent(event)
        selected = self._model.selected
        row = next((row for row in self.rows if selected is not None and row.name == selected.name), None)
        if row is not None:
            row.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def _on_age(self) -> None:
        self._model.refresh()

    def _on_shown(self, *, is_shown: bool) -> None:
        """Keys work only while somebody looks."""
        self._model.set_shown(is_shown)
