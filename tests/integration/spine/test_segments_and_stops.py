# SPDX-License-Identifier: MIT
"""Cutting a scan changes no contrast; whatever goes wrong, outputs end at zero, data are kept and the next scan works."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import PreparedScan, prepare
from isocenter.app.session import ScannerSession
from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import LONGEST_PART_S
from isocenter.domain.errors import ConsoleError, WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import EndReason, Protocol
from isocenter.storage.stored import open_scan, read_raw
from isocenter.virtual.console import isa
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 64, "n_slab": 2, "n_read": 48, "dummy_shots": 0}
TSE = {"n_phase": 32, "n_slab": 2, "n_read": 48, "dummy_shots": 1, "echo_train_length": 4, "tr_s": 0.4}


class Scene:
    """A session on a server in this process, whose machine can be looked at."""

    def __init__(self, server, scanner, out):
        self.server, self.scanner, self.out = server, scanner, out
        self.session = ScannerSession(scanner, is_virtual=True, pace="none")
        self.exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")

    def prepare(self, name, parameters, max_segment_s=None) -> PreparedScan:
        prepared = prepare(
            Protocol(name=name, sequence=name, parameters=parameters),
            self.scanner,
            self.session.calibration,
            PatientPosition.HFS,
        )
        if max_segment_s is None:
            return prepared
        scan = compile_scan(
            read_pulseq(prepared.seq), self.scanner, prepared.calibration, prepared.placement, max_segment_s=max_segment_s
        )
        return replace(prepared, scan=scan, safety=check_scan(scan, self.scanner, prepared.calibration))

    def measure(self, prepared, cancel=None, **listeners):
        return self.session.measure(prepared, self.exam, self.out, cancel=cancel or threading.Event(), **listeners)

    def go_on_after(self, fault):
        """A console that failed has stopped the scanner until a person says so; samples that were lost have not."""
        is_mere_loss = bool(fault.error or fault.n_missing_samples)
        assert bool(self.session.latch) is not is_mere_loss
        if not is_mere_loss:
            assert self.session.supervisor.cause.name == "console_lost"
            self.session.make_ready("tester")
        assert not self.session.latch

    def assert_at_rest(self):
        """No output of the console is anything but zero, whatever was played before."""
        machine = self.server.machine
        assert machine.state == isa.IDLE
        assert not np.any(machine.cores.codes)
        assert not np.any(machine.buffers[isa.TX0_I : isa.TX0_I + 4])
        assert machine.buffers[isa.GATES_LEDS] == 0
        assert machine.buffers[isa.RX_CTRL] == 0


@pytest.fixture
def scene(tmp_path: Path):
    scanner = load_scanner("osii-one")
    scenario = replace(find_scenario("ideal-block"), n_spins=2000)
    model = BlochSignalModel(scanner, scenario)
    server = VirtualConsoleServer(
        signal_model=model,
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    server.start()
    host, port = server.address
    made = Scene(server, replace(scanner, console=replace(scanner.console, host=host, port=port)), tmp_path)
    made.model = model
    yield made
    made.session.close()
    server.stop()


@pytest.mark.parametrize(("name", "parameters"), [("gre_3d", GRE), ("tse_3d", TSE)])
def test_a_scan_in_segments_measures_what_it_measures_in_one_piece(scene, name, parameters):
    samples = []
    for max_segment_s in (4.9, 0.9):
        prepared = scene.prepare(name, parameters, max_segment_s)
        samples.append((len(prepared.scan.segments), read_raw(scene.measure(prepared)[0]).samples))
        scene.model.reset()  # the next scan begins in equilibrium as well
    (few, whole), (many, parts) = samples
    assert many > few
    assert np.linalg.norm(whole - parts) < 0.01 * np.linalg.norm(whole)


@pytest.mark.parametrize(
    ("name", "parameters", "most"),
    [
        ("gre_3d", GRE | {"n_phase": 32, "dummy_shots": 60}, 0.01),
        ("bssfp_3d", {"n_phase": 32, "n_slab": 4, "n_read": 48}, 0.05),
        ("petra_3d", {"n_matrix": 12, "n_spokes": 100, "dummy_shots": 100, "bandwidth_hz": 10e3}, 0.04),
    ],
)
def test_segments_short_enough_to_be_stopped_disturb_a_short_repetition_time_little(scene, name, parameters, most):
    """The pause adds to a repetition; the oscillator must not lose the phase of what is left of the magnetisation."""
    samples = []
    for max_segment_s in (4.9, None):
        prepared = scene.prepare(name, parameters, max_segment_s)
        lengths_s = [segment.end_tick / prepared.scan.clock_hz for segment in prepared.scan.segments]
        samples.append((len(lengths_s), read_raw(scene.measure(prepared)[0]).samples))
        scene.model.reset()
    (few, whole), (many, parts) = samples
    assert few == 1
    assert many > 4
    assert max(lengths_s) < LONGEST_PART_S
    assert np.linalg.norm(whole - parts) < most * np.linalg.norm(whole)


FAULTS = {
    "link dropped": Faults(drops_link=True),
    "reply cut": Faults(cuts_reply=True),
    "garbage": Faults(garbage=b"\xc1 no reply"),
    # What is lost once is measured again, so here it is lost in every run from that one on.
    "error": Faults(error="RX FIFO/s full during sequence around byte address 0x10", is_lasting=True),
    "samples missing": Faults(n_missing_samples=3, is_lasting=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_after_a_fault_in_any_segment_outputs_are_zero_data_kept_and_the_next_scan_works(scene, fault):
    prepared = scene.prepare("gre_3d", GRE)
    n_segments = len(prepared.scan.segments)
    assert n_segments >= 3
    for number in range(n_segments):
        scene.server.faults = replace(fault, at_run=scene.server.n_runs + number + 1)
        cancel = threading.Event()
        with pytest.raises(ConsoleError, match=r"readouts are kept in"):
            scene.measure(prepared, cancel)
        scene.assert_at_rest()
        assert cancel.is_set()
        scene.go_on_after(fault)
        stored = open_scan(max(scene.out.iterdir()))
        assert stored.record.end.reason is EndReason.FAILED
        before = sum(len(segment.readouts) for segment in prepared.scan.segments[:number])
        if before:
            assert len(read_raw(stored.path).samples) >= before
    scene.server.faults = None
    _, result = scene.measure(prepared)
    assert result.reason is EndReason.COMPLETED
    assert result.safe.verified
    scene.assert_at_rest()


def test_stop_at_every_segment_keeps_what_was_measured_and_leaves_nothing_on(scene):
    prepared = scene.prepare("gre_3d", GRE)
    for number in range(len(prepared.scan.segments)):
        cancel = threading.Event()

        def press(progress, cancel=cancel, number=number):
            if progress.segment == number and progress.state == "scanning":
                cancel.set()
                cancel.set()  # pressed twice

        path, result = scene.measure(prepared, cancel, on_progress=press)
        assert result.reason is EndReason.ABORTED
        assert result.safe.verified
        expected = sum(len(segment.readouts) for segment in prepared.scan.segments[:number])
        assert result.n_readouts >= expected
        if result.n_readouts:
            assert len(read_raw(path).samples) == result.n_readouts
        scene.assert_at_rest()


def test_a_console_that_vanishes_latches_and_nothing_is_played_until_zero_is_confirmed(scene):
    prepared = scene.prepare("gre_3d", GRE)
    host, port = scene.server.address

    def vanish(progress):
        if progress.segment == 1:
            scene.server.stop()

    with pytest.raises(ConsoleError, match="kept in"):
        scene.measure(prepared, on_progress=vanish)
    assert "not confirmed" in scene.session.latch
    with pytest.raises(WrongState, match=r"(?s)not confirmed.*Look after the patient"):
        scene.measure(prepared)
    again = VirtualConsoleServer(host, port, board=scene.scanner.gradients.board)
    again.start()
    try:
        with pytest.raises(WrongState, match="not confirmed"):
            scene.measure(prepared)
        scene.session.make_ready("tester")
        assert not scene.session.latch
        assert scene.measure(prepared)[1].reason is EndReason.COMPLETED
    finally:
        scene.session.close()
        again.stop()


def test_stop_while_idle_that_cannot_be_verified_latches(scene):
    scene.session.connect()
    scene.server.stop()
    scene.session.request_safe()
    assert not scene.session.wait_until_safe(10.0)
    assert "not confirmed" in scene.session.latch


def test_anything_that_is_raised_while_a_scan_runs_ends_at_zero_or_latches(scene):
    prepared = scene.prepare("gre_3d", GRE)

    def broken(progress):
        if progress.segment == 1:
            scene.server.stop()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scene.measure(prepared, on_progress=broken)
    assert "not confirmed" in scene.session.latch


def test_a_scan_that_was_changed_after_the_gate_is_not_played(scene):
    prepared = scene.prepare("gre_3d", GRE)
    changed = replace(prepared, scan=replace(prepared.scan, lo_hz=prepared.scan.lo_hz + 1))
    with pytest.raises(WrongState, match="has not been checked"):
        scene.measure(changed)
    assert not list(scene.out.iterdir()), "nothing half-written is left behind"


def test_closing_during_a_scan_ends_it_at_zero(scene):
    prepared = scene.prepare("gre_3d", GRE)
    cancel, began, ended = threading.Event(), threading.Event(), []

    def run():
        try:
            ended.append(scene.measure(prepared, cancel, on_progress=lambda p: began.set() if p.segment else None))
        except ConsoleError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(60)
    cancel.set()
    thread.join(60)
    scene.session.close()
    assert ended
    scene.assert_at_rest()
