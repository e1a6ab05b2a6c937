# SPDX-License-Identifier: MIT
"""How DICOM writes numbers, names, dates and text, and what may not be written."""

import math
import re
import unicodedata
from datetime import date, datetime
from typing import Final

from isocenter.domain.errors import DicomError
from isocenter.domain.patient import Patient, Sex

_MAX_DS: Final = 16  # characters of a decimal string (PS3.5 6.2)


def decimal(value: float) -> str:
    """Decimal string of at most 16 characters with as many digits as fit.

    Raises
    ------
    DicomError
        Not a finite number.
    """
    if not math.isfinite(value):
        raise DicomError(
            f"A value of {value} cannot be written to DICOM.", "Look at the images: they were made from invalid data."
        )
    for digits in range(12, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= _MAX_DS:
            return "0" if float(text) == 0 else text
    raise AssertionError("one digit always fits")


def parse_time(text: str, what: str) -> datetime:
    """ISO 8601 time with its zone.

    Raises
    ------
    DicomError
        Not a time, or without a zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise DicomError(
            f"The {what} '{text}' is not a time with a time zone.",
            "Register the exam again; check the computer's clock and zone.",
        )
    return found


def dicom_date(moment: date) -> str:
    """``YYYYMMDD``."""
    return f"{moment.year:04d}{moment.month:02d}{moment.day:02d}"


def dicom_time(moment: datetime) -> str:
    """``HHMMSS.FFFFFF``."""
    return moment.strftime("%H%M%S.%f")


def zone(moment: datetime) -> str:
    """Offset from UTC such as ``+0900``."""
    return moment.strftime("%z")[:5]


def identifier(text: str, what: str, longest: int) -> str:
    """Text that must never be changed, such as a patient's number.

    Raises
    ------
    DicomError
        Too long, or with a character that DICOM cannot keep.
    """
    if len(text) > longest:
        raise DicomError(f"The {what} has {len(text)} characters; DICOM keeps {longest}.", f"Shorten the {what}.")
    _check_characters(text, what)
    return text.strip()


def free_text(text: str, longest: int) -> str:
    """Description cut to length, without control characters; a backslash would split it and becomes a slash."""
    kept = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    return kept.replace("\\", "/").strip()[:longest].strip()


def person(name: str, what: str) -> str:
    """A person's name; one without a caret is a family name and gets one (without it the form is a retired one).

    Raises
    ------
    DicomError
        Longer than 64 characters, or with a backslash or control character.
    """
    name = identifier(name, what, 64)
    if not name or "^" in name:
        return name
    return identifier(f"{name}^", what, 64)


def check_patient(patient: Patient) -> None:
    """Raise DicomError unless the patient's data can be written as they are; best called at registration."""
    identifier(patient.patient_id, "patient ID", 64)
    if not patient.patient_id.strip():
        raise DicomError("The patient ID is empty.", "Enter the patient's number; give a phantom one of its own.")
    for what, part in (("family name", patient.family_name), ("given name", patient.given_name)):
        wrong = sorted(set(part) & set("^="))
        if wrong:
            raise DicomError(
                f"The {what} contains '{wrong[0]}', which DICOM uses to separate the parts of a name.",
                f"Correct the {what}.",
            )
    person(patient.dicom_name, "patient's name")
    if not patient.dicom_name.strip("^ "):
        raise DicomError("The patient has no name.", "Enter at least a family name.")
    for what, value in (("weight", patient.weight_kg), ("height", patient.height_m)):
        if not math.isnan(value) and not 0 < value < 1000:
            raise DicomError(f"The patient's {what} is {value:g}.", f"Correct the {what}, or leave it empty.")


def age(patient: Patient, on: date) -> str:
    """Age such as ``045Y``, in months below two years; empty when it is not known or cannot be."""
    years, born = patient.age_years(on), patient.birth_date
    if years is None or born is None or not 0 <= years <= 999:
        return ""
    if years >= 2:
        return f"{years:03d}Y"
    months = 12 * (on.year - born.year) + on.month - born.month - (1 if on.day < born.day else 0)
    return f"{max(months, 0):03d}M"


def sex(patient: Patient) -> str:
    """``M``, ``F``, ``O`` or empty."""
    return Sex(patient.sex).value


def _check_characters(text: str, what: str) -> None:
    for character in text:
        if character == "\\" or unicodedata.category(character) in {"Cc", "Cs"}:
            shown = character if character == "\\" else f"U+{ord(character):04X}"
            raise DicomError(
                f"The {what} contains the character '{shown}', which DICOM cannot keep.", f"Correct the {what}."
            )


def code_string(text: str) -> str:
    """At most 16 upper case letters, digits, blanks and underscores; anything else gives an empty text."""
    upper = text.strip().upper()
    return upper if re.fullmatch(r"[A-Z0-9_ ]{1,16}", upper) else ""
