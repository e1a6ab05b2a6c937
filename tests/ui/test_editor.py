# SPDX-License-Identifier: MIT
"""The form of a protocol: what is typed is checked at once, what is refused changes nothing and says so."""

import pytest

from isocenter.app.service import ItemState
from isocenter.domain.geometry import Orientation, PatientPosition
from isocenter.domain.parameters import format_value
from isocenter.domain.scan import Protocol
from isocenter.ui.viewmodels.exam import ExamViewModel


@pytest.fixture
def exam(service, qtbot):
    made = ExamViewModel(service)
    made.register_phantom()
    yield made
    made.detach()


@pytest.fixture
def editor(exam, qtbot):
    exam.add((Protocol(name="TSE", sequence="tse_3d"), Protocol(name="Other", sequence="gre_3d")))
    qtbot.waitUntil(lambda: exam.items[0].check is not None, timeout=20_000)
    exam.select(exam.items[0].item_id)
    return exam.editor


@pytest.mark.parametrize("sequence", ["tse_3d", "gre_3d", "spin_echo_2d", "localizer", "fid", "noise", "frequency"])
def test_every_default_goes_through_the_form_unchanged(exam, sequence):
    exam.add((Protocol(name="x", sequence=sequence),))
    editor = exam.editor
    for field in editor.fields:
        editor.set_text(field.parameter.name, field.text)
    assert editor.refused is None
    shown = {field.parameter.name: field.text for field in editor.fields}
    for parameter in exam.service.parameters(sequence):
        assert editor.protocol.parameters[parameter.name] == pytest.approx(parameter.default)
        assert shown[parameter.name] == format_value(parameter, parameter.default)
    assert not any(field.is_changed for field in editor.fields if field.parameter.kind != "number")


def test_an_accepted_value_reaches_the_queue_and_its_check(exam, editor, qtbot):
    before_s = exam.items[0].check.facts.duration_s
    editor.set_text("tr_s", "1000 ms")
    assert editor.check is None  # what was checked is not what stands there any more
    qtbot.waitUntil(
        lambda: exam.items[0].check is not None and exam.items[0].check.facts.tr_s == pytest.approx(1.0), timeout=20_000
    )
    assert exam.items[0].protocol.parameters["tr_s"] == 1.0
    assert exam.items[0].check.facts.duration_s > 1.5 * before_s


@pytest.mark.parametrize("text", ["abc", "", "300 s", "-5", "1e9", "nan", "12 34"])
def test_a_refused_text_keeps_the_old_value_and_says_which(exam, editor, text):
    editor.set_text("tr_s", "600")
    editor.set_text("tr_s", text)
    field = editor.field("tr_s")
    assert field.text == text
    assert "TR" in field.problem
    assert "10 to 10000 ms" in field.problem
    assert "Until then 600 ms is used" in field.problem
    assert editor.protocol.parameters["tr_s"] == pytest.approx(0.6)
    assert "refused" in exam.why_not_start()


def test_reset_brings_back_what_was_added_and_clears_the_refusal(exam, editor):
    editor.set_text("tr_s", "600")
    editor.set_text("n_read", "many")
    editor.reset()
    assert editor.refused is None
    assert "tr_s" not in editor.protocol.parameters
    assert editor.field("tr_s").text == "500"


def test_leaving_a_refused_text_is_said_aloud(exam, editor, qtbot):
    editor.set_text("tr_s", "abc")
    with qtbot.waitSignal(exam.message_raised) as raised:
        exam.select(exam.items[1].item_id)
    assert raised.args[0].problem == "TR of TSE was left at 500 ms."


def test_changes_are_kept_when_another_entry_is_selected_at_once(exam, editor):
    editor.set_text("tr_s", "700")
    exam.select(exam.items[1].item_id)
    assert exam.service.queue[0].protocol.parameters["tr_s"] == pytest.approx(0.7)
    assert "tr_s" not in exam.service.queue[1].protocol.parameters


def test_place_is_edited_in_millimetres_and_degrees(exam, editor):
    for name, text in (
        ("orientation", "sagittal"),
        ("left", "-12.5"),
        ("head", "30 mm"),
        ("tilt_row", "10"),
        ("swap", "on"),
    ):
        editor.set_text(f"place.{name}", text)
    editor.commit()
    wanted = exam.service.queue[0].protocol.prescription
    assert wanted.orientation is Orientation.SAGITTAL
    assert wanted.centre_lps_m == pytest.approx((-0.0125, 0.0, 0.03))
    assert wanted.tilt_rad == pytest.approx((0.17453293, 0.0))
    assert wanted.swap_read_phase
    reach_mm = exam.service.scanner.magnet.imaging_diameter_m * 500
    editor.set_text("place.left", "900")
    assert f"-{reach_mm:g} to {reach_mm:g} mm" in editor.field("place.left").problem


def test_what_the_scanner_cannot_do_is_said_with_a_remedy_and_blocks_start(exam, editor, qtbot):
    editor.set_text("tr_s", "20")
    qtbot.waitUntil(lambda: editor.check is not None and not editor.check.is_playable, timeout=20_000)
    assert "TR" in editor.check.problem
    assert "Set TR" in editor.check.remedy
    assert "TSE cannot run" in exam.why_not_start()


def test_a_form_is_locked_once_the_scan_is_taken(exam, editor, qtbot):
    exam.start()
    qtbot.waitUntil(lambda: exam.items[0].state is not ItemState.WAITING, timeout=10_000)
    assert editor.is_locked
    before = editor.protocol
    editor.set_text("tr_s", "900")
    assert editor.protocol == before
    exam.stop()
    qtbot.waitUntil(lambda: not exam.status.is_running, timeout=20_000)


def test_a_value_typed_just_before_start_is_the_one_that_is_scanned(exam, editor, qtbot):
    editor.set_text("tr_s", "650")
    exam.start()
    assert exam.service.queue[0].protocol.parameters["tr_s"] == pytest.approx(0.65)
    exam.stop()
    qtbot.waitUntil(lambda: not exam.status.is_running, timeout=20_000)


def test_another_exam_has_none_of_the_entries_and_no_form(exam, editor, qtbot):
    editor.set_text("tr_s", "700")
    exam.end_exam()
    qtbot.waitUntil(lambda: exam.exam is None and exam.items == ())
    assert editor.protocol is None
    assert editor.fields == ()
    exam.register_phantom()
    qtbot.waitUntil(lambda: exam.exam is not None)
    assert exam.service.queue == ()


def test_position_of_the_exam_is_the_registered_one(service, exam, qtbot):
    exam.end_exam()
    exam.register(exam_patient(), PatientPosition.FFDL, "HEAD")
    assert service.exam.position is PatientPosition.FFDL


def exam_patient():
    from isocenter.domain.patient import Patient

    return Patient(patient_id="9", family_name="Nine")
