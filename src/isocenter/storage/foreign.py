# SPDX-License-Identifier: MIT
"""K-space that other programs wrote: MATLAB, NumPy, Tecmag and ISMRMRD files."""

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.storage.mrd_heads import TIME_STAMP_S
from isocenter.storage.mrd_table import MrdTable
from isocenter.storage.mrd_write import Waveform
from isocenter.storage.seal import is_sealed

KspaceArray: TypeAlias = NDArray[np.complex64]

MAX_ELEMENTS: Final = 2**30
"""8 GB as complex64; a file that claims more is refused before memory is asked for."""

_BOMB_BYTES: Final = 2**30
_BOMB_RATIO: Final = 100
_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_NPY_MAGIC: Final = b"\x93NUMPY"
_BROKEN: Final = (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, MemoryError, NotImplementedError)
_BROKEN_MORE: Final = (zlib.error, zipfile.BadZipFile, UnicodeError, OverflowError, RuntimeError, AttributeError)
_BROKEN_ALL: Final = (*_BROKEN, *_BROKEN_MORE, struct.error, tokenize.TokenError, SyntaxError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What a file held, and plain sentences that a person should see about it."""

    data: KspaceArray | RawScan
    warnings: tuple[str, ...] = ()


def read_foreign(path: Path, variable: str = "") -> KspaceArray | RawScan:
    """``read_any`` without the warnings; those of a scan are in the scan."""
    return read_any(path, variable).data


def read_any(path: Path, variable: str = "") -> Foreign:
    """K-space from a file of another program; its kind is told from its first bytes, not its name.

    Parameters
    ----------
    path
        MATLAB 5 to 7.3 (``.mat``), NumPy (``.npy``, ``.npz``), Tecmag (``.tnt``) or ISMRMRD (``.h5``).
    variable
        Name of the array in a MATLAB, HDF5 or ``.npz`` file; may be empty when there is only one array. For ISMRMRD: the
        group, ``dataset`` when empty.

    Returns
    -------
        Array as it is in the file (axis order of MATLAB kept), complex64. For ISMRMRD a scan with encoding and geometry.

    Raises
    ------
    StorageError
        Not such a file, damaged, or no such variable; then the names of those that exist are given.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(520)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.", "Check the name of the file.") from error
    try:
        if head.startswith(_HDF5_MAGIC) or head[512:520] == _HDF5_MAGIC:  # MATLAB 7.3 puts 512 bytes of text before it
            return _with_warnings(_read_hdf5(path, variable))
        if head.startswith(_NPY_MAGIC):
            return Foreign(data=_complex64(np.load(path, allow_pickle=False, mmap_mode="r"), path.name))
        if head.startswith(b"PK"):
            return Foreign(data=_read_npz(path, variable))
        if head.startswith(b"TNT1."):
            return _read_tecmag(path)
        if len(head) >= 128 and head[126:128] in {b"IM", b"MI"}:
            return Foreign(data=_read_matlab5(path, variable))
    except _BROKEN_ALL as error:
        raise StorageError(
            f"{path.name} is damaged, or not what it claims to be ({type(error).__name__}: {str(error)[:120]}).",
            "Copy or export the file again.",
        ) from error
    raise StorageError(
        f"{path.name} is not a MATLAB, NumPy or HDF5 file, nor a Tecmag file.",
        "Give a .mat, .npy, .npz, .tnt or ISMRMRD .h5 file with k-space.",
    )


def _with_warnings(data: KspaceArray | RawScan) -> Foreign:
    return Foreign(data=data, warnings=data.warnings if isinstance(data, RawScan) else ())


def _read_tecmag(path: Path) -> Foreign:
    from isocenter.storage.tecmag import read_tecmag

    found = read_tecmag(path)
    n_all = found.samples.size
    cut = f"{found.n_missing} of {n_all} samples are missing at the end of {path.name}; they are taken as zero."
    return Foreign(data=_complex64(found.samples, path.name), warnings=(cut,) if found.n_missing else ())


def _choose(names: dict[str, str], variable: str, path: Path) -> str:
    """The wanted variable, or the only one; ``names`` maps each array's name to its shape as text."""
    if variable in names:
        return variable
    if not variable and len(names) == 1:
        return next(iter(names))
    shown = ", ".join(f"{name} ({shape})" for name, shape in list(names.items())[:20]) or "none"
    problem = (
        f"{path.name} has no variable '{variable}'." if variable else f"{path.name} does not say which variable is k-space."
    )
    raise StorageError(f"{problem} Arrays in it: {shown}.", "Name one of them with --variable.")


def _read_matlab5(path: Path, variable: str) -> KspaceArray:
    from isocenter.storage.matlab5 import list_arrays

    arrays = list_arrays(path)
    name = _choose({key: _shape_text(array.shape) for key, array in arrays.items()}, variable, path)
    array = arrays[name]
    _check_size(array.shape, name)
    if is_bomb(16 * math.prod(array.shape), len(array.content)):
        raise StorageError(f"The array '{name}' is larger than it can be.", "Export the file again.")
    return _complex64(array.read(), name)


def _read_npz(path: Path, variable: str) -> KspaceArray:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a broken file open itself
        name = _choose(dict.fromkeys(archive.files, "array"), variable, path)
        member = f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name
        info = archive.zip.getinfo(member)
        if info.file_size > 16 * MAX_ELEMENTS or is_bomb(info.file_size, info.compress_size):
            raise StorageError(f"The array '{name}' is larger than this program reads.", "Give a smaller part of it.")
        return _complex64(archive[name], name)


def _read_hdf5(path: Path, variable: str) -> KspaceArray | RawScan:
    from isocenter.storage.foreign_mrd import read_mrd
    from isocenter.storage.hdf5_guard import extracted

    if not variable and is_sealed(path):
        return _read_sealed(path)
    with extracted(path, variable) as extract:
        if extract.kind == "names":
            _choose({name: _shape_text(tuple(shape)) for name, shape in extract.found["shapes"].items()}, variable, path)
            raise StorageError(f"{path.name} holds no array of numbers.", "Give a file with k-space.")
        if extract.kind == "array":
            return _complex64(extract.load("array"), extract.found["name"])
        return read_mrd(_table(extract.load), (extract.folder / "header.xml").read_bytes(), path)


def read_waveforms(path: Path) -> tuple[Waveform, ...]:
    """What an ISMRMRD file keeps of pulse, breathing and so on, beside its lines.

    Raises
    ------
    StorageError
        No such file, or a damaged one.
    """
    from isocenter.storage.hdf5_guard import extracted

    try:
        with extracted(path, "") as extract:
            if extract.kind != "mrd" or not (extract.folder / "wave.npy").exists():
                return ()
            heads, lengths, values = (extract.load(name) for name in ("wave_heads", "wave_lengths", "wave"))
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.", "Check the name of the file.") from error
    found, start = [], 0
    for head, length in zip(heads, lengths.tolist(), strict=True):
        part, start = values[start : start + length], start + length
        shape = (int(head["channels"]), int(head["number_of_samples"]))
        if math.prod(shape) == length:
            wave = Waveform(
                samples=part.reshape(shape),
                start_s=float(head["time_stamp"]) * TIME_STAMP_S,
                dwell_s=float(head["sample_time_us"]) * 1e-6,
                kind_id=int(head["waveform_id"]),
            )
            found.append(wave)
    return tuple(found)


def _read_sealed(path: Path) -> RawScan:
    """A file of our own that is as it was written needs no precautions."""
    import h5py

    from isocenter.storage.foreign_mrd import read_mrd
    from isocenter.storage.hdf5_child import mrd_arrays, mrd_xml

    with h5py.File(path, "r", locking=False) as file:
        arrays, xml = mrd_arrays(file["dataset"]), mrd_xml(file["dataset"])
    return read_mrd(_table(arrays.__getitem__), xml, path)


def _table(load: Callable[[str], NDArray[Any]]) -> MrdTable:
    return MrdTable(
        heads=load("heads"),
        data=load("data"),
        data_lengths=load("data_lengths"),
        trajectory=load("traj"),
        trajectory_lengths=load("traj_lengths"),
    )


def is_bomb(n_bytes: int, n_packed: int) -> bool:
    """True for more than a gigabyte out of next to nothing: no measurement packs like that, but a trap does."""
    return n_bytes > _BOMB_BYTES and n_bytes > _BOMB_RATIO * max(n_packed, 1)


def _shape_text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _check_size(shape: tuple[int, ...], name: str) -> None:
    if not 0 < float(np.prod(np.array(shape, dtype=np.float64))) <= MAX_ELEMENTS:
        raise StorageError(f"The array '{name}' of {_shape_text(shape)} is empty or too large.", "Give another variable.")


def _complex64(array: NDArray[Any], name: str) -> KspaceArray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fciu":
        raise StorageError(f"'{name}' does not hold numbers.", "Give the variable that holds k-space.")
    _check_size(array.shape, name)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite and is refused below
        result = np.ascontiguousarray(array, dtype=np.complex64)
    if not np.all(np.isfinite(result)):
        raise StorageError(f"'{name}' contains values that are not finite numbers.", "Export the file again.")
    return result
