# SPDX-License-Identifier: MIT
"""The Prescan place: a card for each step with its live plot and verdict, and below them the values in use."""

from typing import Final

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.calibration_text import ValueLine
from isocenter.ui.viewmodels.prescan import PrescanViewModel, StepCard
from isocenter.ui.views.page import SPACING_PX, Page
from isocenter.ui.widgets.labels import ElidedLabel, set_health, state_text, styled
from isocenter.ui.widgets.person_sheet import PersonSheet
from isocenter.ui.widgets.plot import PlotView

_CARD_PX: Final = 284
_MOST_COLUMNS: Final = 4
_BUTTON_TEXT_PX: Final = 214


class StepView(QFrame):
    """One step."""

    skip_wanted = Signal(str)

    def __init__(self, model: PrescanViewModel) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._model = model
        self._card: StepCard | None = None
        self._shown = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(2)
        self.title = ElidedLabel()
        self.title.setObjectName("heading")
        self.verdict = styled(QLabel(), "small")
        self.retry = self._button(translate("Prescan", "⟳"), self._on_retry)
        head.addWidget(self.title, 1)
        head.addWidget(self.verdict)
        head.addWidget(self.retry)
        policy = self.retry.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # nothing jumps when a step ends
        self.retry.setSizePolicy(policy)
        column.addLayout(head)
        self.plot = PlotView()
        column.addWidget(self.plot, 1)
        self.text = styled(QLabel(), "small")
        self.text.setWordWrap(True)
        self.remedy = styled(QLabel(), "small")
        self.remedy.setWordWrap(True)
        column.addWidget(self.text)
        column.addWidget(self.remedy)
        row = QHBoxLayout()
        row.setSpacing(4)
        self.more = self._button("", self._on_more)
        self.skip = self._button(translate("Prescan", "Leave out …"), self._on_skip)
        row.addWidget(self.more)
        row.addStretch(1)
        row.addWidget(self.skip)
        column.addLayout(row)

    @staticmethod
    def _button(text: str, run: object) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName("flat")
        button.clicked.connect(run)
        return button

    def show_card(self, card: StepCard) -> None:
        """Show news of the step."""
        before, self._card = self._card, card
        if before is None or before.name != card.name:
            self._shown = 0
        self.title.setText(f"{card.number}  {card.title}")
        self.verdict.setText(f"{card.glyph} {card.word}")
        set_health(self.verdict, card.health)
        self._shown = min(self._shown, max(len(card.plots) - 1, 0))
        self.plot.set_plot(card.plots[self._shown] if card.plots else None, card.empty)
        self.text.setText(card.text)
        self.text.setVisible(bool(card.text))
        self.remedy.setText(translate("Prescan", "What to do: {0}").format(card.remedy) if card.remedy else "")
        self.remedy.setVisible(bool(card.remedy))
        set_health(self.remedy, "bad" if card.health == "bad" else "warning")
        self.more.setVisible(len(card.plots) > 1)
        self.more.setText(translate("Prescan", "Plot {0} of {1} ▸").format(self._shown + 1, len(card.plots)))
        for button, is_offered, verb in (
            (self.retry, card.may_retry, translate("Prescan", "Measure {0} again")),
            (self.skip, card.may_skip, translate("Prescan", "Go on without {0}")),
        ):
            button.setVisible(is_offered)
            button.setAccessibleName(verb.format(card.title))
            button.setToolTip(verb.format(card.title))
        self.setAccessibleName(f"{card.title}: {card.word}. {card.text} {card.remedy}".strip())

    @Slot()
    def _on_more(self) -> None:
        if self._card is not None and self._card.plots:
            self._shown = (self._shown + 1) % len(self._card.plots)
            self.show_card(self._card)

    @Slot()
    def _on_retry(self) -> None:
        if self._card is not None:
            self._model.retry(self._card.name)

    @Slot()
    def _on_skip(self) -> None:
        if self._card is not None:
            self.skip_wanted.emit(self._card.name)


class SkipSheet(PersonSheet):
    """Who goes on without a step that failed, and why. Both are recorded."""

    def __init__(self, over: QWidget, model: PrescanViewModel, step: str) -> None:
        card = next(card for card in model.cards if card.name == step)
        super().__init__(translate("Prescan", "Go on without {0}?").format(card.title), over, model.person, 520)
        self._model, self._step = model, step
        self.add_text(
            translate(
                "Prescan", "It was not good enough: {0}\nScans use the value found earlier, or the hardware file's."
            ).format(card.text)
        )
        label = translate("Prescan", "Why")
        self.body.addWidget(styled(QLabel(label), "group"))
        self.reason = QLineEdit()
        self.reason.setAccessibleName(label)
        self.reason.textChanged.connect(self.sync)
        self.reason.returnPressed.connect(self.submit)
        self.body.addWidget(self.reason)
        self.add_person()
        self.add_answer(translate("Prescan", "Go on without it"))

    def _what_is_missing(self) -> str:
        return "" if self.reason.text().strip() else translate("Prescan", "Write why the scan can do without it.")

    def _answer(self, person: str) -> bool:
        return self._model.skip(self._step, self.reason.text().strip(), person)


class FrequencyOnlySheet(PersonSheet):
    """Who leaves out the prescan but for its frequency; recorded with each scan that is made so."""

    def __init__(self, over: QWidget, model: PrescanViewModel) -> None:
        super().__init__(translate("Prescan", "Measure the frequency only?"), over, model.person, 520)
        self._model = model
        self.add_text(
            translate(
                "Prescan",
                "In this exam scans use the hardware file's power, gain and shim where they were not measured. Contrast and "
                "brightness may be off, and your name is kept with each scan.",
            )
        )
        self.add_person()
        self.add_answer(translate("Prescan", "Frequency only"))

    def _what_is_missing(self) -> str:
        return self._model.why_not_only_frequency()

    def _answer(self, person: str) -> bool:
        return self._model.only_frequency(person)


class ValueCell(QWidget):
    """One value in use: name, value, age."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        self._head = ElidedLabel()
        self._head.setObjectName("small")
        self._value = ElidedLabel()
        self._value.setObjectName("small")
        self._age = ElidedLabel()
        self._age.setObjectName("muted")
        for label in (self._head, self._value, self._age):
            column.addWidget(label)

    def show_line(self, line: ValueLine) -> None:
        """Show a value."""
        self._head.setText(state_text(line.health, line.name))
        set_health(self._head, line.health)
        self._value.setText(line.text)
        age = line.age if not line.why_not else f"{line.age} · {line.why_not}"
        self._age.setText(age)
        self.setToolTip(f"{line.name}: {line.text}\n{age}")
        self.setAccessibleName(f"{line.name}: {line.text}, {age}")


class PrescanButton(QPushButton):
    """At the top of the queue: how the prescan stands, and the way to it."""

    def __init__(self, model: PrescanViewModel) -> None:
        super().__init__()
        self.setObjectName("row")
        self._model = model
        model.changed.connect(self._sync)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        health, words = self._model.short
        text = translate("Prescan", "Prescan   {0}").format(words)
        self.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, _BUTTON_TEXT_PX))
        self.setAccessibleName(text)
        self.setToolTip(
            translate("Prescan", "{0}\nStart does what is missing by itself, before the first scan of an exam.").format(
                self._model.outcome[1]
            )
        )
        set_health(self, health)


class PrescanPlace(Page):
    """One button measures everything; each step can be repeated."""

    skip_wanted = Signal(str)

    def __init__(self, model: PrescanViewModel, actions: ActionSet) -> None:
        super().__init__()
        self._model = model
        self.views: list[StepView] = []
        self._cells: list[ValueCell] = []
        self._columns = 0
        self._fill_head(actions)
        grid = QWidget()
        grid.setObjectName("grid")
        self._grid = QGridLayout(grid)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACING_PX)
        self._scroll = QScrollArea()
        self._scroll.setWidget(grid)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.column.addWidget(self._scroll, 1)
        self.column.addWidget(self._make_values())
        model.changed.connect(self._sync)
        self._sync()

    def _fill_head(self, actions: ActionSet) -> None:
        self.run = ActionButton(actions["prescan.run"], "primary")
        self.go_on = QPushButton(translate("Prescan", "Continue to the exam"))
        self.go_on.setToolTip(translate("Prescan", "Queue, pictures and parameters (Ctrl+1)"))
        frequency, retry = ActionButton(actions["prescan.frequency"]), ActionButton(actions["prescan.retry"])
        self.head.add(frequency, retry, self.run, self.go_on)

    def _make_values(self) -> QWidget:
        frame = QFrame()
        frame.setObjectName("panel")
        row = QHBoxLayout(frame)
        row.setContentsMargins(14, 6, 14, 6)
        row.setSpacing(16)
        title = styled(QLabel(translate("Prescan", "Values\nin use")), "group")
        row.addWidget(title)
        self._none = styled(
            QLabel(translate("Prescan", "Nothing measured yet: scans use what the hardware file says.")), "muted"
        )
        row.addWidget(self._none, 1)
        self._value_row = QHBoxLayout()
        self._value_row.setSpacing(16)
        row.addLayout(self._value_row, 8)
        return frame

    @Slot()
    def _sync(self) -> None:
        self.head.show_state(translate("Prescan", "Prescan · {0}").format(self._model.headline), self._model.outcome)
        self.go_on.setVisible(self._model.status.is_done)
        cards = self._model.cards
        while len(self.views) < len(cards):
            view = StepView(self._model)
            view.skip_wanted.connect(self.skip_wanted)
            self.views.append(view)
            self._columns = 0
        for view, card in zip(self.views, cards, strict=False):
            view.show_card(card)
        for view in self.views[len(cards) :]:
            view.setVisible(False)
        self._arrange()
        self._on_age()

    @Slot()
    def _on_age(self) -> None:
        lines = self._model.values
        while len(self._cells) < len(lines):
            cell = ValueCell()
            self._cells.append(cell)
            self._value_row.addWidget(cell, 1)
        for cell, line in zip(self._cells, lines, strict=False):
            cell.show_line(line)
        for cell in self._cells[len(lines) :]:
            cell.setVisible(False)
        self._none.setVisible(not lines)

    def _arrange(self) -> None:
        """As many columns as fit, rows as even as can be."""
        n_cards = len(self._model.cards)
        if not n_cards:
            return
        fit = max(1, min(_MOST_COLUMNS, (self.width() + SPACING_PX) // (_CARD_PX + SPACING_PX), n_cards))
        n_rows = -(-n_cards // fit)
        columns = -(-n_cards // n_rows)
        if columns == self._columns:
            return
        self._columns = columns
        for number, view in enumerate(self.views[:n_cards]):
            self._grid.addWidget(view, number // columns, number % columns)
            view.setVisible(True)
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)
        for row in range(self._grid.rowCount()):
            self._grid.setRowStretch(row, 1 if row < n_rows else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        """Other widths hold other numbers of columns."""
        super().resizeEvent(event)
        self._arrange()

    def _on_shown(self, *, is_shown: bool) -> None:
        if is_shown:
            self._on_age()
