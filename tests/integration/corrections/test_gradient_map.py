# SPDX-License-Identifier: MIT
"""Bent gradients, measured with a lattice phantom by our own sequence, then undone in scans of something else."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocenter.app.gradients import measure_gradients
from isocenter.app.images import make_images
from isocenter.app.pipelines import PipelineChoice
from isocenter.config.coil_files import load_coils
from isocenter.domain.errors import ReconError, StorageError
from isocenter.domain.geometry import Orientation, lps_from_device, place
from isocenter.domain.scan import EndReason, Protocol
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import GradientFaults, MagnetFaults, Motion, MotionStep, ReceiverFaults
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.correct.nonlinearity import ThirdOrderCoils
from isocenter.recon.correct.nonlinearity_lattice import Lattice, find_balls
from isocenter.recon.defaults import CARTESIAN, adjusted, with_coils
from isocenter.recon.gradient_map import measure_coils
from isocenter.recon.options import ReconOptions
from isocenter.recon.windows import Filter
from isocenter.storage.record import ScanRequest
from isocenter.storage.scan_folder import ScanFolder
from isocenter.virtual.phantoms.simple import GRID_BALL_RADIUS_M, GRID_MARKER_LPS_M, GRID_PITCH_M, grid_points_m

_SPEC = importlib.util.spec_from_file_location("imperfect_scans", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

SHARES = (0.25, 0.2, 0.2)
RADIUS_M = scans.SCANNER.magnet.imaging_diameter_m / 2
BENT = GradientFaults(nonlinearity=SHARES)
SMALL = {"fov_m": 0.18, "n_read": 55, "n_phase": 54, "n_slab": 54, "tr_s": 0.15, "echo_train_length": 12, "dummy_shots": 1}


def lattice():
    points_m = grid_points_m()
    marker = int(np.argmin(np.linalg.norm(points_m - np.array(GRID_MARKER_LPS_M), axis=1)))
    return Lattice(points_m=points_m, pitch_m=GRID_PITCH_M, ball_radius_m=GRID_BALL_RADIUS_M, marker=marker)


@pytest.fixture(scope="module")
def map_scan():
    """The lattice in bent gradients, an uneven field and noise."""
    return scans.measured(
        "gradient_map",
        SMALL,
        phantom="grid",
        n_spins=40_000,
        gradients=BENT,
        magnet=MagnetFaults(spread_hz=1500.0),
        receiver=ReceiverFaults(noise=0.3),
    )


@pytest.fixture(scope="module")
def found(map_scan):
    return measure_coils(map_scan, lattice(), radius_m=RADIUS_M, name="test")


def test_the_coils_are_those_of_the_scanner(found):
    field = found.fit.field
    print(f"{field.n_points} of {found.n_balls} balls, {len(field.keys)} harmonics, {field.rms_m * 1e3:.3f} mm left")
    rng = np.random.default_rng(0)
    places = rng.uniform(-0.075, 0.075, (4000, 3))
    places = places[np.linalg.norm(places, axis=1) < 0.075]
    true = ThirdOrderCoils(shares=SHARES, radius_m=RADIUS_M).apparent_m(places)
    before, after = (scans.rms(part) * 1e3 for part in (true - places, field.apparent_m(places) - true))
    print(f"coils: {before:.3f} mm, known to {after:.3f} mm; the main field moved balls by {found.field_rms_m * 1e3:.2f} mm")
    assert found.n_balls - field.n_points <= 5
    assert found.field_rms_m > 0.3e-3  # which the two directions of reading must have cancelled
    assert before > 0.4
    assert after < 0.1 * before
    assert np.linalg.norm(found.fit.shift_m) < 1e-4


def test_vials_in_another_plane_are_straightened_by_80_percent(found):
    placement = place(Orientation.AXIAL, centre_lps_m=(0.0, 0.0, 0.02))
    # So many spins that what the spoilers of neighbouring shots leave of them, each time another part, moves no vial.
    raw = scans.measured("tse_3d", scans.TSE, placement, gradients=BENT, n_spins=32_000)
    truth = reconstruct(scans.measured("tse_3d", scans.TSE, placement, n_spins=32_000))[0]
    plain = reconstruct(raw)[0]
    fixed = reconstruct(raw, pipeline=with_coils(CARTESIAN), coils=found.fit.field)[0]
    chosen = slice(1, 3)
    true_mm = scans.places_mm(truth, chosen)
    before, after = (scans.rms(scans.places_mm(volume, chosen)[:, :2] - true_mm[:, :2]) for volume in (plain, fixed))
    print(f"vials, measured map: {before:.3f} mm -> {after:.3f} mm; {dict(fixed.provenance)['gradients']}")
    assert before > 0.25
    assert after < 0.2 * before
    assert "by the map 'test' of 251 places" in dict(fixed.provenance)["gradients"]


@pytest.mark.slow
def test_balls_at_places_that_were_not_measured_are_straightened_by_80_percent_in_a_coronal_scan(found):
    # another sequence, another plane, and the balls between the places of the map; their true places are known
    shift_m = np.array([0.008, -0.007, 0.006])
    values = scans.TSE | {
        "fov_read_m": 0.18,
        "fov_phase_m": 0.18,
        "fov_slab_m": 0.18,
        "n_read": 56,
        "n_phase": 56,
        "n_slab": 56,
    }
    raw = scans.measured(
        "tse_3d",
        values | {"tr_s": 0.15},
        place(Orientation.CORONAL),
        phantom="grid",
        n_spins=40_000,
        gradients=BENT,
        motion=Motion(steps=(MotionStep(start_s=0.0, shift_lps_m=tuple(shift_m)),)),
    )
    orders = adjusted(CARTESIAN, ReconOptions(filter=Filter.HANN, zero_fill=2.0))  # ringing is no matter of places
    there = replace(lattice(), points_m=lattice().points_m + shift_m)
    errors_mm = []
    for way, coils in ((orders, None), (with_coils(orders), found.fit.field)):
        volume = reconstruct(raw, pipeline=way, coils=coils)[0]
        g = volume.geometry
        axes = np.stack([g.slice_direction, g.column_direction, g.row_direction]) * np.array(g.spacing_m)[:, None]
        balls = find_balls(volume.data, g.first_voxel_m, axes, there, blur_m=0.18 / 56)
        near = np.linalg.norm(there.points_m[balls.index], axis=1) < 0.07
        errors_mm.append(1e3 * scans.rms((balls.shown_m - there.points_m[balls.index])[near]))
    print(f"balls, measured map: {errors_mm[0]:.3f} mm -> {errors_mm[1]:.3f} mm")
    assert errors_mm[0] > 0.5
    assert errors_mm[1] < 0.2 * errors_mm[0]


@pytest.mark.slow
def test_a_phantom_that_lies_askew_gives_the_same_coils(map_scan, found):
    # the same balls, said to lie elsewhere: what the true ones are to these, the pose must explain
    angle, shift = 0.04, np.array([1.5e-3, -1e-3, 2e-3])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    askew = replace(lattice(), points_m=(lattice().points_m - shift) @ turn)
    other = measure_coils(map_scan, askew, radius_m=RADIUS_M)
    device_from_lps = lps_from_device(map_scan.placement.position).T
    np.testing.assert_allclose(other.fit.shift_m, device_from_lps @ shift, atol=1e-4)
    places = np.random.default_rng(1).uniform(-0.04, 0.04, (500, 3))
    np.testing.assert_allclose(other.fit.field.apparent_m(places), found.fit.field.apparent_m(places), atol=5e-5)


def test_what_is_no_gradient_map_is_refused(map_scan):
    one_way = replace(map_scan, labels={**map_scan.labels, "REV": np.zeros_like(map_scan.labels["REV"])})
    with pytest.raises(ReconError, match=r"not read both ways.*\n.*sequence gradient_map"):
        measure_coils(one_way, lattice(), radius_m=RADIUS_M)
    short = replace(map_scan, n_expected=len(map_scan.samples) + 7)
    with pytest.raises(ReconError, match=rf"Only {len(map_scan.samples)} of {len(map_scan.samples) + 7} readouts"):
        measure_coils(short, lattice(), radius_m=RADIUS_M)
    wrong = replace(lattice(), points_m=lattice().points_m / 1.13, pitch_m=GRID_PITCH_M / 1.13)
    with pytest.raises(ReconError, match=r"shows at 1\.1[0-9]+ of its size.*\n.*phantom named.*full_scale"):
        measure_coils(map_scan, wrong, radius_m=RADIUS_M)


def test_noise_has_no_marker(map_scan):
    rng = np.random.default_rng(3)
    shape = map_scan.samples.shape
    empty = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    with pytest.raises(ReconError, match=r"No ball is clearly the larger one.*\n.*larger ball is filled"):
        measure_coils(replace(map_scan, samples=empty), lattice(), radius_m=RADIUS_M)


def stored(parent, scan, raw, placement, scanner=scans.SCANNER):
    """A scan's folder as the program leaves it."""
    protocol = Protocol(name="Some scan", sequence="gradient_map")
    request = ScanRequest(
        protocol=protocol,
        parameters={},
        placement=placement,
        calibration=nominal_calibration(scanner),
        scanner=scanner,
        exam=None,
        series_number=1,
        console="virtual",
    )
    folder = ScanFolder.create(parent, request, scan, b"")
    samples = np.zeros((len(scan.readouts), raw.samples.shape[2]), dtype=np.complex64)
    samples[(scan.readouts.label("NOISE") == 0) & (scan.readouts.label("NAV") == 0)] = raw.samples[:, 0]
    folder.append(scan.readouts, samples)
    folder.finish(EndReason.COMPLETED)
    folder.close()
    return folder.path


def test_from_a_scans_folder_to_a_file_to_another_scans_images(map_scan, found, tmp_path):
    lattice_scan = stored(tmp_path / "a", scans.compiled("gradient_map", SMALL), map_scan, scans.AXIAL)
    coils = tmp_path / "coils.toml"
    said = measure_gradients(lattice_scan, coils)
    assert said["balls"] == found.fit.field.n_points
    assert "251 of 251 balls were found within 75 mm." in said["text"]
    places = np.random.default_rng(2).uniform(-0.05, 0.05, (200, 3))
    np.testing.assert_allclose(load_coils(coils).apparent_m(places), found.fit.field.apparent_m(places), atol=1e-6)
    with pytest.raises(StorageError, match=r"There is a file .*coils.toml' already.*\n.*another name"):
        measure_gradients(lattice_scan, coils)
    raw = scans.measured("tse_3d", scans.TSE, gradients=BENT)
    scan = scans.compiled("tse_3d", scans.TSE)
    vials = stored(tmp_path / "b", scan, raw, scans.AXIAL)
    files = make_images(vials, tmp_path / "images", PipelineChoice(gradient_map=coils))
    assert f"by the map '{lattice_scan.name}, " in dict(files.volumes[0].provenance)["gradients"]
    assert load_coils(tmp_path / "images" / "gradients.toml").n_points == 251
    other = replace(scans.SCANNER, name="another-one")
    elsewhere = stored(tmp_path / "c", scan, raw, scans.AXIAL, other)
    with pytest.raises(ReconError, match=r"measured on the scanner 'osii-one'.*from 'another-one'.*\n.*own gradients"):
        make_images(elsewhere, tmp_path / "no", PipelineChoice(gradient_map=coils))
    assert not (tmp_path / "no").exists()
