# SPDX-License-Identifier: MIT
"""Gradient and RF amplifier behind a Barthel bridge: two roles on one line, driven by one thread."""

from typing import Final

from isocenter.devices.barthel import ANSWER_S, BarthelBridge
from isocenter.domain.device import Condition, DeviceFaultName, DeviceReading, DeviceRole
from isocenter.domain.errors import DeviceFault, DeviceTimeout, WrongState

_SWITCH_S: Final = 0.45
_ENABLE_S: Final = 0.9
_TRIP_S: Final = 0.15
_VERBS: Final = {DeviceRole.GRADIENT_AMPLIFIER: (b"GPA", b"GPA_ON"), DeviceRole.RF_AMPLIFIER: (b"RFPA", b"RFPA_RF")}
_NAMES: Final = {DeviceRole.GRADIENT_AMPLIFIER: "gradient amplifier", DeviceRole.RF_AMPLIFIER: "RF amplifier"}
_FAULTS: Final = {
    DeviceRole.GRADIENT_AMPLIFIER: DeviceFaultName.GRADIENT_FAULT,
    DeviceRole.RF_AMPLIFIER: DeviceFaultName.RF_FAULT,
}
_BLIND: Final = "the bridge answers, but cannot say what the amplifier does"


class BarthelAmplifier:
    """One of the two amplifiers.

    The bridge has no verb that asks a state. What it confirmed last is reported as such; after an unconfirmed switch, and
    after the line was lost, the state is unknown.

    Parameters
    ----------
    role
        Which of them.
    bridge
        Shared with the other one, and with it the thread.
    """

    def __init__(self, role: DeviceRole, bridge: BarthelBridge) -> None:
        self._role, self._bridge = role, bridge
        self._prefix, self._switch = _VERBS[role]
        self._name = _NAMES[role]
        self._n_cleared = bridge.n_trips
        self._n_opened = 0
        self._condition = Condition.UNKNOWN

    @property
    def role(self) -> DeviceRole:
        """What it is for."""
        return self._role

    def open(self) -> str:
        """Open the bridge's line if it is not in good order, and see that this amplifier's verbs are answered."""
        identity = self._bridge.open(self._role)
        self._bridge.ask(self._prefix + b"_VERB 1;", ANSWER_S, "answer")
        return f"{self._name} on a {identity}"

    def close(self) -> None:
        """Let go of the line, which stays open while the other amplifier needs it."""
        self._bridge.close(self._role)

    def poll(self) -> DeviceReading:
        """See that the bridge is alive, and report what it confirmed last."""
        self._bridge.ask(self._prefix + b"_VERB 1;", ANSWER_S, "answer")
        condition = self._known()
        text = {
            Condition.READY: f"on, as it confirmed last; {_BLIND}",
            Condition.STANDBY: f"off, as it confirmed last; {_BLIND}",
            Condition.FAULT: "tripped: off, confirmed" if self._is_tripped else f"refused to switch on; {_BLIND}",
            Condition.UNKNOWN: f"on or off is not known; {_BLIND}",
        }[condition]
        has_fault = condition is Condition.FAULT and not self._is_tripped
        return DeviceReading(
            condition=condition, text=text, said=self._bridge.said, faults=(_FAULTS[self._role],) if has_fault else ()
        )

    def enable(self) -> None:
        """Remote control, then on. See ``devices.roles.Switched``."""
        if self._is_tripped:
            raise WrongState(
                f"The {self._name} was tripped and must be cleared first.",
                "Find out why it was tripped, then press Reset on the Scanner screen.",
            )
        self._bridge.ask(self._prefix + b"_VERB 1;", _ENABLE_S, f"report for the {self._name}")
        self._bridge.ask(self._prefix + b"_SPC:CTL 1;", _ENABLE_S, f"take the {self._name} into remote control")
        self._set(1, f"switch the {self._name} on", Condition.READY, _ENABLE_S)

    def standby(self) -> None:
        """Off, confirmed."""
        self._set(0, f"switch the {self._name} off", Condition.STANDBY, _SWITCH_S)

    def trip(self) -> None:
        """Off at once, and the other amplifier with it: one message does both, and neither waits for the other.

        Needs no ``open`` before: a closed line is opened, and the message sent without a question.
        """
        self._condition = Condition.UNKNOWN
        answer = self._bridge.trip(_TRIP_S)[self._prefix.decode()]
        if not answer:
            raise DeviceTimeout(
                f"The {self._name} did not confirm that it is off.",
                "Switch it off at its front panel now. Then check the bridge's power and cable, and connect again.",
            )
        self._bridge.judge(answer, f"switch the {self._name} off")
        self._note(Condition.FAULT)

    def clear_fault(self) -> None:
        """Reset the amplifier's error, where it has a verb for that; the output stays off."""
        self._condition = Condition.UNKNOWN
        if self._role is DeviceRole.GRADIENT_AMPLIFIER:
            self._bridge.ask(b"GPA_ERRST;", _SWITCH_S, "reset the gradient amplifier's error")
        self._set(0, f"switch the {self._name} off", Condition.STANDBY, _SWITCH_S)
        self._n_cleared = self._bridge.n_trips

    @property
    def _is_tripped(self) -> bool:
        """A trip through either amplifier cuts both, and each must be cleared."""
        return self._bridge.n_trips > self._n_cleared

    def _set(self, on: int, doing: str, then: Condition, timeout_s: float) -> None:
        self._condition = Condition.UNKNOWN
        try:
            self._bridge.ask(self._switch + b" %d;" % on, timeout_s, doing)
        except DeviceFault:
            if on:
                self._note(Condition.FAULT)
            raise
        self._note(then)

    def _note(self, condition: Condition) -> None:
        self._condition, self._n_opened = condition, self._bridge.n_opened

    def _known(self) -> Condition:
        """What still holds: opening the line may have started the bridge anew; the other's trip cut this one too."""
        if self._n_opened != self._bridge.n_opened:
            return Condition.UNKNOWN
        if not self._is_tripped:
            return self._condition
        return Condition.FAULT if self._condition in (Condition.STANDBY, Condition.FAULT) else Condition.UNKNOWN
