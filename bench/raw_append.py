# SPDX-License-Identifier: MIT
"""Appending readouts to the raw file, against ``ismrmrd.Dataset.append_acquisition``.

Ours forces every batch to the disk before it goes on, ismrmrd's does not. A batch is what one segment holds.
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
from isocenter.storage.scan_folder import ScanFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "storage"))
import examples  # a small scan made by hand

N_LINES, N_SAMPLES = 1024, 640
BATCHES = {16: "a segment of 16 readouts", 64: "a segment of 64 readouts", 512: "a segment of 512 readouts"}
"""Readouts of a second: a turbo spin echo with trains of 8 and a repetition time of 0.5 s; a 3D gradient echo with one of
15 ms; one of 2 ms."""

Samples = NDArray[np.complex64]


def _write_ours(parent: Path, scan: CompiledScan, samples: Samples, batch: int) -> tuple[float, Path]:
    folder = ScanFolder.create(parent, examples.make_request(), scan, b"")

    def append() -> None:
        for row in range(0, len(samples), batch):
            folder.append(scan.readouts.slice(row, row + batch), samples[row : row + batch])

    took_s = seconds(append)
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
        for batch, what in BATCHES.items():
            _check(_write_ours(folder / "checked", scan, samples, batch)[1], samples)
            rows.append(
                compare_timed(
                    f"ISMRMRD append, {what}",
                    lambda batch=batch: _write_ours(folder / "ours", scan, samples, batch)[0],
                    "ismrmrd append_acquisition",
                    lambda: _write_theirs(folder / f"theirs{next(number)}.h5", samples),
                    target=50,
                    checked="read back equal by ismrmrd; ours is on the disk after every batch",
                )
            )
    return rows
