# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from isocenter.recon.nufft.density import iterated_weights, spoke_weights

GOLDEN_RAD = np.pi * (np.sqrt(5) - 1) / 2


def radial(n_spokes=60, n_samples=64, step_rad=None):
    angle = np.arange(n_spokes) * (step_rad or np.pi / n_spokes)
    radius = (np.arange(n_samples) - n_samples // 2) / n_samples
    return radius[:, np.newaxis] * np.stack([np.sin(angle), np.cos(angle)], axis=1)[:, np.newaxis]


def sphere(n):
    i = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1 - 2 * i / n), np.pi * (1 + 5**0.5) * i
    return np.stack([np.cos(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)], axis=1)


def test_radial_weights_are_the_area_of_the_disc_and_grow_with_radius():
    points, voxel_m = radial() / 2e-3, (2e-3, 2e-3)
    weights = spoke_weights(points, voxel_m)
    assert weights.sum() == pytest.approx(np.pi / 4, rel=1e-3)
    radius = np.linalg.norm(points, axis=2) * 2e-3
    ring = np.pi / 60 / 64 * radius  # area of a ring of one sample's width, shared by 120 half spokes
    middle = (radius > 0) & (radius < 0.49)
    np.testing.assert_allclose(weights[middle], ring[middle], rtol=1e-5)
    # The sample at the centre stands for a disc of half a step's radius, shared by all spokes.
    np.testing.assert_allclose(weights[radius == 0], np.pi * (0.5 / 64) ** 2 / 60, rtol=1e-5)


def test_direction_of_play_does_not_matter():
    points = radial()
    np.testing.assert_allclose(spoke_weights(points[:, ::-1], (1.0, 1.0)), spoke_weights(points, (1.0, 1.0))[:, ::-1])


def test_golden_angles_cover_the_disc_and_averages_share_it():
    points = radial(n_spokes=55, step_rad=GOLDEN_RAD)
    weights = spoke_weights(points, (1.0, 1.0))
    assert weights.sum() == pytest.approx(np.pi / 4, rel=1e-3)
    assert weights[:, 5].max() / weights[:, 5].min() > 1.2  # gaps of two sizes
    twice = spoke_weights(np.concatenate([points, points]), (1.0, 1.0))
    np.testing.assert_allclose(twice[:55], weights / 2, rtol=1e-9)


def test_a_sector_that_was_not_measured_is_not_scaled_up():
    weights = spoke_weights(radial()[:30], (1.0, 1.0))
    assert weights.sum() < 1.15 * np.pi / 8


def test_half_spokes_from_the_centre_cover_the_ball():
    points = sphere(3000)[:, np.newaxis] * (np.arange(16) / 32)[:, np.newaxis]
    weights = spoke_weights(points, (1.0, 1.0, 1.0))
    assert weights.sum() == pytest.approx(4 / 3 * np.pi * (15.5 / 32) ** 3, rel=1e-6)
    without_centre = spoke_weights(points[:, 4:], (1.0, 1.0, 1.0), inner_per_m=4 / 32)
    assert without_centre.sum() == pytest.approx(4 / 3 * np.pi * ((15.5 / 32) ** 3 - (4 / 32) ** 3), rel=1e-6)


def test_a_shorter_spoke_has_no_weight_where_it_has_no_sample():
    points = radial()
    points[3, 60:] = np.nan
    weights = spoke_weights(points, (1.0, 1.0))
    assert np.all(weights[3, 60:] == 0)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[2], spoke_weights(radial(), (1.0, 1.0))[2])


def test_what_is_no_spoke_is_told_apart():
    turns = np.linspace(0, 8 * np.pi, 500)
    spiral = (turns / turns[-1] / 2)[:, np.newaxis] * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    assert spoke_weights(spiral[np.newaxis], (1.0, 1.0)) is None
    lines = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.5, 0.5, 9), indexing="ij"), axis=-1)
    assert spoke_weights(lines, (1.0, 1.0)) is None
    cap = sphere(3000)[:1000, np.newaxis] * (np.arange(16) / 32)[:, np.newaxis]
    assert spoke_weights(cap, (1.0, 1.0, 1.0)) is None  # a third of a 3D scan: directions are not even
    assert spoke_weights(np.zeros((0, 5, 2)), (1.0, 1.0)) is None


def test_iterated_weights_agree_with_the_geometry_of_spokes():
    points = radial(n_spokes=100)
    exact, found = spoke_weights(points, (1.0, 1.0)), iterated_weights(points.reshape(-1, 2), (64, 64), (1.0, 1.0))
    radius = np.linalg.norm(points, axis=2).reshape(-1)
    middle = (radius > 0.08) & (radius < 0.42)
    np.testing.assert_allclose(found[middle], exact.reshape(-1)[middle], rtol=0.12)
    assert found[middle].sum() == pytest.approx(exact.reshape(-1)[middle].sum(), rel=0.02)


def test_iterated_weights_of_a_cartesian_set_are_all_alike():
    axis = (np.arange(24) - 12) / 24
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(iterated_weights(points, (24, 24), (1.0, 1.0)), 1 / 24**2, rtol=0.02)
    assert iterated_weights(np.zeros((0, 2)), (24, 24), (1.0, 1.0)).shape == (0,)
