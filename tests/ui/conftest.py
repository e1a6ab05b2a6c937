# SPDX-License-Identifier: MIT
"""The real service on a virtual console in this process, and the window on top of it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import QCoreApplication, QEvent

from isocenter.acquisition.prescan.steps import clinical_steps
from isocenter.app import prescan_service
from isocenter.app.exam_service import ExamService
from isocenter.app.session import ScannerSession
from isocenter.app.workers import PreparationPool
from isocenter.config.hardware import load_scanner
from isocenter.domain.scan import Protocol
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell
from isocenter.ui.theme import apply_theme
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

N_SPINS = 4000


@pytest.fixture(scope="module", autouse=True)
def nothing_is_warmed_up() -> Iterator[None]:
    """Services come and go in tests: none needs what each loads ahead for a day of work, seconds of a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparationPool, "warm_up", lambda pool: None)
        yield


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    """One service for all tests: its worker process takes a second to start."""
    scanner = load_scanner("osii-one")
    scenario = replace(find_scenario("osii-one-brain"), n_spins=N_SPINS)
    server = VirtualConsoleServer(
        signal_model=BlochSignalModel(scanner, scenario),
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    with server:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
        session = ScannerSession(placed, is_virtual=True, pace="none")
        with pytest.MonkeyPatch.context() as patch:  # those that take seconds; all of them run in tests/integration
            patch.setattr(prescan_service, "clinical_steps", quick_steps)
            made = ExamService(session, tmp_path_factory.mktemp("exams"))
        try:
            yield made
        finally:
            made.close()


def quick_steps(scanner):
    return tuple(step for step in clinical_steps(scanner) if step.name in ("noise", "coarse_frequency", "fine_frequency"))


@pytest.fixture
def qtbot(qtbot):
    """Waits far longer than five seconds for what comes at once on a machine that does nothing else."""
    plain = qtbot.waitUntil
    qtbot.waitUntil = lambda callback, *, timeout=0: plain(callback, timeout=max(timeout, 150_000))
    return qtbot


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < end_s, "it did not happen in time"
        pause.wait(0.01)


@pytest.fixture(autouse=True)
def nothing_is_left(qapp, service: ExamService, tmp_path: Path, monkeypatch) -> Iterator[None]:
    """Nobody on the table before and after; no window, no thread of the window left; no file in the user's home."""
    monkeypatch.setenv("ISOCENTER_LOG", str(tmp_path / "log"))
    apply_theme(qapp)
    yield
    service.stop()
    wait_until(lambda: not service.status.is_running)
    if service.control.is_stopped:
        service.make_ready("Test").result(20)
    service.end_exam()
    assert [widget for widget in qapp.topLevelWidgets() if widget.isVisible()] == []
    wait_until(
        lambda: (
            not any(
                thread.name in ("opening", "closing", "export", "scenario", "scenarios", "make ready")
                for thread in threading.enumerate()
            )
        )
    )


@pytest.fixture
def new_window(qtbot, qapp) -> Callable[[], Shell]:
    """A window in front of all others: only there keys are shortcuts."""

    def show() -> Shell:
        shell = Shell()
        shell.resize(1366, 768)
        shell.show()

        def is_in_front() -> bool:
            shell.activateWindow()
            return shell.isActiveWindow()

        for _ in range(2):  # a window that goes takes the focus with it, and that is told late
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            qapp.processEvents()
            qtbot.waitUntil(is_in_front)
        return shell

    return show


@pytest.fixture
def program(new_window: Callable[[], Shell], service: ExamService) -> Iterator[Program]:
    shell = new_window()
    made = Program(shell, service)
    yield made
    made.detach()
    shell.may_close = True
    shell.close()
    shell.deleteLater()


@pytest.fixture
def quick() -> Protocol:
    """A scan of a second or two."""
    parameters = {"n_read": 32, "n_slab": 2, "echo_train_length": 16, "tr_s": 0.4}
    return Protocol(name="Quick localizer", sequence="localizer", parameters=parameters)


@pytest.fixture
def long() -> Protocol:
    """A scan that does not end before it is stopped."""
    parameters = {"n_read": 96, "n_phase": 96, "n_slab": 48, "tr_s": 0.5}
    return Protocol(name="Long TSE", sequence="tse_3d", parameters=parameters)
