# SPDX-License-Identifier: MIT
"""The frequency by the centre of k-space, for radial and spiral scans: every readout passes the same place.

There the phase of the samples turns by the frequency, and by the speed through k-space times the object's centre of mass.
Readouts that pass in many directions, one soon after the other, tell the two apart; those whose directions change slowly do
not, nor do half spokes that begin beside the centre. What cannot be told stays untold. An object that is large and uneven
leaves some 70 Hz in a window, whatever the noise: enough to see a jump, not enough to see a drift of a tenth of a pixel.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import CompiledScan

WINDOW: Final = 21
"""Readouts that are looked at together: with the golden angle so many cover half a turn evenly."""
_REACH_PER_M: Final = 5.0  # one over 0.2 m: within it the signal of a head has about its largest value
_BESIDE: Final = 0.25  # of a step of a readout: so near its nearest sample has to be
_OFF_CENTRE_M: Final = 0.03  # where the centre of mass may lie
_SD_HZ: Final = 60.0  # of one readout, as seen
_UNEVEN_HZ: Final = 65.0  # of a window, as seen with a head on the virtual scanner
_MOST_SD_HZ: Final = 100.0  # of a window that tells anything


@dataclass(frozen=True, slots=True)
class Estimate:
    """Frequency of the magnet from the oscillator in one window of readouts.

    Attributes
    ----------
    frequency_hz, sd_hz
        With what is the same in all windows of one group.
    first, last
        Numbers of its readouts in the scan.
    """

    frequency_hz: float
    sd_hz: float
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Centres:
    """Where readouts pass the centre. Arrays have one entry for each readout of the scan.

    Attributes
    ----------
    low, high
        First and last sample that lie near enough; equal for a readout that passes nowhere near.
    speed_hz_per_m
        Through k-space there, device axes, shape ``(n, 3)``.
    group
        Readouts of one slice and contrast; -1 for those that are not used.
    dwell_s
        Spacing of its samples [s].
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    speed_hz_per_m: NDArray[np.float64]
    group: NDArray[np.int64]
    dwell_s: NDArray[np.float64]


def find_centres(scan: CompiledScan) -> Centres | None:
    """Where the readouts of a scan pass the centre; None when too few do, or in too few directions."""
    readouts, k_per_m = scan.readouts, scan.trajectory_per_m
    imaging = np.flatnonzero((readouts.label("NOISE") == 0) & (readouts.label("NAV") == 0))
    if k_per_m is None or len(imaging) < 2 * WINDOW or k_per_m.shape[0] != len(imaging) or k_per_m.shape[1] < 3:
        return None
    n = len(readouts)
    low, high, group = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    speed, dwell_s = np.zeros((n, 3)), readouts.dwell_ticks / scan.clock_hz
    labels = np.stack([readouts.label(name)[imaging] for name in ("SLC", "SET", "ECO")], axis=1)
    _, groups = np.unique(labels, axis=0, return_inverse=True)
    for row, number, path in zip(imaging.tolist(), groups.ravel().tolist(), k_per_m, strict=True):
        if (span := _near(path)) is not None:
            low[row], high[row] = span
            speed[row] = (path[span[1]] - path[span[0]]) / ((span[1] - span[0]) * dwell_s[row])
            group[row] = number
    centres = Centres(low=low, high=high, speed_hz_per_m=speed, group=group, dwell_s=dwell_s)
    return centres if _tells(centres) else None


def _near(path: NDArray[np.float32]) -> tuple[int, int] | None:
    """First and last of the samples around the one nearest to the centre that are near it, at least one to each side."""
    away = np.linalg.norm(np.nan_to_num(path, nan=np.inf), axis=1)
    centre = int(np.argmin(away))
    if not centre + 1 < len(path) or not np.isfinite(away[centre + 1]):
        return None
    if away[centre] > max(_BESIDE * float(np.linalg.norm(path[centre + 1] - path[centre])), _REACH_PER_M / 10):
        return None
    low, high = max(centre - 1, 0), centre + 1
    while low > 0 and away[low - 1] <= _REACH_PER_M:
        low -= 1
    while high + 1 < len(path) and away[high + 1] <= _REACH_PER_M:
        high += 1
    return low, high


def _tells(centres: Centres) -> bool:
    """Whether two windows of some group tell the frequency well enough."""
    for number in range(int(centres.group.max(initial=-1)) + 1):
        rows = np.flatnonzero(centres.group == number)
        windows = [rows[first : first + WINDOW] for first in range(0, len(rows) - WINDOW + 1, WINDOW)]
        good = [_covariance(centres.speed_hz_per_m[window], _SD_HZ)[0, 0] <= _MOST_SD_HZ**2 for window in windows]
        if sum(good) >= 2 and all(good):
            return True
    return False


def _table(speed_hz_per_m: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.ones((len(speed_hz_per_m), 1)), speed_hz_per_m], axis=1)


def _covariance(speed_hz_per_m: NDArray[np.float64], sd_hz: float) -> NDArray[np.float64]:
    table = _table(speed_hz_per_m)
    prior = np.diag([0.0, *[1 / _OFF_CENTRE_M**2] * 3])
    return np.asarray(np.linalg.inv(table.T @ table / sd_hz**2 + prior), dtype=np.float64)


class CentreWindows:
    """Takes readouts as they come and gives an estimate whenever a window of one group is complete."""

    def __init__(self, centres: Centres) -> None:
        self._centres = centres
        self._pending: dict[int, list[tuple[int, float]]] = {}

    def uses(self, index: int) -> bool:
        """Whether this readout passes the centre."""
        return bool(self._centres.group[index] >= 0)

    def restart(self) -> None:
        """What comes now was measured at another frequency: no window holds readouts from before."""
        self._pending.clear()

    def add(self, index: int, line: NDArray[np.complex64]) -> tuple[int, Estimate] | None:
        """A readout; the group and its estimate when that completes a window which tells something."""
        centres = self._centres
        group = int(centres.group[index])
        part = line[int(centres.low[index]) : int(centres.high[index]) + 1].astype(np.complex128)
        turn = float(np.angle(np.vdot(part[:-1], part[1:])))
        pending = self._pending.setdefault(group, [])
        pending.append((index, turn / (2 * np.pi * float(centres.dwell_s[index]))))
        if len(pending) < WINDOW:
            return None
        self._pending[group] = []
        rows, slopes_hz = np.array([row for row, _ in pending]), np.array([slope for _, slope in pending])
        speed = centres.speed_hz_per_m[rows]
        covariance = _covariance(speed, _SD_HZ)
        table = _table(speed)
        found = covariance @ (table.T @ slopes_hz) / _SD_HZ**2
        spread_hz = float(np.sqrt(np.sum((slopes_hz - table @ found) ** 2) / (WINDOW - 4)))
        formal_hz2 = float(_covariance(speed, max(spread_hz, _SD_HZ / 4))[0, 0])
        if formal_hz2 > _MOST_SD_HZ**2:
            return None
        sd_hz = float(np.sqrt(formal_hz2 + _UNEVEN_HZ**2))
        return group, Estimate(float(found[0]), sd_hz, int(rows[0]), int(rows[-1]))
