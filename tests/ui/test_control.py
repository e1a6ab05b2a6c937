# SPDX-License-Identifier: MIT
"""After a stop: what is said, what is not claimed, who leads out of it; and the devices on the Scanner place."""

import math
import time
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from isocenter.app.control_status import ControlStatus
from isocenter.app.service import ItemState
from isocenter.domain.control import Fault, FaultAction, OutputReport, ScannerState, StopReport
from isocenter.domain.device import Condition, DeviceReading, DeviceRole, DeviceStatus, LinkState
from isocenter.ui.views.stopped import ReadySheet

DOOR = Fault(
    name="door_open",
    action=FaultAction.TRIP,
    problem="The door was opened. The scanner is stopped.",
    remedy="Look after the patient, close the door, then press Make ready.",
    role=DeviceRole.INTERLOCK,
    detail="door=1",
)
BATTERY = Fault(name="on_battery", action=FaultAction.WARN, problem="On battery.", remedy="Finish this scan only.")
OFF = OutputReport(name="RF amplifier", is_verified=True, text="off, as it says itself", took_s=0.031)
MUTE = OutputReport(name="gradient amplifier", is_verified=False, text="no answer")
READING = DeviceReading(
    condition=Condition.STANDBY, text="off, no fault", said="STATE=0", values={"temperature_magnet_c": 24.137}
)


def device(role=DeviceRole.RF_AMPLIFIER, **changes):
    given = {
        "name": role.value.replace("_", " ").replace("rf ", "RF "),
        "link": LinkState.CONNECTED,
        "identity": "i3M 2.1",
        "answered_s": time.monotonic(),
        "reading": READING,
        "address": "socket://10.0.0.7:5001",
    }
    return DeviceStatus(role=role, **(given | changes))


def stopped(*outputs, cause=None, faults=(), devices=None):
    return ControlStatus(
        state=ScannerState.SAFE,
        devices=(device(),) if devices is None else devices,
        faults=faults,
        cause=cause,
        why_not_ready="Stopped by the operator.",
        why_no_start="Stopped by the operator. Then press Make ready.",
        stop_report=StopReport(cause="operator", outputs=outputs),
    )


@pytest.fixture
def control(program):
    """Shows given values; the real ones come back with the next event."""
    model = program.commands.control

    def show(status):
        model.status = status
        model.changed.emit()
        return model

    show.model = model
    return show


def test_while_nothing_is_stopped_there_is_no_banner_and_nothing_to_make_ready(program, control):
    model = control(ControlStatus(state=ScannerState.READY, devices=(device(),)))
    assert not program.stopped.isVisible()
    assert not program.actions["control.ready"].isEnabled()
    assert model.state[:2] == ("good", "READY")
    assert "READY" in program.shell.bar.state.text()


def test_ready_claims_nothing_of_an_amplifier_that_has_not_said_that_it_is_off(program, control):
    mute = device(reading=DeviceReading(condition=Condition.UNKNOWN, text="on or off is not known", said=">OK;"))
    model = control(ControlStatus(state=ScannerState.READY, devices=(mute,)))
    assert model.state == (
        "unknown",
        "READY",
        "The console was seen at zero. Nobody has confirmed that these are off: RF amplifier.",
    )
    assert program.shell.bar.state.text() == "? READY"
    assert model.devices[0].text == "not known: on or off is not known"


def test_what_was_not_confirmed_is_said_first_by_name_and_is_never_green(program, control):
    control(stopped(OFF, MUTE))
    banner = program.stopped
    assert banner.isVisible()
    assert "by the operator" in banner.headline.text()
    assert "Not confirmed: gradient amplifier. Switch these off by hand" in banner.verdict.text()
    assert banner.verdict.property("health") == "bad"
    assert banner.texts[0] == "● RF amplifier: off, as it says itself · after 0.03 s"
    assert banner.texts[1] == "✕ Gradient amplifier: not confirmed, no answer"


def test_before_anything_answered_nothing_is_certain(program, control):
    model = control(stopped())
    assert model.verdict[0] == "unknown"
    assert "nothing is certain" in program.stopped.verdict.text()


def test_all_confirmed_is_good_but_without_watched_amplifiers_it_is_not(program, control):
    assert control(stopped(OFF)).verdict[0] == "good"
    model = control(stopped(replace(OFF, name="Console"), devices=()))
    model._exam.status = replace(model._exam.status, is_virtual=False)
    assert model.verdict == (
        "warning",
        "The console is at zero. No amplifier is watched here: switch them off by hand.",
    )


def test_the_banner_is_in_every_place_and_says_the_cause(program, control):
    control(stopped(OFF, cause=DOOR))
    for place in (program.place, program.prescan, program.scanner):
        program.commands.go_to(place)
        assert program.stopped.isVisible()
    assert "The door was opened" in program.stopped.headline.text()
    assert "close the door" in program.stopped.remedy.text()


def test_make_ready_waits_for_the_door_and_says_so(program, control):
    control(stopped(OFF, cause=DOOR, faults=(BATTERY, DOOR)))
    assert not program.actions["control.ready"].isEnabled()
    assert "close the door" in program.stopped.why_not.text()
    control(stopped(OFF, cause=DOOR, faults=(BATTERY,)))
    assert program.actions["control.ready"].isEnabled()
    assert not program.stopped.why_not.isVisible()


def test_latches_that_are_cleared_with_it_do_not_keep_it_away(program, control):
    latch = replace(DOOR, name="interlock_latched", problem="Latched.")
    control(stopped(OFF, cause=DOOR, faults=(latch,)))
    assert program.actions["control.ready"].isEnabled()


def test_start_is_refused_with_the_reason(program, control, qtbot, quick):
    program.exam.register_phantom()
    program.exam.add((quick,))
    qtbot.waitUntil(lambda: program.exam.items[0].check is not None, timeout=30_000)
    service = program.exam.service
    service.stop()
    status = stopped(OFF)
    real = type(service).control
    try:
        type(service).control = property(lambda _: status)
        program.actions.refresh()
        assert not program.actions["scan.start"].isEnabled()
        assert "Stopped by the operator. Then press Make ready." in program.actions["scan.start"].toolTip()
        assert not program.actions["prescan.run"].isEnabled() or program.commands.control.status is not status
    finally:
        type(service).control = real


def test_make_ready_asks_who_and_remembers(program, control, qtbot):
    control(stopped(OFF))
    program.actions["control.ready"].trigger()
    sheet = program.shell.sheet
    assert isinstance(sheet, ReadySheet)
    assert not sheet.accept.isEnabled()
    assert "Write your name" in sheet.why_not.text()
    qtbot.keyClicks(sheet.person, "A. Person")
    assert sheet.accept.isEnabled()
    sheet.accept.click()  # the real scanner is not stopped: it says so
    assert program.shell.sheet is None
    qtbot.waitUntil(lambda: bool(program.shell.messages.texts))
    assert "not stopped" in program.shell.messages.texts[0]
    control(stopped(OFF))
    program.actions["control.ready"].trigger()
    assert program.shell.sheet.person.text() == "A. Person"
    program.shell.sheet.dismiss()


def test_a_stop_latches_a_person_leads_out_of_it_and_the_next_scan_runs(program, qtbot, long, quick):
    exam = program.exam
    exam.register_phantom()
    exam.add((long, quick))
    exam.start()
    qtbot.waitUntil(lambda: exam.items[0].state is ItemState.SCANNING and exam.items[0].progress is not None, timeout=60_000)
    qtbot.keyClick(program.shell, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not exam.status.is_running and program.stopped.isVisible(), timeout=30_000)
    assert "SAFE" not in program.shell.bar.state.text()
    assert "STOPPED" in program.shell.bar.state.text()
    assert not program.actions["scan.start"].isEnabled()
    assert not program.actions["prescan.run"].isEnabled()
    qtbot.waitUntil(program.actions["control.ready"].isEnabled, timeout=15_000)
    qtbot.keyClick(program.shell, Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(program.shell.sheet.person, "A. Person")
    qtbot.keyClick(program.shell.sheet.person, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not program.stopped.isVisible(), timeout=15_000)
    assert any("A. Person" in line for line in exam.service.control.journal)
    exam.start()
    qtbot.waitUntil(lambda: exam.items[1].state is ItemState.DONE, timeout=60_000)


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_device_tells_link_identity_answer_and_words(program, control):
    model = control(ControlStatus(state=ScannerState.READY, devices=(device(),)))
    line = model.devices[0]
    assert (line.name, line.link_text, line.text) == ("RF amplifier", "connected", "standby: off, no fault")
    assert (line.identity, line.answered, line.said) == ("i3M 2.1", "just now", "STATE=0")
    assert line.values == "temperature magnet 24.14 °C"
    assert len(program.scanner.devices.rows) == 1
    assert not program.scanner.devices.none.isVisible()


@pytest.mark.parametrize(
    "changes",
    [
        {"link": LinkState.LOST, "reading": None, "problem": "It does not answer.", "remedy": "Check its cable."},
        {"link": LinkState.NEVER, "reading": None, "answered_s": math.nan},
        {"reading": None},
        {"answered_s": time.monotonic() - 60},
    ],
    ids=["lost", "never", "mute", "long ago"],
)
def test_unknown_is_shown_as_unknown(program, control, changes):
    line = control(ControlStatus(devices=(device(**changes),))).devices[0]
    assert line.health == "unknown"
    assert line.text == "not known"
    assert line.said == ""
    assert line.values == ""


def test_a_lost_device_says_why_and_what_to_do(program, control):
    lost = device(link=LinkState.LOST, reading=None, problem="It does not answer.", remedy="Check its cable.")
    program.commands.go_to(program.scanner)
    control(ControlStatus(devices=(lost,)))
    row = program.scanner.devices.rows[0]
    assert row.problem.isVisible()
    assert row.problem.text() == "It does not answer. What to do: Check its cable."
    assert row.link.property("health") == "bad"


def test_faults_are_listed_with_what_the_program_did(program, control):
    control(ControlStatus(faults=(DOOR, BATTERY)))
    texts = program.scanner.devices.fault_texts
    assert texts[0].startswith("✕ The door was opened")
    assert "everything was switched off (door=1)" in texts[0]
    assert texts[1].startswith("▲ On battery")
    control(ControlStatus())
    assert program.scanner.devices.fault_texts == ()


def test_no_devices_is_said_plainly(program, control):
    program.commands.go_to(program.scanner)
    control(ControlStatus())
    assert program.scanner.devices.none.isVisible()
    assert "nobody watches the amplifiers" in program.scanner.devices.none.text()


def test_the_journal_shows_the_newest_first(program, control):
    control(ControlStatus(journal=("first", "second")))
    assert program.scanner.devices.journal.text() == "second\nfirst"


def test_the_window_feeds_the_supervisor(program, qtbot):
    signs = program.exam.service._session.supervisor.signs
    qtbot.wait(400)
    assert not signs.missing()


@pytest.mark.parametrize("place", ["place", "prescan", "scanner"])
def test_the_window_stays_small_with_a_banner_and_messages(program, control, qtbot, quick, place):
    program.exam.register_phantom()
    program.exam.add((quick,))
    qtbot.waitUntil(lambda: program.exam.items[0].check is not None, timeout=60_000)
    program.commands.go_to(getattr(program, place))
    outputs = (OFF, MUTE, replace(OFF, name="Console"), replace(OFF, name="interlock"), replace(MUTE, name="SAR monitor"))
    control(stopped(*outputs, cause=DOOR, faults=(DOOR,)))
    for text in ("first", "second", "third"):
        program.shell.messages.show_message("bad", f"The {text} thing went wrong.", "Look at it.")
    control(stopped(*outputs, cause=DOOR, faults=(DOOR,)))
    qtbot.wait(80)
    assert program.shell.minimumSizeHint().height() <= 768
    assert (program.shell.width(), program.shell.height()) == (1366, 768)
    assert len(program.shell.messages.texts) == 3  # none is lost
    control(ControlStatus(state=ScannerState.READY, devices=(device(),)))
    program.shell.messages.clear()
