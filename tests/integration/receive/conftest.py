# SPDX-License-Identifier: MIT
"""Scans over the wire, read back from their folder, for comparison with scans without a wire."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import pytest

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import PreparedScan, prepare
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner, nominal_calibration
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario


@dataclass(frozen=True)
class Road:
    """A session on a virtual scanner."""

    scanner: Scanner
    session: ScannerSession
    out: Path

    def prepare(self, sequence: str, parameters: dict) -> PreparedScan:
        protocol = Protocol(name=sequence, sequence=sequence, parameters=parameters)
        return prepare(protocol, self.scanner, self.session.calibration, PatientPosition.HFS)

    def measure(self, prepared: PreparedScan, cancel: Event | None = None, **listeners) -> Path:
        exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        return self.session.measure(prepared, exam, self.out, cancel=cancel or Event(), **listeners)[0]


@pytest.fixture(scope="session")
def compiled_physics() -> None:
    """The first use on a machine compiles the simulation, which takes longer than a scan may be late."""
    scanner = load_scanner("osii-one")
    protocol = Protocol(name="warm up", sequence="gre_3d", parameters={"n_phase": 2, "n_slab": 2, "dummy_shots": 0})
    prepared = prepare(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS)
    simulate(prepared.scan, scanner, replace(find_scenario("ideal-block"), n_spins=500), prepared.placement)


@pytest.fixture
def open_road(compiled_physics: None, tmp_path: Path) -> Iterator[Callable]:
    @contextmanager
    def make(scenario, *, scanner: Scanner | None = None) -> Iterator[Road]:
        scanner = scanner or load_scanner("osii-one")
        server = VirtualConsoleServer(
            signal_model=BlochSignalModel(scanner, scenario),
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )
        with server:
            host, port = server.address
            placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
            session = ScannerSession(placed, is_virtual=True, pace="none")
            session.set_frequency(scanner.magnet.larmor_hz)
            try:
                yield Road(placed, session, tmp_path)
            finally:
                session.close()

    return make
