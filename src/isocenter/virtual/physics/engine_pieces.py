# SPDX-License-Identifier: MIT
"""Readouts cut into pieces, and the few samples that are really computed for each."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.sampling import (
    LONGEST,
    LONGEST_NODES,
    SHORTEST_UNIFORM,
    TOLERANCE,
    Extent,
    band_nodes,
    decompose,
    grid,
)

MOST_DECOMPOSITIONS: Final = 256
"""New uneven stretches in one run that get a decomposition of their own; further ones are computed sample by sample."""
MOST_KEPT: Final = 4096
"""Decompositions that are kept from run to run."""
STRAIGHT_TURNS: Final = 1e-5
"""A phase that leaves a straight line by no more than this counts as straight [turns]."""
SMOOTH_ERROR: Final = 10 * TOLERANCE
"""Largest error of a sample under a gradient that changes slowly, tried on spins from the edge of the object."""

Decompositions: TypeAlias = dict[bytes, tuple[NDArray[np.int64], NDArray[np.complex128]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some raw samples of one readout and where the signal is computed for them.

    Attributes
    ----------
    start, stop
        Raw samples, counted over all windows.
    matrix
        From computed to raw samples, shape ``(stop - start, n)``; None if they are the same.
    out, n
        Computed samples: the first, and how many.
    carrier_turns, places
        For a matrix that holds for a band: the middle of the band [turns per raw sample], and where the computed samples
        are, in raw samples from the first.
    """

    start: int
    stop: int
    matrix: NDArray[np.inexact] | None
    out: int
    n: int
    carrier_turns: float = 0.0
    places: NDArray[np.floating] | None = None

    def carrier(self, *, inward: bool) -> NDArray[np.complex128] | float:
        """Factor that brings computed samples to the band's centre, or raw samples back from it."""
        if self.places is None:
            return 1.0
        if inward:
            return np.asarray(np.exp(-2j * np.pi * self.carrier_turns * self.places))
        return np.asarray(np.exp(2j * np.pi * self.carrier_turns * np.arange(self.stop - self.start)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """All raw samples of a run.

    Attributes
    ----------
    tick
        int64.
    moment
        k-space [1/m] and extra moments since the beginning of the run, shape (n, 3 + n_extra).
    gap, stretch
        Gap and stretch of constant gradient codes that it is in, -1: none.
    cuts
        Where pieces begin and end.
    is_straight
        True when moments advance as evenly as the codes do.
    """

    tick: NDArray[np.int64]
    moment: NDArray[np.float64]
    gap: NDArray[np.int64]
    stretch: NDArray[np.int64]
    cuts: NDArray[np.int64]
    is_straight: bool


def classify(
    tick: NDArray[np.int64], window: NDArray[np.int64], area: NDArray[np.int64], gap: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stretches in which time and gradient area advance evenly, and where pieces begin and end."""
    advance = np.diff(np.column_stack([tick, area, gap, window]), axis=0)
    joined = (advance[:, 4:] == 0).all(axis=1)
    same = np.zeros(len(advance), dtype=np.bool_)
    same[1:] = (advance[1:] == advance[:-1]).all(axis=1) & joined[1:] & joined[:-1]
    run = np.cumsum(~same)
    length = np.bincount(run, minlength=1)
    label = np.where((length[run] >= SHORTEST_UNIFORM - 1) & joined, run, -1)
    later, earlier = np.append(label, -1)[: len(tick)], np.append(-1, label)[: len(tick)]
    stretch = np.where(later >= 0, later, earlier)
    keys = np.column_stack([gap, window, stretch])
    cuts = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    return stretch, np.concatenate([[0], cuts, [len(tick)]])


class PieceBuilder:
    """Collects pieces and the rows that they point to.

    Rows are moves from the start of a gap: k [1/m] of three channels, extra moments, time [s]. ``step_n`` is the number of
    samples for rows that are a step from one to the next, else 0.
    """

    def __init__(
        self,
        samples: Samples,
        gap_tick: NDArray[np.int64],
        gap_moment: NDArray[np.float64],
        tick_s: float,
        extent: Extent,
        decompositions: Decompositions,
    ) -> None:
        self.samples, self.extent, self.tick_s = samples, extent, tick_s
        self.gap_tick, self.gap_moment = gap_tick, gap_moment
        self.pieces: list[Piece] = []
        self.gap_of_piece: list[int] = []
        self.uniform: list[bool] = []
        self.first_row: list[int] = []
        self.rows: list[NDArray[np.float64]] = []
        self.step_n: list[int] = []
        self.row_gap: list[int] = []
        self.n_computed = 0
        self._decompositions, self._n_new = decompositions, 0
        if len(self._decompositions) > MOST_KEPT:
            self._decompositions.clear()

    def add_all(self) -> None:
        """Add every stretch of samples, cut to handy lengths."""
        for start, stop in pairwise(self.samples.cuts.tolist()):
            if stop == start or self.samples.gap[start] < 0:
                continue
            is_even = self.samples.stretch[start] >= 0 and stop - start >= 2
            n_parts = -(-(stop - start) // (LONGEST if is_even else LONGEST_NODES))
            edges = [start + (stop - start) * part // n_parts for part in range(n_parts + 1)]
            for low, high in pairwise(edges):
                self._add(low, high, is_even=is_even and high - low >= 2)

    def _add(self, start: int, stop: int, *, is_even: bool) -> None:
        if not is_even:
            self._add_uneven(start, stop)
        elif self.samples.is_straight or self._is_straight(start, stop):
            self._add_even(start, stop)
        elif not self._add_smooth(start, stop):
            n_parts = -(-(stop - start) // LONGEST_NODES)
            for part in range(n_parts):
                low, high = ((stop - start) * edge // n_parts for edge in (part, part + 1))
                self._add_uneven(start + low, start + high)

    def _rows(self, start: int, stop: int) -> NDArray[np.float64]:
        gap = self.samples.gap[start]
        moment = self.samples.moment[start:stop] - self.gap_moment[gap]
        return np.column_stack([moment, (self.samples.tick[start:stop] - self.gap_tick[gap]) * self.tick_s])

    def _append(self, rows: NDArray[np.float64], n: int, *, gap: int, is_uniform: bool) -> int:
        self.uniform.append(is_uniform)
        self.gap_of_piece.append(gap)
        self.first_row.append(len(self.step_n))
        self.rows.append(rows)
        self.step_n.extend([0, n] if is_uniform else [0] * len(rows))
        self.row_gap.extend([gap] * len(rows))
        out = self.n_computed
        self.n_computed += n
        return out

    def _is_straight(self, start: int, stop: int) -> bool:
        """True when what eddy currents and ripple add to a stretch can be told from a constant gradient by no spin."""
        moment = self.samples.moment[start:stop]
        line = np.linspace(moment[0], moment[-1], stop - start)
        return bool((np.abs(moment - line).max(axis=0) @ np.abs(self.extent.place).max(axis=0)) < STRAIGHT_TURNS)

    def _add_even(self, start: int, stop: int) -> None:
        """Samples at even distance under a constant gradient."""
        n, gap = stop - start, int(self.samples.gap[start])
        origin = np.append(self.gap_moment[gap], self.gap_tick[gap] * self.tick_s)
        first = np.append(self.samples.moment[start], self.samples.tick[start] * self.tick_s)
        last = np.append(self.samples.moment[stop - 1], self.samples.tick[stop - 1] * self.tick_s)
        advance = (last - first) / (n - 1)
        dwell_s = float(advance[-1])
        centre_hz, half_hz = self.extent.band_hz(advance[:-1] / dwell_s, n * dwell_s)
        coarse = grid(n, half_hz * dwell_s)
        begin, step, count = (0.0, 1.0, n) if coarse is None else (coarse.first, coarse.step, coarse.n)
        rows = np.stack([first - origin + begin * advance, step * advance])
        out = self._append(rows, count, gap=gap, is_uniform=True)
        if coarse is None:
            self.pieces.append(Piece(start=start, stop=stop, matrix=None, out=out, n=count))
            return
        carrier = centre_hz * dwell_s
        self.pieces.append(
            Piece(
                start=start,
                stop=stop,
                matrix=coarse.matrix,
                out=out,
                n=count,
                carrier_turns=carrier,
                places=coarse.places,
            )
        )

    def _add_smooth(self, start: int, stop: int) -> bool:
        """Samples while the gradient changes a little; False if it changes too much for that."""
        rows, n = self._rows(start, stop), stop - start
        relative = rows - rows[0]
        corners = relative[:, :-1] @ self.extent.place.T
        steps = np.diff(corners, axis=0)
        dwell_s = relative[-1, -1] / (n - 1)
        low = float(steps.min()) + self.extent.offset_hz.min() * dwell_s
        high = float(steps.max()) + self.extent.offset_hz.max() * dwell_s
        carrier, margin = (low + high) / 2, self.extent.damping_hz * dwell_s + 1.5 / n
        chosen, matrix = band_nodes(n, 1.03 * (high - low) / 2 + margin)
        if len(chosen) == n:
            return False
        tried = slice(None, None, max(len(self.extent.offset_hz) // 24, 1))
        turns = corners[:, tried] + self.extent.offset_hz[tried] * relative[:, -1:] - carrier * np.arange(n)[:, None]
        truth = np.exp(2j * np.pi * turns)
        if float(np.abs(matrix @ truth[chosen] - truth).max()) > SMOOTH_ERROR:
            return False
        out = self._append(rows[chosen], len(chosen), gap=int(self.samples.gap[start]), is_uniform=False)
        places = chosen.astype(np.float64)
        self.pieces.append(
            Piece(start=start, stop=stop, matrix=matrix, out=out, n=len(chosen), carrier_turns=carrier, places=places)
        )
        return True

    def _add_uneven(self, start: int, stop: int) -> None:
        """Samples while a gradient changes."""
        rows = self._rows(start, stop)
        chosen, matrix = self._decompose(rows)
        out = self._append(rows[chosen], len(chosen), gap=int(self.samples.gap[start]), is_uniform=False)
        self.pieces.append(Piece(start=start, stop=stop, matrix=matrix, out=out, n=len(chosen)))

    def _decompose(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.complex128] | None]:
        everything = np.arange(len(rows))
        if len(rows) < 8:
            return everything, None
        # 1e-4 cycles per metre are 1e-5 of a turn at the edge of a head: below the tolerance of the signal.
        relative, unit = rows - rows[0], np.full(rows.shape[1], 1e-4)
        unit[3:], unit[-1] = 1e-3, 1e-9
        key = np.round(relative / unit).astype(np.int64).tobytes()
        if key not in self._decompositions:
            if self._n_new >= MOST_DECOMPOSITIONS:
                return everything, None
            self._n_new += 1
            self._decompositions[key] = decompose(relative[:, :-1], relative[:, -1], self.extent)
        return self._decompositions[key]
