# SPDX-License-Identifier: MIT
"""Clocks on which a scan's segments start."""

import time
from collections.abc import Callable
from threading import Event
from typing import Final, Literal, Protocol, TypeAlias

Pace: TypeAlias = Literal["wall", "none"]


class Clock(Protocol):
    """Time of a scan [s], from any origin."""

    def now_s(self) -> float:
        """The time."""
        ...

    def wait_until(self, time_s: float, cancel: Event) -> None:
        """Return at that time, never earlier, or as soon as ``cancel`` is set."""
        ...

    def has_played(self, duration_s: float) -> None:
        """A segment of that length has been played."""
        ...


class WallClock:
    """Time as it passes: for everything that happens in the real world."""

    def now_s(self) -> float:
        """Seconds on the computer's steady clock."""
        return time.monotonic()

    def wait_until(self, time_s: float, cancel: Event) -> None:
        """Sleep until then."""
        while (left_s := time_s - self.now_s()) > 0 and not cancel.is_set():
            cancel.wait(left_s)

    def has_played(self, duration_s: float) -> None:
        """The clock knows by itself."""


class FreeClock:
    """Time as it would pass: for a virtual scanner that is faster than a real one.

    Parameters
    ----------
    pass_time
        Told every pause that is not waited for [s], since the spins must feel it all the same.
    """

    def __init__(self, pass_time: Callable[[float], None] | None = None) -> None:
        self._now_s, self._pass_time = 0.0, pass_time

    def now_s(self) -> float:
        """Seconds that the scan would have taken."""
        return self._now_s

    def wait_until(self, time_s: float, cancel: Event) -> None:  # noqa: ARG002
        """Jump there."""
        if (pause_s := time_s - self._now_s) > 0:
            self._now_s = time_s
            if self._pass_time is not None:
                self._pass_time(pause_s)

    def has_played(self, duration_s: float) -> None:
        """Add what was played."""
        self._now_s += duration_s


CLOCKS: Final[dict[Pace, type[WallClock] | type[FreeClock]]] = {"wall": WallClock, "none": FreeClock}
