# SPDX-License-Identifier: MIT
"""From the receiver's raw samples to the samples that a sequence asked for.

The console delivers each window at a raw rate of its own, through a sixth-order CIC. A sequence asks for ``n_samples`` at a
dwell time that need not be a multiple of the raw one, on sample times that need not fall on raw ones. One small matrix for
each kind of readout does all at once: low pass, resampling to the exact times, and undoing the CIC's droop. Its rows are
weighted least-squares fits to the wanted frequency response on the raw samples nearest to the wanted time, so a window
with little margin at its edges gets the best fit that its samples allow, not a different rule.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import CompileError
from isocenter.domain.events import Readouts
from isocenter.domain.receiver import CIC_SETTLING, cic_response, raw_sample_ticks

Samples: TypeAlias = NDArray[np.complex64] | list[NDArray[np.complex64]]
"""One row for each readout: an array when all rows are equally long, else a list. With several channels a row is two-
dimensional, channels first."""

# Edges of the response as fractions of the wanted sample rate, and half the length of the filter in wanted dwells. From
# 0.46 to 0.64 the response falls like a raised cosine, so that white noise keeps the variance of an ideal band filter.
_PASS: Final = 0.46
_STOP: Final = 0.64
_HALF_LENGTH_DWELLS: Final = 8.0
_PASS_WEIGHT: Final = 10.0
_TRANSITION_WEIGHT: Final = 0.02
_ROWS_PER_BLOCK: Final = 64
_OFFSET_STEPS: Final = 64  # readout frequency offsets share a matrix when they agree to this fraction of the band


@dataclass(frozen=True, slots=True)
class _Geometry:
    """What two readouts must share to share a matrix."""

    decimation: int
    n_raw: int
    n_samples: int
    first_tick: float  # relative to the window's start
    dwell_ticks: float
    offset_step: int  # centre of the band, in sample rates / _OFFSET_STEPS


@dataclass(frozen=True, slots=True)
class _Block:
    """Part of a readout's matrix: some rows and the columns in which they are not zero."""

    rows: slice
    columns: slice
    weights: NDArray[np.float32] | NDArray[np.complex64]


class ReceiveFilter:
    """Makes samples of raw windows; holds one matrix for each distinct geometry of a scan.

    Parameters
    ----------
    readouts
        All readouts of the scan; their matrices are computed here, so that nothing is left to do while scanning.
    clock_hz
        Clock on which the readouts are timed [Hz].

    Raises
    ------
    CompileError
        When a window has no usable raw sample, or a readout's frequency lies outside the band that the raw rate holds.
    """

    def __init__(self, readouts: Readouts, clock_hz: float) -> None:
        self._clock_hz = clock_hz
        self._blocks: dict[_Geometry, list[_Block]] = {}
        for geometry, _ in self._groups(readouts):
            self._matrix(geometry)

    def split(self, raw: NDArray[np.complex64], readouts: Readouts) -> list[NDArray[np.complex64]]:
        """The windows that ``raw`` holds completely, as views, in order; fewer than readouts when samples are missing."""
        stops = np.cumsum(readouts.n_raw, dtype=np.int64)
        n_whole = int(np.searchsorted(stops, raw.shape[-1], side="right"))
        return [raw[..., stop - n : stop] for stop, n in zip(stops[:n_whole], readouts.n_raw[:n_whole], strict=True)]

    def apply(self, raw: NDArray[np.complex64], readouts: Readouts) -> Samples:
        """Samples of each readout whose window ``raw`` holds completely.

        Parameters
        ----------
        raw
            All windows of a segment one after the other, complex64, shape ``(sum of n_raw,)`` or less; or with channels,
            shape ``(n_channels, sum of n_raw)``.
        readouts
            The segment's readouts.

        Returns
        -------
            complex64, shape ``(n_readouts, n_samples)``, with channels ``(n_readouts, n_channels, n_samples)``; a list of
            rows when they differ in length.
        """
        starts = np.concatenate([[0], np.cumsum(readouts.n_raw, dtype=np.int64)])
        n_whole = int(np.searchsorted(starts[1:], raw.shape[-1], side="right"))
        whole = readouts.slice(0, n_whole)
        rows: list[NDArray[np.complex64]] = [np.zeros(0, dtype=np.complex64)] * n_whole
        groups = self._groups(whole)
        for geometry, members in groups:
            windows = raw[..., starts[members][:, None] + np.arange(geometry.n_raw)]
            filtered = self._filter(windows, geometry) * self._demodulation(whole, members, geometry)
            if raw.ndim > 1:
                filtered = np.ascontiguousarray(filtered.swapaxes(0, 1))
            if len(groups) == 1:
                return filtered
            for member, row in zip(members, filtered, strict=True):
                rows[member] = row
        if n_whole and len({row.shape[-1] for row in rows}) == 1:
            return np.stack(rows)
        return rows

    def _filter(self, windows: NDArray[np.complex64], geometry: _Geometry) -> NDArray[np.complex64]:
        out = np.empty((*windows.shape[:-1], geometry.n_samples), dtype=np.complex64)
        for block in self._matrix(geometry):
            part = windows[..., block.columns]
            if np.iscomplexobj(block.weights):
                out[..., block.rows] = part @ block.weights.T
            else:  # twice as fast as letting numpy widen the weights
                out.real[..., block.rows] = part.real @ block.weights.T
                out.imag[..., block.rows] = part.imag @ block.weights.T
        return out

    def _demodulation(self, readouts: Readouts, members: NDArray[np.int64], geometry: _Geometry) -> NDArray[np.complex64]:
        phase_rad = readouts.phase_rad[members][:, None]
        frequency_hz = readouts.frequency_hz[members][:, None]
        if np.any(frequency_hz):
            since_start_s = (np.arange(geometry.n_samples) + 0.5) * geometry.dwell_ticks / self._clock_hz
            phase_rad = phase_rad + 2 * np.pi * frequency_hz * since_start_s
        if readouts.bend_rad is not None:
            phase_rad = phase_rad + readouts.bend_rad[members, : geometry.n_samples]
        turn: NDArray[np.complex64] = np.exp(-1j * phase_rad).astype(np.complex64)
        return turn

    def _groups(self, readouts: Readouts) -> list[tuple[_Geometry, NDArray[np.int64]]]:
        if len(readouts) == 0:
            return []
        offset = readouts.frequency_hz * readouts.dwell_ticks / self._clock_hz
        table = np.column_stack(
            [
                readouts.decimation,
                readouts.n_raw,
                readouts.n_samples,
                np.round(readouts.first_sample_tick - readouts.window_tick, 3),
                np.round(readouts.dwell_ticks, 6),
                np.round(offset * _OFFSET_STEPS),
            ]
        ).astype(np.float64)
        kinds, which = np.unique(table, axis=0, return_inverse=True)
        return [
            (
                _Geometry(int(kind[0]), int(kind[1]), int(kind[2]), float(kind[3]), float(kind[4]), int(kind[5])),
                np.flatnonzero(which.ravel() == index),
            )
            for index, kind in enumerate(kinds)
        ]

    def _matrix(self, geometry: _Geometry) -> list[_Block]:
        if geometry not in self._blocks:
            self._blocks[geometry] = _design(geometry, self._clock_hz)
        return self._blocks[geometry]


@lru_cache(maxsize=32)  # scans of one protocol share their geometry
def _design(geometry: _Geometry, clock_hz: float) -> list[_Block]:
    ratio = geometry.dwell_ticks / geometry.decimation
    offset = geometry.offset_step / _OFFSET_STEPS / ratio  # cycles per raw sample
    _check(geometry, ratio, offset, clock_hz)
    ticks = raw_sample_ticks(0.0, geometry.decimation, geometry.n_raw)
    wanted_tick = geometry.first_tick + np.arange(geometry.n_samples) * geometry.dwell_ticks
    wanted = (wanted_tick - ticks[0]) / geometry.decimation  # times in raw samples
    n_usable = geometry.n_raw - CIC_SETTLING
    length = min(n_usable, max(2, round(2 * _HALF_LENGTH_DWELLS * ratio)))
    nearest = np.round(wanted - (length - 1) / 2).astype(np.int64)
    starts = np.clip(nearest, CIC_SETTLING, geometry.n_raw - length)

    position, which = np.unique(np.round(wanted - starts, 6), return_inverse=True)
    weights = _fit(position, length, ratio, offset)
    weights = weights[which.ravel()]
    kind = np.complex64 if geometry.offset_step else np.float32
    values = (weights if geometry.offset_step else weights.real).astype(kind)

    blocks = []
    for first in range(0, geometry.n_samples, _ROWS_PER_BLOCK):
        rows = slice(first, min(first + _ROWS_PER_BLOCK, geometry.n_samples))
        low, high = int(starts[rows][0]), int(starts[rows][-1]) + length
        dense: NDArray[Any] = np.zeros((rows.stop - first, high - low), dtype=kind)
        columns = (starts[rows] - low)[:, None] + np.arange(length)
        np.put_along_axis(dense, columns, values[rows], axis=1)
        blocks.append(_Block(rows, slice(low, high), dense))
    return blocks


def _fit(position: NDArray[np.float64], length: int, ratio: float, offset: float) -> NDArray[np.complex128]:
    """Weights of ``length`` raw samples for wanted times given in raw samples from the first, shape (n_positions, length).

    They minimise ``weight |sum_n v_n C e^(2 pi i g n) - D e^(2 pi i g t)|^2`` over a grid of frequencies g about the band's
    centre, with C the CIC's response and D the wanted one; the centre of the band itself is met exactly.
    """
    n_grid = 8 * length + 64
    grid = (np.arange(n_grid) + 0.5) / n_grid - 0.5
    distance = np.abs(grid) * ratio  # in wanted sample rates
    fall = np.clip((distance - _PASS) / (_STOP - _PASS), 0.0, 1.0)
    wanted = 0.5 * (1 + np.cos(np.pi * fall))
    droop = np.where(distance < _STOP, cic_response(grid + offset), 1.0)
    weight = np.where(fall == 0, _PASS_WEIGHT, np.where(fall < 1, _TRANSITION_WEIGHT, 1.0))

    waves = np.exp(2j * np.pi * grid[:, None] * np.arange(length))  # (n_grid, length)
    normal = waves.conj().T @ ((weight * droop**2)[:, None] * waves)
    normal[np.diag_indices(length)] += 1e-7 * normal[0, 0].real
    inverse = np.linalg.inv(normal)
    at_centre = np.full(length, cic_response(np.array([offset]))[0], dtype=np.complex128)
    spread = inverse @ at_centre
    gain = (at_centre @ spread).real

    out = np.empty((len(position), length), dtype=np.complex128)
    for first in range(0, len(position), 512):
        target = np.exp(2j * np.pi * grid[:, None] * position[first : first + 512])
        fit = inverse @ (waves.conj().T @ ((weight * droop * wanted)[:, None] * target))
        fit += np.outer(spread, (1 - at_centre @ fit) / gain)
        out[first : first + 512] = fit.T
    out *= np.exp(2j * np.pi * offset * (position[:, None] - np.arange(length)))
    return out


def _check(geometry: _Geometry, ratio: float, offset: float, clock_hz: float) -> None:
    raw_hz = clock_hz / geometry.decimation
    if geometry.n_raw <= CIC_SETTLING:
        raise CompileError(
            f"A receive window holds {geometry.n_raw} raw samples, but the receiver needs {CIC_SETTLING} of them to settle.",
            "Lengthen the readout, or lower its dwell time.",
        )
    if abs(offset) + _PASS / ratio > 0.5:
        raise CompileError(
            f"A readout is {offset * raw_hz / 1e3:.1f} kHz off the receiver's frequency with a band of "
            f"{raw_hz / ratio / 1e3:.1f} kHz; the receiver only sees {raw_hz / 2e3:.1f} kHz to either side.",
            "Move the field of view nearer to the isocenter along the readout, or lower the bandwidth.",
        )
