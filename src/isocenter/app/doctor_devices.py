# SPDX-License-Identifier: MIT
"""What ``isocenter doctor`` asks of the boxes on lines: who is there, how it is, and what it said. Nothing is switched."""

import math
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from isocenter.app.control import address_of, name_of
from isocenter.app.finding import Finding
from isocenter.app.service import Health
from isocenter.devices.catalogue import make_peripherals
from isocenter.devices.marcos.currents import CHECK_BOARD, ZERO_TOLERANCE, is_answer
from isocenter.devices.protocols import SafeReport
from isocenter.devices.roles import Peripheral
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConsoleError
from isocenter.domain.scanner import GradientBoard, Scanner

_HEALTH: Final = {
    Condition.READY: Health.GOOD,
    Condition.STANDBY: Health.GOOD,
    Condition.FAULT: Health.BAD,
    Condition.UNKNOWN: Health.UNKNOWN,
}
_AMPLIFIERS: Final = (DeviceRole.RF_AMPLIFIER, DeviceRole.GRADIENT_AMPLIFIER)
_LOOK: Final = "Look at the device and at what it shows; docs/hardware-files.md tells how devices are named."


def device_findings(scanner: Scanner) -> Iterator[Finding]:
    """Each device of the hardware file, and what nobody watches."""
    roles = {link.role for link in scanner.devices}
    try:
        devices = make_peripherals(scanner.devices)
    except ConsoleError as error:
        yield Finding(what="Devices", health=Health.BAD, text=error.problem, remedy=error.remedy)
        return
    for link, device in zip(scanner.devices, devices, strict=True):
        yield _examine(link, device)
    for role in _AMPLIFIERS:
        if role not in roles:
            name = name_of(role)
            text = "not in the hardware file: nobody watches it, and Stop cannot switch it off"
            yield Finding(
                what=f"{name[0].upper()}{name[1:]}", health=Health.UNKNOWN, text=text, remedy="Look at the amplifier."
            )


def board_finding(scanner: Scanner, safe: SafeReport) -> Finding | None:
    """What the gradient board gives at zero; None for a board that cannot be read."""
    if scanner.gradients.board is not GradientBoard.GPA_FHDO:
        return None
    if not safe.zero_currents_share:
        why = "its full-scale current is not in the hardware file" if safe.verified else "the console did not answer"
        return Finding(what="Gradient board", health=Health.UNKNOWN, text=f"currents at zero not read: {why}", remedy=_LOOK)
    worst = max(map(abs, safe.zero_currents_share))
    seen = ", ".join(f"{name} {share * 100:+.1f} %" for name, share in zip("xyz", safe.zero_currents_share, strict=True))
    if not is_answer(worst):
        text = f"does not answer: its converter reads {seen} of full scale"
        return Finding(what="Gradient board", health=Health.BAD, text=text, remedy=CHECK_BOARD)
    return Finding(
        what="Gradient board",
        health=Health.GOOD if worst <= ZERO_TOLERANCE else Health.BAD,
        text=f"at zero it gives {seen} of full scale; allowed is {ZERO_TOLERANCE * 100:.0f} %",
        remedy="Calibrate the gradient currents; if that does not help, call service.",
    )


def _examine(link: DeviceLink, device: Peripheral) -> Finding:
    name = name_of(link.role)
    what = f"{name[0].upper()}{name[1:]}"
    began_s = time.monotonic()
    try:
        identity = device.open()
        reading = device.poll()
    except ConsoleError as error:
        health = Health.BAD if link.is_required else Health.WARNING
        return Finding(what=what, health=health, text=f"{error.problem} (at {address_of(link)})", remedy=error.remedy)
    finally:
        device.close()
    took_ms = 1e3 * (time.monotonic() - began_s)
    measured = ", ".join(f"{key} {value:.4g}" for key, value in reading.values.items() if not math.isnan(value))
    said = reading.said.strip()
    answered = (
        f"answered at {datetime.now().astimezone():%H:%M:%S} within {took_ms:.0f} ms; it said '{said}'"
        if said
        else "the line is open; it says nothing before it is set"
    )
    text = f"{address_of(link)}; {identity}; {reading.text}; {answered}{f'; {measured}' if measured else ''}"
    return Finding(what=what, health=_HEALTH[reading.condition], text=text, remedy=_LOOK)
