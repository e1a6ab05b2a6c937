# SPDX-License-Identifier: MIT
"""Virtual Barthel amplifiers behind their serial bridge.

What the published facts do not say is assumed: a verb that cannot be done is answered ``>ERR;``, and an amplifier obeys only
under remote control.
"""

from collections.abc import Sequence
from typing import Any, Final

from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant

_BUFFER: Final = 64  # of an Arduino's serial port: a longer verb is cut


class VirtualBarthelBridge:
    """Two amplifiers that were just switched on at the mains: local control, outputs off.

    Parameters
    ----------
    plant
        The scanner that they belong to.
    answer_s
        From a verb to its answer [s].

    Attributes
    ----------
    verbs
        The last verbs that it understood, for tests.
    refuses
        Verbs, such as ``RFPA_RF 1``, that it answers with ``>ERR;`` although it could do them.
    """

    def __init__(self, plant: Plant, *, answer_s: float = 0.002) -> None:
        self._plant, self._answer_s = plant, answer_s
        self._buffer = b""
        self._remote = {"GPA": False, "RFPA": False}
        self._is_locked = {"GPA": False, "RFPA": False}
        self.verbs: list[str] = []
        self.refuses: set[str] = set()
        plant.change("amplifier bridge", rf_amplifier_on=False, gradient_amplifier_on=False)

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Answer each verb that is complete."""
        self.tick()
        self._buffer += data
        *verbs, self._buffer = self._buffer.split(b";")
        self._buffer = self._buffer[-_BUFFER:]
        return [
            Reply(data=b">OK;" if self._obey(verb.decode("ascii", "replace").strip()) else b">ERR;", delay_s=self._answer_s)
            for verb in verbs
        ]

    def tick(self) -> Sequence[Reply]:
        """An amplifier with a fault switches itself off and stays so."""
        state = self._plant.state
        if state.gradient_amplifier_fault or state.gradient_amplifier_hot:
            self._is_locked["GPA"] = True
            self._plant.change("gradient amplifier", gradient_amplifier_on=False)
        if state.rf_amplifier_fault:
            self._is_locked["RFPA"] = True
            self._plant.change("RF amplifier", rf_amplifier_on=False)
        elif self._is_locked["RFPA"]:
            self._is_locked["RFPA"] = False  # it has no error reset by wire
        return ()

    def _obey(self, verb: str) -> bool:
        self.verbs = [*self.verbs[-99:], verb]
        amplifier, _, rest = verb.partition("_")
        if amplifier not in self._remote or verb in self.refuses:
            return False
        if rest in ("VERB 0", "VERB 1"):
            return True
        if rest in ("SPC:CTL 0", "SPC:CTL 1"):
            self._remote[amplifier] = rest.endswith("1")
            return True
        if verb == "GPA_ERRST":
            return self._reset()
        if rest in (("ON 0", "ON 1") if amplifier == "GPA" else ("RF 0", "RF 1")):
            return self._switch(amplifier, on=rest.endswith("1"))
        return False

    def _reset(self) -> bool:
        state = self._plant.state
        if state.gradient_amplifier_fault or state.gradient_amplifier_hot:
            return False
        self._is_locked["GPA"] = False
        return True

    def _switch(self, amplifier: str, *, on: bool) -> bool:
        if on and (not self._remote[amplifier] or self._is_locked[amplifier]):
            return False
        name = "gradient_amplifier_on" if amplifier == "GPA" else "rf_amplifier_on"
        values: dict[str, Any] = {name: on}
        self._plant.change("amplifier bridge", **values)
        return True
