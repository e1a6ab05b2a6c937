# SPDX-License-Identifier: MIT
"""Exposures: before Start and live, with how each is known; and a person's word for first level mode."""

import math
from dataclasses import replace

import pytest

from isocenter.app.service import ItemState, ProtocolCheck
from isocenter.domain.exposure import Exposure, Label
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode
from isocenter.ui.viewmodels.exposure import exposure_health, exposure_line, mode_text, summary, worst
from isocenter.ui.views.exposure import ExposureSheet, FirstLevelSheet

HEAD = Exposure(name="head SAR", value=0.021, limit=3.2, unit="W/kg", window_s=360.0, label=Label.BOUND, note="No share.")
B1 = Exposure(name="B1+rms", value=3.8e-6, limit=math.nan, unit="T", window_s=10.0, label=Label.MODEL)
NERVE = Exposure(name="nerve stimulation", value=0.72, limit=0.8, unit="", window_s=0.0, label=Label.MODEL)
WARM = Exposure(name="coil warming", value=math.nan, limit=30.0, unit="K", window_s=0.0, label=Label.UNKNOWN)
POWER = Exposure(name="forward RF power", value=412.0, limit=400.0, unit="W", window_s=10.0, label=Label.MEASURED)


@pytest.mark.parametrize(
    ("one", "name", "text", "share", "label", "health"),
    [
        (HEAD, "head SAR in 6 min", "at most 0.021 of 3.2 W/kg", "1 %", "bound", "good"),
        (B1, "B1+rms in 10 s", "3.8 µT", "", "model", "none"),
        (NERVE, "nerve stimulation", "72 of 80 %", "90 %", "model", "warning"),
        (WARM, "coil warming", "not known; limit 30 K", "", "unknown", "unknown"),
        (POWER, "forward RF power in 10 s", "412 of 400 W", "103 %", "measured", "bad"),
    ],
)
def test_an_exposure_tells_value_limit_window_and_how_it_is_known(one, name, text, share, label, health):
    line = exposure_line(one)
    assert (line.name, line.text, line.share, line.label, line.health) == (name, text, share, label, health)


def test_small_numbers_are_told_as_a_person_would():
    assert exposure_line(replace(HEAD, value=5.9e-6)).text == "at most 0.001 of 3.2 W/kg"
    assert exposure_line(replace(HEAD, value=5.9e-6, label=Label.MODEL)).text == "less than 0.001 of 3.2 W/kg"
    assert exposure_line(replace(HEAD, value=0.0)).text == "at most 0 of 3.2 W/kg"


def test_what_is_unknown_is_never_good_in_the_summary():
    assert summary((HEAD, WARM)) == (
        "unknown",
        "Head SAR in 6 min: at most 0.021 of 3.2 W/kg (1 %, bound)\nNot known: 1 of 2",
    )
    assert summary(())[0] == "unknown"
    assert summary((HEAD, B1))[0] == "good"
    assert summary((HEAD, WARM, NERVE))[0] == "warning"
    assert summary((HEAD, WARM, POWER))[0] == "bad"


def test_the_nearest_limit_counts_and_what_has_none_does_not():
    assert worst((HEAD, B1, NERVE, WARM)) is NERVE
    assert worst((B1, WARM)) is None
    assert exposure_health(replace(HEAD, value=3.2)) == "warning"
    assert mode_text(OperatingMode.FIRST_LEVEL) == "first level controlled mode"


@pytest.fixture
def waiting(program, qtbot, quick):
    """An entry that waits, checked by the real service."""
    program.exam.register_phantom()
    program.exam.add((quick,))
    qtbot.waitUntil(lambda: program.exam.items[0].check is not None, timeout=60_000)
    return program


def test_a_checked_scan_says_its_exposures_before_start(waiting):
    strip = waiting.place.parameters.exposure
    assert strip.isVisible()
    assert "predicted" in strip.head.text()
    assert "%" in strip.text.text()
    assert strip.text.property("health") in ("good", "unknown", "warning")
    waiting.actions["protocol.exposure"].trigger()
    sheet = waiting.shell.sheet
    assert isinstance(sheet, ExposureSheet)
    texts = sheet.texts
    assert any("RF duty" in text for text in texts)
    assert {"model", "bound"} & set(texts)
    assert any(text.startswith("Played until now, normal mode") for text in texts)
    sheet.dismiss()


def test_what_the_monitor_measures_stands_beside_what_was_played_and_goes_when_it_says_nothing_more(waiting, monkeypatch):
    waiting.actions["protocol.exposure"].trigger()
    sheet, exam = waiting.shell.sheet, waiting.exam
    played = tuple(exam.status.exposures)
    measured = replace(HEAD, name="measured head SAR", label=Label.MEASURED, value=0.4)
    monkeypatch.setattr(exam, "status", replace(exam.status, exposures=(*played, measured)))
    sheet._on_status()
    assert any("measured head SAR in 6 min" in text for text in sheet.texts)
    assert "0.4 of 3.2 W/kg" in sheet.texts
    monkeypatch.setattr(exam, "status", replace(exam.status, exposures=played))
    sheet._on_status()
    assert not any("measured head SAR" in text for text in sheet.texts)
    assert "0.4 of 3.2 W/kg" not in sheet.texts
    sheet.dismiss()


def test_played_exposures_are_seen_in_the_banner_of_every_place(waiting, qtbot):
    program = waiting
    for place in (program.place, program.prescan, program.scanner):
        program.commands.go_to(place)
        assert program.exposure.isVisible()
        assert "normal mode" in program.exposure.accessibleName()
    program.exam.end_exam()
    qtbot.waitUntil(lambda: not program.exposure.isVisible())


def show_item(program, **changes):
    """As if the service had said this of the entry."""
    exam = program.exam
    exam.items = (replace(exam.items[0], **changes),)
    exam.editor.show(exam.items[0])
    exam.editor.check_changed.emit()
    program.actions.refresh()
    return program.place.parameters.exposure


NEEDS = ProtocolCheck(
    facts=None,
    problem="Head SAR would be 3.4 W/kg.",
    remedy="Let a person confirm first level mode.",
    exposures=(replace(NERVE, value=0.9),),
    needs_first_level=True,
)


def test_first_level_is_asked_for_only_where_it_helps_and_needs_a_name(waiting, qtbot):
    strip = show_item(waiting, check=replace(NEEDS, needs_first_level=False))
    assert not strip.confirm.isVisible()
    strip = show_item(waiting, check=NEEDS)
    assert strip.confirm.isVisible()
    assert waiting.actions["protocol.firstlevel"].isEnabled()
    strip.confirm.click()
    sheet = waiting.shell.sheet
    assert isinstance(sheet, FirstLevelSheet)
    assert not sheet.accept.isEnabled()
    qtbot.keyClicks(sheet.person, "Dr. A. Person")
    sheet.accept.click()  # the real entry needs none: the service refuses in words, and the question stays
    assert waiting.shell.sheet is sheet
    assert any("First level mode is not what" in text for text in waiting.shell.messages.texts)
    sheet.dismiss()


def test_who_confirmed_is_shown(waiting):
    confirmation = FirstLevelConfirmation(name="Dr. A. Person", at="2026-11-22T09:31:07+00:00")
    strip = show_item(waiting, check=replace(NEEDS, needs_first_level=False), first_level=confirmation)
    assert strip.confirmed.text() == "▲ First level mode, confirmed by Dr. A. Person at 09:31"


def test_while_it_is_played_the_exposures_are_live(waiting):
    waiting.exam.status = replace(waiting.exam.status, exposures=(POWER,))
    strip = show_item(waiting, state=ItemState.SCANNING)
    assert strip.head.text() == "Exposure now, as played"
    assert "412 of 400 W" in strip.text.text()
    assert strip.text.property("health") == "bad"
