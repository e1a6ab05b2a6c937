# SPDX-License-Identifier: MIT
"""The Service page on a virtual scanner with a ball in it: a person's word, measure, decide, history; by keys alone."""

import threading
import time
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from isocenter.acquisition.prescan.service import (
    FlipCheckStep,
    GradientCurrentsStep,
    GradientScaleStep,
    ServicePhantom,
)
from isocenter.app import service_calibrations
from isocenter.app.exam_service import ExamService
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient
from isocenter.domain.scenario import Motion, MotionStep, ReceiverFaults, Scenario
from isocenter.ui.views.service_sheets import ConfirmPhantomSheet, HistorySheet
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel

GAIN, OFFSET = (0.97, 1.02, 1.04), (0.004, -0.006, 0.0)


def quick_steps(phantom):
    return (GradientCurrentsStep(), FlipCheckStep(averages=1), GradientScaleStep(phantom, averages=1))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """On a ball off the centre and a gradient board of known gain; in place of the other tests' brain."""
    scanner = load_scanner("osii-one")
    scenario = Scenario(
        phantom="sphere",
        n_spins=2000,
        has_t2_prime=False,
        has_chemical_shift=False,
        receiver=ReceiverFaults(noise=1.0),
        motion=Motion(steps=(MotionStep(start_s=0.0, shift_lps_m=(0.016, 0.008, -0.024)),)),
    )
    server = VirtualConsoleServer(
        signal_model=BlochSignalModel(scanner, scenario),
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    server.machine.cores.set_board(GAIN, OFFSET)
    with server, pytest.MonkeyPatch.context() as patch:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
        patch.setattr(service_calibrations, "service_steps", quick_steps)
        made = ExamService(ScannerSession(placed, is_virtual=True, pace="none"), tmp_path_factory.mktemp("exams"))
        pause, end_s = threading.Event(), time.monotonic() + 20
        while made._session.identity is None and time.monotonic() < end_s:
            pause.wait(0.01)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def page(program, qtbot, service):
    """The Service page of a scanner that was never calibrated."""
    service._service_job._store.path.unlink(missing_ok=True)
    service._make_prescan(service._session)
    qtbot.keyClick(program.shell, Qt.Key.Key_4, Qt.KeyboardModifier.ControlModifier)
    assert program.shell.places.currentWidget() is program.service
    program.commands.service.refresh()
    return program.service


def press(qtbot, program, key):
    qtbot.keyClick(program.shell, key, Qt.KeyboardModifier.ControlModifier)


def confirm(qtbot, program, centre=("16", "-8", "24")):
    """As a person with a keyboard does it."""
    press(qtbot, program, Qt.Key.Key_B)
    sheet = program.shell.sheet
    assert isinstance(sheet, ConfirmPhantomSheet)
    qtbot.keyClick(sheet.empty, Qt.Key.Key_Space)
    for line, text in zip(sheet.centre, centre, strict=True):
        line.setText(text)
    sheet.person.setText("")
    qtbot.keyClicks(sheet.person, "A. Service")
    qtbot.keyClick(sheet.person, Qt.Key.Key_Return)
    assert program.shell.sheet is None
    qtbot.waitUntil(lambda: program.commands.service.status.confirmation is not None)
    qtbot.waitUntil(lambda: program.exam.exam is not None)


def wait_for(qtbot, program):
    """Until it is measured. A window that a busy machine keeps from reacting stops the scanner: then once more."""
    once(qtbot, program)
    service = program.exam.service
    cause = service.control.cause
    if cause is not None and cause.name == "window_stalled":
        service.make_ready("Test").result(20)
        program.commands.service.measure()
        once(qtbot, program)


def once(qtbot, program):
    qtbot.waitUntil(lambda: program.commands.service.status.current is not None, timeout=30_000)
    qtbot.waitUntil(lambda: not program.exam.status.is_running, timeout=60_000)
    qtbot.waitUntil(lambda: program.commands.service.status.current is None, timeout=5_000)


def row_of(page, name):
    return next(row for row in page.rows if row.name == name)


def test_never_measured_is_shown_as_unknown_and_nothing_can_be_measured(page, program):
    row = row_of(page, "gradient_scale")
    assert row.state.text() == "? never measured"
    assert row.state.property("health") == "unknown"
    assert row.value.text() == "scans use what the hardware file says"
    assert not any(one.measure.isEnabled() for one in page.rows)
    assert "Nobody has confirmed" in row.measure.toolTip()
    assert page.head.headline.text() == "Service · Nobody has said what lies in the magnet"
    assert page.confirm.objectName() == "primary"
    enabled = {action.id for action in program.service_actions.table if action.enabled_when}
    assert enabled == {"program.service", "service.confirm", "service.history"}


def test_the_way_there_is_on_the_scanner_page_and_back(page, program, qtbot):
    page.back.click()
    assert program.shell.places.currentWidget() is program.scanner
    buttons = [one for one in program.scanner.findChildren(QPushButton) if "Service calibrations" in one.text()]
    assert "Ctrl+4" in buttons[0].text()
    assert not program.service_actions["service.confirm"].isEnabled()  # its keys do nothing elsewhere
    buttons[0].click()
    assert program.shell.places.currentWidget() is page
    checked = [button.text() for button in program.shell._group.buttons() if button.isChecked()]
    assert checked == ["Scanner"]


def test_the_word_of_a_person_needs_all_of_it(page, program, qtbot):
    press(qtbot, program, Qt.Key.Key_B)
    sheet = program.shell.sheet
    for act, why in (
        (lambda: None, "tick that there is no patient"),
        (lambda: sheet.empty.setChecked(True), "Write your name"),
        (lambda: (sheet.person.setText("A. Service"), sheet.diameter.setText("wide")), "numbers in millimetres"),
        (lambda: (sheet.diameter.setText("140"), sheet.name.setText(" ")), "which phantom"),
    ):
        act()
        assert why in sheet.why_not.text()
        assert not sheet.accept.isEnabled()
    sheet.name.setText("ball 7")
    sheet.diameter.setText("1400")  # it says so itself, in words
    assert sheet.accept.isEnabled()
    sheet.accept.click()
    qtbot.waitUntil(lambda: bool(program.shell.messages.texts))
    assert "1400 mm cannot be" in program.shell.messages.texts[0]
    assert program.shell.sheet is sheet
    sheet.dismiss()
    assert program.exam.service.exam is None


def test_not_beside_a_patient(page, program, qtbot, service):
    patient = Patient(patient_id="17", family_name="Sample", given_name="Patient")
    service.start_exam(patient, PatientPosition.HFS, "HEAD")
    qtbot.waitUntil(lambda: program.exam.exam is not None)
    assert not program.service_actions["service.confirm"].isEnabled()
    assert "End the exam first" in program.service_actions["service.confirm"].toolTip()


def test_a_calibration_by_keys_from_the_word_to_the_history(page, program, qtbot, service):
    confirm(qtbot, program)
    assert "ball 140 mm: 140 mm wide, centre at +16 −8 +24 mm" in page.head.headline.text()
    assert "confirmed by A. Service" in page.head.headline.text()
    assert page.head.outcome.property("health") == "good"
    page.setFocus()
    qtbot.waitUntil(page.rows[0].hasFocus)
    for row in page.rows[:2]:
        qtbot.keyClick(row, Qt.Key.Key_Down)
    assert program.commands.service.selected.name == "gradient_scale"
    qtbot.keyClick(page.rows[2], Qt.Key.Key_Return)
    wait_for(qtbot, program)
    detail = page.detail
    assert detail.verdict.text() == "✓ pass", (detail.text.text(), service.service_calibrations.problem)
    assert "Directions and signs are right" in detail.text.text()
    assert detail.plot.plot is not None
    assert detail.new.text().startswith("New value: x 10")
    assert "never measured" in detail.old.text()
    assert [one.isVisible() for one in (detail.measure, detail.accept, detail.keep)] == [False, True, True]
    assert not row_of(page, "flip_check").measure.isEnabled()  # first the decision
    press(qtbot, program, Qt.Key.Key_Y)
    qtbot.waitUntil(lambda: row_of(page, "gradient_scale").state.text() == "● in use")
    row = row_of(page, "gradient_scale")
    assert "±" in row.value.text()
    assert row.value.text().endswith("%")
    assert row.detail.text() == "just now · temperature not known · any coil"
    assert row.holds.text() == "good until measured again"
    # the board makes 0.97 of what it is told on x
    assert service._session.calibration.gradient_scale[0] == pytest.approx(1.0, abs=0.01)
    press(qtbot, program, Qt.Key.Key_H)
    sheet = program.shell.sheet
    assert isinstance(sheet, HistorySheet)
    assert sheet.list.count() == 1
    assert "A. Service" in sheet.list.item(0).text()
    assert "ball 140 mm" in sheet.detail.text()
    assert "newest value already" in sheet.why_not.text()
    sheet.close_button.click()


def test_a_refusal_keeps_the_old_value_and_says_what_to_do(page, program, qtbot, service):
    confirm(qtbot, program, centre=("40", "0", "10"))
    row_of(page, "gradient_scale").measure.click()
    wait_for(qtbot, program)
    detail = page.detail
    assert detail.verdict.text() == "✕ refused; the old value stays"
    assert "No wiring explains that" in detail.text.text()
    assert detail.remedy.text().endswith("The old value stays in use.")
    assert detail.measure.isVisible()
    assert not detail.accept.isVisible()
    assert not program.service_actions["service.accept"].isEnabled()
    assert row_of(page, "gradient_scale").measure.isEnabled()  # retry


def test_the_boards_currents_and_keeping_the_old_ones(page, program, qtbot, service):
    confirm(qtbot, program)
    row_of(page, "gradient_currents").measure.click()
    wait_for(qtbot, program)
    assert page.detail.verdict.text() == "✓ pass", page.detail.text.text()
    assert page.detail.new.text().startswith("New value: gain x +3.0")
    press(qtbot, program, Qt.Key.Key_K)
    qtbot.waitUntil(page.detail.measure.isVisible)
    assert row_of(page, "gradient_currents").state.text() == "? never measured"
    assert service._session._currents is None
    press(qtbot, program, Qt.Key.Key_H)
    assert "Not taken into use by A. Service" in program.shell.sheet.detail.text()
    assert not program.shell.sheet.accept.isEnabled()
    program.shell.sheet.dismiss()


def test_going_back_to_an_older_value_with_ones_name(page, program, qtbot, service):
    store = service._service_job._store
    for x in (1.02, 1.04):
        store.accept(
            CalibrationValue(
                quantity=Quantity.GRADIENT_SCALE, value=(x, 1.0, 1.0), sd=(0.001,) * 3, measured_at_s=time.time(), raw=str(x)
            ),
            by="A. Service",
        )
    model = program.commands.service
    model.refresh()
    model.select("gradient_scale")
    press(qtbot, program, Qt.Key.Key_H)
    sheet = program.shell.sheet
    assert sheet.list.count() == 2
    sheet.list.setCurrentRow(1)
    sheet.person.clear()
    assert not sheet.accept.isEnabled()
    qtbot.keyClicks(sheet.person, "B. Other")
    qtbot.keyClick(sheet.person, Qt.Key.Key_Return)
    assert program.shell.sheet is None
    assert service._session.calibration.gradient_scale[0] == 1.02
    qtbot.waitUntil(lambda: row_of(page, "gradient_scale").value.text().startswith("x 102, y 100"))


@pytest.mark.parametrize("size", [(1280, 800), (1366, 768), (1920, 1080)])
def test_nothing_is_cut_off_at(page, program, qtbot, size):
    program.shell.resize(*size)
    qtbot.wait(50)
    assert (program.shell.width(), program.shell.height()) == size
    for button in page.findChildren(QPushButton):
        if button.isVisible():
            assert button.fontMetrics().horizontalAdvance(button.text()) <= button.width() - 6, button.text()
    assert page.detail.plot.height() >= 150
    bottom = page.rows[-1].mapTo(page, page.rows[-1].rect().bottomLeft()).y()
    assert bottom < page.height()


def test_a_service_phantom_starts_as_the_usual_one(page, program, qtbot):
    press(qtbot, program, Qt.Key.Key_B)
    sheet = program.shell.sheet
    assert sheet.phantom == ServicePhantom()
    assert not sheet.empty.isChecked()  # nobody's word is taken for granted
    sheet.dismiss()
