# SPDX-License-Identifier: MIT
"""When a calibration holds, and what is said when it does not."""

import math
import re
from dataclasses import replace

import pytest

from isocenter.domain.calibration import CalibrationValue, Quantity

NOW_S = 1_790_000_000.0
VALUE = CalibrationValue(
    quantity=Quantity.LARMOR,
    value=(2.0e6,),
    sd=(3.0,),
    measured_at_s=NOW_S,
    temperature_c=24.0,
    coil="head",
    subject="exam-1",
    holds_s=900.0,
    holds_c=0.1,
)
HERE = {"now_s": NOW_S + 60, "temperature_c": 24.05, "coil": "head", "subject": "exam-1"}


def test_it_holds_under_the_conditions_of_its_measurement():
    assert VALUE.why_not(**HERE) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"now_s": NOW_S + 901}, "15 minutes old"),
        ({"now_s": NOW_S - 5}, "clock was set back"),
        ({"temperature_c": 24.2}, r"changed by \+0.2 degrees"),
        ({"coil": "knee"}, "with the coil head, not knee"),
        ({"subject": "exam-2"}, "somebody or something else"),
    ],
)
def test_each_change_is_named(changed, reason):
    assert re.search(reason, VALUE.why_not(**{**HERE, **changed}))


def test_an_unknown_temperature_is_not_held_against_it_but_its_age_is():
    assert VALUE.why_not(**{**HERE, "temperature_c": math.nan}) == ""
    assert "15 minutes" in VALUE.why_not(**{**HERE, "temperature_c": math.nan, "now_s": NOW_S + 901})


def test_of_unknown_age_only_what_holds_until_it_is_replaced_holds():
    lost = replace(VALUE, measured_at_s=math.nan)
    assert "of unknown age" in lost.why_not(**HERE)
    assert replace(lost, holds_s=math.inf).why_not(**HERE) == ""


def test_whom_it_is_for_does_not_depend_on_its_age():
    old = replace(VALUE, measured_at_s=NOW_S - 1e8)
    assert old.why_not_for(coil="head", subject="exam-1") == ""
    assert old.why_not_for(coil="knee", subject="exam-1")
