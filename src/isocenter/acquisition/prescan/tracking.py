# SPDX-License-Identifier: MIT
"""The magnet's frequency followed while a long scan runs, from what it measures anyway.

Navigators tell best: each is compared with the first. A scan without them tells too, less surely: lines that are measured
more than once, and pairs of lines at opposite places of k-space, of which one is the other's mirror image in spin echoes
(complex conjugate, reversed in time), whatever lies in the scanner, as long as it does not move; and in radial and spiral
scans the centre of k-space, which readouts of many directions pass one after the other (``tracking_centre``).

What is found is a difference of frequencies between two moments. What drifts slowly is taken out by the reconstruction's
drift step, exactly, as long as it stays within the band of the readout; so the oscillator stays. What drifts farther than
the limit displaces slices and cannot be mended afterwards: then somebody is told, the scan pauses, and goes on with the
oscillator at a frequency that was measured anew. Lines from before and after that are compared as they are, each at its
own oscillator: what counts is how far the magnet is from it.

Source
------
Reference domain.md 2, step 13 (navigators, slope of the phase), 4.5 (jump of more than 500 Hz). Conjugate symmetry of the
Fourier transform of a real object.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.tracking_centre import CentreWindows, Estimate, find_centres
from isocenter.acquisition.prescan.tracking_pairs import NOBODY, Pairs, find_pairs
from isocenter.domain.errors import StorageError
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.units import signed
from isocenter.recon.correct.drift import Differences, compare_readouts
from isocenter.recon.receive import Samples

JUMP_HZ: Final = 500.0
_PART_OF_BAND: Final = 0.1  # in a narrow band less is too much already
_RECENT: Final = 5  # comparisons that are looked at together
_ENOUGH: Final = 3  # of them must agree
_SURE: Final = 0.2  # of the limit; what is less certain does not count
_SURE_CENTRE: Final = 0.3  # of windows of readouts, three of which are some seconds of a scan
_USUAL_HZ: Final = 2000.0  # of what a magnet does in one scan; what is measured soon outweighs it
_BEND_HZ: Final = 500.0
_CONSISTENT: Final = 3.0
_FOR_A_BEND: Final = 12
_SD_FACTOR: Final = 1.6
"""Errors of comparisons over their formal deviation, as seen on the virtual scanner: readouts are not quite alike."""
_FLOOR_HZ: Final = 2.0
_STEADY: Final = 0.25  # of the limit
_ALIKE: Final = 0.8
"""Least correlation of two lines; less when something moved, or they are no mirror images, or there is only noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyJump:
    """The frequency has left what a scan can bear.

    Attributes
    ----------
    change_hz
        Between two moments of the scan.
    time_s
        Of the readout that showed it, from the start of the scan.
    limit_hz
        That was passed.
    may_be_motion
        True when the readouts that show it are encoded: a patient who moved along their direction looks the same.
    sure_until
        All readouts before this one were measured within the limit, as far as anybody can tell.
    """

    change_hz: float
    time_s: float
    limit_hz: float
    may_be_motion: bool
    sure_until: int = 0

    @property
    def text(self) -> str:
        """For the operator and the journal."""
        said = f"{signed(self.change_hz)} Hz after {self.time_s:.0f} s, the limit is {self.limit_hz:.0f} Hz"
        return f"{said}; or the patient has moved" if self.may_be_motion else said

    def is_rather_motion(self, warmer_c: float, slope_hz_per_c: float) -> bool:
        """True when the magnet's temperature says that its frequency has hardly changed: then the patient moved.

        Parameters
        ----------
        warmer_c
            Than when the frequency was measured; NaN without a sensor, which tells nothing.
        slope_hz_per_c
            How the magnet follows its temperature.
        """
        return self.may_be_motion and abs(slope_hz_per_c * warmer_c) < _STEADY * self.limit_hz


@dataclass(frozen=True, slots=True)
class Followed:
    """Frequency since the start of a scan, as far as it was measured: a polynomial of the part of the scan.

    Attributes
    ----------
    coefficients_hz, covariance_hz2
        Of powers 1, 2 ... of the time over ``scan_s``, and how uncertain they are together.
    scan_s
        Length of the scan [s].
    newest_s
        Time of the newest readout that tells [s].
    spread
        How far the comparisons lie from it, in their own standard deviations; about 1 for a steady drift.
    """

    coefficients_hz: NDArray[np.float64]
    covariance_hz2: NDArray[np.float64]
    scan_s: float
    newest_s: float
    spread: float

    def at(self, time_s: float) -> tuple[float, float]:
        """Frequency minus that at the start, and its standard deviation [Hz]; behind the newest readout as there."""
        powers = _powers(np.array(min(max(time_s, 0.0), self.newest_s) / self.scan_s), len(self.coefficients_hz))
        return float(powers @ self.coefficients_hz), float(np.sqrt(powers @ self.covariance_hz2 @ powers))

    @property
    def newest(self) -> tuple[float, float]:
        """At the newest readout that tells."""
        return self.at(self.newest_s)


OnJump: TypeAlias = Callable[[FrequencyJump], None]
_Row: TypeAlias = tuple[float, float, float, float, int, int]
"""Earlier and later time, change of the magnet's frequency, its deviation; earlier and later readout."""


class FrequencyTracker:
    """Follows one scan. Feed it with what the runner tells ``on_lines``; one thread only.

    Parameters
    ----------
    scan
        That is about to be played.
    on_jump
        Told once, in the thread that feeds, when the frequency has changed by more than the limit.
    jump_hz
        The limit; less in a readout whose band is narrower than ten times that.
    note
        Writes into the scan's journal (``ScanSink.note``) what is newly known after each ``add``.
    """

    def __init__(
        self, scan: CompiledScan, on_jump: OnJump, *, jump_hz: float = JUMP_HZ, note: Callable[..., None] | None = None
    ) -> None:
        self._note = note
        self._pairs: Pairs = find_pairs(scan)
        centres = find_centres(scan) if not self._pairs.n_comparisons else None
        self._centres = None if centres is None else CentreWindows(centres)
        self._references: dict[int, Estimate] = {}  # the first window of each group
        self._on_jump = on_jump
        self._kept: dict[int, NDArray[np.complex64]] = {}
        self._rows: list[_Row] = []
        self._shifts: list[tuple[int, float]] = []  # from which readout on the oscillator stands elsewhere, and how far
        self._moves: list[tuple[int, float]] = []  # from which readout on the patient lies elsewhere, and how that looks
        self._followed: Followed | None = None
        self._recent: list[float] = []
        self._n_seen = 0
        self._end_s = max(float(self._pairs.time_s.max(initial=0.0)), 1e-3)
        band_hz = float(np.min(1 / self._pairs.dwell_s)) if len(self._pairs.dwell_s) else np.inf
        self.limit_hz = min(jump_hz, _PART_OF_BAND * band_hz)
        self.jump: FrequencyJump | None = None

    @property
    def is_possible(self) -> bool:
        """False for a scan that measures nothing by which the frequency could be followed."""
        return self._pairs.n_comparisons > 0 or self._centres is not None

    @property
    def n_seen(self) -> int:
        """Number of the readout that is expected next."""
        return self._n_seen

    @property
    def changes(self) -> Differences:
        """All comparisons so far, as the reconstruction's drift step takes them."""
        table = np.array([row[:4] for row in self._rows], dtype=np.float64).reshape(-1, 4)
        return Differences(earlier_s=table[:, 0], later_s=table[:, 1], change_hz=table[:, 2], sd_hz=table[:, 3])

    @property
    def followed(self) -> Followed | None:
        """The magnet's frequency since the oscillator was last set to it; None before anything was compared since then."""
        if self._followed is None and len(recent := self._since_shift()):
            self._followed = _follow(recent, self._end_s, is_absolute=self._pairs.are_navigators)
        return self._followed

    def _since_shift(self) -> Differences:
        """Comparisons of readouts since the oscillator was moved to where the magnet stood, times counted from then."""
        first, _ = self._shifts[-1] if self._shifts else (0, 0.0)
        since_s = self._since_s
        rows = [
            (max(row[0] - since_s, 0.0), row[1] - since_s, self._residual_hz(row), row[3])
            for row in self._rows
            if row[5] >= first
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        return Differences(earlier_s=table[:, 0], later_s=table[:, 1], change_hz=table[:, 2], sd_hz=table[:, 3])

    @property
    def _since_s(self) -> float:
        """Time of the first readout since the oscillator was moved [s]."""
        first, _ = self._shifts[-1] if self._shifts else (0, 0.0)
        return float(self._pairs.time_s[first]) if 0 < first < len(self._pairs.time_s) else 0.0

    def _residual_hz(self, row: "_Row") -> float:
        """What a comparison says of the magnet from its oscillator."""
        return row[2] - (_stands(self._shifts, row[5]) - _stands(self._shifts, row[4]))

    @property
    def trusted(self) -> tuple[float, tuple[float, float]] | None:
        """When, and what the scan's lines then said: ``followed.newest``; None where they do not tell or disagree."""
        followed = self.followed
        if followed is None or len(self._rows) < _ENOUGH or not followed.spread < _CONSISTENT:
            return None
        return self._since_s + followed.newest_s, followed.newest

    @property
    def details(self) -> dict[str, float]:
        """For the scan's journal: what was found so far; empty before anything was."""
        if (followed := self.followed) is None:
            return {}
        change_hz, sd_hz = followed.newest
        return {
            "change_hz": round(change_hz + _stands(self._shifts, self._rows[-1][5]), 2),
            "sd_hz": round(sd_hz, 2),
            "at_s": round(self._since_s + followed.newest_s, 3),
            "n_comparisons": len(self._rows),
        }

    def add(self, readouts: Readouts, samples: Samples) -> None:
        """The next readouts of the scan, in its order. Takes some milliseconds at most."""
        first, pairs, n_before = self._n_seen, self._pairs, len(self._rows)
        self._n_seen += len(readouts)
        part = slice(first, self._n_seen)
        for row in np.flatnonzero(pairs.is_wanted[part] | (pairs.partner[part] != NOBODY)).tolist():
            self._take(first + row, np.atleast_2d(samples[row])[0])
        if self._centres is not None:
            for row in range(len(readouts)):
                self._take_centre(self._centres, first + row, np.atleast_2d(samples[row])[0])
        if self._note is not None and len(self._rows) > n_before:
            with suppress(StorageError):  # a full disk ends the scan by itself
                self._note("frequency", **self.details)
        if len(self._rows) > n_before and (followed := self.followed) is not None and len(self._rows) >= _ENOUGH:
            change_hz, sd_hz = followed.newest
            # A drift of which no two readouts show enough; between pairs it is only inferred, so more is asked.
            needed_hz = self.limit_hz * (1 if pairs.are_navigators else 2) + 3 * sd_hz
            if abs(change_hz) > needed_hz and followed.spread < _CONSISTENT:
                self._tell(change_hz, self._since_s + followed.newest_s)

    def resume(self, first: int, shift_hz: float) -> None:
        """The oscillator was moved. What is added next are the readouts from ``first`` on, be it for the second time.

        Parameters
        ----------
        shift_hz
            Oscillator minus where it was at the start of the scan [Hz].
        """
        self._n_seen = min(first, self._n_seen)
        self._shifts = [*((row, hz) for row, hz in self._shifts if row < first), (first, shift_hz)]
        self._rows = [row for row in self._rows if row[5] < first]
        self._kept = {row: line for row, line in self._kept.items() if row < first}
        self._references = {group: one for group, one in self._references.items() if one.last < first}
        if self._centres is not None:
            self._centres.restart()
        self._recent, self._followed, self.jump = [], None, None

    def moved(self) -> None:
        """What was told was the patient: from there on it is no change any more."""
        if self.jump is None:
            return
        step = [(self.jump.sure_until, self.jump.change_hz)]
        self._rows = [(*row[:2], row[2] - (_stands(step, row[5]) - _stands(step, row[4])), *row[3:]) for row in self._rows]
        self._moves.append((step[0][0], _stands(self._moves, step[0][0]) + step[0][1]))
        self._recent, self._followed, self.jump = [], None, None

    def _take(self, index: int, line: NDArray[np.complex64]) -> None:
        """One readout; only the coil's channel, which is the first."""
        pairs = self._pairs
        if len(line) != pairs.n_samples[index]:
            return
        if pairs.is_wanted[index]:
            self._kept[index] = np.array(line, dtype=np.complex64)
        earlier = self._kept.get(int(pairs.partner[index]))
        if pairs.partner[index] == NOBODY or earlier is None:
            return
        line, earlier = pairs.alike(index, line, earlier)
        change_hz, sd_hz = compare_readouts(line[np.newaxis], earlier[np.newaxis], float(pairs.dwell_s[index]))
        if not np.isfinite(sd_hz) or _likeness(line, earlier, change_hz * pairs.dwell_s[index]) < _ALIKE:
            return
        self._compare(change_hz, sd_hz, int(pairs.partner[index]), index)

    def _take_centre(self, centres: CentreWindows, index: int, line: NDArray[np.complex64]) -> None:
        """One readout that passes the centre of k-space."""
        if not centres.uses(index) or len(line) != self._pairs.n_samples[index]:
            return
        if (done := centres.add(index, line)) is None:
            return
        group, found = done
        reference = self._references.setdefault(group, found)
        if reference is not found:
            sd_hz = float(np.hypot(found.sd_hz, reference.sd_hz))
            change_hz = found.frequency_hz - reference.frequency_hz
            # Only what comes before a window is sure: one that holds a jump may be within the limit on the whole.
            self._compare(change_hz, sd_hz, reference.last, found.first, sure=_SURE_CENTRE)

    def _compare(self, change_hz: float, sd_hz: float, partner: int, index: int, *, sure: float = _SURE) -> None:
        """Two readouts differ by so much, each at its own oscillator."""
        earlier_s, later_s = float(self._pairs.time_s[partner]), float(self._pairs.time_s[index])
        change_hz -= _stands(self._moves, index) - _stands(self._moves, partner)
        oscillator_hz = _stands(self._shifts, index) - _stands(self._shifts, partner)
        self._rows.append((earlier_s, later_s, change_hz + oscillator_hz, sd_hz, partner, index))
        self._followed = None
        if sd_hz < sure * self.limit_hz:
            self._judge(change_hz, index)

    def _judge(self, change_hz: float, index: int) -> None:
        self._recent = [*self._recent, change_hz][-_RECENT:]
        beyond = [hz for hz in self._recent if abs(hz) > self.limit_hz and hz * change_hz > 0]
        if len(beyond) < _ENOUGH or np.ptp(beyond) > self.limit_hz:
            return
        self._tell(float(np.median(beyond)), float(self._pairs.time_s[index]))

    def _tell(self, change_hz: float, time_s: float) -> None:
        if self.jump is not None:
            return
        is_encoded = self._pairs.is_encoded or self._centres is not None
        self.jump = FrequencyJump(
            change_hz=change_hz,
            time_s=time_s,
            limit_hz=self.limit_hz,
            may_be_motion=is_encoded,
            sure_until=self._sure_until(),
        )
        self._on_jump(self.jump)

    def _sure_until(self) -> int:
        """The first readout that may have been measured beyond the limit.

        It lies behind the last pair that is within, and behind the earlier readout of each pair that is not.
        """
        known = 0
        for row in reversed(self._rows):
            if abs(self._residual_hz(row)) <= self.limit_hz:
                return max(known, row[5] + 1)
            known = max(known, row[4] + 1)
        return known


def _stands(steps: list[tuple[int, float]], index: int) -> float:
    """Value of a staircase at a readout; 0 before its first step."""
    return next((value for first, value in reversed(steps) if first <= index), 0.0)


def _likeness(later: NDArray[np.complex64], earlier: NDArray[np.complex64], turns: float) -> float:
    """Correlation of two lines, 1 when they are equal up to a factor, once ``turns`` for each sample are taken away."""
    product = np.vdot(earlier, later * np.exp(-2j * np.pi * turns * np.arange(len(later))))
    size = float(np.linalg.norm(later) * np.linalg.norm(earlier))
    return float(abs(product)) / size if size > 0 else 0.0


def _follow(changes: Differences, scan_s: float, *, is_absolute: bool) -> Followed:
    """Ridge regression over differences; single wrong ones lose their weight.

    Only differences from the start of the scan (``is_absolute``), and many of them, tell a bend from a slope.
    """
    has_bend = is_absolute and len(changes) >= _FOR_A_BEND
    order = 3 if has_bend else 1
    table = _powers(changes.later_s / scan_s, order) - _powers(changes.earlier_s / scan_s, order)
    variance = (_SD_FACTOR * changes.sd_hz) ** 2 + _FLOOR_HZ**2
    prior = np.diag([1 / _USUAL_HZ**2, *[1 / _BEND_HZ**2] * (order - 1)])
    weight, scale = 1 / variance, 1.0
    for _ in range(4):
        covariance = np.linalg.inv(table.T @ (weight[:, np.newaxis] * table) + prior)
        found = covariance @ (table.T @ (weight * changes.change_hz))
        left = np.abs(changes.change_hz - table @ found) / np.sqrt(variance)
        scale = max(1.4826 * float(np.median(left)), 1.0)
        weight = np.minimum(1.0, 2 * scale / np.maximum(left, 1e-12)) / variance / scale**2
    return Followed(found, np.asarray(covariance, dtype=np.float64), scan_s, float(changes.later_s.max()), scale)


def _powers(part: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    return np.asarray(part[..., np.newaxis] ** np.arange(1, order + 1), dtype=np.float64)
