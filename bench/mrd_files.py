# SPDX-License-Identifier: MIT
"""Writing and reading whole ISMRMRD files, against ``ismrmrd.Dataset``: the same lines, the same heads, cpu time.

Theirs is what programs use: ``append_acquisition`` and ``read_acquisition``, line by line. Neither waits for the disk. Ours
also makes the heads, the header and a checksum.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from unittest import mock

import ismrmrd
import numpy as np

from bench.measure import Row, compare_timed
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.storage.foreign import read_foreign
from isocenter.storage.mrd_write import write_mrd

N_LIN, N_PAR, N_SAMPLES = 64, 64, 640
ROUNDS = 3
THEIR_LINES = 1024
"""Theirs takes so long that a quarter is measured, and its time multiplied by four."""


def make_raw() -> RawScan:
    """A 3D scan of noise."""
    rng, n = np.random.default_rng(1), N_LIN * N_PAR
    samples = (rng.normal(size=(n, 1, N_SAMPLES)) + 1j * rng.normal(size=(n, 1, N_SAMPLES))).astype(np.complex64)
    encoding = Encoding(
        step_read_per_m=np.array([5.0, 0, 0]),
        step_lin_per_m=np.array([0, 5.0, 0]),
        step_par_per_m=np.array([0, 0, 5.0]),
        centre_sample=N_SAMPLES / 2,
        centre_lin=N_LIN / 2,
        centre_par=N_PAR / 2,
        n_samples=N_SAMPLES,
        n_lin=N_LIN,
        n_par=N_PAR,
        slice_positions_m=np.zeros(0),
        slice_normal_device=np.zeros(3),
        slice_thickness_m=0.0,
        centre_device_m=np.zeros(3),
    )
    lin, par = np.tile(np.arange(N_LIN), N_PAR), np.repeat(np.arange(N_PAR), N_LIN)
    return RawScan(
        samples=samples,
        labels={"LIN": lin.astype(np.int32), "PAR": par.astype(np.int32)},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=encoding,
        placement=Placement(),
        facts=None,
        n_expected=n,
        name="bench",
        time_s=0.01 * np.arange(n),
    )


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _write_theirs(path: Path, rows: list[ismrmrd.Acquisition]) -> None:
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as dataset:
        for row in rows:
            dataset.append_acquisition(row)


def _read_theirs(path: Path) -> None:
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        for number in range(THEIR_LINES):
            dataset.read_acquisition(number)


def _check(path: Path, raw: RawScan) -> None:
    """Every seventh line reads back equal by ismrmrd, the header is valid, and ours gives everything back."""
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as dataset:
        assert dataset.number_of_acquisitions() == len(raw.samples)
        for row in range(0, len(raw.samples), 7):
            line = dataset.read_acquisition(row)
            np.testing.assert_array_equal(line.data, raw.samples[row])
            assert line.idx.kspace_encode_step_1 == raw.labels["LIN"][row]
            assert line.idx.kspace_encode_step_2 == raw.labels["PAR"][row]
        ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    again = read_foreign(path)
    assert isinstance(again, RawScan)
    np.testing.assert_array_equal(again.samples, raw.samples)
    np.testing.assert_array_equal(again.labels["PAR"], raw.labels["PAR"])


def run() -> list[Row]:
    """4 096 lines of 640 samples, 21 MB; figures for a line."""
    raw = make_raw()
    rows = [ismrmrd.Acquisition.from_array(line) for line in raw.samples[:THEIR_LINES]]
    share = THEIR_LINES / len(raw.samples)
    number = count()
    with tempfile.TemporaryDirectory() as name, mock.patch("os.fsync"):  # theirs does not wait for the disk
        folder = Path(name)
        path = folder / "ours.h5"
        write_mrd(raw, path)
        _check(path, raw)
        _write_theirs(folder / "theirs.h5", rows)
        written = compare_timed(
            "ISMRMRD write, 4 096 lines of 640",
            lambda: _cpu_s(lambda: write_mrd(raw, folder / f"ours{next(number)}.h5")),
            "ismrmrd append_acquisition",
            lambda: _cpu_s(lambda: _write_theirs(folder / f"theirs{next(number)}.h5", rows)) / share,
            target=100,
            rounds=ROUNDS,
            checked="read back equal by ismrmrd, header valid; cpu time, neither waits for the disk, theirs on a quarter",
        )
        read = compare_timed(
            "ISMRMRD read, 4 096 lines of 640",
            lambda: _cpu_s(lambda: read_foreign(path)),
            "ismrmrd read_acquisition",
            lambda: _cpu_s(lambda: _read_theirs(folder / "theirs.h5")) / share,
            target=100,
            rounds=ROUNDS,
            checked="the scan that was written comes back equal; cpu time, theirs on a quarter",
        )
    return [written, read]
