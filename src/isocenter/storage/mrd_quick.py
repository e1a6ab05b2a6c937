# SPDX-License-Identifier: MIT
"""A raw file of our own read without HDF5's own decoding of its lines, which takes ten times as long.

HDF5 keeps lines of variable length as references into heaps. Ours are of one length as a rule and were laid out at once
(``mrd_file``), so where each line lies follows from its reference; the header of every one is checked. What looks different
in any way is left to HDF5.
"""

import functools
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.storage.files import plain_words

_REFERENCE: Final = np.dtype([("n", "<u4"), ("heap_at", "<u8"), ("object", "<u4")])
_COLLECTION_HEADER: Final = 16
_OBJECT_HEADER: Final = 16


def read_quickly(path: Path) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
    """Heads of the lines that were measured, and their samples as float32 of shape ``(n_lines, n_values)``.

    The heads are those in the file, not a copy: a few of their fields are wanted, and never again. None when the lines have
    trajectories or different lengths, or the file was not laid out by this program.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    from h5py import h5d, h5f
    from ismrmrd.hdf5 import acquisition_dtype

    with plain_words("read the raw data", path):
        file = h5f.open(_encoded(path), h5f.ACC_RDONLY, fapl=_access())
        try:  # h5py's own words for this take twice as long
            dataset = h5d.open(file, b"dataset/data")
            if not _is_ours(dataset, acquisition_dtype):
                return None
            n_rows, chunk = dataset.shape[0], dataset.get_chunk_info(0)
        finally:
            file.close()
    with plain_words("read the raw data", path):
        content = np.memmap(path, dtype=np.uint8, mode="r")
        return _decode(np.asarray(content), chunk.byte_offset, n_rows, acquisition_dtype)


def _is_ours(dataset: Any, kind: np.dtype[Any]) -> bool:
    """True for lines in one piece, with heads as this program writes them."""
    if len(dataset.shape) != 1 or dataset.shape[0] == 0 or dataset.get_num_chunks() != 1:
        return False
    found = dataset.get_type()
    if found.get_size() != _row_bytes(kind) or dataset.get_create_plist().get_nfilters():
        return False
    return bool(found.get_member_type(0).equal(_head_type(kind)))


def _encoded(path: Path) -> bytes:
    return str(path).encode("utf-8") if os.name == "nt" else os.fsencode(path)  # as HDF5 takes names


@functools.cache
def _access() -> Any:
    """Reading without a lock, everything closed with the file."""
    from h5py import h5f, h5p

    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_file_locking(False, True)  # also where the disk knows no locks
    return access


def _row_bytes(kind: np.dtype[Any]) -> int:
    return int(kind["head"].itemsize) + 2 * _REFERENCE.itemsize


@functools.cache
def _head_type(kind: np.dtype[Any]) -> Any:
    import h5py

    return h5py.h5t.py_create(kind["head"], logical=True)


def _decode(
    content: NDArray[np.uint8], offset: int, n_rows: int, kind: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
    if offset + n_rows * _row_bytes(kind) > len(content):
        return None
    rows = np.ndarray((n_rows,), dtype=_row_type(kind), buffer=content, offset=offset)
    heads, trajectory, data = rows["head"], rows["traj"], rows["data"]
    n_values = int(data["n"][0])
    if trajectory["n"].any() or (data["n"] != n_values).any() or n_values == 0:
        return None
    n_bytes = 4 * n_values
    step = _OBJECT_HEADER + (n_bytes + 7) // 8 * 8
    starts = data["heap_at"].astype(np.int64) + _COLLECTION_HEADER + (data["object"].astype(np.int64) - 1) * step
    if (starts % 8).any() or starts.min() < 0 or int(starts.max()) + step > len(content):
        return None
    words = content[: len(content) // 8 * 8].view("<u8")
    first = starts // 8
    if ((words[first] & 0xFFFF) != data["object"]).any() or (words[first + 1] != n_bytes).any():
        return None
    return heads, _gather(content, starts + _OBJECT_HEADER, n_values)


@functools.cache
def _row_type(kind: np.dtype[Any]) -> np.dtype[Any]:
    """A line in the file: its head, and where trajectory and samples are."""
    head_bytes = int(kind["head"].itemsize)
    return np.dtype(
        {
            "names": ["head", "traj", "data"],
            "formats": [kind["head"], _REFERENCE, _REFERENCE],
            "offsets": [0, head_bytes, head_bytes + _REFERENCE.itemsize],
            "itemsize": _row_bytes(kind),
        }
    )


def _gather(content: NDArray[np.uint8], places: NDArray[np.int64], n_values: int) -> NDArray[np.float32]:
    """Rows of float32 at byte places that are multiples of 4, each copied once."""
    numbers = content[: len(content) // 4 * 4].view("<f4")
    rows = np.lib.stride_tricks.sliding_window_view(numbers, n_values)  # one at every place, none of them in memory
    return np.asarray(rows[places // 4], dtype=np.float32)
