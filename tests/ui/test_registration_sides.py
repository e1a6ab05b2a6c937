# SPDX-License-Identifier: MIT
"""Which knee: never guessed, never lost."""

from datetime import date

import pytest
from PySide6.QtWidgets import QWidget

from isocenter.ui.viewmodels.registration import body_part_choices, part_text
from isocenter.ui.views.registration import RegistrationSheet


def test_paired_parts_are_offered_with_their_sides_and_none_is_chosen_beforehand() -> None:
    choices = body_part_choices(("KNEE",))
    assert [value for _, value in choices] == ["", "KNEE:L", "KNEE:R"]
    assert body_part_choices(("HEAD",)) == (("Head", "HEAD:"),)


@pytest.mark.parametrize(("side", "text"), [("L", "Knee, left"), ("R", "Knee, right"), ("", "Knee")])
def test_the_banner_says_the_side(side, text) -> None:
    assert part_text("KNEE", side) == text


def test_an_exam_of_a_knee_begins_only_when_its_side_was_chosen(qtbot) -> None:
    over, begun = QWidget(), []
    qtbot.addWidget(over)
    sheet = RegistrationSheet(over, ("KNEE",), lambda *said: begun.append(said) or True, lambda: date(2026, 1, 1))
    sheet.inputs["patient_id"].setText("1")
    sheet.inputs["family_name"].setText("A")
    sheet.submit()
    assert begun == []
    sheet.body_part.setCurrentIndex(sheet.body_part.findData("KNEE:R"))
    sheet.submit()
    assert [said[2:] for said in begun] == [("KNEE", "R")]
