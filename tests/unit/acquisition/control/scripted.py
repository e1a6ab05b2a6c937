# SPDX-License-Identifier: MIT
"""Devices in memory whose behaviour a test chooses; the real drivers are tested on real lines elsewhere."""

import threading
import time
from dataclasses import dataclass, field

from isocenter.domain.device import Condition, DeviceReading, DeviceRole
from isocenter.domain.errors import DeviceFault, DeviceTimeout


@dataclass
class Scripted:
    role: DeviceRole
    log: list = field(default_factory=list)
    is_on: bool = False
    faults: tuple[str, ...] = ()
    is_silent: bool = False
    refuses: bool = False
    hold: threading.Event | None = None
    beats: int = 0

    def _answer(self):
        if self.is_silent:
            raise DeviceTimeout(f"The {self.role.value} did not answer.", "Check its cable.")

    def open(self):
        self._answer()
        return f"scripted {self.role.value}"

    def close(self):
        pass

    def poll(self):
        self._answer()
        condition = Condition.FAULT if self.faults else Condition.READY if self.is_on else Condition.STANDBY
        return DeviceReading(condition=condition, text="as scripted", said="ok", faults=self.faults)

    def beat(self):
        self.beats += 1
        return self.poll()

    def enable(self):
        self._answer()
        if self.hold is not None:
            self.hold.wait(2)
        if self.refuses:
            raise DeviceFault(f"The {self.role.value} refused.", "Look at it.")
        self._set(True)

    def standby(self):
        self._answer()
        self._set(False)

    def trip(self):
        self._answer()
        self._set(False, "trip")

    def clear_fault(self):
        self._answer()
        if self.faults:
            raise DeviceFault("The cause is still there.", "Release the button.")

    def set_limits(self, **limits):
        self.log.append((self.role, limits, time.monotonic()))

    def _set(self, is_on, what=""):
        self.is_on = is_on
        self.log.append((self.role, what or ("on" if is_on else "off"), time.monotonic()))
