# SPDX-License-Identifier: MIT
"""A virtual box of sensors that speaks our line protocol."""

import time
from collections.abc import Sequence
from typing import Any

from isocenter.virtual.peripherals.key_values import KeyValueTalker
from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant, PlantState

CONTACTS = ("estop", "door", "gpa_fault", "gpa_hot", "rf_fault", "ups")
TEMPERATURES = ("t_magnet", "t_room", "t_gpa")


def readings(state: PlantState) -> dict[str, object]:
    """What sensors say of the plant, by the keys of the protocol."""
    return {
        "estop": int(state.emergency_stop),
        "door": int(state.door_open),
        "gpa_fault": int(state.gradient_amplifier_fault),
        "gpa_hot": int(state.gradient_amplifier_hot),
        "rf_fault": int(state.rf_amplifier_fault),
        "ups": int(state.on_battery),
        "ups_charge": round(100 * state.battery_share),
        "t_magnet": _degrees(state.magnet_c),
        "t_room": _degrees(state.room_c),
        "t_gpa": _degrees(state.gradient_amplifier_c),
    }


class VirtualSensors:
    """Sensors only."""

    def __init__(self, plant: Plant, *, answer_s: float = 0.002) -> None:
        self._plant, self._started_s = plant, time.monotonic()
        self._talker = KeyValueTalker(self._obey, answer_s=answer_s)

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Answer questions."""
        return self._talker.feed(data)

    def tick(self) -> Sequence[Reply]:
        """It says nothing unasked."""
        return ()

    def _obey(self, verb: str) -> dict[str, object]:
        if verb == "hello":
            has = ",".join([*CONTACTS, *TEMPERATURES])
            return identity("sensors", has)
        if verb == "read":
            return {"ok": 1, "up": int(time.monotonic() - self._started_s)} | readings(self._plant.state)
        return {"ok": 0, "why": "verb"}


def identity(name: str, has: str) -> dict[str, object]:
    """The answer to ``hello``."""
    return {"ok": 1, "protocol": "isocenter-line-1", "name": f"virtual-{name}", "firmware": "1.0", "serial": "?", "has": has}


def _degrees(value: Any) -> str:
    return "?" if value is None else f"{value:.2f}"
