# SPDX-License-Identifier: MIT
"""Tuner and attenuator are set to what was calibrated; what they do not confirm stops what it would spoil."""

import time
from dataclasses import replace
from threading import Event

import pytest
from tests.integration.control.conftest import wait_for

from isocenter.acquisition.prescan.tuning import tune_coil
from isocenter.app.coil_settings import CoilWanted
from isocenter.app.exam_service import ExamService
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prescan_bench import SessionBench
from isocenter.app.prescan_job import PrescanJob
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.control import FaultAction, ScannerState
from isocenter.domain.device import Condition, DeviceReading, DeviceRole, LinkState
from isocenter.domain.errors import ConsoleError, WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.storage.calibrations import CalibrationStore
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.peripherals.boxes import EVERYTHING, VirtualBoxes
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

CODES, GAIN_DB = (1, 9, 4), 58.0
GRE = Protocol(name="GRE", sequence="gre_3d", parameters={"n_phase": 8, "n_slab": 2, "n_read": 32, "dummy_shots": 0})


@pytest.fixture
def place():
    """A virtual console, and tuner, analyser and attenuator on their lines; nothing keeps a scan from being played."""
    scanner = load_scanner("osii-one")
    roles = (DeviceRole.TUNER, DeviceRole.NETWORK_ANALYSER, DeviceRole.ATTENUATOR)
    boxes = VirtualBoxes(scanner.magnet.larmor_hz, [link for link in EVERYTHING if link.role in roles])
    scenario = replace(find_scenario("ideal-block"), n_spins=200)
    server = VirtualConsoleServer(
        signal_model=BlochSignalModel(scanner, scenario),
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    with boxes, server:
        host, port = server.address
        yield replace(scanner, console=replace(scanner.console, host=host, port=port), devices=boxes.links), boxes


@pytest.fixture
def session(place):
    made = ScannerSession(place[0], is_virtual=True, pace="none")
    made.set_frequency(place[0].magnet.larmor_hz)
    yield made
    made.close()


def fault_names(session):
    return {fault.name for fault in session.supervisor.faults}


def test_what_is_kept_is_set_again_at_connect_and_when_somebody_else_lies_there(place, tmp_path):
    scanner, boxes = place
    store = CalibrationStore(tmp_path, scanner.name)
    for quantity, value in ((Quantity.TUNING, CODES), (Quantity.RECEIVE_GAIN, (GAIN_DB,))):
        one = CalibrationValue(
            quantity=quantity,
            value=tuple(map(float, value)),
            sd=(0.0,) * len(value),
            measured_at_s=time.time() - 3600,
            coil=scanner.receiver.coil_name,
            subject="exam of yesterday",
        )
        store.accept(one, by="test")
    boxes.plant.change("somebody", analyser_connected=True)
    session = ScannerSession(scanner, is_virtual=False, pace="none")
    session.is_virtual = False
    service = ExamService(session, tmp_path)

    def is_set() -> bool:
        state = boxes.plant.state
        return (state.capacitors, state.analyser_connected, state.attenuator_db) == (CODES, False, GAIN_DB)

    try:
        wait_for(is_set)
        boxes.plant.change("a hand at the box", capacitors=(0, 0, 0), attenuator_db=0.0)
        service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        wait_for(is_set)
    finally:
        service.close()


def test_without_anything_kept_no_relay_moves_and_the_devices_are_shown_as_unknown(place, session):
    before = place[1].plant.state
    session.connect()
    assert place[1].plant.state == before
    wait_for(lambda: session.supervisor.state is ScannerState.READY)
    assert not fault_names(session)


def test_a_gain_that_is_not_confirmed_blocks_clinical_scans_until_it_is(place, session, tmp_path):
    boxes = place[1]
    session.coil.wanted = lambda: CoilWanted(gain_db=GAIN_DB)
    boxes.line(DeviceRole.ATTENUATOR).fail(mute=True)
    session.connect()
    assert fault_names(session) == {"gain_unknown"}
    line = session.control.line_of(DeviceRole.ATTENUATOR)
    answers = DeviceReading(condition=Condition.READY, text="gain 60 dB", said="ok")
    session.supervisor.on_status(replace(line.status(DeviceRole.ATTENUATOR), link=LinkState.CONNECTED, reading=answers))
    assert fault_names(session) == {"gain_unknown"}, "an answer alone does not mend it"
    wait_for(lambda: session.supervisor.state is ScannerState.READY)  # a prescan may mend it
    (fault,) = session.supervisor.faults
    assert fault.action is FaultAction.BLOCK
    boxes.line(DeviceRole.ATTENUATOR).heal()
    session.coil.settle()
    assert not fault_names(session)
    assert boxes.plant.state.attenuator_db == GAIN_DB


def test_relays_that_are_not_confirmed_let_nothing_be_transmitted_until_a_person_has_looked(place, session):
    boxes = place[1]
    session.connect()
    wait_for(lambda: session.supervisor.state is ScannerState.READY)
    session.coil.wanted = lambda: CoilWanted(capacitors=CODES)
    boxes.line(DeviceRole.TUNER).fail(mute=True)
    session.coil.settle()
    assert session.supervisor.state is ScannerState.SAFE
    assert "nobody knows whether the coil is tuned" in session.latch
    with pytest.raises(ConsoleError, match="nobody knows whether the coil is tuned"):
        session.make_ready("tester")
    assert session.supervisor.state is ScannerState.SAFE
    boxes.line(DeviceRole.TUNER).heal()
    session.make_ready("tester")
    wait_for(lambda: session.supervisor.state is ScannerState.READY)
    assert (boxes.plant.state.capacitors, boxes.plant.state.analyser_connected) == (CODES, False)


def test_an_attenuator_that_a_step_left_in_doubt_gets_the_lowest_gain_or_blocks(place, session, tmp_path):
    boxes = place[1]
    session.connect()
    exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    bench = SessionBench(session, exam, tmp_path, cancel=Event(), prepare=None, newest=lambda _: None)
    boxes.line(DeviceRole.ATTENUATOR).fail(mute=True)
    with pytest.raises(ConsoleError):
        bench.attenuator.set_gain(70.0)
    session.coil.settle()
    assert fault_names(session) == {"gain_unknown"}
    boxes.line(DeviceRole.ATTENUATOR).heal()
    session.coil.settle()
    assert not fault_names(session)
    assert boxes.plant.state.attenuator_db == min(bench.attenuator.gains_db)


class LosesTheCoil:
    """The step that tunes, on a tuner that stops answering while the coil is at the analyser."""

    name, title = "tune", "Tune and match"

    def __init__(self, boxes):
        self._boxes = boxes

    def why_skip(self, bench):
        return ""

    def run(self, bench, tell):
        def lose(_):
            self._boxes.line(DeviceRole.TUNER).fail(deaf=True, mute=True)

        return tune_coil(bench.tuner, bench.analyser, bench.calibration.larmor_hz, on_trial=lose, pause=lambda _: None)


def test_a_tuner_that_keeps_the_coil_in_a_prescan_latches_and_make_ready_needs_it_back(place, tmp_path):
    scanner, boxes = place
    session = ScannerSession(scanner, is_virtual=True, pace="none")
    session.set_frequency(scanner.magnet.larmor_hz)
    service = ExamService(session, tmp_path)
    try:
        job = service._prescan_job
        service._prescan_job = PrescanJob(
            [LosesTheCoil(boxes)], job._store, since_s=0.0, take=lambda _: None, tell=lambda: None
        )
        wait_for(lambda: session.identity is not None)
        wait_for(lambda: session.supervisor.state is ScannerState.READY)
        service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        service.run_prescan()
        wait_for(lambda: service.control.is_stopped, 60.0)
        wait_for(lambda: not service.status.is_running, 30.0)
        assert boxes.plant.state.analyser_connected, "it really is there"
        assert "connected to the network analyser" in service.control.why_no_start
        service.add(GRE)
        with pytest.raises(WrongState, match="network analyser"):
            service.start()
        with pytest.raises(ConsoleError, match="network analyser"):
            service.make_ready("tester").result(60)
        boxes.line(DeviceRole.TUNER).heal()
        service.make_ready("tester").result(60)
        wait_for(lambda: session.supervisor.state is ScannerState.READY)
        assert not boxes.plant.state.analyser_connected
    finally:
        service.close()
