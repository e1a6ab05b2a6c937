# SPDX-License-Identifier: MIT
"""From what the pins did to the few events that spins need: gaps of free precession, pulses, pieces of readouts.

A *gap* is the time between two pulses. Whatever the gradients do in it, a spin at rest sees their moments only, so the
gap is one operation, and each piece of a readout is a move from the state at the gap's start. Relaxation during a pulse is
split: half before, half after (Strang); its precession is inside the pulse.

Source of the idea: moments instead of steps, as extended phase graphs have used since Hennig, J. Magn. Reson. 78 (1988) 397.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.kernels import TableArrays
from isocenter.virtual.physics.pulses import PulseTable
from isocenter.virtual.physics.sampling import LONGEST, LONGEST_NODES, SHORTEST_UNIFORM, Extent, decompose, grid
from isocenter.virtual.physics.waveforms import Waveforms

MOST_DECOMPOSITIONS: Final = 256
"""New uneven stretches in one run that get a decomposition of their own; further ones are computed sample by sample."""
MOST_KEPT: Final = 4096
"""Decompositions that are kept from run to run."""

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
    carrier_turns
        For an even grid with a matrix: centre of its band [turns per raw sample], and the first computed sample and their
        spacing [raw samples].
    """

    start: int
    stop: int
    matrix: NDArray[np.inexact] | None
    out: int
    n: int
    carrier_turns: tuple[float, float, float] | None = None

    def carrier(self, *, inward: bool) -> NDArray[np.complex128] | float:
        """Factor that brings computed samples to the band's centre, or raw samples back from it."""
        if self.carrier_turns is None:
            return 1.0
        frequency, first, step = self.carrier_turns
        if inward:
            return np.asarray(np.exp(-2j * np.pi * frequency * (first + step * np.arange(self.n))))
        return np.asarray(np.exp(2j * np.pi * frequency * np.arange(self.stop - self.start)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimTable:
    """One run, ready for the kernels.

    Attributes
    ----------
    arrays
        What the kernels read; ``gap_pulse`` counts the run's distinct pulses.
    pieces
        How raw samples follow.
    n_computed, n_raw
        Samples that the kernels compute; raw samples of the run.
    """

    arrays: TableArrays
    pieces: tuple[Piece, ...]
    n_computed: int
    n_raw: int

    def raw(self, computed: NDArray[np.complex128]) -> NDArray[np.complex64]:
        """Raw samples from computed ones; those that fall into a pulse or outside the run are zero."""
        out = np.zeros(self.n_raw, dtype=np.complex64)
        groups: dict[int, list[Piece]] = {}
        for piece in self.pieces:
            if piece.matrix is None:
                out[piece.start : piece.stop] = computed[piece.out : piece.out + piece.n]
            else:
                groups.setdefault(id(piece.matrix), []).append(piece)
        for group in groups.values():
            matrix = group[0].matrix
            assert matrix is not None
            parts = np.stack(
                [computed[piece.out : piece.out + piece.n] * piece.carrier(inward=True) for piece in group], axis=1
            )
            full = matrix @ parts if np.iscomplexobj(matrix) else matrix @ parts.real + 1j * (matrix @ parts.imag)
            for column, piece in enumerate(group):
                out[piece.start : piece.stop] = full[:, column] * piece.carrier(inward=False)
        return out


@dataclass(slots=True)
class _Samples:
    """All raw samples of a run: tick, gradient area, gap (-1: none), even stretch (-1: none), where pieces begin."""

    tick: NDArray[np.int64]
    area: NDArray[np.int64]
    gap: NDArray[np.int64]
    stretch: NDArray[np.int64]
    cuts: NDArray[np.int64]


def _classify(tick: NDArray[np.int64], window: NDArray[np.int64], waves: Waveforms, end_tick: int) -> _Samples:
    """Assign samples to gaps, and find stretches in which time and gradient area advance evenly."""
    area = waves.areas(tick)
    gap = np.searchsorted(waves.windows[:, 1], tick, side="right")
    pulse_start = np.append(waves.windows[:, 0], end_tick)
    gap = np.where((tick < 0) | (tick > pulse_start[gap]), -1, gap)
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
    return _Samples(tick, area, gap, stretch, np.concatenate([[0], cuts, [len(tick)]]))


class _Builder:
    """Collects pieces and the rows that they point to."""

    def __init__(self, waves: Waveforms, samples: _Samples, gap_start: NDArray[np.int64], setting: "Setting") -> None:
        self.waves, self.samples, self.extent, self.frequency_hz = waves, samples, setting.extent, setting.frequency_hz
        self.gap_start = gap_start
        self.gap_area = waves.areas(gap_start)
        self.pieces: list[Piece] = []
        self.gap_of_piece: list[int] = []
        self.uniform: list[bool] = []
        self.first_row: list[int] = []
        self.rows: list[NDArray[np.float64]] = []
        self.is_step: list[bool] = []
        self.row_gap: list[int] = []
        self.n_computed = 0
        self._decompositions, self._n_new = setting.decompositions, 0
        if len(self._decompositions) > MOST_KEPT:
            self._decompositions.clear()

    def add_all(self) -> None:
        """Add every stretch of samples, cut to handy lengths."""
        for start, stop in pairwise(self.samples.cuts.tolist()):
            if stop == start or self.samples.gap[start] < 0:
                continue
            is_even = self.samples.stretch[start] >= 0 and stop - start >= 2
            n_parts = -(-(stop - start) // (LONGEST if is_even else LONGEST_NODES))
            edges = np.linspace(start, stop, n_parts + 1).astype(int)
            for low, high in pairwise(edges.tolist()):
                (self._add_even if is_even and high - low >= 2 else self._add_uneven)(low, high)

    def _rows(self, tick: NDArray[np.float64], area: NDArray[np.float64], gap: int) -> NDArray[np.float64]:
        """Moves from the start of a gap: k [1/m] of three channels and time [s], shape (n, 4)."""
        k = (area - self.gap_area[gap]) * self.waves.k_per_area
        return np.column_stack([k, (tick - self.gap_start[gap]) * self.waves.tick_s])

    def _append(self, rows: NDArray[np.float64], n: int, *, gap: int, is_uniform: bool) -> int:
        self.uniform.append(is_uniform)
        self.gap_of_piece.append(gap)
        self.first_row.append(len(self.is_step))
        self.rows.append(rows)
        self.is_step.extend([False, True] if is_uniform else [False] * len(rows))
        self.row_gap.extend([gap] * len(rows))
        out = self.n_computed
        self.n_computed += n
        return out

    def _add_even(self, start: int, stop: int) -> None:
        """Samples at even distance under a constant gradient."""
        tick, area, gap = self.samples.tick, self.samples.area, int(self.samples.gap[start])
        n = stop - start
        d_tick, d_area = float(tick[start + 1] - tick[start]), (area[start + 1] - area[start]).astype(np.float64)
        dwell_s = d_tick * self.waves.tick_s
        gradient = d_area / d_tick * self.waves.hz_per_m_per_code
        centre_hz, half_hz = self.extent.band_hz(gradient, n * dwell_s)
        coarse, centre_hz = grid(n, half_hz * dwell_s), centre_hz + self.frequency_hz
        first, step, count = (0.0, 1.0, n) if coarse is None else (coarse.first, coarse.step, coarse.n)
        rows = self._rows(np.array([tick[start] + first * d_tick]), (area[start] + first * d_area)[None], gap)
        advance = np.append(d_area * step * self.waves.k_per_area, step * dwell_s)
        out = self._append(np.vstack([rows, advance]), count, gap=gap, is_uniform=True)
        matrix = None if coarse is None else coarse.matrix
        carrier = None if coarse is None else (centre_hz * dwell_s, first, step)
        self.pieces.append(Piece(start=start, stop=stop, matrix=matrix, out=out, n=count, carrier_turns=carrier))

    def _add_uneven(self, start: int, stop: int) -> None:
        """Samples while a gradient changes."""
        gap = int(self.samples.gap[start])
        rows = self._rows(self.samples.tick[start:stop].astype(float), self.samples.area[start:stop].astype(float), gap)
        chosen, matrix = self._decompose(rows)
        out = self._append(rows[chosen], len(chosen), gap=gap, is_uniform=False)
        self.pieces.append(Piece(start=start, stop=stop, matrix=matrix, out=out, n=len(chosen)))

    def _decompose(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.complex128] | None]:
        everything = np.arange(len(rows))
        if len(rows) < 8:
            return everything, None
        # 1e-4 cycles per metre are 1e-5 of a turn at the edge of a head: below the tolerance of the signal.
        relative = rows - rows[0]
        key = (
            np.round(relative / [1e-4, 1e-4, 1e-4, 1e-9]).astype(np.int64).tobytes()
            + np.float64(self.frequency_hz).tobytes()
        )
        if key not in self._decompositions:
            if self._n_new >= MOST_DECOMPOSITIONS:
                return everything, None
            self._n_new += 1
            self._decompositions[key] = decompose(rows[:, :3], rows[:, 3], self.extent, self.frequency_hz)
        return self._decompositions[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run needs besides its waveforms.

    Attributes
    ----------
    frequency_hz
        Centre frequency of the magnet minus that of the local oscillator [Hz].
    idle_s
        Time since the run before ended [s].
    frame_rad
        Turn of the magnetisation at the start, when the local oscillator's phase is set back [rad].
    end_tick
        Length of the run.
    t1_s, t2_s
        Of each tissue [s].
    extent
        Of the object.
    decompositions
        Those found in earlier runs of the same object; new ones are added.
    """

    frequency_hz: float
    idle_s: float
    frame_rad: float
    end_tick: int
    t1_s: NDArray[np.float64]
    t2_s: NDArray[np.float64]
    extent: Extent
    decompositions: Decompositions = field(default_factory=dict)


def build_table(waves: Waveforms, pulses: PulseTable, windows: Sequence[NDArray[np.int64]], setting: Setting) -> SimTable:
    """Simulation table of one run; ``windows`` are the ticks of the raw samples of each receive window."""
    gap_start = np.append(-round(setting.idle_s / waves.tick_s), waves.windows[:, 1]).astype(np.int64)
    gap_end = np.append(waves.windows[:, 0], max(setting.end_tick, int(gap_start[-1]))).astype(np.int64)
    half_pulse = np.diff(waves.windows, axis=1)[:, 0] * waves.tick_s / 2
    half_before, half_after = np.append(0.0, half_pulse), np.append(half_pulse, 0.0)
    turns_before = np.append(setting.frame_rad / (2 * np.pi), pulses.phase_turns)
    turns_after = np.append(pulses.phase_turns, 0.0)
    error = np.array(pulses.area_error).reshape(-1, 3) * waves.k_per_area / 2
    k_before, k_after = np.vstack([np.zeros(3), error]), np.vstack([error, np.zeros(3)])

    tick = np.concatenate([np.zeros(0, dtype=np.int64), *windows])
    window = np.repeat(np.arange(len(windows)), [len(ticks) for ticks in windows])
    builder = _Builder(waves, _classify(tick, window, waves, int(gap_end[-1])), gap_start, setting)
    builder.add_all()
    rows = np.concatenate([np.zeros((0, 4)), *builder.rows])
    is_start, row_gap = ~np.array(builder.is_step, dtype=np.bool_), np.array(builder.row_gap, dtype=np.int64)
    rows[:, :3] += k_before[row_gap] * is_start[:, None]
    row_turns = turns_before[row_gap] * is_start + setting.frequency_hz * rows[:, 3]
    row_relax = half_before[row_gap] * is_start + rows[:, 3]

    gap_s = (gap_end - gap_start) * waves.tick_s
    relax = gap_s + half_before + half_after
    gap_k = (waves.areas(gap_end) - waves.areas(gap_start)) * waves.k_per_area + k_before + k_after
    gap_turns = turns_before - turns_after + setting.frequency_hz * gap_s
    order = np.argsort(np.array(builder.gap_of_piece, dtype=np.int64), kind="stable")
    gap_of_piece = np.array(builder.gap_of_piece, dtype=np.int64)[order]
    arrays = TableArrays(
        gap_move=_moves(gap_k, gap_turns, gap_s),
        gap_e1=_decay(relax, setting.t1_s),
        gap_recovery=(-np.expm1(-relax[:, None] / setting.t1_s)).astype(np.float32),
        gap_e2=_decay(relax, setting.t2_s),
        gap_pulse=np.append(pulses.index, -1).astype(np.int64),
        gap_first_piece=np.searchsorted(gap_of_piece, np.arange(len(gap_s) + 1)).astype(np.int64),
        piece_first_row=np.array(builder.first_row, dtype=np.int64)[order],
        piece_n=np.array([piece.n for piece in builder.pieces], dtype=np.int64)[order],
        piece_uniform=np.array(builder.uniform, dtype=np.bool_)[order],
        piece_out=np.array([piece.out for piece in builder.pieces], dtype=np.int64)[order],
        row_move=_moves(rows[:, :3], row_turns, rows[:, 3]),
        row_e2=_decay(row_relax, setting.t2_s),
    )
    return SimTable(arrays=arrays, pieces=tuple(builder.pieces), n_computed=builder.n_computed, n_raw=len(tick))


def _moves(k_per_m: NDArray[np.floating], turns: NDArray[np.floating], time_s: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (kx, ky, kz, phase, time), the phase reduced to half a turn before it loses digits."""
    return np.column_stack([k_per_m, turns - np.round(turns), time_s]).astype(np.float32)


def _decay(time_s: NDArray[np.float64], constant_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Factors exp(-time / constant), shape (n_times, n_tissues); zero below 1e-8, since denormal numbers are slow."""
    factor = np.exp(-time_s[:, None] / constant_s)
    return np.where(factor < 1e-8, 0.0, factor).astype(np.float32)
