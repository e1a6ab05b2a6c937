# SPDX-License-Identifier: MIT
"""How much a patient and the hardware are exposed to, and what a compiled scan would add: ``PlannedDose``.

What was really played is in ``exposure_history``.
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BIN_S: Final = 0.1
"""Within so long a history does not know when something happened [s]: at most 1 % of the shortest window across scans."""


_SHOWN: Final = {"T": ("uT", 1e6), "T/m": ("mT/m", 1e3), "": ("%", 1e2)}


class Label(StrEnum):
    """How an exposure is known."""

    MEASURED = "measured"
    MODEL = "model"
    BOUND = "bound"
    """The truth is at most this."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One quantity against its limit.

    Attributes
    ----------
    name
        Such as ``head SAR``.
    value, limit
        In ``unit``. Value NaN: unknown. Limit NaN: none is set.
    unit
        SI; empty for fractions.
    window_s
        Over how long it is averaged, the worst window [s]; 0 for a peak.
    label
        How it is known.
    note
        Why it is unknown or only a bound, one sentence; may be empty.
    """

    name: str
    value: float
    limit: float
    unit: str
    window_s: float
    label: Label
    note: str = ""

    @property
    def fraction(self) -> float:
        """Share of the limit; NaN when that is unknown, 0 when there is no limit."""
        if self.label is Label.UNKNOWN or math.isnan(self.value):
            return math.nan
        return 0.0 if math.isnan(self.limit) else self.value / self.limit

    @property
    def is_within(self) -> bool:
        """True only when it is known to be within its limit."""
        return self.fraction <= 1.0

    @property
    def shown(self) -> tuple[float, float, str]:
        """Value and limit in the unit that a person reads, and that unit, such as microtesla or percent."""
        unit, factor = _SHOWN.get(self.unit, (self.unit, 1.0))
        return self.value * factor, self.limit * factor, unit

    def to_record(self) -> dict[str, str | float | None]:
        """As JSON can hold it: what is unknown, or has no limit, is null."""
        numbers = {"value": self.value, "limit": self.limit, "fraction": self.fraction}
        known = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        texts = {"name": self.name, "unit": self.unit, "label": self.label.value, "note": self.note}
        return {**texts, **known, "window_s": self.window_s}

    @property
    def title(self) -> str:
        """Name with its window, such as ``head SAR in 6 min``."""
        if not self.window_s:
            return self.name
        over = f"{self.window_s / 60:g} min" if self.window_s >= 60 else f"{self.window_s:g} s"
        return f"{self.name} in {over}"


class Quantity(IntEnum):
    """Columns of ``Dose.values``: integrals over a bin."""

    DRIVE_S = 0
    """Square of the transmitter's magnitude over full scale [s]."""
    B1_T2_S = 1
    """Square of B1+ [T² s]."""
    RF_ON_S = 2
    """Time with RF [s]."""
    GX_SQUARE = 3
    """Square of the gradient of channel x [T² s/m²]; y and z follow."""
    GY_SQUARE = 4
    GZ_SQUARE = 5
    GX_SIZE = 6
    """Magnitude of the gradient of channel x [T s/m]; y and z follow."""
    GY_SIZE = 7
    GZ_SIZE = 8


N_QUANTITIES: Final = len(Quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDose:
    """What a compiled scan would do, from its first tick on.

    Attributes
    ----------
    duration_s
        Of the whole scan [s].
    pulse_start_s, pulse_end_s
        Of every stretch with RF [s], shape ``(n,)``.
    pulse_drive_s
        Integral of its magnitude squared over full scale squared [s], shape ``(n,)``.
    b1_full_t
        B1+ at full scale [T].
    edge_s
        Edges of the bins in which gradients are known [s], shape ``(n_bins + 1,)``: at the start and end of each segment,
        and at most ``BIN_S`` apart within.
    gradient
        Integrals over these bins, shape ``(6, n_bins)``: square of x, y, z [T² s/m²], magnitude of x, y, z [T s/m].
    shim_t_per_m
        What flows while nothing else does.
    segment_start_s, segment_end_s
        Of each segment [s].
    """

    duration_s: float
    pulse_start_s: Floats
    pulse_end_s: Floats
    pulse_drive_s: Floats
    b1_full_t: float
    edge_s: Floats
    gradient: Floats
    shim_t_per_m: tuple[float, float, float]
    segment_start_s: Floats
    segment_end_s: Floats

    def scaled(self, factor: float) -> "PlannedDose":
        """The same scan with all flip angles times ``factor``."""
        return replace(self, pulse_drive_s=self.pulse_drive_s * factor**2)

    def weakened(self, factor: float) -> "PlannedDose":
        """The same scan with all gradients times ``factor``, below 1, and the same shim: at most what it then is."""
        shim, lengths = np.abs(np.array(self.shim_t_per_m))[:, None], np.maximum(np.diff(self.edge_s), 1e-12)
        rms = factor * np.sqrt(self.gradient[:3] / lengths) + (1 - factor) * shim
        size = factor * self.gradient[3:] + (1 - factor) * shim * lengths
        return replace(self, gradient=np.concatenate([rms**2 * lengths, size]))

    def kept(self, is_kept: NDArray[np.bool_]) -> "PlannedDose":
        """The same scan without some of its pulses."""
        return replace(
            self,
            pulse_start_s=self.pulse_start_s[is_kept],
            pulse_end_s=self.pulse_end_s[is_kept],
            pulse_drive_s=self.pulse_drive_s[is_kept],
        )

    def stretched(self, tr_s: float, longer_s: float) -> "PlannedDose":
        """The same scan with a longer TR: each repetition is followed by a pause of ``longer_s``.

        Repetitions are counted from the first pulse of each segment, and for gradients from its start. Where a repetition is
        not much longer than a bin, gradients are thinned evenly. The shim flows in the pauses as well.
        """
        segment = self._segment_at(self.pulse_start_s)
        firsts = np.searchsorted(segment, np.arange(len(self.segment_start_s)))
        origin = self.pulse_start_s[np.minimum(firsts[segment], len(segment) - 1)] if len(segment) else self.pulse_start_s
        number = np.floor((self.pulse_start_s - origin) / tr_s + 1e-6)
        n_repetitions = np.maximum(np.round((self.segment_end_s - self.segment_start_s) / tr_s), 1.0)
        before = np.concatenate(([0.0], np.cumsum(n_repetitions)))
        shift = (number + before[segment]) * longer_s
        duration_s = self.duration_s + before[-1] * longer_s
        edges = self.edge_s
        if tr_s > 3 * BIN_S:
            owner = self._segment_at(edges[:-1])
            turn = np.floor((edges[:-1] - self.segment_start_s[owner]) / tr_s + 1e-6)
            shifts = (np.clip(turn, 0, n_repetitions[owner]) + before[owner]) * longer_s
            starts, ends = edges[:-1] + shifts, edges[1:] + shifts
        else:
            starts, ends = (edge * (duration_s / self.duration_s) for edge in (edges[:-1], edges[1:]))
        grid = np.minimum(np.arange(math.ceil(duration_s / BIN_S - 1e-9) + 1) * BIN_S, duration_s)
        return replace(
            self,
            duration_s=duration_s,
            pulse_start_s=self.pulse_start_s + shift,
            pulse_end_s=self.pulse_end_s + shift,
            edge_s=grid,
            gradient=self._moved(starts, ends, grid, before[-1] * longer_s),
            segment_start_s=self.segment_start_s + before[:-1] * longer_s,
            segment_end_s=self.segment_end_s + before[1:] * longer_s,
        )

    def _segment_at(self, times_s: Floats) -> NDArray[np.int64]:
        """Number of the segment that plays at some times, or did last."""
        return np.maximum(np.searchsorted(self.segment_start_s, times_s, side="right") - 1, 0)

    def _moved(self, starts: Floats, ends: Floats, edges: Floats, pause_s: float) -> Floats:
        """The gradients of bins moved to other times, in other bins, with the shim in a pause that is spread over all."""
        shim = np.abs(np.array(self.shim_t_per_m))
        idle = np.concatenate([shim**2, shim])[:, None] * (pause_s / edges[-1] * np.diff(edges))
        moved: Floats = np.array([np.diff(running_total(starts, ends, row, edges)) for row in self.gradient]) + idle
        return moved

    def bins(self, start_s: float, end_s: float) -> Floats:
        """Integrals over bins from ``start_s`` to ``end_s`` of the scan [s], shape ``(n_bins, N_QUANTITIES)``.

        The last bin may reach over the end, but holds nothing from behind it.
        """
        n_bins = max(math.ceil((end_s - start_s) / BIN_S - 1e-9), 1)
        edges = np.minimum(start_s + np.arange(n_bins + 1) * BIN_S, end_s)
        out = np.zeros((n_bins, N_QUANTITIES))
        if end_s <= start_s:
            return out
        drive = np.diff(running_total(self.pulse_start_s, self.pulse_end_s, self.pulse_drive_s, edges))
        out[:, Quantity.DRIVE_S] = drive
        out[:, Quantity.B1_T2_S] = drive * self.b1_full_t**2
        on_s = self.pulse_end_s - self.pulse_start_s
        out[:, Quantity.RF_ON_S] = np.diff(running_total(self.pulse_start_s, self.pulse_end_s, on_s, edges))
        for row in range(6):
            area = np.concatenate(([0.0], np.cumsum(self.gradient[row])))
            out[:, Quantity.GX_SQUARE + row] = np.diff(np.interp(edges, self.edge_s, area))
        return out


def running_total(starts: Floats, ends: Floats, amounts: Floats, at: Floats) -> Floats:
    """How much has come by given times; each amount comes evenly between its start and its end, one after the other."""
    if not len(starts):
        return np.zeros(len(at))
    area = np.repeat(np.concatenate(([0.0], np.cumsum(amounts))), 2)[1:-1]
    come: Floats = np.interp(at, np.column_stack([starts, ends]).reshape(-1), area)
    return come
