# SPDX-License-Identifier: MIT
"""A virtual scanner over the wire whose amplifier is strong enough that two scans of a person are one too many."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from isocenter.app.exams import new_exam
from isocenter.app.prepare import PreparedScan, prepare
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

# 2 min with RF that never rests: half of a window of 6 min, and not too much for one of 10 s.
LONG = Protocol(
    name="Long",
    sequence="gre_3d",
    parameters={"n_read": 32, "n_phase": 120, "n_slab": 2, "tr_s": 0.5, "dummy_shots": 0, "flip_rad": 0.5},
)
PERSON = Patient(patient_id="P1", family_name="Doe", given_name="Jo", weight_kg=70.0)
STRONG_W = 6.8e6  # no such amplifier exists; with it this gentle scan takes 55 % of the limit of head SAR over 6 min


def strong_scanner(forward_power_w: float = STRONG_W) -> Scanner:
    scanner = load_scanner("osii-one")
    return replace(scanner, safety=replace(scanner.safety, forward_power_w=forward_power_w))


class Desk:
    """Sessions on one virtual scanner that goes on while programs come and go."""

    long = LONG

    def __init__(self, placed: Scanner, server: VirtualConsoleServer, folder: Path, stack: ExitStack) -> None:
        self.scanner, self.server, self.folder, self._stack = placed, server, folder, stack
        self.exam = new_exam(PERSON, PatientPosition.HFS, "HEAD")
        self.cancel = Event()

    def program(self, scanner: Scanner | None = None) -> ScannerSession:
        """A program that has just been started."""
        session = ScannerSession(scanner or self.scanner, is_virtual=True, pace="none")
        session.exposures.folder = self.folder
        session.set_frequency(self.scanner.magnet.larmor_hz)
        self._stack.callback(session.close)
        return session

    def prepare(self, session: ScannerSession, exam: Exam | None = None, protocol: Protocol = LONG) -> PreparedScan:
        situation = session.situation(exam or self.exam)
        return prepare(protocol, session.scanner, session.calibration, PatientPosition.HFS, situation)

    def measure(self, session: ScannerSession, prepared: PreparedScan, exam: Exam | None = None, **listeners):
        return session.measure(prepared, exam or self.exam, self.folder / "scans", cancel=self.cancel, **listeners)


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as stack:

        def make(change: Callable[[Scanner], Scanner] = lambda scanner: scanner) -> Desk:
            scanner = change(strong_scanner())
            scenario = replace(find_scenario("ideal-block"), n_spins=200)
            server = VirtualConsoleServer(
                signal_model=BlochSignalModel(scanner, scenario),
                board=scanner.gradients.board,
                segment_gap_s=scanner.console.segment_gap_s,
            )
            stack.enter_context(server)
            host, port = server.address
            placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
            return Desk(placed, server, tmp_path, stack)

        yield make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()
