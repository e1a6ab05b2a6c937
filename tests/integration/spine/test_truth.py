# SPDX-License-Identifier: MIT
"""Images show the phantom where it is and as it is, judged from the DICOM files alone."""

import math

import numpy as np
import pytest

from isocenter.domain.geometry import Orientation, PatientPosition
from isocenter.domain.scan import Prescription, Protocol
from isocenter.virtual.phantoms.simple import MARKER_LPS_M
from isocenter.virtual.physics.phantoms import density_map

TR_S, ECHO_SPACING_S = 2.0, 0.012
QUICK = {
    "n_read": 48,
    "n_phase": 40,
    "n_slab": 20,
    "fov_read_m": 0.18,
    "fov_phase_m": 0.18,
    "fov_slab_m": 0.16,
    "tr_s": TR_S,
    "echo_train_length": 20,
    "echo_spacing_s": ECHO_SPACING_S,
    "order": "centre-out",
    "dummy_shots": 1,
}


def _protocol(**changes) -> Protocol:
    parameters = {**QUICK, **{name: value for name, value in changes.items() if name in QUICK}}
    where = {name: value for name, value in changes.items() if name not in QUICK}
    return Protocol(name="Truth", sequence="tse_3d", parameters=parameters, prescription=Prescription(**where))


def _expected(picture, phantom: str, te_s: float = ECHO_SPACING_S, fine: int = 3) -> np.ndarray:
    """What the scan should show: the phantom on a finer grid, cut to the k-space that was measured."""
    shape = np.array(picture.data.shape)
    index = np.stack(np.meshgrid(*(np.arange(n * fine) for n in shape), indexing="ij"), axis=-1)
    places = picture.lps_m[0, 0, 0] + (index / fine) @ picture.voxel_lps_m
    # Both grids have their centre at n // 2: the fine one is shifted so that the two centres coincide.
    places += (shape // 2 - (shape * fine // 2) / fine) @ picture.voxel_lps_m
    truth = density_map(phantom, places, picture.voxel_lps_m / fine, te_s=te_s, tr_s=TR_S, supersample=2)
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))
    crop = tuple(slice(n * fine // 2 - n // 2, n * fine // 2 - n // 2 + n) for n in shape)
    return np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace[crop]))))


def _marker_error_voxels(picture) -> np.ndarray:
    """Distance of the brightest blob from the marker's true place, in voxels along slice, row, column."""
    places = picture.lps_m.reshape(-1, 3)
    near = np.linalg.norm(places - MARKER_LPS_M, axis=1) < 0.022
    values = picture.data.reshape(-1)
    bright = near & (values > 0.6 * values.max())
    found = np.average(places[bright], axis=0, weights=values[bright])
    return np.linalg.solve(picture.voxel_lps_m.T, found - np.array(MARKER_LPS_M))


def _assert_true(picture) -> None:
    truth = _expected(picture, "block")
    assert np.corrcoef(picture.data.ravel(), truth.ravel())[0, 1] > 0.95
    brightest = picture.lps_m.reshape(-1, 3)[np.argmax(picture.data)]
    assert np.linalg.norm(brightest - MARKER_LPS_M) < 0.02, "the brightest spot is the marker"
    assert np.abs(_marker_error_voxels(picture)).max() < 1


ALWAYS = {"HFS", "FFP", "HFDR", "FFDL"}  # each sign of each axis once; the other half before a release
POSITIONS = [
    pytest.param(position, id=position.value, marks=() if position.value in ALWAYS else pytest.mark.slow)
    for position in PatientPosition
]


@pytest.mark.parametrize("position", POSITIONS)
def test_the_mark_is_where_it_should_be_in_every_position_and_orientation(virtual_bench, position) -> None:
    with virtual_bench("ideal-block", position.value, n_spins=30_000) as bench:
        for orientation in Orientation:
            _assert_true(bench.picture(_protocol(orientation=orientation)))


@pytest.mark.parametrize("position", [pytest.param("HFS", marks=pytest.mark.slow), "FFDL"])
def test_a_shifted_field_of_view_shows_the_same_place(virtual_bench, position) -> None:
    with virtual_bench("ideal-block", position, n_spins=30_000) as bench:
        for orientation in (Orientation.AXIAL, Orientation.SAGITTAL):
            _assert_true(bench.picture(_protocol(orientation=orientation, centre_lps_m=(0.012, -0.009, 0.007))))


@pytest.mark.parametrize("swap", [False, True])
def test_an_oblique_slab_shows_the_same_place(virtual_bench, swap) -> None:
    tilt = (math.radians(20), math.radians(-15))
    with virtual_bench("ideal-block", "FFP", n_spins=30_000) as bench:
        picture = bench.picture(
            _protocol(
                orientation=Orientation.CORONAL, tilt_rad=tilt, centre_lps_m=(0.01, 0.005, -0.01), swap_read_phase=swap
            )
        )
        _assert_true(picture)


@pytest.mark.parametrize("scanner_name", ["physio-72mT", "osii-mini"])
def test_other_scanners_wiring_and_boards_give_the_same_picture(virtual_bench, scanner_name) -> None:
    with virtual_bench("ideal-block", scanner_name=scanner_name, n_spins=30_000) as bench:
        _assert_true(bench.picture(_protocol(orientation=Orientation.CORONAL)))


def test_a_tse_of_known_tissues_looks_as_physics_says(virtual_bench) -> None:
    # A short train, first echo in the centre: decay along the train would blur what decays fast.
    with virtual_bench("ideal-vials", n_spins=150_000) as bench:
        picture = bench.picture(_protocol(n_read=64, n_phase=64, n_slab=12, echo_train_length=4))
        truth = _expected(picture, "vials")
    assert np.corrcoef(picture.data.ravel(), truth.ravel())[0, 1] >= 0.98


def test_a_box_of_known_size_measures_right_on_each_axis(virtual_bench) -> None:
    with virtual_bench("ideal-box", n_spins=60_000) as bench:
        picture = bench.picture(_protocol())
        truth = _expected(picture, "box")
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        lengths = []
        for image in (picture.data, truth):
            middle = image.sum(axis=others)
            lengths.append(middle.sum() / np.median(middle[middle > 0.5 * middle.max()]))
        assert abs(lengths[0] - lengths[1]) < 1, f"axis {axis}: {lengths[0]:.2f} of {lengths[1]:.2f} voxels"
