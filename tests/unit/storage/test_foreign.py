# SPDX-License-Identifier: MIT
"""Files of other programs, sound and broken."""

import contextlib
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import scipy.io

from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import EndReason
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.foreign import read_foreign
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw

ULF = Path(__file__).resolve().parents[2] / "golden" / "ulf"
RNG = np.random.default_rng(3)
ARRAY = (RNG.normal(size=(6, 5, 2)) + 1j * RNG.normal(size=(6, 5, 2))).astype(np.complex64)


@pytest.fixture(autouse=True)
def safe_files_here(request):
    """Only files that might end the HDF5 library are worth a process."""
    if not any(word in request.node.name for word in ("damaged", "truncated", "other_files")):
        request.getfixturevalue("hdf5_here")


def save_73(path, arrays):
    """As MATLAB 7.3 writes it: a text block, reversed axes, complex as a compound type (MAT-file format 7.3)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            kind = np.dtype([("real", "<f8"), ("imag", "<f8")])
            stored = np.zeros(array.shape[::-1], dtype=kind)
            stored["real"], stored["imag"] = array.T.real, array.T.imag
            file.create_dataset(name, data=stored).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


WRITERS = {
    "five.mat": lambda path: scipy.io.savemat(path, {"kspace": ARRAY, "text": "words", "TR": 0.5}),
    "five_compressed.mat": lambda path: scipy.io.savemat(path, {"kspace": ARRAY}, do_compression=True),
    "seven.mat": lambda path: save_73(path, {"kspace": ARRAY}),
    "array.npz": lambda path: np.savez(path, kspace=ARRAY, other=np.ones(3)),
    "plain.h5": lambda path: h5py.File(path, "w").create_dataset("kspace", data=ARRAY).file.close(),
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_arrays_arrive_whole_and_in_single_precision(name, tmp_path):
    WRITERS[name](tmp_path / name)
    found = read_foreign(tmp_path / name, "kspace")
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, ARRAY, rtol=1e-6)


def test_npy_and_single_variables_need_no_name(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    np.testing.assert_array_equal(read_foreign(tmp_path / "a.npy"), ARRAY)
    np.savez(tmp_path / "a.npz", only=ARRAY)
    np.testing.assert_array_equal(read_foreign(tmp_path / "a.npz"), ARRAY)
    assert read_foreign(ULF / "flair_kspace.mat").shape == (128, 126, 4)


def test_matlab_73_cells_structures_and_text(tmp_path):
    """As MATLAB lays them out: cells and structure arrays are references into #refs#, text is numbers of class char."""
    path = tmp_path / "a.mat"
    save_73(path, {"other": ARRAY})
    cells = [ARRAY, 2 * ARRAY]
    with h5py.File(path, "r+") as file:
        kind = file["other"].dtype
        refs = file.create_group("#refs#")
        references = np.empty((2, 1), h5py.ref_dtype)
        for number, cell in enumerate(cells):
            stored = np.zeros(cell.shape[::-1], kind)
            stored["real"], stored["imag"] = cell.T.real, cell.T.imag
            node = refs.create_dataset(f"c{number}", data=stored)
            node.attrs["MATLAB_class"] = np.bytes_("double")
            references[number, 0] = node.ref
        file.create_dataset("coils", data=references).attrs["MATLAB_class"] = np.bytes_("cell")
        text = file.create_dataset("comment", data=np.array([[72], [105]], np.uint16))
        text.attrs["MATLAB_class"] = np.bytes_("char")
        group = file.create_group("scan")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        single = file["other"][()]["real"].astype("f4")
        group.create_dataset("kspace", data=single).attrs["MATLAB_class"] = np.bytes_("single")
        empty = file.create_dataset("nothing", data=np.array([0, 0], np.uint64))
        empty.attrs["MATLAB_class"], empty.attrs["MATLAB_empty"] = np.bytes_("double"), 1
    np.testing.assert_allclose(read_foreign(path, "coils{2}"), 2 * ARRAY, rtol=1e-6)
    np.testing.assert_allclose(read_foreign(path, "coils"), np.stack(cells, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(read_foreign(path, "scan/kspace"), ARRAY.real, rtol=1e-6)
    with pytest.raises(StorageError) as caught:
        read_foreign(path)
    for shown in ("coils (6 x 5 x 2 x 2)", "coils{1} (6 x 5 x 2)", "other (6 x 5 x 2)", "scan/kspace (6 x 5 x 2)"):
        assert shown in caught.value.problem
    assert "comment" not in caught.value.problem
    assert "nothing" not in caught.value.problem


def test_matlab_73_single_complex_variable_among_scalars_needs_no_name(tmp_path):
    path = tmp_path / "a.mat"
    save_73(path, {"kspace": ARRAY})
    with h5py.File(path, "r+") as file:
        file.create_dataset("TR", data=np.array([[0.5]])).attrs["MATLAB_class"] = np.bytes_("double")
    np.testing.assert_allclose(read_foreign(path), ARRAY, rtol=1e-6)


@pytest.mark.parametrize("name", list(WRITERS))
def test_wrong_variable_names_those_that_exist(name, tmp_path):
    WRITERS[name](tmp_path / name)
    with pytest.raises(StorageError, match=r"no variable 'image'.*kspace \([\s\S]*--variable"):
        read_foreign(tmp_path / name, "image")


def test_several_variables_ask_for_a_name(tmp_path):
    WRITERS["array.npz"](tmp_path / "a.npz")
    with pytest.raises(StorageError, match=r"does not say which variable.*kspace.*other[\s\S]*--variable"):
        read_foreign(tmp_path / "a.npz")


@pytest.mark.parametrize("name", list(WRITERS))
@pytest.mark.parametrize("kept", [0.95, 0.5, 0.1])
def test_truncated_files_are_refused_in_words(name, kept, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StorageError, match=r"What to do"):
        read_foreign(path, "kspace")


@pytest.mark.parametrize("name", list(WRITERS))
def test_damaged_files_never_raise_anything_else(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(11)
    for _ in range(40 if name.endswith(("mat", "npz")) and name != "seven.mat" else 6):  # HDF5 takes a process each
        broken = content.copy()
        for index in rng.integers(0, len(content), 4):
            broken[index] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(StorageError):  # or it happens to be readable still
            read_foreign(path, "kspace")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"not a MATLAB, NumPy or HDF5 file"),
        (b"just words\n" * 100, r"not a MATLAB, NumPy or HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, r"damaged"),
        (b"PK\x03\x04" + b"\0" * 100, r"damaged"),
        (
            b"\x93NUMPY\x01\x00v\x00{'descr': '<c8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(128) + b"\n",
            r"damaged",
        ),
    ],
)
def test_other_files_are_refused(content, text, tmp_path):
    path = tmp_path / "file.mat"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=text):
        read_foreign(path, "kspace")


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StorageError, match=r"damaged, or not what it claims"):
        read_foreign(tmp_path / "a.npy")


def test_values_that_are_no_numbers_are_refused(tmp_path):
    broken = ARRAY.copy()
    broken[2, 2, 1] = np.nan
    np.save(tmp_path / "a.npy", broken)
    with pytest.raises(StorageError, match=r"not finite numbers"):
        read_foreign(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array(["words"]))
    with pytest.raises(StorageError, match=r"does not hold numbers"):
        read_foreign(tmp_path / "b.npy")


def test_missing_file_says_so(tmp_path):
    with pytest.raises(StorageError, match=r"cannot be read: No such file[\s\S]*Check the name"):
        read_foreign(tmp_path / "none.mat", "kspace")


HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <measurementInformation><patientPosition>FFS</patientPosition>
  <protocolName>other console</protocolName></measurementInformation>
 <experimentalConditions><H1resonanceFrequency_Hz>2100000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>64</x><y>24</y><z>{nz}</z></matrixSize>
   <fieldOfView_mm><x>400</x><y>180</y><z>{fz}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>32</x><y>24</y><z>{nz}</z></matrixSize>
   <fieldOfView_mm><x>200</x><y>180</y><z>{fz}</z></fieldOfView_mm></reconSpace>
  <trajectory>{trajectory}</trajectory>
  <encodingLimits>
   <kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center></kspace_encoding_step_1>
   <kspace_encoding_step_2><minimum>0</minimum><maximum>{lastz}</maximum><center>{centrez}</center></kspace_encoding_step_2>
  </encodingLimits>
 </encoding>
</ismrmrdHeader>"""


def write_mrd(path, point_lps_m, *, lines=24, centre=12, trajectory="cartesian", n_channels=2, echo=(0, 64), nz=8):
    """K-space of one point as another console writes it, through the ismrmrd package; images by inverse transform."""
    fov = np.array([0.4, 0.18, 0.12 if nz > 1 else 0.01])
    axes = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # read, phase, slice in LPS: a sagittal slab
    centre_lps_m = np.array([0.01, -0.02, 0.015])
    header = HEADER.format(
        nz=nz, fz=fov[2] * 1e3, trajectory=trajectory, last=lines - 1, centre=centre, lastz=nz - 1, centrez=nz // 2
    )
    place = axes @ (np.asarray(point_lps_m) - centre_lps_m) / fov
    if path.exists():
        path.unlink()
    data = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    data.write_xml_header(header.encode())
    sample = np.arange(64) - 32
    for par in range(nz):
        for lin in range(lines):
            phase = place[0] * sample + place[1] * (lin - centre) + place[2] * (par - nz // 2) * (nz > 1)
            line = np.exp(-2j * np.pi * phase)[echo[0] : echo[1]]  # inverse transform: exp(+i) makes the image
            acquisition = ismrmrd.Acquisition.from_array(
                np.stack([line, 0.5j * line] if n_channels == 2 else [line]).astype("c8")
            )
            acquisition.idx.kspace_encode_step_1, acquisition.idx.kspace_encode_step_2 = lin, par
            acquisition.center_sample, acquisition.sample_time_us = 32 - echo[0], 10.0
            acquisition.position[:] = centre_lps_m * 1e3
            acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = axes
            data.append_acquisition(acquisition)
    noise = ismrmrd.Acquisition.from_array((100 * np.ones((n_channels, 128))).astype("c8"))
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    data.append_acquisition(noise)
    data.close()


POINT_LPS_M = (0.02, 0.013, -0.031)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"n_channels": 1},
        {"lines": 16, "centre": 8},  # fewer lines than the matrix: lower resolution
        {"lines": 18, "centre": 6},  # partial Fourier
        {"echo": (16, 64)},  # partial echo
    ],
    ids=str,
)
def test_ismrmrd_of_another_console_comes_out_in_place(arguments, tmp_path):
    write_mrd(tmp_path / "scan.h5", POINT_LPS_M, **arguments)
    raw = read_foreign(tmp_path / "scan.h5")
    assert isinstance(raw, RawScan)
    assert raw.lo_hz == 2.1e6
    (volume,) = reconstruct(raw)
    assert sorted(volume.data.shape) == [8, 24, 32]
    assert volume.geometry.position == "FFS"
    peak = np.unravel_index(volume.data.argmax(), volume.data.shape)
    offset = volume.geometry.lps_m(np.array(peak)) - POINT_LPS_M
    assert np.all(np.abs(offset) <= 0.5 * np.array([0.015, 0.0075, 0.00625]) + 1e-9)  # slices along L, rows S, columns P


def test_ismrmrd_single_slice(tmp_path):
    write_mrd(tmp_path / "scan.h5", (0.01, 0.013, -0.031), nz=1)
    (volume,) = reconstruct(read_foreign(tmp_path / "scan.h5"))
    assert volume.data.shape == (1, 32, 24)
    assert volume.geometry.slice_thickness_m == pytest.approx(0.01)
    peak = np.unravel_index(volume.data.argmax(), volume.data.shape)
    offset = volume.geometry.lps_m(np.array(peak)) - (0.01, 0.013, -0.031)
    assert np.all(np.abs(offset) <= [1e-6, 0.00375 + 1e-9, 0.003125 + 1e-9])


def test_ismrmrd_slices_lie_at_their_positions(tmp_path):
    # Axial slices 8 mm apart, the first one not at the middle; each holds its own number of units at its centre.
    path = tmp_path / "scan.h5"
    header = HEADER.format(nz=1, fz=5, trajectory="cartesian", last=23, centre=12, lastz=0, centrez=0)
    data = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    data.write_xml_header(header.encode())
    for slc, height_mm in enumerate((4.0, 20.0, 12.0)):
        for lin in range(24):
            acquisition = ismrmrd.Acquisition.from_array(np.full((1, 64), slc + 1, dtype="c8"))
            acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = lin, slc
            acquisition.center_sample, acquisition.sample_time_us = 32, 10.0
            acquisition.position[:] = (10.0, -20.0, height_mm)
            acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = np.eye(3)
            data.append_acquisition(acquisition)
    data.close()
    (volume,) = reconstruct(read_foreign(path))
    assert volume.geometry.spacing_m[0] == pytest.approx(0.008)
    for index, (height_m, units) in enumerate(((0.004, 1), (0.012, 3), (0.020, 2))):
        row, column = np.unravel_index(volume.data[index].argmax(), volume.data.shape[1:])
        assert volume.data[index].max() == pytest.approx(units * 64 * 24, rel=1e-4)
        found = volume.geometry.lps_m(np.array([index, row, column]))
        np.testing.assert_allclose(found, [0.01, -0.02, height_m], atol=1e-6)


def test_ismrmrd_that_is_radial_and_has_no_trajectory_is_refused(tmp_path):
    write_mrd(tmp_path / "scan.h5", POINT_LPS_M, trajectory="radial", nz=1)
    with pytest.raises(
        StorageError, match=r"radial trajectory was measured[\s\S]*no coordinates[\s\S]*with its trajectories"
    ):
        read_foreign(tmp_path / "scan.h5")


def test_damaged_ismrmrd_never_raises_anything_else(tmp_path):
    path = tmp_path / "scan.h5"
    write_mrd(path, POINT_LPS_M, nz=1)
    content = path.read_bytes()
    for kept in (0.9, 0.5, 0.2):
        path.write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(StorageError, match=r"What to do"):
            read_foreign(path)
    rng = np.random.default_rng(12)
    for _ in range(8):
        broken = bytearray(content)
        for index in rng.integers(0, len(content), 6):
            broken[index] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(StorageError):
            read_foreign(path)


def test_raw_file_of_our_own_gives_the_same_images_as_its_scan(examples, tmp_path):
    # The raw file alone, taken out of its folder, keeps geometry and sign.
    scan = examples.make_scan(n_lin=12, n_par=6, n_samples=32)
    with_place = examples.make_request()
    folder = ScanFolder.create(tmp_path, with_place, scan, examples.SEQUENCE)
    folder.append(scan.readouts, examples.make_samples(scan))
    folder.finish(EndReason.COMPLETED)
    (wanted,) = reconstruct(read_raw(folder.path))
    (found,) = reconstruct(read_foreign(folder.path / "raw.h5"))
    np.testing.assert_allclose(found.data, wanted.data, rtol=1e-3, atol=1e-3 * wanted.data.max())
    for index in ((0, 0, 0), tuple(size - 1 for size in wanted.data.shape)):
        np.testing.assert_allclose(found.geometry.lps_m(np.array(index)), wanted.geometry.lps_m(np.array(index)), atol=1e-6)
