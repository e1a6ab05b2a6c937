# SPDX-License-Identifier: MIT
"""A scan that plays some of it again: what the gate predicted holds no more, so limits are looked at anew."""

from dataclasses import replace

import pytest

from isocenter.app.aside import RoomForMore
from isocenter.app.exposures import ExposureLog, Playing
from isocenter.app.prepare import prepare
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ScanEnded
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import Subject
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import nominal_calibration

SCANNER = load_scanner("osii-one")
PERSON = Subject(body_part="HEAD", weight_kg=70.0)
TSE = Protocol(
    name="TSE",
    sequence="tse_3d",
    parameters={"n_read": 32, "n_phase": 16, "n_slab": 4, "echo_train_length": 4, "tr_s": 0.3},
)


class Clock:
    name = "test"

    def __init__(self):
        self.time_s = 0.0

    def now_s(self):
        return self.time_s

    def pass_to(self, time_s):
        self.time_s = max(self.time_s, time_s)


@pytest.fixture
def played():
    """A log, and what plays the segments of a scan whose power is so much times what it is."""

    def make(times):
        safety = replace(SCANNER.safety, forward_power_w=SCANNER.safety.forward_power_w * times)
        scanner = replace(SCANNER, safety=safety)
        prepared = prepare(TSE, SCANNER, nominal_calibration(SCANNER), PatientPosition.HFS)
        log = ExposureLog(scanner, Clock())
        playing = Playing(log, prepared.safety, scanner, PERSON)
        playing.check = lambda _starts_s: None  # the gate let it through as planned
        return RoomForMore(log, prepared, scanner, PERSON, playing), len(prepared.scan.segments), log

    return make


def test_a_scan_as_planned_is_the_gates_affair(played):
    room, n, log = played(1e4)
    for index in range(n):
        room.before_segment(index, 0.05)
    assert len(log.known.start_s) >= n


def test_what_is_played_again_is_counted_and_may_pass(played):
    room, n, log = played(1.0)
    for index in (*range(n), 0, 1):
        room.before_segment(index, 0.05)
    assert log.clock.now_s() > 0
    once = sum(log.known.values[:, 0])
    room.before_segment(2, 0.05)
    assert sum(log.known.values[:, 0]) > once


def test_a_limit_that_would_be_passed_ends_the_scan_before_the_segment(played):
    room, n, log = played(1e4)
    for index in range(n - 1):
        room.before_segment(index, 0.05)
    before = len(log.known.start_s)
    with pytest.raises(ScanEnded, match=r"had to be measured again.*SAR.*kept"):
        room.before_segment(0, 0.05)
    assert len(log.known.start_s) == before, "what is not played is not counted"
