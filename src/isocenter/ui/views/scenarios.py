# SPDX-License-Identifier: MIT
"""Choosing what the virtual scanner plays, and the lines that say which it is."""

from typing import Final

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from isocenter.app.service import ScenarioEntry
from isocenter.ui import theme
from isocenter.ui.action import ActionButton
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.scenarios import ScenarioViewModel
from isocenter.ui.widgets.labels import ElidedLabel, set_health, state_text, wrapped
from isocenter.ui.widgets.sheet import Sheet

_NAME_ROLE: Final = Qt.ItemDataRole.UserRole
_LIST_WIDTH_PX: Final = 290
_HEIGHT_PX: Final = 340


class ScenarioDetail(QWidget):
    """One scenario in words; what is wrong with it only when asked for."""

    def __init__(self, model: ScenarioViewModel) -> None:
        super().__init__()
        self._model = model
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 10, 10, 10)
        column.setSpacing(8)
        self.name = wrapped("heading")
        self.where = wrapped("muted")
        self.summary = wrapped()
        self.phantom = wrapped()
        self.magnet = wrapped()
        self.error = wrapped()
        set_health(self.error, "bad")
        self.wrong_button = QPushButton()
        self.wrong_button.clicked.connect(model.toggle_wrong)
        self.wrong = wrapped()
        for label in (self.name, self.where, self.summary, self.phantom, self.magnet, self.error):
            column.addWidget(label)
        row = QHBoxLayout()
        row.addWidget(self.wrong_button)
        row.addStretch(1)
        column.addLayout(row)
        column.addWidget(self.wrong)
        column.addStretch(1)

    def show_entry(self, entry: ScenarioEntry | None, *, is_running: bool) -> None:
        """Show one, or nothing."""
        self.setVisible(entry is not None)
        if entry is None:
            return
        self.name.setText(entry.name)
        origin = (
            translate("Scenario", "Your own: {0}").format(entry.own_file)
            if entry.own_file
            else translate("Scenario", "Comes with the program")
        )
        playing = translate("Scenario", "is being played now") if is_running else ""
        self.where.setText(" · ".join(filter(None, (origin, playing))))
        self.summary.setText(entry.summary)
        self.phantom.setText(translate("Scenario", "In it: {0}").format(entry.phantom))
        self.magnet.setText(translate("Scenario", "Scanner: {0}").format(entry.magnet))
        for label in (self.summary, self.phantom, self.magnet, self.wrong_button):
            label.setVisible(entry.is_usable)
        self.error.setVisible(not entry.is_usable)
        if not entry.is_usable:
            remedy = translate("Scenario", "What to do: {0}").format(entry.remedy)
            self.error.setText(f"{state_text('bad', entry.problem)}\n{remedy}")
        shows = self._model.shows_wrong and entry.is_usable
        self.wrong_button.setText(
            translate("Scenario", "Hide what is wrong") if shows else translate("Scenario", "Show what is wrong")
        )
        self.wrong.setVisible(shows)
        self.wrong.setText(wrong_text(entry) if shows else "")


def wrong_text(entry: ScenarioEntry) -> str:
    """What a trainee was to find, and where it comes from."""
    wrong = entry.wrong or (translate("Scenario", "Nothing is wrong with it."),)
    return "\n".join((entry.look_for, *(f"• {line}" for line in wrong))).strip()


class ScenarioSheet(Sheet):
    """All scenarios at the left, the selected one in words at the right."""

    def __init__(self, over: QWidget, model: ScenarioViewModel) -> None:
        super().__init__(translate("Scenario", "What the virtual scanner plays"), over, 880)
        self._model = model
        intro = wrapped("muted")
        intro.setText(
            translate(
                "Scenario",
                "Nothing real is driven. A scenario says what lies in the scanner and what is wrong with it. "
                "The choice holds until the program is closed.",
            )
        )
        self.body.addWidget(intro)
        self.body.addLayout(self._make_now())
        row = QHBoxLayout()
        row.setSpacing(10)
        self.list = QListWidget()
        self.list.setObjectName("choices")
        self.list.setAccessibleName(translate("Scenario", "Scenarios"))
        self.list.setFixedSize(_LIST_WIDTH_PX, _HEIGHT_PX)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.currentItemChanged.connect(self._on_current)
        self.list.itemActivated.connect(self.submit)
        row.addWidget(self.list)
        self.detail = ScenarioDetail(model)
        scroll = QScrollArea()
        scroll.setObjectName("detail")
        scroll.setWidget(self.detail)
        scroll.setWidgetResizable(True)
        scroll.setFixedHeight(_HEIGHT_PX)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        row.addWidget(scroll, 1)
        self.body.addLayout(row)
        self.reason = wrapped()
        set_health(self.reason, "warning")
        self.body.addWidget(self.reason)
        self.add_cancel(translate("Scenario", "Close"))
        self.accept = self.add_button(QPushButton(translate("Scenario", "Play this scenario")))
        self.accept.setObjectName("primary")
        self.accept.clicked.connect(self.submit)
        self._names: tuple[ScenarioEntry, ...] = ()
        model.changed.connect(self._sync)
        self._sync()
        model.load()

    def _make_now(self) -> QHBoxLayout:
        now = QHBoxLayout()
        self.now = ElidedLabel()
        now.addWidget(self.now, 1)
        self.reveal = QPushButton(translate("Scenario", "Show what is wrong"))
        self.reveal.setToolTip(translate("Scenario", "Ends the guessing: which scenario it is, and what is wrong with it."))
        self.reveal.clicked.connect(self._model.reveal)
        now.addWidget(self.reveal)
        self.draw = QPushButton(translate("Scenario", "Exercise: draw one"))
        self.draw.setToolTip(
            translate("Scenario", "Plays one that you do not know. Scan, look, guess; then let it be shown here.")
        )
        self.draw.clicked.connect(self._on_draw)
        now.addWidget(self.draw)
        return now

    @Slot()
    def _sync(self) -> None:
        model = self._model
        if model.entries != self._names:
            self._fill(model.entries)
        self._mark()
        self.now.setText(translate("Scenario", "Now: {0}").format(model.running_text))
        self.reveal.setVisible(model.is_hidden)
        selected = model.selected
        is_running = selected is not None and selected.name == model.running_name
        self.detail.show_entry(selected, is_running=is_running)
        why_not = model.why_not_choose() if model.entries else ""
        self.reason.setText(state_text("warning", why_not) if why_not else "")
        self.accept.setEnabled(bool(model.entries) and not why_not)
        self.draw.setEnabled(bool(model.entries) and not model.why_not_change())

    def _fill(self, entries: tuple[ScenarioEntry, ...]) -> None:
        self._names = entries
        self.list.blockSignals(True)
        self.list.clear()
        own = [entry for entry in entries if entry.own_file]
        shipped = [entry for entry in entries if not entry.own_file]
        for title, group in ((translate("Scenario", "Your own"), own), (translate("Scenario", "With the program"), shipped)):
            if own and group:
                self.list.addItem(_heading(title))
            for entry in group:
                item = QListWidgetItem(entry.name)
                item.setData(_NAME_ROLE, entry.name)
                item.setToolTip(entry.name)
                self.list.addItem(item)
        self.list.blockSignals(False)
        self.place()

    def _mark(self) -> None:
        """Words, shapes and colours of the list, and which line is current."""
        for row in range(self.list.count()):
            item = self.list.item(row)
            entry = self._model.entry(item.data(_NAME_ROLE) or "")
            if entry is None:
                continue
            text, colour = entry.name, theme.TEXT
            if not entry.is_usable:
                text, colour = state_text("bad", translate("Scenario", "{0} (error)").format(entry.name)), theme.BAD
            elif entry.name == self._model.running_name:
                text, colour = state_text("good", translate("Scenario", "{0} (now)").format(entry.name)), theme.GOOD
            if item.text() != text:
                item.setText(text)
                item.setForeground(QColor(colour))
            if entry.name == self._model.selected_name and self.list.currentItem() is not item:
                self.list.setCurrentItem(item)

    @Slot()
    def _on_current(self) -> None:
        item = self.list.currentItem()
        if item is not None and item.data(_NAME_ROLE):
            self._model.select(item.data(_NAME_ROLE))

    @Slot()
    def submit(self) -> None:
        """Play it, if that can be done now."""
        if self._model.choose():
            self.dismiss()

    @Slot()
    def _on_draw(self) -> None:
        if self._model.draw():
            self.dismiss()


def _heading(text: str) -> QListWidgetItem:
    item = QListWidgetItem(text)
    item.setFlags(Qt.ItemFlag.NoItemFlags)
    item.setForeground(QColor(theme.MUTED))
    return item


class ScenarioCard(QFrame):
    """For the start page and the Scanner place: what is played now, and the way to another."""

    def __init__(self, model: ScenarioViewModel, button: ActionButton) -> None:
        super().__init__()
        self.setObjectName("card")
        self._model = model
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 10, 12, 10)
        row.setSpacing(14)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.title = ElidedLabel()
        self.title.setObjectName("heading")
        self.words = ElidedLabel()
        self.words.setObjectName("muted")
        texts.addWidget(self.title)
        texts.addWidget(self.words)
        row.addLayout(texts, 1)
        row.addWidget(button)
        model.changed.connect(self._sync)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        self.title.setText(translate("Scenario", "◇ Virtual scanner · {0}").format(self._model.running_text))
        words = translate("Scenario", "Nothing real is driven. What it plays decides what pictures look like.")
        if self._model.is_hidden:
            words = translate("Scenario", "Something may be wrong on purpose. Scan and find out; F7 has the answer.")
        self.words.setText(words)
