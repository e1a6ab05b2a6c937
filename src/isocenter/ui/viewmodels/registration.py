# SPDX-License-Identifier: MIT
"""Registering a patient: text from the form to a Patient, with what is missing said at the field."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient, Sex, needs_side
from isocenter.ui.text import translate

LONGEST_TEXT: Final = 64
OLDEST_YEARS: Final = 130
WEIGHT_LIMITS_KG: Final = (0.3, 300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Outcome of a form.

    Attributes
    ----------
    patient
        None while something is wrong.
    problems
        Sentence by field.
    note
        What follows from the fields, such as the age; for reading back.
    """

    patient: Patient | None
    problems: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def phantom(*, is_virtual: bool) -> Patient:
    """The test object on the table."""
    given = translate("Registration", "Virtual") if is_virtual else ""
    return Patient(patient_id="PHANTOM", family_name=translate("Registration", "Phantom"), given_name=given, is_phantom=True)


def read_form(texts: Mapping[str, str], today: date) -> Registration:
    """Patient from the texts ``patient_id, family_name, given_name, birth_date, sex, weight_kg``."""
    problems: dict[str, str] = {}
    patient_id = _name(texts, "patient_id", problems, is_needed=True)
    family = _name(texts, "family_name", problems, is_needed=True)
    given = _name(texts, "given_name", problems, is_needed=False)
    if not problems and len(f"{family}^{given}") > LONGEST_TEXT:
        problems["given_name"] = translate("Registration", "Both names together have more than 63 characters. Shorten them.")
    born = _birth_date(texts.get("birth_date", ""), today, problems)
    weight_kg = _weight(texts.get("weight_kg", ""), problems)
    if problems:
        return Registration(patient=None, problems=problems)
    patient = Patient(
        patient_id=patient_id,
        family_name=family,
        given_name=given,
        birth_date=born,
        sex=Sex(texts.get("sex", "")),
        weight_kg=weight_kg,
    )
    age = patient.age_years(today)
    note = patient.display_name if age is None else f"{patient.display_name}, {age_text(age)}"
    return Registration(patient=patient, note=note)


def age_text(years: int) -> str:
    """Age in words."""
    return translate("Registration", "{0} years").format(years) if years != 1 else translate("Registration", "1 year")


def position_text(position: PatientPosition) -> str:
    """How the patient lies, in words."""
    ends = {"HF": translate("Registration", "Head first"), "FF": translate("Registration", "Feet first")}
    sides = {
        "S": translate("Registration", "on the back (supine)"),
        "P": translate("Registration", "on the front (prone)"),
        "DR": translate("Registration", "on the right side"),
        "DL": translate("Registration", "on the left side"),
    }
    return f"{ends[position.value[:2]]}, {sides[position.value[2:]]}"


def part_text(part: str, side: str) -> str:
    """Body part in words, with its side if it has one."""
    texts = {"L": translate("Registration", "{0}, left"), "R": translate("Registration", "{0}, right")}
    return texts.get(side, "{0}").format(part.capitalize())


def body_part_choices(body_parts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Text and value (``KNEE:L``) of each choice; with more than one, the first chooses nothing: a side is never guessed."""
    sides = [(part, side) for part in body_parts for side in (("L", "R") if needs_side(part) else ("",))]
    choices = [(part_text(part, side), f"{part}:{side}") for part, side in sides]
    if len(choices) > 1:
        choices.insert(0, (translate("Registration", "Choose"), ""))
    return tuple(choices)


def patient_line(patient: Patient, today: date) -> str:
    """What stands below the name in the banner; what is not known is left out."""
    parts = []
    sexes = {
        Sex.FEMALE: translate("Registration", "female"),
        Sex.MALE: translate("Registration", "male"),
        Sex.OTHER: translate("Registration", "other"),
    }
    if patient.sex in sexes:
        parts.append(sexes[patient.sex])
    age = patient.age_years(today)
    if age is not None and patient.birth_date is not None:
        parts.append(f"{age_text(age)} ({patient.birth_date.isoformat()})")
    if math.isfinite(patient.weight_kg):
        parts.append(f"{patient.weight_kg:g} kg")
    parts.append(translate("Registration", "ID {0}").format(patient.patient_id))
    return " · ".join(parts)


def _name(texts: Mapping[str, str], key: str, problems: dict[str, str], *, is_needed: bool) -> str:
    text = texts.get(key, "").strip()
    if not text and is_needed:
        problems[key] = translate("Registration", "Needed: without it images cannot be told apart.")
    elif len(text) > LONGEST_TEXT:
        problems[key] = translate("Registration", "{0} characters; at most {1} fit.").format(len(text), LONGEST_TEXT)
    elif any(character in "\\^=" or ord(character) < 32 for character in text):
        problems[key] = translate("Registration", "The characters \\ ^ and = cannot be stored. Remove them.")
    return text


def _birth_date(text: str, today: date, problems: dict[str, str]) -> date | None:
    if not text.strip():
        return None
    try:
        born = date.fromisoformat(text.strip())
    except ValueError:
        problems["birth_date"] = translate("Registration", "Write year-month-day, such as 1984-03-07.")
        return None
    if born > today:
        problems["birth_date"] = translate("Registration", "This day has not come yet. Check the year.")
    elif today.year - born.year > OLDEST_YEARS:
        problems["birth_date"] = translate("Registration", "More than {0} years ago. Check the year.").format(OLDEST_YEARS)
    return born


def _weight(text: str, problems: dict[str, str]) -> float:
    text = text.strip().removesuffix("kg").strip().replace(",", ".")
    if not text:
        return math.nan
    try:
        weight_kg = float(text)
    except ValueError:
        weight_kg = math.nan
    low_kg, high_kg = WEIGHT_LIMITS_KG
    if not low_kg <= weight_kg <= high_kg:
        problems["weight_kg"] = translate("Registration", "Give {0:g} to {1:g} kg.").format(low_kg, high_kg)
    return weight_kg
