# SPDX-License-Identifier: MIT
"""An uneven field: ``exp(2 pi i f(r) t)`` as a short sum of products of a function of t and one of r.

Then a measurement with off-resonance is a sum of plain transforms. The rank that is needed grows with the turns between the
fastest and the slowest voxel during the readout, about as turns + 5.

Source
------
Fessler et al., IEEE TSP 53:3393 (2005), section on histograms: the best basis follows from the singular values of the
matrix of frequencies that occur and times. Measured ranks: reference performance.md 3.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft.gridder import Complex

TOLERANCE: Final = 1e-3
"""Relative error of the sum, root mean square over voxels and times: far below the noise of a low-field image."""

MOST_TURNS: Final = 100.0
"""More than this between two voxels during one readout is no image any more, and would take hours."""

_BINS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSplit:
    """``exp(2 pi i f(r) t_j)`` is the sum over l of ``in_time[l, j] * in_space[l, r]``.

    Attributes
    ----------
    in_time
        complex64, shape ``(rank, n_points)``.
    in_space
        complex64, shape ``(rank, *shape)``.
    """

    in_time: Complex
    in_space: Complex

    @property
    def rank(self) -> int:
        """Transforms that one measurement takes."""
        return len(self.in_time)


def split_field(b0_hz: NDArray[np.floating], time_s: NDArray[np.floating], *, tolerance: float = TOLERANCE) -> FieldSplit:
    """The shortest sum that is good enough.

    Parameters
    ----------
    b0_hz
        Frequency of each voxel relative to the receiver's [Hz], shape of the image.
    time_s
        Time for which spins have turned freely at each sample [s], shape ``(n_points,)``.

    Raises
    ------
    ReconError
        The map or the times are not finite, or the field varies too much.
    """
    field, times = np.asarray(b0_hz, dtype=np.float64), np.asarray(time_s, dtype=np.float64)
    if not np.isfinite(field).all() or not np.isfinite(times).all():
        raise ReconError(
            "The map of the field, or the times of the samples, have values that are not numbers.",
            "Fill the map's holes before the correction, or reconstruct without it.",
        )
    low_hz, high_hz = float(field.min()), float(field.max())
    first_s, last_s = float(times.min(initial=np.inf)), float(times.max(initial=-np.inf))
    turns = (high_hz - low_hz) * max(last_s - first_s, 0.0)
    if turns > MOST_TURNS:
        raise ReconError(
            f"The field differs by {high_hz - low_hz:.4g} Hz within the image, {turns:.0f} turns during a readout.",
            "Use a higher bandwidth, or cut outliers off the field map.",
        )
    # What the middle frequency does at all times, and the middle time to all frequencies, is exact and no part of the sum.
    middle_hz, middle_s = 0.5 * (low_hz + high_hz), 0.5 * (first_s + last_s) if times.size else 0.0
    span_hz, span_s = high_hz - low_hz, max(last_s - first_s, 0.0)
    grid_s = np.linspace(-0.5, 0.5, max(64, round(8 * turns) + 1)) * span_s
    counts, edges = np.histogram(field - middle_hz, bins=_BINS)
    is_used = counts > 0
    bins_hz, share = 0.5 * (edges[:-1] + edges[1:])[is_used], np.sqrt(counts[is_used] / field.size)
    left, values, right = np.linalg.svd(_turned(grid_s, bins_hz) * share, full_matrices=False)
    energy = np.cumsum(values[::-1] ** 2)[::-1]
    rank = max(int(np.count_nonzero(energy > tolerance**2 * energy[0])), 1)
    # The singular vectors continue to any time and any frequency, so that neither needs to lie on the grid.
    continued = share[:, np.newaxis] * right[:rank].conj().T / values[:rank]
    moments, which = np.unique(times - middle_s, return_inverse=True)
    in_time = (_turned(moments, bins_hz) @ continued).T * np.exp(2j * np.pi * middle_hz * (moments + middle_s))
    lines_hz = np.linspace(-0.5, 0.5, max(2, round(300 * turns) + 2)) * span_hz
    on_lines = left[:, :rank].conj().T @ _turned(grid_s, lines_hz)
    offset_hz = field - middle_hz
    place = (offset_hz - lines_hz[0]) / (lines_hz[1] - lines_hz[0]) if span_hz > 0 else np.zeros(field.shape)
    line = np.minimum(place.astype(np.int64), len(lines_hz) - 2)
    between = place - line
    in_space = np.stack([row[line] + between * (row[line + 1] - row[line]) for row in on_lines])
    in_space *= np.exp(2j * np.pi * offset_hz * middle_s)
    return FieldSplit(in_time=in_time[:, which].astype(np.complex64), in_space=in_space.astype(np.complex64))


def _turned(times_s: NDArray[np.float64], frequencies_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    return np.asarray(np.exp(2j * np.pi * np.outer(times_s, frequencies_hz)))
