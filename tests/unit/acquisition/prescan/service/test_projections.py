# SPDX-License-Identifier: MIT
"""Projections of a ball: its edges, where it lies, which gradient is which; and what is no ball."""

import itertools

import numpy as np
import pytest

from isocenter.acquisition.prescan.service.projections import axis_scale, echo_centre, fit_ball, wiring
from isocenter.domain.errors import AcquisitionError

N, DWELL_S = 129, 26e-6


def ball_line(radius_hz, centre_hz=0.0, *, late_samples=0.0, noise=0.0, exponent=1.0, seed=1):
    """Signal of a ball under a constant gradient, by direct summation over its projection."""
    u = np.linspace(-1, 1, 2001)
    profile = np.clip(1 - u**2, 0, None) ** exponent
    time_s = (np.arange(N) - N // 2 - late_samples) * DWELL_S
    line = np.exp(2j * np.pi * np.outer(time_s, centre_hz + radius_hz * u)) @ profile / profile.sum()
    rng = np.random.default_rng(seed)
    return line + noise * (rng.normal(size=N) + 1j * rng.normal(size=N)) / np.sqrt(2)


@pytest.mark.parametrize("radius_hz", [5e3, 9e3, 12.5e3])
@pytest.mark.parametrize("centre_hz", [0.0, 1700.0, -2300.0])
def test_edges_are_found_to_a_thousandth(radius_hz, centre_hz):
    found = fit_ball(ball_line(radius_hz, centre_hz, noise=0.001), DWELL_S)
    assert found.radius_hz == pytest.approx(radius_hz, rel=2e-3)
    assert found.centre_hz == pytest.approx(centre_hz, abs=15)


def test_its_uncertainty_is_honest():
    found = [fit_ball(ball_line(9e3, 500.0, noise=0.01, seed=seed), DWELL_S) for seed in range(24)]
    scatter = np.std([each.radius_hz for each in found])
    assert 0.4 * scatter < np.median([each.sd_hz for each in found]) < 4 * scatter


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_refused(seed):
    rng = np.random.default_rng(seed)
    with pytest.raises(AcquisitionError, match=r"too little signal .*needed 20") as caught:
        fit_ball(rng.normal(size=N) + 1j * rng.normal(size=N), DWELL_S)
    assert "Put the service phantom into the coil" in caught.value.remedy


def test_a_tone_is_refused():
    with pytest.raises(AcquisitionError, match=r"points wide, which is no phantom"):
        fit_ball(np.exp(2j * np.pi * 4e3 * np.arange(N) * DWELL_S) + 1e-3 * ball_line(9e3), DWELL_S)


def test_two_things_are_refused():
    with pytest.raises(AcquisitionError, match=r"no ball.*differs from one by \d"):
        fit_ball(ball_line(3e3, -7e3) + ball_line(3e3, 7e3) + 0.5 * ball_line(3e3, 1e3), DWELL_S)


def test_the_main_field_cancels_between_polarities():
    gradient, radius_m, background = 160e3, 0.07, 4e3
    scale, shift_m, offset_hz = 1.04, 0.012, 350.0
    lines = [
        ball_line(
            abs(sign * gradient * scale + background) * radius_m,
            (sign * gradient * scale + background) * shift_m + offset_hz,
        )
        for sign in (1, -1)
    ]
    found = axis_scale(*(fit_ball(line, DWELL_S) for line in lines), gradient, radius_m)
    assert found.scale == pytest.approx(scale, rel=2e-3)
    assert found.shift_m == pytest.approx(shift_m, abs=2e-4)
    assert found.background_share == pytest.approx(background / gradient / scale, abs=1e-3)


@pytest.mark.parametrize("late", [0.0, 0.37, -1.6, 3.0])
def test_the_middle_of_an_echo(late):
    assert echo_centre(ball_line(9e3, 800.0, late_samples=late)) == pytest.approx(N // 2 + late, abs=0.02)


def test_every_wiring_is_told_from_every_other():
    centre_m = np.array([0.016, -0.008, 0.024])
    rng = np.random.default_rng(3)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            truth = np.zeros((3, 3))
            truth[range(3), order] = signs
            found, away_m = wiring(truth @ centre_m + rng.normal(0, 5e-4, 3), centre_m)
            np.testing.assert_array_equal(found, truth)
            assert away_m < 3e-3


@pytest.mark.parametrize("centre_m", [(0, 0, 0), (0.02, 0.02, 0.01), (0.02, 0.0, 0.01)])
def test_a_place_that_tells_nothing_is_said_to(centre_m):
    found, _ = wiring(np.array(centre_m, dtype=float), np.array(centre_m, dtype=float))
    assert found is None
