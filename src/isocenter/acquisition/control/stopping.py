# SPDX-License-Identifier: MIT
"""Cutting the power over every device's own line, and what is known about it afterwards."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Final

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.states import Journal
from isocenter.domain.control import OutputReport, StopReport
from isocenter.domain.device import DeviceRole
from isocenter.domain.errors import ConsoleError

SWITCHED: Final = (
    DeviceRole.INTERLOCK,
    DeviceRole.SAR_MONITOR,
    DeviceRole.GRADIENT_AMPLIFIER,
    DeviceRole.RF_AMPLIFIER,
)
"""What protects is switched on first, what can hurt last; the other way round at the end."""
_PENDING: Final = "asked to be off, has not answered yet"


class Tripper:
    """Trips everything at once and collects what each device confirmed.

    Parameters
    ----------
    journal
        Must not block: a trip does not wait for a disk.
    on_stop
        Told each time that one more output has been heard of.
    """

    def __init__(self, journal: Journal, on_stop: Callable[[StopReport], None]) -> None:
        self._journal, self._on_stop, self._lock = journal, on_stop, threading.Lock()
        self.report = StopReport(cause="")

    def begin(self, cause: str) -> None:
        """A new stop: what an earlier one achieved says nothing any more."""
        with self._lock:
            self.report = StopReport(cause=cause, outputs=(OutputReport(name="Console", is_verified=False, text=_PENDING),))

    def trip(self, lines: Iterable[DeviceThread]) -> None:
        """Ask every line at once to switch off what is on it; returns at once."""
        began_s = time.monotonic()
        for line in lines:
            for role in line.roles:
                if role in SWITCHED:
                    self._trip_one(line, role, began_s)

    def heard(self, output: OutputReport) -> None:
        """One output is known about now."""
        with self._lock:
            others = tuple(one for one in self.report.outputs if one.name != output.name)
            self.report = report = replace(self.report, outputs=(*others, output))
        self._journal("output", {"name": output.name, "verified": output.is_verified, "text": output.text})
        self._on_stop(report)

    def _trip_one(self, line: DeviceThread, role: DeviceRole, began_s: float) -> None:
        name = line.status(role).name
        with self._lock:  # until it has confirmed it counts as on
            if all(one.name != name for one in self.report.outputs):
                pending = OutputReport(name=name, is_verified=False, text=_PENDING)
                self.report = replace(self.report, outputs=(*self.report.outputs, pending))

        def done(future: "Future[Any]") -> None:
            error = None if future.cancelled() else future.exception()
            if error is None and not future.cancelled():
                took_s = time.monotonic() - began_s
                self.heard(OutputReport(name=name, is_verified=True, text="off, as it says itself", took_s=took_s))
            else:
                text = error.problem if isinstance(error, ConsoleError) else "no answer"
                self.heard(OutputReport(name=name, is_verified=False, text=text))

        line.trip(role).add_done_callback(done)
