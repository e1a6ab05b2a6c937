# SPDX-License-Identifier: MIT
"""Limits of a standard as numbers, and what a weight may be."""

import math
from datetime import date

import pytest

from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import (
    FirstLevelConfirmation,
    OperatingMode,
    Region,
    Subject,
    heart_threshold_t_per_s,
    masses_of,
    nerve_threshold_t_per_s,
    sar_limit_w_per_kg,
    subject_of,
    weight_problem,
)
from isocenter.domain.patient import Exam, Patient

NORMAL, FIRST = OperatingMode.NORMAL, OperatingMode.FIRST_LEVEL


@pytest.mark.parametrize(
    ("region", "mode", "limit"),
    [
        (Region.WHOLE_BODY, NORMAL, 2.0),
        (Region.WHOLE_BODY, FIRST, 4.0),
        (Region.HEAD, NORMAL, 3.2),
        (Region.HEAD, FIRST, 3.2),
        (Region.PARTIAL_BODY, NORMAL, 10 - 8 * 0.25),
        (Region.PARTIAL_BODY, FIRST, 10 - 6 * 0.25),
        (Region.LOCAL, NORMAL, 10.0),
        (Region.LOCAL, FIRST, 20.0),
    ],
)
def test_limits_of_sar_are_those_of_the_standard(region, mode, limit):
    assert sar_limit_w_per_kg(region, mode, exposed_share=0.25, body_part="HEAD") == limit


def test_extremities_may_take_twice_as_much_locally():
    assert sar_limit_w_per_kg(Region.LOCAL, NORMAL, body_part="KNEE") == 20.0
    assert sar_limit_w_per_kg(Region.LOCAL, NORMAL, body_part="") == 10.0


def test_thresholds_of_nerve_and_heart():
    assert nerve_threshold_t_per_s(0.36e-3) == pytest.approx(40.0)
    assert nerve_threshold_t_per_s(1e3) == pytest.approx(20.0, rel=1e-5)
    assert heart_threshold_t_per_s(3e-3) == pytest.approx(20 / (1 - math.exp(-1)))


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject(weight_kg=700.0), "700 kg cannot be; it must be 0.3 to 350 kg"),
        (Subject(weight_kg=0.0), "0 kg cannot be"),
        (Subject(weight_kg=-70.0), "-70 kg cannot be"),
        (Subject(weight_kg=math.inf), "inf kg cannot be"),
        (Subject(weight_kg=70.0, age_years=3), "70 kg cannot be at 3 years"),
        (Subject(weight_kg=90.0, height_m=0.9), "90 kg cannot be at a height of 0.9 m"),
    ],
)
def test_a_weight_that_cannot_be_is_named(subject, words):
    assert words in weight_problem(subject)


@pytest.mark.parametrize(
    "subject",
    [
        Subject(weight_kg=70.0, height_m=1.7, age_years=40),
        Subject(),
        Subject(weight_kg=3.0, age_years=0),
        Subject(weight_kg=7.0, age_years=40),  # too light makes limits stricter
        Subject(weight_kg=5000.0, is_phantom=True),
    ],
)
def test_a_weight_that_may_be_and_an_unknown_one_pass(subject):
    assert weight_problem(subject) == ""


def test_an_unknown_weight_counts_as_the_lightest_of_that_age():
    assert masses_of(Subject(weight_kg=80.0)).is_weighed
    unknown = masses_of(Subject(body_part="HEAD"))
    assert (unknown.body_kg, unknown.is_weighed) == (2.0, False)
    assert masses_of(Subject(age_years=40)).body_kg == 28.0
    assert unknown.head_kg == unknown.exposed_kg == pytest.approx(0.12)


def test_no_part_is_counted_heavier_than_it_is():
    heavy = masses_of(Subject(weight_kg=200.0, body_part="HEAD"))
    assert heavy.head_kg == 4.0
    hand = masses_of(Subject(weight_kg=70.0, body_part="HAND"))
    assert hand.head_kg == 0
    assert hand.exposed_kg == pytest.approx(0.28)
    unknown = masses_of(Subject(weight_kg=70.0))
    assert unknown.head_kg > 0  # it may be a head
    assert unknown.exposed_kg == pytest.approx(0.28)


def test_a_confirmation_names_somebody():
    assert FirstLevelConfirmation(name="Dr. Okello", at="2026-01-01T10:00:00+03:00").name
    with pytest.raises(ValueError, match="name of a person"):
        FirstLevelConfirmation(name=" ", at="2026-01-01T10:00:00+03:00")


def test_the_subject_of_an_exam():
    patient = Patient(patient_id="1", family_name="A", birth_date=date(2020, 5, 1), weight_kg=18.0)
    exam = Exam(
        exam_id="e",
        patient=patient,
        position=PatientPosition.HFS,
        study_uid="1.2",
        frame_of_reference_uid="1.3",
        body_part="HEAD",
        started_at="2026-01-01T10:00:00+03:00",
    )
    subject = subject_of(exam, date(2026, 4, 30))
    assert (subject.body_part, subject.weight_kg, subject.age_years, subject.is_phantom) == ("HEAD", 18.0, 5, False)
