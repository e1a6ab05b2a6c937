# SPDX-License-Identifier: MIT
"""The queue of one exam: immutable entries, changed under one lock, run in the order shown."""

import threading
from dataclasses import replace
from typing import Any

from isocenter.app.service import ItemState, ProtocolCheck, QueueItem
from isocenter.domain.errors import WrongState
from isocenter.domain.limits import FirstLevelConfirmation
from isocenter.domain.scan import Protocol


class ExamQueue:
    """Entries in order. Only waiting entries can be changed, moved or removed; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: tuple[QueueItem, ...] = ()
        self._counter = 0

    @property
    def items(self) -> tuple[QueueItem, ...]:
        """Snapshot, in the order in which it runs."""
        return self._items

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._items = ()

    def add(self, exam_id: str, protocol: Protocol) -> QueueItem:
        """New entry at the end."""
        with self._lock:
            self._counter += 1
            item = QueueItem(item_id=f"{exam_id}-{self._counter}", protocol=protocol, state=ItemState.WAITING)
            self._items = (*self._items, item)
        return item

    def update(self, item_id: str, protocol: Protocol) -> None:
        """Another protocol for a waiting entry; its check begins anew."""
        with self._lock:
            self._waiting(item_id)
            self._replace(item_id, protocol=protocol, check=None, note="", first_level=None)

    def confirm(self, item_id: str, confirmation: FirstLevelConfirmation) -> Protocol:
        """Somebody confirms first level mode for a waiting entry whose check asks for it; its check begins anew."""
        with self._lock:
            item = self._waiting(item_id)
            if item.check is None:
                raise WrongState(f"{item.protocol.name} is still being checked.", "Wait until its check has ended.")
            if not item.check.needs_first_level:
                raise WrongState(
                    f"First level mode is not what {item.protocol.name} waits for.",
                    "See what its check says, and follow that.",
                )
            self._replace(item_id, check=None, first_level=confirmation)
            return item.protocol

    def remove(self, item_id: str) -> None:
        """Take a waiting entry out."""
        with self._lock:
            self._waiting(item_id)
            self._items = tuple(item for item in self._items if item.item_id != item_id)

    def move(self, item_id: str, to_index: int) -> None:
        """Move a waiting entry; what has run or is running stays in front."""
        with self._lock:
            item = self._waiting(item_id)
            others = [other for other in self._items if other.item_id != item_id]
            first = sum(other.state is not ItemState.WAITING for other in others)
            others.insert(min(max(to_index, first), len(others)), item)
            self._items = tuple(others)

    def set_check(self, item_id: str, protocol: Protocol, check: ProtocolCheck) -> bool:
        """Keep a check's outcome, unless the entry has another protocol by now; says whether it was kept."""
        with self._lock:
            if not any(item.item_id == item_id and item.protocol == protocol for item in self._items):
                return False
            self._replace(item_id, check=check)
            return True

    def change(self, item_id: str, **changes: Any) -> None:
        """State and outcome of an entry, set by the thread that runs it."""
        with self._lock:
            self._replace(item_id, **changes)

    def take_next(self) -> QueueItem | None:
        """The first waiting entry, marked as being prepared, so that nobody can change it any more."""
        with self._lock:
            for item in self._items:
                if item.state is ItemState.WAITING:
                    self._replace(item.item_id, state=ItemState.PREPARING)
                    return item
        return None

    @property
    def has_waiting(self) -> bool:
        """True when there is something to run."""
        return any(item.state is ItemState.WAITING for item in self._items)

    @property
    def remaining_s(self) -> float:
        """Time that waiting and running entries still need [s], NaN while a check is missing."""
        total_s = 0.0
        for item in self._items:
            if item.state is ItemState.WAITING:
                total_s += item.check.duration_s if item.check else float("nan")
            elif item.state in (ItemState.PREPARING, ItemState.SCANNING) and item.progress is not None:
                total_s += item.progress.remaining_s
        return total_s

    def _waiting(self, item_id: str) -> QueueItem:
        for item in self._items:
            if item.item_id == item_id:
                if item.state is ItemState.WAITING:
                    return item
                raise WrongState(f"{item.protocol.name} is no longer waiting.", "Add it again to run it once more.")
        raise WrongState("This entry is no longer in the queue.", "Add it again.")

    def _replace(self, item_id: str, **changes: Any) -> None:
        self._items = tuple(replace(item, **changes) if item.item_id == item_id else item for item in self._items)
