# SPDX-License-Identifier: MIT
"""Flip angles from two signals, and whether the magnetisation came back in between."""

import math

import numpy as np
import pytest

from isocenter.acquisition.prescan.service.b1_steps import evaluate_map
from isocenter.acquisition.prescan.service.double_angle import (
    angle_rad,
    left_after_tr,
    require_recovery,
    require_signal,
    total,
)
from isocenter.domain.errors import AcquisitionError


@pytest.mark.parametrize("degrees", [10, 45, 60, 89, 91, 120, 170])
@pytest.mark.parametrize("phase", [0.0, 2.5])
def test_angles_are_right_on_both_sides_of_90_degrees(degrees, phase):
    angle = math.radians(degrees)
    turn = np.exp(1j * phase)
    found = angle_rad(np.array([np.sin(angle)]) * turn, np.array([np.sin(2 * angle)]) * turn)
    assert math.degrees(found[0]) == pytest.approx(degrees, abs=1e-6)


def test_signals_that_contradict_each_other_are_no_angle():
    assert np.isnan(angle_rad(np.array([0.1]), np.array([1.0])))[0]


@pytest.mark.parametrize("left", [0.0001, 0.01, 0.05, 0.3])
def test_what_has_not_come_back_is_told(left):
    flip = math.pi / 3
    slow, fast = left, math.sqrt(left)
    full, half = ((1 - e) / (1 - e * math.cos(flip)) for e in (slow, fast))
    assert left_after_tr(full, half, flip) == pytest.approx(left, rel=1e-6)


def test_a_long_t1_is_refused():
    full, half = ((1 - e) / (1 - e / 2) for e in (0.2, math.sqrt(0.2)))
    with pytest.raises(AcquisitionError, match=r"After 1 s 20 % of the magnetisation") as caught:
        require_recovery(full, half, math.pi / 3, 1.0)
    assert "shorter T1" in caught.value.remedy
    require_recovery(1.0, 1.0, math.pi / 3, 1.0)


def test_noise_is_no_signal():
    rng = np.random.default_rng(1)
    shots = rng.normal(size=(4, 200)) + 1j * rng.normal(size=(4, 200))
    with pytest.raises(AcquisitionError, match=r"too little signal: [012]\.\d times the noise"):
        require_signal(shots)
    assert require_signal(shots + 30) > 20


def test_one_signal_as_a_multiple_of_another():
    wave = np.exp(-np.arange(300) / 90 + 0.2j * np.arange(300))
    assert total(np.stack([wave, wave]), np.stack([-0.4 * wave, -0.4 * wave])) == pytest.approx(-0.4)


def images(spread, noise, seed=1):
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, 20)] * 3, indexing="ij"))
    angle = math.pi / 4 * (1.05 + spread * place[0])
    inside = (place**2).sum(axis=0) < 0.5
    noises = noise * (rng.normal(size=(2, 20, 20, 20)) + 1j * rng.normal(size=(2, 20, 20, 20))) / math.sqrt(2)
    single, double = (inside * np.sin(times * angle) * np.exp(0.7j) + noises[times - 1] for times in (1, 2))
    return single.astype(np.complex64), double.astype(np.complex64), angle[inside] / (math.pi / 4)


def test_a_map_shows_mean_and_spread_without_its_noise():
    single, double, true = images(0.15, 0.02)
    found = evaluate_map(single, double, math.pi / 4)
    assert found.mean_scale == pytest.approx(true.mean(), rel=0.01)
    assert found.spread == pytest.approx(true.std() / true.mean(), rel=0.05)
    assert found.n_voxels == pytest.approx(len(true), rel=0.02)


def test_a_map_of_noise_is_refused():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(2, 16, 16, 12)) + 1j * rng.normal(size=(2, 16, 16, 12))
    with pytest.raises(AcquisitionError, match=r"voxels show a flip angle; 64 are needed"):
        evaluate_map(noise[0].astype(np.complex64), noise[1].astype(np.complex64), math.pi / 4)
