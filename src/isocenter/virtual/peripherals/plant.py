# SPDX-License-Identifier: MIT
"""The physical truth of the virtual scanner: what is on, open, pressed, warm and plugged in.

Virtual devices read and change it; the virtual console's signal model reads it; tests and scenarios change it and judge by
its log when the patient was safe.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

_LOG_LENGTH: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantState:
    """The truth at one moment. Defaults: a healthy scanner whose amplifiers nobody controls, so that they are on.

    A virtual amplifier bridge, interlock or monitor puts its own outputs to what they are after power-up.

    Attributes
    ----------
    rf_amplifier_on, gradient_amplifier_on
        Output stages switched on.
    interlock_blanks_rf, sar_monitor_blanks_rf
        Each a relay in the blanking line; either is enough.
    interlock_parks_gradients
        The interlock controller takes the gradient amplifier's enable away.
    rf_amplifier_fault, gradient_amplifier_fault, gradient_amplifier_hot
        The amplifier reports it, and switches itself off where it has such a circuit.
    emergency_stop, door_open
        Contacts.
    magnet_c, room_c, gradient_amplifier_c
        True temperatures [degree C]; None: the sensor is broken.
    on_battery
        The mains is gone.
    battery_share
        Charge left, 0 ... 1.
    rf_playing
        The console plays RF in this segment.
    gradients_zero
        The console's gradient outputs are zero and stay so.
    forward_w, reflected_share
        RF power sent to the coil [W], and the share that comes back.
    played_s, played_j
        Scanner's own time until which the console has played [s], and all the energy that it has sent to the coil [J]; for
        boxes of a scanner that plays faster than time.
    capacitors
        Codes of series, tune and match, five bits each, 1 is in.
    analyser_connected
        The coil hangs on the network analyser instead of the scanner.
    attenuator_db
        Gain that the receive attenuator is set to [dB].
    coil_plugged, coil_cable_broken
        The plug and the cable of the coil.
    coil_load_share
        Change of the coil's resonance by what is near it: 0 as designed, 0.01 one percent of frequency lower.
    """

    rf_amplifier_on: bool = True
    gradient_amplifier_on: bool = True
    interlock_blanks_rf: bool = False
    sar_monitor_blanks_rf: bool = False
    interlock_parks_gradients: bool = False
    rf_amplifier_fault: bool = False
    gradient_amplifier_fault: bool = False
    gradient_amplifier_hot: bool = False
    emergency_stop: bool = False
    door_open: bool = False
    magnet_c: float | None = 25.0
    room_c: float | None = 22.0
    gradient_amplifier_c: float | None = 30.0
    on_battery: bool = False
    battery_share: float = 1.0
    rf_playing: bool = False
    gradients_zero: bool = True
    forward_w: float = 0.0
    reflected_share: float = 0.0
    played_s: float = 0.0
    played_j: float = 0.0
    capacitors: tuple[int, int, int] = (0, 0, 0)
    analyser_connected: bool = False
    attenuator_db: float = 0.0
    coil_plugged: bool = True
    coil_cable_broken: bool = False
    coil_load_share: float = 0.0

    @property
    def rf_blanked(self) -> bool:
        """RF cannot leave the amplifier whatever the console plays."""
        return self.interlock_blanks_rf or self.sar_monitor_blanks_rf

    @property
    def can_transmit(self) -> bool:
        """What the console plays reaches the coil."""
        return self.rf_amplifier_on and not self.rf_blanked

    @property
    def can_drive_gradients(self) -> bool:
        """What the console plays becomes current."""
        return self.gradient_amplifier_on and not self.interlock_parks_gradients

    @property
    def is_safe(self) -> bool:
        """Nothing reaches the patient: no RF, no gradient."""
        return not self.can_transmit and (self.gradients_zero or not self.can_drive_gradients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry of the log.

    Attributes
    ----------
    at_s
        When, on ``time.monotonic`` [s].
    by
        Who did it, such as ``interlock`` or ``test``.
    names
        What changed.
    state
        The truth from then on.
    """

    at_s: float
    by: str
    names: tuple[str, ...]
    state: PlantState


class Plant:
    """The truth, and when it changed. Safe to use from any thread."""

    def __init__(self, state: PlantState | None = None) -> None:
        self._condition = threading.Condition()
        self._state = state or PlantState()
        self._log: deque[Change] = deque(
            [Change(at_s=time.monotonic(), by="start", names=(), state=self._state)], maxlen=_LOG_LENGTH
        )

    @property
    def state(self) -> PlantState:
        """The truth now."""
        return self._state  # one reference: no lock needed to read it

    def change(self, by: str, **values: Any) -> PlantState:
        """Make something true; what is so already is not logged. Returns the truth from now on."""
        with self._condition:
            names = tuple(name for name, value in values.items() if getattr(self._state, name) != value)
            if names:
                self._state = replace(self._state, **{name: values[name] for name in names})
                self._log.append(Change(at_s=time.monotonic(), by=by, names=names, state=self._state))
                self._condition.notify_all()
            return self._state

    def log(self, since_s: float = float("-inf")) -> tuple[Change, ...]:
        """Changes from a time on, in order; the newest 20 000 are kept."""
        with self._condition:
            return tuple(change for change in self._log if change.at_s >= since_s)

    def first(self, is_true: Callable[[PlantState], bool], since_s: float = float("-inf")) -> float | None:
        """When something first held at or after a time; ``since_s`` itself if it held then, None if never yet."""
        with self._condition:
            return self._first(is_true, since_s)

    def wait_for(self, is_true: Callable[[PlantState], bool], timeout_s: float, since_s: float = float("-inf")) -> float:
        """Wait until something holds or has held since a time; returns when that was.

        Raises
        ------
        TimeoutError
            It never did.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._first(is_true, since_s) is not None, timeout_s):
                raise TimeoutError(f"not within {timeout_s:g} s; the truth is {self._state}")
            found = self._first(is_true, since_s)
            assert found is not None
            return found

    def _first(self, is_true: Callable[[PlantState], bool], since_s: float) -> float | None:
        before: Change | None = None
        for change in self._log:
            if change.at_s <= since_s:
                before = change
                continue
            if before is not None and is_true(before.state):
                return since_s
            before = None
            if is_true(change.state):
                return change.at_s
        return since_s if before is not None and is_true(before.state) else None
