# SPDX-License-Identifier: MIT
"""What was put right in a file of another console is said on the screen and in JSON."""

import importlib.util
import json
from pathlib import Path

import numpy as np

UNIT = Path(__file__).parents[2] / "unit" / "storage"


def load(name):
    spec = importlib.util.spec_from_file_location(name, UNIT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notes_of_an_ismrmrd_file(isocenter, tmp_path):
    files = load("test_foreign_mrd_wrong")
    files.write(tmp_path / "a.h5", field=files.FIELD_T * 1e6, frequency=int(files.LO_HZ * 1e6))
    done = isocenter("reconstruct", tmp_path / "a.h5", "--out", tmp_path / "out")
    assert done.code == 0
    assert "Note: The header's frequency of 2.1e+12 Hz cannot be right; read as 2.1 MHz." in done.out
    done = isocenter("reconstruct", tmp_path / "a.h5", "--out", tmp_path / "out", "--json")
    assert len(json.loads(done.out)["warnings"]) == 2


def test_a_tecmag_file_that_was_cut_off(isocenter, tmp_path):
    files = load("tecmag_file")
    k = np.zeros((32, 24), "c8")
    x, y = np.meshgrid(np.arange(32) - 16, np.arange(24) - 12, indexing="ij")
    k += np.sinc(x / 4) * np.sinc(y / 3)
    path = files.write_tecmag(tmp_path / "a.tnt", k)
    path.write_bytes(path.read_bytes()[: -(2048 + 100 + 12)])
    done = isocenter("reconstruct", path, "--out", tmp_path / "out")
    assert done.code == 0
    assert "samples are missing at the end of a.tnt" in done.out
    picture = np.load(tmp_path / "out" / "a.npy")
    assert picture.shape == (1, 32, 24)
