# SPDX-License-Identifier: MIT
"""What Start measures before the first pictures of an exam, on the virtual scanner over the wire."""

import time
from dataclasses import replace

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import StepResult, Verdict
from isocenter.acquisition.prescan.steps import clinical_steps
from isocenter.app import prescan_service
from isocenter.app.exam_service import ExamService
from isocenter.app.exams import phantom_patient
from isocenter.app.prescan_status import PrescanChanged, StepState
from isocenter.app.service import ItemState, MessageRaised, StatusChanged
from isocenter.app.session import ScannerSession
from isocenter.app.warm_up import warm_up
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scenario import CoilFaults
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.stored import find_scans, open_scan, read_raw
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

GRE = Protocol(name="GRE", sequence="gre_3d", parameters={"n_phase": 16, "n_slab": 2, "n_read": 32, "dummy_shots": 0})
NOISE = Protocol(name="Noise", sequence="noise")

pytestmark = pytest.mark.timeout(300)


class Desk:
    """A service with a phantom on the table, and what it told."""

    def __init__(self, service, folder):
        self.service, self.folder = service, folder
        self.prescans, self.messages, self.activities = [], [], []
        service.listen(self._hear)
        service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")

    def _hear(self, event):
        if isinstance(event, PrescanChanged):
            self.prescans.append(event.prescan)
        elif isinstance(event, MessageRaised):
            self.messages.append(event)
        elif isinstance(event, StatusChanged) and event.status.activity not in self.activities:
            self.activities.append(event.status.activity)

    def wait(self, timeout_s=200.0):
        self.wait_for(lambda: not self.service.status.is_running, timeout_s)

    def wait_for(self, is_so, timeout_s=60.0):
        end_s = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < end_s, (self.service.status.activity, self.service.prescan)
            time.sleep(0.005)

    def run(self, protocol=GRE):
        item = self.service.add(protocol)
        self.service.start()
        self.wait()
        return self.item(item)

    def item(self, item):
        return next(one for one in self.service.queue if one.item_id == item.item_id)

    @property
    def verdicts(self):
        return {step.name: step.result.verdict for step in self.service.prescan.steps}

    @property
    def n_measured(self):
        return len(find_scans(self.folder / self.service.exam.exam_id / "prescan"))


@pytest.fixture
def desk_of(tmp_path):
    """Function: a desk at a virtual scanner with faults; ``steps`` makes others of the usual ones."""
    closers = []

    def desk_of(steps=clinical_steps, n_spins=1500, scenario="osii-one-brain", hardware="osii-one", options=None, **changes):
        scanner = load_scanner(hardware)
        chosen = replace(find_scenario(scenario), n_spins=n_spins, **changes)
        warm_up(scanner, chosen)
        model = BlochSignalModel(scanner, chosen)
        server = VirtualConsoleServer(
            signal_model=model,
            time_scale=0.0,
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )
        server.__enter__()
        closers.append(lambda: server.__exit__(None, None, None))
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prescan_service, "clinical_steps", steps)
            service = ExamService(ScannerSession(placed, is_virtual=True, pace="none"), tmp_path, **(options or {}))
        closers.append(service.close)
        return Desk(service, tmp_path)

    yield desk_of
    for close in reversed(closers):
        close()


class Wrapped:
    """A step of the prescan that does something else before it runs, or instead."""

    def __init__(self, step, before=lambda: None, fails=lambda: False):
        self._step, self._before, self._fails = step, before, fails
        self.name, self.title = step.name, step.title

    def why_skip(self, bench):
        return self._step.why_skip(bench)

    def run(self, bench, tell):
        self._before()
        if self._fails():
            return StepResult(
                step=self.name, title=self.title, verdict=Verdict.FAIL, text="Nothing grew.", remedy="Look at the coil."
            )
        return self._step.run(bench, tell)


def with_step(name, **how):
    def steps(scanner):
        return tuple(Wrapped(step, **how) if step.name == name else step for step in clinical_steps(scanner))

    return steps


def without_shim(scanner):
    return tuple(step for step in clinical_steps(scanner) if step.name != "linear_shim")


def test_the_first_start_of_an_exam_measures_all_the_next_one_nothing_and_another_subject_all_again(desk_of):
    desk = desk_of(steps=without_shim, coil=CoilFaults(transmit_scale=0.7))
    first = desk.run()
    assert first.state is ItemState.DONE, first.note
    assert desk.verdicts["transmit_power"] in (Verdict.PASS, Verdict.WARN)
    assert desk.service.prescan.is_done
    used = {one.quantity: one for one in open_scan(first.folder).record.request.calibration_values}
    assert used[Quantity.RF_SCALE].value.value[0] == pytest.approx(0.7, rel=0.03)
    assert any("Prescan 6 of 7: Transmit power, ~20 s" in text for text in desk.activities), desk.activities
    n_first = desk.n_measured
    assert desk.run().state is ItemState.DONE
    assert desk.n_measured == n_first
    desk.service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    again = desk.run()
    assert again.state is ItemState.DONE, again.note
    used = {one.quantity: one for one in open_scan(again.folder).record.request.calibration_values}
    assert used[Quantity.RF_SCALE].value.subject == desk.service.exam.exam_id
    assert desk.verdicts["coarse_frequency"] is Verdict.SKIPPED  # the magnet is the same


def test_a_step_that_fails_is_told_before_anything_is_scanned_start_measures_it_again_and_a_person_may_leave_it_out(desk_of):
    tries = []
    desk = desk_of(steps=with_step("transmit_power", before=lambda: tries.append(1), fails=lambda: True))
    waits = desk.run()
    assert waits.state is ItemState.WAITING
    assert "Transmit power was not good enough, so nothing was scanned. Nothing grew." in waits.note
    assert waits.folder is None
    told = desk.messages[-1]
    assert "Look at the coil. Then press Start" in told.remedy
    assert "leave the step out on the Prescan page" in told.remedy
    assert desk.verdicts["linear_shim"] is None  # not begun
    n_before = desk.n_measured
    desk.service.start()
    desk.wait()
    assert desk.item(waits).state is ItemState.WAITING
    assert len(tries) == 2
    assert desk.n_measured == n_before  # what was good holds
    desk.service.skip_prescan("transmit_power", "phantom of oil", "A. Person")
    desk.wait()
    assert desk.service.prescan.is_done
    desk.service.start()
    desk.wait()
    assert desk.item(waits).state is ItemState.DONE
    used = {one.quantity: one for one in open_scan(desk.item(waits).folder).record.request.calibration_values}
    assert used[Quantity.RF_SCALE].why_not == "never measured"
    assert not used[Quantity.SHIM].why_not


def test_what_still_waits_is_checked_anew_with_the_power_that_was_found(desk_of):
    desk = desk_of(steps=with_step("linear_shim", fails=lambda: True), coil=CoilFaults(transmit_scale=0.4))
    protocol = Protocol(name="TSE", sequence="tse_3d", parameters={"n_phase": 16, "n_slab": 2})
    item = desk.service.add(protocol)
    desk.wait_for(lambda: desk.item(item).check is not None)
    assert not any("RF pulses" in text for text in desk.item(item).check.warnings)
    desk.service.start()
    desk.wait()
    assert desk.item(item).state is ItemState.WAITING
    assert "Shim was not" in desk.item(item).note
    desk.wait_for(lambda: any("RF pulses are longer" in text for text in desk.item(item).check.warnings))


def test_without_a_frequency_nothing_is_scanned_and_nobody_can_leave_it_out(desk_of):
    desk = desk_of(steps=with_step("fine_frequency", fails=lambda: True))
    waits = desk.run()
    assert waits.state is ItemState.WAITING
    assert "leave the step out" not in desk.messages[-1].remedy
    with pytest.raises(WrongState, match="Nothing can be scanned without the frequency"):
        desk.service.skip_prescan("fine_frequency", "in a hurry", "A. Person")


@pytest.mark.parametrize("step", ["noise", "linear_shim"])
def test_frequency_only_ends_the_prescan_soon_scans_and_says_what_is_missing(desk_of, step):
    desks = []
    desk = desk_of(steps=with_step(step, before=lambda: [one.service.measure_only_frequency("A. Person") for one in desks]))
    desks.append(desk)
    done = desk.run()
    assert done.state is ItemState.DONE, done.note
    assert desk.service.prescan.is_frequency_only
    assert desk.verdicts["linear_shim"] is None
    assert desk.verdicts["fine_frequency"] is Verdict.PASS
    assert any("were not all measured in this exam, as A. Person asked" in one.problem for one in desk.messages)
    chosen = open_scan(done.folder).record.request.frequency_only
    assert chosen["person"] == "A. Person"
    assert chosen["at"]
    assert desk.service._session.calibration.measured_at
    if step == "linear_shim":
        stopped = next(one for one in desk.service.prescan.steps if one.name == step)
        assert stopped.state is StepState.STOPPED
        assert desk.service._session.calibration.rf_scale == pytest.approx(1.0, abs=0.1)
        assert desk.service._session.calibration.rf_scale != 1.0
    assert desk.run().state is ItemState.DONE
    assert not desk.service.control.is_stopped
    desk.service.run_prescan()  # whoever asks for it gets all of it
    assert desk.service.status.is_running
    desk.service.stop()


def test_frequency_only_is_for_this_exam_and_needs_one(desk_of):
    desk = desk_of()
    with pytest.raises(WrongState, match="Nobody has said who"):
        desk.service.measure_only_frequency(" ")
    assert not desk.service.prescan.is_frequency_only
    desk.service.measure_only_frequency(" A. Person ")
    assert desk.service.prescan.is_frequency_only
    assert desk.service.prescan.frequency_only_by == "A. Person"
    noted = desk.service._session.control._journal.tail[-1]
    assert "frequency" in noted
    assert "person: A. Person" in noted
    desk.service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    assert not desk.service.prescan.is_frequency_only
    desk.service.end_exam()
    assert desk.service.prescan.frequency_only_by == ""
    with pytest.raises(WrongState, match="Nobody is on the table"):
        desk.service.measure_only_frequency("A. Person")


def test_a_measurement_that_makes_no_picture_and_a_service_that_is_told_so_find_the_frequency_only(desk_of):
    desk = desk_of()
    assert desk.run(NOISE).state is ItemState.DONE
    assert desk.verdicts["transmit_power"] is None
    research = desk_of(options={"is_prescan_at_start": False})
    assert research.run().state is ItemState.DONE
    assert research.verdicts["transmit_power"] is None
    assert research.verdicts["fine_frequency"] is Verdict.PASS
    assert not any("Power, gain" in one.problem for one in research.messages)


def test_stop_during_it_stops_the_entry(desk_of):
    desks = []
    desk = desk_of(steps=with_step("transmit_power", before=lambda: [one.service.stop() for one in desks]))
    desks.append(desk)
    assert desk.run().state is ItemState.STOPPED
    assert desk.service.control.is_stopped


def signal_of(folder):
    """A picture, and the mean power of its noise, from a corner without an object."""
    volume = np.abs(reconstruct(read_raw(folder))[0].data).astype(float)
    corner = volume[:, :6, :6]
    return volume, float(np.mean(corner**2))


def test_with_half_the_power_every_clinical_sequence_compiles_and_a_localizer_has_its_signal(desk_of):
    pictures = {}
    for scale in (1.0, 0.5):
        desk = desk_of(n_spins=1500, coil=CoilFaults(transmit_scale=scale))
        item = desk.run(Protocol(name="Localizer", sequence="localizer"))
        assert item.state is ItemState.DONE, item.note
        pictures[scale] = signal_of(item.folder)
    found = desk.service._session.calibration
    assert found.rf_scale == pytest.approx(0.5, rel=0.03)
    record = open_scan(item.folder).record
    assert any("RF pulses are longer than asked for" in text for text in record.compiled.warnings)
    assert "LongerPulses" in record.compiled.definitions
    whole, noise = pictures[1.0]
    inside = whole > 0.2 * whole.max()
    levels = {scale: np.sqrt(np.mean(volume[inside] ** 2) - noise) for scale, (volume, noise) in pictures.items()}
    assert noise > 0
    assert levels[0.5] / levels[1.0] > 0.95, levels
    scanner, checks = desk.service.scanner, {}
    for info in desk.service.sequences():
        if info.is_clinical:
            checks[info.name] = desk.service.check(Protocol(name=info.title, sequence=info.name)).result(60)
    assert len(checks) >= 6
    assert {name: check.problem for name, check in checks.items() if not check.is_playable} == {}
    assert any("RF pulses are longer" in text for text in checks["tse_3d"].warnings)
    assert scanner.rf.full_scale_t == load_scanner("osii-one").rf.full_scale_t
