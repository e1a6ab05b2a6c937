# SPDX-License-Identifier: MIT
"""A checksum behind the end of an HDF5 file, where the library does not look.

A file that carries one and still fits it is as this program wrote it, so it may be opened without the precautions that
damaged files need. Whoever changes the file with the HDF5 library overwrites it, and the precautions apply again.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

Buffer: TypeAlias = Any
"""Bytes of any kind."""

_MARK: Final = b"isocenter-crc32\n"
_TRAILER: Final = struct.Struct("<16sQI")
_PIECE: Final = 2**22


def sealed(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """Pieces of a file, and its checksum behind them."""
    checksum, length = 0, 0
    for piece in pieces:
        checksum, length = zlib.crc32(piece, checksum), length + memoryview(piece).nbytes
        yield piece
    yield _TRAILER.pack(_MARK, length, checksum)


def is_sealed(path: Path) -> bool:
    """True when the file ends with the checksum of what stands before it. Raises OSError when it cannot be read."""
    size = path.stat().st_size - _TRAILER.size
    if size < 0:
        return False
    with path.open("rb") as file:
        file.seek(size)
        mark, length, wanted = _TRAILER.unpack(file.read(_TRAILER.size))
        if mark != _MARK or length != size:
            return False
        file.seek(0)
        found, left = 0, size
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            found, left = zlib.crc32(piece, found), left - len(piece)
    return left == 0 and found == wanted
