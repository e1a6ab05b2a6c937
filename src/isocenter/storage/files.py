# SPDX-License-Identifier: MIT
"""Files that are either the old one or the new one, never half of one; and plain words for what a disk can do."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from isocenter.domain.errors import StorageError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def plain_words(doing: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says into a StorageError that an operator understands.

    Parameters
    ----------
    doing
        What was going on, such as ``write the scan``.
    path
        File or folder concerned.
    """
    try:
        yield
    except OSError as error:
        raise _translate(error, doing, path) from error


def _translate(error: OSError, doing: str, path: Path) -> StorageError:
    # h5py puts the number into the text of some errors and nowhere else.
    code = error.errno or next((number for number in errno.errorcode if f"errno = {number}," in str(error)), 0)
    if code in _FULL:
        return StorageError(
            f"The disk is full: cannot {doing} in {path}.",
            "Free space on the disk or choose another data folder, then repeat.",
        )
    if code == errno.EFBIG:
        return StorageError(
            f"A file grew larger than this computer allows: cannot {doing} in {path}.",
            "Raise the limit on file sizes or shorten the scan, then repeat.",
        )
    if code == errno.EROFS:
        return StorageError(
            f"The disk is read-only: cannot {doing} in {path}.",
            "Choose a data folder on a disk that may be written, or have the disk checked.",
        )
    if code in _FORBIDDEN:
        return StorageError(
            f"Permission is missing: cannot {doing} in {path}.",
            "Ask for the right to write there, or choose another data folder.",
        )
    if code in {errno.ENOENT, errno.ENOTDIR}:
        return StorageError(f"{path} does not exist: cannot {doing}.", "Check the name of the folder, then repeat.")
    reason = os.strerror(code) if code else str(error)
    return StorageError(f"Cannot {doing} in {path}: {reason}.", "Check the disk, then repeat.")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, also after a loss of power.

    Raises
    ------
    StorageError
        When it cannot be written; then the old file is untouched and nothing new is left behind.
    """
    write_pieces(path, (content,))


def write_pieces(path: Path, pieces: Iterable[Any]) -> None:
    """``write_atomic`` for content that is made piece by piece."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with plain_words(f"write {path.name}", path.parent):
        try:
            with temporary.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names that were added to a folder last through a loss of power."""
    if os.name == "nt":  # there a folder cannot be opened, and the file system keeps names by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
