# SPDX-License-Identifier: MIT
"""When a long scan pauses to have its frequency looked at: before it may have drifted farther than its images bear.

Navigators follow the frequency line by line, and the reconstruction takes out what they show. All other scans are looked at
from time to time, as far as their own lines do not tell that nothing has changed.

Source
------
Reference domain.md 2, step 13: what an image bears; 4.1 and ``drift_model``: what a degree does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from isocenter.acquisition.order import PREPARED_S
from isocenter.acquisition.prescan.recentre import tolerance_hz
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.events import CompiledScan
from isocenter.domain.units import signed

LEAST_APART_S: Final = 60.0
"""Two measurements of the frequency in one scan are at least so far apart, and shorter scans have none."""
USUAL_C_PER_H: Final = 1.0
"""How fast a magnet warms of which nothing is known [K/h]. A heated or cooled room swings by 2 to 3 K in an hour, and a
magnet of some tens of kilograms follows it in hours; the gradient coils in its bore add to that."""
_LEAST_PAIRS: Final = 5  # of measurements that a history needs
_NEWEST: Final = 300  # values of a history that count
_LONGEST_PAIR_S: Final = 30 * 60.0
_STEADIEST: Final = 0.1  # of the usual rate: histories are made between scans, when no gradient warms the magnet
_MEASURE_S: Final = 1.5  # a measurement of 0.8 s, made ready and stored
_TOO_LATE_S: Final = 20.0
"""So near to its end a scan is not paused any more."""


def drift_rate_hz_per_s(values: Sequence[CalibrationValue], slope_hz_per_c: float) -> float:
    """The fastest drift over a minute or more that a magnet has shown [Hz/s]; a usual one where too little is known.

    Parameters
    ----------
    values
        In the order in which they were accepted, of any quantity.
    slope_hz_per_c
        How the magnet follows its temperature.
    """
    usual = abs(slope_hz_per_c) * USUAL_C_PER_H / 3600
    found = [value for value in values if value.quantity is Quantity.LARMOR and len(value.value) == 1][-_NEWEST:]
    rates = []
    for earlier, later in pairwise(found):
        apart_s = later.measured_at_s - earlier.measured_at_s
        if earlier.coil == later.coil and LEAST_APART_S <= apart_s <= _LONGEST_PAIR_S:
            doubt_hz = float(np.nansum([*earlier.sd, *later.sd]))
            rates.append(max(abs(later.value[0] - earlier.value[0]) - doubt_hz, 0.0) / apart_s)
    if len(rates) < _LEAST_PAIRS:
        return max([usual, *rates])
    return max([_STEADIEST * usual, *rates])


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """How often a scan is paused to look at its frequency.

    Attributes
    ----------
    n
        Pauses; 0 for none.
    spacing_s
        From one to the next, on the scan's own clock [s]; infinite for none.
    each_s
        How long one takes: the measurement, and what is played again so that spins are where they would be [s].
    limit_hz
        What the images bear, half of it for a drift that is steady; infinite for a scan that is not looked at.
    """

    n: int = 0
    spacing_s: float = float("inf")
    each_s: float = 0.0
    limit_hz: float = float("inf")

    @property
    def extra_s(self) -> float:
        """By how much longer the scan takes [s]; behind its last line it is measured once more."""
        return self.n * self.each_s + (_MEASURE_S if self.n else 0.0)

    @property
    def text(self) -> str:
        """For the operator, before the scan; empty for none."""
        if not self.n:
            return ""
        times = "once" if self.n == 1 else f"{self.n} times"
        return f"The frequency is looked at {times} in short pauses of the scan, {self.extra_s:.0f} s in all."


NO_LOOKS: Final = LookPlan()


def plan_looks(scan: CompiledScan, rate_hz_per_s: float) -> LookPlan:
    """Looks at even distances, as few as keep a drift of this rate within what the images bear, 60 s apart or more."""
    labels = scan.readouts
    n_navigators = np.count_nonzero((labels.label("NAV") != 0) & (labels.label("REF") == 0))
    limit_hz = tolerance_hz(scan)
    if n_navigators > 1 or not np.isfinite(limit_hz) or not scan.segments:
        return NO_LOOKS
    wanted_s = max(limit_hz / max(rate_hz_per_s, 1e-9), LEAST_APART_S)
    end_s = _end_s(scan)
    n = max(min(int(np.ceil(end_s / wanted_s)), int(end_s // LEAST_APART_S)) - 1, 0)
    plan = LookPlan(limit_hz=limit_hz)
    if n == 0:
        return plan
    starts_s = np.array([segment.start_s for segment in scan.segments])
    repetition_s = float(np.diff(starts_s, append=end_s).max())
    return LookPlan(
        n=n,
        spacing_s=end_s / (n + 1),
        each_s=_MEASURE_S + max(PREPARED_S, repetition_s),
        limit_hz=limit_hz,
    )


def _end_s(scan: CompiledScan) -> float:
    last = scan.segments[-1]
    return last.start_s + last.end_tick / scan.clock_hz


class Looks:
    """Says when the next look is due, in one scan that has begun with a frequency that was measured just before.

    Parameters
    ----------
    scan
        That is about to be played.
    rate_hz_per_s
        Fastest drift that is expected, from ``drift_rate_hz_per_s``.

    Attributes
    ----------
    plan
        As it was before the scan.
    n_looks
        How often the scan was paused for one.
    verified_s
        When it was last known that the frequency is within what the images bear [s], 0 for before the scan.
    """

    def __init__(self, scan: CompiledScan, rate_hz_per_s: float) -> None:
        self.plan = plan_looks(scan, rate_hz_per_s)
        self.verified_s = self._tried_s = 0.0
        self._end_s, self._spacing_s = (_end_s(scan) if scan.segments else 0.0), self.plan.spacing_s
        self.n_looks = 0

    def why(self, time_s: float, *, warmer_hz: float, followed: tuple[float, float] | None) -> str:
        """Why the frequency has to be measured before what is played at this time, in words; empty when it need not be.

        Parameters
        ----------
        time_s
            From the start of the scan.
        warmer_hz
            By how much the magnet's temperature says that it has changed since it was measured; NaN where nobody knows.
        followed
            The same by the scan's own lines, with its deviation, as ``Followed.newest``; None where they do not tell.
        """
        limit_hz = self.plan.limit_hz
        since_s = time_s - max(self.verified_s, self._tried_s)
        if not np.isfinite(limit_hz) or since_s < LEAST_APART_S or self._end_s - time_s < _TOO_LATE_S:
            return ""
        if abs(warmer_hz) > limit_hz:  # false while a temperature is unknown
            return f"the magnet's temperature says {signed(warmer_hz)} Hz, and the scan bears {limit_hz:.0f} Hz"
        if followed is not None and abs(followed[0]) - 2 * followed[1] > limit_hz:
            return f"its lines say {signed(followed[0])} Hz, and the scan bears {limit_hz:.0f} Hz"
        if since_s >= self._spacing_s:
            return f"it was last verified {time_s - self.verified_s:.0f} s ago"
        return ""

    def verify(self, at_s: float, followed: tuple[float, float]) -> None:
        """The scan's own lines of that time may tell that the frequency is within what the images bear."""
        if abs(followed[0]) + 2 * followed[1] < self.plan.limit_hz:
            self.verified_s = max(self.verified_s, at_s)

    def tried(self, time_s: float) -> None:
        """It was looked at, and could not be measured."""
        self._tried_s = time_s

    def measured(self, time_s: float, change_hz: float) -> None:
        """It was measured; where it drifts faster than expected the next look comes sooner."""
        apart_s = time_s - self.verified_s
        self.verified_s = self._tried_s = time_s
        if apart_s > 0 and abs(change_hz) > self.plan.limit_hz:
            self._spacing_s = min(self._spacing_s, max(apart_s * self.plan.limit_hz / abs(change_hz), LEAST_APART_S))

    def is_due_at_end(self, time_s: float) -> bool:
        """Whether to measure behind the last line: where the frequency ends tells how it went since the last look."""
        return self.n_looks > 0 and time_s > max(self.verified_s, self._tried_s)
