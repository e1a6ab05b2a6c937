# SPDX-License-Identifier: MIT
"""Appending readouts to the raw file, against ``ismrmrd.Dataset.append_acquisition``.

A batch is what one segment holds. ismrmrd never waits for the disk; ours does after every batch. So two things are measured:
the work itself, with the waiting taken out, and what a scan really waits, which is up to the disk.
"""

import sys
import tempfile
from itertools import count
from pathlib import Path

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, compare_timed, seconds
from isocenter.domain.events import CompiledScan
from isocenter.storage import mrd_file
from isocenter.storage.scan_folder import ScanFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "storage"))
import examples  # a small scan made by hand

N_LINES, N_SAMPLES = 1024, 640
BATCHES = ((16, False), (64, False), (16, True), (64, True), (512, True))
"""Readouts of a segment of one second, and whether the disk is waited for: turbo spin echo with trains of 8 and a
repetition time of 0.5 s, 3D gradient echoes with one of 15 ms and of 2 ms."""

Samples = NDArray[np.complex64]


def _write_ours(parent: Path, scan: CompiledScan, samples: Samples, batch: int, waits: bool) -> tuple[float, Path]:
    folder = ScanFolder.create(parent, examples.make_request(), scan, b"")

    def append() -> None:
        for row in range(0, len(samples), batch):
            folder.append(scan.readouts.slice(row, row + batch), samples[row : row + batch])

    sync = mrd_file._sync_data
    try:
        mrd_file._sync_data = sync if waits else lambda _: None
        took_s = seconds(append)
    finally:
        mrd_file._sync_data = sync
    folder.close()
    return took_s, folder.path / "raw.h5"


def _write_theirs(path: Path, samples: Samples) -> float:
    dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    rows = [ismrmrd.Acquisition.from_array(line[None]) for line in samples]

    def append() -> None:
        for row in rows:
            dataset.append_acquisition(row)

    took_s = seconds(append)
    dataset.close()
    return took_s


def _check(path: Path, samples: Samples) -> None:
    dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=False)
    assert dataset.number_of_acquisitions() == len(samples)
    for row in range(0, len(samples), 7):
        np.testing.assert_array_equal(dataset.read_acquisition(row).data[0], samples[row])
    ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    dataset.close()


def run() -> list[Row]:
    """1 024 readouts of 640 samples, in two sizes of segment."""
    scan = examples.make_scan(N_LINES // 8, 8, N_SAMPLES)
    samples = examples.make_samples(scan)
    rows, number = [], count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for batch, waits in BATCHES:
            _check(_write_ours(folder / "checked", scan, samples, batch, waits)[1], samples)
            rows.append(
                compare_timed(
                    f"ISMRMRD append, {batch} a segment{', on the disk' if waits else ''}",
                    lambda batch=batch, waits=waits: _write_ours(folder / "ours", scan, samples, batch, waits)[0],
                    "ismrmrd append_acquisition",
                    lambda: _write_theirs(folder / f"theirs{next(number)}.h5", samples),
                    target=50,
                    rounds=3,
                    checked="read back equal by ismrmrd; "
                    + ("only ours waits for the disk" if waits else "neither waits for the disk"),
                )
            )
    return rows
