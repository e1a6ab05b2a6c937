# SPDX-License-Identifier: MIT
"""Status lights. Each is backed by something that was really asked; what nobody asked is unknown, never good."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from isocenter.app.computer_watch import LOW_DISK_BYTES, free_bytes
from isocenter.app.service import Health, Light
from isocenter.devices.protocols import ConsoleIdentity
from isocenter.domain.device import Condition, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.scanner import Calibration

_HEALTH: Final = {
    Condition.READY: Health.GOOD,
    Condition.STANDBY: Health.GOOD,
    Condition.FAULT: Health.BAD,
    Condition.UNKNOWN: Health.UNKNOWN,
}


def link_light(identity: ConsoleIdentity | None, problem: str) -> Light:
    """The console's link."""
    if problem:
        return Light(name="Console", health=Health.BAD, text=problem)
    if identity is None:
        return Light(name="Console", health=Health.UNKNOWN, text="not connected yet")
    kind = "" if identity.is_real else f"{identity.kind} "
    return Light(name="Console", health=Health.GOOD, text=f"{kind}{identity.family} {identity.version}")


def frequency_light(calibration: Calibration) -> Light:
    """The magnet's frequency as last measured."""
    if not calibration.measured_at:
        return Light(name="Magnet", health=Health.UNKNOWN, text="frequency not measured yet")
    clock = datetime.fromisoformat(calibration.measured_at).strftime("%H:%M")
    return Light(name="Magnet", health=Health.GOOD, text=f"{calibration.larmor_hz * 1e-6:.6f} MHz at {clock}")


def device_lights(devices: Sequence[DeviceStatus], *, is_virtual: bool) -> tuple[Light, ...]:
    """Amplifiers and, where there is one, the interlock: as they say themselves; what nobody watches is unknown."""
    by_role = {status.role: status for status in devices}
    is_simulated = is_virtual and not devices
    lights = [
        _device_light(name, by_role.get(role), is_simulated=is_simulated)
        for name, role in (("RF amplifier", DeviceRole.RF_AMPLIFIER), ("Gradients", DeviceRole.GRADIENT_AMPLIFIER))
    ]
    if DeviceRole.INTERLOCK in by_role:
        lights.append(_device_light("Interlock", by_role[DeviceRole.INTERLOCK], is_simulated=False))
    return tuple(lights)


def _device_light(name: str, status: DeviceStatus | None, *, is_simulated: bool) -> Light:
    if status is None:
        text = "simulated" if is_simulated else "not monitored: look at the amplifier"
        return Light(name=name, health=Health.GOOD if is_simulated else Health.UNKNOWN, text=text)
    if status.link is LinkState.LOST:
        return Light(name=name, health=Health.BAD, text=status.problem)
    if status.reading is None:
        return Light(name=name, health=Health.UNKNOWN, text="not answered yet")
    return Light(name=name, health=_HEALTH[status.condition], text=status.reading.text)


def disk_light(folder: Path) -> Light:
    """Room for data."""
    free = free_bytes(folder)
    if math.isnan(free):
        return Light(name="Disk", health=Health.UNKNOWN, text="folder does not exist yet")
    text = f"{free / 1e9:.0f} GB free" if free >= 1e10 else f"{free / 1e9:.1f} GB free"
    return Light(name="Disk", health=Health.GOOD if free > LOW_DISK_BYTES else Health.WARNING, text=text)
