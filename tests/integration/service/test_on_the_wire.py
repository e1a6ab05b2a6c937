# SPDX-License-Identifier: MIT
"""Service calibrations over the wire: driver, console, storage, and the bench that the program uses."""

from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.service import (
    GradientCurrentsStep,
    GradientDelayStep,
    GradientScaleStep,
    ServicePhantom,
    ShimByMapStep,
)
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.prescan_bench import SessionBench
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.devices.marcos import MarcosConsole
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import ScanAborted
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scanner import ConsoleLink, GradientBoard
from isocenter.domain.scenario import GradientFaults, MagnetFaults, ReceiverFaults, Scenario
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel

FAULTS = GradientFaults(scale=(1.05, 1.0, 0.96), delay_s=(11e-6, 0.0, -4e-6))


@pytest.fixture
def wired_bench(tmp_path):
    """The program's own bench on a virtual scanner."""

    @contextmanager
    def make(**faults):
        scanner = load_scanner("osii-one")
        scenario = Scenario(
            phantom="sphere",
            n_spins=3000,
            has_t2_prime=False,
            has_chemical_shift=False,
            receiver=ReceiverFaults(noise=1.0),
            **faults,
        )
        server = VirtualConsoleServer(
            signal_model=BlochSignalModel(scanner, scenario),
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )
        with server:
            host, port = server.address
            placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
            session = ScannerSession(placed, is_virtual=True, pace="none")
            try:
                session.connect()
                yield SessionBench(
                    session,
                    new_exam(phantom_patient(), PatientPosition.HFS, "HEAD"),
                    tmp_path,
                    cancel=Event(),
                    prepare=lambda protocol, calibration: prepare(protocol, placed, calibration, PatientPosition.HFS),
                    newest=lambda _: None,
                )
            finally:
                session.close()

    return make


def test_strength_and_delay_are_found(wired_bench, tmp_path):
    with wired_bench(gradients=FAULTS) as bench:
        scale, delay = (step.run(bench, lambda _: None) for step in (GradientScaleStep(), GradientDelayStep()))
    assert scale.verdict is Verdict.WARN, scale.text  # a phantom in the middle tells no directions
    assert scale.values[0].value == pytest.approx(FAULTS.scale, rel=0.005)
    assert (tmp_path / scale.values[0].raw).is_dir()
    assert delay.verdict is Verdict.PASS, delay.text
    assert delay.values[0].value == pytest.approx(FAULTS.delay_s, abs=0.4e-6)


def test_a_shim_is_found(wired_bench):
    with wired_bench(magnet=MagnetFaults(harmonics_hz={"x": 300.0, "z": -200.0})) as bench:
        result = ShimByMapStep(ServicePhantom()).run(bench, lambda _: None)
    (value,) = result.values
    assert value.quantity is Quantity.SHIM
    assert value.value == pytest.approx(np.array([-300, 0, 200]) / 0.1 / GAMMA_HZ_PER_T, rel=0.03, abs=1e-6)


def test_stop_is_no_result(wired_bench):
    with wired_bench() as bench:
        bench.cancel.set()
        with pytest.raises(ScanAborted):
            GradientDelayStep().run(bench, lambda _: None)


def test_the_boards_currents_are_those_of_the_board(wired_bench):
    """The console's own calibration as a step: board of known gains and offsets, read through the driver."""
    gain, offset = (0.97, 1.02, 1.04), (0.004, -0.006, 0.0)
    gradients = load_scanner("osii-one").gradients
    with VirtualConsoleServer(board=GradientBoard.GPA_FHDO) as server:
        server.machine.cores.set_board(gain, offset)
        host, port = server.address
        link = ConsoleLink(family="marcos", host=host, port=port, clock_hz=122.88e6, segment_gap_s=0.01)
        console = MarcosConsole(link, gradients)
        console.open()
        try:
            with wired_bench() as bench:
                measured = _with_currents(bench, lambda: console.calibrate_currents(6.25, 5.0, Event()))
                result = GradientCurrentsStep().run(measured, lambda _: None)
        finally:
            console.close()
    assert result.verdict is Verdict.PASS, result.text
    table = np.array(result.values[0].value).reshape(3, 4)
    assert table[:, 1] == pytest.approx(1 / np.array(gain), abs=2e-3)
    assert table[:, 0] == pytest.approx(-np.array(offset) / np.array(gain), abs=5e-4)


def _with_currents(bench, calibrate):
    class WithCurrents(type(bench)):
        calibrate_currents = property(lambda _: calibrate)

    bench.__class__ = WithCurrents
    return bench
