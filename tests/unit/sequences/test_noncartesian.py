# SPDX-License-Identifier: MIT
"""Radial, PETRA and spiral: the compiled trajectory is the one that pypulseq computes, and covers k-space as promised."""

import numpy as np
import pypulseq as pp
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build
from isocenter.sequences.ordering import sphere_directions
from isocenter.sequences.spiral import ramp_down, spiral_gradient

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")
CASES = {
    "radial_2d": {"n_spokes": 20, "n_read": 32, "dummy_shots": 1, "slices": 2, "tr_s": 0.2},
    "petra_3d": {"n_spokes": 80, "n_matrix": 20, "dummy_shots": 3, "bandwidth_hz": 10e3},
    "spiral_2d": {"n_interleaves": 5, "n_matrix": 24, "dummy_shots": 1, "slices": 2, "tr_s": 0.2},
}


def compiled(name, values, scanner_name, placement=None):
    scanner = load_scanner(scanner_name)
    built = build(name, values, scanner)
    placement = placement or place(Orientation.AXIAL)
    return built, compile_scan(read_pulseq(built.seq), scanner, nominal_calibration(scanner), placement), placement


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("name", CASES)
def test_the_played_trajectory_is_the_one_asked_for(name, scanner, tmp_path):
    """Pypulseq integrates the waveforms of the file; the compiler the staircases of the DACs."""
    placement = place(Orientation.CORONAL, tilt_rad=(0.3, -0.2))
    built, scan, _ = compiled(name, CASES[name], scanner, placement)
    path = tmp_path / "a.seq"
    path.write_bytes(built.seq)
    seq = pp.Sequence()
    seq.read(str(path))
    wanted = seq.calculate_kspace()[0].T.reshape(scan.trajectory_per_m.shape)
    got = scan.trajectory_per_m @ placement.device_from_logical  # logical axes, as the file has them
    step_per_m = 1 / float(built.report["FOV"].split()[0])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=0.03 * step_per_m)
    assert scan.encoding is None
    assert scan.facts.te_s == pytest.approx(built.report["EffectiveEchoTime"], abs=1e-7)
    assert scan.facts.tr_s == pytest.approx(built.report["RepetitionTime"], abs=1e-7)


@pytest.mark.parametrize("golden", [True, False])
def test_radial_spokes_cross_the_centre_and_lie_evenly(golden):
    n_spokes = 34
    built, scan, placement = compiled("radial_2d", {"n_spokes": n_spokes, "golden": golden, "dummy_shots": 0}, "osii-one")
    k = scan.trajectory_per_m @ placement.device_from_logical
    assert np.abs(k[:, 32]).max() < 0.01
    assert np.abs(k[:, :, 2]).max() < 0.01
    angles = np.sort(np.arctan2(k[:, -1, 1], k[:, -1, 0]) % np.pi)
    gaps = np.diff(np.append(angles, angles[0] + np.pi))
    even = np.pi / n_spokes
    # three gaps and no more for golden angles; 34 is a Fibonacci number, so two
    assert gaps.max() < (1.7 if golden else 1.001) * even
    assert gaps.min() > (0.6 if golden else 0.999) * even
    assert scan.evolution_s == pytest.approx(
        built.report["EffectiveEchoTime"] - 32 * scan.readouts.dwell_ticks / scan.clock_hz
    )


def test_radial_slices_lie_where_the_definition_says():
    built, scan, _ = compiled(
        "radial_2d", {"slices": 3, "gap_m": 0.002, "n_spokes": 2, "dummy_shots": 0, "tr_s": 0.2}, "osii-one"
    )
    assert [float(word) for word in built.report["SlicePositions"].split()] == pytest.approx([-0.012, 0, 0.012])
    assert scan.readouts.label("SLC").tolist() == [0, 2, 1] * 2


@pytest.mark.parametrize(("n_matrix", "n_interleaves", "bandwidth_hz"), [(48, 8, 50e3), (24, 1, 20e3), (96, 64, 250e3)])
def test_spirals_cover_the_disc_without_gaps(n_matrix, n_interleaves, bandwidth_hz):
    values = {"n_matrix": n_matrix, "n_interleaves": n_interleaves, "bandwidth_hz": bandwidth_hz, "dummy_shots": 0}
    built, scan, placement = compiled("spiral_2d", values, "physio-72mT")
    k = (scan.trajectory_per_m @ placement.device_from_logical)[..., :2] * 0.22
    radius = np.linalg.norm(k, axis=2)
    assert radius[:, 0].max() < 0.3
    assert radius[:, -1].min() > n_matrix / 2 - 0.5
    # along each, samples are at most a step apart; across, any direction meets a turn every step at most
    assert np.linalg.norm(np.diff(k, axis=1), axis=2).max() < 1.02
    angle = np.unwrap(np.arctan2(k[..., 1], k[..., 0]), axis=1)
    for direction in (0.3, 2.0):
        crossings = []
        for row in range(len(k)):
            turns = np.floor((angle[row, 2:] - direction) / (2 * np.pi))
            at = np.flatnonzero(np.diff(turns) != 0) + 2
            crossings += radius[row, at].tolist()
        assert np.diff(np.sort(crossings)).max() < 1.6  # of a step; samples do not lie on the direction itself
    assert built.report["ReadoutDuration"] < 0.1


def test_spiral_gradient_keeps_amplitude_and_slew_rate_and_uses_them():
    slew, amplitude = 2e9, 2e5
    wave = spiral_gradient(0.2, 128, 8, max_hz_per_m=amplitude, max_hz_per_m_s=slew, raster_s=1e-5)
    steepness = np.abs(np.diff(wave)) / 1e-5 / slew
    assert steepness.max() < 1.03
    assert np.abs(wave).max() == pytest.approx(amplitude, rel=1e-9)
    limited = np.abs(wave[1:]) < 0.99 * amplitude
    assert steepness[limited].min() > 0.97
    down = ramp_down(wave[-1], slew, 1e-5)
    assert down[-1] == 0
    assert np.abs(np.diff(np.append(wave[-1], down))).max() <= slew * 1e-5 * (1 + 1e-9)
    with pytest.raises(ValueError, match=r"256 voxels in 1 parts takes more than 0\.5 s"):
        spiral_gradient(0.2, 256, 1, max_hz_per_m=1e4, max_hz_per_m_s=slew, raster_s=1e-5)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_petra_points_fill_the_hidden_ball_and_spokes_start_at_its_edge(scanner):
    built, scan, placement = compiled("petra_3d", CASES["petra_3d"], scanner)
    fov_m, hidden = 0.22, built.report["HiddenRadius"]
    k = scan.trajectory_per_m @ placement.device_from_logical * fov_m
    is_point = scan.readouts.label("SET") == 1
    points = k[is_point, 0]
    grid = np.round(points)
    np.testing.assert_allclose(points, grid, atol=2e-3)
    r = int(hidden) + 1
    every = np.stack(np.meshgrid(*[np.arange(-r, r + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = {tuple(p) for p in every[np.linalg.norm(every, axis=1) <= hidden].tolist()}
    assert {tuple(p) for p in grid.astype(int).tolist()} == inside
    assert is_point.sum() == len(inside) == built.report["CentrePoints"]
    radii = np.linalg.norm(k[~is_point], axis=2)
    np.testing.assert_allclose(radii[:, 0], hidden, atol=5e-3)
    assert radii[:, -1].min() >= 10
    dead_s = load_scanner(scanner).rf.dead_time_s
    assert scan.evolution_s.min() >= dead_s + 4 * scan.readouts.dwell_ticks[0] / scan.clock_hz
    np.testing.assert_allclose(scan.evolution_s, built.report["EffectiveEchoTime"], atol=1e-8)


@pytest.mark.parametrize("n", [50, 377, 1000])
def test_directions_are_even_at_any_time(n):
    directions = sphere_directions(n)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    assert len(np.unique(np.round(directions, 9), axis=0)) == n
    for part in (directions, directions[: n // 2]):
        nearest = np.sort(part @ part.T, axis=1)[:, -2]
        ideal = np.sqrt(4 * np.pi / len(part))  # side of a square of equal share
        assert np.arccos(nearest).min() > (0.7 if part is directions else 0.3) * ideal
        second_moment = part.T @ part / len(part)
        np.testing.assert_allclose(second_moment, np.eye(3) / 3, atol=0.05)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("petra_3d", {"rf_s": 60e-6}, r"pulse of 60 us \(rf_s\) is too long.*\n.*Set the RF pulse length to 28 us or less"),
        (
            "petra_3d",
            {"bandwidth_hz": 60e3, "rf_s": 8e-6},
            r"bandwidth_hz.*hides .* of the 24 steps.*\n.*Set the bandwidth to [\d.]+ kHz",
        ),
        ("petra_3d", {"tr_s": 0.002}, r"TR \(tr_s\) 2 ms is too short.*\n.*Set TR to [\d.]+ ms"),
        ("spiral_2d", {"te_s": 0.001}, r"TE \(te_s\) 1 ms is too short.*\n.*Set TE to [\d.]+ ms"),
        (
            "spiral_2d",
            {"n_interleaves": 1, "n_matrix": 256},
            r"\(n_interleaves\), 1, a spiral lasts.*\n.*Set interleaves to",
        ),
        ("radial_2d", {"te_s": 0.002}, r"TE \(te_s\) 2 ms is too short.*\n.*Set TE to [\d.]+ ms"),
        ("radial_2d", {"slices": 9}, r"TR \(tr_s\) 100 ms is too short for 9 slices.*\n.*or measure 4 slices or fewer"),
    ],
)
def test_what_cannot_be_played_is_refused_with_what_can(name, values, message):
    with pytest.raises(SequenceError, match=message):
        build(name, values, load_scanner("osii-one"))


def test_the_widest_bandwidth_suggested_for_petra_is_possible():
    scanner = load_scanner("osii-one")
    with pytest.raises(SequenceError) as caught:
        build("petra_3d", {"bandwidth_hz": 60e3, "rf_s": 8e-6}, scanner)
    widest_hz = float(caught.value.remedy.split("to ")[1].split()[0]) * 1e3
    assert (
        build("petra_3d", {"bandwidth_hz": widest_hz, "rf_s": 8e-6, "n_spokes": 50, "tr_s": 0.02}, scanner).report[
            "HiddenRadius"
        ]
        < 20
    )
