# SPDX-License-Identifier: MIT
"""Places for spins: smooth at the scale of voxels, without order that a gradient could bring back into phase."""

import numpy as np
import pytest

from isocenter.virtual.physics.points import BAND, TILE_SIDE, fill, load_tile


def _waves(points, turns, direction):
    """Sum over points in a smooth window, relative to all in phase."""
    window = np.prod(np.sin(np.pi * points / 48) ** 2, axis=1)
    return np.abs(np.exp(2j * np.pi * np.outer(turns, points @ direction)) @ window) / window.sum()


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(5)
    return np.concatenate(list(fill(np.zeros(3), np.full(3, 48.0), 1.0, rng)))


def test_the_tile_holds_no_wave_that_an_image_would_show() -> None:
    tile, rng = load_tile(), np.random.default_rng(1)
    assert tile.shape == (TILE_SIDE**3, 3)
    numbers = rng.integers(-9, 10, (500, 3))
    numbers = numbers[(np.linalg.norm(numbers, axis=1) <= BAND * TILE_SIDE) & numbers.any(axis=1)]
    waves = np.exp(2j * np.pi / TILE_SIDE * tile @ numbers.T).mean(axis=0)
    assert np.abs(waves).max() < 1e-5


def test_there_is_one_point_for_each_cube_and_little_grain(points) -> None:
    assert len(points) == pytest.approx(48**3, rel=0.002)
    counts = np.histogramdd(points, bins=12, range=[(0, 48)] * 3)[0]  # cubes of 4 x 4 x 4
    assert counts.std() / counts.mean() < 0.05  # at random it would be 12 %


@pytest.mark.slow
def test_no_moment_of_a_gradient_brings_them_back_into_phase(points) -> None:
    """A lattice would give 1 at whole turns per spacing, along its axes."""
    for direction in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1], [1, -2, 0.5]):
        unit = np.array(direction) / np.linalg.norm(direction)
        assert _waves(points, np.linspace(0.2, 0.75, 100), unit).max() < 0.005
        assert _waves(points, np.linspace(0.75, 3.0, 600), unit).max() < 0.05


def test_the_same_seed_gives_the_same_places() -> None:
    one, two = (np.concatenate(list(fill(np.zeros(3), np.full(3, 20.0), 1.0, np.random.default_rng(3)))) for _ in range(2))
    np.testing.assert_array_equal(one, two)
