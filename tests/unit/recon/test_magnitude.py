# SPDX-License-Identifier: MIT
"""Magnitude in the memory order of the display, by compiled loops and without."""

import itertools

import numpy as np
import pytest

from isocenter.recon import compiled, magnitude
from isocenter.recon.display import Display
from isocenter.recon.magnitude import displayed_magnitude

ORDERS = list(itertools.product((False, True), itertools.product((False, True), repeat=3)))


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def way(request, monkeypatch):
    compiled.warm_up()
    monkeypatch.setattr(magnitude, "_WORTH", 0 if request.param == "compiled" else 2**62)
    return request.param


@pytest.mark.parametrize(("transpose", "flip"), ORDERS)
@pytest.mark.parametrize("shape", [(3, 32, 48), (2, 37, 50), (1, 5, 7), (2, 16, 15)])
def test_every_order_is_shown_without_a_copy(transpose, flip, shape):
    rng = np.random.default_rng(1)
    image = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    display = Display(transpose=transpose, flip=flip, geometry=None)
    before = image.copy()
    found = displayed_magnitude(image, display)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.abs(image.astype(np.complex128)), rtol=2e-7)
    np.testing.assert_array_equal(image, before)
    assert np.shares_memory(display.apply(found), found)


@pytest.mark.parametrize("scale", [1e-37, 1e-25, 1e-16, 1e16, 1e25, 1e37])
def test_values_whose_squares_are_beyond_single_precision_are_exact(scale):
    rng = np.random.default_rng(2)
    shape = (2, 32, 32)
    image = (rng.uniform(0.1, 1, shape) * np.exp(2j * np.pi * rng.uniform(size=shape)) * scale).astype(np.complex64)
    image[0, :20] *= np.float32(1e-3 if scale > 1 else 1e3)  # both kinds in one vector's reach
    found = displayed_magnitude(image, Display(transpose=True, flip=(False, True, False), geometry=None))
    np.testing.assert_allclose(found, np.abs(image.astype(np.complex128)), rtol=2e-7)


def test_zeros_and_what_is_not_a_number_stay_what_they_are():
    image = np.zeros((1, 32, 32), dtype=np.complex64)
    image[0, 3, 4], image[0, 20, 20] = np.nan, np.inf
    found = displayed_magnitude(image, Display(transpose=False, flip=(False, False, True), geometry=None))
    assert np.isnan(found[0, 3, 4])
    assert found[0, 20, 20] == np.inf
    assert np.count_nonzero(found) == 2


def test_parts_of_larger_arrays_are_read_right():
    whole = np.arange(2 * 40 * 64, dtype=np.float32).reshape(2, 40, 64).astype(np.complex64)
    display = Display(transpose=False, flip=(False, False, False), geometry=None)
    for part in (whole[:, :, 8:40], whole[:, ::2], whole[1:], whole[::-1]):
        np.testing.assert_array_equal(displayed_magnitude(part, display), part.real)
