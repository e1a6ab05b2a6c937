# SPDX-License-Identifier: MIT
"""A patient's form: what is taken, what is refused, in words at the field."""

import math
from datetime import date

import pytest

from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Sex
from isocenter.ui.viewmodels.registration import patient_line, phantom, position_text, read_form

TODAY = date(2026, 11, 22)
GOOD = {"patient_id": "000231", "family_name": "Sample", "given_name": "Patient", "birth_date": "1984-03-07", "sex": "F"}


def test_a_full_form_becomes_a_patient():
    read = read_form({**GOOD, "weight_kg": "68 kg"}, TODAY)
    assert read.problems == {}
    patient = read.patient
    assert (patient.patient_id, patient.display_name, patient.sex) == ("000231", "SAMPLE, Patient", Sex.FEMALE)
    assert patient.weight_kg == 68.0
    assert read.note == "SAMPLE, Patient, 42 years"
    assert patient_line(patient, TODAY) == "female · 42 years (1984-03-07) · 68 kg · ID 000231"


def test_id_and_family_name_are_enough_and_the_rest_stays_unknown():
    patient = read_form({"patient_id": " 7 ", "family_name": "范例"}, TODAY).patient
    assert (patient.patient_id, patient.family_name, patient.birth_date, patient.sex) == ("7", "范例", None, Sex.UNKNOWN)
    assert math.isnan(patient.weight_kg)
    assert patient_line(patient, TODAY) == "ID 7"


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("patient_id", "", "Needed"),
        ("family_name", "  ", "Needed"),
        ("family_name", "a^b", "cannot be stored"),
        ("patient_id", "5" * 65, "65 characters; at most 64"),
        ("given_name", "x" * 60, "Shorten"),
        ("birth_date", "7.3.1984", "year-month-day"),
        ("birth_date", "1984-02-30", "year-month-day"),
        ("birth_date", "2026-11-23", "not come yet"),
        ("birth_date", "1884-03-07", "More than 130 years"),
        ("weight_kg", "heavy", "Give 0.3 to 300 kg"),
        ("weight_kg", "6800", "Give 0.3 to 300 kg"),
        ("weight_kg", "nan", "Give 0.3 to 300 kg"),
    ],
)
def test_a_wrong_field_is_refused_in_words(field, text, words):
    read = read_form({**GOOD, field: text}, TODAY)
    assert read.patient is None
    assert words in read.problems[field]


def test_age_counts_completed_years_on_every_day():
    assert read_form({**GOOD, "birth_date": "1984-11-23"}, TODAY).note.endswith("41 years")
    assert read_form({**GOOD, "birth_date": "1984-11-22"}, TODAY).note.endswith("42 years")


def test_a_phantom_is_called_virtual_only_on_a_virtual_scanner():
    assert phantom(is_virtual=True).display_name == "PHANTOM, Virtual"
    assert phantom(is_virtual=False).display_name == "PHANTOM"


def test_all_positions_have_different_words():
    assert len({position_text(position) for position in PatientPosition}) == 8
