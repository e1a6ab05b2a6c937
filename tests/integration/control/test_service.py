# SPDX-License-Identifier: MIT
"""The service over a virtual scanner with all boxes in a process of its own, as the window uses it."""

import json
import time
from pathlib import Path

import pytest
from tests.integration.control.conftest import GRE, wait_for

from isocenter.app.control_journal import FILE
from isocenter.app.exam_service import ExamService
from isocenter.app.exams import phantom_patient
from isocenter.app.service import ControlChanged, Health, ItemState, ServiceStatus, StatusChanged
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceRole, LinkState
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol


def test_stop_and_make_ready_through_the_service(tmp_path: Path) -> None:
    setup = VirtualSetup(scenario="ideal-block", n_spins=500, has_devices=True, time_scale=1.0)
    with virtual_scanner(load_scanner("osii-one"), setup) as scanner:
        assert {link.role for link in scanner.devices} == set(DeviceRole)
        session = ScannerSession(scanner, is_virtual=True)
        session.set_frequency(scanner.magnet.larmor_hz)
        service = ExamService(session, tmp_path, is_prescan_at_start=False)
        seen: list[ScannerState] = []
        told: list[ServiceStatus] = []
        service.listen(lambda event: told.append(event.status) if isinstance(event, StatusChanged) else None)
        service.listen(lambda event: seen.append(event.control.state) if isinstance(event, ControlChanged) else None)
        try:
            wait_for(lambda: service.control.state is ScannerState.READY)
            wait_for(lambda: all(status.link is LinkState.CONNECTED for status in service.control.devices))
            assert service.control.is_monitored
            service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
            for _ in range(2):
                service.add(Protocol(name="GRE", sequence="gre_3d", parameters=GRE | {"n_slab": 8}))
            service.start()
            wait_for(lambda: service.control.state is ScannerState.SCANNING, 90.0)
            for _ in range(5):  # a window that lives
                service.feed()
                time.sleep(0.1)
            service.stop()
            wait_for(lambda: service.control.is_stopped, 1.0)
            assert service.control.why_no_start
            wait_for(lambda: service.control.stop_report.is_verified, 20.0)
            assert {output.name for output in service.control.stop_report.outputs} == {
                *("Console", "interlock", "SAR monitor", "RF amplifier", "gradient amplifier")
            }
            wait_for(lambda: not service.status.is_running, 30.0)
            assert service.queue[0].state is ItemState.STOPPED
            with pytest.raises(WrongState, match="Make ready"):
                service.start()
            with pytest.raises(WrongState, match="your name"):
                service.make_ready("").result(20)
            service.make_ready("A. Operator").result(20)
            wait_for(lambda: service.control.state is ScannerState.READY)
            wait_for(lambda: told[-1].lights[0].health is Health.GOOD)  # as the window shows it, without another scan
            assert {ScannerState.READY, ScannerState.ARMED, ScannerState.SCANNING, ScannerState.SAFE} <= set(seen)
        finally:
            service.close()
    entries = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    reset = next(entry for entry in entries if entry.get("event") == "reset")
    assert (reset["kind"], reset["before"], reset["after"], reset["person"]) == ("state", "safe", "off", "A. Operator")
