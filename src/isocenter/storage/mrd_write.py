# SPDX-License-Identifier: MIT
"""Raw data as a complete ISMRMRD file, written in bulk; and the waveforms that may lie beside the lines.

For a scan that is being measured see ``mrd_file``, which never rewrites anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.storage.files import write_pieces
from isocenter.storage.mrd_header import header_of_raw
from isocenter.storage.mrd_heads import TIME_STAMP_S, Lines, heads_of, k_units_per_m
from isocenter.storage.mrd_heap import HeapColumn, with_heap
from isocenter.storage.mrd_lines import trajectory_in_file
from isocenter.storage.seal import sealed

_ROWS_PER_WRITE: Final = 4096
_MAX_WAVE_SAMPLES: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """A stretch of something that was recorded beside the scan, such as a pulse oximeter or a temperature.

    Attributes
    ----------
    samples
        uint32 as ISMRMRD wants it, shape ``(n_channels, n_samples)``; floating point values by their bits.
    start_s, dwell_s
        Since the start of the scan; sample spacing [s].
    kind_id
        0 ECG, 1 pulse, 2 respiration, 3 and 4 triggers; own kinds from 1024 on. Source: ISMRMRD, waveform types.
    """

    samples: NDArray[np.uint32]
    start_s: float
    dwell_s: float
    kind_id: int


def for_others(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Samples as programs expect them that make images by an inverse transform: our sign of the phase turned round.

    Magnitudes, places and trajectories stay; the phase of an image changes its sign. See docs/decisions/0005.
    """
    return np.asarray(samples.conj(), dtype=np.complex64)


def write_mrd(raw: RawScan, path: Path, waveforms: Iterable[Waveform] = (), *, is_for_others: bool = False) -> None:
    """Write raw data with everything they know; ``storage.foreign.read_foreign`` gives the same back.

    Parameters
    ----------
    is_for_others
        Keep to the custom of an inverse transform, so that other programs show the images the right way round, and leave
        our own description out. What we read of such a file is like a file of another console.

    Raises
    ------
    StorageError
        The format cannot hold them, or the file cannot be written; nothing half-written is left.
    """
    if is_for_others:
        noise = None if raw.noise is None else for_others(raw.noise)
        raw = replace(raw, samples=for_others(raw.samples), noise=noise)
    header = header_of_raw(raw, is_for_others=is_for_others)
    heads, rows, trajectories = lines_of_raw(raw)
    write_pieces(path, sealed(_file(header, heads, rows, trajectories, tuple(waveforms))))


def lines_of_raw(
    raw: RawScan,
) -> tuple[NDArray[Any], list[NDArray[np.float32]], list[NDArray[np.float32]] | None]:
    """Heads, samples and trajectories of all lines as a file has them: noise first, as other programs expect.

    Raises
    ------
    StorageError
        The format cannot hold them.
    """
    noise = np.zeros((0, *raw.samples.shape[1:]), np.complex64) if raw.noise is None else raw.noise
    n_noise, n = len(noise), len(raw.samples)
    if n_noise and noise.shape[1] != raw.samples.shape[1]:
        raise StorageError(
            f"The noise has {noise.shape[1]} channels, the scan {raw.samples.shape[1]}.", "Leave the noise out."
        )
    labels = {name: np.concatenate([np.zeros(n_noise, np.int32), values]) for name, values in raw.labels.items()}
    if n_noise:
        labels["NOISE"] = np.concatenate([np.ones(n_noise, np.int32), raw.label("NOISE")])
    zeros, unknown = np.zeros(n_noise), np.full(n_noise, np.nan)
    lines = Lines(
        n_samples=np.concatenate([np.full(n_noise, noise.shape[2]), np.full(n, raw.samples.shape[2])]).astype(np.int32),
        labels=labels,
        dwell_s=np.full(n_noise + n, raw.dwell_s),
        start_s=np.concatenate([zeros, raw.time_s if len(raw.time_s) == n else np.zeros(n)]),
        evolution_s=np.concatenate([unknown, raw.evolution_s if len(raw.evolution_s) == n else np.full(n, np.nan)]),
        square_moments_per_m2=np.concatenate([np.zeros((n_noise, 6), np.float32), raw.square_moments_per_m2])
        if len(raw.square_moments_per_m2) == n
        else np.zeros((0, 6), np.float32),
        centre_sample=raw.encoding.centre_sample if raw.encoding is not None else float("nan"),
        n_channels=raw.samples.shape[1],
        k_unit_per_m=None if raw.trajectory_per_m is None else k_units_per_m(raw.encoding, raw.definitions),
    )
    heads = heads_of(lines, raw.encoding, raw.placement)
    rows = [*_flat(noise), *_flat(raw.samples)]
    if raw.trajectory_per_m is None or n == 0:
        return heads, rows, None
    heads["trajectory_dimensions"][n_noise:] = 3
    values = trajectory_in_file(raw.trajectory_per_m, heads[n_noise], raw.placement)
    return heads, rows, [*([np.zeros(0, np.float32)] * n_noise), *values.reshape(n, -1)]


def _flat(samples: NDArray[np.complex64]) -> NDArray[np.float32]:
    if len(samples) == 0:
        return np.zeros((0, 0), np.float32)
    return np.ascontiguousarray(samples, dtype=np.complex64).view(np.float32).reshape(len(samples), -1)


def _file(
    header_xml: bytes,
    heads: NDArray[Any],
    samples: list[NDArray[np.float32]],
    trajectories: list[NDArray[np.float32]] | None,
    waveforms: tuple[Waveform, ...],
) -> Iterator[bytearray | NDArray[np.uint8]]:
    """Pieces of the file. Not written by the HDF5 library: a disk that fills up under it brings the process down."""
    import h5py
    from ismrmrd.hdf5 import acquisition_dtype

    n = len(heads)
    with h5py.File("raw", "w", driver="core", backing_store=False, libver=("earliest", "v108")) as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", (1,), maxshape=(1,), dtype=h5py.special_dtype(vlen=bytes))[0] = header_xml
        chunk = min(max(n, 1), _ROWS_PER_WRITE)
        data = group.create_dataset("data", (n,), maxshape=(None,), chunks=(chunk,), dtype=acquisition_dtype)
        kind = data.id.get_type()
        head_at, *member_at = (kind.get_member_offset(kind.get_member_index(name)) for name in (b"head", b"traj", b"data"))
        for start in range(0, n, chunk):  # as they lie in the file: the library would look at every row
            part = heads[start : start + chunk]
            block = np.zeros((chunk, kind.get_size()), dtype=np.uint8)
            block[: len(part), head_at : head_at + heads.itemsize] = part.view(np.uint8).reshape(len(part), -1)
            data.id.write_direct_chunk((start,), block.tobytes())
        if waveforms:
            _add_waveforms(group, waveforms)
        file.flush()
        rows_at = _rows_at(data, kind.get_size())
        image: bytes = file.id.get_file_image()
    columns = [HeapColumn(references_at=rows_at + member_at[1], rows=samples)]
    if trajectories is not None:
        columns.append(HeapColumn(references_at=rows_at + member_at[0], rows=trajectories))
    return with_heap(image, columns)


def _rows_at(data: Any, row_bytes: int) -> NDArray[np.int64]:
    """Where each row of a chunked table lies in its file."""
    places: NDArray[np.int64] = np.zeros(len(data), dtype=np.int64)
    for number in range(data.id.get_num_chunks()):
        info = data.id.get_chunk_info(number)
        first = info.chunk_offset[0]
        count = min(data.chunks[0], len(data) - first)
        places[first : first + count] = info.byte_offset + row_bytes * np.arange(count)
    return places


def _add_waveforms(group: Any, waveforms: tuple[Waveform, ...]) -> None:
    from ismrmrd.hdf5 import waveform_dtype

    rows = np.zeros(len(waveforms), dtype=waveform_dtype)
    for index, wave in enumerate(waveforms):
        n_channels, n_samples = wave.samples.shape
        if n_samples > _MAX_WAVE_SAMPLES:
            raise StorageError(
                f"A waveform has {n_samples} samples; ISMRMRD holds at most {_MAX_WAVE_SAMPLES} in one.", "Split it."
            )
        head = rows["head"][index : index + 1]
        head["version"], head["scan_counter"], head["waveform_id"] = 1, index, wave.kind_id
        head["time_stamp"] = round(wave.start_s / TIME_STAMP_S)
        head["number_of_samples"], head["channels"] = n_samples, n_channels
        head["sample_time_us"] = wave.dwell_s * 1e6
        rows["head"][index : index + 1] = head
        rows["data"][index] = np.ascontiguousarray(wave.samples, dtype=np.uint32).ravel()
    group.create_dataset("waveforms", data=rows, maxshape=(None,), dtype=waveform_dtype)
