# SPDX-License-Identifier: MIT
"""Watches every device, arms and disarms the amplifiers around a scan, and stops everything when it must."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Final

from isocenter.acquisition.control.active import ActiveFaults
from isocenter.acquisition.control.arming import RfLimits, ask, clear_all, switch_all_off, switch_all_on
from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.faults import make_fault
from isocenter.acquisition.control.listeners import ControlListeners
from isocenter.acquisition.control.states import Journal, StateMachine
from isocenter.acquisition.control.stopping import SWITCHED, Tripper
from isocenter.acquisition.control.watch import TICK_S, LifeSigns, stale_s
from isocenter.devices.protocols import SafeReport
from isocenter.domain.control import SEGMENT_MARGIN_S, Fault, FaultAction, OutputReport, ScannerState, StopReport
from isocenter.domain.device import Condition, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.errors import DeviceError, ScanAborted, ScanEnded, WrongState

__all__ = ["SEGMENT_MARGIN_S", "Supervisor"]
_OF_LINE: Final = ("device_lost", "device_off")  # seen by the supervisor, not told by the device
_UNTIL_SET: Final = ("not_switched", "coil_unknown", "gain_unknown")  # no poll can tell that they are gone
_LIVE_ONLY: Final = (*_OF_LINE, "door_open")  # while nothing is on they keep it from READY and latch nothing


class Supervisor:
    """The scanner under control, ``lines`` its devices' threads. Any thread may call methods unless said otherwise.

    Parameters
    ----------
    required
        Roles without which no scan starts.
    journal
        Told every transition, fault and stop before anybody else. It must not block.
    segment_margin_s
        A segment that takes this much longer than it should means that the console is stuck [s]; infinite for a simulated
        console that computes more slowly than time passes.
    """

    def __init__(
        self,
        *,
        required: Iterable[DeviceRole] = (),
        journal: Journal,
        listeners: ControlListeners | None = None,
        segment_margin_s: float = SEGMENT_MARGIN_S,
    ) -> None:
        self.signs, self.segment_margin_s = LifeSigns(), segment_margin_s
        self._required, self.journal = frozenset(required), journal
        self._tell = listeners or ControlListeners()
        self._machine, self._tripper = StateMachine(journal), Tripper(journal, self._tell.on_stop)
        self._active = ActiveFaults()
        self.lines: tuple[DeviceThread, ...] = ()
        self._lock = threading.RLock()
        self._cause: Fault | None = None
        self._cancel: Event | None = None
        self._console_is_zero = False
        self._ticked_s = float("-inf")
        self._is_closing = Event()
        self._ticker = threading.Thread(target=self._tick_on, name="supervisor", daemon=True)

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ScannerState:
        """Now."""
        return self._machine.state

    @property
    def is_live(self) -> bool:
        """True while power can reach the bore."""
        return self.state in (ScannerState.ARMED, ScannerState.SCANNING)

    @property
    def devices(self) -> tuple[DeviceStatus, ...]:
        """Every device, as last heard of."""
        return tuple(line.status(role) for line in self.lines for role in line.roles)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong now."""
        return self._active.all

    @property
    def cause(self) -> Fault | None:
        """What stopped the scanner; None when a person did, or nothing has."""
        return self._cause

    @property
    def stop_report(self) -> StopReport:
        """What the last stop achieved so far."""
        return self._tripper.report

    def missing(self) -> str:
        """What keeps the scanner from being READY, for the operator; empty when nothing does."""
        if (fault := self._active.with_action(FaultAction.TRIP)) is not None:
            return fault.problem
        if not self._console_is_zero:
            return "The console has not confirmed that every output is at zero."
        states = {status.role: status for status in self.devices}
        for role in self._required:
            status = states.get(role)
            if status is None or not self._is_fresh(status):
                return (status.problem if status else "") or f"The {self._name(role)} has not answered yet."
        return ""

    # --- connecting -------------------------------------------------------------------------------------------------

    def connect(self, lines: Sequence[DeviceThread]) -> None:
        """Start to watch; returns at once. The state becomes READY when all that is required answers.

        Parameters
        ----------
        lines
            One thread for each line, made with this object's ``on_status`` and ``may_beat``.
        """
        self.lines, self._ticked_s = tuple(lines), time.monotonic()
        for line in self.lines:
            line.start()
        self._ticker.start()

    def console_zero(self, is_zero: bool, *, detail: str = "") -> None:
        """The console has confirmed that every output is at zero (True), or that could not be verified."""
        self._console_is_zero = is_zero
        if is_zero:
            self.clear("console_not_zero")
        else:
            self.fault("console_not_zero", detail=detail)
        self._settle()

    def close(self) -> None:
        """Trip what is on, then let go of the lines."""
        if self.is_live:
            self.stop("the program ends")
        self._is_closing.set()
        if self._ticker.is_alive():
            self._ticker.join(1.0)
        for line in self.lines:
            line.close()

    # --- a scan -----------------------------------------------------------------------------------------------------

    def arm(self, cancel: Event, limits: RfLimits | None = None) -> None:
        """Switch on what a scan needs, each confirmed by its device. Belongs in the thread that runs the scan.

        Parameters
        ----------
        cancel
            Set when the scanner is stopped.
        limits
            For the RF monitor, where there is one.

        Raises
        ------
        WrongState
            The scanner is not READY; the problem says what is missing.
        DeviceError
            A device refused or did not confirm; everything was tripped.
        ScanAborted
            Stopped meanwhile.
        """
        self.require_ready()
        with self._lock:
            self._machine.apply("arm")
            self._cancel, self._cause = cancel, None
            self.signs.refresh()
        self._tell.on_state(self.state)
        failed = switch_all_on(self.lines, limits, lambda: not cancel.is_set() and self.state is ScannerState.ARMED)
        if failed is not None:
            self.fault("not_switched", role=failed.role, detail=failed.error.problem)
            raise failed.error
        if cancel.is_set() or self.state is ScannerState.SAFE:
            raise self.stopped()

    def disarm(self) -> None:
        """Everything back to standby after a scan; what does not confirm is tripped. Never raises."""
        with self._lock:
            self._cancel = None
            if self.state is not ScannerState.ARMED:
                return
        failed = switch_all_off(self.lines)
        if failed is not None:
            self.fault("not_switched", role=failed.role, detail=failed.error.problem)
        elif self._machine.apply_if(ScannerState.ARMED, "disarm"):
            self._tell.on_state(self.state)

    def before_segment(self, cancel: Event, *, may_pause: bool = True) -> None:
        """Wait while a fault says pause (unless what is measured may mend it); raise when the scan must not go on.

        Raises
        ------
        ScanAborted
            Stopped by a person or by a fault.
        ScanEnded
            A fault ends the scan here; what was measured is good.
        """
        while True:
            if cancel.is_set() or self.state is ScannerState.SAFE:
                raise self.stopped()
            if (ending := self._active.with_action(FaultAction.END)) is not None:
                raise ScanEnded(ending.problem, ending.remedy)
            if not may_pause or self._active.with_action(FaultAction.PAUSE) is None:
                return
            cancel.wait(TICK_S)

    @contextmanager
    def segment(self, duration_s: float) -> Iterator[None]:
        """Around the playing of one segment: SCANNING, and the console is watched.

        Raises
        ------
        ScanAborted
            The scanner was stopped before it could begin.
        """
        if not self._machine.apply_if(ScannerState.ARMED, "play"):
            raise self.stopped()
        self.signs.watch("console", duration_s + self.segment_margin_s)
        self._tell.on_state(self.state)
        try:
            yield
        finally:
            self.signs.release("console")
            self._machine.apply_if(ScannerState.SCANNING, "played")

    def console_stopped(self, safe: SafeReport) -> None:
        """What bringing the console's outputs to zero led to, after a scan or a stop."""
        text = safe.messages[-1].text if safe.messages else "every output is at zero"
        self.console_zero(safe.verified, detail=text)
        if self.state is ScannerState.SAFE:
            self._tripper.heard(OutputReport(name="Console", is_verified=safe.verified, text=text))

    def console_failed(self, error: DeviceError) -> None:
        """The console did not do what it should: cut the amplifiers at once."""
        self.fault("console_lost", detail=error.problem)

    def program_failed(self) -> None:
        """The program itself has a fault: cut the amplifiers at once."""
        self.fault("program_fault")

    def why_stopped(self) -> str:
        """Who or what stopped the scan, in words."""
        cause = self._cause
        return "Stopped by the operator." if cause is None else f"{cause.problem} {cause.remedy}"

    def stopped(self) -> ScanAborted:
        """What the scan is told that was stopped."""
        cause = self._cause
        if cause is None:
            return ScanAborted("The scan was stopped.", "Press Make ready when the patient is, then start it again.")
        return ScanAborted(cause.problem, cause.remedy)

    # --- stopping ---------------------------------------------------------------------------------------------------

    def stop(self, who: str = "operator") -> None:
        """Trip everything at once, end the scan, latch SAFE. Never waits, never raises; any thread, any time."""
        self._trip(None, who)

    def fault(self, name: str, *, role: DeviceRole | None = None, detail: str = "") -> None:
        """Something of the matrix happened: act on it. Does nothing new while the same fault is still there."""
        fault = make_fault(name, time.monotonic(), role=role, device=self._name(role), detail=detail)
        if not self._active.add(fault):
            return
        if fault.action is FaultAction.TRIP and (
            self.is_live or (name not in _LIVE_ONLY and self.state is not ScannerState.OFF)
        ):
            self._trip(fault, name)
        self.journal("fault", {"name": name, "role": role.value if role else "", "detail": detail, "action": fault.action})
        self._tell.on_fault(fault)
        self._settle()

    def clear(self, name: str, *, role: DeviceRole | None = None) -> None:
        """The fault is gone. What it stopped stays stopped."""
        if self._active.remove(name, role):
            self.journal("cleared", {"name": name, "role": role.value if role else ""})

    def reset(self, person: str) -> None:
        """Leave SAFE: a person says that the cause is gone. Belongs in a thread that may wait some seconds.

        Raises
        ------
        WrongState
            Not stopped, or the cause is still there.
        DeviceError
            A device does not let its latch be cleared, or does not answer.
        """
        if self.state is not ScannerState.SAFE:
            raise WrongState("The scanner is not stopped.", "Nothing has to be made ready.")
        for role in clear_all(self.lines):
            self.clear("not_switched", role=role)
        for status in self.devices:  # asked after the latches were cleared, so that it is not the old news
            self._ask_again(status.role)
        self._active.remove_without_device()
        if (still := self._active.with_action(FaultAction.TRIP)) is not None:
            raise WrongState(still.problem, still.remedy)
        with self._lock:
            self._cause = None
            self._machine.apply("reset", person=person)
        self._tell.on_state(self.state)
        self._settle()

    # --- what the lines' threads call -------------------------------------------------------------------------------

    def may_beat(self) -> bool:
        """True while the interlock may be told that all is well."""
        return self.is_live and time.monotonic() - self._ticked_s < 6 * TICK_S and not self.signs.missing()

    def on_status(self, status: DeviceStatus) -> None:
        """A device was polled, or its line is lost."""
        if status.link is LinkState.LOST:
            if status.role in self._required or (status.role in SWITCHED and self.is_live):
                self.fault("device_lost", role=status.role, detail=status.problem)
        elif status.reading is not None:
            self.clear("device_lost", role=status.role)
            self._judge(status, status.reading.faults)
        self._tell.on_device(status)
        self._settle()

    # --- within -----------------------------------------------------------------------------------------------------

    def _judge(self, status: DeviceStatus, reported: Sequence[str]) -> None:
        said = status.reading.said if status.reading else ""
        for name in reported:
            self.fault(name, role=status.role, detail=said)
        is_off = self.state is ScannerState.SCANNING and status.condition in (Condition.STANDBY, Condition.FAULT)
        if is_off and status.role in SWITCHED and not reported:
            self.fault("device_off", role=status.role, detail=said)
        elif not is_off:
            self.clear("device_off", role=status.role)
        for name in self._active.names_of(status.role, besides=(*reported, *_OF_LINE, *_UNTIL_SET)):
            self.clear(name, role=status.role)

    def _tick_on(self) -> None:
        while not self._is_closing.wait(TICK_S):
            self._ticked_s = time.monotonic()
            if not self.is_live:
                continue
            if missing := self.signs.missing():
                self.fault(f"{missing}_stalled")
            for status in self.devices:
                if status.link is LinkState.CONNECTED and self._ticked_s - status.answered_s > stale_s(status.role):
                    self.fault("device_lost", role=status.role, detail="nothing was heard of it for a second")

    def _settle(self) -> None:
        """OFF and READY follow what is known; nothing leads from here to ARMED or out of SAFE."""
        with self._lock:
            before, missing = self.state, self.missing()
            if before is ScannerState.OFF and not missing:
                self._machine.apply("connected")
            elif before is ScannerState.READY and missing:
                self._machine.apply("disconnect", missing=missing)
            after = self.state
        if after is not before:
            self._tell.on_state(after)

    def require_ready(self) -> None:
        """Raise WrongState, which says why, when nothing may be armed."""
        if self.state is ScannerState.SAFE:
            raise WrongState(*self.stopped().args)
        if (fault := self._active.with_action(FaultAction.TRIP)) is not None:
            raise WrongState(fault.problem, fault.remedy)
        if self.state is ScannerState.OFF:
            problem = self.missing() or "The scanner is not connected."
            raise WrongState(problem, "See the Scanner page; connect and switch on what is missing.")

    def _trip(self, fault: Fault | None, cause: str) -> None:
        with self._lock:
            is_first = self.state is not ScannerState.SAFE
            if is_first:
                self._cause = fault
                self._tripper.begin(cause)
            self._machine.apply("trip", cause=cause)
            if self._cancel is not None:
                self._cancel.set()
        self._tripper.trip(self.lines)
        if is_first:
            self._tell.on_state(self.state)

    def _ask_again(self, role: DeviceRole) -> None:
        line = next(line for line in self.lines if role in line.roles)
        try:
            reading = ask(line, role, lambda device: device.poll(), "say how it is")
        except DeviceError:
            if role in self._required:
                raise
            return
        self.clear("device_lost", role=role)
        self._judge(replace(line.status(role), reading=reading), reading.faults)

    def _is_fresh(self, status: DeviceStatus) -> bool:
        """It answers now: what it said before its thread was kept busy counts no more."""
        return status.link is LinkState.CONNECTED and time.monotonic() - status.answered_s <= stale_s(status.role)

    def _name(self, role: DeviceRole | None) -> str:
        known = next((status.name for status in self.devices if status.role is role), "")
        return known or (role.value.replace("_", " ") if role else "device")
