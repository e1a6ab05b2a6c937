# SPDX-License-Identifier: MIT
"""The 90° amplitude: right on good series however they were measured, refused with its reason on bad ones."""

import numpy as np
import pytest

from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.acquisition.prescan.nutation import Nutation, fit_nutation

X = np.arange(1, 17) / 16


def wave(x, a90, *, spread=0.0, compression=0.0):
    """Response; ``compression`` is what an amplifier loses at full scale, as the virtual scanner's does."""
    given = x * (1 - compression * x**2)
    at_90 = a90 * (1 - compression * a90**2)
    theta = np.pi / 2 * given / at_90
    return np.sin(theta) * np.exp(-0.5 * (spread * theta) ** 2)


def noise(n, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return sigma * (rng.normal(size=n) + 1j * rng.normal(size=n))


def series(x, a90, *, sigma=0.005, seed=0, scale=0.2, offset=0.0, **shape):
    return scale * (np.exp(0.7j) * wave(x, a90, **shape) + offset + noise(len(x), sigma, seed))


@pytest.fixture(params=["complex", "magnitude"])
def seen(request):
    return np.abs if request.param == "magnitude" else np.asarray


def fitted(x, y, **options):
    got = fit_nutation(x, y, **options)
    assert isinstance(got, Nutation), got
    return got


def refused(x, y, **options):
    got = fit_nutation(x, y, **options)
    assert isinstance(got, Refusal), got
    return got


@pytest.mark.parametrize("a90", [0.21, 0.37, 0.55, 0.8])
def test_a_clean_series_gives_its_amplitude_and_an_honest_spread(seen, a90):
    got = fitted(X, seen(series(X, a90)))
    assert got.a90 == pytest.approx(a90, rel=0.005 if a90 < 0.7 else 0.02)
    assert abs(got.a90 - a90) < 4 * got.a90_sd < 0.06 * a90
    assert got.r2 > 0.99
    assert got.peak == pytest.approx(0.2, rel=0.03)
    assert not np.isfinite(got.ratio) or got.ratio == pytest.approx(2.0, abs=0.05)


def test_pulse_lengths_instead_of_amplitudes_unevenly_spaced_and_out_of_order(seen):
    length_s = np.array([5, 9, 14, 20, 26, 33, 38, 47, 55, 62, 71, 80, 92, 100]) * 1e-6
    length_s = np.random.default_rng(3).permutation(length_s)
    got = fitted(length_s, seen(series(length_s, 35e-6)))
    assert got.a90 == pytest.approx(35e-6, rel=0.01)


def test_seven_points_are_enough_when_they_are_good(seen):
    x = np.arange(1, 8) / 7
    assert fitted(x, seen(series(x, 0.45, sigma=0.003))).a90 == pytest.approx(0.45, rel=0.01)


def test_one_bad_point_is_left_out(seen):
    y = series(X, 0.4)
    y[5] *= 2.5
    got = fitted(X, seen(y))
    assert got.a90 == pytest.approx(0.4, rel=0.01)
    assert 5 in got.outliers


@pytest.mark.parametrize("offset", [0.1, 0.15j])
def test_a_constant_signal_underneath_does_no_harm(seen, offset):
    assert fitted(X, seen(series(X, 0.4, offset=offset))).a90 == pytest.approx(0.4, rel=0.01)


def test_more_than_a_turn_of_an_uneven_coil(seen):
    x = np.arange(1, 25) / 24
    got = fitted(x, seen(series(x, 0.16, spread=0.08)))
    assert got.a90 == pytest.approx(0.16, rel=0.01)
    assert got.b1_spread == pytest.approx(0.08, abs=0.03)


def test_magnitudes_on_a_floor_of_rectified_noise():
    y = np.abs(series(X, 0.3, sigma=0.02))
    assert fitted(X, y, is_recovered=True).a90 == pytest.approx(0.3, rel=0.02)


def test_a_compressing_amplifier_is_named_with_its_ratio(seen):
    problem = refused(X, seen(series(X, 0.3, compression=0.3)), is_recovered=True)
    assert problem.doubt is Doubt.COMPRESSING
    assert "180° needs 2." in problem.problem
    assert "longer RF pulses" in problem.remedy


def test_a_little_compression_is_measured_and_let_through():
    got = fitted(X, series(X, 0.3, compression=0.1, sigma=0.003), is_recovered=True)
    given = np.linspace(0.3, 1, 7001)
    at_180 = given[np.argmax(given * (1 - 0.1 * given**2) >= 2 * 0.3 * (1 - 0.1 * 0.09))]
    assert got.ratio == pytest.approx(at_180 / 0.3, abs=0.03)


@pytest.mark.parametrize("recovery", [0.6, 0.4, 0.2])  # 1 - exp(-TR/T1)
@pytest.mark.parametrize("a90", [0.3, 0.45])
def test_too_short_a_tr_is_seen_or_refused_never_believed(seen, recovery, a90):
    e, theta = 1 - recovery, np.pi / 2 * X / a90
    y = 0.2 * (np.sin(theta) * (1 - e) / (1 - e * np.cos(theta)) + noise(16, 0.002))
    got = fit_nutation(X, seen(y))
    if isinstance(got, Nutation):
        assert got.a90 == pytest.approx(a90, rel=0.03)
        assert got.saturation > 0.1
    else:
        assert got.doubt in {Doubt.SATURATED, Doubt.POOR_FIT, Doubt.COMPRESSING, Doubt.RANGE, Doubt.NO_SIGNAL}


@pytest.mark.parametrize("n", [7, 9, 12, 16])
def test_noise_alone_is_refused(seen, n):
    x = np.arange(1, n + 1) / n
    for seed in range(6):
        assert isinstance(fit_nutation(x, seen(noise(n, 1.0, seed))), Refusal)


def test_noise_of_known_strength_is_no_signal():
    problem = refused(X, noise(16, 0.01), noise=0.01)
    assert problem.doubt is Doubt.NO_SIGNAL
    assert "patient or phantom is in the coil" in problem.remedy


@pytest.mark.parametrize("turns", [0.0, 0.13, 0.47])
def test_a_tone_that_does_not_follow_the_pulses_is_flat(seen, turns):
    tone = np.exp(2j * np.pi * turns * np.arange(16)) + noise(16, 0.03)
    problem = refused(X, seen(tone))
    assert problem.doubt is Doubt.FLAT
    assert "RF amplifier is on" in problem.remedy


def test_a_sweep_that_stays_below_ninety_degrees_says_how_far_it_came(seen):
    problem = refused(X, seen(series(X, 2.2, sigma=0.002)))
    assert problem.doubt is Doubt.RANGE
    assert "° only" in problem.problem


def test_too_few_points():
    assert refused(X[:4], series(X[:4], 0.4)).doubt is Doubt.RANGE


def true_or_refused(x, y, a90, **options):
    got = fit_nutation(x, y, **options)
    if isinstance(got, Nutation):
        assert abs(got.a90 - a90) < 3 * got.a90_sd + 0.005 * a90, got
    return got


@pytest.mark.parametrize("turns_rad", [1.0, 3.0, 10.0])
def test_a_receiver_whose_phase_drifts_through_the_series_does_no_harm(turns_rad):
    y = series(X, 0.3) * np.exp(1j * turns_rad * X)
    assert fitted(X, y).a90 == pytest.approx(0.3, rel=0.005)


@pytest.mark.parametrize("spread_rad", [0.3, 20.0])
def test_a_console_that_starts_each_shot_at_another_phase_does_no_harm(spread_rad):
    y = series(X, 0.3) * np.exp(1j * spread_rad * np.random.default_rng(2).normal(size=len(X)))
    assert fitted(X, y).a90 == pytest.approx(0.3, rel=0.005)


def test_a_series_that_a_little_unevenness_would_explain_as_well_says_so():
    for seed in range(3):
        got = true_or_refused(X, series(X, 0.41, spread=0.1, seed=seed, sigma=0.01), 0.41)
        assert not isinstance(got, Nutation) or got.a90_sd > 0.002 * 0.41


@pytest.mark.parametrize("compression", [0.1, 0.15])
def test_an_amplifier_that_gives_way_is_never_taken_for_an_uneven_coil(seen, compression):
    for seed in range(2):
        true_or_refused(X, seen(series(X, 0.41, compression=compression, seed=seed, sigma=0.01)), 0.41)


def test_a_pulse_that_begins_late_is_no_coil_with_half_its_field_missing():
    """Shaped as a recorded series of pulse lengths: a fifth of the way to 90° passes before the pulse has begun."""
    x = np.linspace(1.0, 15.0, 60)
    theta = np.pi / 2 * np.maximum(x - 1.7, 0.2) / (9.2 - 1.7)
    y = np.abs(np.sin(theta) + noise(60, 0.004))
    true_or_refused(x, y, 9.2)


def test_a_series_around_ninety_degrees_only_is_too_narrow_and_not_flat():
    x = np.linspace(6.0, 11.0, 10)
    problem = refused(x, np.abs(series(x, 7.5, sigma=0.002)))
    assert problem.doubt in {Doubt.RANGE, Doubt.POOR_FIT, Doubt.SATURATED}
    assert "can be told to" in problem.problem or "° only" in problem.problem
