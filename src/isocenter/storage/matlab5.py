# SPDX-License-Identifier: MIT
"""Numeric arrays of MATLAB 5 files (``-v6`` and ``-v7``).

Our own reader, since scipy's ends the whole process on some damaged files (seen with scipy 1.17 and four changed bytes).
Source: MathWorks, "MAT-File Format": 128 bytes of header, then elements of type, length and content.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DTYPES: Final = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES: Final = range(6, 16)  # double, single, and the eight integers
_COMPLEX_BIT: Final = 0x0800
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class MatlabArray:
    """One numeric variable of a file, not yet read."""

    shape: tuple[int, ...]
    is_complex: bool
    is_compressed: bool
    order: str
    content: bytes

    def read(self) -> NDArray[Any]:
        """The array, in MATLAB's order of axes. Raises ValueError when the file is damaged."""
        content = self.content
        n_values = math.prod(self.shape)
        if self.is_compressed:
            most = 8 + _HEAD_BYTES + n_values * 8 * (2 if self.is_complex else 1) + 64
            content = zlib.decompressobj().decompress(content, most)[8:]
        parts = list(_elements(content, self.order))
        wanted = 5 if self.is_complex else 4
        if len(parts) < wanted:
            raise ValueError("an array ends early")
        real = _values(parts[3], self.order, n_values)
        if not self.is_complex:
            return real.reshape(self.shape, order="F")
        flat = np.empty(n_values, dtype=np.complex64 if real.dtype == np.float32 else np.complex128)
        flat.real, flat.imag = real, _values(parts[4], self.order, n_values)  # a sum would turn infinities into NaN
        return flat.reshape(self.shape, order="F")


def list_arrays(path: Path) -> dict[str, MatlabArray]:
    """Numeric variables by name. Raises ValueError when the file is damaged."""
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}[content[126:128]]
    found = {}
    for kind, body in _elements(content[128:], order, is_top=True):
        is_compressed = kind == _COMPRESSED
        head = zlib.decompressobj().decompress(body, _HEAD_BYTES) if is_compressed else body
        matrix_kind = struct.unpack_from(order + "I", head)[0] if is_compressed else kind
        if matrix_kind != _MATRIX:
            continue
        head = head[8:] if is_compressed else head
        parts = [part for part, _ in zip(_elements(head, order, is_cut=True), range(3), strict=False)]
        if len(parts) < 3 or len(parts[0][1]) < 4:
            raise ValueError("a variable has no name")
        flags = struct.unpack_from(order + "I", parts[0][1])[0]
        if flags & 0xFF not in _NUMERIC_CLASSES:
            continue
        shape = tuple(int(size) for size in np.frombuffer(parts[1][1], order + "i4"))
        if not shape or min(shape) < 0 or len(shape) > 32:
            raise ValueError(f"an array of {shape}")
        name = parts[2][1].decode("ascii")
        found[name] = MatlabArray(
            shape=shape, is_complex=bool(flags & _COMPLEX_BIT), is_compressed=is_compressed, order=order, content=body
        )
    return found


def _elements(content: bytes, order: str, *, is_top: bool = False, is_cut: bool = False) -> Iterator[tuple[int, bytes]]:
    """Type and content of each element; ``is_cut``: the last one may be incomplete, since only a beginning was unpacked."""
    start = 0
    while start + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, start)
        if kind >> 16:  # a short element keeps its length and up to four bytes in the tag
            size, kind = kind >> 16, kind & 0xFFFF
            if size > 4:
                raise ValueError(f"a short element of {size} bytes")
            yield kind, content[start + 4 : start + 4 + size]
            start += 8
            continue
        start += 8
        if start + size > len(content) and not is_cut:
            raise ValueError(f"an element of {size} bytes goes beyond the end")
        yield kind, content[start : start + size]
        start += size if is_top and kind == _COMPRESSED else size + (-size % 8)


def _values(part: tuple[int, bytes], order: str, n_values: int) -> NDArray[Any]:
    kind, content = part
    if kind not in _DTYPES:
        raise ValueError(f"an array of unknown type {kind}")
    dtype = np.dtype(order + _DTYPES[kind])
    if len(content) < n_values * dtype.itemsize:
        raise ValueError("an array ends early")
    return np.frombuffer(content, dtype, count=n_values)
