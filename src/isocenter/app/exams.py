# SPDX-License-Identifier: MIT
"""Registering who is examined."""

import re
import uuid
from datetime import datetime

from isocenter.dicom.identifiers import new_uid
from isocenter.dicom.text import check_patient, code_string
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Exam, Patient, needs_side

_LONGEST_TEXT = 64  # DICOM LO and one component group of PN


def new_exam(
    patient: Patient,
    position: PatientPosition,
    body_part: str,
    description: str = "",
    *,
    laterality: str = "",
    operator: str = "",
) -> Exam:
    """An exam of a patient, with identifiers allocated once and for all.

    Raises
    ------
    WrongState
        The patient cannot be told apart: name or ID is missing, or too long for DICOM. Or nobody said which knee.
    DicomError
        Name, ID, weight or height cannot be written as they are.
    """
    is_paired = needs_side(body_part) and not patient.is_phantom
    if laterality not in {"", "L", "R"} or is_paired != bool(laterality):
        if is_paired:
            raise WrongState(f"Nobody said which {body_part.lower()}.", "Choose left (L) or right (R).")
        raise WrongState(f"{body_part} has no side '{laterality}'.", "Leave the side away.")
    for name, text in (("patient ID", patient.patient_id), ("family name", patient.family_name)):
        if not text.strip():
            raise WrongState(f"The {name} is missing.", f"Enter the {name}; without it images cannot be told apart.")
    for name, text in (("patient ID", patient.patient_id), ("name", patient.dicom_name)):
        if len(text) > _LONGEST_TEXT:
            raise WrongState(f"The {name} has {len(text)} characters; {_LONGEST_TEXT} fit.", f"Shorten the {name}.")
        if "\\" in text or any(ord(character) < 32 for character in text):
            raise WrongState(f"The {name} holds a character that DICOM does not allow.", f"Remove it from the {name}.")
    check_patient(patient)
    if body_part and not code_string(body_part):
        raise WrongState(
            f"'{body_part}' is not a body part that DICOM can keep.", "Use at most 16 plain letters, such as HEAD or KNEE."
        )
    now = datetime.now().astimezone()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", patient.patient_id).strip("-")[:24] or "patient"
    return Exam(
        exam_id=f"{now:%Y%m%d-%H%M%S}-{stem}-{uuid.uuid4().hex[:4]}",
        patient=patient,
        position=position,
        study_uid=new_uid(),
        frame_of_reference_uid=new_uid(),
        body_part=body_part,
        started_at=now.isoformat(timespec="seconds"),
        study_description=description,
        operator=operator,
        laterality=laterality,
    )


def phantom_patient() -> Patient:
    """The test object that stands in when nobody was registered."""
    return Patient(patient_id="PHANTOM", family_name="Phantom", given_name="Virtual", is_phantom=True)
