# SPDX-License-Identifier: MIT
"""Who must show signs of life while power can reach the bore."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from isocenter.acquisition.control.device_thread import QUIET
from isocenter.acquisition.control.stopping import SWITCHED
from isocenter.domain.control import WATCH_TICK_S
from isocenter.domain.device import DeviceRole

TICK_S: Final = WATCH_TICK_S
STALE_S: Final = 1.0
"""A device that has not answered for so long is taken for lost, whatever its thread says [s]."""
_STALE_MEASURING_S: Final = 6.0  # a sweep or a search of relays is not a lost line


def stale_s(role: DeviceRole) -> float:
    """How long a device may be silent while power can reach the bore [s]; those that are not asked then, for ever."""
    if role in QUIET:
        return math.inf
    return STALE_S if role in SWITCHED else _STALE_MEASURING_S


@dataclass(slots=True)
class _Watched:
    within_s: float
    fed_s: float


class LifeSigns:
    """Signs of life of the window, of a segment that is being played, of whoever else is watched.

    Any thread may feed and ask. A name that is not watched is not missed.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def watch(self, name: str, within_s: float) -> None:
        """From now on a sign is wanted at least every ``within_s`` seconds."""
        with self._lock:
            self._watched[name] = _Watched(within_s, self._now())

    def feed(self, name: str) -> None:
        """Alive; ignored for a name that is not watched."""
        with self._lock:
            if name in self._watched:
                self._watched[name].fed_s = self._now()

    def release(self, name: str) -> None:
        """Not watched any more."""
        with self._lock:
            self._watched.pop(name, None)

    def refresh(self) -> None:
        """Everybody counts from now: at the start of a scan nobody is blamed for what was before."""
        with self._lock:
            for watched in self._watched.values():
                watched.fed_s = self._now()

    def missing(self) -> str:
        """Name of somebody who is overdue, empty when all are alive."""
        now_s = self._now()
        with self._lock:
            return next((name for name, one in self._watched.items() if now_s - one.fed_s > one.within_s), "")
