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

N_LINES, N_SAMPLES = 1024, 640


def write_ours(parent, scan, samples, batch):
    """Seconds for appending all lines, batch by batch, and where they are."""
    folder = ScanFolder.create(parent, examples.make_request(), scan, b"")
    start = time.perf_counter()
    for row in range(0, len(samples), batch):
        folder.append(scan.readouts.slice(row, row + batch), samples[row : row + batch])
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
    """Lines per second of both, and their ratio; small batches wait for the disk more often."""
    scan = examples.make_scan(N_LINES // 8, 8, N_SAMPLES)
    samples = examples.make_samples(scan)
    bulk_s, small_s, theirs_s = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            took_s, path = write_ours(Path(folder) / "ours", scan, samples, 512)
            small_s.append(write_ours(Path(folder) / "ours", scan, samples, 64)[0])
            if repeat == 0:
                check(path, samples)
            bulk_s.append(took_s)
            theirs_s.append(write_theirs(Path(folder) / f"theirs{repeat}.h5", samples))
    bulk, small, theirs = (statistics.median(times) for times in (bulk_s, small_s, theirs_s))
    return {
        "lines_per_s": N_LINES / bulk,
        "lines_per_s_in_batches_of_64": N_LINES / small,
        "ismrmrd_lines_per_s": N_LINES / theirs,
        "ratio": theirs / bulk,
        "ratio_in_batches_of_64": theirs / small,
    }


if __name__ == "__main__":
    for name, value in bench().items():
        print(f"{name}: {value:.0f}")
