# SPDX-License-Identifier: MIT
"""Whom the supervisor tells."""

from collections.abc import Callable
from dataclasses import dataclass

from isocenter.domain.control import Fault, ScannerState, StopReport
from isocenter.domain.device import DeviceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlListeners:
    """Whom the supervisor tells, from any thread; none of them may block.

    Attributes
    ----------
    on_state
        At each change of state.
    on_device
        After each poll of a device.
    on_fault
        When a fault is seen for the first time since it was last gone.
    on_stop
        After a stop, each time that one more output has been heard of.
    """

    on_state: Callable[[ScannerState], None] = lambda _: None
    on_device: Callable[[DeviceStatus], None] = lambda _: None
    on_fault: Callable[[Fault], None] = lambda _: None
    on_stop: Callable[[StopReport], None] = lambda _: None
