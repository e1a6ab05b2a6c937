# SPDX-License-Identifier: MIT
"""Tecmag files: whole, cut off, damaged. The peer test is in tests/integration/storage."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.errors import StorageError
from isocenter.storage.foreign import read_any, read_foreign
from isocenter.storage.tecmag import read_tecmag

spec = importlib.util.spec_from_file_location("tecmag_file", Path(__file__).with_name("tecmag_file.py"))
tecmag_file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tecmag_file)

RNG = np.random.default_rng(6)
ARRAY = (RNG.normal(size=(16, 12, 5)) + 1j * RNG.normal(size=(16, 12, 5))).astype(np.complex64)


def test_samples_sizes_and_times_arrive(tmp_path):
    path = tecmag_file.write_tecmag(tmp_path / "a.tnt", ARRAY)
    found = read_tecmag(path)
    np.testing.assert_array_equal(found.samples, ARRAY)
    assert (found.dwell_s, found.frequency_hz, found.n_missing) == (5e-5, 2.1e6, 0)
    assert read_any(path).warnings == ()
    np.testing.assert_array_equal(read_foreign(path), ARRAY)


def test_axes_of_length_one_are_left_out(tmp_path):
    np.testing.assert_array_equal(read_foreign(tecmag_file.write_tecmag(tmp_path / "a.tnt", ARRAY[:, :1])), ARRAY[:, 0])
    assert read_foreign(tecmag_file.write_tecmag(tmp_path / "b.tnt", ARRAY[:, 0, 0])).shape == (16,)


def test_a_file_that_was_cut_off_keeps_what_it_has_and_says_so(tmp_path):
    path = tecmag_file.write_tecmag(tmp_path / "a.tnt", ARRAY)
    content = path.read_bytes()
    data_at = content.index(b"DATA") + 12
    path.write_bytes(content[: data_at + 8 * 500 + 3])
    found = read_any(path)
    flat = found.data.ravel(order="F")
    np.testing.assert_array_equal(flat[:500], ARRAY.ravel(order="F")[:500])
    assert not np.any(flat[500:])
    assert found.warnings == ("460 of 960 samples are missing at the end of a.tnt; they are taken as zero.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c[:8], "it holds no data"),
        (lambda c: c[:600], "description is too short|holds no data"),
        (lambda c: c.replace(b"TMAG", b"XXXX"), "before their description"),
        (lambda c: c.replace(b"DATA", b"XXXX"), "it holds no data"),
        (lambda c: c[:36] + struct.pack("<4i", 0, 12, 5, 1) + c[52:], "claims 0 x 12 x 5 x 1"),
        (lambda c: c[:36] + struct.pack("<4i", 2**30, 2**30, 2**30, 9) + c[52:], r"claims \d+ points"),
        (lambda c: c[:36] + struct.pack("<4i", -5, 12, 5, 1) + c[52:], "claims -5"),
        (lambda c: c[:36] + struct.pack("<4i", 4096, 4096, 4, 1) + c[52:], "claims 67108864 points and holds 960"),
    ],
)
def test_damaged_files_are_refused_in_words(change, said, tmp_path):
    path = tecmag_file.write_tecmag(tmp_path / "a.tnt", ARRAY)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StorageError, match=rf"damaged, or not what it claims[\s\S]*({said})"):
        read_foreign(path)
