# SPDX-License-Identifier: MIT
"""What a reading of the RF monitor means: fresh or not, beside what was computed, and never known when it was not told."""

import math
import time
from dataclasses import replace

import pytest

from isocenter.app.measured_power import MeasuredPower, measured_now
from isocenter.config.hardware import load_scanner
from isocenter.domain.device import Condition, DeviceReading, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.exposure import Label
from isocenter.domain.limits import OperatingMode, Subject

ADULT = Subject(body_part="HEAD", weight_kg=70.0)


def told(**values: float) -> DeviceStatus:
    return DeviceStatus(
        role=DeviceRole.SAR_MONITOR,
        name="SAR monitor",
        link=LinkState.CONNECTED,
        answered_s=time.monotonic(),
        reading=DeviceReading(condition=Condition.READY, text="watching", said="sar2.0", values=values),
    )


def test_only_a_fresh_answer_is_the_present():
    both = told(forward_mean_10s_w=2.0, forward_mean_6min_w=1.0)
    assert measured_now((both,)) == MeasuredPower(ten_s_w=2.0, six_min_w=1.0)
    assert not measured_now((replace(both, answered_s=time.monotonic() - 1.5),)).is_known
    assert not measured_now((replace(both, reading=None),)).is_known
    assert not measured_now((told(),)).is_known, "it watches, and tells no power"
    assert not measured_now(()).is_known


def test_watts_become_sar_of_this_patient_and_what_was_not_told_is_unknown():
    scanner = load_scanner("osii-one")
    half = MeasuredPower(ten_s_w=12.8).exposures(scanner, ADULT, OperatingMode.NORMAL)
    found = {one.title: one for one in half}
    head = found["measured head SAR in 10 s"]
    assert (head.value, head.limit, head.label) == (pytest.approx(3.2), 6.4, Label.MEASURED)  # 4 kg
    assert found["measured forward RF power in 10 s"].value == 12.8
    for title in ("measured head SAR in 6 min", "measured forward RF power in 6 min"):
        assert found[title].label is Label.UNKNOWN
        assert math.isnan(found[title].fraction)


def test_nobody_on_the_table_has_no_sar():
    scanner = load_scanner("osii-one")
    found = MeasuredPower(ten_s_w=1.0, six_min_w=1.0).exposures(scanner, None, OperatingMode.NORMAL)
    assert {one.label for one in found if "SAR" in one.name} == {Label.UNKNOWN}
    assert {one.label for one in found if "power" in one.name} == {Label.MEASURED}


def test_an_answer_without_a_window_forgets_nothing_of_what_was_the_most():
    most = (
        MeasuredPower(ten_s_w=5.0).or_more(MeasuredPower(six_min_w=1.0)).or_more(MeasuredPower(ten_s_w=2.0, six_min_w=3.0))
    )
    assert most == MeasuredPower(ten_s_w=5.0, six_min_w=3.0)
    assert not MeasuredPower().or_more(MeasuredPower()).is_known
