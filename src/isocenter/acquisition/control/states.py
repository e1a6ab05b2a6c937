# SPDX-License-Identifier: MIT
"""States of the scanner, as a table. Every transition goes into the journal."""

import threading
from collections.abc import Callable
from typing import Final

from isocenter.domain.control import ScannerState
from isocenter.domain.errors import WrongState

S = ScannerState

TRANSITIONS: Final[dict[tuple[ScannerState, str], ScannerState]] = {
    (S.OFF, "connected"): S.READY,
    (S.READY, "arm"): S.ARMED,
    (S.ARMED, "play"): S.SCANNING,
    (S.SCANNING, "played"): S.ARMED,
    (S.ARMED, "disarm"): S.READY,
    (S.READY, "disconnect"): S.OFF,
    (S.OFF, "trip"): S.SAFE,
    (S.READY, "trip"): S.SAFE,
    (S.ARMED, "trip"): S.SAFE,
    (S.SCANNING, "trip"): S.SAFE,
    (S.SAFE, "trip"): S.SAFE,
    (S.SAFE, "reset"): S.OFF,
}
"""What may follow what.

::

    OFF ──connected──▶ READY ──arm──▶ ARMED ──play──▶ SCANNING
     ▲ ▲                │  ▲           │  ▲               │
     │ └──disconnect────┘  └──disarm───┘  └────played─────┘
     │
     └──reset── SAFE ◀──trip── (from everywhere)

SAFE is latched: ``reset`` is a person's word, is refused while the cause is there, and leads to OFF, from where everything
is asked anew. Nothing leads from SAFE to ARMED.
"""

_DOING: Final = {"arm": "be armed", "play": "play", "reset": "be made ready", "disarm": "be disarmed"}

Journal = Callable[[str, dict[str, object]], None]


class StateMachine:
    """The scanner's state, safe to use from any thread.

    Parameters
    ----------
    journal
        Told every transition with what caused it, before anybody else learns of it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal, self._lock, self._state = journal, threading.RLock(), ScannerState.OFF

    @property
    def state(self) -> ScannerState:
        """Now."""
        return self._state

    def apply(self, event: str, **details: object) -> ScannerState:
        """Go on to the state that follows.

        Raises
        ------
        WrongState
            The event cannot happen now; the state stays.
        """
        with self._lock:
            before = self._state
            after = TRANSITIONS.get((before, event))
            if after is None:
                raise WrongState(f"The scanner is {before.value} and cannot {_DOING.get(event, event)}.", _REMEDY[before])
            self._state = after
            self._journal("state", {"before": before.value, "event": event, "after": after.value, **details})
            return after

    def apply_if(self, state: ScannerState, event: str, **details: object) -> bool:
        """Go on if this is the state; True when it was."""
        with self._lock:
            if self._state is not state:
                return False
            self.apply(event, **details)
            return True


_REMEDY: Final = {
    ScannerState.OFF: "Connect the scanner first: see the Scanner page for what does not answer.",
    ScannerState.READY: "Start a scan.",
    ScannerState.ARMED: "Wait until the scan has ended, or press Stop.",
    ScannerState.SCANNING: "Wait until the scan has ended, or press Stop.",
    ScannerState.SAFE: "See to the cause that the screen names, then press Make ready.",
}
