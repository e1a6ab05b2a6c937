# SPDX-License-Identifier: MIT
"""Solid harmonics obey Laplace's equation, peak at 1 on the unit sphere, and are those that shim coils are named after."""

import numpy as np
import pytest

from isocenter.domain.harmonics import USUAL_NAMES, harmonic_key, harmonic_keys, harmonic_values

RNG = np.random.default_rng(3)


def value(name, places):
    return harmonic_values(np.atleast_2d(places), (harmonic_key(name),))[0]


def test_each_solves_laplace():
    keys, places, step = harmonic_keys(6), 0.6 * RNG.normal(size=(40, 3)), 1e-3
    centre = harmonic_values(places, keys)
    around = sum(harmonic_values(places + sign * step * np.eye(3)[axis], keys) for axis in range(3) for sign in (1, -1))
    assert np.abs((around - 6 * centre) / step**2).max() < 1e-2 * np.abs(centre).max()
    assert np.abs(around - 6 * centre).max() < 1e-8


def test_each_peaks_at_one_on_the_unit_sphere():
    directions = RNG.normal(size=(200_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    peaks = np.abs(harmonic_values(directions, harmonic_keys(6))).max(axis=1)
    assert peaks == pytest.approx(1.0, abs=0.01)


def test_they_are_independent_and_counted():
    keys = harmonic_keys(5)
    assert len(keys) == len(set(keys)) == 36
    assert np.linalg.matrix_rank(harmonic_values(RNG.normal(size=(300, 3)), keys)) == 36


@pytest.mark.parametrize(
    ("name", "polynomial"),
    [
        ("x", lambda x, y, z: x),
        ("y", lambda x, y, z: y),
        ("z", lambda x, y, z: z),
        ("z2", lambda x, y, z: z**2 - (x**2 + y**2) / 2),
        ("xz", lambda x, y, z: 2 * x * z),
        ("yz", lambda x, y, z: 2 * y * z),
        ("x2-y2", lambda x, y, z: x**2 - y**2),
        ("xy", lambda x, y, z: 2 * x * y),
        ("z3", lambda x, y, z: z**3 - 1.5 * z * (x**2 + y**2)),
        ("x3", lambda x, y, z: x**3 - 3 * x * y**2),
        ("y3", lambda x, y, z: 3 * x**2 * y - y**3),
    ],
)
def test_usual_names_mean_what_they_say(name, polynomial):
    places = RNG.normal(size=(50, 3))
    assert value(name, places) == pytest.approx(polynomial(*places.T))


def test_names():
    assert harmonic_key("z2") == (2, 0, False) == harmonic_key("c20")
    assert harmonic_key("s63") == (6, 3, True)
    assert harmonic_key("c1211") == (12, 11, False)
    assert len({harmonic_key(name) for name in USUAL_NAMES}) == len(USUAL_NAMES)
    for wrong in ("", "q", "c", "s20", "c23", "c99x", "c00", "c1313"):
        with pytest.raises(ValueError, match=f"'{wrong}'; use x, y, z"):
            harmonic_key(wrong)
