# SPDX-License-Identifier: MIT
"""Compiled sums over images against numpy's."""

import numpy as np
import pytest

from isocenter.recon.nufft import vectors


def noise(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize("n", [1, 511, 512, 5000])
def test_steps_of_conjugate_gradients_are_the_formulas(n):
    rng = np.random.default_rng(n)
    image, rest, direction, applied = (noise(rng, n) for _ in range(4))
    expected_image = image + np.float32(0.3) * direction
    expected_rest = rest - np.float32(0.3) * (applied + np.float32(0.1) * direction)
    flat = [vectors.flat(one) for one in (image, rest, direction, applied)]
    assert vectors.product(flat[2], flat[3]) == pytest.approx(np.vdot(direction, applied).real, rel=1e-4, abs=1e-3)
    energy = vectors.descend(*flat, np.float32(0.3), np.float32(0.1))
    np.testing.assert_allclose(image, expected_image, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rest, expected_rest, rtol=1e-5, atol=1e-6)
    assert energy == pytest.approx(np.linalg.norm(expected_rest.astype(complex)) ** 2, rel=1e-5)
    expected = rest + np.float32(0.7) * direction
    vectors.turn_to(flat[2], flat[1], np.float32(0.7))
    np.testing.assert_allclose(direction, expected, rtol=1e-5, atol=1e-6)


def test_a_sum_of_many_small_numbers_keeps_its_digits():
    # Added one by one in single precision, four million times 0.1 stops growing at 2 million parts of it.
    many = np.full(4_000_000, 0.1, dtype=np.float32)
    assert vectors.product(many, np.ones_like(many)) == pytest.approx(4e6 * float(np.float32(0.1)), rel=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1), (4, 7, 5), (2, 40, 33), (3, 9, 8, 20)])
def test_combined_is_the_sum_over_channels(shape):
    rng = np.random.default_rng(2)
    coils, channels = noise(rng, *shape), noise(rng, *shape)
    expected = (coils.astype(complex).conj() * channels).sum(axis=0)
    np.testing.assert_allclose(vectors.combine(coils, channels), expected, rtol=1e-5, atol=1e-5)
    turned = vectors.combine(coils.swapaxes(1, 2), channels.swapaxes(1, 2))
    np.testing.assert_allclose(turned, expected.swapaxes(0, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_weights_are_turned_by_any_angle(n_dim):
    rng = np.random.default_rng(3)
    points, shift_m = rng.uniform(-400, 400, (3000, n_dim)), np.array([0.31, -0.27, 0.4])[:n_dim]
    points[:9, 0] = np.arange(-4, 5) / 8 / shift_m[0]  # the edges between eighths of a turn
    points[:9, 1:] = 0
    weights, found = rng.uniform(0, 1, 3000).astype(np.float32), np.empty(3000, dtype=np.complex64)
    vectors.turned_weights(weights, points, shift_m, vectors.flat(found))
    np.testing.assert_allclose(found, weights * np.exp(-2j * np.pi * (points @ shift_m)), atol=1e-6)
