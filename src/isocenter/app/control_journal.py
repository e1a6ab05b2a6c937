# SPDX-License-Identifier: MIT
"""The scanner's journal: every transition, fault and stop, one JSON line each, without ever keeping a stop waiting.

Whoever tells it something goes on at once; a thread of its own writes and waits for the disk.
"""

import json
import os
import queue
import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

FILE: Final = "scanner-journal.jsonl"
MAX_BYTES: Final = 5_000_000
"""Then the file is set aside, in place of the one that was set aside before."""
_TAIL: Final = 200
_CLOSE_S: Final = 5.0
_STATES: Final = {"off": "OFF", "ready": "READY", "armed": "ARMED", "scanning": "SCANNING", "safe": "STOPPED"}


class ControlJournal:
    """Appends to a file in a folder. Any thread may note something; nothing here raises or waits for the disk.

    Parameters
    ----------
    folder
        Where the file is; None keeps the newest entries in memory only.
    max_bytes
        Size at which the file is set aside.

    Attributes
    ----------
    problem
        Why entries cannot be written now, empty while they can.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self.problem = ""

    @property
    def tail(self) -> tuple[str, ...]:
        """The newest entries, oldest first, for people: time, event, details."""
        return tuple(self._tail)

    def note(self, event: str, details: dict[str, object]) -> None:
        """Add an entry; returns at once."""
        now = datetime.now().astimezone()
        plain = {name: value if isinstance(value, int | float | bool) else str(value) for name, value in details.items()}
        self._tail.append(f"{now:%H:%M:%S} {_in_words(event, plain)}")
        if self._folder is None or self._is_closed:
            return
        entry: dict[str, Any] = {"at": now.isoformat(timespec="milliseconds"), "kind": event, **plain}
        self._queue.put(json.dumps(entry, ensure_ascii=False) + "\n")
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_all, name="scanner journal", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Write what waits, then end."""
        self._is_closed = True
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _write_all(self) -> None:
        while (line := self._queue.get()) is not None:
            lines = [line]
            while not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    self._queue.put(None)
                    break
                lines.append(more)
            try:
                self._append("".join(lines).encode())
            except OSError as error:
                self.problem = f"The scanner's journal cannot be written: {error.strerror or error}."
            else:
                self.problem = ""

    def _append(self, data: bytes) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / FILE
        if path.exists() and path.stat().st_size + len(data) > self._max_bytes:
            path.replace(path.with_suffix(".old.jsonl"))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _in_words(event: str, details: Mapping[str, object]) -> str:
    """One entry for a person at the scanner; the file keeps every name and value."""
    rest = {name: value for name, value in details.items() if value != ""}
    if event == "state":
        before, after = (_STATES.get(str(rest.pop(name, "")), "?") for name in ("before", "after"))
        head = f"{before} → {after}: {str(rest.pop('event', '')).replace('_', ' ')}"
    elif event == "output":
        sure = "" if rest.pop("verified", False) else "NOT CONFIRMED, "
        head = f"{rest.pop('name', '')}: {sure}{rest.pop('text', '')}"
    else:
        head = event.replace("_", " ")
    said = ", ".join(f"{name.replace('_', ' ')}: {_word(value)}" for name, value in rest.items())
    return f"{head}{', ' if event in ('state', 'output') and said else ' ' if said else ''}{said}"


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value).replace("_", " ")
