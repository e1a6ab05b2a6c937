# SPDX-License-Identifier: MIT
"""Service calibrations through the program: behind a person's word, decided by a person, kept with their history."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.service import (
    FlipCheckStep,
    GradientCurrentsStep,
    GradientDelayStep,
    GradientScaleStep,
    ServicePhantom,
)
from isocenter.app import service_calibrations
from isocenter.app.exam_service import ExamService
from isocenter.app.prescan_status import StepState
from isocenter.app.service_status import ServiceCalibrationsChanged
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient
from isocenter.domain.scanner import GradientBoard
from isocenter.domain.scenario import GradientFaults, Motion, MotionStep, ReceiverFaults, Scenario
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel

PHANTOM = ServicePhantom(name="ball 7", centre_device_m=(0.016, -0.008, 0.024))
FAULTS = GradientFaults(scale=(1.05, 1.0, 0.96), delay_s=(11e-6, 0.0, -4e-6))
GAIN, OFFSET = (0.97, 1.02, 1.04), (0.004, -0.006, 0.0)
PATIENT = Patient(patient_id="17", family_name="Sample", given_name="Patient")


def quick_steps(phantom):
    return (GradientCurrentsStep(), FlipCheckStep(), GradientScaleStep(phantom), GradientDelayStep(phantom))


class Desk:
    """The service on a virtual scanner of known faults, and what it told."""

    def __init__(self, tmp_path, board=None):
        scanner = load_scanner("osii-one")
        if board is not None:
            gradients = replace(scanner.gradients, board=board, spi_divider=19)
            scanner = replace(scanner, gradients=gradients)
        self.scanner, self.folder = scanner, tmp_path
        x, y, z = PHANTOM.centre_device_m
        scenario = Scenario(
            phantom="sphere",
            n_spins=3000,
            has_t2_prime=False,
            has_chemical_shift=False,
            receiver=ReceiverFaults(noise=1.0),
            motion=Motion(steps=(MotionStep(start_s=0.0, shift_lps_m=(x, -y, -z)),)),
            gradients=FAULTS,
        )
        self.server = VirtualConsoleServer(
            signal_model=BlochSignalModel(scanner, scenario),
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )

    def __enter__(self):
        self.server.__enter__()
        self.service = self.open()
        return self

    def open(self):
        host, port = self.server.address
        placed = replace(self.scanner, console=replace(self.scanner.console, host=host, port=port))
        service = ExamService(ScannerSession(placed, is_virtual=True, pace="none"), self.folder)
        self.events = []
        service.listen(self.events.append)
        until(lambda: service._session.identity is not None)
        return service

    def __exit__(self, *_):
        self.service.close()
        self.server.__exit__(None, None, None)

    def measure(self, name):
        self.service.measure_service(name)
        until(lambda: not self.service.status.is_running, 60)
        return self.row(name)

    def row(self, name):
        return self.service.service_calibrations.row(name)


def until(is_so, timeout_s=20.0):
    end_s, pause = time.monotonic() + timeout_s, threading.Event()
    while not is_so():
        assert time.monotonic() < end_s, "it did not happen in time"
        pause.wait(0.01)


@pytest.fixture(scope="module")
def one_desk(tmp_path_factory):
    """One for all tests: its worker process takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_calibrations, "service_steps", quick_steps)
        with Desk(tmp_path_factory.mktemp("exams")) as made:
            yield made


@pytest.fixture
def desk(one_desk):
    """With nobody on the table and nothing ever calibrated."""
    service = one_desk.service
    service.end_exam()
    service._service_job._store.path.unlink(missing_ok=True)
    one_desk.server.machine.cores.set_board((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    service._make_prescan(service._session)
    assert service._session._currents is None
    one_desk.events.clear()
    return one_desk


def entries(desk, kind):
    return [entry for entry in desk.service._service_job._store.history() if isinstance(entry.content, kind)]


def test_a_value_is_measured_decided_kept_used_and_left_again(desk):
    service = desk.service
    before = service.service_calibrations
    assert [row.values for row in before.rows] == [(), (), (), ()]
    assert "Nobody has confirmed" in before.why_not_measure
    confirmation = service.confirm_service(" A. Service ", PHANTOM, is_empty=True)
    assert service.exam.patient.is_phantom
    assert service.service_calibrations.why_not_measure == ""

    row = desk.measure("gradient_scale")
    assert row.result.verdict is Verdict.PASS, (row.result, service.service_calibrations.problem)
    assert row.is_pending
    assert row.values == ()  # nothing is in use before a person said so
    assert service._session.calibration.gradient_scale == (1.0, 1.0, 1.0)
    with pytest.raises(WrongState, match="waits for a decision"):
        service.measure_service("gradient_delay")
    service.accept_service("gradient_scale")
    found = service._session.calibration.gradient_scale
    assert found == pytest.approx(FAULTS.scale, rel=0.005)
    (entry,) = [one for one in entries(desk, CalibrationValue) if one.content.quantity is Quantity.GRADIENT_SCALE]
    assert entry.by == "A. Service"
    assert entry.content.phantom == "ball 7: 140 mm wide, centre at +16 −8 +24 mm (device X Y Z)"
    assert (desk.folder / entry.content.raw).is_dir()
    assert entry.content.raw.startswith(f"{confirmation.exam_id}/service/")
    row = desk.row("gradient_scale")
    assert [used.why_not for used in row.values] == [""]
    assert not row.is_pending

    again = desk.measure("gradient_scale")
    assert again.is_pending
    service.keep_service("gradient_scale")
    assert service._session.calibration.gradient_scale == found
    (refused,) = entries(desk, RefusedCalibration)
    assert "not taken into use by A. Service" in refused.content.reason

    service.end_exam()
    service.start_exam(PATIENT, PatientPosition.HFS, "HEAD")
    assert service._session.calibration.gradient_scale == found  # patients' scans use it, with its record
    assert next(one for one in service._snapshot().used if one.quantity is Quantity.GRADIENT_SCALE).value.phantom
    service.end_exam()
    history = service.service_history("gradient_scale")
    assert [(bool(one.values), one.is_newest) for one in history] == [(False, False), (True, True)]
    assert any(isinstance(event, ServiceCalibrationsChanged) for event in desk.events)


def test_one_can_go_back_to_an_older_value_which_keeps_its_age(desk):
    service, store = desk.service, desk.service._service_job._store
    for scale, at_s in ((1.02, time.time() + 1), (1.04, time.time() + 2)):
        store.accept(
            CalibrationValue(
                quantity=Quantity.GRADIENT_SCALE, value=(scale, 1.0, 1.0), sd=(0.001,) * 3, measured_at_s=at_s - 0.9
            ),
            by="A. Service",
        )
    newest, older = service.service_history("gradient_scale")
    assert (newest.is_newest, newest.values[0].value[0], older.values[0].value[0]) == (True, 1.04, 1.02)
    with pytest.raises(WrongState, match="Nobody has said who"):
        service.go_back_service("gradient_scale", older.number, " ")
    with pytest.raises(WrongState, match="newest already"):
        service.go_back_service("gradient_scale", newest.number, "B. Other")
    with pytest.raises(WrongState, match="no such value"):
        service.go_back_service("gradient_scale", 99, "B. Other")
    service.go_back_service("gradient_scale", older.number, "B. Other")
    assert service._session.calibration.gradient_scale[0] == 1.02
    top = service.service_history("gradient_scale")[0]
    assert (top.by, top.is_newest) == ("B. Other, going back", True)
    assert top.values[0].measured_at_s == older.values[0].measured_at_s
    assert desk.row("gradient_scale").values[0].value.value[0] == 1.02


def test_a_value_that_cannot_be_right_is_not_gone_back_to(desk):
    service, store = desk.service, desk.service._service_job._store
    for first in (-1.0, 1.01):
        store.accept(
            CalibrationValue(
                quantity=Quantity.GRADIENT_SCALE, value=(first, 1.0, 1.0), sd=(0.001,) * 3, measured_at_s=time.time()
            )
        )
    with pytest.raises(WrongState, match="point the other way"):
        service.go_back_service("gradient_scale", service.service_history("gradient_scale")[1].number, "B. Other")


def test_nothing_is_measured_beside_a_patient_or_without_a_word(desk):
    service = desk.service
    with pytest.raises(WrongState, match="Nobody has confirmed"):
        service.measure_service("gradient_scale")
    with pytest.raises(WrongState, match="no patient in the magnet"):
        service.confirm_service("A. Service", PHANTOM, is_empty=False)
    with pytest.raises(WrongState, match="who looked into the magnet"):
        service.confirm_service("  ", PHANTOM, is_empty=True)
    service.start_exam(PATIENT, PatientPosition.HFS, "HEAD")
    with pytest.raises(WrongState, match=r"on the table.*(?s:.)*Take the patient out"):
        service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service.end_exam()
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service.start_exam(PATIENT, PatientPosition.HFS, "HEAD")  # a patient came: what was said is over
    assert service.service_calibrations.confirmation is None
    with pytest.raises(WrongState, match="Nobody has confirmed"):
        service.measure_service("gradient_scale")
    service.end_exam()


def test_an_old_word_does_not_count(desk, monkeypatch):
    service = desk.service
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service._touched_s -= service_calibrations.CONFIRMATION_LASTS_S + 1
    assert "30 minutes ago A. Service" in service.service_calibrations.why_not_measure
    with pytest.raises(WrongState, match="30 minutes ago"):
        service.measure_service("gradient_scale")


@pytest.mark.parametrize(
    ("phantom", "words"),
    [
        (replace(PHANTOM, name=" "), "which phantom"),
        (replace(PHANTOM, diameter_m=1.4), "1400 mm cannot be"),
        (replace(PHANTOM, diameter_m=float("nan")), "nan mm cannot be"),
        (replace(PHANTOM, centre_device_m=(0.0, 0.3, 0.0)), "300 mm from the isocenter"),
        (replace(PHANTOM, centre_device_m=(float("nan"), 0.0, 0.0)), "nan mm from the isocenter"),
    ],
)
def test_a_phantom_that_cannot_be_is_refused(desk, phantom, words):
    with pytest.raises(WrongState, match=words):
        desk.service.confirm_service("A. Service", phantom, is_empty=True)
    assert desk.service.exam is None


def test_what_cannot_be_trusted_is_refused_and_recorded(desk):
    """The phantom lies elsewhere than was said: no wiring explains that."""
    service = desk.service
    wrong = replace(PHANTOM, centre_device_m=(0.04, 0.0, 0.01))
    service.confirm_service("A. Service", wrong, is_empty=True)
    row = desk.measure("gradient_scale")
    assert row.result.verdict is Verdict.FAIL
    assert not row.is_pending
    with pytest.raises(WrongState, match="no new value"):
        service.accept_service("gradient_scale")
    (entry,) = entries(desk, RefusedCalibration)
    assert "No wiring explains that" in entry.content.reason
    assert "ball 7" in entry.content.subject
    assert service.service_history("gradient_scale")[0].refused == entry.content.reason
    assert service._session.calibration.gradient_scale == (1.0, 1.0, 1.0)


def test_stop_leaves_the_old_value_and_says_so(desk):
    service = desk.service
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service.measure_service("gradient_scale")
    until(lambda: desk.row("gradient_scale").state is StepState.RUNNING)
    service.stop()
    until(lambda: not service.status.is_running)
    row = desk.row("gradient_scale")
    assert (row.state, row.is_pending) == (StepState.STOPPED, False)
    assert service.service_calibrations.problem.startswith("The measurement was stopped.")
    assert "operator" in service.service_calibrations.problem
    assert "old value stays" in service.service_calibrations.remedy
    service.make_ready("A. Service").result(20)


def test_a_value_that_nobody_decided_on_is_not_used(desk):
    service = desk.service
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    assert desk.measure("gradient_delay").is_pending
    service.end_exam()
    assert service._session.calibration.gradient_delay_s == (0.0, 0.0, 0.0)
    (entry,) = entries(desk, RefusedCalibration)
    assert entry.content.reason.startswith("nobody took it into use")
    assert not desk.row("gradient_delay").is_pending


def test_currents_of_the_board_are_calibrated_played_and_kept_for_the_next_start(desk):
    service = desk.service
    desk.server.machine.cores.set_board(GAIN, OFFSET)
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    row = desk.measure("gradient_currents")
    assert row.result.verdict is Verdict.PASS, (row.result, service.service_calibrations)
    assert service._session._console._correction is None
    service.accept_service("gradient_currents")
    correction = service._session._console._correction
    table = np.array(desk.row("gradient_currents").values[0].value.value).reshape(3, 4)
    assert table[:, 1] == pytest.approx(1 / np.array(GAIN), abs=2e-3)
    assert correction.code(0, 20_000) == pytest.approx(32_767 * (20_000 / 32_767 - OFFSET[0]) / GAIN[0], abs=30)
    # with it the board gives no current at zero
    safe = service._session._hardware.call(service._session._make_safe, timeout_s=10, doing="be safe")
    assert np.abs(safe.zero_currents_share).max() < 1e-3
    assert service._session.supervisor.faults == ()
    assert service.control.state.value == "ready"
    scale = desk.measure("gradient_scale")  # and scans are played with it
    assert scale.result.verdict is Verdict.PASS, scale.result
    service.accept_service("gradient_scale")
    assert desk.row("gradient_scale").why_again == ""
    assert desk.measure("gradient_currents").is_pending
    service.accept_service("gradient_currents")
    assert "Gradient currents changed since" in desk.row("gradient_scale").why_again


def test_a_board_that_cannot_be_read_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(service_calibrations, "service_steps", quick_steps)
    with Desk(tmp_path, GradientBoard.OCRA1) as desk:
        assert "ocra1 cannot be read back" in desk.row("gradient_currents").why_never
        desk.service.confirm_service("A. Service", PHANTOM, is_empty=True)
        with pytest.raises(WrongState, match="ocra1 cannot be read back"):
            desk.service.measure_service("gradient_currents")
        assert not desk.service.status.is_running


def test_a_virtual_scanner_leaves_nothing_to_a_real_one_of_the_same_name(desk):
    assert desk.service._service_job._store.path.name == "virtual-osii-one.jsonl"
    assert desk.service._prescan_job._store.path.name == "virtual-osii-one.jsonl"


def test_stop_ends_the_currents_at_once_and_at_zero(desk):
    service = desk.service
    service.confirm_service("A. Service", PHANTOM, is_empty=True)
    service.measure_service("gradient_currents")
    until(lambda: service.control.state.value == "scanning", 10)
    began_s = time.monotonic()
    service.stop()
    until(lambda: not service.status.is_running)
    assert time.monotonic() - began_s < 1.0
    assert desk.row("gradient_currents").state is StepState.STOPPED
    assert service.control.state.value == "safe"
    safe = service._session._hardware.call(service._session._make_safe, timeout_s=10, doing="be safe")
    assert np.abs(safe.zero_currents_share).max() < 1e-3
    service.make_ready("A. Service").result(20)


def test_a_console_that_goes_away_while_currents_flow_stops_the_scanner(tmp_path, monkeypatch):
    monkeypatch.setattr(service_calibrations, "service_steps", quick_steps)
    with Desk(tmp_path) as desk:
        service = desk.service
        service.confirm_service("A. Service", PHANTOM, is_empty=True)
        service.measure_service("gradient_currents")
        until(lambda: service.control.state.value == "scanning", 10)
        desk.server.stop()
        until(lambda: not service.status.is_running, 60)
        row = desk.row("gradient_currents")
        assert row.result.verdict is Verdict.FAIL
        assert row.result.remedy.endswith("The old value stays in use.")
        assert not row.is_pending
        assert service.control.state.value == "safe"
        assert service.control.cause.name == "console_lost"
