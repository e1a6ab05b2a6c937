# SPDX-License-Identifier: MIT
"""Numbers, names and dates as DICOM wants them, and what is refused."""

import dataclasses
import math
from datetime import date

import pytest

from isocenter.dicom import text
from isocenter.dicom.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, new_uid
from isocenter.domain.errors import DicomError
from isocenter.domain.patient import Patient

PATIENT = Patient(patient_id="1", family_name="Doe", given_name="Jane", birth_date=date(1980, 2, 29))


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1 / 3, -1 / 3, math.pi * 1e8, -1.23456789012345e-7, 1e300, -2.5e-300, 123456789012345678.0]
)
def test_decimals_fit_into_sixteen_characters_and_keep_their_value(value):
    written = text.decimal(value)
    assert len(written) <= 16
    assert float(written) == pytest.approx(value, rel=1e-8)
    assert written != "-0"


def test_values_that_are_no_numbers_are_refused():
    for value in (math.nan, math.inf):
        with pytest.raises(DicomError, match=r"cannot be written[\s\S]*images"):
            text.decimal(value)


def test_identifiers_are_valid_and_never_the_same():
    uids = {new_uid() for _ in range(100)} | {IMPLEMENTATION_CLASS_UID}
    assert len(uids) == 101
    for uid in uids:
        assert uid.startswith("2.25.")
        assert len(uid) <= 44
        assert not uid.split(".")[2].startswith("0")
        assert int(uid.split(".")[2]) < 2**128
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16


def test_times_keep_their_zone():
    moment = text.parse_time("2026-03-01T09:15:00.25-03:30", "start")
    assert (text.dicom_date(moment), text.dicom_time(moment), text.zone(moment)) == ("20260301", "091500.250000", "-0330")
    for wrong in ("yesterday", "2026-03-01T09:15:00"):
        with pytest.raises(DicomError, match=r"not a time with a time zone[\s\S]*clock"):
            text.parse_time(wrong, "start")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient_id": ""}, r"patient ID is empty[\s\S]*number"),
        ({"patient_id": "x" * 65}, r"65 characters; DICOM keeps 64[\s\S]*Shorten"),
        ({"patient_id": "a\\b"}, r"contains the character '\\'"),
        ({"family_name": "Doe^Jane"}, r"family name contains '\^'[\s\S]*Correct"),
        ({"given_name": "a=b"}, r"given name contains '='"),
        ({"family_name": "x\ny"}, r"U\+000A"),
        ({"family_name": "F" * 60, "given_name": "G" * 4}, r"65 characters"),
        ({"family_name": " ", "given_name": ""}, r"has no name[\s\S]*family name"),
        ({"weight_kg": 0.0}, r"weight is 0[\s\S]*leave it empty"),
        ({"height_m": -1.7}, r"height is -1\.7"),
    ],
)
def test_patients_that_cannot_be_written_are_refused_at_registration(changes, message):
    text.check_patient(PATIENT)
    with pytest.raises(DicomError, match=message):
        text.check_patient(dataclasses.replace(PATIENT, **changes))


@pytest.mark.parametrize(
    ("born", "on", "expected"),
    [
        (date(1980, 2, 29), date(2026, 2, 28), "045Y"),
        (date(1980, 2, 29), date(2026, 3, 1), "046Y"),
        (date(2025, 12, 24), date(2026, 3, 1), "002M"),
        (date(2024, 3, 2), date(2026, 3, 1), "023M"),
        (date(2026, 3, 1), date(2026, 3, 1), "000M"),
        (date(2026, 3, 2), date(2026, 3, 1), ""),
        (None, date(2026, 3, 1), ""),
    ],
)
def test_age_on_the_day(born, on, expected):
    assert text.age(dataclasses.replace(PATIENT, birth_date=born), on) == expected


def test_names_of_staff_get_a_caret():
    assert text.person("Sukarno", "operator") == "Sukarno^"
    assert text.person("Smith^Al", "operator") == "Smith^Al"
    assert text.person("", "operator") == ""


def test_free_text_is_cut_and_cleaned():
    assert text.free_text(" a\\b\nc ", 64) == "a/b c"
    assert len(text.free_text("x" * 100, 64)) == 64
    assert text.code_string(" brain ") == "BRAIN"
    assert text.code_string("left knee!") == ""
