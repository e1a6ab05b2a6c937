# SPDX-License-Identifier: MIT
"""Interference taken out of a coil with the help of sensors that hear nothing else.

The coil's sample k is predicted from the sensors' samples ``k - taps ... k + taps``, by least squares. How the coil hears a
source changes while a scan runs, so the fit is refined from the whole scan to halves, quarters and so on, and last to single
disturbed lines. Each refinement must prove itself on lines that it has not seen, at the edge of k-space where the object is
weak; otherwise it is not made. A record without interference therefore comes back as it was, bit by bit.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.correct.figure import Figure
from isocenter.recon.correct.record import (
    RIDGES,
    Complex,
    Record,
    Sums,
    best_fits,
    check_lines,
    deaf_to_object,
    positions_in,
    solve,
)

MOST_OBJECT: Final = 0.35
"""Share of the object's power that a fit may take; sensors that hear the object would take more."""
_LEAST_OBJECT: Final = 0.02
"""The same, above which a fit is refused unless chance explains it, or it is worth it."""
_WORTH_IT: Final = 0.3
"""Share of the power at the ends of the lines, from which on interference is worse than what little a leak takes."""
_CHANCE: Final = 1e-4
"""How often a refinement may be made that helps by chance only."""
_MOST_WINDOWS: Final = 64
_ROWS_PER_TAP: Final = 3
"""Fewest samples in a window for each number that is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterferenceRemoval:
    """Lines without interference, and what was done.

    Attributes
    ----------
    samples
        complex64, of the shape that was given.
    windows
        First line of each stretch of lines that has a fit of its own, and number of lines; empty when nothing was done.
    n_single
        Lines that got a fit of their own because of a short disturbance.
    n_unused
        Sensors that were not used because they hear the object.
    figure
        Root mean square at the edge of k-space, where the object is weak, before and after.
    """

    samples: Complex
    windows: tuple[tuple[int, int], ...]
    n_single: int
    n_unused: int
    figure: Figure

    @property
    def is_changed(self) -> bool:
        """False when the sensors explain nothing, and ``samples`` is what was given."""
        return bool(self.windows) or self.n_single > 0


def remove_with_sensors(coil: Complex, sensors: Complex, *, taps: int = 7, smallest_window: int = 8) -> InterferenceRemoval:
    """Samples of a coil without what sensor channels explain.

    Parameters
    ----------
    coil
        complex64, shape ``(n_lines, n_samples)`` or ``(n_lines, n_coils, n_samples)``, lines in the order of time.
    sensors
        complex64, shape ``(n_lines, n_sensors, n_samples)``, taken at the same time.
    taps
        Samples before and after that help to predict one; 0 is plain least squares.
    smallest_window
        Fewest lines that may have a fit of their own; single disturbed lines aside.

    Returns
    -------
        Corrected lines; see ``InterferenceRemoval``.

    Raises
    ------
    ReconError
        Shapes that do not belong together, or samples that are no numbers.

    Source
    ------
    After EDITER, Srinivas et al. 2022, Magn Reson Med (PMC8920578): windows and +-7 taps. The choice of windows by trial on
    unseen lines, the stiffness and the weights are ours.
    """
    lines = coil if coil.ndim == 3 else coil[:, None]
    check_lines(lines, sensors)
    if lines.size == 0 or sensors.shape[1] == 0 or not np.any(lines):
        return _unchanged(coil)
    positions = positions_in(lines)
    deaf = deaf_to_object(sensors, positions)
    n_unused = int(len(deaf) - deaf.sum())
    if not deaf.any():
        return _unchanged(coil, n_unused)
    record = Record(lines, sensors if deaf.all() else sensors[:, deaf], taps, positions=positions)
    record.weigh(record.coil)
    _Windows(record, 1, sample=True).refine(1)
    record.weigh(record.residual)
    record.restart()
    fits, which = _descend(record, smallest_window)
    n_single = _mend_single_lines(record)
    if not fits.any() and n_single == 0:
        return _unchanged(coil, n_unused)
    before, after = (
        float(np.sqrt(record.power(parts)[record.edge].mean())) * record.scale for parts in (record.coil, record.residual)
    )
    return InterferenceRemoval(
        samples=record.cleaned().reshape(coil.shape),
        windows=_runs(which) if fits.any() else (),
        n_single=n_single,
        n_unused=n_unused,
        figure=Figure(what="rms at the edge of k-space", unit="", values=(before, after)),
    )


class _Windows:
    """Sums of the smallest windows, from which those of longer ones follow; each window's lines are split in two halves."""

    def __init__(self, record: Record, n_smallest: int, *, sample: bool = False) -> None:
        n_lines = len(record.weights)
        self.record = record
        self.n_smallest = n_smallest
        self.smallest = np.arange(n_lines) * n_smallest // n_lines
        used = 2 * self.smallest + np.arange(n_lines) % 2
        if sample:  # enough for a first guess
            step = max(n_lines * record.coil[0].shape[2] // (80 * record.n_taps), 1)
            used[np.arange(n_lines) // 2 % step != 0] = -1
        self.gram: Sums
        self.cross: Sums
        self.gram, self.cross = record.sums(used, 2 * n_smallest, record.weights)
        self._longer = {n_smallest: self.gram.reshape(n_smallest, 2, *self.gram.shape[1:])}
        while (n := min(self._longer)) > 1:
            finer = self._longer[n]
            self._longer[n // 2] = finer[0::2] + finer[1::2]

    def refine(self, n_windows: int, chosen: NDArray[np.bool_] | None = None) -> Sums:
        """Fit what is left in each window, subtract what proves itself on the other half, and say what was subtracted.

        Parameters
        ----------
        n_windows
            Number of windows; divides that of the smallest.
        chosen
            Which of them to try; None for all.
        """
        from isocenter.recon.correct import stiff

        record, per = self.record, self.n_smallest // n_windows
        window = self.smallest // per
        gram = self._longer[n_windows]
        cross: Sums = self.cross.reshape(n_windows, per, 2, *self.cross.shape[1:]).sum(axis=1)
        fits: Sums = np.zeros_like(cross[:, 0])
        index = np.arange(n_windows) if chosen is None else np.flatnonzero(chosen)
        if len(index) == 0:
            return fits
        both = (len(index) * 2,)
        trial, ridge = best_fits(
            (gram if chosen is None else gram[index]).reshape(both + gram.shape[2:]),
            cross[index].reshape(both + cross.shape[2:]),
            np.arange(both[0]) ^ 1,
            RIDGES if n_windows == 1 else RIDGES[1:],  # short windows cannot do without
        )
        number = np.full(n_windows, -1)
        number[index] = np.arange(len(index))
        here = number[window]
        gains = record.gains(trial, np.where(here < 0, -1, 2 * here + 1 - np.arange(len(window)) % 2), record.edge)
        sure = _are_sure(gains, np.where(record.edge, here[:, None], -1), len(index))
        if sure.any():
            kept = index[sure]
            fits[kept] = solve(gram[kept].sum(axis=1), cross[kept].sum(axis=1), ridge.reshape(-1, 2)[sure].max(axis=1))
            fits[~self._spares_object(fits, window)] = 0
            moved: NDArray[np.bool_] = np.any(fits != 0, axis=(1, 2))
            record.subtract(moved[window])
            stiff.take_from(self.cross, self.gram, fits, 2 * per)
        return fits

    def _spares_object(self, fits: Sums, window: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each window's fit leaves the object alone: false for sensors that hear the object themselves.

        Interference is as strong at the centre of a line as at its ends; the object is not.
        """
        moved = np.any(fits != 0, axis=(1, 2))[window]
        self.record.predict(fits, np.where(moved, window, -1))
        strong, weak, own, own_weak = self.record.taken(moved)
        chance = (weak**2 + 2 * own * np.abs(weak)) * (1 / self.record.n_strong + 1 / self.record.n_weak)
        parts = (strong - weak, weak, own, own_weak, chance)
        excess, even, most, most_weak, spread = (np.bincount(window, part, minlength=len(fits)) for part in parts)
        is_little = (excess <= _LEAST_OBJECT * most) | (excess <= 4 * np.sqrt(spread))
        spares: NDArray[np.bool_] = is_little | ((excess <= MOST_OBJECT * most) & (even > _WORTH_IT * most_weak))
        return spares


def _are_sure(gains: NDArray[np.float64], groups: NDArray[np.int64], n_groups: int) -> NDArray[np.bool_]:
    """Whether the mean gain of each group is above zero, not by chance (one-sided t test)."""
    from scipy.special import stdtrit

    used = groups >= 0
    group, gain = groups[used], gains[used]
    n = np.bincount(group, minlength=n_groups)
    mean = np.bincount(group, gain, minlength=n_groups) / np.maximum(n, 1)
    spread = np.sqrt(np.bincount(group, (gain - mean[group]) ** 2, minlength=n_groups) / np.maximum(n - 1, 1))
    limit = stdtrit(np.maximum(n - 1, 1), 1 - _CHANCE)
    sure: NDArray[np.bool_] = (n >= 4) & (spread > 0) & (mean * np.sqrt(n) > limit * spread)
    return sure


def _descend(record: Record, smallest_window: int) -> tuple[Sums, NDArray[np.int64]]:
    """Fits of windows that get shorter as long as that helps; fits and window of each line."""
    n_lines, n_samples = len(record.weights), record.coil[0].shape[2]
    shortest = max(smallest_window, 2, -(-_ROWS_PER_TAP * record.n_taps // n_samples))
    depth = int(np.log2(np.clip(n_lines // shortest, 1, _MOST_WINDOWS)))
    windows = _Windows(record, 2**depth)
    total = windows.refine(1)
    alive = np.array([True])  # windows to be cut: those of whose neighbours, cut from the same, some got a fit of their own
    for level in range(2 if depth % 2 == 0 else 1, depth + 1, 2):  # quarters: halves cost more than they bring
        n_parts = 2**level // len(total)
        alive = np.repeat(alive, n_parts)
        step = windows.refine(2**level, alive)
        total = np.repeat(total, n_parts, axis=0) + step
        moved = step.any(axis=(1, 2))
        alive = np.repeat(moved.reshape(-1, n_parts).any(axis=1), n_parts)
        if not alive.any():
            break
    return total, _merge(total)[np.arange(n_lines) * len(total) // n_lines]


def _merge(fits: Sums) -> NDArray[np.int64]:
    """Number of each window after equal neighbours are one."""
    change = np.array([not np.array_equal(a, b) for a, b in pairwise(fits)], dtype=np.int64)
    return np.concatenate([[0], np.cumsum(change)]).astype(np.int64)


def _mend_single_lines(record: Record) -> int:
    """Fit lines on their own that are still much louder than others even where they are weakest; how many were changed."""
    floor = record.power(record.residual).min(axis=1)
    loud = np.flatnonzero(floor > 4 * np.median(floor))
    if len(loud) == 0:
        return 0
    n_stretches = record.weights.shape[1]
    bins = np.full(len(floor), -1, dtype=np.int64)
    bins[loud] = np.arange(len(loud))
    halves = [record.weights * (np.arange(n_stretches) % 2 == half) for half in (0, 1)]
    sums = [record.sums(bins, len(loud), half.astype(np.float32)) for half in halves]
    gram, cross = (np.concatenate([one[i] for one in sums]) for i in (0, 1))
    judge = (np.arange(2 * len(loud)) + len(loud)) % (2 * len(loud))
    fits, ridge = best_fits(gram, cross, judge)
    weighed = record.power(record.residual) * np.diff(record.starts) * record.weights
    helps = np.ones(len(loud), dtype=bool)
    for half in (0, 1):
        mine = fits[half * len(loud) : (half + 1) * len(loud)]
        unseen = np.arange(n_stretches) % 2 != half
        helps &= record.gains(mine, bins)[loud][:, unseen].sum(axis=1) > 0.3 * weighed[loud][:, unseen].sum(axis=1)
    both = [part[: len(loud)] + part[len(loud) :] for part in (gram, cross)]
    record.predict(solve(both[0], both[1], np.maximum(ridge[: len(loud)], ridge[len(loud) :])), bins)
    strong, weak, *_ = record.taken(bins >= 0)
    chosen = np.zeros(len(floor), dtype=bool)
    chosen[loud] = helps & (weak[loud] > 0.15 * strong[loud])
    record.subtract(chosen)
    return int(chosen.sum())


def _runs(which: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    first = np.flatnonzero(np.diff(which, prepend=-1))
    return tuple((int(a), int(n)) for a, n in zip(first, np.diff(np.append(first, len(which))), strict=True))


def _unchanged(coil: Complex, n_unused: int = 0) -> InterferenceRemoval:
    figure = Figure(what="rms at the edge of k-space", unit="", values=(0.0, 0.0))
    return InterferenceRemoval(samples=coil, windows=(), n_single=0, n_unused=n_unused, figure=figure)
