# SPDX-License-Identifier: MIT
"""The file that keeps what was played on one scanner: one JSON line a segment, on the disk before the segment is played."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from isocenter.domain.errors import StorageError, WrongState
from isocenter.storage.files import plain_words, sync_folder, write_pieces
from isocenter.storage.locks import try_lock

LARGEST_BYTES: Final = 2_000_000
"""A file that has grown beyond this is worth writing anew without what no window reaches any more."""

Stamp = tuple[int, int, int]


class DoseFile:
    """Lines of one scanner. Whoever adds to it holds it alone, so that two programs never forget each other's lines.

    Parameters
    ----------
    path
        Need not exist, nor its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    @property
    def stamp(self) -> Stamp | None:
        """Changes whenever anybody writes; None while there is no file.

        Raises
        ------
        StorageError
            It cannot be looked at.
        """
        with plain_words("look at the history of exposures", self.path):
            try:
                found = self.path.stat()
            except FileNotFoundError:
                return None
            return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> list[dict[str, Any]]:
        """All records. A last line without its end was never followed by a segment, and is left out.

        Raises
        ------
        StorageError
            A line is damaged, or the file cannot be read: what was played is not known then.
        """
        with plain_words("read the history of exposures", self.path):
            try:
                lines = self.path.read_bytes().split(b"\n")[:-1]
            except FileNotFoundError:
                return []
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise damaged(self.path, f"line {number} is no record")
            records.append(record)
        return records

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else adds to the file within.

        Raises
        ------
        WrongState
            Another program holds it.
        StorageError
            It cannot be opened.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        with plain_words("open the history of exposures", lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not try_lock(handle):
                raise WrongState(
                    "Another program is scanning with this scanner.", "Wait until it has ended its scan, then start again."
                )
            yield
        finally:
            self._close()
            os.close(handle)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line; when it returns, the line outlives a loss of power. Only while the file is held.

        Raises
        ------
        StorageError
            It cannot be written; then no part of it stays.
        """
        rest = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with plain_words("write the history of exposures", self.path):
            if self._handle < 0:
                self._open()
            size = os.fstat(self._handle).st_size
            try:
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, size)
                raise

    def rewrite(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Put these in place of all there is; a crash leaves the old file or the new one. Only while the file is held."""
        self._close()
        write_pieces(self.path, (json.dumps(record, allow_nan=False).encode() + b"\n" for record in records))

    def _open(self) -> None:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._handle).st_size
        with self.path.open("rb") as file:
            content = file.read(size)
        sync_folder(self.path.parent)
        if (whole := content.rfind(b"\n") + 1) < size:  # a crash cut the last line short
            os.ftruncate(self._handle, whole)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def damaged(path: Path, why: str) -> StorageError:
    """A history that cannot be trusted must not pass for an empty one."""
    return StorageError(
        f"The history of what was scanned in the last hours cannot be read ({why}), so RF and heat cannot be added up.",
        f"Leave the scanner without a scan for one hour, then move {path} away and scan again.",
    )
