# SPDX-License-Identifier: MIT
"""The link to one scanner: its console in the hardware thread, its devices under a supervisor, stop and Make ready."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from threading import Event

from isocenter.acquisition.clock import Pace
from isocenter.acquisition.control.guard import ScanGuard
from isocenter.acquisition.control.supervisor import SEGMENT_MARGIN_S
from isocenter.acquisition.hardware import HardwareThread
from isocenter.acquisition.runner import ScanRunner
from isocenter.app.board_currents import BoardCurrentsLink
from isocenter.app.coil_settings import CoilSettings
from isocenter.app.control import ScannerControl
from isocenter.app.transmit_phase import contradiction
from isocenter.app.virtual_process import process_at
from isocenter.devices.marcos.currents import ZERO_TOLERANCE, is_answer
from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.devices.protocols import Console, ConsoleIdentity, SafeReport
from isocenter.domain.control import ScannerState
from isocenter.domain.errors import ConfigError, ConsoleError, WrongState
from isocenter.domain.scan import ScanState
from isocenter.domain.scanner import Scanner

_OPEN_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 5.0
_SAFE_TIMEOUT_S = 10.0
_GRACE_S = 10.0
_SIMULATED_GRACE_S = 130.0  # longer than the driver waits, whose words say more
_LOOK_S = 0.02
_READY_TIMEOUT_S = 5.0  # devices have opened their lines and answered by then, or something is wrong


def make_console(scanner: Scanner) -> Console:
    """The driver for a scanner's console: the one place that knows families of consoles."""
    if scanner.console.family == "marcos":
        return MarcosConsole(scanner.console, scanner.gradients)
    raise ConfigError(f"There is no driver for consoles of the family '{scanner.console.family}'.", "Use family = 'marcos'.")


class ScannerLink(BoardCurrentsLink):
    """A scanner's console and devices, and everything that stops them.

    Parameters
    ----------
    scanner
        With the address of its console, real or virtual.
    is_virtual
        True when no real amplifiers hang on it.
    pace
        ``none`` for a virtual scanner that plays faster than time.
    segment_margin_s
        A segment that takes this much longer than it should cuts the amplifiers [s]; None for a quarter of a second on a
        real console and for no limit on a simulated one, which may compute for longer than a segment lasts.

    Attributes
    ----------
    control, supervisor
        Devices, states and journal; who watches and stops.
    coil
        What the boxes beside the coil are set to.
    """

    def __init__(self, scanner: Scanner, *, is_virtual: bool, pace: Pace, segment_margin_s: float | None) -> None:
        self.scanner, self.is_virtual = scanner, is_virtual
        self.identity: ConsoleIdentity | None = None
        self.link_problem = ""
        self._console = make_console(scanner)
        self._hardware = HardwareThread()
        self._runner = ScanRunner(self._console, self._hardware, scanner.name, pace=pace)
        self.aside_runner = ScanRunner(self._console, self._hardware, scanner.name, pace=pace)  # in a scan's pause
        self._segment_margin_s = segment_margin_s
        self._last_identity: ConsoleIdentity | None = None
        self._is_closed = False
        self.control = ScannerControl(scanner, is_virtual=is_virtual)
        self.supervisor = self.control.supervisor
        self.coil = CoilSettings(self.supervisor, self.control.line_of)
        self._process = process_at(scanner.console.host, scanner.console.port)
        if self._process is not None:
            self._process.listen(self._process_lost)
            if isinstance(self._console, MarcosConsole):
                self._console.why_lost = self._process.why_lost

    def _process_lost(self, detail: str) -> None:
        self.supervisor.fault("simulation_lost", detail=detail)

    def forget_frequency(self) -> None:
        """The console was connected anew; nothing is known of a frequency here."""

    def _require_ready(self, guard: ScanGuard, cancel: Event) -> None:
        """Raise when this scan may not begin; devices that have not answered yet get some time."""
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while self.supervisor.state is ScannerState.OFF and time.monotonic() < deadline_s and not cancel.wait(_LOOK_S):
            pass
        guard.require()

    def connect(self) -> ConsoleIdentity:
        """Open the link if it is not open, and begin to watch the devices.

        Raises
        ------
        DeviceError
            Nothing answers, or the wrong thing does.
        """
        if self.identity is not None:
            return self.identity
        self.control.begin()
        try:
            identity = self._hardware.call(self._console.open, timeout_s=_OPEN_TIMEOUT_S, doing="answer")
            if identity.is_real and self.is_virtual:
                raise ConfigError(
                    "A real console answers where the virtual scanner should be.",
                    "Check address and port, then start again.",
                )
        except ConsoleError as error:
            self.link_problem = error.problem
            raise
        self.identity, self.link_problem = identity, ""
        self.is_virtual = not identity.is_real
        self._runner.grace_s = self.aside_runner.grace_s = _GRACE_S if identity.is_real else _SIMULATED_GRACE_S
        self.supervisor.segment_margin_s = self._margin_s(identity)
        self._compare(identity)
        if self.supervisor.state is not ScannerState.SAFE:
            safe = self._hardware.call(self._console.make_safe, timeout_s=_SAFE_TIMEOUT_S, doing="bring the outputs to zero")
            self.judge_currents(safe)
            self.supervisor.console_zero(safe.verified, detail=safe.messages[-1].text if safe.messages else "")
            self.coil.settle()
        self._judge_direction(identity)
        return identity

    def _judge_direction(self, identity: ConsoleIdentity) -> None:
        """Nobody is scanned whose slices would be taken at the opposite place."""
        folder = self.control.folder
        said = contradiction(self.scanner, folder, is_real=identity.is_real) if folder is not None else ""
        if said:
            self.supervisor.fault("transmit_mirrored", detail=said)
        else:
            self.supervisor.clear("transmit_mirrored")

    def _margin_s(self, identity: ConsoleIdentity) -> float:
        if self._segment_margin_s is not None:
            return self._segment_margin_s
        return SEGMENT_MARGIN_S if identity.is_real else math.inf

    def _compare(self, identity: ConsoleIdentity) -> None:
        """A console that is another one than before has to be prescanned; the same one only needs its frequency anew."""
        before, self._last_identity = self._last_identity, identity
        if before is None:
            return
        self.forget_frequency()
        if identity != before:
            was, now = (f"{one.kind} {one.family} {one.version}" for one in (before, identity))
            self.supervisor.fault("console_restarted", detail=f"It was {was} and is {now}.")

    @property
    def latch(self) -> str:
        """Why nothing may be played until a person has made the scanner ready; empty while nothing is latched."""
        if self.supervisor.state is not ScannerState.SAFE:
            return ""
        not_zero = (
            "The console has not confirmed that every output is at zero." if self.has_fault("console_not_zero") else ""
        )
        return f"{not_zero} {self.supervisor.why_stopped()}".strip()

    def has_fault(self, name: str) -> bool:
        """True while this is wrong."""
        return any(fault.name == name for fault in self.supervisor.faults)

    def stop(self, who: str = "operator") -> None:
        """Stop now: amplifiers over their own lines, the scan at its segment, all outputs to zero. Never waits or raises."""
        self.supervisor.stop(who)
        self._zero_soon()

    @contextlib.contextmanager
    def stopped_by(self, cancel: Event, who: str = "operator") -> Iterator[None]:
        """Within, setting ``cancel`` is Stop: for a signal's handler, which may do no more than that.

        A scan that fails sets it too, but only when it has ended already.
        """
        ended = Event()

        def watch() -> None:
            while not ended.is_set():
                if cancel.wait(_LOOK_S):
                    if self._runner.state is not ScanState.FINISHING and self.supervisor.state is not ScannerState.SAFE:
                        self.stop(who)
                    return

        thread = threading.Thread(target=watch, name="stop watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def make_ready(self, person: str) -> None:
        """Leave SAFE at a person's word; waits some seconds.

        Raises
        ------
        WrongState
            Not stopped, a scan still runs, or the cause of the stop is still there.
        DeviceError
            A device does not let itself be cleared; the console does not confirm that it is at zero.
        """
        if not person.strip():
            raise WrongState("Nobody has said who makes the scanner ready.", "Give your name, then press Make ready again.")
        if self._runner.state is not ScanState.IDLE:
            raise WrongState(
                "The scan that was stopped has not ended yet.", "Wait a few seconds, then press Make ready again."
            )
        safe = self._hardware.call(self._make_safe, timeout_s=_SAFE_TIMEOUT_S, doing="bring the outputs to zero")
        if not safe.verified:
            raise WrongState(
                "The console has not confirmed that every output is at zero.",
                "Look after the patient, switch the amplifiers off by hand, restart the console, then press Make ready.",
            )
        self.coil.settle()  # where that fails, the reset names it and refuses
        self.supervisor.reset(person)
        if self.identity is not None:
            self._judge_direction(self.identity)  # a person cannot put that right
        else:  # the scan that was stopped failed with its link
            with contextlib.suppress(ConsoleError):  # the console's light says why; Start tries again
                self.connect()

    def request_safe(self) -> None:
        """While nothing runs: everything off and to zero as soon as it can be; returns at once, latches only a failure."""
        self.control.stand_down()
        if self.identity is not None or self.latch:
            self._zero_soon()

    def _zero_soon(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed just now, which has brought the outputs to zero
            self._hardware.submit(self._make_safe)

    def wait_until_safe(self, timeout_s: float) -> bool:
        """Wait for what ``request_safe`` asked for; True when the outputs were seen at zero.

        Raises
        ------
        DeviceTimeout
            The hardware thread was busy all the time.
        """
        self._hardware.call(lambda: None, timeout_s=timeout_s, doing="bring the outputs to zero")
        return not self.latch

    def _make_safe(self) -> SafeReport:
        """In the hardware thread: zero everything, and tell the supervisor what was seen."""
        safe = self._console.make_safe()
        self.judge_currents(safe)
        self.supervisor.console_stopped(safe)
        return safe

    def judge_currents(self, safe: SafeReport) -> None:
        """What still flows at zero: too much, or more than can be, blocks clinical scans until the board is seen to."""
        shares = dict(zip("xyz", safe.zero_currents_share, strict=False))
        wrong = {name: share for name, share in shares.items() if abs(share) > ZERO_TOLERANCE}
        is_silent = not all(map(is_answer, wrong.values()))
        seen = ", ".join(f"{name} {share * 100:+.1f} %" for name, share in wrong.items())
        if is_silent:
            self.supervisor.fault("gradient_silent", detail=f"Its converter reads {seen} of full scale.")
        elif wrong:
            self.supervisor.fault("gradient_uncalibrated", detail=f"At zero the board gives {seen} of full scale.")
        if shares and not is_silent:
            self.supervisor.clear("gradient_silent")
        if shares and (is_silent or not wrong):
            self.supervisor.clear("gradient_uncalibrated")

    def _latch_unless_safe(self) -> None:
        try:
            self._hardware.call(self._make_safe, timeout_s=_SAFE_TIMEOUT_S, doing="bring the outputs to zero")
        except ConsoleError as error:
            self.supervisor.console_zero(False, detail=error.problem)

    def close(self) -> None:
        """Zero the outputs, drop the link, end the thread. Once is enough, twice does no harm."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._process is not None:
            self._process.forget(self._process_lost)
        self.control.close()
        try:
            self._hardware.call(self._console.close, timeout_s=_CLOSE_TIMEOUT_S, doing="close the link")
        except ConsoleError as error:
            self.link_problem = error.problem
        self.identity = None
        self._hardware.close()
