# SPDX-License-Identifier: MIT
"""The faults that are there now."""

import threading
from collections.abc import Collection

from isocenter.domain.control import Fault, FaultAction
from isocenter.domain.device import DeviceRole


class ActiveFaults:
    """Faults by name and device, safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[tuple[str, DeviceRole | None], Fault] = {}

    @property
    def all(self) -> tuple[Fault, ...]:
        """In the order in which they were seen."""
        with self._lock:
            return tuple(self._faults.values())

    def add(self, fault: Fault) -> bool:
        """True when it was not there yet."""
        with self._lock:
            is_new = (fault.name, fault.role) not in self._faults
            self._faults.setdefault((fault.name, fault.role), fault)
        return is_new

    def remove(self, name: str, role: DeviceRole | None) -> bool:
        """True when it was there."""
        with self._lock:
            return self._faults.pop((name, role), None) is not None

    def remove_without_device(self) -> None:
        """Forget those of console and computer: they are seen again at once if they are still there."""
        with self._lock:
            self._faults = {key: fault for key, fault in self._faults.items() if fault.role is not None}

    def with_action(self, action: FaultAction) -> Fault | None:
        """The first that asks for this."""
        return next((fault for fault in self.all if fault.action is action), None)

    def names_of(self, role: DeviceRole, besides: Collection[str]) -> tuple[str, ...]:
        """Faults of a device but for some."""
        return tuple(fault.name for fault in self.all if fault.role is role and fault.name not in besides)
