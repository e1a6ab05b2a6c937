# SPDX-License-Identifier: MIT
"""A console that tells only after the exam has begun that it is a simulation: its values never become the real scanner's."""

import socket
import threading
import time
from dataclasses import replace

import pytest

from isocenter.acquisition.prescan.service import ServicePhantom
from isocenter.app.exam_service import ExamService
from isocenter.app.exams import phantom_patient
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

PHANTOM = ServicePhantom(name="ball 7", centre_device_m=(0.016, -0.008, 0.024))


def until(is_so, timeout_s=60.0):
    end_s, pause = time.monotonic() + timeout_s, threading.Event()
    while not is_so():
        assert time.monotonic() < end_s, "it did not happen in time"
        pause.wait(0.01)


@pytest.fixture
def late_console(tmp_path):
    """The service of a real scanner whose console is off, and what switches a simulation on at its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scanner = load_scanner("osii-one")
    placed = replace(scanner, console=replace(scanner.console, host="127.0.0.1", port=port))
    service = ExamService(ScannerSession(placed, is_virtual=False), tmp_path)
    until(lambda: service._session.link_problem)
    model = BlochSignalModel(scanner, replace(find_scenario("ideal-block"), n_spins=500))
    server = VirtualConsoleServer("127.0.0.1", port, signal_model=model, board=scanner.gradients.board)
    try:
        yield service, server
    finally:
        service.close()
        server.stop()


def files(folder):
    return sorted(path.name for path in (folder / "calibrations").glob("*.jsonl"))


def test_a_service_calibration_has_to_be_confirmed_anew(late_console, tmp_path):
    service, server = late_console
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    server.start()
    service.measure_service("gradient_currents")
    until(lambda: not service.status.is_running)
    status = service.service_calibrations
    assert "A simulation answers" in status.problem
    assert status.confirmation is None
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service.measure_service("gradient_currents")
    until(lambda: not service.status.is_running)
    service.accept_service("gradient_currents")
    assert files(tmp_path) == ["virtual-osii-one.jsonl"]


def test_a_prescan_is_kept_apart(late_console, tmp_path):
    service, server = late_console
    service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    server.start()
    service.retry_prescan("noise")
    until(lambda: files(tmp_path))  # the first step has ended
    service.stop()
    until(lambda: not service.status.is_running)
    assert files(tmp_path) == ["virtual-osii-one.jsonl"]
