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
from isocenter.domain.scanner import Scanner
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel


@dataclass(frozen=True)
class Road:
    """A session on a virtual scanner."""

    scanner: Scanner
    session: ScannerSession
    out: Path

    def prepare(self, sequence: str, parameters: dict) -> PreparedScan:
        protocol = Protocol(name=sequence, sequence=sequence, parameters=parameters)
        return prepare(protocol, self.scanner, self.session.calibration, PatientPosition.HFS)

    def measure(self, prepared: PreparedScan, **listeners) -> Path:
        exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        return self.session.measure(prepared, exam, self.out, cancel=Event(), **listeners)[0]


@pytest.fixture
def open_road(tmp_path: Path) -> Iterator[Callable]:
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
