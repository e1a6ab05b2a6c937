# SPDX-License-Identifier: MIT
"""From what the pins did to the few events that spins need: gaps of free precession, pulses, pieces of readouts.

A *gap* is the time between two pulses. Whatever the gradients do in it, a spin at rest sees their moments only, so the
gap is one operation, and each piece of a readout is a move from the state at the gap's start. Relaxation during a pulse is
split: half before, half after (Strang); its precession is inside the pulse. A phase that all spins share (frequency of the
oscillator, drift) is left out of the readouts and put on the finished samples.

Source of the idea: moments instead of steps, as extended phase graphs have used since Hennig, J. Magn. Reson. 78 (1988) 397.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.engine_diffusion import WanderMoments
from isocenter.virtual.physics.engine_fields import ConcomitantMoments
from isocenter.virtual.physics.engine_pieces import Decompositions, Piece, PieceBuilder, Samples, classify
from isocenter.virtual.physics.kernels import TableArrays
from isocenter.virtual.physics.pulses import PulseTable
from isocenter.virtual.physics.sampling import Extent
from isocenter.virtual.physics.waveforms import Waveforms


@dataclass(frozen=True, slots=True, kw_only=True)
class SimTable:
    """One run, ready for the kernels.

    Attributes
    ----------
    arrays
        What the kernels read; ``gap_pulse`` is the number of the window of RF that ends a gap.
    gap_tick
        Start of each gap, int64.
    pieces
        How raw samples follow.
    common_turns
        Phase of each raw sample that all spins share [turns].
    n_computed
        Samples that the kernels compute.
    """

    arrays: TableArrays
    gap_tick: NDArray[np.int64]
    pieces: tuple[Piece, ...]
    common_turns: NDArray[np.float64]
    n_computed: int

    def raw(self, computed: NDArray[np.complex128]) -> NDArray[np.complex64]:
        """Raw samples from computed ones, shape ``(n_channels, n)``; zero in a pulse or outside the run."""
        n_channels = len(computed)
        out = np.zeros((n_channels, len(self.common_turns)), dtype=np.complex128)
        groups: dict[int, list[Piece]] = {}
        for piece in self.pieces:
            if piece.matrix is None:
                out[:, piece.start : piece.stop] = computed[:, piece.out : piece.out + piece.n]
            else:
                groups.setdefault(id(piece.matrix), []).append(piece)
        for group in groups.values():
            matrix = group[0].matrix
            assert matrix is not None
            parts = np.concatenate(
                [computed[:, piece.out : piece.out + piece.n] * piece.carrier(inward=True) for piece in group]
            ).T
            full = matrix @ parts if np.iscomplexobj(matrix) else matrix @ parts.real + 1j * (matrix @ parts.imag)
            for number, piece in enumerate(group):
                columns = full[:, number * n_channels : (number + 1) * n_channels].T
                out[:, piece.start : piece.stop] = columns * piece.carrier(inward=False)
        turns = self.common_turns - np.round(self.common_turns)
        return np.asarray(out * np.exp(2j * np.pi * turns), dtype=np.complex64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run needs besides its waveforms.

    Attributes
    ----------
    common_turns
        Phase of all spins since tick 0 [turns] at some ticks: frequency less that of the oscillator, drift.
    idle_ticks, end_tick
        Time since the run before ended, and length of the run.
    frame_rad
        Turn of the magnetisation at the start, when the local oscillator's phase is set back [rad].
    t1_s, t2_s, diffusion_m2_per_s
        Of each tissue; no diffusion if empty.
    extent
        Of the object.
    decompositions
        Those found in earlier runs of the same object; new ones are added.
    concomitant
        Moments of the concomitant field, None without one.
    cut_ticks
        Further ends of gaps, where spins are moved, int64.
    pulse_turns_error
        For each window of RF the phase that its pulse lacks because it was composed for another frequency [turns].
    """

    common_turns: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    idle_ticks: int
    end_tick: int
    t1_s: NDArray[np.float64]
    t2_s: NDArray[np.float64]
    extent: Extent
    pulse_turns_error: NDArray[np.float64]
    frame_rad: float = 0.0
    diffusion_m2_per_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    decompositions: Decompositions = field(default_factory=dict)
    concomitant: ConcomitantMoments | None = None
    cut_ticks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Gaps of a run, and what the halves of the pulses beside them ask of them: time [s], phase [turns], k [1/m]."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    window: NDArray[np.int64]
    before_s: NDArray[np.float64]
    after_s: NDArray[np.float64]
    before_turns: NDArray[np.float64]
    after_turns: NDArray[np.float64]
    before_k: NDArray[np.float64]
    after_k: NDArray[np.float64]


def _gaps(waves: Waveforms, pulses: PulseTable, setting: Setting) -> _Gaps:
    """Merge windows of RF with further cuts; a cut is a break of no length and without a pulse."""
    n, cuts = len(waves.windows), setting.cut_ticks
    starts = np.concatenate([waves.windows[:, 0], cuts])
    order = np.argsort(starts, kind="stable")
    window = np.concatenate([np.arange(n), np.full(len(cuts), -1)])[order]
    starts, ends = starts[order], np.concatenate([waves.windows[:, 1], cuts])[order]
    first = np.append(-setting.idle_ticks, ends).astype(np.int64)
    last = np.append(starts, max(setting.end_tick, int(first[-1]))).astype(np.int64)
    half_s = (ends - starts) * waves.tick_s / 2
    phase = np.append(pulses.phase_turns, 0.0)[window]
    area = np.vstack([np.array(pulses.area_error).reshape(-1, 4), np.zeros(4)])[window] / 2
    error = np.append(setting.pulse_turns_error, 0.0)[window] / 2 + area[:, 3] * waves.tick_s
    k = area[:, :3] * waves.k_per_area
    return _Gaps(
        start=first,
        end=last,
        window=np.append(window, -1),
        before_s=np.append(0.0, half_s),
        after_s=np.append(half_s, 0.0),
        before_turns=np.append(setting.frame_rad / (2 * np.pi), phase + error),
        after_turns=np.append(error - phase, 0.0),
        before_k=np.vstack([np.zeros(3), k]),
        after_k=np.vstack([k, np.zeros(3)]),
    )


def _moments(waves: Waveforms, setting: Setting, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
    """k-space and extra moments at some ticks, shape (n, 3 + n_extra)."""
    k = waves.k_per_m(ticks)
    return k if setting.concomitant is None else np.column_stack([k, setting.concomitant.at(ticks)])


def build_table(waves: Waveforms, pulses: PulseTable, windows: Sequence[NDArray[np.int64]], setting: Setting) -> SimTable:
    """Simulation table of one run; ``windows`` are the ticks of the raw samples of each receive window."""
    gaps = _gaps(waves, pulses, setting)
    start_moment, end_moment = (_moments(waves, setting, ticks) for ticks in (gaps.start, gaps.end))
    tick = np.concatenate([np.zeros(0, dtype=np.int64), *windows])
    window = np.repeat(np.arange(len(windows)), [len(ticks) for ticks in windows])
    gap = np.searchsorted(gaps.start[1:], tick, side="right")
    gap = np.where((tick < 0) | (tick > gaps.end[gap]), -1, gap)
    stretch, cuts = classify(tick, window, waves.areas(tick), gap)
    samples = Samples(
        tick=tick,
        moment=_moments(waves, setting, tick),
        gap=gap,
        stretch=stretch,
        cuts=cuts,
        is_straight=waves.gradients.is_staircase,
    )
    builder = PieceBuilder(samples, gaps.start, start_moment, waves.tick_s, setting.extent, setting.decompositions)
    builder.add_all()
    wander = WanderMoments(waves, (gaps.start, gaps.end), (gaps.before_s, gaps.after_s), setting.diffusion_m2_per_s)
    rows = np.concatenate([np.zeros((0, start_moment.shape[1] + 1)), *builder.rows])
    is_start, row_gap = np.array(builder.step_n, dtype=np.int64) == 0, np.array(builder.row_gap, dtype=np.int64)
    row_s = rows[:, -1]
    row_loss = wander.row_loss(row_gap, row_s, np.array(builder.step_n, dtype=np.int64))
    rows[:, :3] += gaps.before_k[row_gap] * is_start[:, None]
    row_turns = gaps.before_turns[row_gap] * is_start
    row_relax = gaps.before_s[row_gap] * is_start + row_s

    gap_s = (gaps.end - gaps.start) * waves.tick_s
    relax = gap_s + gaps.before_s + gaps.after_s
    common_start = setting.common_turns(gaps.start)
    gap_turns = gaps.before_turns + gaps.after_turns + setting.common_turns(gaps.end) - common_start
    gap_move = end_moment - start_moment
    gap_move[:, :3] += gaps.before_k + gaps.after_k
    order = np.argsort(np.array(builder.gap_of_piece, dtype=np.int64), kind="stable")
    gap_of_piece = np.array(builder.gap_of_piece, dtype=np.int64)[order]
    arrays = TableArrays(
        gap_move=_moves(gap_move[:, :3], gap_turns, gap_s),
        gap_e1=_decay(relax, setting.t1_s),
        gap_recovery=(-np.expm1(-relax[:, None] / setting.t1_s)).astype(np.float32),
        gap_e2=_decay(relax, setting.t2_s, wander.gap_loss),
        gap_pulse=gaps.window,
        gap_first_piece=np.searchsorted(gap_of_piece, np.arange(len(gap_s) + 1)).astype(np.int64),
        piece_first_row=np.array(builder.first_row, dtype=np.int64)[order],
        piece_n=np.array([piece.n for piece in builder.pieces], dtype=np.int64)[order],
        piece_uniform=np.array(builder.uniform, dtype=np.bool_)[order],
        piece_out=np.array([piece.out for piece in builder.pieces], dtype=np.int64)[order],
        row_move=_moves(rows[:, :3], row_turns, row_s),
        row_e2=_decay(row_relax, setting.t2_s, row_loss),
        gap_extra=gap_move[:, 3:].astype(np.float32),
        row_extra=rows[:, 3:-1].astype(np.float32),
        gap_wander=wander.gap_wander_m,
        gap_lever=wander.gap_lever_per_m,
        gap_key=np.zeros((len(wander.gap_wander_m), 6), dtype=np.uint32),
    )
    return SimTable(
        arrays=arrays,
        gap_tick=gaps.start,
        pieces=tuple(builder.pieces),
        common_turns=setting.common_turns(tick) - common_start[np.maximum(gap, 0)],
        n_computed=builder.n_computed,
    )


def _moves(k_per_m: NDArray[np.floating], turns: NDArray[np.floating], time_s: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (kx, ky, kz, phase, time), the phase reduced to half a turn before it loses digits."""
    return np.column_stack([k_per_m, turns - np.round(turns), time_s]).astype(np.float32)


def _decay(
    time_s: NDArray[np.float64], constant_s: NDArray[np.float64], loss: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float32]:
    """Factors exp(-time / constant - loss), shape (n_times, n_tissues); zero below 1e-8: denormal numbers are slow."""
    factor = np.exp(-time_s[:, None] / constant_s - loss)
    return np.where(factor < 1e-8, 0.0, factor).astype(np.float32)
