# SPDX-License-Identifier: MIT
"""Switching devices on and off around a scan; each confirms, or it counts as not done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.stopping import SWITCHED
from isocenter.devices.roles import SarMonitor, Switched
from isocenter.domain.device import DeviceRole
from isocenter.domain.errors import ConsoleError, DeviceTimeout

_CALL_S: Final = 3.5  # longest wait for one device; `enable` may take 3 s


@dataclass(frozen=True, slots=True, kw_only=True)
class RfLimits:
    """What the RF monitor is told for a patient; forward power [W]."""

    mean_10s_w: float
    mean_6min_w: float
    peak_w: float


@dataclass(frozen=True, slots=True)
class NotSwitched:
    """A device that was not switched as asked."""

    role: DeviceRole
    error: ConsoleError


def switch_all_on(lines: Sequence[DeviceThread], limits: RfLimits | None, may: Callable[[], bool]) -> NotSwitched | None:
    """Enable everything that a scan needs, protection first; stops at the first that did not confirm.

    Parameters
    ----------
    may
        Asked before each device and once more in its own thread: a stop that has already tripped it says no.
    """
    for role, line in _on_lines(lines, SWITCHED):
        if not may():
            return None
        try:
            _switch_on(line, role, limits, may)
        except ConsoleError as error:
            return NotSwitched(role, error)
    return None


def switch_all_off(lines: Sequence[DeviceThread]) -> NotSwitched | None:
    """Everything to standby, what can hurt first; stops at the first that did not confirm."""
    for role, line in _on_lines(lines, tuple(reversed(SWITCHED))):
        try:
            ask(line, role, lambda device: device.standby(), "confirm that it is off")
        except ConsoleError as error:
            return NotSwitched(role, error)
    return None


def clear_all(lines: Sequence[DeviceThread]) -> Iterator[DeviceRole]:
    """Clear every latched fault; gives the roles that agreed, and raises DeviceError at the first that does not."""
    for role, line in _on_lines(lines, SWITCHED):
        ask(line, role, lambda device: device.clear_fault(), "clear its fault")
        yield role


def _on_lines(lines: Sequence[DeviceThread], roles: tuple[DeviceRole, ...]) -> Iterator[tuple[DeviceRole, DeviceThread]]:
    for role in roles:
        yield from ((role, line) for line in lines if role in line.roles)


def _switch_on(line: DeviceThread, role: DeviceRole, limits: RfLimits | None, may: Callable[[], bool]) -> None:
    def work(device: Switched) -> None:
        if not may():
            return
        if role is DeviceRole.SAR_MONITOR and limits is not None:
            monitor: SarMonitor = device  # type: ignore[assignment]
            monitor.set_limits(mean_10s_w=limits.mean_10s_w, mean_6min_w=limits.mean_6min_w, peak_w=limits.peak_w)
        device.enable()

    ask(line, role, work, "confirm that it is on")


def ask(line: DeviceThread, role: DeviceRole, work: Callable[[Any], Any], doing: str) -> Any:
    """Use a device in its own thread and wait for it.

    Raises
    ------
    DeviceError
        What the device raised, or no answer in time.
    """
    future = line.call(role, work)
    try:
        return future.result(timeout=_CALL_S)
    except TimeoutError as error:
        future.cancel()
        name = line.status(role).name
        raise DeviceTimeout(f"The {name} did not {doing}.", f"Check the {name}, then press Make ready.") from error
