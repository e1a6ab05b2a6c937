# SPDX-License-Identifier: MIT
"""nmrglue reads Tecmag files as we do."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from isocenter.storage.tecmag import read_tecmag

spec = importlib.util.spec_from_file_location(
    "tecmag_file", Path(__file__).parents[2] / "unit" / "storage" / "tecmag_file.py"
)
tecmag_file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tecmag_file)


@pytest.mark.peer("python:nmrglue")
@pytest.mark.parametrize("shape", [(64,), (32, 24), (32, 24, 5), (16, 8, 3, 2)])
def test_nmrglue_reads_the_same(shape, tmp_path):
    import nmrglue

    rng = np.random.default_rng(7)
    array = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    path = tecmag_file.write_tecmag(tmp_path / "a.tnt", array, frequency_mhz=2.134567, dwell_s=3.2e-5)
    facts, data = nmrglue.fileio.tecmag.read(str(path))
    ours = read_tecmag(path)
    np.testing.assert_array_equal(np.squeeze(data), ours.samples)
    np.testing.assert_array_equal(np.squeeze(data), array)
    assert facts["dwell"][0] == ours.dwell_s
    assert facts["ob_freq"][0] * 1e6 == ours.frequency_hz
