# SPDX-License-Identifier: MIT
"""What patient and hardware were exposed to: the history of one scanner, whoever lay in it.

All times are of a *steady* clock, one that nobody can set (``time.monotonic``, or the clock of a virtual scanner): the clock
on the wall may jump, and heat does not.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from isocenter.domain.errors import StorageError
from isocenter.domain.exposure import BIN_S, N_QUANTITIES, Floats, PlannedDose, Quantity

HORIZON_S: Final = 4 * 3600.0
"""So long a history is kept: coils of gradients cool with time constants of up to an hour [s]."""
_FINE_S: Final = 400.0
_LARGEST: Final = 1e9
_ROUNDING_S: Final = 0.05  # of times in a record, at 9 digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """What was played, in short stretches; one line of the file that keeps a history.

    Attributes
    ----------
    clock
        Name of the steady clock: two doses with the same name may be compared in time.
    start_s, length_s
        Of each stretch, in order [s], shape ``(n,)``.
    values
        Integrals over each, shape ``(n, N_QUANTITIES)``, columns as ``Quantity``.
    """

    clock: str
    start_s: Floats
    length_s: Floats
    values: Floats

    @property
    def end_s(self) -> float:
        """When the last stretch ends [s]; minus infinity for none."""
        return float((self.start_s + self.length_s).max()) if len(self.start_s) else -math.inf

    def to_record(self) -> dict[str, Any]:
        """As numbers and lists, one line of JSON."""
        rows = np.column_stack([self.start_s, self.length_s, self.values]).tolist()
        return {"clock": self.clock, "rows": [[float(f"{number:.9g}") for number in row] for row in rows]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Dose":
        """The dose of a record.

        Raises
        ------
        StorageError
            It is none. A history with a hole must not pass for an empty one.
        """
        try:
            rows = np.array(record["rows"], dtype=np.float64).reshape(-1, 2 + N_QUANTITIES)
            clock = record["clock"]
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from None
        good = np.all(np.isfinite(rows)) and np.all(np.abs(rows) < _LARGEST) and np.all(rows[:, 1:] >= 0)
        if not isinstance(clock, str) or not clock or not good or np.any(np.diff(rows[:, 0]) < 0):
            raise _unreadable("its numbers cannot be")
        return cls(clock=clock, start_s=rows[:, 0].copy(), length_s=rows[:, 1].copy(), values=rows[:, 2:].copy())


def _unreadable(why: str) -> StorageError:
    return StorageError(
        f"A record of what was scanned in the last hours cannot be read ({why}), so RF and heat cannot be added up.",
        "Leave the scanner without a scan for one hour, then delete the damaged history of exposures and scan again.",
    )


def _nothing() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureHistory:
    """What was played on one scanner, whoever lay in it.

    Not kept by patient: someone may be registered twice, and what a coil has seen does not care. All times are of the
    steady clock ``clock``; attributes as in ``Dose``.
    """

    clock: str
    start_s: Floats = field(default_factory=_nothing)
    length_s: Floats = field(default_factory=_nothing)
    values: Floats = field(default_factory=lambda: np.zeros((0, N_QUANTITIES)))

    def dose(self, planned: PlannedDose, segment: int, at_s: float) -> Dose:
        """What one segment of a scan does when it starts at ``at_s``. Write it down before the segment is played."""
        start_s, end_s = float(planned.segment_start_s[segment]), float(planned.segment_end_s[segment])
        values = planned.bins(start_s, end_s)
        starts: Floats = at_s + np.arange(len(values), dtype=np.float64) * BIN_S
        lengths = np.clip(at_s + end_s - start_s - starts, 1e-6, BIN_S)
        return Dose(clock=self.clock, start_s=starts, length_s=lengths, values=values)

    def with_dose(self, dose: Dose) -> "ExposureHistory":
        """The history and one more dose of the same clock. Old stretches are put together, very old ones left out."""
        if dose.clock != self.clock:
            raise ValueError(f"a dose of clock {dose.clock} in a history of clock {self.clock}")
        start = np.concatenate([self.start_s, dose.start_s])
        length = np.concatenate([self.length_s, dose.length_s])
        values = np.concatenate([self.values, dose.values])
        order = np.argsort(start, kind="stable")
        return _condensed(self.clock, start[order], length[order], values[order])

    def with_segment(self, planned: PlannedDose, segment: int, at_s: float) -> "ExposureHistory":
        """The history after one more segment, started at ``at_s``."""
        return self.with_dose(self.dose(planned, segment, at_s))

    def to_records(self) -> list[dict[str, Any]]:
        """All of it as one short list of records."""
        if not len(self.start_s):
            return []
        return [Dose(clock=self.clock, start_s=self.start_s, length_s=self.length_s, values=self.values).to_record()]

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], clock: str, now_s: float) -> "ExposureHistory":
        """The history of a program that starts now.

        What ran on the same steady clock is as long ago as that clock says. Of anything else nobody knows how long ago it
        was, since a computer's clock may have been wrong then or now: all of one clock counts as if it had ended when what
        follows it began, the last one this moment. A dose that seems to lie in the future counts as ended now, too.

        Raises
        ------
        StorageError
            A record cannot be read.
        """
        doses = [dose for dose in map(Dose.from_record, records) if len(dose.start_s)]
        starts: list[Floats] = []
        later, shift, at_s = clock, 0.0, now_s
        for dose in reversed(doses):
            if dose.clock == clock:
                shift = min(0.0, at_s - dose.end_s)
            elif dose.clock != later or dose.end_s + shift > at_s + _ROUNDING_S:
                shift = at_s - dose.end_s
            later = dose.clock
            starts.append(dose.start_s + shift)
            at_s = float(starts[-1][0])
        if not doses:
            return cls(clock=clock)
        length = np.concatenate([dose.length_s for dose in doses])
        values = np.concatenate([dose.values for dose in doses])
        return _condensed(clock, np.concatenate(starts[::-1]), length, values)

    def total(self, quantity: Quantity, start_s: float, end_s: float) -> float:
        """Integral of one quantity from ``start_s`` to ``end_s``; a stretch that lies there in part counts in part."""
        overlap = np.minimum(self.start_s + self.length_s, end_s) - np.maximum(self.start_s, start_s)
        share = np.clip(overlap / np.maximum(self.length_s, 1e-9), 0.0, 1.0)
        return float(np.sum(self.values[:, quantity] * share))

    def decayed(self, quantity: Quantity, time_constant_s: float, now_s: float) -> float:
        """Integral of one quantity until now, where what came earlier has died out with a time constant.

        Each stretch counts as if it had come at its end; one that is under way counts as far as it is.
        """
        ends = np.minimum(self.start_s + self.length_s, now_s)
        share = np.clip((ends - self.start_s) / np.maximum(self.length_s, 1e-9), 0.0, 1.0)
        return float(np.sum(self.values[:, quantity] * share * np.exp(-(now_s - ends) / time_constant_s)))

    def mean(self, quantity: Quantity, window_s: float, now_s: float) -> float:
        """Mean of one quantity over the window that ends now."""
        return self.total(quantity, now_s - window_s, now_s) / window_s


def _condensed(clock: str, start: Floats, length: Floats, values: Floats) -> ExposureHistory:
    """Stretches older than the longest window of SAR become minutes, those older than the horizon go."""
    end = float((start + length).max(initial=-math.inf))
    is_kept = start + length > end - HORIZON_S
    start, length, values = start[is_kept], length[is_kept], values[is_kept]
    is_old = start + length < end - _FINE_S - 60.0
    if np.count_nonzero(is_old) > 1000:
        minute = np.floor(start[is_old] / 60.0)
        firsts = np.flatnonzero(np.diff(minute, prepend=-math.inf))
        ends = np.maximum.reduceat((start + length)[is_old], firsts)
        merged = start[is_old][firsts]
        start = np.concatenate([merged, start[~is_old]])
        length = np.concatenate([ends - merged, length[~is_old]])
        values = np.concatenate([np.add.reduceat(values[is_old], firsts, axis=0), values[~is_old]])
    return ExposureHistory(clock=clock, start_s=start, length_s=length, values=values)
