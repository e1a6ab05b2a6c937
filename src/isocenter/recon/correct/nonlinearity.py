# SPDX-License-Identifier: MIT
"""Images whose places are right although the gradients bend."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = TypeVar("Pixels", NDArray[np.complex64], NDArray[np.float32])
_STEP_M = 1e-4
_BLOCK = 1 << 17


class GradientField(Protocol):
    """What a set of gradient coils makes of space."""

    def apparent_m(self, position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where things at places of shape ``(n, 3)`` in device axes seem to be [m]: field over gradient at the centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdOrderCoils:
    """Coils whose gradients change along their own axis with the third-order solid harmonic.

    Attributes
    ----------
    shares
        Loss of the x, y and z gradient at the radius on its own axis (device axes), 0 ... 1.
    radius_m
        Of the imaging sphere [m].
    """

    shares: tuple[float, float, float]
    radius_m: float

    def apparent_m(self, position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``GradientField``: ``u - share / (3 R^2) (u^3 - 3/2 u (v^2 + w^2))`` for each axis u."""
        squares = position_m**2
        others = squares.sum(axis=1, keepdims=True) - squares
        strength = np.asarray(self.shares) / (3 * self.radius_m**2)
        apparent: NDArray[np.float64] = position_m * (1 - strength * (squares - 1.5 * others))
        return apparent


def straighten(
    image: Pixels,
    first_voxel_m: NDArray[np.floating],
    steps_m: NDArray[np.floating],
    field: GradientField,
    *,
    in_plane_only: bool = False,
) -> Pixels:
    """Image on a straight grid, its brightness corrected for voxels that were larger or smaller than they seemed.

    Parameters
    ----------
    image
        Complex or magnitude, shape ``(n_slices, n_rows, n_cols)``.
    first_voxel_m
        Centre of voxel [0, 0, 0] in device axes, from the isocenter [m], shape (3,).
    steps_m
        From a voxel to the next slice, row and column, device axes [m], shape (3, 3), one vector a row.
    field
        Of the gradients.
    in_plane_only
        For separate slices, between which nothing can be interpolated: voxels are moved within their slice only. Where the
        slices themselves are bent is not corrected.

    Source
    ------
    A spin at r shows at the apparent place e(r), with the density of its volume there: rho(r) = image(e(r)) |det de/dr|.
    """
    from scipy.ndimage import map_coordinates, spline_filter

    shape = image.shape
    steps = np.asarray(steps_m, dtype=np.float64).copy()
    for axis in range(3):
        if not steps[axis].any():  # a single slice may come without a step
            others = [steps[(axis + 1) % 3], steps[(axis + 2) % 3]]
            normal = np.cross(*others)
            steps[axis] = normal / max(float(np.linalg.norm(normal)), 1e-30) * 1e-3
    inverse = np.linalg.inv(steps)
    grid = np.indices(shape).reshape(3, -1).T
    parts = [np.asarray(part, dtype=np.float32) for part in (image.real, image.imag)]
    splines = [
        spline_filter(part, order=3, mode="mirror", output=np.float32) for part in parts[: 1 + np.iscomplexobj(image)]
    ]
    out = np.empty(len(grid), dtype=image.dtype)
    for start in range(0, len(grid), _BLOCK):  # keeps the table of places small
        block = slice(start, start + _BLOCK)
        place_m = np.asarray(first_voxel_m, dtype=np.float64) + grid[block] @ steps
        index = ((field.apparent_m(place_m) - first_voxel_m) @ inverse).T
        stretch = _stretch(field, place_m, steps, in_plane_only)
        if in_plane_only or shape[0] == 1:
            index[0] = grid[block, 0]
        last = np.array(shape)[:, None] - 1
        is_inside = ((index > -0.5) & (index < last + 0.5)).all(axis=0)
        nearest = np.clip(index, 0, last)
        found = [map_coordinates(part, nearest, order=3, prefilter=False, mode="mirror") * is_inside for part in splines]
        out[block] = (found[0] if len(found) == 1 else found[0] + 1j * found[1]) * stretch
    return out.reshape(shape)


def _stretch(
    field: GradientField, place_m: NDArray[np.float64], steps: NDArray[np.float64], in_plane_only: bool
) -> NDArray[np.float32]:
    """Apparent volume of a small cube, or area of a small square in the slice, over the true one."""
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    moved = [
        (field.apparent_m(place_m + _STEP_M * axis) - field.apparent_m(place_m - _STEP_M * axis)) / (2 * _STEP_M)
        for axis in unit
    ]
    jacobian = np.stack(moved, axis=1) @ np.linalg.inv(unit)
    part = jacobian[:, 1:, 1:] if in_plane_only else jacobian
    stretch: NDArray[np.float32] = np.abs(np.linalg.det(part)).astype(np.float32)
    return stretch
