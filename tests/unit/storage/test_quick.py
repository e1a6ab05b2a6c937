# SPDX-License-Identifier: MIT
"""The short way into a raw file gives what HDF5 gives, or leaves it to HDF5."""

import dataclasses

import h5py
import numpy as np
import pytest

from isocenter.domain.scan import EndReason
from isocenter.storage.mrd_quick import read_quickly
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw


def write(examples, parent, scan, samples, n_written=None):
    folder = ScanFolder.create(parent, examples.make_request(), scan, examples.SEQUENCE)
    n_written = len(samples) if n_written is None else n_written
    folder.append(scan.readouts.slice(0, n_written), samples[:n_written])
    folder.finish(EndReason.COMPLETED)
    folder.close()
    return folder.path


def by_hdf5(path):
    with h5py.File(path / "raw.h5") as file:
        return file["dataset/data"][:]


@pytest.mark.parametrize("size", [(8, 3, 32), (5, 2, 31), (1, 1, 7), (40, 6, 640), (3, 2, 1), (64, 4, 3)])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_lines_are_those_that_hdf5_reads(size, share, examples, tmp_path):
    scan = examples.make_scan(*size)
    samples = examples.make_samples(scan)
    path = write(examples, tmp_path, scan, samples, max(int(share * len(samples)), 1))
    heads, data = read_quickly(path / "raw.h5")
    rows = by_hdf5(path)
    assert heads.tobytes() == rows["head"].tobytes()
    np.testing.assert_array_equal(data, np.stack(rows["data"].tolist()))
    np.testing.assert_array_equal(read_raw(path).samples[:, 0], samples[: len(rows)])


def test_lines_of_different_lengths_are_left_to_hdf5(examples, tmp_path):
    scan = examples.make_scan(8, 1, 32)
    lengths = np.full(8, 32, dtype=np.int32)
    lengths[3] = 16
    readouts = dataclasses.replace(scan.readouts, n_samples=lengths)
    scan = dataclasses.replace(scan, readouts=readouts, segments=(dataclasses.replace(scan.segments[0], readouts=readouts),))
    full = examples.make_samples(scan)
    path = write(examples, tmp_path, scan, [row[:n] for row, n in zip(full, lengths, strict=True)])
    assert read_quickly(path / "raw.h5") is None
    assert len(read_raw(path).samples) == 7


def test_an_empty_file_is_left_to_hdf5(examples, tmp_path):
    scan = examples.make_scan(8, 1, 32)
    path = write(examples, tmp_path, scan, examples.make_samples(scan), 0)
    assert read_quickly(path / "raw.h5") is None


def test_damage_is_never_taken_for_samples(examples, tmp_path):
    # A heap object's header that says another number or size: the short way gives up.
    scan = examples.make_scan(16, 2, 32)
    path = write(examples, tmp_path, scan, examples.make_samples(scan)) / "raw.h5"
    content = bytearray(path.read_bytes())
    samples = np.ascontiguousarray(examples.make_samples(scan)[5])
    at = bytes(content).find(samples.tobytes()) - 16
    assert at > 0
    for offset in (0, 8):
        damaged = bytearray(content)
        damaged[at + offset] ^= 0x55
        path.write_bytes(damaged)
        assert read_quickly(path) is None
