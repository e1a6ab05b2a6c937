# SPDX-License-Identifier: MIT
"""Coils from balls whose places are formulas; balls in images whose voxels are averages over points."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.domain.harmonics import CoilField, harmonic_keys
from isocenter.recon.correct.nonlinearity import ThirdOrderCoils
from isocenter.recon.correct.nonlinearity_fit import fit_coils
from isocenter.recon.correct.nonlinearity_lattice import Lattice, find_balls

RADIUS_M = 0.1
COILS = ThirdOrderCoils(shares=(0.2, 0.15, 0.1), radius_m=RADIUS_M)
AXIS = 0.02 * np.arange(-3, 4)
POINTS = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 3)
POINTS = POINTS[np.linalg.norm(POINTS, axis=1) < 0.075]
TESTED = np.random.default_rng(9).uniform(-0.045, 0.045, (500, 3))


def rms(away):
    return float(np.sqrt(np.mean(away**2)))


def turn_of(angles):
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s, i, j = np.cos(angle), np.sin(angle), (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[i, i] = one[j, j] = c
        one[i, j], one[j, i] = -s, s
        out = one @ out
    return out


def test_third_order_coils_a_turned_and_shifted_phantom_and_wrong_balls():
    rng = np.random.default_rng(0)
    turn, shift = turn_of((0.02, -0.03, 0.05)), np.array([3e-3, -2e-3, 1e-3])
    shown = COILS.apparent_m(POINTS @ turn.T + shift) + 5e-5 * rng.standard_normal(POINTS.shape)
    shown[::25] += 4e-3 * rng.standard_normal(shown[::25].shape)  # balls mistaken for others
    fit = fit_coils(POINTS, shown, radius_m=RADIUS_M, name="n", scanner="s")
    assert {key[0] for key in fit.field.keys} == {1, 3}  # the lowest order that will do
    np.testing.assert_allclose(fit.turn, turn, atol=3e-4)
    np.testing.assert_allclose(fit.shift_m, shift, atol=3e-5)
    assert rms(fit.field.apparent_m(TESTED) - COILS.apparent_m(TESTED)) < 0.05 * rms(COILS.apparent_m(TESTED) - TESTED)
    assert fit.field.rms_m < 2e-4
    assert (fit.field.name, fit.field.scanner, fit.field.n_points) == ("n", "s", len(POINTS))


def test_fifth_order_even_parts_scale_and_skew_are_found_when_they_are_there():
    rng = np.random.default_rng(1)
    keys = tuple(key for key in harmonic_keys(3) if key[0])
    weights = 3e-4 * rng.standard_normal((3, len(keys)))
    linear = [keys.index(key) for key in ((1, 1, False), (1, 1, True), (1, 0, False))]
    weights[:, linear] = RADIUS_M * np.array([[0.02, 0.004, 0], [0.004, -0.03, 0.002], [0, 0.002, 0.01]])
    coils = CoilField(keys=keys, weights_m=weights, radius_m=RADIUS_M, reach_m=1.0, rms_m=0, n_points=1)
    fit = fit_coils(POINTS, coils.apparent_m(POINTS) + 2e-5 * rng.standard_normal(POINTS.shape), radius_m=RADIUS_M)
    assert 2 in {key[0] for key in fit.field.keys}
    np.testing.assert_allclose(fit.scale, (1.02, 0.97, 1.01), atol=1e-3)
    away = fit.field.apparent_m(TESTED) - coils.apparent_m(TESTED)
    assert rms(away - away.mean(axis=0)) < 3e-5


def test_straight_coils_stay_straight():
    rng = np.random.default_rng(2)
    fit = fit_coils(POINTS, POINTS + 1e-4 * rng.standard_normal(POINTS.shape), radius_m=RADIUS_M)
    assert {key[0] for key in fit.field.keys} == {1}
    assert rms(fit.field.apparent_m(TESTED) - TESTED) < 3e-5


def test_refusals_say_what_to_do():
    shown = COILS.apparent_m(POINTS)
    with pytest.raises(ReconError, match=r"Only 8 balls.*at least 12.*\n.*cover it"):
        fit_coils(POINTS[:8], shown[:8], radius_m=RADIUS_M)
    flat = np.abs(POINTS[:, 2]) < 1e-6
    with pytest.raises(ReconError, match=r"lie in one plane.*\n.*three dimensions"):
        fit_coils(POINTS[flat], shown[flat], radius_m=RADIUS_M)
    with pytest.raises(ReconError, match=r"40 mm beside the isocenter.*\n.*Lay it into the middle"):
        fit_coils(POINTS, POINTS + np.array([0.04, 0, 0]), radius_m=RADIUS_M)
    with pytest.raises(ReconError, match=r"turned by 1[12] degrees"):
        fit_coils(POINTS, POINTS @ turn_of((0, 0, 0.2)).T, radius_m=RADIUS_M)
    with pytest.raises(ReconError, match=r"Along y.*1\.2\d* of its size.*\n.*full_scale_t_per_m.*by 1\.2"):
        fit_coils(POINTS, POINTS * [1, 1.2, 1], radius_m=RADIUS_M)
    rng = np.random.default_rng(3)
    with pytest.raises(ReconError, match=r"No gradient coils explain.*mm are left.*\n.*phantom named"):
        fit_coils(POINTS, POINTS + 2e-3 * rng.standard_normal(POINTS.shape), radius_m=RADIUS_M)


def test_far_outside_the_measured_places_the_map_does_not_explode():
    fit = fit_coils(POINTS, COILS.apparent_m(POINTS), radius_m=RADIUS_M)
    field, edge = fit.field, 1.25 * fit.field.reach_m
    direction = np.array([[0.6, 0.0, 0.8]])
    at_edge, far = (field.apparent_m(direction * r) - direction * r for r in (edge, 3 * edge))
    np.testing.assert_allclose(far, at_edge, atol=1e-12)


def drawn(points, radii, shown, n=56, fov_m=0.18):
    """Image of balls, voxels in the order z, y, x, and its grid."""
    rng, image = np.random.default_rng(0), np.zeros((n, n, n))
    for point, radius in zip(points, radii, strict=True):
        inside = rng.uniform(-radius, radius, (12_000, 3))
        inside = inside[(inside**2).sum(axis=1) < radius**2] + point
        places = shown(inside)[:, ::-1] / (fov_m / n) + n // 2
        index = np.rint(places).astype(int)
        np.add.at(image, tuple(index.T), (radius / 4e-3) ** 3)
    return image, np.full(3, -(n // 2) * fov_m / n), fov_m / n * np.eye(3)[::-1]


def lattice(marker=40):
    return Lattice(points_m=POINTS, pitch_m=0.02, ball_radius_m=0.004, marker=marker)


def test_balls_are_found_to_a_tenth_of_a_voxel_and_told_apart_though_the_phantom_lies_shifted():
    shift = np.array([0.011, -0.006, 0.004])  # more than half the pitch: only the larger ball tells

    def shown(places):
        return COILS.apparent_m(places + shift)

    radii = np.where(np.arange(len(POINTS)) == 40, 0.007, 0.004)
    image, first, steps = drawn(POINTS, radii, shown)
    image += 0.02 * image.max() * np.abs(np.random.default_rng(5).standard_normal(image.shape))
    found = find_balls(image.astype(np.float32), first, steps, lattice(), blur_m=0.0032)
    assert len(found.index) >= 0.95 * len(POINTS)
    away = found.shown_m - shown(POINTS[found.index])
    assert np.median(np.linalg.norm(away, axis=1)) < 0.1 * 0.0032
    assert np.linalg.norm(away, axis=1).max() < 0.5 * 0.0032


def test_a_phantom_without_its_larger_ball_is_refused():
    image, first, steps = drawn(POINTS, np.full(len(POINTS), 0.004), lambda places: places)
    with pytest.raises(ReconError, match=r"No ball is clearly the larger one: the brightest has 1\.\d+.*\n.*filled"):
        find_balls(image, first, steps, lattice(), blur_m=0.0032)
    with pytest.raises(ReconError, match="There is no ball"):
        find_balls(0 * image, first, steps, lattice(), blur_m=0.0032)
