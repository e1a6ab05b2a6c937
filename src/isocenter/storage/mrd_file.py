# SPDX-License-Identifier: MIT
"""An ISMRMRD file that is whole at every moment of a scan, also when the program is killed.

HDF5 itself gives no such promise: a kill while it flushes leaves a file that nobody can open, and its crash-safe mode
(SWMR) does not take ISMRMRD's variable-length rows. But a compiled scan says beforehand how many readouts there will be and
how long each is. So the whole file is laid out before the scan starts, with zeros for samples, and closed; then the number
of its rows is set to 0. While scanning, the library is not involved any more:

1. the samples of new rows are written where the file already has room for them,
2. these bytes are forced to the disk,
3. the number of rows, eight aligned bytes, is set to the new value.

Nothing that describes the file's structure ever changes but this one number. A reader sees the rows before or after, never
in between. And since the room is taken at the start, a disk cannot fill up in the middle of a scan.

Source
------
HDF5 File Format Specification 3.0: III.E (global heap), IV.A.1.a (version 1 object header), IV.A.2.b (dataspace message).
"""

import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.storage.files import plain_words

_DATASPACE: Final = 0x0001
_ROWS_PER_WRITE: Final = 4096
_HEAP_OBJECT_HEADER: Final = 16


def create_raw_file(
    path: Path,
    header_xml: bytes,
    heads: NDArray[Any],
    n_channels: int = 1,
    trajectories: Sequence[NDArray[np.float32] | None] = (),
) -> None:
    """Lay out a file with room for all readouts, none of them measured yet.

    Parameters
    ----------
    path
        Must not exist.
    header_xml
        ISMRMRD header.
    heads
        ``acquisition_header_dtype``, shape ``(n_readouts,)``.
    trajectories
        For each readout float32, shape ``(n_samples, dimensions)``, or None; empty when there are none at all.

    Raises
    ------
    StorageError
        When there is no room; then no file is left.
    """
    image, rows_at = _lay_out(header_xml, heads, n_channels, trajectories)
    with plain_words("make room for the raw data", path.parent):
        try:
            with path.open("xb") as file:
                _write_at(file, image, 0)
                _write_at(file, struct.pack("<Q", 0), rows_at)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _lay_out(
    header_xml: bytes, heads: NDArray[Any], n_channels: int, trajectories: Sequence[NDArray[np.float32] | None]
) -> tuple[bytes, int]:
    """Content of the file, and where in it the number of rows is. In memory: a disk that fills up under HDF5 crashes it."""
    import h5py
    from ismrmrd.hdf5 import acquisition_dtype

    n_rows = len(heads)
    # The oldest layout is the one whose structures carry no checksum, so that one number can change alone.
    with h5py.File("raw", "w", driver="core", backing_store=False, libver=("earliest", "v108")) as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", (1,), maxshape=(1,), dtype=h5py.special_dtype(vlen=bytes))[0] = header_xml
        data = group.create_dataset("data", (n_rows,), maxshape=(None,), chunks=(max(n_rows, 1),), dtype=acquisition_dtype)
        nothing = np.zeros(0, dtype=np.float32)
        zeros = {int(n): np.zeros(2 * n_channels * int(n), np.float32) for n in np.unique(heads["number_of_samples"])}
        for start in range(0, n_rows, _ROWS_PER_WRITE):
            part = heads[start : start + _ROWS_PER_WRITE]
            rows = np.empty(len(part), dtype=acquisition_dtype)
            rows["head"] = part
            for row, n in enumerate(part["number_of_samples"].tolist()):
                k = trajectories[start + row] if trajectories else None
                rows["traj"][row], rows["data"][row] = nothing if k is None else k.ravel(), zeros[n]
            data[start : start + len(part)] = rows
        header_at = h5py.h5o.get_info(data.id).addr
        file.flush()
        image: bytes = file.id.get_file_image()
    return image, _find_row_count(image, header_at)[0]


class _Layout:
    """Where the changing parts of a file lie: bytes from its start."""

    def __init__(self, rows_at: int, n_rows: int, samples_at: NDArray[np.int64], n_bytes: NDArray[np.int64]) -> None:
        self.rows_at, self.n_rows, self.samples_at, self.n_bytes = rows_at, n_rows, samples_at, n_bytes


def _find(path: Path) -> _Layout:
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file["dataset/data"].id
        header_at = h5py.h5o.get_info(dataset).addr
        row_bytes = dataset.get_type().get_size()
        capacity = dataset.get_chunk_info(0) if dataset.get_num_chunks() else None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        rows_at, n_rows = _find_row_count(content, header_at)
        if capacity is None:
            return _Layout(rows_at, 0, np.zeros(0, np.int64), np.zeros(0, np.int64))
        block = content[capacity.byte_offset : capacity.byte_offset + capacity.size]
        rows = np.frombuffer(block, dtype=np.uint8).reshape(-1, row_bytes)
        reference = np.dtype([("n", "<u4"), ("heap_at", "<u8"), ("object", "<u4")])
        samples = np.ascontiguousarray(rows[:, -reference.itemsize :]).view(reference).ravel()
        return _Layout(rows_at, n_rows, _find_objects(content, samples), samples["n"].astype(np.int64) * 4)


def _find_row_count(content: mmap.mmap | bytes, header_at: int) -> tuple[int, int]:
    version, _, n_messages = struct.unpack_from("<BBH", content, header_at)
    at = header_at + 16
    for _ in range(n_messages if version == 1 else 0):
        kind, size = struct.unpack_from("<HH", content, at)
        if kind == _DATASPACE and content[at + 8] == 1:  # version 1 of the message: eight bytes, then the dimensions
            return at + 16, struct.unpack_from("<Q", content, at + 16)[0]
        at += 8 + size
    raise StorageError(
        "The raw file was laid out in a way that this program does not know.",
        "Install the version of h5py that this program was made for.",
    )


def _find_objects(content: mmap.mmap, references: NDArray[Any]) -> NDArray[np.int64]:
    """Where each referenced object's bytes begin. An object follows the one before it in its heap collection."""
    places: dict[tuple[int, int], int] = {}
    for heap_at in np.unique(references["heap_at"]).tolist():
        if content[heap_at : heap_at + 4] != b"GCOL":
            continue
        end = heap_at + struct.unpack_from("<Q", content, heap_at + 8)[0]
        at = heap_at + 16
        while at + _HEAP_OBJECT_HEADER <= end:
            number, _, _, size = struct.unpack_from("<HHIQ", content, at)
            if number == 0:  # free space, always the last
                break
            places[heap_at, number] = at + _HEAP_OBJECT_HEADER
            at += _HEAP_OBJECT_HEADER + (size + 7) // 8 * 8
    keys = zip(references["heap_at"].tolist(), references["object"].tolist(), strict=True)
    return np.array([places[key] for key in keys], dtype=np.int64)


def _write_at(file: BinaryIO, content: Any, at: int) -> None:
    file.seek(at)
    view = memoryview(content).cast("B")
    while len(view):  # an unbuffered file may take a part only
        view = view[file.write(view) :]


class RawWriter:
    """Fills a file made by ``create_raw_file``, row after row. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with plain_words("open the raw data", path.parent):
            self._layout = _find(path)
            self._file = path.open("r+b", buffering=0)
        self.n_written = self._layout.n_rows

    def append(self, rows: Sequence[NDArray[np.complex64]] | NDArray[np.complex64]) -> None:
        """Write samples of the next readouts; when this returns they are on the disk.

        Parameters
        ----------
        rows
            complex64, one array of shape ``(n_samples,)`` or ``(n_channels, n_samples)`` for each readout.

        Raises
        ------
        StorageError
            When they cannot be written; then none of them counts and the file is as before.
        ValueError
            When they are not the readouts for which the file has room.
        """
        first = self.n_written
        self._write(first, rows)
        with plain_words("write the raw data", self._path.parent):
            _write_at(self._file, struct.pack("<Q", first + len(rows)), self._layout.rows_at)
            _sync_data(self._file.fileno())
        self.n_written = first + len(rows)

    def replace(self, first: int, rows: Sequence[NDArray[np.complex64]] | NDArray[np.complex64]) -> None:
        """Write samples of readouts that count already, from row ``first`` on; when this returns they are on the disk.

        Each line is the old or the new one when this is cut short by a crash. Parameters and errors as for ``append``.
        """
        if first + len(rows) > self.n_written:
            raise ValueError(f"{len(rows)} readouts from {first} on, but only {self.n_written} were written")
        self._write(first, rows)

    def _write(self, first: int, rows: Sequence[NDArray[np.complex64]] | NDArray[np.complex64]) -> None:
        layout = self._layout
        if first + len(rows) > len(layout.samples_at):
            raise ValueError(f"{len(rows)} more readouts after {first} of {len(layout.samples_at)}")
        flat = [np.ascontiguousarray(row, dtype=np.complex64) for row in rows]
        for row, n_bytes in zip(flat, layout.n_bytes[first:].tolist(), strict=False):
            if row.nbytes != n_bytes:
                raise ValueError(f"a readout of {row.nbytes} bytes where the scan has {n_bytes}")
        with plain_words("write the raw data", self._path.parent):
            for row, at in zip(flat, layout.samples_at[first:].tolist(), strict=False):
                _write_at(self._file, row, at)
            _sync_data(self._file.fileno())

    def close(self) -> None:
        """Let go of the file; closing twice does no harm."""
        self._file.close()


def _sync_data(handle: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(handle)
    else:
        os.fsync(handle)
