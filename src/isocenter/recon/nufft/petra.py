# SPDX-License-Identifier: MIT
"""PETRA: half spokes that start where the dead time ends, and the ball inside measured point by point on a grid."""

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft.density import iterated_weights, spoke_weights
from isocenter.recon.nufft.inverse import Grid, InverseOptions, Inverted, Samples, invert

Floats = NDArray[np.float64]


def reconstruct_petra(
    spokes: Samples, points: Samples, grid: Grid, *, options: InverseOptions | None = None, b0_hz: Floats | None = None
) -> Inverted:
    """One image from both parts of a PETRA scan.

    Parameters
    ----------
    spokes, points
        As ``petra_weights`` gave them their weights; points may be empty.
    grid
        What is wanted.
    options, b0_hz
        As of ``invert``.
    """
    return invert(joined(spokes, points), grid, options=options, b0_hz=b0_hz)


def joined(first: Samples, second: Samples) -> Samples:
    """Two sets of samples as one."""
    times = None
    if first.time_s is not None and second.time_s is not None:
        times = np.concatenate([first.time_s, second.time_s])
    return Samples(
        values=np.concatenate([first.values, second.values], axis=1),
        points_per_m=np.concatenate([first.points_per_m, second.points_per_m]),
        weights=np.concatenate([first.weights, second.weights]),
        time_s=times,
    )


def petra_weights(spokes_per_m: Floats, points_per_m: Floats, grid: Grid) -> tuple[Floats, Floats]:
    """Density compensation of both parts: the points share the ball that the spokes leave out.

    Parameters
    ----------
    spokes_per_m
        Positions along the half spokes [1/m], shape ``(n_spokes, n_samples, 3)``.
    points_per_m
        Positions of the points [1/m], shape ``(n_points, 3)``. Repeated ones share their part.
    grid
        Of the image.

    Returns
    -------
        Weights, shapes ``(n_spokes, n_samples)`` and ``(n_points,)``.

    Raises
    ------
    ReconError
        There is no spoke.
    """
    if spokes_per_m.size == 0:
        raise ReconError("A PETRA scan without one spoke has no image.", "Measure it again, to its end.")
    radius = np.linalg.norm(spokes_per_m, axis=2)
    hidden_per_m = float(np.nanmin(radius)) if len(points_per_m) else 0.0
    weights = spoke_weights(spokes_per_m, grid.voxel_m, inner_per_m=hidden_per_m)
    if weights is None:  # cut short: directions are not evenly spread any more
        weights = np.zeros(radius.shape)
        is_there = np.isfinite(radius)
        weights[is_there] = iterated_weights(spokes_per_m[is_there], grid.shape, grid.voxel_m)
    if len(points_per_m) == 0:
        return weights, np.zeros(0)
    step_per_m = 1 / (max(grid.shape) * max(grid.voxel_m))
    _, index, counts = np.unique(
        np.round(points_per_m / (0.1 * step_per_m)), axis=0, return_inverse=True, return_counts=True
    )
    ball = 4 / 3 * np.pi * hidden_per_m**3 * np.prod(grid.voxel_m)
    return weights, ball / len(counts) / counts[index.reshape(-1)]
