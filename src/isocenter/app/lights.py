# SPDX-License-Identifier: MIT
"""Status lights. Each is backed by something that was really asked; what nobody asked is unknown, never good."""

import shutil
from datetime import datetime
from pathlib import Path

from isocenter.app.service import Health, Light
from isocenter.devices.protocols import ConsoleIdentity
from isocenter.domain.scanner import Calibration

_LOW_DISK_BYTES = 2_000_000_000


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


def unmonitored_lights(*, is_virtual: bool) -> tuple[Light, ...]:
    """Amplifiers: nothing on a wire tells of them yet."""
    text = "simulated" if is_virtual else "not monitored: look at the amplifier"
    health = Health.GOOD if is_virtual else Health.UNKNOWN
    return Light(name="RF amplifier", health=health, text=text), Light(name="Gradients", health=health, text=text)


def disk_light(folder: Path) -> Light:
    """Room for data."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None:
        return Light(name="Disk", health=Health.UNKNOWN, text="folder does not exist yet")
    free = shutil.disk_usage(existing).free
    text = f"{free / 1e9:.0f} GB free" if free >= 1e10 else f"{free / 1e9:.1f} GB free"
    return Light(name="Disk", health=Health.GOOD if free > _LOW_DISK_BYTES else Health.WARNING, text=text)
