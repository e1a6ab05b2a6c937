# SPDX-License-Identifier: MIT
"""The smallest change with which a refused scan would pass: each is found by trying it, rounded as it is told."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from isocenter.compiler.check.dose import Windows
from isocenter.compiler.check.report import Advice
from isocenter.compiler.check.rf import Transmission
from isocenter.compiler.check.timeline import Ints, Timeline
from isocenter.domain.events import CompiledScan
from isocenter.domain.exposure_history import HORIZON_S, ExposureHistory
from isocenter.domain.units import GAMMA_RAD_PER_S_T

Worst: TypeAlias = Callable[[Windows], float]
"""Largest share of the limits in question that a scan would reach."""

_LONGEST_WAIT_S: Final = HORIZON_S
_LONGEST_TR: Final = 50.0  # times the present one; beyond that it is another sequence
_MARGIN: Final = 0.999  # ramps and bins: what is played again is not the same to the last digit


def smallest(passes: Callable[[float], bool], low: float, high: float, step: float) -> float | None:
    """Smallest multiple of ``step`` above ``low`` that passes, where all beyond it pass too; None if none up to ``high``."""
    if not passes(high):
        return None
    below, above = math.floor(low / step), math.ceil(high / step)
    while above - below > 1:
        middle = (below + above) // 2
        if passes(middle * step):
            above = middle
        else:
            below = middle
    return above * step


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisor:
    """Tries changes on one scan.

    Attributes
    ----------
    scan, timeline, pulses
        What was compiled.
    windows
        The scan as it is now, with its history.
    """

    scan: CompiledScan
    timeline: Timeline
    pulses: Transmission
    windows: Windows

    def for_rf(self, worst: Worst, *, is_flip_enough: bool) -> tuple[Advice, ...]:
        """Changes for SAR, B1+rms and duty.

        Parameters
        ----------
        is_flip_enough
            False where lower flip angles change nothing, as for duty.
        """
        options = [self._wait(worst), self._tr(worst), self._flip(worst) if is_flip_enough else None, self._slices(worst)]
        return tuple(option for option in options if option is not None)

    def for_heat(self, worst: Worst) -> tuple[Advice, ...]:
        """Changes for current over a minute and for temperature."""
        options = [self._wait(worst), self._tr(worst), self._amplitude(worst)]
        return tuple(option for option in options if option is not None)

    def _wait(self, worst: Worst) -> Advice | None:
        windows = self.windows
        alone = replace(windows, history=ExposureHistory(clock=windows.history.clock))
        if not len(windows.history.start_s) or worst(alone) > 1:
            return None
        origin = max(windows.starts_s, float((windows.history.start_s + windows.history.length_s).max()))

        def passes(wait_s: float) -> bool:
            return worst(replace(windows, starts_s=origin + wait_s)) <= 1

        wait_s = smallest(passes, 0.0, _LONGEST_WAIT_S, 1.0)
        if wait_s is None:
            return None
        wait_s += origin - windows.starts_s
        return Advice(kind="wait", advised=wait_s, text=f"wait {_duration(math.ceil(wait_s))}")

    def _tr(self, worst: Worst) -> Advice | None:
        tr_s = self.scan.facts.tr_s
        if not tr_s > 0:
            return None

        def passes(longer_s: float) -> bool:
            return worst(replace(self.windows, planned=self.windows.planned.stretched(tr_s, longer_s))) <= _MARGIN

        start_s = math.ceil(tr_s * 1e3 - 1e-6) * 1e-3 - tr_s
        longer_s = smallest(lambda more: passes(start_s + more), -1e-3, _LONGEST_TR * tr_s, 1e-3)
        if longer_s is None:
            return None
        new_s = tr_s + start_s + longer_s
        return Advice(kind="tr", advised=new_s, text=f"lengthen TR to at least {new_s * 1e3:.0f} ms")

    def _flip(self, worst: Worst) -> Advice | None:
        def passes(lower: float) -> bool:
            return worst(replace(self.windows, planned=self.windows.planned.scaled(1 - lower))) <= _MARGIN

        lower = smallest(passes, 0.0, 0.95, 0.01)
        if lower is None:
            return None
        factor = round(1 - lower, 2)
        text = f"lower all flip angles to {factor * 100:.0f} % of what they are"
        flip_rad = self._strongest_flip_rad()
        if math.isfinite(flip_rad):
            degrees = math.degrees(flip_rad)
            text += f" ({degrees:.0f}° to {math.floor(degrees * factor):.0f}°)"
        return Advice(kind="flip", advised=factor, text=text)

    def _slices(self, worst: Worst) -> Advice | None:
        readouts, pulses = self.scan.readouts, self.pulses
        labels = readouts.label("SLC")
        n_slices = len(np.unique(labels))
        if n_slices < 2:
            return None
        segment_start = self.timeline.start_ticks[self.scan.segment_of_readout]
        following = np.searchsorted(readouts.window_tick + segment_start, pulses.starts)
        of_pulse = labels[np.minimum(following, len(labels) - 1)]

        def passes(fewer: float) -> bool:
            planned = self.windows.planned.kept(of_pulse < n_slices - round(fewer))
            return worst(replace(self.windows, planned=planned)) <= _MARGIN

        fewer = smallest(passes, 0, n_slices - 1, 1)
        if fewer is None:
            return None
        left = n_slices - round(fewer)
        return Advice(kind="slices", advised=left, text=f"take {left} of the {n_slices} slices with the same TR")

    def _amplitude(self, worst: Worst) -> Advice | None:
        """Gradients a little lower over the same shim; a larger field of view does that."""

        def passes(lower: float) -> bool:
            planned = self.windows.planned.weakened(1 - lower)
            return worst(replace(self.windows, planned=planned)) <= _MARGIN

        lower = smallest(passes, 0.0, 0.95, 0.01)
        if lower is None:
            return None
        text = f"enlarge field of view and voxels {1 / (1 - lower):.2f} times"
        return Advice(kind="amplitude", advised=round(1 - lower, 2), text=text)

    def _strongest_flip_rad(self) -> float:
        """Flip angle of the pulse with the most energy; NaN where its phase turns, so that a sum says nothing."""
        gate_starts, gate_ends = self.timeline.lines["tx_gate"].intervals()
        place = int(np.argmax(self.pulses.energy))
        gate = int(np.searchsorted(gate_starts, self.pulses.starts[place], side="right")) - 1
        if gate < 0 or gate_ends[gate] < self.pulses.ends[place]:
            return math.nan
        ticks = _changes(self.timeline, int(gate_starts[gate]), int(gate_ends[gate]))
        i, q = self.timeline.lines["tx0_i"].at(ticks[:-1]), self.timeline.lines["tx0_q"].at(ticks[:-1])
        area = (i + 1j * q) * np.diff(ticks)
        if not abs(np.sum((i + 1j * q) * area)) > 0.999 * np.sum(np.abs(i + 1j * q) * np.abs(area)):
            return math.nan
        return float(GAMMA_RAD_PER_S_T * self.scan.tx_t_per_code * abs(area.sum()) / self.timeline.clock_hz)


def _changes(timeline: Timeline, start: int, end: int) -> Ints:
    """Ticks at which the transmitter changes between two ticks, with both of these."""
    ticks = np.concatenate([timeline.lines[name].ticks for name in ("tx0_i", "tx0_q")])
    return np.union1d(ticks[(ticks > start) & (ticks < end)], [start, end])


def _duration(seconds: int) -> str:
    """Such as ``1 min 40 s``."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes and rest else f"{minutes} min" if minutes else f"{rest} s"


def longer_ramps(fraction_if: Callable[[float], float], now: float) -> tuple[Advice, ...]:
    """How much longer all ramps must be, and how much lower all gradients.

    Parameters
    ----------
    fraction_if
        Share of the limit with ramps this many times as long.
    now
        Share of it now; it goes with the amplitude.
    """
    factor = smallest(lambda longer: fraction_if(longer) <= _MARGIN, 1.0, 100.0, 0.01)
    ramps = (
        () if factor is None else (Advice(kind="ramps", advised=factor, text=f"make all ramps {factor:.2f} times as long"),)
    )
    lower = math.floor(100 * _MARGIN / now) / 100
    return (
        *ramps,
        Advice(kind="amplitude", advised=lower, text=f"lower all gradients to {lower * 100:.0f} %, with a larger voxel"),
    )
