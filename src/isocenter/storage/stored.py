# SPDX-License-Identifier: MIT
"""Scans as they lie on the disk: finished, cut short, or left behind by a crash."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import EndReason
from isocenter.storage.files import plain_words, write_atomic
from isocenter.storage.journal import Journal, mend_journal, now_iso, read_journal
from isocenter.storage.mrd_lines import evolution_s_of, labels_of, square_moments_of, times_s, trajectory_of_file
from isocenter.storage.mrd_quick import read_quickly
from isocenter.storage.oscillator import drift_hz, lo_shift_hz
from isocenter.storage.record import ScanEnd, ScanRecord
from isocenter.storage.scan_folder import IMAGES, JOURNAL, RAW, RECORD, SEQUENCE, encode
from isocenter.storage.values import from_plain

KINDS = ("imaging", "noise", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScan:
    """A scan's folder, opened for reading.

    Attributes
    ----------
    path
        The folder.
    record
        What ``scan.json`` says.
    n_readouts
        Readouts that can be read.
    """

    path: Path
    record: ScanRecord
    n_readouts: int

    @property
    def was_interrupted(self) -> bool:
        """True when nothing says how it ended: it is still running, or the program died."""
        return self.record.end is None

    @property
    def is_complete(self) -> bool:
        """True when every readout is there."""
        return self.n_readouts >= self.record.compiled.n_expected

    @property
    def images(self) -> Path:
        """Folder for what is made of the scan."""
        return self.path / IMAGES

    @property
    def sequence(self) -> Path:
        """The Pulseq file that was played."""
        return self.path / SEQUENCE

    def journal(self) -> list[dict[str, Any]]:
        """What happened, in order."""
        return read_journal(self.path / JOURNAL)


def open_scan(path: Path) -> StoredScan:
    """Open a scan's folder; changes nothing in it.

    Raises
    ------
    StorageError
        When it is no scan, or its files cannot be read.
    """
    record = _read_record(path)
    with _opened(path / RAW) as file:
        n_readouts = len(file["dataset/data"])
    return StoredScan(path=path, record=record, n_readouts=n_readouts)


def find_scans(parent: Path) -> list[Path]:
    """Folders in ``parent`` that hold a scan, in order of their names."""
    return sorted(path.parent for path in parent.glob("*/" + RECORD) if not path.parent.name.startswith("."))


def read_raw(path: Path, kind: str = "imaging") -> RawScan:
    """Samples of a scan's folder with everything that a reconstruction needs.

    Parameters
    ----------
    path
        A scan's folder, or the ``raw.h5`` in it.
    kind
        ``imaging``: readouts without noise and navigators, of the encoding's length. ``noise``: those labelled NOISE.
        ``all``: every one, of the most frequent length.

    Raises
    ------
    StorageError
        When it cannot be read.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {KINDS}")
    folder = path.parent if path.name == RAW else path
    record = _read_record(folder)
    compiled = record.compiled
    heads, data, trajectories = _read_rows(folder / RAW)
    labels = labels_of(heads, compiled.labels)
    special = np.zeros(len(heads), dtype=bool)
    for name in ("NOISE", "NAV"):
        special |= labels.get(name, np.zeros(len(heads), np.int32)) != 0
    chosen = {"imaging": ~special, "noise": labels.get("NOISE", np.zeros(len(heads))) != 0, "all": ~special | True}[kind]
    if kind == "imaging" and not chosen.any():
        chosen[:] = True
    lengths = heads["number_of_samples"]
    length = _length(lengths[chosen], compiled.encoding.n_samples if compiled.encoding and kind == "imaging" else 0)
    chosen &= lengths == length
    samples = _stack(data, chosen, length)
    lines = heads if chosen.all() else heads[chosen]
    is_noise = labels.get("NOISE", np.zeros(len(heads), np.int32)) != 0
    # What was not measured cannot say whether it would be an image line; the share of those measured tells.
    left_out = len(heads) - int(chosen.sum())
    return RawScan(
        samples=samples,
        labels={name: values[chosen] for name, values in labels.items()},
        dwell_s=float(np.median(lines["sample_time_us"].astype(np.float64))) * 1e-6 if len(lines) else float("nan"),
        lo_hz=compiled.lo_hz,
        encoding=compiled.encoding,
        placement=record.request.placement,
        facts=compiled.facts,
        definitions=compiled.definitions,
        n_expected=max(compiled.n_expected - left_out, len(samples)),
        name=record.request.protocol.name,
        time_s=times_s(lines),
        evolution_s=evolution_s_of(lines),
        square_moments_per_m2=square_moments_of(lines, compiled.labels),
        trajectory_per_m=_trajectory(lines, trajectories, chosen, length, record.request.placement),
        noise=_noise(heads, data, is_noise, length) if kind == "imaging" else None,
        sensor_channels=tuple(range(1, samples.shape[1])),  # the coil's channel is the first
        lo_shift_hz=lo_shift_hz(folder / JOURNAL, compiled.lo_hz, chosen),
        drift_hz=drift_hz(folder / JOURNAL, times_s(heads), chosen),
    )


def recover(folder: Path) -> StoredScan:
    """Close a scan that a crash left behind: what was measured stays, its end is written down. Others stay as they are.

    Raises
    ------
    StorageError
        When the scan is still being written by another program, or cannot be read.
    """
    stored = open_scan(folder)
    if not stored.was_interrupted:
        return stored
    journal = Journal(folder / JOURNAL)  # refuses while the scan still runs
    try:
        mend_journal(folder / JOURNAL)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        stored = open_scan(folder)
        note = "The program ended during the scan."
        end = ScanEnd(reason=EndReason.FAILED, at=now_iso(), n_readouts=stored.n_readouts, note=note)
        record = dataclasses.replace(stored.record, end=end)
        journal.note("recovered", n_readouts=stored.n_readouts, n_expected=record.compiled.n_expected)
        write_atomic(folder / RECORD, encode(record))
    finally:
        journal.close()
    return dataclasses.replace(stored, record=record)


def _read_record(folder: Path) -> ScanRecord:
    path = folder / RECORD
    with plain_words("read the scan", path):
        content = path.read_bytes()
    try:
        plain = json.loads(content)
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}.", "Restore it from a copy; raw.h5 beside it is whole.") from error
    return from_plain(ScanRecord, plain, path.name)


def _opened(path: Path) -> Any:
    import h5py

    with plain_words("read the raw data", path):
        if not path.exists():
            raise FileNotFoundError(2, "missing", str(path))
        return h5py.File(path, "r", locking=False)


def _read_rows(path: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Heads of all lines that were measured, their samples and their trajectories.

    Samples are rows of one array, or objects where lines differ; trajectories are objects, or None without any.
    """
    quick = read_quickly(path) if path.exists() else None
    if quick is not None:
        return quick[0], quick[1], None
    with _opened(path) as file:
        rows = file["dataset/data"][:]
    return rows["head"], rows["data"], rows["traj"]


def _trajectory(
    heads: NDArray[Any], rows: NDArray[Any] | None, chosen: NDArray[np.bool_], n_samples: int, placement: Placement
) -> NDArray[np.float32] | None:
    """Of the chosen lines, NaN for those that have none (navigators); None when no line has one."""
    found = np.flatnonzero(heads["trajectory_dimensions"] == 3)
    if len(found) == 0 or rows is None:
        return None
    values = np.concatenate(rows[chosen][found].tolist()).reshape(len(found), n_samples, 3)
    k_per_m = np.full((len(heads), n_samples, 3), np.nan, dtype=np.float32)
    k_per_m[found] = trajectory_of_file(values, heads[found[0]], placement)
    return k_per_m


def _length(lengths: NDArray[Any], wanted: int) -> int:
    if len(lengths) == 0:
        return wanted
    return wanted if np.any(lengths == wanted) else int(np.bincount(lengths).argmax())


def _noise(
    heads: NDArray[Any], data: NDArray[Any], is_noise: NDArray[np.bool_], wanted: int
) -> NDArray[np.complex64] | None:
    """The scan's noise readouts, those as long as its others where there are such; None without any."""
    if not is_noise.any():
        return None
    length = _length(heads["number_of_samples"][is_noise], wanted)
    return _stack(data, is_noise & (heads["number_of_samples"] == length), length)


def _stack(data: NDArray[Any], chosen: NDArray[np.bool_], n_samples: int) -> NDArray[np.complex64]:
    rows = data if chosen.all() else data[chosen]
    if len(rows) == 0:
        return np.zeros((0, 1, n_samples), dtype=np.complex64)
    stacked = np.stack(rows.tolist()) if rows.dtype == object else rows
    return stacked.view(np.complex64).reshape(len(rows), -1, n_samples)
