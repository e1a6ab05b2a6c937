# SPDX-License-Identifier: MIT
"""From what the pins did to the few events that spins need: gaps of free precession, pulses, pieces of readouts.

A *gap* is the time between two pulses. Whatever the gradients do in it, a spin at rest sees their moments only, so the
gap is one operation, and each sample of a readout is a move from the state at the gap's start. Relaxation during a pulse is
split: half before, half after (Strang); its precession is inside the pulse. A phase that all spins share (frequency of the
oscillator, drift) is left out of the readouts and put on the finished samples.

Source of the idea: moments instead of steps, as extended phase graphs have used since Hennig, J. Magn. Reson. 78 (1988) 397.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.engine_diffusion import WanderMoments
from isocenter.virtual.physics.engine_fields import ConcomitantMoments
from isocenter.virtual.physics.kernels import TableArrays
from isocenter.virtual.physics.pulses import PulseTable
from isocenter.virtual.physics.sampling import LONGEST, Shapes
from isocenter.virtual.physics.waveforms import Waveforms


@dataclass(frozen=True, slots=True, kw_only=True)
class SimTable:
    """One run, ready for the kernels.

    Attributes
    ----------
    arrays
        What the kernels read; ``gap_pulse`` is the number of the window of RF that ends a gap, ``piece_shape`` counts the
        shapes in ``shapes``.
    gap_tick
        Start of each gap, int64.
    shapes
        Numbers of the shapes of pieces that occur, int64.
    common_turns
        Phase of each raw sample that all spins share [turns].
    """

    arrays: TableArrays
    gap_tick: NDArray[np.int64]
    shapes: NDArray[np.int64]
    common_turns: NDArray[np.float64]

    def raw(self, computed: NDArray[np.complex128]) -> NDArray[np.complex64]:
        """Raw samples of shape ``(n_channels, n)`` from computed ones; zero in a pulse or outside the run."""
        turns = self.common_turns - np.round(self.common_turns)
        return np.asarray(computed * np.exp(2j * np.pi * turns), dtype=np.complex64)


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
        Turn of the magnetisation at the start, when the local oscillator's phase is set back or its frequency changes [rad].
    t1_s, t2_s, diffusion_m2_per_s
        Of each tissue; no diffusion if empty.
    shapes
        Shapes of readouts that were met in earlier runs; new ones are added.
    block_half
        Half widths of the blocks of spins in each coordinate, shape (n_blocks, n_coordinates).
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
    shapes: Shapes
    block_half: NDArray[np.float64]
    pulse_turns_error: NDArray[np.float64]
    frame_rad: float = 0.0
    diffusion_m2_per_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
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
    """k-space, time and extra moments at some ticks, shape (n, n_coordinates)."""
    parts = [waves.k_per_m(ticks), (ticks * waves.tick_s)[:, None]]
    if setting.concomitant is not None:
        parts.append(setting.concomitant.at(ticks))
    return np.concatenate(parts, axis=1)


def build_table(waves: Waveforms, pulses: PulseTable, windows: Sequence[NDArray[np.int64]], setting: Setting) -> SimTable:
    """Simulation table of one run; ``windows`` are the ticks of the raw samples of each receive window."""
    gaps = _gaps(waves, pulses, setting)
    start_moment = _moments(waves, setting, gaps.start)
    tick = np.concatenate([np.zeros(0, dtype=np.int64), *windows])
    window = np.repeat(np.arange(len(windows)), [len(ticks) for ticks in windows])
    gap = np.searchsorted(gaps.start[1:], tick, side="right")
    is_outside = (tick < 0) | (tick > gaps.end[gap])
    pieces = _pieces(np.where(is_outside, -1, gap), window)
    row_move = _moments(waves, setting, tick) - start_moment[gap]
    piece_shape = _shapes(row_move, pieces, setting)
    used, piece_shape = _renumbered(piece_shape)
    row_s = row_move[:, 3].copy()
    row_move[:, :3] += gaps.before_k[gap]

    wander = WanderMoments(waves, (gaps.start, gaps.end), (gaps.before_s, gaps.after_s), setting.diffusion_m2_per_s)
    gap_s = (gaps.end - gaps.start) * waves.tick_s
    relax = gap_s + gaps.before_s + gaps.after_s
    common_start = setting.common_turns(gaps.start)
    gap_turns = gaps.before_turns + gaps.after_turns + setting.common_turns(gaps.end) - common_start
    gap_move = _moments(waves, setting, gaps.end) - start_moment
    gap_move[:, :3] += gaps.before_k + gaps.after_k
    arrays = TableArrays(
        gap_move=gap_move,
        gap_phase=gap_turns - np.round(gap_turns),
        gap_e1=_decay(relax, setting.t1_s),
        gap_recovery=(-np.expm1(-relax[:, None] / setting.t1_s)).astype(np.float32),
        gap_e2=_decay(relax, setting.t2_s, wander.gap_loss),
        gap_pulse=gaps.window,
        gap_first_piece=np.searchsorted(gap[pieces[:, 0]], np.arange(len(gap_s) + 1)).astype(np.int64),
        piece_row=pieces[:, 0].copy(),
        piece_n=pieces[:, 1] - pieces[:, 0],
        piece_shape=piece_shape,
        row_move=np.ascontiguousarray(row_move.T),
        row_phase=gaps.before_turns[gap],
        row_e2=np.ascontiguousarray(_decay(row_s + gaps.before_s[gap], setting.t2_s, wander.row_loss(gap, row_s)).T),
        gap_wander=wander.gap_wander_m,
        gap_lever=wander.gap_lever_per_m,
        gap_key=np.zeros((len(wander.gap_wander_m), 6), dtype=np.uint32),
    )
    return SimTable(
        arrays=arrays, gap_tick=gaps.start, shapes=used, common_turns=setting.common_turns(tick) - common_start[gap]
    )


def _pieces(gap: NDArray[np.int64], window: NDArray[np.int64]) -> NDArray[np.int64]:
    """First raw sample of each piece of a readout, and one behind its last, in order of gaps; int64, shape (n, 2)."""
    if not len(gap):
        return np.zeros((0, 2), dtype=np.int64)
    cuts = np.flatnonzero((np.diff(gap) != 0) | (np.diff(window) != 0)) + 1
    edges = np.concatenate([[0], cuts, [len(gap)]])
    found: list[tuple[int, int]] = []
    for start, stop in pairwise(edges.tolist()):
        if gap[start] >= 0:
            n_parts = -(-(stop - start) // LONGEST)
            inner = [start + (stop - start) * part // n_parts for part in range(n_parts + 1)]
            found.extend(pairwise(inner))
    pieces = np.array(found, dtype=np.int64).reshape(-1, 2)
    return pieces[np.argsort(gap[pieces[:, 0]], kind="stable")]


def _shapes(row_move: NDArray[np.float64], pieces: NDArray[np.int64], setting: Setting) -> NDArray[np.int64]:
    """Shape of each piece, -1 for none."""
    setting.shapes.forget_if_many()
    found = [
        setting.shapes.find(row_move[start:stop] - row_move[start], setting.block_half) for start, stop in pieces.tolist()
    ]
    return np.array(found, dtype=np.int64)


def _renumbered(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers that occur, and where each is among them; -1 stays."""
    used = np.unique(numbers[numbers >= 0])
    return used, np.where(numbers >= 0, np.searchsorted(used, numbers), -1).astype(np.int64)


def _decay(
    time_s: NDArray[np.float64], constant_s: NDArray[np.float64], loss: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float32]:
    """Factors exp(-time / constant - loss), shape (n_times, n_tissues); zero below 1e-8: denormal numbers are slow."""
    factor = np.exp(-time_s[:, None] / constant_s - loss)
    return np.where(factor < 1e-8, 0.0, factor).astype(np.float32)
