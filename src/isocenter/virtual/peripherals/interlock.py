# SPDX-License-Identifier: MIT
"""A virtual interlock controller. Its watchdog runs on whatever becomes of its line, as that of a box of its own does."""

import time
from collections.abc import Sequence
from typing import Final

from isocenter.virtual.peripherals.key_values import KeyValueTalker
from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sensors import CONTACTS, TEMPERATURES, identity, readings

BEAT_WITHIN_S: Final = 0.8


class VirtualInterlock:
    """The controller, just switched on: standby, both outputs cut.

    Parameters
    ----------
    plant
        Whose contacts it watches and whose outputs it cuts.
    answer_s
        From a question to its answer [s].
    """

    def __init__(self, plant: Plant, *, answer_s: float = 0.002) -> None:
        self._plant, self._started_s = plant, time.monotonic()
        self._is_armed = self._is_latched = False
        self._cause = "none"
        self._beat_s = self._started_s
        self._talker = KeyValueTalker(self._obey, lambda: self._latch("host"), answer_s=answer_s)
        self._cut()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Answer questions, with inputs and watchdog looked at first."""
        self.tick()
        return self._talker.feed(data)

    def tick(self) -> Sequence[Reply]:
        """Look at the inputs and the clock."""
        state = self._plant.state
        if state.emergency_stop:
            self._latch("estop")
        if self._is_armed and state.door_open:
            self._latch("door")
        if self._is_armed and time.monotonic() - self._beat_s >= BEAT_WITHIN_S:
            self._latch("beat")
        return ()

    def _latch(self, cause: str) -> None:
        self._is_armed = False
        self._cut()
        if not self._is_latched:
            self._is_latched, self._cause = True, cause

    def _cut(self) -> None:
        self._plant.change("interlock", interlock_blanks_rf=True, interlock_parks_gradients=True)

    def _obey(self, verb: str) -> dict[str, object]:
        if verb == "hello":
            return identity("interlock", ",".join(["interlock", *CONTACTS, *TEMPERATURES]))
        refusal = {
            "read": self._read,
            "beat": self._beat,
            "arm": self._arm,
            "standby": self._standby,
            "trip": self._trip,
            "clear": self._clear,
        }.get(verb, lambda: "verb")()
        answer: dict[str, object] = {"ok": 0, "why": refusal} if refusal else {"ok": 1}
        return answer | {
            "armed": int(self._is_armed),
            "latched": int(self._is_latched),
            "cause": self._cause,
            "blank": int(not self._is_armed),
            "gpa": int(self._is_armed),
            "up": int(time.monotonic() - self._started_s),
            **readings(self._plant.state),
        }

    def _read(self) -> str:
        return ""

    def _beat(self) -> str:
        self._beat_s = time.monotonic()
        return ""

    def _arm(self) -> str:
        if self._is_latched:
            return "latched"
        if self._plant.state.door_open:
            return "door"
        self._is_armed, self._beat_s, self._cause = True, time.monotonic(), "none"
        self._plant.change("interlock", interlock_blanks_rf=False, interlock_parks_gradients=False)
        return ""

    def _standby(self) -> str:
        self._is_armed = False
        self._cut()
        return ""

    def _trip(self) -> str:
        self._latch("host")
        return ""

    def _clear(self) -> str:
        if not self._is_latched:
            return ""
        state = self._plant.state
        if state.emergency_stop:
            return "estop"
        if self._cause == "door" and state.door_open:
            return "door"
        self._is_latched, self._cause = False, "none"
        return ""
