# SPDX-License-Identifier: MIT
"""What an action is, and what menus and buttons make of it. The table itself is in ``actions``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QPushButton, QWidget

STOP_ID: Final = "scan.stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something a person can do. Buttons, keys and the list of keys are made from it.

    Attributes
    ----------
    id
        Such as ``scan.start``; the part before the dot is its group.
    text, glyph, tooltip
        What the button says, its sign, and one sentence.
    shortcut
        As Qt writes keys, such as ``Ctrl+N``; empty for none.
    blocked_by
        Empty when it can be done now, else why not, in words.
    run
        Does it; returns at once.
    in_sheets
        True when it works while a sheet is open.
    """

    id: str
    text: str
    shortcut: str
    glyph: str
    tooltip: str
    blocked_by: Callable[[], str]
    run: Callable[[], None]
    in_sheets: bool = False

    @property
    def enabled_when(self) -> bool:
        """True when it can be done now."""
        return not self.blocked_by()

    @property
    def group(self) -> str:
        """Heading under which the list of keys shows it."""
        return self.id.partition(".")[0]


class ActionSet(QObject):
    """The table, alive: one QAction for each entry, enabled when it can be done."""

    def __init__(self, table: Iterable[Action], window: QWidget, has_sheet: Callable[[], bool]) -> None:
        super().__init__(window)
        self.table = tuple(table)
        self._has_sheet = has_sheet
        self._actions: dict[str, QAction] = {}
        for entry in self.table:
            action = QAction(f"{entry.glyph}  {entry.text}".strip(), window)
            action.setObjectName(entry.id)
            if entry.shortcut and entry.id != STOP_ID:  # Esc is caught before anything else sees it
                action.setShortcut(QKeySequence(entry.shortcut))
                action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.triggered.connect(entry.run)
            window.addAction(action)
            self._actions[entry.id] = action
        self.refresh()

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    @Slot()
    def refresh(self) -> None:
        """Enable what can be done; what cannot says why in its tooltip."""
        has_sheet = self._has_sheet()
        for entry in self.table:
            action = self._actions[entry.id]
            reason = entry.blocked_by()
            enabled = not reason and (entry.in_sheets or not has_sheet)
            tooltip = f"{entry.tooltip}\n{reason}".strip()
            if action.isEnabled() != enabled:
                action.setEnabled(enabled)
            if action.toolTip() != tooltip:
                action.setToolTip(tooltip)


class ActionButton(QPushButton):
    """Button of an action, with its key."""

    def __init__(self, action: QAction, style: str = "", *, shows_key: bool = True) -> None:
        super().__init__()
        self._action, self._shows_key = action, shows_key
        if style:
            self.setObjectName(style)
        action.changed.connect(self._sync)
        self.clicked.connect(action.trigger)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        key = self._action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        self.setText(f"{self._action.text()}  ({key})" if key and self._shows_key else self._action.text())
        self.setEnabled(self._action.isEnabled())
        self.setToolTip(f"{self._action.toolTip()}  ({key})" if key else self._action.toolTip())
        self.setAccessibleName(self._action.text())
