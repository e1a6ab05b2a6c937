# SPDX-License-Identifier: MIT
"""One scan, one folder that explains itself without the program.

::

    003-t2-tse-axial/
    ├─ scan.json       what was asked, of whom, with which calibration and versions, and how it ended
    ├─ sequence.seq    the Pulseq file that was played
    ├─ raw.h5          the samples, ISMRMRD; whole at every moment; says nothing about who the patient is
    ├─ journal.jsonl   what happened, one line an event
    └─ images/         what was made of it
"""

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.scan import EndReason
from isocenter.storage.files import plain_words, sync_folder, write_atomic
from isocenter.storage.journal import Journal, now_iso
from isocenter.storage.mrd_file import RawWriter, create_raw_file
from isocenter.storage.mrd_header import SENSOR, make_header
from isocenter.storage.mrd_heads import make_heads
from isocenter.storage.mrd_lines import scan_trajectories
from isocenter.storage.record import ScanEnd, ScanRecord, ScanRequest, folder_name, make_record
from isocenter.storage.values import to_plain

RECORD, SEQUENCE, RAW, JOURNAL, IMAGES = "scan.json", "sequence.seq", "raw.h5", "journal.jsonl", "images"


class ScanFolder:
    """A scan that is being measured. Made by ``create``; one thread appends and remarks, any thread may note."""

    def __init__(self, path: Path, record: ScanRecord) -> None:
        self.path, self.record = path, record
        self._journal = Journal(path / JOURNAL)
        self._raw = RawWriter(path / RAW)
        self._remark = ""

    @classmethod
    def create(cls, parent: Path, request: ScanRequest, scan: CompiledScan, sequence: bytes) -> "ScanFolder":
        """Make the folder, with room for all samples. It appears under its name when it is complete, or not at all.

        Raises
        ------
        StorageError
            No room, no permission, or a scan that the format cannot hold; nothing is left behind.
        """
        record = make_record(request, scan)
        temporary = parent / f".new-{uuid.uuid4().hex}"
        try:
            with plain_words("make the scan's folder", parent):
                parent.mkdir(parents=True, exist_ok=True)
                temporary.mkdir()
                (temporary / IMAGES).mkdir()
            write_atomic(temporary / SEQUENCE, sequence)
            write_atomic(temporary / RECORD, encode(record))
            names = _channel_names(request, scan)
            heads = make_heads(scan, request.placement, len(names))
            trajectories = scan_trajectories(scan, heads, request.placement)
            create_raw_file(
                temporary / RAW, make_header(request, scan, names), heads, n_channels=len(names), trajectories=trajectories
            )
            journal = Journal(temporary / JOURNAL)
            journal.note("created", n_expected=len(scan.readouts), n_segments=len(scan.segments))
            journal.close()
            path = _move(temporary, parent / folder_name(record))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return cls(path, record)

    @property
    def n_readouts(self) -> int:
        """Readouts on the disk."""
        return self._raw.n_written

    def append(self, readouts: Readouts, samples: Sequence[NDArray[np.complex64]] | NDArray[np.complex64]) -> None:
        """Write the samples of the next readouts, in the order of the scan; when this returns they are on the disk.

        Raises
        ------
        StorageError
            When they cannot be written; what was written before stays readable.
        """
        if len(readouts) != len(samples):
            raise ValueError(f"{len(samples)} rows of samples for {len(readouts)} readouts")
        self._raw.append(samples)

    def replace(
        self, first: int, readouts: Readouts, samples: Sequence[NDArray[np.complex64]] | NDArray[np.complex64]
    ) -> None:
        """Write samples of readouts that are on the disk already, from number ``first`` on: they were measured again.

        Raises
        ------
        StorageError
            When they cannot be written; each line is then the old or the new one.
        """
        if len(readouts) != len(samples):
            raise ValueError(f"{len(samples)} rows of samples for {len(readouts)} readouts")
        self._raw.replace(first, samples)

    def note(self, event: str, **details: Any) -> None:
        """Add an event to the journal."""
        self._journal.note(event, **details)

    def remark(self, text: str) -> None:
        """What the record will say beside how the scan ended, in place of what it was to say before; empty for nothing."""
        self._remark = text

    def finish(self, reason: EndReason, note: str = "") -> None:
        """Say how the scan ended and close its files; calling it twice does no harm.

        Raises
        ------
        StorageError
            When this cannot be written; the samples are on the disk all the same.
        """
        if self.record.end is not None:
            return
        note = f"{note} {self._remark}".strip()
        end = ScanEnd(reason=reason, at=now_iso(), n_readouts=self.n_readouts, note=note)
        self.record = dataclasses.replace(self.record, end=end)
        try:
            self._journal.note("finished", reason=reason, n_readouts=self.n_readouts, note=note)
            write_atomic(self.path / RECORD, encode(self.record))
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the files without saying how the scan ended."""
        self._raw.close()
        self._journal.close()


def _channel_names(request: ScanRequest, scan: CompiledScan) -> tuple[str, ...]:
    """The coil, then the sensor of interference if the scan listens to one."""
    has_sensor = any("rx1_en" in segment.tracks for segment in scan.segments)
    return (request.scanner.receiver.coil_name, *([f"{SENSOR} 1"] if has_sensor else []))


def encode(record: ScanRecord) -> bytes:
    """``scan.json`` of a record."""
    return (json.dumps(to_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _move(temporary: Path, wanted: Path) -> Path:
    """Give a complete folder its name, or the next free one."""
    with plain_words("name the scan's folder", wanted.parent):
        for number in range(1, 10_000):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            if path.exists():
                continue
            with suppress(FileExistsError):
                os.rename(temporary, path)  # noqa: PTH104 - Path.replace would do the same but hides that this is the commit
                sync_folder(path.parent)
                return path
    raise StorageError(f"There are too many scans named {wanted.name} in {wanted.parent}.", "Choose another data folder.")
