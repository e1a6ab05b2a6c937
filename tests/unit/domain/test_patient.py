# SPDX-License-Identifier: MIT
"""Names and ages."""

from datetime import date

import pytest

from isocenter.domain.patient import Patient

PERSON = Patient(patient_id="1", family_name="Sample", given_name="Pat", birth_date=date(2000, 6, 10))


@pytest.mark.parametrize(
    ("day", "age"),
    [
        (date(2024, 3, 20), 23),
        (date(2024, 6, 9), 23),
        (date(2024, 6, 10), 24),
        (date(2024, 12, 1), 24),
        (date(2000, 6, 10), 0),
    ],
)
def test_age_counts_completed_years(day, age) -> None:
    assert PERSON.age_years(day) == age


def test_one_name_keeps_its_caret() -> None:
    assert Patient(patient_id="2", family_name="Sukarno").dicom_name == "Sukarno^"


def test_unknown_birth_date_gives_no_age() -> None:
    assert Patient(patient_id="3", family_name="A").age_years(date(2024, 1, 1)) is None
