# SPDX-License-Identifier: MIT
"""The service on a virtual scanner of its own, which can be started anew with another scenario."""

import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isocenter.app.exam_service import ExamService
from isocenter.app.scenario_entries import scenario_entries
from isocenter.app.service import ScenarioEntry
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_scanner import VirtualSetup, scanner_of, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.config.scenarios import load_scenario
from isocenter.domain.errors import ConsoleError, WrongState

_JOIN_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A virtual scanner that listens.

    Attributes
    ----------
    hardware
        Name or path of its hardware file.
    scenario
        Name of its scenario.
    session
        Connected to it, or about to be.
    stack
        Ends it.
    """

    hardware: str
    scenario: str
    session: ScannerSession
    stack: contextlib.ExitStack

    def close(self) -> None:
        """Drop the link, end the process."""
        try:
            self.session.close()
        finally:
            self.stack.close()


def _start(hardware: str, scenario: str, cancel: threading.Event) -> _Running:
    """Start a virtual scanner; raises ConsoleError when it did not start or ``cancel`` was set."""
    scanner = load_scanner(hardware)
    name = load_scenario(scenario).name
    with contextlib.ExitStack() as stack:
        placed = stack.enter_context(virtual_scanner(scanner, VirtualSetup(has_devices=True, scenario=scenario), cancel))
        session = ScannerSession(placed, is_virtual=True, pace="none")
        return _Running(hardware=hardware, scenario=name, session=session, stack=stack.pop_all())


class VirtualService(ExamService):
    """``ScannerService`` on a virtual scanner that it starts and ends itself.

    Parameters
    ----------
    hardware
        Name of a hardware file, or its path.
    scenario
        Which phantom lies in which field.
    data_folder
        Where exams are kept.
    is_prescan_at_start
        As for ``ExamService``.

    Raises
    ------
    ConsoleError
        The virtual scanner did not start.
    """

    def __init__(self, hardware: str, scenario: str, data_folder: Path, *, is_prescan_at_start: bool = True) -> None:
        self._scanner_runs = _start(hardware, scenario, threading.Event())
        super().__init__(self._scanner_runs.session, data_folder, is_prescan_at_start=is_prescan_at_start)
        self._scenario = self._scanner_runs.scenario
        self._cancel_start = threading.Event()
        self._starter: threading.Thread | None = None

    @property
    def has_scenarios(self) -> bool:
        """True."""
        return True

    def scenarios(self) -> "Future[tuple[ScenarioEntry, ...]]":
        """Every scenario there is, read in a thread of its own."""
        future: Future[tuple[ScenarioEntry, ...]] = Future()
        scanner = self.scanner

        def read() -> None:
            try:
                future.set_result(scenario_entries(scanner))
            except ConsoleError as error:
                future.set_exception(error)

        threading.Thread(target=read, name="scenarios", daemon=True).start()
        return future

    def choose_scenario(self, name: str, *, is_exercise: bool = False) -> "Future[None]":
        """Start the virtual scanner anew with a scenario; the one that runs stays when the new one does not start."""
        with self._lock:
            if self._running:
                raise WrongState("A scan is running.", "Wait until it ends, or press Stop, then choose the scenario.")
            if self._exam is not None:
                raise WrongState(
                    f"{self._exam.patient.display_name} is on the table.", "End the exam first, then choose the scenario."
                )
            if self._restarting or self._closing:
                raise WrongState("The virtual scanner is being started already.", "Wait a few seconds.")
            self._restarting, self._cancel_start = True, threading.Event()
        future: Future[None] = Future()
        self._say("Starting the virtual scanner")
        arguments = (name, is_exercise, future)
        self._starter = threading.Thread(target=self._change_scenario, args=arguments, name="scenario", daemon=True)
        self._starter.start()
        return future

    def close(self) -> None:
        """Stop, make safe, end all workers, then the virtual scanner, also one that is just being started."""
        with self._lock:
            self._closing = True
            self._cancel_start.set()
        if self._starter is not None:
            self._starter.join(_JOIN_S)
        try:
            super().close()
        finally:
            self._scanner_runs.close()

    def _change_scenario(self, name: str, is_exercise: bool, future: "Future[None]") -> None:
        failure: ConsoleError | None = None
        try:
            hardware = scanner_of(name, self._scanner_runs.hardware)
            started = _start(hardware, name, self._cancel_start)
            self._take_over(started, is_exercise=is_exercise)
            self._connect()
        except ConsoleError as error:
            failure = error
        finally:
            with self._lock:
                self._restarting = False
            self._say("Idle")
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(None)

    def _take_over(self, started: _Running, *, is_exercise: bool) -> None:
        """From now on this one is driven; nothing ran, so nothing has to be carried over."""
        with self._lock:
            unwanted = started if self._closing else self._scanner_runs
            if not self._closing:
                self._scanner_runs, self._session = started, started.session
                self._make_prescan(started.session)
                self._scenario, self._is_exercise = started.scenario, is_exercise
        if unwanted is not started:
            self._begin_control(started.session)
        unwanted.session.control.listen(lambda _: None)  # its end is no news of the scanner that is driven now
        unwanted.close()
