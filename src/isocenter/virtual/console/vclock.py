# SPDX-License-Identifier: MIT
"""The axis of virtual time: run after run, with the pauses that spins feel."""

import threading
import time
from collections.abc import Callable
from typing import Final

from isocenter.virtual.console.playback import Playback

SLOW_HOST_S: Final = 10.0
"""At time scale 0 a pause shorter than this is taken for the slowness of the host, not for a wish of the client."""


class VirtualClock:
    """Decides how long the pause between two runs was.

    In real time (or a scale of it) a pause is what the wall clock says. As fast as it goes (``time_scale`` 0), an image
    must not depend on how fast the host is: a pause is ``segment_gap_s``, or what the client has announced with
    ``pass_time`` when that is longer. Only a pause of more than ``SLOW_HOST_S`` of wall time (somebody went for a
    coffee) counts as it was.

    Parameters
    ----------
    time_scale
        Wall time of a run over its duration.
    segment_gap_s
        Pause between two runs at time scale 0 [s]; take ``scanner.console.segment_gap_s``.
    now
        Wall time [s].
    """

    def __init__(self, *, time_scale: float, segment_gap_s: float = 0.02, now: Callable[[], float] = time.monotonic) -> None:
        self.time_scale, self.segment_gap_s = time_scale, segment_gap_s
        self._now = now
        self._lock = threading.Lock()
        self._announced_s = 0.0
        self._virtual_s = 0.0
        self._wall_end_s: float | None = None
        self._wall_start_s = now()

    def pass_time(self, seconds: float) -> None:
        """Announce a pause; several add up."""
        if not seconds >= 0:
            raise ValueError(f"time passes forwards only, not by {seconds} s")
        with self._lock:
            self._announced_s += seconds

    def begin(self) -> tuple[float, float]:
        """Start of a run: its virtual time and the pause before it [s]; no pause before the first."""
        with self._lock:
            announced, self._announced_s = self._announced_s, 0.0
        self._wall_start_s = self._now()
        idle_s = announced
        if self._wall_end_s is not None:
            wall_s = self._wall_start_s - self._wall_end_s
            if self.time_scale > 0:
                idle_s = max(announced, wall_s / self.time_scale)
            else:
                idle_s = max(announced, self.segment_gap_s, wall_s if wall_s > SLOW_HOST_S else 0.0)
        self._virtual_s += idle_s
        return self._virtual_s, idle_s

    def end(self, duration_s: float) -> None:
        """End of a run of this length [s]."""
        self._virtual_s += duration_s
        self._wall_end_s = self._now()

    def ticks_since_start(self, playback: Playback) -> int:
        """How far a run that nobody waits for has come [ticks]; at time scale 0 it is over at once."""
        if self.time_scale == 0:
            return playback.end_tick
        return int((self._now() - self._wall_start_s) / self.time_scale * playback.clock_hz)
