# SPDX-License-Identifier: MIT
"""Who is examined."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from isocenter.domain.geometry import PatientPosition


class Sex(StrEnum):
    """As DICOM writes it (0010,0040); empty when not known."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"
    UNKNOWN = ""


UNPAIRED_PARTS: Final = frozenset(
    {
        *("ABDOMEN", "BLADDER", "BRAIN", "CHEST", "COCCYX", "CSPINE", "HEAD", "HEART", "JAW", "LIVER", "LSPINE", "NECK"),
        *("PANCREAS", "PELVIS", "PROSTATE", "SKULL", "SSPINE", "TSPINE", "UTERUS"),
    }
)


def needs_side(body_part: str) -> bool:
    """True for parts that a body has two of: somebody must say which one (DICOM 0020,0060)."""
    return body_part not in UNPAIRED_PARTS and body_part != "PHANTOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A person, or a phantom.

    Attributes
    ----------
    patient_id
        Never empty, at most 64 characters.
    family_name, given_name
        As written by the clinic, any script.
    birth_date
        None when not known.
    weight_kg, height_m
        NaN when not known.
    is_phantom
        True for a test object; then there is no person behind the name.
    """

    patient_id: str
    family_name: str
    given_name: str = ""
    birth_date: date | None = None
    sex: Sex = Sex.UNKNOWN
    weight_kg: float = float("nan")
    height_m: float = float("nan")
    is_phantom: bool = False

    @property
    def dicom_name(self) -> str:
        """``Family^Given``; the caret stays for people with one name."""
        return f"{self.family_name}^{self.given_name}"

    @property
    def display_name(self) -> str:
        """``FAMILY, Given`` as the banner shows it."""
        family = self.family_name.upper()
        return f"{family}, {self.given_name}" if self.given_name else family

    def age_years(self, on: date) -> int | None:
        """Completed years on a day, None when the birth date is not known."""
        if self.birth_date is None:
            return None
        had_birthday = (on.month, on.day) >= (self.birth_date.month, self.birth_date.day)
        return on.year - self.birth_date.year - (0 if had_birthday else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One visit of one patient. Bound to the patient for good: another patient is another exam.

    Attributes
    ----------
    exam_id
        Folder-safe text, unique.
    study_uid, frame_of_reference_uid
        DICOM identifiers, allocated once at registration.
    study_description, accession_number, referring_physician, operator
        Text, may be empty.
    body_part
        DICOM defined term, such as ``HEAD``.
    laterality
        ``L`` or ``R`` for paired body parts, else empty.
    started_at
        ISO 8601 with time zone.
    """

    exam_id: str
    patient: Patient
    position: PatientPosition
    study_uid: str
    frame_of_reference_uid: str
    body_part: str
    started_at: str
    study_description: str = ""
    accession_number: str = ""
    referring_physician: str = ""
    operator: str = ""
    laterality: str = ""
