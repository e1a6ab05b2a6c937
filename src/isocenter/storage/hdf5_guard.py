# SPDX-License-Identifier: MIT
"""Reads HDF5 files of other programs through a child process, so that a damaged file harms nothing but itself."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError

_START_S: Final = 60.0
_BYTES_PER_S: Final = 5e6
"""Slowest disk that is waited for."""
_OWN_BYTES: Final = 2**30
_TIMES_FILE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What the child took out.

    Attributes
    ----------
    kind
        ``mrd``, ``array``, ``names`` (none was chosen) or ``damaged``.
    found
        What else it says.
    folder
        Where its arrays lie; gone when the block ends.
    """

    kind: str
    found: dict[str, Any]
    folder: Path

    def load(self, name: str) -> NDArray[Any]:
        """One array. Raises FileNotFoundError when there is none."""
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", allow_pickle=False)
        return array


@contextlib.contextmanager
def extracted(path: Path, variable: str) -> Iterator[Extract]:
    """Take out of an HDF5 file what is asked for.

    Raises
    ------
    StorageError
        The file ended the child, kept it busy for too long or wanted too much memory.
    """
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="isocenter-hdf5-") as name:
        folder = Path(name)
        command = [sys.executable, "-P", "-m", "isocenter.storage.hdf5_child"]
        arguments = [str(path.absolute()), variable, name, f"{_OWN_BYTES + _TIMES_FILE * size}"]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(  # noqa: S603  our own interpreter and module
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_START_S + size / _BYTES_PER_S,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _damaged(path, "reading it never ended") from error
        if not (folder / "found.json").exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            why = said[0][:120] if said and done.returncode > 0 else "it brought the HDF5 library down"
            raise _damaged(path, why)
        found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        if found["kind"] == "damaged":
            raise _damaged(path, found["reason"])
        yield Extract(kind=found["kind"], found=found, folder=folder)


def _damaged(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path.name} is damaged, or not what it claims to be ({why}).", "Copy or export the file again, then repeat."
    )
