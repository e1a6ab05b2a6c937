# SPDX-License-Identifier: MIT
"""The interlock controller: it cuts RF and gradients by itself when beats stop, on the red button and on the door."""

from typing import Final

from isocenter.devices.key_values import KeyValueBox, flag, flags
from isocenter.domain.device import Condition, DeviceFaultName, DeviceReading, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceError, DeviceFault, ProtocolError, WrongState

_TRIP_S: Final = 0.14
_STATES: Final = ("estop", "door", "armed", "latched", "blank", "gpa")
_CAUSES: Final = {
    "estop": DeviceFaultName.EMERGENCY_STOP,
    "door": DeviceFaultName.DOOR_OPEN,
    "beat": DeviceFaultName.HEARTBEAT_LOST,
}
_CAUSE_TEXT: Final = {
    "estop": "the red button was pressed",
    "door": "the door was opened",
    "beat": "it heard no heartbeat for a second",
    "host": "the program told it to",
}
AMPLIFIER_CONTACTS: Final = {
    "gpa_fault": DeviceFaultName.GRADIENT_FAULT,
    "gpa_hot": DeviceFaultName.GRADIENT_HOT,
    "rf_fault": DeviceFaultName.RF_FAULT,
}
_REMEDIES: Final = {
    "estop": "Look after the patient. Release the red button, then press Reset on the Scanner screen.",
    "door": "Close the door, then try again.",
    "latched": "See to its cause, clear it with Reset on the Scanner screen, then try again.",
}


class IsocenterInterlock:
    """An interlock controller that speaks our line protocol. See ``devices.roles.Interlock``.

    An open door is reported as a fault only where it has cut something: a patient is brought in through it.
    """

    def __init__(self, box: KeyValueBox) -> None:
        self._box = box

    @property
    def role(self) -> DeviceRole:
        """What it is for."""
        return DeviceRole.INTERLOCK

    def open(self) -> str:
        """Open the line and see that an interlock is at its end."""
        identity = self._box.open(self.role)
        if "interlock" not in self._box.has:
            self._box.close(self.role)
            raise ConnectError(
                f"'{identity}' is not an interlock controller: it has only {', '.join(sorted(self._box.has)) or 'nothing'}.",
                "Correct the address of the interlock in the hardware file.",
            )
        return identity

    def close(self) -> None:
        """Let go of the line. While it is armed, the controller blanks a second later."""
        self._box.close(self.role)

    def poll(self) -> DeviceReading:
        """How it is; this is no heartbeat."""
        return self._reading(self._box.ask("read", "answer"))

    def beat(self) -> DeviceReading:
        """One heartbeat, and how it is."""
        return self._reading(self._box.ask("beat", "answer"))

    def enable(self) -> None:
        """Arm it: RF is no longer blanked, and from now on it wants a beat each second."""
        answer = self._box.ask("arm", "arm")
        self._accept(answer, "be armed")
        self._demand(answer, armed=True)

    def standby(self) -> None:
        """Disarm: RF blanked, gradients parked, no beats wanted."""
        answer = self._box.ask("standby", "go to standby")
        self._accept(answer, "go to standby")
        self._demand(answer, armed=False)

    def trip(self) -> None:
        """Cut both outputs and latch."""
        try:
            answer = self._box.trip(_TRIP_S)
            self._demand(answer, armed=False, latched=True)
        except DeviceError:
            answer = self._box.trip(_TRIP_S)
            self._demand(answer, armed=False, latched=True)

    def clear_fault(self) -> None:
        """Leave the latch; both outputs stay cut."""
        answer = self._box.ask("clear", "clear")
        self._accept(answer, "be cleared")
        self._demand(answer, armed=False, latched=False)

    def _accept(self, answer: dict[str, str], doing: str) -> None:
        if answer["ok"] == "1":
            return
        why = answer.get("why", "unknown")
        texts = {
            "estop": "the red button is pressed",
            "door": "the door is open",
            "latched": f"it is latched, since {_CAUSE_TEXT.get(answer.get('cause', ''), 'it cut the outputs')}",
        }
        problem = f"The interlock controller refused to {doing}: {texts.get(why, why)}."
        if why in texts:
            raise WrongState(problem, _REMEDIES[why])
        raise DeviceFault(problem, "Read what the controller says on the Scanner screen, and docs/line-protocol.md.")

    def _demand(self, answer: dict[str, str], *, armed: bool, latched: bool | None = None) -> None:
        """What must be true after it did as it was told."""
        state = self._state(answer)
        if state["armed"] is not armed or (latched is not None and state["latched"] is not latched):
            raise DeviceFault(
                f"The interlock controller did not do as it was told; it says '{self._box.said}'.",
                "Look at the controller and its inputs, then try again.",
            )

    def _state(self, answer: dict[str, str]) -> dict[str, bool]:
        state = flags(answer, _STATES, self._box.name)
        is_released = state["armed"] and not state["latched"]
        if (state["armed"] and state["latched"]) or state["blank"] is is_released or state["gpa"] is not is_released:
            raise ProtocolError(
                f"What the interlock controller says contradicts itself: '{self._box.said}'.",
                "Do not scan. Switch the controller off and on; if it says so again, have it repaired.",
            )
        return state

    def _reading(self, answer: dict[str, str]) -> DeviceReading:
        state, cause = self._state(answer), answer.get("cause", "none")
        faults = [DeviceFaultName.EMERGENCY_STOP] if state["estop"] else []
        if state["latched"]:
            if state["door"]:
                faults.append(DeviceFaultName.DOOR_OPEN)
            if cause != "host":
                faults.append(_CAUSES.get(cause, DeviceFaultName.INTERLOCK_LATCHED))
                faults.append(DeviceFaultName.INTERLOCK_LATCHED)
        for key, name in AMPLIFIER_CONTACTS.items():
            if key in self._box.has and flag(answer, key, self._box.name):
                faults.append(name)
        return DeviceReading(
            condition=_condition(state),
            text=_text(state, cause),
            said=self._box.said,
            faults=tuple(dict.fromkeys(faults)),
            values={"emergency_stop": float(state["estop"]), "door_open": float(state["door"])},
        )


def _condition(state: dict[str, bool]) -> Condition:
    if state["latched"]:
        return Condition.FAULT
    return Condition.READY if state["armed"] else Condition.STANDBY


def _text(state: dict[str, bool], cause: str) -> str:
    door = ", door open" if state["door"] else ""
    if state["latched"]:
        return f"outputs cut: {_CAUSE_TEXT.get(cause, cause)}{door}"
    return "armed, outputs released" if state["armed"] else f"standby, outputs cut{door}"
