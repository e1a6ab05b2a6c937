# SPDX-License-Identifier: MIT
"""A virtual scanner with all its boxes, driven over its real wires, in real time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from isocenter.acquisition.contracts import ScanResult
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import PreparedScan, prepare
from isocenter.app.session import ScannerSession
from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceLink
from isocenter.domain.errors import ConsoleError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.peripherals.boxes import EVERYTHING, VirtualBoxes
from isocenter.virtual.peripherals.plant import Plant, PlantState
from isocenter.virtual.peripherals.story import Story
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.plant_model import PlantSignalModel
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 16, "n_slab": 2, "n_read": 48, "dummy_shots": 0, "tr_s": 0.1}
SEGMENT_S = 0.4
"""So that a test is short: a scan ends at the segment."""


def is_off(state: PlantState) -> bool:
    """Nothing comes out of either amplifier, whatever the console does."""
    return not state.can_transmit and not state.can_drive_gradients


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.002)


@dataclass
class Scene:
    """A session on a scanner whose every part can be spoiled."""

    session: ScannerSession
    boxes: VirtualBoxes
    server: VirtualConsoleServer | None
    out: Path
    cancel: threading.Event = field(default_factory=threading.Event)
    results: list[object] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None
    prepared: PreparedScan | None = None

    @property
    def plant(self) -> Plant:
        return self.boxes.plant

    def prepare(self, parameters: dict[str, object] | None = None, max_segment_s: float = SEGMENT_S) -> PreparedScan:
        scanner, calibration = self.session.scanner, self.session.calibration
        protocol = Protocol(name="GRE", sequence="gre_3d", parameters=GRE | (parameters or {}))
        made = prepare(protocol, scanner, calibration, PatientPosition.HFS)
        scan = compile_scan(read_pulseq(made.seq), scanner, calibration, made.placement, max_segment_s=max_segment_s)
        return replace(made, scan=scan, safety=check_scan(scan, scanner, calibration))

    def measure(self) -> tuple[Path, ScanResult]:
        self.prepared = self.prepared or self.prepare()
        self.cancel = threading.Event()
        exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        return self.session.measure(
            self.prepared,
            exam,
            self.out,
            cancel=self.cancel,
            on_message=lambda _health, problem, _remedy: self.messages.append(problem),
        )

    def start(self, n_segments: int = 1) -> None:
        """Scan in a thread, and return when so many segments have been begun and power is on.

        A computer that is too busy to simulate in real time is a console that stalls: then it is tried again.
        """
        for _ in range(4):
            self._start(n_segments)
            cause = self.session.supervisor.cause
            if not self.results or cause is None or cause.name != "console_stalled":
                break
            self.end()
            self.session.make_ready("tester")
            wait_for(lambda: self.session.supervisor.state is ScannerState.READY)
        assert not self.results, self.results
        assert not is_off(self.plant.state)

    def _start(self, n_segments: int) -> None:
        self.prepared = self.prepared or self.prepare()
        self.results.clear()
        since_s = time.monotonic()

        def run() -> None:
            try:
                self.results.append(self.measure())
            except (ConsoleError, ArithmeticError) as error:
                self.results.append(error)

        self.thread = threading.Thread(target=run, name="test scan")
        self.thread.start()

        def begun() -> int:
            return sum("rf_playing" in change.names and change.state.rf_playing for change in self.plant.log(since_s))

        wait_for(lambda: begun() >= n_segments or self.results, 30.0)

    def end(self, timeout_s: float = 30.0) -> object:
        """What became of the scan: its folder and result, or the error."""
        assert self.thread is not None
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "the scan does not end"
        return self.results[0]

    def off_after_s(self, event_s: float, timeout_s: float = 5.0) -> float:
        """When both amplifiers were off for good, as seen at the boxes, counted from the event."""
        return self.plant.wait_for(is_off, timeout_s, event_s) - event_s

    def is_safe(self) -> bool:
        return self.session.supervisor.state is ScannerState.SAFE

    def folder(self) -> Path:
        return max(path for path in self.out.iterdir() if path.is_dir())


def make_session(scanner: Scanner, *, is_real_time: bool = True) -> ScannerSession:
    """Watches as on a real console in real time; as fast as it goes no segment is ever overdue."""
    margin_s = 0.25 if is_real_time else None
    session = ScannerSession(scanner, is_virtual=True, pace="wall" if is_real_time else "none", segment_margin_s=margin_s)
    session.set_frequency(scanner.magnet.larmor_hz)
    return session


@contextmanager
def serve_scene(
    out: Path,
    *,
    links: tuple[DeviceLink, ...] = EVERYTHING,
    time_scale: float = 1.0,
    name: str = "osii-one",
    **changes: object,
) -> Iterator[Scene]:
    scanner = load_scanner(name)
    scenario: Scenario = replace(find_scenario("ideal-block"), n_spins=500, **changes)  # type: ignore[arg-type]
    boxes = VirtualBoxes(scanner.magnet.larmor_hz, links)
    model = PlantSignalModel(
        BlochSignalModel(scanner, scenario), scanner, scenario, boxes, (story := Story(boxes, scenario.devices.events)).begin
    )
    server = VirtualConsoleServer(
        signal_model=model,
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
        time_scale=time_scale,
    )
    server.on_end = model.ended
    server.machine.cores.set_board(scenario.devices.board_gain, scenario.devices.board_offset)
    with boxes, server:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port), devices=boxes.links)
        session = make_session(placed, is_real_time=time_scale == 1.0)
        try:
            yield Scene(session, boxes, server, out)
        finally:
            session.close()
            story.end()
    assert is_off(boxes.plant.state)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with serve_scene(tmp_path) as made:
        yield made
