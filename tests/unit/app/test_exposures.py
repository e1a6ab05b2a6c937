# SPDX-License-Identifier: MIT
"""Clocks, names, words, and who is taken for whom."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from isocenter.app.exam_queue import ExamQueue
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.exposures import (
    ExposureLog,
    Exposures,
    RealClock,
    TrainingClock,
    confirmed_by,
    exposure_text,
    file_name,
    subject_for,
)
from isocenter.app.prepare import PreparedScan, check, prepare
from isocenter.app.protocol_check import ProtocolCheck
from isocenter.compiler.check.exposure import Situation
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import LimitError, WrongState
from isocenter.domain.exposure import Exposure, Label, Quantity
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import OperatingMode, Subject
from isocenter.domain.patient import Patient
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner, as_measured, nominal_calibration

SHORT = Protocol(name="Short", sequence="gre_3d", parameters={"n_read": 16, "n_phase": 8, "n_slab": 2, "dummy_shots": 0})
ADULT = Subject(body_part="HEAD", weight_kg=70.0)


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return load_scanner("osii-one")


@pytest.fixture(scope="module")
def prepared(scanner: Scanner) -> PreparedScan:
    return prepare(SHORT, scanner, nominal_calibration(scanner), PatientPosition.HFS, Situation(subject=ADULT))


class HandClock:
    """Stands still until it is moved."""

    name = "hand"

    def __init__(self) -> None:
        self.time_s = 1000.0

    def now_s(self) -> float:
        return self.time_s

    def pass_to(self, time_s: float) -> None:
        self.time_s = max(self.time_s, time_s)


def test_a_training_clock_runs_as_time_does_and_jumps_over_what_was_played():
    clock = TrainingClock()
    earliest_s = time.monotonic()
    before_s = clock.now_s()
    assert earliest_s <= before_s <= time.monotonic()
    clock.pass_to(before_s + 100)
    assert 100 <= clock.now_s() - before_s <= 100 + time.monotonic() - earliest_s
    clock.pass_to(before_s + 50)
    assert clock.now_s() >= before_s + 100, "never back"


def test_the_real_clock_cannot_be_moved():
    clock = RealClock()
    clock.pass_to(clock.now_s() + 1000)
    earliest_s = time.monotonic()
    assert earliest_s <= clock.now_s() <= time.monotonic()
    assert clock.name == RealClock().name == TrainingClock().name, "one boot, one clock"


def test_real_and_virtual_scanners_of_one_name_have_histories_of_their_own(scanner, tmp_path):
    exposures = Exposures(scanner, "none", tmp_path)
    assert exposures.of(is_virtual=True) is not exposures.of(is_virtual=False)
    assert isinstance(exposures.of(is_virtual=True).clock, TrainingClock)
    assert isinstance(exposures.of(is_virtual=False).clock, RealClock), "time cannot be skipped on a real scanner"
    assert isinstance(Exposures(scanner, "wall").of(is_virtual=True).clock, RealClock)
    assert file_name("my scanner/../x", is_virtual=False) == "exposures-my-scanner-..-x.jsonl"
    assert file_name("a", is_virtual=True) != file_name("a", is_virtual=False)


def test_each_segment_is_counted_where_it_is_played(scanner, prepared):
    clock = HandClock()
    log = ExposureLog(scanner, clock)
    planned = prepared.safety.planned
    with log.scan(prepared.safety, scanner, ADULT) as playing:
        playing.before_segment(0, 2.5)
        assert log.history.start_s[0] == 1002.5
        for index in range(1, len(planned.segment_start_s)):
            playing.before_segment(index, 0.0)
        clock.time_s = 1010.0
        assert log.history.total(Quantity.RF_ON_S, 0, 2000) == pytest.approx(
            planned.pulse_end_s.sum() - planned.pulse_start_s.sum()
        )
        playing.completed()
    assert log.mode is OperatingMode.NORMAL


def test_live_currents_are_those_of_the_scanner_as_it_was_measured(scanner, prepared):
    calibration = replace(nominal_calibration(scanner), gradient_scale=(0.5, 1.0, 1.0))
    log = ExposureLog(scanner, HandClock())
    with log.scan(prepared.safety, scanner, ADULT) as playing:
        for index in range(len(prepared.safety.planned.segment_start_s)):
            playing.before_segment(index, 0.0)
        playing.completed()

    def rms_a(calibration):
        return {one.name: one.value for one in log.live(ADULT, calibration)}["x gradient current RMS"]

    assert rms_a(nominal_calibration(scanner)) > 0
    assert rms_a(calibration) == pytest.approx(2 * rms_a(nominal_calibration(scanner))), "half the field from a full ampere"


def test_a_stronger_transmitter_than_the_hardware_file_says_is_no_reason_for_less_sar(scanner):
    """Nobody knows whether the amplifier or the coil is better; of a weaker one, larger amplitudes are asked."""

    def head_sar(rf_scale):
        calibration = replace(nominal_calibration(scanner), rf_scale=rf_scale)
        made = prepare(SHORT, scanner, calibration, PatientPosition.HFS, Situation(subject=ADULT))
        log = ExposureLog(scanner, HandClock())
        with log.scan(made.safety, as_measured(scanner, calibration), ADULT) as playing:
            for index in range(len(made.safety.planned.segment_start_s)):
                playing.before_segment(index, 0.0)
            again = next(one.value for one in playing.safety.exposures if one.title == "head SAR in 6 min")
            playing.completed()
        live = next(one.value for one in log.live(ADULT, calibration) if one.title == "head SAR in 6 min")
        first = next(one.value for one in made.safety.exposures if one.title == "head SAR in 6 min")
        assert again == pytest.approx(first, rel=1e-3)
        assert live == pytest.approx(first, rel=0.02)
        return first

    nominal = head_sar(1.0)
    assert head_sar(1.5) == pytest.approx(nominal, rel=0.02)
    assert head_sar(0.8) == pytest.approx(nominal / 0.8**2, rel=0.02)


def test_what_is_added_while_a_scan_waits_counts_at_its_first_segment(scanner, prepared):
    strong = replace(scanner, safety=replace(scanner.safety, forward_power_w=1e5))
    log = ExposureLog(strong, HandClock())
    need = sum(one.fraction for one in prepared.safety.exposures if one.title == "head SAR in 6 min") * 1e5 / 33
    assert 0 < need < 1
    with log.scan(prepared.safety, strong, ADULT) as playing:
        doses = math.ceil(1 / need)
        for index in range(len(prepared.safety.planned.segment_start_s)):
            rows = log.known.dose(prepared.safety.planned, index, 900.0)
            log._history = log.known.with_dose(replace(rows, values=rows.values * doses))
        with pytest.raises(LimitError, match="With what was played until now, head SAR"):
            playing.before_segment(0, 0.0)
    assert log.known.start_s[-1] < 1000, "and was not counted as played"


def test_a_long_day_stays_short_on_the_disk(scanner, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("isocenter.app.exposures.LARGEST_BYTES", 20_000)
    clock, path = HandClock(), tmp_path / "doses.jsonl"
    log = ExposureLog(scanner, clock, path)
    sizes = []
    for _ in range(60):
        with log.scan(prepared.safety, scanner, ADULT) as playing:
            for index in range(len(prepared.safety.planned.segment_start_s)):
                playing.before_segment(index, 0.0)
            playing.completed()
        clock.time_s += 600.0
        sizes.append(path.stat().st_size)
    assert max(sizes) < 40_000
    again = ExposureLog(scanner, clock, path)
    for quantity in Quantity:
        assert again.history.total(quantity, -math.inf, math.inf) == pytest.approx(
            log.history.total(quantity, -math.inf, math.inf), rel=1e-6
        )


def test_situation_starts_now_or_when_what_is_played_ends(scanner, prepared):
    clock = HandClock()
    log = ExposureLog(scanner, clock)
    assert log.situation(ADULT).starts_s == 1000.0
    log.add(prepared.safety, 0, 1000.0)
    end_s = float(np.max(log.history.start_s + log.history.length_s))
    assert log.situation(ADULT).starts_s == end_s > 1000.0
    clock.time_s = end_s + 5
    assert log.situation(ADULT).starts_s == end_s + 5


def test_only_who_was_registered_as_a_phantom_is_one():
    assert subject_for(None) is None
    assert subject_for(new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")).is_phantom
    person = Patient(patient_id="PHANTOM", family_name="Phantom", weight_kg=70.0)
    subject = subject_for(new_exam(person, PatientPosition.HFS, "HEAD"))
    assert not subject.is_phantom
    assert (subject.body_part, subject.weight_kg) == ("HEAD", 70.0)


def test_a_confirmation_needs_a_name():
    assert confirmed_by(" Dr. Ada ").name == "Dr. Ada"
    with pytest.raises(WrongState, match="Nobody has said who") as refused:
        confirmed_by(" \t")
    assert "responsible" in refused.value.remedy


def test_a_check_tells_exposures_and_what_would_help(scanner):
    calibration = nominal_calibration(scanner)
    good = check(SHORT, scanner, calibration, PatientPosition.HFS, Situation(subject=ADULT))
    assert good.is_playable
    assert math.isnan(good.wait_s)
    assert {"head SAR", "nerve stimulation", "x gradient current"} <= {one.name for one in good.exposures}
    strong = replace(scanner, safety=replace(scanner.safety, forward_power_w=1e9))
    bad = check(SHORT, strong, calibration, PatientPosition.HFS, Situation(subject=ADULT))
    assert not bad.is_playable
    assert bad.wait_s == math.inf, "alone it is too much already"
    assert not bad.needs_first_level
    assert max(one.fraction for one in bad.exposures if one.name == "head SAR") > 1
    desk = check(SHORT, strong, calibration, PatientPosition.HFS)
    assert desk.is_playable, "nobody is named, nobody is refused"
    assert {one.label for one in desk.exposures if one.name == "head SAR"} == {Label.UNKNOWN}


def test_a_queue_takes_a_confirmation_only_where_it_is_asked_for():
    queue, confirmation = ExamQueue(), confirmed_by("Dr. Ada")
    item = queue.add("exam", SHORT)
    with pytest.raises(WrongState, match="still being checked"):
        queue.confirm(item.item_id, confirmation)
    queue.set_check(item.item_id, SHORT, ProtocolCheck(facts=None, problem="too hot", remedy="Wait."))
    with pytest.raises(WrongState, match="not what Short waits for"):
        queue.confirm(item.item_id, confirmation)
    queue.set_check(item.item_id, SHORT, ProtocolCheck(facts=None, problem="nerves", needs_first_level=True))
    queue.confirm(item.item_id, confirmation)
    assert queue.items[0].first_level == confirmation
    assert queue.items[0].check is None
    queue.update(item.item_id, SHORT)
    assert queue.items[0].first_level is None


def _exposure(**changes: object) -> Exposure:
    values = {"name": "head SAR", "value": 0.32, "limit": 3.2, "unit": "W/kg", "window_s": 360.0, "label": Label.BOUND}
    return Exposure(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "head SAR in 6 min: 0.32 of 3.2 W/kg, 10 % (bound)"),
        ({"value": 0.001}, "head SAR in 6 min: 0.001 of 3.2 W/kg, under 1 % (bound)"),
        ({"value": 0.0}, "head SAR in 6 min: 0 of 3.2 W/kg, 0 % (bound)"),
        ({"value": 3.201}, "head SAR in 6 min: 3.2 of 3.2 W/kg, 101 % (bound)"),
        ({"value": 3.199}, "head SAR in 6 min: 3.2 of 3.2 W/kg, 100 % (bound)"),
        ({"limit": math.nan}, "head SAR in 6 min: 0.32 W/kg (bound), no limit"),
        ({"value": math.nan, "label": Label.UNKNOWN, "note": "Why."}, "head SAR in 6 min: unknown. Why."),
        ({"label": Label.UNKNOWN}, "head SAR in 6 min: unknown."),
    ],
)
def test_exposures_in_words_never_make_too_much_look_like_enough(changes, text):
    assert exposure_text(_exposure(**changes)) == text


def test_nothing_is_known_before_anything_was_played(scanner):
    log = ExposureLog(scanner, HandClock())
    assert isinstance(log.history, ExposureHistory)
    live = {one.title: one for one in log.live(ADULT, nominal_calibration(scanner))}
    assert live["head SAR in 6 min"].value == 0
    assert {one.label for one in log.live(None, nominal_calibration(scanner)) if one.name == "head SAR"} == {Label.UNKNOWN}
