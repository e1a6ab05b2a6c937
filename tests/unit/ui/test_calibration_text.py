# SPDX-License-Identifier: MIT
"""Calibrations in words: value, spread and validity with their units."""

import math

import pytest

from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.ui.viewmodels.calibration_text import (
    date_text,
    holds_text,
    quantity_text,
    spread_text,
    temperature_text,
    value_text,
)

NAN = float("nan")
TERMS = (0.0081, 12e-3, 0.002, 90e-3, 0.0, 0.0, *(0.0,) * 6, -0.001, 3e-3, *(0.0,) * 4)
TERMS_SD = (0.0002, 1e-3, 0.0001, 4e-3, NAN, NAN, *(NAN,) * 6, 0.0003, 1e-3, *(NAN,) * 4)


def value(quantity, *numbers, sd=(), **changes):
    return CalibrationValue(quantity=quantity, value=numbers, sd=sd, measured_at_s=1.7e9, **changes)


@pytest.mark.parametrize("quantity", Quantity)
def test_every_quantity_has_a_name_for_people(quantity):
    assert quantity_text(quantity) != quantity.value
    assert "_" not in quantity_text(quantity)


def test_eddy_currents_are_told_by_channel_with_share_and_time():
    text = value_text(value(Quantity.EDDY, *TERMS))
    assert text == "x 0.81 % for 12 ms + 0.2 % for 90 ms; y none; z −0.1 % for 3 ms"


def test_the_shift_of_the_field_is_told_in_hertz_for_a_gradient():
    shift_m = 4.3 / (GAMMA_HZ_PER_T * 1e-3)
    text = value_text(value(Quantity.EDDY_B0, *(0.0,) * 6, shift_m, 50e-3, *(0.0,) * 10))
    assert text == "x none; y 4.3 Hz per mT/m for 50 ms; z none"


def test_board_currents_are_told_as_gain_and_zero():
    text = value_text(value(Quantity.GRADIENT_CURRENTS, 0.0041, 1.0309, 0, 0, -0.00393, 0.9824, 0, 0, 7e-8, 0.97087, 0, 0))
    assert text == "gain x +3.09, y −1.76, z −2.91 %; zero x +0.41, y −0.39, z +0.00 % of full scale"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (value(Quantity.GRADIENT_SCALE, 1.0, 1.0, 1.0, sd=(0.001, 0.003, 0.002)), "± 0.3 %"),
        (value(Quantity.GRADIENT_DELAY, 0, 0, 0, sd=(1e-7, 2e-7, 1e-7)), "± 0.2 µs"),
        (value(Quantity.SHIM, 0, 0, 0, sd=(1e-6,) * 3), "± 1 µT/m"),
        (value(Quantity.B0_MAP, 500, sd=(9.0,)), "± 9 Hz"),
        (value(Quantity.EDDY, *TERMS, sd=TERMS_SD), "± 0.03 %"),
        (value(Quantity.GRADIENT_SCALE, 1.0, 1.0, 1.0, sd=(0.001, NAN, 0.002)), "spread not known"),
        (value(Quantity.GRADIENT_SCALE, 1.0, 1.0, 1.0), "spread not known"),
        (value(Quantity.EDDY, *(0.0,) * 18, sd=(NAN,) * 18), "spread not known"),
        (value(Quantity.TUNING, 1, 2, 3, sd=(0.0,) * 3), "spread not known"),
    ],
)
def test_the_spread_is_the_worst_that_is_known(given, text):
    assert spread_text(given) == text


def test_validity_and_temperature_in_words():
    assert holds_text(value(Quantity.GRADIENT_SCALE, 1, 1, 1)) == "until measured again"
    assert holds_text(value(Quantity.LARMOR, 2e6, holds_s=900.0, holds_c=0.1)) == "for 15 min, within 0.1 °C"
    assert temperature_text(NAN) == "temperature not known"
    assert temperature_text(-3.25) == "−3.2 °C"
    assert date_text(math.nan) == "time not known"
    assert len(date_text(1.7e9)) == len("2023-11-14 22:13")
