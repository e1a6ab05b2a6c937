# SPDX-License-Identifier: MIT
"""The queue as Qt's views want it: one row for each entry, in the order in which it runs."""

from dataclasses import dataclass
from typing import Any, Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from isocenter.app.service import ItemState, QueueItem
from isocenter.ui.text import duration_text, milliseconds_text, translate

ROW_ROLE: Final = int(Qt.ItemDataRole.UserRole)
_Index = QModelIndex | QPersistentModelIndex
_NO_INDEX: Final = QModelIndex()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """What one card of the queue says. ``tone`` is a colour's name: muted, accent, good, warning or bad."""

    item_id: str
    number: str
    name: str
    state: str
    tone: str
    detail: str
    progress: float | None


class QueueModel(QAbstractListModel):
    """Rows of the queue."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items: tuple[QueueItem, ...] = ()

    def set_items(self, items: tuple[QueueItem, ...]) -> None:
        """Take a new snapshot; rows that stay are only repainted, so that selection and scrolling stay."""
        if [item.item_id for item in items] == [item.item_id for item in self._items]:
            changed = [row for row, (old, new) in enumerate(zip(self._items, items, strict=True)) if old is not new]
            self._items = items
            if changed:
                self.dataChanged.emit(self.index(changed[0]), self.index(changed[-1]))
            return
        self.beginResetModel()
        self._items = items
        self.endResetModel()

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:  # noqa: N802  Qt's name
        """Entries."""
        return 0 if parent.isValid() else len(self._items)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Card, text for screen readers, or tooltip."""
        if not (index.isValid() and 0 <= index.row() < len(self._items)):
            return None
        row = row_of(index.row() + 1, self._items[index.row()])
        if role == ROW_ROLE:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{row.number} {row.name}, {row.state}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(part for part in (row.name, row.state, note_of(self._items[index.row()])) if part)
        return None

    def row_of_item(self, item_id: str) -> int:
        """Row of an entry, -1 when it is gone."""
        return next((row for row, item in enumerate(self._items) if item.item_id == item_id), -1)

    def item_id_at(self, row: int) -> str:
        """Entry in a row, empty when there is none."""
        return self._items[row].item_id if 0 <= row < len(self._items) else ""


def note_of(item: QueueItem) -> str:
    """Why it failed, stopped, or cannot be played."""
    if item.note:
        return item.note
    check = item.check
    return f"{check.problem}\n{check.remedy}" if check is not None and check.problem else ""


def row_of(number: int, item: QueueItem) -> QueueRow:
    """Card of one entry."""
    state, tone, progress = _state_of(item)
    return QueueRow(
        item_id=item.item_id,
        number=str(number),
        name=item.protocol.name,
        state=state,
        tone=tone,
        detail=_detail_of(item),
        progress=progress,
    )


def _detail_of(item: QueueItem) -> str:
    facts = item.check.facts if item.check else None
    if facts is None:
        return item.protocol.sequence
    parts = [item.protocol.sequence, f"TR {milliseconds_text(facts.tr_s)}", f"TE {milliseconds_text(facts.te_s)}"]
    return " · ".join(part for part in parts if "–" not in part)


def _state_of(item: QueueItem) -> tuple[str, str, float | None]:
    if item.state is ItemState.WAITING:
        return (*_waiting_state(item), None)
    if item.state is ItemState.PREPARING:
        return translate("Queue", "… preparing"), "accent", None
    if item.state is ItemState.SCANNING:
        progress = item.progress
        if progress is None or progress.n_segments == 0:
            return translate("Queue", "▶ starting"), "accent", 0.0
        left = translate("Queue", "▶ {0} left").format(duration_text(progress.remaining_s))
        return left, "accent", progress.segment / progress.n_segments
    states = {
        ItemState.RECONSTRUCTING: (translate("Queue", "… making images"), "accent"),
        ItemState.DONE: (translate("Queue", "✓ done"), "good"),
        ItemState.STOPPED: (translate("Queue", "■ stopped"), "warning"),
        ItemState.FAILED: (translate("Queue", "✕ failed"), "bad"),
    }
    return (*states[item.state], None)


def _waiting_state(item: QueueItem) -> tuple[str, str]:
    if item.check is None:
        return translate("Queue", "… checking"), "muted"
    if not item.check.is_playable:
        return translate("Queue", "▲ cannot run"), "bad"
    duration = duration_text(item.check.duration_s)
    if item.check.warnings:
        return translate("Queue", "▲ waits · {0} · has a note").format(duration), "warning"
    return translate("Queue", "○ waits · {0}").format(duration), "muted"
