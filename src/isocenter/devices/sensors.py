# SPDX-License-Identifier: MIT
"""Temperatures, contacts and mains on a box that speaks our line protocol."""

import math
from collections.abc import Mapping
from typing import Final

from isocenter.devices.interlock import AMPLIFIER_CONTACTS
from isocenter.devices.key_values import KeyValueBox, flag
from isocenter.domain.device import Condition, DeviceFaultName, DeviceReading, DeviceRole
from isocenter.domain.errors import ProtocolError

_TEMPERATURES: Final = {
    "t_magnet": ("temperature_magnet_c", "magnet"),
    "t_room": ("temperature_room_c", "room"),
    "t_gpa": ("temperature_gradient_amplifier_c", "gradient amplifier"),
}
_CONTACTS: Final = {
    "estop": DeviceFaultName.EMERGENCY_STOP,
    "door": DeviceFaultName.DOOR_OPEN,
    **AMPLIFIER_CONTACTS,
}
_WORDS: Final = {
    "estop": "red button pressed",
    "door": "door open",
    "gpa_fault": "gradient amplifier fault",
    "gpa_hot": "gradient amplifier hot",
    "rf_fault": "RF amplifier fault",
}
_BELIEVED_C: Final = (-40.0, 150.0)
_NO_LIMIT: Final = math.inf


class IsocenterSensors:
    """Sensors on a box that speaks our line protocol. A sensor that fails is unknown, and with it whatever it guards.

    Parameters
    ----------
    box
        May be shared with an interlock.
    options
        ``magnet_min_c``, ``magnet_max_c``, ``gradient_amplifier_max_c``: outside them a fault is reported; without
        them temperatures are only shown.
    reports_contacts
        False when an interlock on the same box reports button, door and amplifiers.
    """

    def __init__(self, box: KeyValueBox, options: Mapping[str, float], *, reports_contacts: bool = True) -> None:
        self._box, self._reports_contacts = box, reports_contacts
        self._limits = {
            "t_magnet": (options.get("magnet_min_c", -_NO_LIMIT), options.get("magnet_max_c", _NO_LIMIT)),
            "t_gpa": (-_NO_LIMIT, options.get("gradient_amplifier_max_c", _NO_LIMIT)),
        }

    @property
    def role(self) -> DeviceRole:
        """What it is for."""
        return DeviceRole.SENSORS

    def open(self) -> str:
        """Open the line and ask who is there."""
        return self._box.open(self.role)

    def close(self) -> None:
        """Let go of the line."""
        self._box.close(self.role)

    def poll(self) -> DeviceReading:
        """All that the box knows."""
        answer = self._box.ask("read", "answer")
        missing = sorted(self._box.has - {"interlock", ""} - set(answer))
        if missing or answer["ok"] != "1":
            raise ProtocolError(
                f"The {self._box.name} left out {', '.join(missing) or 'its readings'}.",
                "Load the firmware that belongs to this version of the program (docs/arduino).",
            )
        values, faults, texts = self._temperatures(answer)
        is_unknown = any(key not in values and self._is_limited(key) for key in self._limits)
        for key, name in _CONTACTS.items():
            if key in self._box.has and self._reports_contacts and flag(answer, key, self._box.name):
                faults.append(name)
                texts.append(_WORDS[key])
        if "ups" in self._box.has and flag(answer, "ups", self._box.name):
            faults.append(DeviceFaultName.ON_BATTERY)
            texts.append("on battery")
        return DeviceReading(
            condition=Condition.FAULT if faults else Condition.UNKNOWN if is_unknown else Condition.READY,
            text=", ".join(texts) or "working",
            said=self._box.said,
            faults=tuple(dict.fromkeys(faults)),
            values={_TEMPERATURES[key][0]: value for key, value in values.items()} | self._battery(answer),
        )

    def _temperatures(self, answer: dict[str, str]) -> tuple[dict[str, float], list[DeviceFaultName], list[str]]:
        values: dict[str, float] = {}
        faults: list[DeviceFaultName] = []
        texts: list[str] = []
        for key, (_, word) in _TEMPERATURES.items():
            if key not in self._box.has and not self._is_limited(key):
                continue
            value = _number(answer.get(key, "?"))
            if not _BELIEVED_C[0] <= value <= _BELIEVED_C[1]:  # in this form NaN fails too
                texts.append(f"{word} temperature unknown")
                continue
            values[key] = value
            texts.append(f"{word} {value:.1f} °C")
            low, high = self._limits.get(key, (-_NO_LIMIT, _NO_LIMIT))
            if not low <= value <= high:
                faults.append(DeviceFaultName.GRADIENT_HOT if key == "t_gpa" else DeviceFaultName.MAGNET_TEMPERATURE)
        return values, faults, texts

    def _battery(self, answer: dict[str, str]) -> dict[str, float]:
        share = _number(answer.get("ups_charge", "?")) / 100
        return {"battery_share": share} if 0 <= share <= 1 else {}

    def _is_limited(self, key: str) -> bool:
        return any(math.isfinite(limit) for limit in self._limits.get(key, ()))


def _number(text: str) -> float:
    """A value of an answer; NaN for ``?`` and whatever is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
