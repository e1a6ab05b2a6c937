# SPDX-License-Identifier: MIT
"""The thread that owns one line: it polls the devices on it, and takes a trip before anything that waits."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from isocenter.devices.roles import Interlock, Peripheral, Switched
from isocenter.domain.device import DeviceReading, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.errors import ConnectError, DeviceError, DeviceTimeout, WrongState

POLL_EVERY_S: Final = 0.15
"""So often each device is asked how it is [s]."""
QUIET: Final = frozenset({DeviceRole.NETWORK_ANALYSER, DeviceRole.TUNER, DeviceRole.ATTENUATOR})
"""Asked seldom, and never while the scanner is armed: they hang beside the receive coil, which hears their lines, and a
NanoVNA that is asked all the time stops answering after some minutes (NanoVNA-H issue 92)."""
QUIET_POLL_S: Final = 5.0
RETRIES: Final = 1
"""A question without an answer is asked once more; then the line is lost."""
_BACKOFF_S: Final = (0.3, 0.6, 1.2, 2.5, 5.0)  # between attempts to open a lost line
_TRIP, _CALL = 0, 1


@dataclass(order=True, slots=True)
class _Job:
    priority: int
    number: int
    work: Callable[[], Any] = field(compare=False)
    future: "Future[Any]" = field(compare=False)


@dataclass(slots=True)
class _Owned:
    """A device and what is known of it."""

    device: Peripheral
    status: DeviceStatus
    is_open: bool = False
    failures: int = 0
    retry_at_s: float = 0.0
    poll_at_s: float = 0.0


class DeviceThread:
    """Owns the devices on one line.

    Parameters
    ----------
    devices
        Those that share the line, with what people call them and where they are looked for.
    on_status
        Told in this thread after each poll, and as soon as a line is lost.
    may_beat
        Asked before each heartbeat; while it says no, the interlock gets none and will blank by itself. While it says yes
        the scanner is armed, and quiet devices are left alone.
    poll_every_s
        Time between polls [s].
    """

    def __init__(
        self,
        devices: Sequence[tuple[Peripheral, str, str]],
        on_status: Callable[[DeviceStatus], None],
        may_beat: Callable[[], bool],
        *,
        poll_every_s: float = POLL_EVERY_S,
    ) -> None:
        self._owned = {
            device.role: _Owned(device, DeviceStatus(role=device.role, name=name, address=address))
            for device, name, address in devices
        }
        self._on_status, self._may_beat, self._poll_every_s = on_status, may_beat, poll_every_s
        self._jobs: list[_Job] = []
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._is_closing = False
        names = "+".join(role.value for role in self._owned)
        self._thread = threading.Thread(target=self._loop, name=f"line {names}", daemon=True)

    @property
    def roles(self) -> tuple[DeviceRole, ...]:
        """Of the devices on this line."""
        return tuple(self._owned)

    def start(self) -> None:
        """Begin to open and to poll; returns at once."""
        self._thread.start()

    def status(self, role: DeviceRole) -> DeviceStatus:
        """The newest; any thread may ask."""
        return self._owned[role].status

    def trip(self, role: DeviceRole) -> "Future[None]":
        """Switch a device off at once, before anything that waits. The future fails when the device did not confirm."""
        return self._submit(_TRIP, lambda: self._trip(role))

    def call(self, role: DeviceRole, work: Callable[[Any], Any]) -> "Future[Any]":
        """Use a device in its thread: ``work`` gets it."""
        return self._submit(_CALL, lambda: self._use(role, work))

    def close(self, timeout_s: float = 3.0) -> None:
        """End the thread and let go of the line. What waits is dropped, but for trips."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _submit(self, priority: int, work: Callable[[], Any]) -> "Future[Any]":
        future: Future[Any] = Future()
        with self._wake:
            if self._is_closing or not self._thread.is_alive():
                future.set_exception(WrongState("The line has been closed.", "Connect the scanner again."))
                return future
            heapq.heappush(self._jobs, _Job(priority, next(self._numbers), work, future))
            self._wake.notify()
        return future

    def _loop(self) -> None:
        next_poll_s = 0.0
        while True:
            with self._wake:
                if not self._jobs and not self._is_closing:
                    self._wake.wait(max(next_poll_s - time.monotonic(), 0.0))
                job = heapq.heappop(self._jobs) if self._jobs else None
                if job is None and self._is_closing:
                    break
                if job is not None and self._is_closing and job.priority != _TRIP:
                    job.future.cancel()
                    continue
            if job is not None:
                self._run(job)
            elif time.monotonic() >= next_poll_s:
                next_poll_s = time.monotonic() + self._poll_every_s
                for owned in self._owned.values():
                    self._poll(owned)
                    if self._jobs:
                        break  # a trip does not wait for the neighbour's poll
        for owned in self._owned.values():
            owned.device.close()

    def _run(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            job.future.set_result(job.work())
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it, whatever it is
            job.future.set_exception(error)

    def _trip(self, role: DeviceRole) -> None:
        device: Switched = self._owned[role].device  # type: ignore[assignment]  # only those that are switched are tripped
        try:
            device.trip()  # without asking first who is there: a line that is mute may still hear
        except ConnectError:
            self._require_open(self._owned[role])
            device.trip()

    def _use(self, role: DeviceRole, work: Callable[[Any], Any]) -> Any:
        owned = self._owned[role]
        self._require_open(owned)
        try:
            return work(owned.device)
        except DeviceError as error:
            if isinstance(error, ConnectError | DeviceTimeout):
                self._lost(owned, error)
            raise

    def _require_open(self, owned: _Owned) -> None:
        if not owned.is_open:
            self._open(owned)
        if not owned.is_open:
            raise ConnectError(owned.status.problem, owned.status.remedy)

    def _open(self, owned: _Owned) -> None:
        try:
            identity = owned.device.open()
        except DeviceError as error:
            self._lost(owned, error)
        else:
            owned.is_open, owned.failures = True, 0
            owned.status = replace(owned.status, identity=identity)

    def _poll(self, owned: _Owned) -> None:
        if owned.device.role in QUIET and owned.is_open:
            if time.monotonic() < owned.poll_at_s or self._may_beat():
                return
            owned.poll_at_s = time.monotonic() + QUIET_POLL_S
        if not owned.is_open:
            if time.monotonic() < owned.retry_at_s:
                return
            self._open(owned)
            if not owned.is_open:
                return
        for attempt in range(RETRIES + 1):
            try:
                reading = self._ask(owned.device)
            except DeviceError as error:
                if attempt < RETRIES and isinstance(error, DeviceTimeout) and not self._has_trip():
                    continue
                self._lost(owned, error)
            else:
                self._answered(owned, reading)
            return

    def _has_trip(self) -> bool:
        with self._wake:
            return bool(self._jobs) and self._jobs[0].priority == _TRIP

    def _ask(self, device: Peripheral) -> DeviceReading:
        if device.role is DeviceRole.INTERLOCK and self._may_beat():
            interlock: Interlock = device  # type: ignore[assignment]
            return interlock.beat()
        return device.poll()

    def _answered(self, owned: _Owned, reading: DeviceReading) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        owned.status = replace(
            owned.status,
            link=LinkState.CONNECTED,
            reading=reading,
            answered_s=time.monotonic(),
            answered_at=now if reading.said else owned.status.answered_at,  # some say nothing until they are set
            problem="",
            remedy="",
        )
        self._on_status(owned.status)

    def _lost(self, owned: _Owned, error: DeviceError) -> None:
        owned.device.close()
        owned.is_open = False
        owned.retry_at_s = time.monotonic() + _BACKOFF_S[min(owned.failures, len(_BACKOFF_S) - 1)]
        owned.failures += 1
        owned.status = replace(owned.status, link=LinkState.LOST, reading=None, problem=error.problem, remedy=error.remedy)
        self._on_status(owned.status)
