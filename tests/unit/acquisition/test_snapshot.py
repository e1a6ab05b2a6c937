# SPDX-License-Identifier: MIT
"""What a scan uses: what holds, nothing else, and it says why."""

import math
from dataclasses import replace
from datetime import datetime

import pytest

from isocenter.acquisition.prescan.snapshot import snapshot
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.scanner import nominal_calibration

SCANNER = load_scanner("osii-one")
NOW_S = 1_790_000_000.0
HERE = {"now_s": NOW_S, "temperature_c": 24.5, "coil": "head", "subject": "exam-1"}
LARMOR = CalibrationValue(
    quantity=Quantity.LARMOR,
    value=(SCANNER.magnet.larmor_hz + 1234.0,),
    sd=(3.0,),
    measured_at_s=NOW_S - 120,
    temperature_c=24.45,
    coil="head",
    holds_s=900.0,
    holds_c=0.1,
)
SCALE = CalibrationValue(
    quantity=Quantity.RF_SCALE, value=(0.91,), sd=(0.01,), measured_at_s=NOW_S - 90, coil="head", subject="exam-1"
)
SHIM = CalibrationValue(
    quantity=Quantity.SHIM, value=(1e-5, 2e-5, -3e-5), sd=(1e-6,) * 3, measured_at_s=NOW_S - 80, subject="exam-1"
)


def of(taken, quantity):
    return next(used for used in taken.used if used.quantity is quantity)


def test_what_holds_is_used_with_its_age():
    taken = snapshot(SCANNER, [LARMOR, SCALE, SHIM], **HERE)
    found = taken.calibration
    assert (found.larmor_hz, found.rf_scale, found.shim_t_per_m) == (LARMOR.value[0], 0.91, (1e-5, 2e-5, -3e-5))
    assert datetime.fromisoformat(found.measured_at).timestamp() == NOW_S - 120
    assert of(taken, Quantity.LARMOR).age_s == 120
    assert of(taken, Quantity.LARMOR).value == LARMOR
    assert all(taken.holds(quantity) for quantity in (Quantity.LARMOR, Quantity.RF_SCALE, Quantity.SHIM))


def test_measured_gradients_are_used_but_not_a_reversed_one():
    scale = replace(SHIM, quantity=Quantity.GRADIENT_SCALE, value=(1.02, 0.98, 1.01), subject="")
    delay = replace(SHIM, quantity=Quantity.GRADIENT_DELAY, value=(1e-6, 2e-6, -1e-6), subject="")
    taken = snapshot(SCANNER, [scale, delay], **HERE)
    assert taken.calibration.gradient_scale == (1.02, 0.98, 1.01)
    assert taken.calibration.gradient_delay_s == (1e-6, 2e-6, -1e-6)
    taken = snapshot(SCANNER, [scale, replace(scale, value=(1.0, -1.0, 1.0))], **HERE)
    assert taken.calibration.gradient_scale == (1.0, 1.0, 1.0)
    assert "wiring" in taken.why_not(Quantity.GRADIENT_SCALE)


def test_nothing_measured_is_the_hardware_file_and_says_so():
    taken = snapshot(SCANNER, [], **HERE)
    assert taken.calibration == nominal_calibration(SCANNER)
    assert [used.why_not for used in taken.used] == ["never measured"] * 3
    assert taken.why_not(Quantity.B0_MAP) == "never measured"
    assert not taken.holds(Quantity.LARMOR)


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({"subject": "exam-2"}, {Quantity.RF_SCALE, Quantity.SHIM}),
        ({"coil": "knee"}, {Quantity.LARMOR, Quantity.RF_SCALE}),
        ({"temperature_c": 24.6}, {Quantity.LARMOR}),
        ({"now_s": NOW_S + 800}, {Quantity.LARMOR}),
        ({"temperature_c": math.nan}, set()),
    ],
)
def test_each_condition_takes_away_what_depends_on_it(changed, lost):
    taken = snapshot(SCANNER, [LARMOR, SCALE, SHIM], **{**HERE, **changed})
    assert {used.quantity for used in taken.used if used.value is None} == lost
    nominal = nominal_calibration(SCANNER)
    if Quantity.LARMOR in lost:
        assert (taken.calibration.larmor_hz, taken.calibration.measured_at) == (nominal.larmor_hz, "")
    if Quantity.RF_SCALE in lost:
        assert taken.calibration.rf_scale == nominal.rf_scale
        assert taken.why_not(Quantity.RF_SCALE)


def test_a_value_of_another_coil_in_between_takes_nothing_away():
    knee = replace(LARMOR, coil="knee", value=(SCANNER.magnet.larmor_hz,), measured_at_s=NOW_S - 30)
    taken = snapshot(SCANNER, [LARMOR, knee], **HERE)
    assert taken.calibration.larmor_hz == LARMOR.value[0]


def test_what_was_replaced_does_not_come_back_when_its_successor_ends():
    for_ever = replace(LARMOR, holds_s=math.inf, holds_c=math.inf, value=(SCANNER.magnet.larmor_hz + 9.0,))
    taken = snapshot(SCANNER, [for_ever, replace(LARMOR, measured_at_s=NOW_S - 1000)], **HERE)
    assert taken.calibration == nominal_calibration(SCANNER)
    assert "17 minutes old" in taken.why_not(Quantity.LARMOR)


def test_other_quantities_that_were_measured_are_listed():
    gain = CalibrationValue(quantity=Quantity.RECEIVE_GAIN, value=(62.0,), sd=(0.5,), measured_at_s=NOW_S - 60)
    taken = snapshot(SCANNER, [LARMOR, gain], **HERE)
    assert of(taken, Quantity.RECEIVE_GAIN).value == gain


@pytest.mark.parametrize(
    "absurd",
    [
        replace(LARMOR, value=(42.0,)),
        replace(LARMOR, value=(math.nan,)),
        replace(LARMOR, value=()),
        replace(LARMOR, value=(LARMOR.value[0], 1.0)),
        replace(SCALE, value=(-0.9,)),
        replace(SCALE, value=(0.0,)),
        replace(SHIM, value=(1e-5, math.inf, 0.0)),
        replace(SHIM, value=(1e-5,)),
    ],
)
def test_a_value_that_cannot_be_right_is_never_used(absurd):
    taken = snapshot(SCANNER, [absurd], **HERE)
    assert taken.calibration == nominal_calibration(SCANNER)
    assert not taken.holds(absurd.quantity)
    assert "cannot be right" in taken.why_not(absurd.quantity) or "hardware file" in taken.why_not(absurd.quantity)


def test_of_unknown_age_the_frequency_is_not_used():
    taken = snapshot(SCANNER, [replace(LARMOR, measured_at_s=math.nan), SCALE], **HERE)
    assert not taken.holds(Quantity.LARMOR)
    assert taken.calibration.measured_at == ""
