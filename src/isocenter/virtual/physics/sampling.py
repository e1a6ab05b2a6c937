# SPDX-License-Identifier: MIT
"""Where the signal is really computed, and how raw samples follow from that.

The receiver delivers several raw samples for each one that the image needs. Within a stretch of constant gradient the
signal is a sum of exponentials whose frequencies lie between known bounds, so fewer samples say all there is: about
1.3 x bandwidth x time + 15, on an even grid that reaches a little over both ends. The matrix from there to the raw
samples is a least-squares fit over the whole band, its error is measured, and the grid refined until it is below
``TOLERANCE``. On ramps, where samples are uneven in k, an interpolative decomposition over spins from the edge and the
inside of the object picks those samples that determine the rest.

Source of the decomposition: Cheng, Gimbutas, Martinsson, Rokhlin, SIAM J. Sci. Comput. 26 (2005) 1389, by pivoted QR.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

TOLERANCE: Final = 4e-5
"""Largest error of an interpolated sample relative to the sum of the spins' magnitudes."""
BEYOND: Final = 4
"""Points of the coarse grid beyond either end of a stretch."""
SHORTEST_UNIFORM: Final = 12
"""Fewer samples than this at constant gradient are computed one by one."""
LONGEST: Final = 1024
"""Longer stretches are cut [raw samples]."""
LONGEST_NODES: Final = 96
"""Longer uneven stretches are cut [raw samples]."""
BAND_STEP: Final = 1.03
"""Bandwidths are rounded up to powers of this, so that one matrix serves many readouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Spins that stand for all: corners of the object in position and frequency, and some from inside.

    Attributes
    ----------
    place
        Channel axes [m] and extra functions of space, float64, shape (n, 3 + n_extra).
    offset_hz
        Frequency [Hz], shape (n,).
    damping_hz
        Bandwidth that relaxation adds on either side [Hz].
    """

    place: NDArray[np.float64]
    offset_hz: NDArray[np.float64]
    damping_hz: float

    def band_hz(self, rate: NDArray[np.float64], duration_s: float) -> tuple[float, float]:
        """Centre and half width of the band of all spins [Hz] under a gradient [Hz/m, and Hz per extra function]."""
        frequency = self.place @ rate
        low = float(frequency.min() + self.offset_hz.min())
        high = float(frequency.max() + self.offset_hz.max())
        return (low + high) / 2, 1.03 * (high - low) / 2 + self.damping_hz + 0.5 / duration_s


def extent_of(
    position_m: NDArray[np.floating],
    offset_hz: NDArray[np.floating],
    shortest_t2_s: float,
    *,
    extra: NDArray[np.floating] | None = None,
    stretch: float = 1.0,
) -> Extent:
    """Corners of an object along 128 directions, each with the extremes of frequency, and 64 spins from inside.

    ``extra`` are further functions of space, shape ``(n_extra, n)``. A ``stretch`` of more than 1 makes the object larger
    about its middle, as room to move in.
    """
    rng = np.random.default_rng(1)
    position = np.asarray(position_m, dtype=np.float64)
    directions = np.concatenate([np.eye(3), rng.normal(size=(61, 3))])
    # Float32 matrix product in slabs: a million spins times 64 directions would otherwise be half a gigabyte.
    slabs = [position_m[first : first + 65536] @ directions.T.astype(np.float32) for first in range(0, len(position), 65536)]
    starts = np.arange(len(slabs)) * 65536
    best: list[int] = []
    for pick in (np.argmax, np.argmin):
        rows = np.stack([pick(slab, axis=0) for slab in slabs])
        values = np.stack([slab[row, np.arange(64)] for slab, row in zip(slabs, rows, strict=True)])
        slab_of = pick(values, axis=0)
        best.extend((rows[slab_of, np.arange(64)] + starts[slab_of]).tolist())
    corners = position[np.unique(best)]
    inside = rng.integers(0, len(position), 64)
    low, high = float(offset_hz.min()), float(offset_hz.max())
    place = np.concatenate([corners, corners, position[inside]])
    middle, offset_middle = (place.max(axis=0) + place.min(axis=0)) / 2, (low + high) / 2
    offset = np.concatenate(
        [np.full(len(corners), low), np.full(len(corners), high), np.asarray(offset_hz, dtype=np.float64)[inside]]
    )
    chosen = np.concatenate([np.unique(best), np.unique(best), inside])
    functions = np.zeros((len(place), 0)) if extra is None else np.asarray(extra, dtype=np.float64)[:, chosen].T * stretch**2
    return Extent(
        place=np.column_stack([middle + stretch * (place - middle), functions]),
        offset_hz=offset_middle + stretch * (offset - offset_middle),
        damping_hz=1 / (np.pi * shortest_t2_s),
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """Coarse even grid for some raw samples.

    Attributes
    ----------
    places
        Where it is, in units of the raw spacing from the first raw sample, shape ``(n,)``.
    matrix
        From there to the raw samples, shape ``(n_raw, n)``.
    """

    places: NDArray[np.float64]
    matrix: NDArray[np.float64]

    @property
    def first(self) -> float:
        """Its first place."""
        return float(self.places[0])

    @property
    def step(self) -> float:
        """Its spacing."""
        return float(self.places[1] - self.places[0])

    @property
    def n(self) -> int:
        """Its number of points."""
        return len(self.places)


def grid(n: int, half_band: float) -> Grid | None:
    """Grid for ``n`` even raw samples of a band of +-``half_band`` [cycles per raw sample], None if it saves nothing."""
    exponent = int(np.ceil(np.log(max(half_band, 1e-5)) / np.log(BAND_STEP)))
    return _grid(n, exponent)


@lru_cache(maxsize=256)
def _grid(n: int, exponent: int) -> Grid | None:
    half_band = BAND_STEP**exponent
    n_coarse = int(2.3 * half_band * (n - 1)) + 2 * BEYOND + 4
    while n_coarse < 0.8 * n:
        step = (n - 1) / (n_coarse - 1 - 2 * BEYOND)
        matrix, error = _fit(n, n_coarse, step, half_band)
        if error < TOLERANCE:
            return Grid((np.arange(n_coarse, dtype=np.float64) - BEYOND) * np.float64(step), matrix)
        n_coarse += max(2, n_coarse // 16)
    return None


def _fit(n: int, n_coarse: int, step: float, half_band: float) -> tuple[NDArray[np.float64], float]:
    """Least-squares matrix from coarse to raw samples over a band, and its largest error between the fitted points."""
    raw = np.arange(n) - (n - 1) / 2
    coarse = (np.arange(n_coarse) - (n_coarse - 1) / 2) * step
    fitted = half_band * np.cos((np.arange(2 * n_coarse) + 0.5) * np.pi / (4 * n_coarse))

    def waves(places: NDArray[np.floating]) -> NDArray[np.float64]:
        angle = 2 * np.pi * places[:, None] * fitted
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1, dtype=np.float64)

    left, singular, right = np.linalg.svd(waves(coarse), full_matrices=False)
    keep = singular > 1e-5 * singular[0]
    matrix = (waves(raw) @ right[keep].T / singular[keep]) @ left[:, keep].T
    between = np.linspace(0, half_band, 3 * n_coarse + 1)
    exact = np.exp(2j * np.pi * raw[:, None] * between)
    error = float(np.abs(exact - matrix @ np.exp(2j * np.pi * coarse[:, None] * between)).max())
    return matrix, error


def band_nodes(n: int, half_band: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Raw samples that determine all ``n`` of a band of +-``half_band`` [cycles per raw sample], and the matrix to all."""
    return _band_nodes(n, int(np.ceil(np.log(max(half_band, 1e-5)) / np.log(BAND_STEP))))


@lru_cache(maxsize=256)
def _band_nodes(n: int, exponent: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    half_band = BAND_STEP**exponent
    n_waves = int(4 * half_band * n) + 16
    turns = np.arange(n) * (half_band * np.cos((np.arange(n_waves) + 0.5) * np.pi / (2 * n_waves)))[:, None]
    chosen, matrix = _skeleton(np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)]))
    return chosen, np.asarray(matrix, dtype=np.float64)


def decompose(
    moment: NDArray[np.float64], time_s: NDArray[np.float64], extent: Extent
) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """Samples that determine all of an uneven stretch, and the matrix from them to all.

    Parameters
    ----------
    moment, time_s
        Of each sample, shapes ``(n, 3 + n_extra)`` and ``(n,)``.

    Returns
    -------
        Indices of the chosen samples, shape ``(m,)``, and the matrix, shape ``(n, m)``.
    """
    turns = extent.place @ (moment - moment[0]).T + extent.offset_hz[:, None] * (time_s - time_s[0])
    chosen, matrix = _skeleton(np.exp(2j * np.pi * turns))
    return chosen, np.asarray(matrix, dtype=np.complex128)


def _skeleton(signals: NDArray[np.inexact]) -> tuple[NDArray[np.int64], NDArray[np.inexact]]:
    """Columns that span all columns, and the matrix from them to all."""
    _, triangle, order = qr(signals, mode="economic", pivoting=True)
    size = np.abs(np.diag(triangle))
    rank = int(np.count_nonzero(size > TOLERANCE * size[0]))
    matrix = np.zeros((signals.shape[1], rank), dtype=signals.dtype)
    matrix[order[:rank]] = np.eye(rank)
    matrix[order[rank:]] = solve_triangular(triangle[:rank, :rank], triangle[:rank, rank:]).T
    return order[:rank].astype(np.int64), matrix
