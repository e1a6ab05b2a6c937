# SPDX-License-Identifier: MIT
"""The scanner under control, with devices that a test can make misbehave."""

import threading
import time
from threading import Event

import pytest

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.faults import MATRIX, FaultRow
from isocenter.acquisition.control.states import TRANSITIONS
from isocenter.acquisition.control.stopping import SWITCHED
from isocenter.devices.protocols import DeviceMessage, SafeReport, Severity
from isocenter.domain.control import FaultAction, ScannerState
from isocenter.domain.device import Condition, DeviceRole, LinkState
from isocenter.domain.errors import ConnectError, DeviceError, ScanAborted, ScanEnded, WrongState

RF, GPA, LOCK = DeviceRole.RF_AMPLIFIER, DeviceRole.GRADIENT_AMPLIFIER, DeviceRole.INTERLOCK


def answered(rig):
    """Outputs of the last stop about which something is known."""
    return [output for output in rig.supervisor.stop_report.outputs if "not answered yet" not in output.text]


def test_ready_only_when_everything_answers_and_the_console_is_at_zero(rig):
    rig.devices[GPA].is_silent = True
    rig.supervisor.connect(rig.lines)
    rig.wait_for(lambda: all(s.link is not LinkState.NEVER for s in rig.supervisor.devices))
    assert rig.supervisor.state is ScannerState.OFF
    rig.supervisor.console_zero(True)
    assert rig.supervisor.state is ScannerState.OFF
    silent = next(s for s in rig.supervisor.devices if s.role is GPA)
    assert silent.condition is Condition.UNKNOWN
    assert "did not answer" in silent.problem
    with pytest.raises(WrongState, match="gradient"):
        rig.supervisor.arm(Event())
    assert not rig.log, "nothing was switched on"
    rig.devices[GPA].is_silent = False
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.READY)


def test_protection_is_switched_on_first_and_power_off_first(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    assert [role for role, what, _ in rig.log if what == "on"] == list(SWITCHED)
    rig.supervisor.disarm()
    assert [role for role, what, _ in rig.log if what == "off"] == list(reversed(SWITCHED))
    assert rig.supervisor.state is ScannerState.READY


def test_stop_trips_every_device_at_once_and_latches(rig):
    rig.connect()
    cancel = Event()
    rig.supervisor.arm(cancel)
    with rig.supervisor.segment(0.5):
        began = time.monotonic()
        rig.supervisor.stop()
        assert time.monotonic() - began < 1.0, "Stop does not wait"
        assert cancel.is_set()
        rig.wait_for(lambda: len([1 for _, what, _ in rig.log if what == "trip"]) == 4)
        assert max(at for _, what, at in rig.log if what == "trip") - began < 1.0
    assert rig.supervisor.state is ScannerState.SAFE
    rig.supervisor.disarm()
    assert rig.supervisor.state is ScannerState.SAFE
    with pytest.raises(WrongState, match="stopped"):
        rig.supervisor.arm(Event())
    idle = DeviceMessage(severity=Severity.INFO, text="every output is at zero", original="idle")
    rig.supervisor.console_stopped(SafeReport(verified=True, messages=(idle,)))
    report = rig.supervisor.stop_report
    assert report.is_verified
    assert {output.name for output in report.outputs} == {
        "interlock", "sar monitor", "gradient amplifier", "rf amplifier", "Console",
    }  # fmt: skip
    rig.supervisor.reset("A. Person")
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.READY)
    assert not any(device.is_on for device in rig.devices.values()), "nothing re-arms itself"


def test_a_device_that_is_switched_on_while_stop_is_pressed_ends_up_off(rig):
    rig.connect()
    hold = rig.devices[GPA].hold = Event()
    caught = []

    def arm():
        try:
            rig.supervisor.arm(Event())
        except Exception as error:  # noqa: BLE001
            caught.append(error)

    thread = threading.Thread(target=arm)
    thread.start()
    rig.wait_for(lambda: rig.devices[DeviceRole.SAR_MONITOR].is_on)
    rig.supervisor.stop()
    hold.set()
    thread.join(30)
    assert isinstance(caught[0], ScanAborted)
    rig.wait_for(lambda: len(answered(rig)) == 4)
    assert not any(device.is_on for device in rig.devices.values())
    assert "on" not in [what for role, what, _ in rig.log if role is RF], "RF came on after Stop"


NOT_REPORTED = ("coil_unknown",)  # seen when something is set, and gone when it is; tests/integration/control has it


@pytest.mark.parametrize(
    "name",
    sorted(name for name, row in MATRIX.items() if row.action is FaultAction.TRIP and name not in NOT_REPORTED),
)
def test_a_fault_that_a_device_reports_stops_the_scan_with_its_sentence(rig, name):
    rig.connect()
    cancel = Event()
    rig.supervisor.arm(cancel)
    with rig.supervisor.segment(5.0):
        began = time.monotonic()
        rig.devices[GPA].faults = (name,)
        assert cancel.wait(10)
        rig.wait_for(lambda: not any(device.is_on for device in rig.devices.values()))
        assert max(at for _, what, at in rig.log if what == "trip") - began < 1.0
    assert rig.supervisor.state is ScannerState.SAFE
    cause = rig.supervisor.cause
    assert cause.name == name
    assert cause.problem == MATRIX[name].problem.replace("{device}", "gradient amplifier")
    with pytest.raises(DeviceError, match="still there"):
        rig.supervisor.reset("A. Person")
    assert rig.supervisor.state is ScannerState.SAFE
    rig.devices[GPA].faults = ()
    rig.supervisor.reset("A. Person")
    assert rig.supervisor.state in (ScannerState.OFF, ScannerState.READY)


def test_a_fault_that_nobody_knows_stops_the_scanner(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    rig.devices[RF].faults = ("flux_capacitor",)
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.SAFE)
    assert "flux_capacitor" in rig.supervisor.cause.problem


def test_a_line_that_dies_trips_the_others_and_the_report_says_what_is_not_certain(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    rig.devices[RF].is_silent = True
    rig.wait_for(lambda: len(answered(rig)) == 4)
    report = rig.supervisor.stop_report
    assert not report.is_verified
    assert [output.name for output in report.outputs if not output.is_verified] == ["Console", "rf amplifier"]
    assert "Not confirmed: Console, rf amplifier" in report.text
    assert rig.devices[LOCK].is_on is False
    assert rig.supervisor.cause.name == "device_lost"
    assert "rf amplifier" in rig.supervisor.cause.problem


def test_a_device_lost_while_nothing_is_on_makes_the_scanner_off_and_it_comes_back(rig):
    rig.connect()
    rig.devices[RF].is_silent = True
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.OFF)
    rig.devices[RF].is_silent = False
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.READY)


def test_a_device_that_refuses_to_be_switched_on_stops_everything(rig):
    rig.connect()
    rig.devices[RF].refuses = True
    with pytest.raises(DeviceError, match="refused"):
        rig.supervisor.arm(Event())
    assert rig.supervisor.state is ScannerState.SAFE
    rig.wait_for(lambda: not any(device.is_on for device in rig.devices.values()))


def test_an_amplifier_that_went_off_by_itself_stops_the_scan(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    with rig.supervisor.segment(5.0):
        rig.devices[RF].is_on = False
        rig.wait_for(lambda: rig.supervisor.state is ScannerState.SAFE)
    assert rig.supervisor.cause.name == "device_off"


def test_beats_only_while_armed_and_everybody_is_alive(rig):
    rig.connect()
    assert rig.devices[LOCK].beats == 0
    rig.supervisor.signs.watch("window", 0.2)
    rig.supervisor.arm(Event())
    rig.wait_for(lambda: rig.devices[LOCK].beats > 2)
    rig.wait_for(lambda: rig.supervisor.state is ScannerState.SAFE)
    assert rig.supervisor.cause.name == "window_stalled"
    line = next(line for line in rig.lines if LOCK in line.roles)
    line.call(LOCK, lambda _: None).result(10)  # behind a beat that was on its way when the window was missed
    beats = rig.devices[LOCK].beats
    answered_s = line.status(LOCK).answered_s
    rig.wait_for(lambda: line.status(LOCK).answered_s > answered_s)
    assert rig.devices[LOCK].beats == beats


def test_a_console_that_does_not_finish_is_cut(rig):
    rig.connect()
    rig.supervisor.segment_margin_s = 0.1
    cancel = Event()
    rig.supervisor.arm(cancel)
    with rig.supervisor.segment(0.1):
        assert cancel.wait(10)
    assert rig.supervisor.cause.name == "console_stalled"
    rig.wait_for(lambda: not any(device.is_on for device in rig.devices.values()))


def test_a_console_that_fails_is_cut_before_anything_else(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    with rig.supervisor.segment(1.0):
        rig.supervisor.console_failed(ConnectError("gone", "check"))
    rig.wait_for(lambda: not any(device.is_on for device in rig.devices.values()))
    rig.supervisor.console_stopped(SafeReport(verified=False))
    assert not rig.supervisor.stop_report.is_verified
    assert "console" in rig.supervisor.why_stopped().lower()


def test_pause_waits_and_end_ends(rig, monkeypatch):
    held = FaultRow(action=FaultAction.PAUSE, problem="Something moved.", remedy="Wait.")
    monkeypatch.setitem(MATRIX, "held", held)
    rig.connect()
    cancel = Event()
    rig.supervisor.arm(cancel)
    rig.supervisor.fault("held")
    threading.Timer(0.15, lambda: rig.supervisor.clear("held")).start()
    began = time.monotonic()
    rig.supervisor.before_segment(cancel)
    assert time.monotonic() - began > 0.1
    rig.supervisor.fault("disk_full")
    with pytest.raises(ScanEnded, match="2 GB"):
        rig.supervisor.before_segment(cancel)
    assert rig.supervisor.state is ScannerState.ARMED
    rig.supervisor.disarm()
    assert rig.supervisor.state is ScannerState.READY


def test_nothing_leads_out_of_safe_but_a_person():
    assert {event for state, event in TRANSITIONS if state is ScannerState.SAFE} == {"trip", "reset"}
    assert TRANSITIONS[ScannerState.SAFE, "reset"] is ScannerState.OFF
    assert [state for (state, event), _ in TRANSITIONS.items() if event == "arm"] == [ScannerState.READY]
    assert {state for state, event in TRANSITIONS if event == "trip"} == set(ScannerState)


def test_every_transition_is_in_the_journal(rig):
    rig.connect()
    rig.supervisor.arm(Event())
    rig.supervisor.stop()
    changes = [(d["before"], d["after"]) for event, d in rig.journal if event == "state"]
    assert changes == [("off", "ready"), ("ready", "armed"), ("armed", "safe")]


def test_the_matrix_speaks_in_sentences():
    for name, row in MATRIX.items():
        for sentence in (row.problem, row.remedy):
            assert sentence[0].isupper(), name
            assert sentence.endswith("."), name
        if row.action is FaultAction.TRIP and name not in ("reflected", "console_not_zero"):
            assert "atient" in row.remedy, f"{name}: the patient comes first"


def test_what_hangs_beside_the_coil_is_asked_seldom_and_never_during_a_scan(rig):
    tuner = type(rig.devices[RF])(DeviceRole.TUNER)
    asked = []
    poll = tuner.poll
    tuner.poll = lambda: (asked.append(time.monotonic()), poll())[1]
    line = DeviceThread([(tuner, "tuner", "memory")], rig.supervisor.on_status, rig.supervisor.may_beat, poll_every_s=0.01)
    rig.lines.append(line)
    rig.connect()
    rig.wait_for(lambda: line.status(DeviceRole.TUNER).link is LinkState.CONNECTED)
    rig.supervisor.arm(Event())
    rig.supervisor.signs.refresh()
    time.sleep(0.3)
    assert len(asked) <= 2, "thirty polls would have been due"
    assert rig.supervisor.is_live
