# SPDX-License-Identifier: MIT
"""Speed of appending to the raw file against ``ismrmrd.Dataset.append_acquisition``; correctness is checked first.

Run ``python tests/integration/storage/bench_append.py``. Ratios are of medians in one interleaved run. Ours forces every
batch to the disk before it goes on, ismrmrd's does not.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import ismrmrd
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "storage"))

import examples

from isocenter.storage.scan_folder import ScanFolder

N_LINES, N_SAMPLES, BATCH = 512, 640, 64


def write_ours(parent, scan, samples):
    """Seconds for appending all lines, batch by batch, and where they are."""
    folder = ScanFolder.create(parent, examples.make_request(), scan, b"")
    start = time.perf_counter()
    for row in range(0, len(samples), BATCH):
        folder.append(scan.readouts.slice(row, row + BATCH), samples[row : row + BATCH])
    took_s = time.perf_counter() - start
    folder.close()
    return took_s, folder.path / "raw.h5"


def write_theirs(path, samples):
    """Seconds for appending all lines one by one."""
    dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    rows = [ismrmrd.Acquisition.from_array(line[None]) for line in samples]
    start = time.perf_counter()
    for row in rows:
        dataset.append_acquisition(row)
    took_s = time.perf_counter() - start
    dataset.close()
    return took_s


def check(path, samples):
    """Raise unless ismrmrd reads back what was written."""
    dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=False)
    assert dataset.number_of_acquisitions() == len(samples)
    for row in range(0, len(samples), 37):
        np.testing.assert_array_equal(dataset.read_acquisition(row).data[0], samples[row])
    ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    dataset.close()


def bench(repeats=5):
    """Lines per second of both, and their ratio."""
    scan = examples.make_scan(N_LINES // 8, 8, N_SAMPLES)
    samples = examples.make_samples(scan)
    ours_s, theirs_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            took_s, path = write_ours(Path(folder) / "ours", scan, samples)
            if repeat == 0:
                check(path, samples)
            ours_s.append(took_s)
            theirs_s.append(write_theirs(Path(folder) / f"theirs{repeat}.h5", samples))
    ours, theirs = statistics.median(ours_s), statistics.median(theirs_s)
    return {"ours_lines_per_s": N_LINES / ours, "ismrmrd_lines_per_s": N_LINES / theirs, "ratio": theirs / ours}


if __name__ == "__main__":
    for name, value in bench().items():
        print(f"{name}: {value:.0f}")
