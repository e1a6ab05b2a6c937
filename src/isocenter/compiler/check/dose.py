# SPDX-License-Identifier: MIT
"""What a compiled scan would do to patient and hardware, and its worst windows together with what was played before."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.compiler.check.rf import Transmission
from isocenter.compiler.check.timeline import Timeline
from isocenter.compiler.pulseq.model import Floats
from isocenter.domain.events import GRADIENT_CHANNELS, TX_FULL_SCALE, CompiledScan
from isocenter.domain.exposure import BIN_S, PlannedDose, Quantity, running_total
from isocenter.domain.exposure_history import ExposureHistory

_RF: Final = (Quantity.DRIVE_S, Quantity.B1_T2_S, Quantity.RF_ON_S)


def plan_dose(scan: CompiledScan, timeline: Timeline, pulses: Transmission) -> PlannedDose:
    """What a scan would do, from its tables."""
    from isocenter.compiler.check.dose_loops import binned

    clock_hz = timeline.clock_hz
    end = int(timeline.end_ticks[-1])
    edges = _edges(timeline)
    gradient = np.zeros((6, len(edges) - 1))
    for number, name in enumerate(GRADIENT_CHANNELS):
        line, per_code = timeline.lines[name], abs(scan.gradient_t_per_m_per_code[number])
        square, size = binned(line.ticks, line.values, edges)
        gradient[number], gradient[3 + number] = square * (per_code**2 / clock_hz), size * (per_code / clock_hz)
    shims = np.array([segment.shim_codes for segment in scan.segments])
    x, y, z = (np.abs(shims).max(axis=0) * np.abs(scan.gradient_t_per_m_per_code)).tolist()
    return PlannedDose(
        duration_s=end / clock_hz,
        pulse_start_s=pulses.starts / clock_hz,
        pulse_end_s=pulses.ends / clock_hz,
        pulse_drive_s=pulses.energy / (clock_hz * float(TX_FULL_SCALE) ** 2),
        b1_full_t=scan.tx_t_per_code * TX_FULL_SCALE,
        edge_s=edges / clock_hz,
        gradient=gradient,
        shim_t_per_m=(x, y, z),
        segment_start_s=timeline.start_ticks / clock_hz,
        segment_end_s=timeline.end_ticks / clock_hz,
    )


def _edges(timeline: Timeline) -> Floats:
    """Edges of bins that begin anew with each segment [ticks]."""
    step = BIN_S * timeline.clock_hz
    parts = [
        np.append(np.arange(start, end, step, dtype=np.float64), end)
        for start, end in zip(timeline.start_ticks.tolist(), timeline.end_ticks.tolist(), strict=True)
    ]
    return np.unique(np.concatenate([[0.0], *parts]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A planned scan behind what was played before; both on the scan's own time, its start is 0.

    Attributes
    ----------
    planned, history
        Which scan, after what.
    starts_s
        When the scan starts, on the clock of the history [s]. What is played then still counts as ended.
    """

    planned: PlannedDose
    history: ExposureHistory
    starts_s: float

    def mean(self, quantity: Quantity, window_s: float) -> float:
        """Largest mean of a quantity over any window that ends within the scan, or just after it."""
        return self._worst(*self._stretches(quantity), window_s, self.planned.duration_s + window_s)

    def mean_across(self, quantity: Quantity, window_s: float) -> float:
        """The same over windows that begin before the scan."""
        return self._worst(*self._stretches(quantity), window_s, window_s) if len(self.history.start_s) else 0.0

    def stage_w(self, channel: int, a_per_t_per_m: float, resistance_ohm: float, supply_v: float, window_s: float) -> float:
        """Largest mean of the heat in a linear output stage, ``(V - |I| R) |I|`` [W]."""
        starts, ends, size = self._stretches(Quantity(Quantity.GX_SIZE + channel))
        square = self._stretches(Quantity(Quantity.GX_SQUARE + channel))[2]
        heat = supply_v * a_per_t_per_m * size - resistance_ohm * a_per_t_per_m**2 * square
        return self._worst(starts, ends, np.maximum(heat, 0.0), window_s, self.planned.duration_s + window_s)

    def rise_k(self, channel: int, power_per_square: float, rise_k_per_w: float, time_constant_s: float) -> float:
        """Largest rise of a coil's temperature during the scan [K], at most one bin's share too high.

        Each bin's heat comes as a whole at its end, so that the true rise is never higher.
        """
        starts, ends, square = self._stretches(Quantity(Quantity.GX_SQUARE + channel))
        kicks = square * (power_per_square * rise_k_per_w / time_constant_s)
        rise, largest, before = 0.0, 0.0, -math.inf
        for start, end, kick in zip(starts.tolist(), ends.tolist(), kicks.tolist(), strict=True):
            rise *= math.exp(-(max(end, before) - before) / time_constant_s) if before > -math.inf else 0.0
            rise += kick
            before = end
            if end > 0:
                largest = max(largest, rise)
            elif start <= 0:  # what is left when the scan starts
                largest = rise * math.exp(end / time_constant_s)
        return largest

    def _stretches(self, quantity: Quantity) -> tuple[Floats, Floats, Floats]:
        """Starts, ends and amounts, one after the other."""
        old, planned = self.history, self.planned
        ends = old.start_s + old.length_s
        origin = max(self.starts_s, float(ends.max(initial=-math.inf)))
        clipped = np.minimum(ends, np.append(old.start_s[1:], math.inf)[: len(ends)])
        before = (old.start_s - origin, clipped - origin, old.values[:, quantity])
        if quantity in _RF:
            amounts = {
                Quantity.DRIVE_S: planned.pulse_drive_s,
                Quantity.B1_T2_S: planned.pulse_drive_s * planned.b1_full_t**2,
                Quantity.RF_ON_S: planned.pulse_end_s - planned.pulse_start_s,
            }[quantity]
            now = (planned.pulse_start_s, planned.pulse_end_s, amounts)
        else:
            now = (planned.edge_s[:-1], planned.edge_s[1:], planned.gradient[quantity - Quantity.GX_SQUARE])
        return (
            np.concatenate([before[0], now[0]]),
            np.concatenate([before[1], now[1]]),
            np.concatenate([before[2], now[2]]),
        )

    @staticmethod
    def _worst(starts: Floats, ends: Floats, amounts: Floats, window_s: float, until_s: float) -> float:
        """Largest mean over windows that end from 0 to ``until_s``; that is at an edge of a stretch, or one window later."""
        edges = np.concatenate([starts, ends])
        stops = np.concatenate([edges, edges + window_s, [0.0]])
        stops = stops[(stops >= 0) & (stops <= until_s)]
        totals = running_total(starts, ends, amounts, stops) - running_total(starts, ends, amounts, stops - window_s)
        return float(totals.max(initial=0.0)) / window_s
