# SPDX-License-Identifier: MIT
"""The first guess of a warm start: near the truth when the history tells, honest when it does not."""

import math

import numpy as np
import pytest

from isocenter.acquisition.prescan.drift_model import learn_drift
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity

MAGNET = load_scanner("osii-one").magnet  # its file says -2200 Hz per degree
TRUE_SLOPE = -1750.0
AT_25_HZ = MAGNET.larmor_hz - 8000.0


def kept(temperature_c, hz, coil="head"):
    return CalibrationValue(
        quantity=Quantity.LARMOR, value=(hz,), sd=(3.0,), measured_at_s=0.0, temperature_c=temperature_c, coil=coil
    )


def history(n=30, *, seed=1, spread_c=1.0, noise_hz=30.0, slope=TRUE_SLOPE, at_25_hz=AT_25_HZ, coil="head"):
    """Measurements of a room that warms and cools."""
    rng = np.random.default_rng(seed)
    t_c = 25 + spread_c * np.sin(np.arange(n) / 2.5) + 0.1 * spread_c * rng.normal(size=n)
    f_hz = at_25_hz + slope * (t_c - 25) + noise_hz * rng.normal(size=n)
    return [kept(float(t), float(f), coil) for t, f in zip(t_c, f_hz, strict=True)]


def test_the_slope_is_learnt_with_an_honest_spread():
    within = []
    for seed in range(60):
        model = learn_drift(history(seed=seed), MAGNET)
        assert model.is_learnt
        within.append(abs(model.slope_hz_per_c - TRUE_SLOPE) < 2 * model.slope_sd_hz_per_c)
        assert abs(model.slope_hz_per_c - TRUE_SLOPE) < 40
    assert 0.85 < np.mean(within) <= 1.0  # 0.95 of a normal distribution
    assert "was learnt from 30 measurements" in model.text


def test_the_guess_two_degrees_away_is_within_its_span_and_near():
    errors = []
    for seed in range(60):
        guess = learn_drift(history(seed=seed), MAGNET).guess(27.5, "head")
        error_hz = guess.larmor_hz - (AT_25_HZ + TRUE_SLOPE * 2.5)
        assert abs(error_hz) < guess.span_hz
        errors.append(error_hz / guess.sd_hz)
    assert np.sqrt(np.mean(np.square(errors))) < 1.3


@pytest.mark.parametrize("part", [0.1, 0.2])
def test_wrong_values_in_between_do_not_turn_it(part):
    rng = np.random.default_rng(4)
    values = history(40)
    for index in rng.choice(len(values), int(part * len(values)), replace=False):
        value = values[index]
        values[index] = kept(value.temperature_c, value.value[0] + rng.choice([-1, 1]) * rng.uniform(500, 30_000))
    model = learn_drift(values, MAGNET)
    assert model.is_learnt
    assert abs(model.slope_hz_per_c - TRUE_SLOPE) < 60
    assert model.n_left_out >= int(part * 40)


def test_one_wrong_newest_value_makes_the_span_wide_not_the_guess_wrong():
    values = [*history(), kept(25.0, AT_25_HZ + 20_000)]
    guess = learn_drift(values, MAGNET).guess(25.0, "head")
    assert abs(guess.larmor_hz - AT_25_HZ) < 100
    assert guess.span_hz > 20_000


def test_an_exchanged_magnet_starts_anew_and_keeps_nothing_of_the_old_level():
    after = history(12, seed=2, at_25_hz=AT_25_HZ + 25_000)
    model = learn_drift([*history(), *after], MAGNET)
    guess = model.guess(25.0, "head")
    assert abs(guess.larmor_hz - AT_25_HZ - 25_000) < 100
    assert model.n_left_out <= 2
    assert abs(model.slope_hz_per_c - TRUE_SLOPE) < 60


def test_a_coil_that_was_not_used_since_the_magnet_changed_takes_the_other_coils_level():
    knee_before = history(10, seed=3, coil="knee", at_25_hz=AT_25_HZ + 150)
    after = history(12, seed=2, at_25_hz=AT_25_HZ + 25_000)
    guess = learn_drift([*knee_before, *history(), *after], MAGNET).guess(25.0, "knee")
    assert abs(guess.larmor_hz - AT_25_HZ - 25_000) < 150
    assert guess.sd_hz >= 300


def test_each_coil_has_its_level_and_all_share_the_slope():
    head, knee = history(seed=5), history(seed=6, coil="knee", at_25_hz=AT_25_HZ + 400)
    mixed = [value for pair in zip(head, knee, strict=True) for value in pair]
    model = learn_drift(mixed, MAGNET)
    assert abs(model.guess(26.0, "knee").larmor_hz - model.guess(26.0, "head").larmor_hz - 400) < 60
    assert abs(model.slope_hz_per_c - TRUE_SLOPE) < 30
    assert model.n_left_out <= 2


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (history(4), "only 4 measurements"),
        (history(spread_c=0.05), "the temperature differed by only 0.0"),
        (history(noise_hz=3000.0), "scatter too much"),
        (history(slope=+900.0), "check where the temperature sensor sits"),
        (history(slope=-12_000.0), "check where the temperature sensor sits"),
    ],
)
def test_where_the_history_does_not_tell_the_hardware_file_stands_and_that_is_said(values, reason):
    model = learn_drift(values, MAGNET)
    assert not model.is_learnt
    assert model.slope_hz_per_c == MAGNET.drift_hz_per_c
    assert "hardware file's" in model.text
    assert reason in model.text
    guess = model.guess(values[-1].temperature_c, "head")
    assert abs(guess.larmor_hz - values[-1].value[0]) < guess.span_hz


def test_without_a_history_the_whole_range_is_searched():
    model = learn_drift([], MAGNET)
    guess = model.guess(25.0, "head")
    assert (guess.larmor_hz, guess.span_hz) == (MAGNET.larmor_hz, MAGNET.search_span_hz)
    assert math.isnan(guess.sd_hz)
    assert "never measured" in guess.text


def test_one_value_and_no_sensor():
    model = learn_drift([kept(math.nan, AT_25_HZ)], MAGNET)
    guess = model.guess(25.0)
    assert (guess.larmor_hz, guess.span_hz) == (AT_25_HZ, MAGNET.search_span_hz)
    assert "no temperature" in guess.text
    assert learn_drift([kept(25.0, AT_25_HZ)], MAGNET).guess(math.nan).span_hz == MAGNET.search_span_hz


def test_one_value_with_its_temperature_is_carried_over_a_degree():
    guess = learn_drift([kept(25.0, AT_25_HZ)], MAGNET).guess(26.0, "head")
    assert guess.larmor_hz == pytest.approx(AT_25_HZ - 2200)
    assert guess.span_hz >= 2200  # the hardware file's slope may be wrong altogether


def test_the_guess_never_leaves_what_the_scanner_may_play():
    guess = learn_drift([kept(25.0, AT_25_HZ)], MAGNET).guess(200.0, "head")
    assert abs(guess.larmor_hz - MAGNET.larmor_hz) <= MAGNET.search_span_hz


def test_values_outside_of_the_magnets_range_and_other_quantities_do_not_count():
    noise = CalibrationValue(quantity=Quantity.NOISE, value=(1e-6,), sd=(0.0,), measured_at_s=0.0, temperature_c=25.0)
    values = [kept(25.0, MAGNET.larmor_hz + 2 * MAGNET.search_span_hz), noise]
    assert learn_drift(values, MAGNET).levels == ()
