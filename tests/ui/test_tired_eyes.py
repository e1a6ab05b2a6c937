# SPDX-License-Identifier: MIT
"""What somebody tired would misread: cut numbers, a Stop beyond the screen's edge, words that contradict each other."""

import time
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtWidgets import QLabel

from isocenter.app.control_status import ControlStatus
from isocenter.app.prescan_status import ValueInUse
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.control import OutputReport, ScannerState, StopReport
from isocenter.domain.device import Condition, DeviceReading, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient
from isocenter.ui.widgets.labels import cut_text

LONG = Patient(
    patient_id="0123456789" * 4,
    family_name="Featherstonehaugh-Cholmondeley-Marjori",
    given_name="Maximiliana Theodora",
)
STOPPED = ControlStatus(
    state=ScannerState.SAFE,
    why_not_ready="Stopped by the operator.",
    stop_report=StopReport(cause="operator", outputs=(OutputReport(name="Console", is_verified=True, text="at zero"),)),
)


def show(program, status):
    model = program.commands.control
    model.status = status
    model.changed.emit()
    return model


@pytest.mark.parametrize(
    ("text", "kept", "shown"),
    [
        ("gain x +2.57, z +0.39 %", "gain x +2.57, z +0", "gain x +2.57, z …"),
        ("frequency 2.001695 MHz", "frequency 2.001695 M", "frequency 2.001695 …"),
    ],
)
def test_a_text_is_never_cut_inside_a_number_or_its_unit(qapp, text, kept, shown):
    metrics = QLabel().fontMetrics()
    assert cut_text(text, metrics, metrics.horizontalAdvance(f"{kept}…") + 3) == shown
    assert cut_text(text, metrics, metrics.horizontalAdvance(text) + 1) == text


@pytest.mark.parametrize("text", ["off, as it confirmed last", "0123456789012345"])
def test_other_words_are_cut_where_the_room_ends(qapp, text):
    metrics = QLabel().fontMetrics()
    cut = cut_text(text, metrics, metrics.horizontalAdvance(text) * 3 // 4)
    assert cut.endswith("…")
    assert len(cut) > len(text) // 2
    assert text.startswith(cut[:-1])


def test_the_window_fits_a_narrow_screen_with_stop_in_it(program, quick, qtbot):
    shell = program.shell
    assert program.exam.register(LONG, PatientPosition.HFS, "HEAD")
    program.exam.add((replace(quick, name="T2 weighted turbo spin echo, axial, whole head, thin slices"),))
    for place in (program.place, program.prescan, program.scanner, program.service):
        program.commands.go_to(place)
        shell.resize(1024, 700)
        qtbot.waitUntil(lambda: shell.size().toTuple() == (1024, 700))
        stop = QRect(shell.bar.stop.mapTo(shell, QPoint(0, 0)), shell.bar.stop.size())
        assert shell.rect().contains(stop)
    keys = shell.sidebar_foot.itemAt(0).widget()
    assert keys.width() >= keys.minimumSizeHint().width()


def test_the_selected_scan_stays_in_sight_under_the_banner_of_a_stop(program, quick, qtbot):
    program.exam.register_phantom()
    program.exam.add(tuple(replace(quick, name=f"Scan {number}") for number in range(30)))
    program.exam.select(program.exam.items[20].item_id)
    cards = program.place.queue.list
    qtbot.waitUntil(lambda: cards.viewport().rect().contains(cards.visualRect(cards.currentIndex()).center()))
    height = cards.height()
    show(program, STOPPED)
    qtbot.waitUntil(lambda: cards.height() < height)
    qtbot.waitUntil(lambda: cards.viewport().rect().contains(cards.visualRect(cards.currentIndex()).center()))


def test_once_it_was_made_ready_it_is_not_called_stopped_any_more(program):
    exam = program.exam
    exam.status = replace(exam.status, activity="Stopped", is_running=False)
    show(program, STOPPED)
    assert program.shell.bar.activity.text() == "Stopped"
    show(program, ControlStatus(state=ScannerState.READY))
    assert program.shell.bar.activity.text() == "Idle"


def test_what_a_device_says_is_told_in_words_and_silence_with_its_age(program):
    reading = DeviceReading(
        condition=Condition.STANDBY, text="outputs cut", said="estop=0", values={"emergency_stop": 0.0, "door_open": 1.0}
    )
    device = DeviceStatus(
        role=DeviceRole.INTERLOCK,
        name="interlock",
        link=LinkState.CONNECTED,
        answered_s=time.monotonic(),
        reading=reading,
    )
    model = show(program, ControlStatus(state=ScannerState.READY, devices=(device,)))
    assert model.devices[0].values == "emergency stop: no · door open: yes"
    model = show(program, ControlStatus(devices=(replace(device, answered_s=time.monotonic() - 40),)))
    assert (model.devices[0].link_text, model.devices[0].values) == ("silent", "")
    assert model.devices[0].answered.endswith(" s ago")


def test_the_service_page_says_who_is_in_the_way(program):
    assert program.exam.register(LONG, PatientPosition.HFS, "HEAD")
    program.commands.go_to(program.service)
    health, sentence = program.commands.service.outcome
    assert health == "unknown"
    assert sentence.startswith("End the exam first: FEATHERSTONEHAUGH")


def test_what_no_scan_uses_is_not_listed_as_in_use(program):
    program.exam.register_phantom()
    model = program.commands.prescan
    values = tuple(
        ValueInUse(value=CalibrationValue(quantity=quantity, value=(1.0, 1.0), sd=(), measured_at_s=time.time()))
        for quantity in (Quantity.LARMOR, Quantity.FLIP_CHECK, Quantity.B1_MAP)
    )
    model.status = replace(model.status, values=values)
    assert [line.name for line in model.values] == ["Frequency"]
