# SPDX-License-Identifier: MIT
"""Folders that are there whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from isocenter.domain.errors import StorageError


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` whose content moves there when the block ends well, and vanishes when not.

    Files of the same name in ``out`` are replaced; others stay.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    temporary: Path | None = None
    made = not out.exists()
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=out))
            yield temporary
            for item in sorted(temporary.iterdir()):
                target = out / item.name
                if target.is_dir():
                    shutil.rmtree(target)
                item.replace(target)
        except OSError as error:
            raise StorageError(
                # numpy says how many bytes fitted, and no more.
                f"'{error.filename or out}' cannot be written: {error.strerror or 'the disk is probably full'}.",
                "Choose another folder, or free some space, then try again.",
            ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()  # only succeeds when nothing was written


@contextlib.contextmanager
def no_empty_folder(out: Path) -> Iterator[None]:
    """Takes a folder away again that was made within the block and into which nothing was written."""
    made = not out.exists()
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()
