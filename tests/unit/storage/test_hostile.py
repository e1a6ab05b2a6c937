# SPDX-License-Identifier: MIT
"""Files that somebody broke, at random but repeatably: an answer or a StorageError, nothing else, and little memory."""

import contextlib
import importlib.util
import re
import tracemalloc
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import scipy.io

from isocenter.domain.errors import StorageError
from isocenter.storage.foreign import _table, read_any
from isocenter.storage.foreign_mrd import read_mrd
from isocenter.storage.hdf5_child import mrd_arrays, mrd_xml

HERE = Path(__file__).parent
ARRAY = (np.arange(16 * 12 * 5) * (1 + 0.5j)).reshape(16, 12, 5).astype(np.complex64)
XML = b"""<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <acquisitionSystemInformation><systemFieldStrength_T>0.05</systemFieldStrength_T></acquisitionSystemInformation>
 <experimentalConditions><H1resonanceFrequency_Hz>2100000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding><encodedSpace><matrixSize><x>24</x><y>16</y><z>1</z></matrixSize>
  <fieldOfView_mm><x>200</x><y>160</y><z>5</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>24</x><y>16</y><z>1</z></matrixSize>
  <fieldOfView_mm><x>200</x><y>160</y><z>5</z></fieldOfView_mm></reconSpace><trajectory>cartesian</trajectory>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>15</maximum><center>8</center>
  </kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def write_tecmag(path):
    spec = importlib.util.spec_from_file_location("tecmag_file", HERE / "tecmag_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_tecmag(path, ARRAY)


WRITERS = {
    "a.tnt": write_tecmag,
    "a.mat": lambda path: scipy.io.savemat(path, {"kspace": ARRAY}),
    "packed.mat": lambda path: scipy.io.savemat(path, {"kspace": ARRAY}, do_compression=True),
    "a.npz": lambda path: np.savez(path, kspace=ARRAY),
    "a.npy": lambda path: np.save(path, ARRAY),
}


def broken(content, rng):
    """The content cut off, with some bytes changed, or with a number that is much too large."""
    kind, content = rng.integers(4), bytearray(content)
    if kind == 0:
        return bytes(content[: rng.integers(len(content))])
    if kind == 1:
        for index in rng.integers(0, len(content), rng.integers(1, 40)):
            content[index] = rng.integers(256)
    elif kind == 2:
        index = int(rng.integers(len(content) - 8))
        content[index : index + 8] = b"\xff" * 8
    else:
        index = int(rng.integers(min(len(content), 400) - 4))
        content[index : index + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("name", list(WRITERS))
def test_broken_files(name, tmp_path):
    WRITERS[name](tmp_path / name)
    content, rng = (tmp_path / name).read_bytes(), np.random.default_rng(21)
    n_refused = 0
    tracemalloc.start()
    for _ in range(150):
        (tmp_path / "broken").write_bytes(broken(content, rng))
        try:
            found = read_any(tmp_path / "broken", "kspace" if "mat" in name or "npz" in name else "")
        except StorageError:
            n_refused += 1
        else:
            assert np.all(np.isfinite(found.data))
    assert tracemalloc.get_traced_memory()[1] < 2**30
    tracemalloc.stop()
    assert 10 < n_refused < 150


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("mrd") / "a.h5"
    data = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    data.write_xml_header(XML)
    rng = np.random.default_rng(22)
    for lin in range(16):
        k = np.stack([np.arange(24) - 12, np.full(24, lin - 8)], axis=1).astype("f4")
        row = ismrmrd.Acquisition.from_array((rng.normal(size=(1, 24)) + 0j).astype("c8"), trajectory=k)
        row.idx.kspace_encode_step_1, row.center_sample, row.sample_time_us = lin, 12, 10
        data.append_acquisition(row)
    data.close()
    with h5py.File(path) as file:
        return mrd_arrays(file["dataset"]), mrd_xml(file["dataset"])


def test_broken_lines_and_headers(table):
    arrays, xml = table
    rng, n_refused, n_warned = np.random.default_rng(23), 0, 0
    for _ in range(250):
        found, text = {name: array.copy() for name, array in arrays.items()}, bytearray(xml)
        for _ in range(rng.integers(1, 4)):
            spoil(found, text, rng)
        try:
            raw = read_mrd(_table(found.__getitem__), bytes(text), Path("a.h5"))
        except StorageError:
            n_refused += 1
        else:
            assert np.all(np.isfinite(raw.samples))
            assert all(len(values) == len(raw.samples) for values in raw.labels.values())
            n_warned += bool(raw.warnings)
    assert n_refused > 15
    assert n_warned > 30


def spoil(arrays, text, rng):
    kind = rng.integers(5)
    if kind == 0:  # one byte of one head, or of all
        heads = arrays["heads"].view(np.uint8).reshape(len(arrays["heads"]), -1)
        heads[slice(None) if rng.random() < 0.5 else rng.integers(len(heads)), rng.integers(heads.shape[1])] = rng.integers(
            256
        )
    elif kind in {1, 2}:
        values = arrays["data" if kind == 1 else "traj"].view(np.uint8)
        values[rng.integers(0, len(values), 5)] = rng.integers(0, 256, 5)
    elif kind == 3:
        text[rng.integers(len(text))] = rng.integers(32, 127)
    elif numbers := list(re.finditer(rb">[\d.]+<", bytes(text))):
        at = numbers[rng.integers(len(numbers))]
        text[at.start() + 1 : at.end() - 1] = str(rng.choice([0, -1, 1e30, 1e-30, 7, 65_535, 99_999, 3.5])).encode()


def test_lengths_that_do_not_fit_are_told(table):
    arrays, xml = table
    found = {name: array.copy() for name, array in arrays.items()}
    found["heads"]["number_of_samples"][3] = 65_535
    found["heads"]["active_channels"][3] = 7
    raw = read_mrd(_table(found.__getitem__), xml, Path("a.h5"))
    assert raw.warnings == ("1 lines hold less or more than they claim, and are left out.",)
    assert len(raw.samples) == 15


def test_header_that_would_explode_is_refused(table):
    arrays, _ = table
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><ismrmrdHeader>&c;</ismrmrdHeader>'
    with pytest.raises(StorageError, match=r"defines entities"):
        read_mrd(_table(arrays.__getitem__), bomb, Path("a.h5"))


def test_an_archive_that_would_explode_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("isocenter.storage.foreign._BOMB_BYTES", 2**20)  # one of a gigabyte takes long to write
    np.savez_compressed(tmp_path / "a.npz", kspace=np.zeros(2**18, "c8"))
    with pytest.raises(StorageError, match=r"larger than this program reads"):
        read_any(tmp_path / "a.npz")
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": np.zeros((2**9, 2**9), "c8")}, do_compression=True)
    with pytest.raises(StorageError, match=r"larger than it can be"):
        read_any(tmp_path / "a.mat")


def test_hdf5_that_ends_its_library_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = ARRAY
    monkeypatch.setattr("isocenter.storage.hdf5_guard._TIMES_FILE", 0)
    monkeypatch.setattr("isocenter.storage.hdf5_guard._OWN_BYTES", 2**24)  # not even enough to start
    with pytest.raises(StorageError, match=r"damaged, or not what it claims[\s\S]*Copy or export"):
        read_any(path)


def test_hdf5_that_keeps_its_library_busy_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = ARRAY
    monkeypatch.setattr("isocenter.storage.hdf5_guard._START_S", 0.001)
    with pytest.raises(StorageError, match=r"reading it never ended"):
        read_any(path)


def test_a_claim_of_gigabytes_in_a_small_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", shape=(2**15, 2**14), dtype="c8", chunks=(64, 64))  # 4 GB of nothing
    with pytest.raises(StorageError, match=r"damaged, or not what it claims[\s\S]*Memory"):
        read_any(path)


@pytest.mark.slow
def test_many_broken_hdf5_files(tmp_path, table):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = ARRAY
    content, rng = path.read_bytes(), np.random.default_rng(24)
    for _ in range(300):
        path.write_bytes(broken(content, rng))
        with contextlib.suppress(StorageError):
            read_any(path)
