# SPDX-License-Identifier: MIT
"""The shim around the pauses between segments.

Between two segments every output is at zero, the shim too. Magnetisation that lives on from one shot to the next turns there
in the field that the shim takes away elsewhere, and meets the next pulse with another phase than behind a rest without a
pause. So a segment holds its shim from its start to its end, and begins with a lobe worth the shim that was missing: behind
it every spin has the phase that it would have with a shim that stays on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.gradients import GradientTracks, interval_ticks
from isocenter.domain.events import GRADIENT_CHANNELS, Segment, Track
from isocenter.domain.scanner import Scanner

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHIM_TICK: Final = 2048
"""At which the shim is switched on, on a channel without offset [ticks]."""
LEAD_TICKS: Final = 6144
"""From a segment's tick 0 to its first event, lobes not counted: time for the console's set-up and the shim [ticks]."""
_AMPLITUDE_SHARE: Final = 0.3  # of a channel's limits: lobes stay gentle also where two pauses add up
_SLEW_SHARE: Final = 0.2
_FEWEST: Final = 3
_LONGER: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ShimLobes:
    """Shim and lobes of one scan.

    Attributes
    ----------
    shim_codes
        Of channels x, y, z.
    offsets
        How far each channel's updates lie from the common ones [ticks].
    step
        From one update of a lobe to the next [ticks].
    weights
        Values of a lobe, 1 at most; empty without a shim.
    end
        The shim is switched off that long before a segment's end, on a channel without offset [ticks].
    """

    shim_codes: tuple[int, int, int]
    offsets: tuple[int, int, int]
    step: int
    weights: Floats
    end: int

    @property
    def lead(self) -> int:
        """From a segment's tick 0 to its first event [ticks]."""
        return LEAD_TICKS + (len(self.weights) + 1) * self.step if len(self.weights) else LEAD_TICKS

    def missing(self, before: Sequence[Segment], start_s: float, clock_hz: float) -> int:
        """For how long the shim is off before a segment that starts then, behind others [ticks]; 0 for the first.

        0 too where there is no shim.
        """
        if not len(self.weights):
            return 0
        for segment in reversed(before):
            if segment.tracks:
                return round((start_s - segment.start_s) * clock_hz) - (segment.end_tick - self.end) + SHIM_TICK
        return 0

    def head(self, channel: int, missing: int) -> tuple[Ints, Ints]:
        """Ticks and codes with which a segment begins: the shim, a lobe worth the shim of ``missing``, the shim again."""
        shim, first = self.shim_codes[channel], SHIM_TICK + self.offsets[channel]
        if not missing:
            return np.array([first]), np.array([shim])
        wanted = shim * missing / (self.weights.sum() * self.step) * self.weights
        lobe = np.diff(np.rint(np.cumsum(wanted)), prepend=0.0).astype(np.int64)  # so that rounding does not add up
        ticks = first + np.arange(len(lobe) + 2) * self.step
        return ticks, np.concatenate([[shim], shim + lobe, [shim]])

    def idle(self, end_tick: int, missing: int) -> dict[str, Track]:
        """Tracks of a segment in which the shim alone is played; none where it has no room or there is no shim."""
        found: dict[str, Track] = {}
        if end_tick < self.lead + self.end:
            return found
        for channel, name in enumerate(GRADIENT_CHANNELS):
            if self.shim_codes[channel]:
                ticks, codes = self.head(channel, missing)
                off = end_tick - self.end + self.offsets[channel]
                found[name] = Track(np.append(ticks, off), np.append(codes, 0).astype(np.int32))
        return found


def plan_lobes(gradients: GradientTracks, scanner: Scanner, offsets: tuple[int, int, int], tail: int) -> ShimLobes:
    """Lobes for the pause that the link needs, as short as is gentle for every channel.

    Parameters
    ----------
    offsets
        How far each channel's updates lie from the common ones [ticks].
    tail
        All outputs are at zero for that long at a segment's end [ticks].
    """
    clock_hz = scanner.console.clock_hz
    step, end = math.ceil(interval_ticks(scanner.gradients, clock_hz)) + 1, tail + max(offsets)
    missing_s = (end + SHIM_TICK) / clock_hz + scanner.console.segment_gap_s
    weights = np.empty(0)
    for shim, per_code, axis in zip(gradients.shim_codes, gradients.t_per_m_per_code, scanner.gradients.axes, strict=True):
        limits = _AMPLITUDE_SHARE * axis.max_t_per_m, _SLEW_SHARE * axis.max_slew_t_per_m_s
        if shim:
            weights = _lengthened(weights, abs(shim * per_code) * missing_s, limits, step / clock_hz)
    return ShimLobes(shim_codes=gradients.shim_codes, offsets=offsets, step=step, weights=weights, end=end)


def _lengthened(weights: Floats, area_t_s_per_m: float, limits: tuple[float, float], step_s: float) -> Floats:
    """The lobe, or a longer one if this area makes it too high or too steep."""
    n = max(len(weights), _FEWEST)
    while True:
        weights = _trapezoid(n)
        peak_t_per_m = area_t_s_per_m / (weights.sum() * step_s)
        if peak_t_per_m <= limits[0] and peak_t_per_m * weights[0] / step_s <= limits[1]:
            return weights
        n = math.ceil(n * _LONGER)


def _trapezoid(n: int) -> Floats:
    """Values of a staircase: a third up, a third down."""
    place, ramp = np.arange(1, n + 1), n // 3 + 1
    return np.minimum(1.0, np.minimum(place, place[::-1]) / ramp)
