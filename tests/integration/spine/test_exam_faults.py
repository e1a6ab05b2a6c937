# SPDX-License-Identifier: MIT
"""The exam's queue when things go wrong: it fails in words, and the next Start works."""

import threading
from dataclasses import replace

import pytest

from isocenter.app.exam_service import ExamService
from isocenter.app.exams import phantom_patient
from isocenter.app.service import Health, ItemState, QueueChanged, StatusChanged
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

GRE = Protocol(name="GRE", sequence="gre_3d", parameters={"n_phase": 64, "n_slab": 2, "n_read": 48, "dummy_shots": 0})


@pytest.fixture
def desk(tmp_path):
    scanner = load_scanner("osii-one")
    scenario = replace(find_scenario("ideal-block"), n_spins=2000)
    server = VirtualConsoleServer(
        signal_model=BlochSignalModel(scanner, scenario),
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    server.start()
    host, port = server.address
    placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
    session = ScannerSession(placed, is_virtual=True, pace="none")
    session.set_frequency(scanner.magnet.larmor_hz)
    service = ExamService(session, tmp_path, is_prescan_at_start=False)
    service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    yield service, server
    service.close()
    server.stop()


def wait_for(service, item_id, *states):
    """The entry when it is in one of the states."""
    there, found = threading.Event(), []

    def look(event):
        if isinstance(event, QueueChanged):
            found[:] = [item for item in event.items if item.item_id == item_id and item.state in states] or found
            if found:
                there.set()

    forget = service.listen(look)
    look(QueueChanged(items=service.queue))
    assert there.wait(120), [item.state for item in service.queue]
    forget()
    return found[0]


def wait_for_light(service, health):
    """The console is shown so."""
    there = threading.Event()

    def look(event):
        if isinstance(event, StatusChanged) and event.status.lights[0].health is health:
            there.set()

    forget = service.listen(look)
    if service.status.lights[0].health is health:
        there.set()
    assert there.wait(30), service.status.lights[0]
    forget()


def wait_until_idle(service):
    """The worker has put the last entry away."""
    idle = threading.Event()
    forget = service.listen(lambda _: idle.set() if not service.status.is_running else None)
    if not service.status.is_running:
        idle.set()
    assert idle.wait(120)
    forget()


def test_after_a_failed_scan_the_next_start_scans(desk):
    service, server = desk
    lost = "RX FIFO/s full during sequence around byte address 0x10"
    server.faults = Faults(at_run=2, is_lasting=True, error=lost)  # once alone would be measured again
    first, second = service.add(GRE), service.add(GRE)
    service.start()
    failed = wait_for(service, first.item_id, ItemState.FAILED)
    assert "samples were lost" in failed.note
    assert "are kept in" in failed.note
    wait_until_idle(service)
    assert [item.state for item in service.queue][1] is ItemState.WAITING, "the queue does not go on by itself"
    wait_for_light(service, Health.GOOD)  # also before anything else is started
    server.faults = None
    service.start()
    assert wait_for(service, second.item_id, ItemState.DONE, ItemState.FAILED).state is ItemState.DONE


def test_after_a_console_that_failed_and_make_ready_its_light_says_that_it_is_connected(desk):
    service, server = desk
    server.faults = Faults(at_run=2, drops_link=True)
    item = service.add(GRE)
    service.start()
    wait_for(service, item.item_id, ItemState.FAILED)
    wait_until_idle(service)
    assert service.status.lights[0].health is Health.BAD
    service.make_ready("tester").result(30)
    wait_for_light(service, Health.GOOD)


def test_stop_while_a_scan_is_prepared_plays_nothing_and_start_goes_on_after_make_ready(desk):
    service, _ = desk
    first, second = service.add(GRE), service.add(GRE)
    pressed = threading.Event()

    def press(_):
        if service.status.activity.startswith("Preparing") and not pressed.is_set():
            pressed.set()
            service.stop()
            service.stop()

    forget = service.listen(press)
    service.start()
    assert wait_for(service, first.item_id, ItemState.STOPPED, ItemState.DONE).state is ItemState.STOPPED
    forget()
    wait_until_idle(service)
    with pytest.raises(WrongState, match=r"(?s)stopped.*press Make ready"):
        service.start()
    service.make_ready("tester").result(30)
    assert not service.control.why_no_start
    service.start()
    assert wait_for(service, second.item_id, ItemState.DONE, ItemState.FAILED).state is ItemState.DONE


def test_a_listener_that_fails_does_not_end_the_queue(desk):
    service, _ = desk
    first = service.add(GRE)

    def broken(_):
        raise RuntimeError("a window that is gone")

    forget = service.listen(broken)
    service.start()
    assert wait_for(service, first.item_id, ItemState.DONE, ItemState.FAILED).state is ItemState.DONE
    forget()
    wait_until_idle(service)
