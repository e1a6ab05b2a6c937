# SPDX-License-Identifier: MIT
"""What surrounds the supervisor: journal, limits for the RF monitor, and what a stop may claim."""

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.app.computer_watch import ComputerWatch
from isocenter.app.control import ScannerControl, rf_limits
from isocenter.app.control_journal import FILE, ControlJournal
from isocenter.config.hardware import load_scanner
from isocenter.devices.protocols import DeviceMessage, SafeReport, Severity
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import WrongState
from isocenter.domain.limits import Subject

ZERO = SafeReport(verified=True, messages=(DeviceMessage(severity=Severity.INFO, text="all at zero", original="idle"),))
MONITOR = DeviceLink(role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url="nowhere", options={"w_per_adc2": 1e-4})


def test_the_journal_has_every_entry_in_order_from_all_threads(tmp_path: Path) -> None:
    journal = ControlJournal(tmp_path / "new")
    threads = [
        threading.Thread(target=lambda n=n: [journal.note("x", {"n": n, "k": k}) for k in range(50)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    entries = [json.loads(line) for line in (tmp_path / "new" / FILE).read_text().splitlines()]
    assert len(entries) == 200
    for n in range(4):
        assert [entry["k"] for entry in entries if entry["n"] == n] == list(range(50))
    assert all(entry["at"] and entry["kind"] == "x" for entry in entries)
    assert len(journal.tail) == 200


def test_the_journal_speaks_in_words() -> None:
    journal = ControlJournal()
    journal.note("state", {"before": "safe", "event": "reset", "after": "off", "person": "A. Technologist"})
    journal.note("output", {"name": "Console", "verified": True, "text": "every output is at zero"})
    journal.note("output", {"name": "gradient amplifier", "verified": False, "text": "no answer"})
    journal.note("fault", {"name": "door_open", "role": "", "action": "trip"})
    journal.note("first_level_confirmed", {})
    assert [line.partition(" ")[2] for line in journal.tail] == [
        "STOPPED → OFF: reset, person: A. Technologist",
        "Console: every output is at zero",
        "gradient amplifier: NOT CONFIRMED, no answer",
        "fault name: door open, action: trip",
        "first level confirmed",
    ]


def test_the_journal_is_set_aside_when_it_is_large(tmp_path: Path) -> None:
    for part in range(3):
        journal = ControlJournal(tmp_path, max_bytes=300)
        journal.note("state", {"part": part, "text": "x" * 180})
        journal.close()
    newest, before = (tmp_path / FILE).read_text(), (tmp_path / "scanner-journal.old.jsonl").read_text()
    assert '"part": 2' in newest
    assert '"part": 1' in before


def test_a_journal_that_cannot_be_written_keeps_nobody_waiting_and_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    journal = ControlJournal(blocked)
    journal.note("state", {"after": "safe"})
    journal.close()
    assert "cannot be written" in journal.problem
    assert "STOPPED" in journal.tail[-1]


def test_a_stop_without_devices_claims_nothing_of_a_real_amplifier() -> None:
    for is_virtual in (False, True):
        control = ScannerControl(load_scanner("osii-one"), is_virtual=is_virtual)
        control.begin()
        control.supervisor.console_zero(True)
        assert control.status.state is ScannerState.READY
        assert not control.status.is_monitored
        control.supervisor.stop("operator")
        control.supervisor.console_stopped(ZERO)
        report = control.status.stop_report
        assert report.is_verified is is_virtual
        assert ("Not confirmed: RF amplifier, Gradient amplifier." in report.text) is not is_virtual
        assert control.status.why_no_start
        with pytest.raises(WrongState):
            control.supervisor.require_ready()
        control.supervisor.reset("tester")
        assert control.status.state is ScannerState.READY
        control.close()


def test_changes_are_told_and_the_window_must_live_only_once_it_has_been_seen() -> None:
    control, seen = ScannerControl(load_scanner("osii-one"), is_virtual=True), []
    control.listen(lambda status: seen.append(status.state))
    control.begin()
    control.supervisor.console_zero(True)
    control.supervisor.arm(threading.Event())
    assert control.supervisor.signs.missing() == ""
    control.feed()
    control.supervisor.stop()
    assert seen[-1] is ScannerState.SAFE
    assert {ScannerState.READY, ScannerState.ARMED} <= set(seen)
    control.close()


def test_the_rf_monitor_is_told_the_patients_limits_and_never_more_than_it_can_see() -> None:
    scanner = load_scanner("osii-one")
    assert rf_limits(scanner, None) is None
    watched = replace(scanner, devices=(MONITOR,))
    heavy = rf_limits(watched, Subject(body_part="HEAD", weight_kg=80.0))
    light = rf_limits(watched, Subject(body_part="HEAD", weight_kg=10.0))
    nobody = rf_limits(watched, None)
    phantom = rf_limits(watched, Subject(is_phantom=True))
    assert light.mean_6min_w < heavy.mean_6min_w
    assert nobody.mean_6min_w <= light.mean_6min_w * 3
    assert heavy.mean_10s_w == pytest.approx(2 * heavy.mean_6min_w)
    top_w = 1e-4 * 4095**2
    for limits in (heavy, light, nobody, phantom):
        assert 0 < limits.mean_6min_w <= limits.mean_10s_w <= top_w
        assert 0 < limits.peak_w <= top_w
    assert math.isfinite(phantom.mean_6min_w)


def test_the_watch_tells_of_disk_and_clock_and_takes_it_back(tmp_path: Path) -> None:
    supervisor = Supervisor(journal=lambda _event, _details: None)
    free, wall_s = [5e9], [1000.0]
    watch = ComputerWatch(
        supervisor, load_scanner("osii-one"), free=lambda _folder: free[0], wall_s=lambda: wall_s[0], steady_s=lambda: 10.0
    )
    watch.look(tmp_path)
    assert supervisor.faults == ()
    free[0], wall_s[0] = 1.9e9, 1003.0
    watch.look(tmp_path)
    assert {fault.name for fault in supervisor.faults} == {"disk_full", "clock_jump"}
    free[0] = 2.1e9
    watch.look(tmp_path)
    assert {fault.name for fault in supervisor.faults} == {"clock_jump"}
