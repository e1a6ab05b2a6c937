# SPDX-License-Identifier: MIT
"""The prescan inside the service, on the virtual scanner over the wire: before scans, by itself, stopped, and retried."""

import time
from dataclasses import replace

import pytest

from isocenter.acquisition.prescan.steps import clinical_steps
from isocenter.app import prescan_service
from isocenter.app.exam_service import ExamService
from isocenter.app.exams import phantom_patient
from isocenter.app.prescan_start import FREQUENCY_STEPS
from isocenter.app.prescan_status import PrescanChanged, StepState, Verdict
from isocenter.app.service import ItemState
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_service import VirtualService
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.control import ScannerState
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.storage.calibrations import CalibrationStore
from isocenter.storage.stored import find_scans, open_scan
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

GRE = Protocol(name="GRE", sequence="gre_3d", parameters={"n_phase": 16, "n_slab": 2, "n_read": 32, "dummy_shots": 0})
FREQUENCY = FREQUENCY_STEPS[-1]


class Desk:
    """A service with a phantom on the table, and what it told."""

    def __init__(self, service, folder, true_hz):
        self.service, self.folder, self.true_hz, self.told = service, folder, true_hz, []
        service.listen(lambda event: self.told.append(event.prescan) if isinstance(event, PrescanChanged) else None)

    @property
    def prescans(self):
        return [path.name for path in find_scans(self.folder / self.service.exam.exam_id / "prescan")]

    def wait(self, timeout_s=120.0):
        end_s = time.monotonic() + timeout_s
        while self.service.status.is_running:
            assert time.monotonic() < end_s
            time.sleep(0.02)

    def run(self):
        item = self.service.add(GRE)
        self.service.start()
        self.wait()
        return next(one for one in self.service.queue if one.item_id == item.item_id)

    def step(self, name=FREQUENCY):
        return next(step for step in self.service.prescan.steps if step.name == name)


def frequency_steps(scanner):
    return tuple(step for step in clinical_steps(scanner) if step.name in FREQUENCY_STEPS)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(prescan_service, "clinical_steps", frequency_steps)
    scanner = load_scanner("osii-one")
    scenario = replace(find_scenario("ideal-block"), n_spins=2000)
    model = BlochSignalModel(scanner, scenario)
    with VirtualConsoleServer(
        signal_model=model, board=scanner.gradients.board, segment_gap_s=scanner.console.segment_gap_s
    ) as server:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
        service = ExamService(ScannerSession(placed, is_virtual=True, pace="none"), tmp_path)
        try:
            service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
            yield Desk(service, tmp_path, scanner.magnet.larmor_hz)
        finally:
            service.close()


def test_the_first_scan_finds_the_frequency_the_next_uses_it_and_an_old_one_is_measured_anew(desk):
    first = desk.run()
    assert first.state is ItemState.DONE
    used = {one.quantity: one for one in open_scan(first.folder).record.request.calibration_values}
    assert 0 <= used[Quantity.LARMOR].age_s < 60
    assert used[Quantity.RF_SCALE].why_not == "never measured"
    found = desk.service._session.calibration.larmor_hz
    assert abs(found - desk.true_hz) < 200  # the block's field is that of the magnet
    assert desk.step().state is StepState.ENDED
    n_first = len(desk.prescans)
    assert n_first >= 2
    assert desk.run().state is ItemState.DONE
    assert len(desk.prescans) == n_first
    value = next(used.value for used in desk.service.prescan.values if used.value.quantity is Quantity.LARMOR)
    assert value.raw.startswith(f"{desk.service.exam.exam_id}/prescan/")
    assert (desk.folder / value.raw).is_dir()
    job = desk.service._prescan_job
    job._values = tuple(replace(value, measured_at_s=value.measured_at_s - 100) for value in job.values)
    assert desk.run().state is ItemState.DONE
    assert len(desk.prescans) == n_first + 1
    assert "frequency-before-the-scan" in desk.prescans[-1]
    again = desk.service._session.calibration.larmor_hz
    assert abs(again - found) < 50
    assert CalibrationStore(desk.folder, "virtual-osii-one").latest(Quantity.LARMOR).value == (again,)


def test_prescan_by_itself_is_told_while_it_runs_and_stored(desk):
    desk.service.run_prescan()
    assert desk.service.status.is_running
    with pytest.raises(WrongState, match="A scan is running"):
        desk.service.run_prescan()
    with pytest.raises(WrongState, match="A scan is running"):
        desk.service.end_exam()
    desk.wait()
    assert desk.step().result.verdict in (Verdict.PASS, Verdict.WARN)
    assert any(news.current is not None and news.current.result.plots for news in desk.told)
    assert desk.service.prescan.values
    assert desk.service.control.state is ScannerState.READY


def test_stop_during_a_prescan_latches_keeps_the_old_value_and_retry_works(desk):
    service = desk.service
    service.run_prescan()
    end_s = time.monotonic() + 60
    while service.prescan.current is None:
        assert time.monotonic() < end_s
        time.sleep(0.005)
    service.stop()
    desk.wait()
    assert service.control.state is ScannerState.SAFE
    assert service.prescan.values == ()
    assert service._session.calibration.measured_at == ""
    with pytest.raises(WrongState, match="was stopped"):
        service.run_prescan()
    with pytest.raises(WrongState, match="was stopped"):
        service.retry_prescan(FREQUENCY)
    service.make_ready("A. Person").result(20)
    service.retry_prescan(service.prescan.failed[0].name)
    desk.wait()
    assert desk.step().state is StepState.ENDED


def test_nobody_on_the_table_and_unknown_steps_are_refused(desk):
    with pytest.raises(WrongState, match="no step 'tea'"):
        desk.service.retry_prescan("tea")
    desk.service.end_exam()
    with pytest.raises(WrongState, match="Nobody is on the table"):
        desk.service.run_prescan()


def test_what_depends_on_the_patient_does_not_reach_the_next_one(desk):
    service, session = desk.service, desk.service._session
    store = CalibrationStore(desk.folder, "virtual-osii-one")
    first = service.exam.exam_id
    from isocenter.domain.calibration import CalibrationValue

    store.accept(
        CalibrationValue(
            quantity=Quantity.RF_SCALE, value=(0.8,), sd=(0.01,), measured_at_s=time.time(), coil="", subject=first
        )
    )
    service._begin_prescan(service.exam)
    assert session.calibration.rf_scale == 0.8
    service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    assert session.calibration.rf_scale == 1.0


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_one_press_runs_every_step_with_all_devices(tmp_path):
    service = VirtualService("osii-one", "osii-one-brain", tmp_path)
    try:
        service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        desk = Desk(service, tmp_path, service.scanner.magnet.larmor_hz)
        end_s = time.monotonic() + 30
        while service.control.state is not ScannerState.READY:
            assert time.monotonic() < end_s, service.control.why_not_ready
            time.sleep(0.05)
        service.run_prescan()
        desk.wait(400)
        verdicts = {step.name: (step.result.verdict, step.result.text) for step in service.prescan.steps}
        assert service.prescan.is_done, (verdicts, service.prescan.problem)
        assert len(verdicts) == 8
        found = {used.value.quantity for used in service.prescan.values}
        assert {Quantity.LARMOR, Quantity.RF_SCALE, Quantity.SHIM, Quantity.TUNING, Quantity.RECEIVE_GAIN} <= found
        calibration = service._session.calibration
        assert calibration.rf_scale == pytest.approx(1.0, abs=0.03)
        service.run_prescan()  # warm: what holds is not measured again
        desk.wait(100)
        again = {step.name: step.result.verdict for step in service.prescan.steps}
        assert again["coarse_frequency"] is Verdict.SKIPPED
        assert again["transmit_power"] is Verdict.SKIPPED
        assert again["linear_shim"] is Verdict.SKIPPED
    finally:
        service.close()
