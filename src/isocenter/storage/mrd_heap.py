# SPDX-License-Identifier: MIT
"""Rows of variable length added to an HDF5 file image in one go.

The HDF5 library stores each such row by itself, which takes several times as long as copying it. Here the library lays out
a file whose rows are empty; the global heap with their content is then made with array operations, put behind the end of the
file, and each row is pointed at its part. The superblock's end of file moves with it. What results is an ordinary file: the
library reads it, and adds to it.

Source
------
HDF5 File Format Specification 3.0: II.A (superblock version 0), III.E (global heap).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_EOF_AT: Final = 40
_HEADER: Final = 16
_LEAST_BYTES: Final = 4096
_WANTED_BYTES: Final = 2**18
REFERENCE: Final = np.dtype([("n", "<u4"), ("heap_at", "<u8"), ("object", "<u4")])
"""How a row says where its content is: how many values, which collection, which object in it."""

_OBJECT: Final = np.dtype([("number", "<u2"), ("references", "<u2"), ("reserved", "<u4"), ("size", "<u8")])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeapColumn:
    """One column of rows: where each row's reference lies in the file, and its float32 content (may be empty)."""

    references_at: NDArray[np.int64]
    rows: Sequence[NDArray[np.float32]]


def with_heap(image: bytes, columns: Sequence[HeapColumn]) -> Iterator[bytearray | NDArray[np.uint8]]:
    """Pieces of the file with the content of all columns added; never all of them in memory.

    Raises
    ------
    ValueError
        The image is not laid out as this program's are.
    """
    end = struct.unpack_from("<Q", image, _EOF_AT)[0]
    if image[8] != 0 or image[13:15] != b"\x08\x08" or end != len(image):
        raise ValueError("not a file of the oldest layout")
    content = bytearray(image)
    content.extend(bytes(-len(content) % 8))
    view, at, runs = np.frombuffer(content, dtype=np.uint8), len(content), _runs(columns)
    for start, stop in runs:
        n_bytes, references = _plan([column.rows[start].nbytes for column in columns], stop - start, at)
        for column, values in zip(columns, references, strict=True):
            places = column.references_at[start:stop, None] + np.arange(REFERENCE.itemsize)
            view[places] = values.view(np.uint8).reshape(len(values), -1)
        at += n_bytes
    struct.pack_into("<Q", content, _EOF_AT, at)
    yield content
    for start, stop in runs:
        yield _collection([column.rows[start:stop] for column in columns])


def _runs(columns: Sequence[HeapColumn]) -> list[tuple[int, int]]:
    """Consecutive rows of equal lengths that fit into one collection."""
    n_rows = len(columns[0].rows)
    lengths = np.array([[row.nbytes for row in column.rows] for column in columns], dtype=np.int64).reshape(len(columns), -1)
    changes = np.flatnonzero(np.any(np.diff(lengths, axis=1) != 0, axis=0)) + 1
    runs = []
    for start, stop in zip([0, *changes.tolist()], [*changes.tolist(), n_rows], strict=True):
        if start == stop:
            continue
        per_row = int(np.sum(lengths[:, start] + _HEADER + 8))
        step = max(_WANTED_BYTES // per_row, 1)
        runs += [(first, min(first + step, stop)) for first in range(start, stop, step)]
    return runs


def _widths(n_bytes: list[int]) -> list[int]:
    """Of one object of each column, its header included."""
    return [_HEADER + (size + 7) // 8 * 8 if size else 0 for size in n_bytes]


def _plan(n_bytes: list[int], n_rows: int, at: int) -> tuple[int, list[NDArray[np.void]]]:
    """Size of a collection that will lie at an address, and the references to its objects."""
    references, first = [], 1
    for size in n_bytes:
        found = np.zeros(n_rows, dtype=REFERENCE)
        if size:
            found["n"], found["heap_at"], found["object"] = size // 4, at, np.arange(first, first + n_rows)
            first += n_rows
        references.append(found)
    return max(2 * _HEADER + n_rows * sum(_widths(n_bytes)), _LEAST_BYTES), references


def _collection(columns: list[Sequence[NDArray[np.float32]]]) -> NDArray[np.uint8]:
    """One collection of the heap for rows of equal lengths."""
    n_rows, n_bytes = len(columns[0]), [rows[0].nbytes for rows in columns]
    widths = _widths(n_bytes)
    used = _HEADER + n_rows * sum(widths)
    block = np.zeros(max(used + _HEADER, _LEAST_BYTES), dtype=np.uint8)
    block[:_HEADER] = np.frombuffer(struct.pack("<4sB3xQ", b"GCOL", 1, len(block)), np.uint8)
    body, column_at, first = block[_HEADER:used].reshape(n_rows, -1), 0, 1
    for rows, size, width in zip(columns, n_bytes, widths, strict=True):
        if size:
            heads = np.zeros(n_rows, dtype=_OBJECT)
            heads["number"], heads["size"] = np.arange(first, first + n_rows), size
            body[:, column_at : column_at + _HEADER] = heads.view(np.uint8).reshape(n_rows, _HEADER)
            target = body[:, column_at + _HEADER : column_at + _HEADER + size]
            for index, row in enumerate(rows):
                target[index] = row.view(np.uint8)
            first += n_rows
        column_at += width
    block[used : used + _HEADER] = np.frombuffer(struct.pack("<HHIQ", 0, 0, 0, len(block) - used), np.uint8)  # what is free
    return block
