# SPDX-License-Identifier: MIT
"""How long the link to the console needs between two segments, measured during scans."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseNeed:
    """What the pauses of one scan needed: program and samples on the wire, zeroing, storing.

    Attributes
    ----------
    n
        Pauses that were measured.
    median_s, most_s
        Half of them needed no longer; 95 of 100 needed no longer [s].
    """

    n: int
    median_s: float
    most_s: float

    def record(self) -> dict[str, object]:
        """For the scanner's journal."""
        return {"n": self.n, "median_ms": round(self.median_s * 1e3, 1), "most_ms": round(self.most_s * 1e3, 1)}


class PauseMeter:
    """Measures from the time that a segment was asked for to the time that the next could be, less its length.

    Parameters
    ----------
    now
        Time [s].
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._due_s = now, float("nan")
        self._needs_s: list[float] = []

    def asked(self, duration_s: float) -> None:
        """A segment of this length is asked for now [s]."""
        self._due_s = self._now() + duration_s

    def is_ready(self) -> None:
        """What the segment measured is stored: the next could be asked for."""
        self._needs_s.append(self._now() - self._due_s)
        self._due_s = float("nan")

    def need(self) -> PauseNeed | None:
        """Of all pauses so far; None before there are any, and for a simulated console that is faster than time."""
        needs_s = np.array([need_s for need_s in self._needs_s if not np.isnan(need_s)])
        if not len(needs_s) or np.any(needs_s <= 0):
            return None
        median_s, most_s = np.quantile(needs_s, [0.5, 0.95])
        return PauseNeed(n=len(needs_s), median_s=float(median_s), most_s=float(most_s))
