# SPDX-License-Identifier: MIT
"""ISMRMRD files of consoles that get things wrong in known ways, made with the ismrmrd package: a warning, the right size.

The object is a box of 60 x 40 mm in a field of view of 200 x 160 mm, from its closed-form k-space.
"""

import h5py
import ismrmrd
import numpy as np
import pytest

from isocenter.domain.errors import StorageError
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.foreign import read_foreign

pytestmark = pytest.mark.usefixtures("hdf5_here")

N_READ, N_LIN = 64, 48
FOV_M = (0.2, 0.16, 0.005)
BOX_M = (0.06, 0.04)
SHIFT_M = (0.02, -0.01)
CENTRE, CENTRE_LIN = 32, 24
LO_HZ, FIELD_T = 2.1e6, 0.04932

XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <acquisitionSystemInformation><systemFieldStrength_T>{field}</systemFieldStrength_T>
  <receiverChannels>{channels}</receiverChannels></acquisitionSystemInformation>
 <experimentalConditions><H1resonanceFrequency_Hz>{frequency}</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>{fz}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{rx}</x><y>{y}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>{fz}</z></fieldOfView_mm></reconSpace>
  <trajectory>{trajectory}</trajectory>
  <encodingLimits>{limits}</encodingLimits>
 </encoding>
</ismrmrdHeader>"""
LIMITS = "<kspace_encoding_step_1><minimum>0</minimum><maximum>47</maximum><center>{}</center></kspace_encoding_step_1>"
RIGHT = {
    "field": FIELD_T,
    "channels": 1,
    "frequency": int(LO_HZ),
    "x": N_READ,
    "y": N_LIN,
    "rx": N_READ,
    "fx": 200,
    "fy": 160,
    "fz": 5,
    "trajectory": "cartesian",
    "limits": LIMITS.format(CENTRE_LIN),
}


def kspace(n_read=N_READ, n_lin=N_LIN, centre=CENTRE, centre_lin=CENTRE_LIN, fov_m=FOV_M):
    """Of the box, as a console with the custom of an inverse transform measures it, shape (lin, sample)."""
    kx, ky = (np.arange(n_read) - centre) / fov_m[0], (np.arange(n_lin) - centre_lin) / fov_m[1]
    x, y = (
        BOX_M[0] * np.sinc(kx * BOX_M[0]) * np.exp(-2j * np.pi * kx * SHIFT_M[0]),
        BOX_M[1] * np.sinc(ky * BOX_M[1]) * np.exp(-2j * np.pi * ky * SHIFT_M[1]),
    )
    return (1e3 * y[:, None] * x[None, :]).astype(np.complex64)


def acquisitions(data, *, centre=CENTRE, trajectory=None, counters=True):
    rows = []
    for lin, line in enumerate(data):
        traj = None if trajectory is None else trajectory(lin).astype(np.float32)
        row = ismrmrd.Acquisition.from_array(line[None].astype("c8"), trajectory=traj)
        row.idx.kspace_encode_step_1 = lin if counters else 0
        row.center_sample, row.sample_time_us, row.scan_counter = centre, 10.0, lin
        row.read_dir[:], row.phase_dir[:], row.slice_dir[:] = np.eye(3)
        row.position[:] = (5.0, 0.0, 0.0)
        rows.append(row)
    return rows


def write(path, rows=None, group="dataset", **changes):
    rows = acquisitions(kspace()) if rows is None else rows
    data = ismrmrd.Dataset(str(path), group, create_if_needed=True)
    data.write_xml_header(XML.format(**{**RIGHT, **changes}).encode())
    for row in rows:
        data.append_acquisition(row)
    data.close()
    return path


def check_box(raw):
    """The box has its size and its place, to a voxel."""
    (volume,) = reconstruct(raw)
    picture = np.abs(volume.data[0])
    inside = picture > 0.5 * np.median(picture[picture > 0.3 * picture.max()])
    found = volume.geometry.lps_m(np.argwhere(np.broadcast_to(inside, (1, *inside.shape))))
    spacing = volume.geometry.spacing_m
    extent = np.ptp(found, axis=0)[:2] + np.array([spacing[2], spacing[1]])
    np.testing.assert_allclose(extent, BOX_M, atol=1.05 * max(spacing[1:]))
    centre = found.mean(axis=0)[:2]
    np.testing.assert_allclose(centre, np.add(SHIFT_M, (0.005, 0)), atol=max(spacing[1:]))
    return volume


def line_trajectory(lin, *, centre=CENTRE, unit=1.0):
    kx = (np.arange(N_READ) - centre) / N_READ * unit
    return np.stack([kx, np.full(N_READ, (lin - CENTRE_LIN) / N_LIN * unit)], axis=1)


def test_a_right_file_opens_without_a_warning(tmp_path):
    raw = read_foreign(write(tmp_path / "a.h5"))
    check_box(raw)
    assert raw.warnings == ()
    assert raw.lo_hz == LO_HZ


def test_field_and_frequency_a_million_times_too_large_and_a_trajectory_centred_elsewhere(tmp_path):
    rows = acquisitions(kspace(), trajectory=lambda lin: line_trajectory(lin, centre=CENTRE + 3))
    raw = read_foreign(write(tmp_path / "a.h5", rows, field=FIELD_T * 1e6, frequency=int(LO_HZ * 1e6)))
    check_box(raw)
    assert raw.lo_hz == pytest.approx(LO_HZ)
    text = "\n".join(raw.warnings)
    assert "2.1e+12 Hz cannot be right; read as 2.1 MHz" in text
    assert "49320 T cannot be right; read as 0.04932 T" in text
    assert "trajectory puts the centre of k-space at sample 35, the data at sample 32" in text
    assert len(raw.warnings) == 3


# What is wrong, and what the warning says of it.
HEADERS = {
    "MHz": ({"frequency": 2}, "frequency of 2 Hz cannot be right; read as 2 MHz"),
    "mT": ({"field": 49.32}, "49.32 T cannot be right; read as 0.04932 T"),
    "field of another scanner": ({"field": 3.0}, "3 T and frequency of 2.1 MHz do not belong together"),
    "metres": ({"fx": 0.2, "fy": 0.16, "fz": 0.005, "position_unit": 1e-3}, "read as metres"),
    "metres but a slice in mm": ({"fx": 0.2, "fy": 0.16, "position_unit": 1e-3}, "read as metres"),
    "micrometres": ({"fx": 200e3, "fy": 160e3, "fz": 5e3, "position_unit": 1e3}, "read as micrometres"),
    "channels": ({"channels": 4}, "says 4 receive channels; the lines hold 1"),
    "no limits": ({"limits": ""}, None),
    "centre at 0": ({"limits": LIMITS.format(0)}, "centre of k-space at LIN 0; in the data it is at LIN 24"),
    "centre outside": ({"limits": LIMITS.format(200)}, "at LIN 200; in the data it is at LIN 24"),
    "no matrix": ({"x": 0, "y": 0}, "gives no matrix; taken as 64 x 48 x 1"),
    "too small a matrix": ({"y": 24}, "has 24 steps of LIN, the lines 48"),
    "patient": ({"trajectory": "other"}, "does not say that the scan is Cartesian"),
}


@pytest.mark.parametrize("name", list(HEADERS))
def test_wrong_headers(name, tmp_path):
    changes, said = HEADERS[name]
    changes = dict(changes)
    rows = acquisitions(kspace())
    for row in rows:
        row.position[:] = np.array(row.position[:]) * changes.get("position_unit", 1.0)
    changes.pop("position_unit", None)
    raw = read_foreign(write(tmp_path / "a.h5", rows, **changes))
    check_box(raw)
    assert raw.lo_hz == pytest.approx(LO_HZ, rel=0.06)
    if said is None:
        assert raw.warnings == ()
    else:
        assert said in "\n".join(raw.warnings)
        assert len(raw.warnings) == 1


def test_header_without_a_name_space_and_a_group_of_another_name(tmp_path):
    path = tmp_path / "a.h5"
    data = ismrmrd.Dataset(str(path), "measurement", create_if_needed=True)
    data.write_xml_header(XML.format(**RIGHT).replace(' xmlns="http://www.ismrm.org/ISMRMRD"', "").encode())
    for row in acquisitions(kspace()):
        data.append_acquisition(row)
    data.close()
    check_box(read_foreign(path))


def test_read_out_twice_as_densely_as_the_header_says(tmp_path):
    data = kspace(n_read=128, centre=64, fov_m=(0.4, 0.16))
    raw = read_foreign(write(tmp_path / "a.h5", acquisitions(data, centre=64)))
    volume = check_box(raw)
    assert volume.data.shape[1:] == (48, 64)
    assert "read out 2 times as densely" in "\n".join(raw.warnings)


def test_an_oversampled_matrix_beside_a_field_of_view_that_is_not(tmp_path):
    data = kspace(n_read=128, centre=64, fov_m=(0.4, 0.16))
    raw = read_foreign(write(tmp_path / "a.h5", acquisitions(data, centre=64), x=128))
    assert check_box(raw).data.shape[1:] == (48, 64)
    assert "taken as 2 times as wide" in "\n".join(raw.warnings)


@pytest.mark.parametrize("said", [0, 5, 60])
def test_centre_sample_is_found_in_the_data(said, tmp_path):
    data = kspace(n_read=52, centre=20)  # a partial echo of a matrix of 64
    raw = read_foreign(write(tmp_path / "a.h5", acquisitions(data, centre=said)))
    check_box(raw)
    assert raw.encoding.centre_sample == 32
    assert raw.samples.shape[2] == 64
    assert ("sample 20" in "\n".join(raw.warnings)) == (0 < said < 52)


def test_lines_in_any_order_are_sorted_by_time(tmp_path):
    rows = acquisitions(kspace())
    order = np.random.default_rng(5).permutation(N_LIN)
    raw = read_foreign(write(tmp_path / "a.h5", [rows[i] for i in order]))
    check_box(raw)
    np.testing.assert_array_equal(np.diff(raw.labels["LIN"]), 1)
    assert "sorted" in raw.warnings[0]


def test_counters_from_the_trajectory_when_nobody_filled_them(tmp_path):
    rows = acquisitions(kspace(), trajectory=line_trajectory, counters=False)
    raw = read_foreign(write(tmp_path / "a.h5", rows, trajectory="other"))
    check_box(raw)
    assert "taken from the trajectories" in "\n".join(raw.warnings)


def test_a_partial_grid_is_centred_where_its_trajectory_says(tmp_path):
    flat = np.exp(2j * np.pi * np.random.default_rng(8).random((30, N_READ)))  # no peak: the data do not tell
    rows = acquisitions(flat, trajectory=lambda lin: line_trajectory(lin + 18), counters=False)
    raw = read_foreign(write(tmp_path / "a.h5", rows, trajectory="other"))
    assert raw.encoding.centre_lin == CENTRE_LIN
    np.testing.assert_array_equal(raw.labels["LIN"], np.arange(18, 48))


def test_counters_from_the_order_when_there_is_nothing_else(tmp_path):
    raw = read_foreign(write(tmp_path / "a.h5", acquisitions(kspace(), counters=False)))
    check_box(raw)
    assert "taken in their order" in "\n".join(raw.warnings)


def test_trajectories_that_nobody_filled_are_not_used(tmp_path):
    rows = acquisitions(kspace(), trajectory=lambda lin: np.zeros((N_READ, 3)))
    raw = read_foreign(write(tmp_path / "a.h5", rows))
    check_box(raw)
    assert raw.warnings == ()


def test_counters_that_start_at_one_or_wrap_round(tmp_path):
    rows = acquisitions(kspace())
    for row in rows:
        row.idx.kspace_encode_step_1 += 1
    check_box(read_foreign(write(tmp_path / "one.h5", rows)))
    for lin, row in enumerate(rows):
        row.idx.kspace_encode_step_1 = (lin - CENTRE_LIN) % 65_536
    check_box(read_foreign(write(tmp_path / "wrapped.h5", rows, limits="")))


def test_all_averages_are_kept_also_those_without_a_counter(tmp_path):
    rows = [row for _ in range(3) for row in acquisitions(kspace())]
    for counter, row in enumerate(rows):
        row.scan_counter = counter
    raw = read_foreign(write(tmp_path / "a.h5", rows))
    assert len(raw.samples) == 3 * N_LIN
    np.testing.assert_array_equal(raw.labels["AVG"], np.repeat([0, 1, 2], N_LIN))
    assert "taken as averages" in raw.warnings[0]
    check_box(raw)
    for counter, row in enumerate(rows):
        row.idx.average = counter // N_LIN
    raw = read_foreign(write(tmp_path / "b.h5", rows))
    assert raw.warnings == ()
    np.testing.assert_array_equal(raw.labels["AVG"], np.repeat([0, 1, 2], N_LIN))


def test_samples_that_are_no_numbers_become_zero(tmp_path):
    data = kspace()
    data[3, 7], data[40] = np.nan, np.inf
    raw = read_foreign(write(tmp_path / "a.h5", acquisitions(data)))
    check_box(raw)
    assert raw.warnings == ("2 of 48 lines contain values that are not numbers; these samples were set to zero.",)
    with pytest.raises(StorageError, match=r"48 of 48 lines"):
        read_foreign(write(tmp_path / "b.h5", acquisitions(data * np.nan)))


def test_a_noise_line_that_is_not_marked_is_left_out_and_one_that_is_becomes_the_noise(tmp_path):
    rows = acquisitions(kspace())
    stray = ismrmrd.Acquisition.from_array(100 * np.ones((1, 256), "c8"))
    marked = ismrmrd.Acquisition.from_array(7 * np.ones((1, 200), "c8"))
    marked.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    for number, row in enumerate((stray, marked)):
        row.scan_counter = N_LIN + number
    raw = read_foreign(write(tmp_path / "a.h5", [*rows, stray, marked]))
    check_box(raw)
    assert raw.warnings == ("1 lines of another length or number of channels are left out.",)
    np.testing.assert_array_equal(raw.noise, np.full((1, 1, 200), 7))


@pytest.mark.parametrize(("time_us", "said"), [(1e-5, "seconds"), (1e4 + 1, "nanoseconds"), (0, "taken as 10 us")])
def test_sample_times_in_other_units(time_us, said, tmp_path):
    rows = acquisitions(kspace())
    for row in rows:
        row.sample_time_us = time_us
    raw = read_foreign(write(tmp_path / "a.h5", rows))
    assert raw.dwell_s == pytest.approx(1e-5, rel=1e-3)
    assert said in raw.warnings[0]


def test_empty_files_say_so(tmp_path):
    without_lines, without_header = write(tmp_path / "a.h5"), write(tmp_path / "b.h5")
    with h5py.File(without_lines, "r+") as file:
        file["dataset/data"].resize(0, axis=0)
    with pytest.raises(StorageError, match=r"holds no imaging line \(0 lines in all\)"):
        read_foreign(without_lines)
    with h5py.File(without_header, "r+") as file:
        del file["dataset/xml"]
    with pytest.raises(StorageError, match=r"header of b.h5 is missing"):
        read_foreign(without_header)


@pytest.mark.parametrize(
    ("unit", "said"), [(1.0, "cycles per voxel"), (2 * np.pi, "radians per voxel"), (64.0, "field of view"), (320.0, "1/m")]
)
def test_radial_trajectories_come_in_any_unit(unit, said, tmp_path):
    angles = np.pi * np.arange(40) / 40
    reach = (np.arange(64) - 32) / 64

    def spoke(index):
        return unit * np.stack([reach * np.cos(angles[index]), reach * np.sin(angles[index])], axis=1)

    rows = acquisitions(np.ones((40, 64), "c8"), trajectory=spoke)
    raw = read_foreign(write(tmp_path / "a.h5", rows, trajectory="radial", fy=200, y=64))
    assert raw.encoding is None
    assert raw.trajectory_per_m.shape == (40, 64, 3)
    assert said in "\n".join(raw.warnings)
    assert raw.definitions["Matrix"] == "64 64 1"
    np.testing.assert_allclose(np.abs(raw.trajectory_per_m).max(), 0.5 * 64 / 0.2, rtol=1e-3)
    # Head first, supine: L is the device's X, P its -Y; foreign k-space has the other sign.
    np.testing.assert_allclose(raw.trajectory_per_m[0, 0], [160, 0, 0], atol=1e-3)
    np.testing.assert_allclose(raw.trajectory_per_m[20, 0], [0, -160, 0], atol=1e-3)
