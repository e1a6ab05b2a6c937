# SPDX-License-Identifier: MIT
"""Registration: nobody without identity, no two exams alike."""

import pytest

from isocenter.app.exams import new_exam
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient


def _exam(**changes):
    fields = {"patient_id": "000231", "family_name": "Sample", **changes}
    return new_exam(Patient(**fields), PatientPosition.HFS, "HEAD")


def test_a_knee_needs_its_side_and_a_head_has_none() -> None:
    patient = Patient(patient_id="1", family_name="A")
    with pytest.raises(WrongState, match=r"which knee.\n.*left \(L\) or right"):
        new_exam(patient, PatientPosition.FFS, "KNEE")
    with pytest.raises(WrongState, match="HEAD has no side 'L'"):
        new_exam(patient, PatientPosition.HFS, "HEAD", laterality="L")
    assert new_exam(patient, PatientPosition.FFS, "KNEE", laterality="R").laterality == "R"


def test_two_exams_of_one_patient_share_no_identifier() -> None:
    first, second = _exam(), _exam()
    assert first.exam_id != second.exam_id
    assert len({first.study_uid, second.study_uid, first.frame_of_reference_uid, second.frame_of_reference_uid}) == 4
    assert first.study_uid.startswith("2.25.")
    assert len(first.study_uid) <= 64


def test_a_folder_name_never_holds_the_patients_name() -> None:
    assert "Sample" not in _exam().exam_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient_id": " "}, r"patient ID is missing.\n.*cannot be told apart"),
        ({"family_name": ""}, "family name is missing"),
        ({"patient_id": "1" * 65}, "has 65 characters; 64 fit"),
        ({"family_name": "x" * 64}, "has 65 characters"),
        ({"family_name": "a\\b"}, "character that DICOM does not allow"),
        ({"patient_id": "a\nb"}, "character that DICOM does not allow"),
    ],
)
def test_identity_that_dicom_could_not_hold_is_refused(changes, message) -> None:
    with pytest.raises(WrongState, match=message):
        _exam(**changes)


@pytest.mark.parametrize("patient_id", ["../../etc", "ID 1/2", "مريض", "--"])
def test_any_id_gives_a_folder_name_that_stays_in_place(patient_id) -> None:
    exam_id = _exam(patient_id=patient_id).exam_id
    assert "/" not in exam_id
    assert ".." not in exam_id
