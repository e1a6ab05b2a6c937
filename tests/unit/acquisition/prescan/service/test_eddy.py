# SPDX-License-Identifier: MIT
"""Eddy currents from what they leave: exponentials are found, nothing is nothing, and nonsense is refused."""

import numpy as np
import pytest

from isocenter.acquisition.prescan.service.eddy import EddyTiming, fit_eddy, phase_between, response_s, unwrapped_from_end
from isocenter.domain.errors import AcquisitionError

TIMING = EddyTiming(delays_s=np.geomspace(0.15e-3, 0.16, 14), te_s=5e-3, pulse_s=0.1, ramp_s=0.3e-3)
GRADIENT = 200e3
SD = 2e-3


def measured(terms, seed=1, sd=SD, timing=TIMING):
    shares, taus_s = (np.array(column, dtype=float) for column in zip(*terms, strict=True))
    clean = GRADIENT * response_s(timing, taus_s) @ shares
    return clean + np.random.default_rng(seed).normal(0, sd, len(clean))


def field_after(timing, share, tau_s, t_s):
    """Field at times after a trapezoid of one, by stepping through its ramps: another road than the formula's."""
    steps = 4000
    ramp = (np.arange(steps) + 0.5) / steps * timing.ramp_s
    up, down = ramp, timing.pulse_s - timing.ramp_s + ramp
    end = timing.pulse_s
    left = lambda at: np.exp(-(end - at[:, None] + t_s) / tau_s).mean(axis=0)  # noqa: E731
    return share * (left(up) - left(down))


def test_the_response_is_that_of_many_small_steps():
    tau_s = 2.5e-3
    response = response_s(TIMING, np.array([tau_s]))[:, 0]
    for delay_s, value in zip(TIMING.delays_s, response, strict=True):
        t_s = delay_s + (np.arange(2000) + 0.5) / 2000 * TIMING.te_s
        assert value == pytest.approx(field_after(TIMING, 1.0, tau_s, t_s).mean() * TIMING.te_s, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize(
    "terms",
    [
        [(-0.01, 3e-3)],
        [(-0.01, 3e-3), (-0.005, 40e-3)],
        [(0.02, 0.6e-3), (-0.004, 60e-3)],
        [(-0.02, 0.5e-3), (-0.01, 6e-3), (-0.006, 80e-3)],
    ],
)
def test_exponentials_are_found(terms):
    found = fit_eddy(measured(terms), SD, GRADIENT, TIMING)
    shares, taus_s = zip(*sorted(terms, key=lambda term: term[1]), strict=True)
    assert found.shares == pytest.approx(np.array(shares), rel=0.1)
    assert found.time_constants_s == pytest.approx(np.array(taus_s), rel=0.1)


def test_the_uncertainty_covers_the_truth():
    inside = 0
    for seed in range(20):
        found = fit_eddy(measured([(-0.01, 3e-3), (-0.005, 40e-3)], seed=seed), SD, GRADIENT, TIMING)
        assert len(found.shares) == 2
        inside += int(np.all(np.abs(found.shares - [-0.01, -0.005]) < 3 * found.shares_sd))
    assert inside >= 17


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_eddy_current(seed):
    noise = np.random.default_rng(seed).normal(0, SD, len(TIMING.delays_s))
    assert len(fit_eddy(noise, SD, GRADIENT, TIMING).shares) == 0


@pytest.mark.parametrize(("low", "high", "n"), [(1e-3, 0.16, 14), (0.15e-3, 0.05, 14), (0.15e-3, 0.16, 6)])
def test_less_than_three_decades_is_refused(low, high, n):
    short = EddyTiming(delays_s=np.geomspace(low, high, n), te_s=5e-3, pulse_s=0.1, ramp_s=0.3e-3)
    with pytest.raises(AcquisitionError, match=r"do not span three decades") as caught:
        fit_eddy(measured([(-0.01, 3e-3)], timing=short), SD, GRADIENT, short)
    assert "from 0.15 to 150 ms" in caught.value.remedy


def test_what_does_not_matter_is_left_alone():
    small = measured([(-0.00005, 10e-3)], sd=1e-5)
    assert len(fit_eddy(small, 1e-5, GRADIENT, TIMING).shares) == 1
    assert len(fit_eddy(small, 1e-5, GRADIENT, TIMING, least=1e-4).shares) == 0


def test_what_rings_is_refused():
    rings = 30 * np.cos(40 * np.log(TIMING.delays_s))
    with pytest.raises(AcquisitionError, match=r"No sum of up to 3 exponentials"):
        fit_eddy(rings, SD, GRADIENT, TIMING)


@pytest.mark.parametrize("left", [0.05, -2.0])
def test_what_never_dies_out_is_refused(left):
    """A drifting field between the signs looks like this; two huge terms of equal length would explain it."""
    constant = left + np.random.default_rng(3).normal(0, SD, len(TIMING.delays_s))
    with pytest.raises(AcquisitionError, match=r"No sum of up to 3 exponentials"):
        fit_eddy(constant, SD, GRADIENT, TIMING)


PLACE_M = np.linspace(-0.12, 0.12, 131)


def projections(moment_per_m, turns, *, odd=0.0, noise=0.0, seed=1):
    shape = np.clip(1 - (PLACE_M / 0.07) ** 2, 0, None)
    rng = np.random.default_rng(seed)
    out = []
    for sign in (1, 0, -1):
        phase = sign * (moment_per_m * PLACE_M + turns) + (odd if sign > 0 else 0.0)
        error = rng.normal(size=(2, len(PLACE_M)))
        out.append(shape * np.exp(2j * np.pi * phase) + noise * (error[0] + 1j * error[1]) / np.sqrt(2))
    return out


@pytest.mark.parametrize(("moment_per_m", "turns"), [(0.0, 0.0), (8.0, 0.0), (-3.0, 0.11), (0.2, -0.2)])
def test_gradient_and_shift_are_told_apart(moment_per_m, turns):
    moment, shift, sd = phase_between(*projections(moment_per_m, turns, noise=0.003), PLACE_M, 0.003)
    assert moment == pytest.approx(moment_per_m, abs=6 * sd / 0.03)
    assert shift == pytest.approx(turns, abs=6 * sd)


def test_what_does_not_turn_with_the_gradient_is_refused():
    with pytest.raises(AcquisitionError, match=r"does not change its sign") as caught:
        phase_between(*projections(0.5, 0.0, odd=0.15), PLACE_M, 0.003)
    assert "do not move" in caught.value.remedy


def test_too_little_signal_is_refused():
    with pytest.raises(AcquisitionError, match=r"too little signal: 4\.\d times the noise"):
        phase_between(*projections(0.5, 0.0), PLACE_M, 0.22)


def test_turns_are_unwrapped_from_the_end_where_nothing_is_left():
    true = 0.9 * np.exp(-np.arange(16) / 4.0)
    wrapped = (true + 0.25) % 0.5 - 0.25
    np.testing.assert_allclose(unwrapped_from_end(wrapped), true, atol=1e-9)
