# SPDX-License-Identifier: MIT
"""Linear shim from a measured field: least squares within limits, and the truth about what it cannot do."""

import numpy as np
import pytest

from isocenter.acquisition.prescan.service.field import FieldSamples, fit_shim, require_ball
from isocenter.acquisition.prescan.service.field_steps import second_order_text, shim_room
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.units import GAMMA_HZ_PER_T

WIDE = np.full(3, -1e6), np.full(3, 1e6)


def ball(n=3000, radius_m=0.07, seed=1):
    rng = np.random.default_rng(seed)
    places = rng.uniform(-radius_m, radius_m, (4 * n, 3))
    return places[np.linalg.norm(places, axis=1) < radius_m][:n]


def samples(frequency, places, noise=0.0, seed=2):
    rng = np.random.default_rng(seed)
    return FieldSamples(
        position_m=places,
        frequency_hz=frequency + rng.normal(0, noise, len(places)),
        weight=rng.uniform(0.2, 1, len(places)),
    )


def test_linear_terms_are_found():
    places = ball()
    true = np.array([4000.0, -2500.0, 900.0])
    fit = fit_shim(samples(300 + places @ true, places, noise=20.0), *WIDE)
    assert fit.gradient_hz_per_m == pytest.approx(true, rel=0.02)
    assert np.all(np.abs(fit.gradient_hz_per_m - true) < 5 * fit.gradient_sd_hz_per_m + 0.001 * np.abs(true))
    assert fit.predicted_hz == pytest.approx(20, rel=0.1)
    assert not fit.is_limited
    assert not second_order_text(fit)


def test_outliers_have_little_say():
    places = ball()
    field = places @ np.array([4000.0, -2500.0, 900.0])
    field[places[:, 0] > 0.06] += 2500  # a wrapped patch
    assert fit_shim(samples(field, places, noise=10.0), *WIDE).gradient_hz_per_m == pytest.approx(
        [4000, -2500, 900], rel=0.05
    )


def test_a_limit_is_kept_and_told():
    places = ball()
    fit = fit_shim(samples(places @ np.array([9000.0, 500.0, 0.0]), places, 5.0), np.full(3, -3000.0), np.full(3, 3000.0))
    assert fit.is_limited
    assert fit.gradient_hz_per_m[0] == pytest.approx(3000, rel=1e-3)
    assert fit.gradient_hz_per_m[1] == pytest.approx(500, abs=150)  # places are random, so that axes hang together a little


def test_a_magnet_like_those_measured_needs_second_order():
    """An unshimmed small Halbach magnet: standard deviation 2386 ppm, 2371 after linear terms, 949 after second order.

    Source: reference domain.md 0, fact 5. Made of harmonics so that the three figures come out.
    """
    from isocenter.recon.correct.harmonics import basis

    places, rng = ball(20000), np.random.default_rng(5)
    table = basis(places / 0.07, 4)

    def part(columns, size):
        field = table[:, columns] @ rng.normal(size=len(columns))
        field -= field.mean()
        return field / field.std() * size

    first = places @ np.array([1.0, 0.5, -0.7])
    first *= np.sqrt(2386**2 - 2371**2) / first.std()
    order = np.concatenate([[d] * (1 if m == 0 else 2) for m in range(5) for d in range(m, 5)])
    second = part(np.flatnonzero(order == 2), np.sqrt(2371**2 - 949**2))
    fourth = part(np.flatnonzero(order == 4), 949)
    low = table[:, order <= 2]
    fourth = fourth - low @ np.linalg.lstsq(low, fourth, rcond=None)[0]
    fourth *= 949 / fourth.std()
    even = FieldSamples(position_m=places, frequency_hz=2.0 * (first + second + fourth), weight=np.ones(len(places)))
    fit = fit_shim(even, *WIDE)
    assert fit.before_hz / 2 == pytest.approx(2386, rel=0.03)
    assert fit.predicted_hz / 2 == pytest.approx(2371, rel=0.03)
    assert fit.second_order_hz / 2 == pytest.approx(949, rel=0.1)
    assert fit.gain < 0.02
    assert "Linear shims are not what limits this magnet" in second_order_text(fit)


def test_too_few_places_are_refused():
    places = ball(40)
    with pytest.raises(AcquisitionError, match=r"at 40 places only; 64 are needed"):
        fit_shim(samples(places[:, 0], places), *WIDE)


def test_a_plane_is_refused():
    places = ball() * [1, 1, 0.01]
    with pytest.raises(AcquisitionError, match=r"in a plane only") as caught:
        fit_shim(samples(places[:, 0], places), *WIDE)
    assert "as thick as it is wide" in caught.value.remedy


@pytest.mark.parametrize("name", ["osii-one", "osii-mini"])
def test_no_channel_can_be_told_more_than_a_tenth_of_full_scale(name):
    scanner = load_scanner(name)
    turn, old = scanner.gradients.channel_from_device, np.array([2e-4, -1e-4, 0.0])
    low, high = shim_room(scanner, old)
    limit = np.array([0.1 * axis.full_scale_t_per_m for axis in scanner.gradients.axes])
    for taken in (low, high):
        assert np.all(np.abs(old - turn @ taken / GAMMA_HZ_PER_T) <= limit * (1 + 1e-9))
    assert np.all(low < high)


def test_what_is_no_ball_is_refused():
    places = ball()
    require_ball(samples(places[:, 0], places), 0.14)
    sheet = places * [0.1, 1.4, 1.4]
    with pytest.raises(AcquisitionError, match=r"measures 14 x 1\d\d x 1\d\d mm; the phantom is a ball of 140 mm"):
        require_ball(samples(sheet[:, 0], sheet), 0.14)
