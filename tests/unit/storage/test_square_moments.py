# SPDX-License-Identifier: MIT
"""What the gradients' squares left behind is kept in raw files, where there is room for it."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.scan import EndReason
from isocenter.storage.foreign import read_foreign
from isocenter.storage.mrd_write import write_mrd
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw


@pytest.fixture
def moments():
    return np.random.default_rng(0).uniform(-300, 300, (24, 6)).astype(np.float32)


def stored(examples, tmp_path, moments, extra=()):
    readouts = examples.make_readouts(8, 3, 16, extra=extra)
    scan = replace(examples.make_scan(readouts=readouts), square_moments_per_m2=moments)
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    folder.append(readouts, examples.make_samples(scan))
    folder.finish(EndReason.COMPLETED)
    return folder


def test_a_scan_folder_and_a_file_of_its_own_keep_them(examples, tmp_path, moments):
    folder = stored(examples, tmp_path, moments, extra={"NAV": np.arange(24) % 8 == 7}.items())
    raw = read_raw(folder.path)
    np.testing.assert_allclose(raw.square_moments_per_m2, moments[np.arange(24) % 8 != 7], atol=6e-4)
    np.testing.assert_allclose(read_foreign(folder.path / "raw.h5").square_moments_per_m2, raw.square_moments_per_m2)
    write_mrd(raw, tmp_path / "copy.h5")
    np.testing.assert_allclose(
        read_foreign(tmp_path / "copy.h5").square_moments_per_m2, raw.square_moments_per_m2, atol=6e-4
    )


def test_a_scan_that_does_not_know_them_or_has_no_room_says_nothing(examples, tmp_path, moments):
    assert len(read_raw(stored(examples, tmp_path / "a", moments[:0]).path).square_moments_per_m2) == 0
    extra = {name: np.arange(24) for name in ("ACQ", "TRID", "ONCE", "PMC", "NOPOS", "NOROT")}
    raw = read_raw(stored(examples, tmp_path / "b", moments, extra=extra.items()).path)
    assert len(raw.square_moments_per_m2) == 0
    np.testing.assert_array_equal(raw.label("TRID"), np.arange(24))
