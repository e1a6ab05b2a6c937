# SPDX-License-Identifier: MIT
"""What the boxes beside the coil are set to: relays of the tuner and gain of the attenuator, as they were calibrated.

Neither box can be asked. What was not confirmed is unknown: then nothing is transmitted into a coil whose relays nobody
knows, and no clinical scan is received with a gain that nobody knows.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from isocenter.acquisition.control.arming import ask
from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.domain.device import DeviceRole
from isocenter.domain.errors import ConsoleError

COIL_UNKNOWN: Final = "coil_unknown"
GAIN_UNKNOWN: Final = "gain_unknown"
_DOING: Final = "confirm what it was set to"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoilWanted:
    """What was calibrated.

    Attributes
    ----------
    capacitors
        Codes of series, tune and match; None where nothing is kept for this coil.
    gain_db
        Of the receiver's attenuator [dB]; None likewise.
    """

    capacitors: tuple[int, int, int] | None = None
    gain_db: float | None = None


class CoilSettings:
    """Sets tuner and attenuator, and says what could not be set. Any thread, but never while something is played.

    Parameters
    ----------
    supervisor
        Learns what is unknown: it lets nothing be transmitted, or no clinical scan begin.
    line_of
        The line of a device, None for one that the hardware file does not name.

    Attributes
    ----------
    wanted
        What was calibrated; asked each time.
    is_in_doubt, is_gain_in_doubt
        The tuner was told something and has not confirmed it, or has given the coil to the network analyser; the attenuator
        was told something and has not confirmed it.
    """

    def __init__(self, supervisor: Supervisor, line_of: Callable[[DeviceRole], DeviceThread | None]) -> None:
        self._supervisor, self._line_of, self._lock = supervisor, line_of, threading.Lock()
        self.wanted: Callable[[], CoilWanted] = CoilWanted
        self.is_in_doubt = self.is_gain_in_doubt = False

    def settle(self) -> None:
        """Give the coil to the scanner and set what is kept; waits for the boxes, some seconds at most, and never raises.

        What nothing is kept for stays as it is, and is unknown until the prescan sets it.
        """
        with self._lock:
            wanted = self.wanted()
            self._settle_tuner(wanted.capacitors)
            self._settle_gain(wanted.gain_db)

    def _settle_gain(self, gain_db: float | None) -> None:
        """What is kept; where nothing is and it is in doubt, the lowest: known, and it clips nothing."""
        if gain_db is None and not self.is_gain_in_doubt:
            return

        def work(device: Any) -> None:
            device.set_gain(min(device.gains_db) if gain_db is None else gain_db)

        self.is_gain_in_doubt = not self._set(DeviceRole.ATTENUATOR, GAIN_UNKNOWN, work)

    def _settle_tuner(self, capacitors: tuple[int, int, int] | None) -> None:
        if capacitors is None and not self.is_in_doubt:
            return

        def work(device: Any) -> None:
            if capacitors is not None:
                device.set_capacitors(*capacitors)
            device.connect_analyser(False)

        self.is_in_doubt = not self._set(DeviceRole.TUNER, COIL_UNKNOWN, work)

    def _set(self, role: DeviceRole, fault: str, work: Callable[[Any], None]) -> bool:
        """True when the device has confirmed, or there is none."""
        line = self._line_of(role)
        if line is None:
            return True
        try:
            ask(line, role, work, _DOING)
        except ConsoleError as error:
            self._supervisor.fault(fault, role=role, detail=error.problem)
            return False
        self._supervisor.clear(fault, role=role)
        return True
