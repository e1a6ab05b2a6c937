# SPDX-License-Identifier: MIT
"""What happened in a scan, one JSON line an event, on disk before the next thing happens."""

import json
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from isocenter.domain.errors import StorageError
from isocenter.storage.files import plain_words
from isocenter.storage.locks import try_lock
from isocenter.storage.values import to_plain


def now_iso() -> str:
    """Date and time now, ISO 8601 with time zone, to the millisecond."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


class Journal:
    """Appends events to ``journal.jsonl``; any thread may note something.

    While it is open nobody else can open it: a scan that is still running is not mistaken for one that a crash left behind.
    """

    def __init__(self, path: Path, now: Callable[[], str] = now_iso) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        with plain_words("open the journal", path):
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if not try_lock(self._handle):
            os.close(self._handle)
            raise StorageError(f"The scan in {path.parent} is still being written.", "Wait until it has ended, then repeat.")

    def note(self, event: str, **details: Any) -> None:
        """Add one event with its time.

        Raises
        ------
        StorageError
            When it cannot be written; then no part of the line stays.
        """
        line = json.dumps({"at": self._now(), "event": event, **to_plain(details)}, ensure_ascii=False) + "\n"
        with self._lock, plain_words("write the journal", self._path):
            size = os.fstat(self._handle).st_size
            try:
                rest = line.encode()
                while rest:  # what stopped a write that took a part only is said by the next
                    rest = rest[os.write(self._handle, rest) :]
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, size)
                raise

    def close(self) -> None:
        """Let go of the file; closing twice does no harm."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole events; a last line that a crash cut short is left out."""
    with plain_words("read the journal", path):
        lines = path.read_bytes().split(b"\n")
    events = []
    for line in lines[:-1]:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def mend_journal(path: Path) -> None:
    """Cut off a last line that a crash left without its end, so that the next event starts on a line of its own."""
    with plain_words("mend the journal", path):
        content = path.read_bytes() if path.exists() else b""
        keep = content.rfind(b"\n") + 1
        if keep < len(content):
            os.truncate(path, keep)
