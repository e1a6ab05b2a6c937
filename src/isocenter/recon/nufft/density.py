# SPDX-License-Identifier: MIT
"""Density compensation: how much of k-space each sample stands for.

Weights are areas or volumes of k-space times the area or volume of a voxel, so a band that is covered completely sums to 1,
and the weighted adjoint of samples has the same scale as the least-squares image.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.transform import cycles_of, spreading
from isocenter.recon.nufft.window import BETA, WIDTH

Floats = NDArray[np.float64]

_BENT: Final = 0.02  # a sample this far beside a straight line, in parts of the spoke's length: no spoke
_UNEVEN: Final = 0.15  # largest deviation from an even spread of directions over the sphere
_WIDEST: Final = 2.5  # in 2D a spoke stands for at most this many median angles: what was not measured is not scaled up


def spoke_weights(points_per_m: Floats, voxel_m: tuple[float, ...], *, inner_per_m: float = 0.0) -> Floats | None:
    """Weights of spokes through, or from, the centre of k-space: the volume between the midpoints of their samples.

    In 2D the angle that a spoke stands for reaches halfway to its neighbours, so golden angles are right. In 3D directions
    must be evenly spread.

    Parameters
    ----------
    points_per_m
        Positions in k-space [1/m], shape ``(n_spokes, n_samples, n_dim)``; NaN behind the end of a shorter spoke.
    voxel_m
        Size of a voxel along each axis [m].
    inner_per_m
        Radius below which something else was measured [1/m]: there the volume of a spoke's first sample ends.

    Returns
    -------
        float64, shape ``(n_spokes, n_samples)``, 0 where there is no sample; None when the readouts are no spokes, or not
        evenly spread in 3D.
    """
    lines = _straight_lines(points_per_m)
    if lines is None:
        return None
    direction, radius = lines
    n_dim = points_per_m.shape[2]
    begin, end = _edges(radius, inner_per_m)
    is_two_sided = np.nanmin(begin, axis=1) < 0
    shares = _angles(direction, is_two_sided) if n_dim == 2 else _solid_angles(direction, is_two_sided)
    if shares is None:
        return None
    ahead = (np.maximum(end, 0) ** n_dim - np.maximum(begin, 0) ** n_dim) / n_dim
    behind = (np.maximum(-begin, 0) ** n_dim - np.maximum(-end, 0) ** n_dim) / n_dim
    weights = ahead * shares[0][:, np.newaxis] + behind * shares[1][:, np.newaxis]
    return np.asarray(np.nan_to_num(weights) * np.prod(voxel_m), dtype=np.float64)


def _straight_lines(points: Floats) -> tuple[Floats, Floats] | None:
    """Unit vector of each spoke, and where along it its samples lie, outwards last; None when a readout is no spoke."""
    if points.shape[0] == 0 or points.shape[1] < 2:
        return None
    filled = np.nan_to_num(points)
    squared = np.einsum("jsd,jsd->js", filled, filled)
    farthest = filled[np.arange(len(points)), np.argmax(squared, axis=1)]
    reach = np.linalg.norm(farthest, axis=1)
    if not reach.min() > 0:
        return None
    direction = farthest / reach[:, np.newaxis]
    radius = np.einsum("jsd,jd->js", points, direction)
    beside = np.sqrt(np.maximum(squared - np.nan_to_num(radius) ** 2, 0))
    steps = np.diff(radius, axis=1)
    is_one_way = (np.nan_to_num(steps, nan=1.0) > 0).all(axis=1) | (np.nan_to_num(steps, nan=-1.0) < 0).all(axis=1)
    if not is_one_way.all() or np.any(beside > _BENT * reach[:, np.newaxis]):
        return None
    return direction, radius


def _edges(radius: Floats, inner: float) -> tuple[Floats, Floats]:
    """Lower and upper end of what each sample stands for along its spoke; NaN where there is no sample."""
    half = np.abs(np.nanmedian(np.diff(radius, axis=1), axis=1, keepdims=True)) / 2
    order = np.argsort(radius, axis=1)  # NaN goes last
    ordered = np.take_along_axis(radius, order, axis=1)
    low, high = ordered - half, ordered + half
    middle = 0.5 * (ordered[:, 1:] + ordered[:, :-1])
    low[:, 1:] = middle
    high[:, :-1] = np.where(np.isnan(middle), high[:, :-1], middle)
    first = low[:, 0]
    # A spoke that starts at the centre does not reach to the other side of it.
    starts_inside = ordered[:, 0] > -0.5 * half[:, 0]
    low[:, 0] = np.where(starts_inside, np.maximum(first, 0) if inner == 0 else inner, first)
    begin, end = np.empty_like(radius), np.empty_like(radius)
    np.put_along_axis(begin, order, low, axis=1)
    np.put_along_axis(end, order, np.maximum(high, low), axis=1)
    return begin, end


def _angles(direction: Floats, is_two_sided: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Angle [rad] that the forward half and the backward half of each spoke stand for."""
    angle = np.arctan2(direction[:, 0], direction[:, 1])
    everywhere = np.concatenate([angle, angle[is_two_sided] + np.pi]) % (2 * np.pi)
    values, index, counts = np.unique(np.round(everywhere, 6), return_inverse=True, return_counts=True)
    gaps = np.diff(values, append=values[0] + 2 * np.pi)
    share = 0.5 * (gaps + np.roll(gaps, 1))
    share = (np.minimum(share, _WIDEST * np.median(share)) / counts)[index]
    backward = np.zeros(len(angle))
    backward[is_two_sided] = share[len(angle) :]
    return share[: len(angle)], backward


def _solid_angles(direction: Floats, is_two_sided: NDArray[np.bool_]) -> tuple[Floats, Floats] | None:
    """Solid angle [sr] of each half, all alike; None when they do not cover the sphere evenly."""
    everywhere = np.concatenate([direction, -direction[is_two_sided]])
    spread = np.linalg.eigvalsh(everywhere.T @ everywhere / len(everywhere))
    if np.abs(3 * spread - 1).max() > _UNEVEN or np.linalg.norm(everywhere.mean(axis=0)) > _UNEVEN:
        return None
    share = np.full(len(direction), 4 * np.pi / len(everywhere))
    return share, np.where(is_two_sided, share, 0.0)


def iterated_weights(
    points_per_m: Floats, shape: tuple[int, ...], voxel_m: tuple[float, ...], *, n_iterations: int = 10
) -> Floats:
    """Weights for any trajectory: repeated until the weighted samples, blurred by the window, are even.

    ``w <- w / (C w)``, with C the spreading onto the grid and back; no transform is needed.

    Parameters
    ----------
    points_per_m
        Positions in k-space [1/m], shape ``(n_points, n_dim)``.
    shape, voxel_m
        Of the image; columns of the positions are in the order of its axes.
    n_iterations
        Repetitions; ten are usual.

    Returns
    -------
        float64, shape ``(n_points,)``.

    Source
    ------
    Pipe, Menon, MRM 41:179 (1999), equation 6.
    """
    cycles = cycles_of(points_per_m, shape, voxel_m)
    if len(cycles) == 0:
        return np.zeros(0)
    gridder = spreading(cycles, shape)
    weights = np.ones(len(cycles), dtype=np.complex64)
    for _ in range(n_iterations):
        weights /= np.maximum(np.abs(gridder.blur(weights)), np.finfo(np.float32).tiny)
    # What the blurred weights are 1 for: the window's integral squared, in cycles per voxel.
    integral = WIDTH * np.sinh(BETA) / (BETA * np.i0(BETA))
    volume = np.prod([integral**2 / n for n in gridder.n_grid])
    return np.asarray(weights.real * volume, dtype=np.float64)
