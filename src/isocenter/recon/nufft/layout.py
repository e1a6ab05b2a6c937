# SPDX-License-Identifier: MIT
"""Which way a trajectory runs, which voxels it asks for, and where these lie in the patient."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import Placement, lps_from_device
from isocenter.domain.raw import RawScan
from isocenter.recon.display import Axis, Display, display_of
from isocenter.recon.nufft.inverse import Grid
from isocenter.recon.nufft.transform import is_finite
from isocenter.recon.options import MAX_MATRIX
from isocenter.recon.plan import numbers

Floats = NDArray[np.float64]

_FLAT: Final = 1e-2  # extent of a trajectory along its normal, in parts of its largest, that still makes it plane
_ALIGNED: Final = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Axes of the image of a trajectory.

    Attributes
    ----------
    axes_device
        Device directions of the image's axes x, y and z in encoding order, columns, shape (3, 3), determinant +1. In 2D, z
        is the normal of the slices.
    n_dim
        2 for slices, 3 for a volume.
    grid
        Voxels in array order (z,) y, x.
    """

    axes_device: Floats
    n_dim: int
    grid: Grid

    def points_per_m(self, trajectory_per_m: NDArray[np.floating]) -> Floats:
        """Positions in array order, shape ``(..., n_dim)``, from device axes ``(..., 3)``."""
        return (np.asarray(trajectory_per_m, dtype=np.float64) @ self.axes_device)[..., : self.n_dim][..., ::-1]


def lay_out(raw: RawScan, *, matrix: tuple[int, ...] | None = None, fov_m: tuple[float, ...] | None = None) -> Layout:
    """Axes and voxels for a scan.

    Parameters
    ----------
    raw
        With a trajectory.
    matrix, fov_m
        Voxels and field of view [m] along x, y (and z); None takes them from the scan's definitions, the voxels else from
        how far the trajectory reaches.

    Raises
    ------
    ReconError
        No trajectory, one along a line, or sizes that are not known or cannot be.
    """
    if raw.trajectory_per_m is None or raw.trajectory_per_m.size == 0:
        raise ReconError(
            f"Nothing says where the samples of '{raw.name or 'this scan'}' lie in k-space.",
            "Reconstruct a Cartesian scan by FFT; for another one, scan again from its sequence file.",
        )
    points = np.asarray(raw.trajectory_per_m, dtype=np.float64).reshape(-1, 3)
    points = points[is_finite(points)]
    axes, n_dim = _axes(points, raw.placement)
    reach = [float(np.abs(points @ axes[:, axis]).max()) for axis in range(n_dim)]
    fov = _sizes(fov_m, raw.definitions.get("FOV", ""), n_dim)
    if fov is None or min(fov) <= 0:
        raise ReconError(
            "The field of view of this scan is not known.", "Say how large it is, or set the definition FOV in the sequence."
        )
    wanted = _sizes(matrix, raw.definitions.get("Matrix", ""), n_dim)
    if wanted is None or min(wanted) < 1:
        wanted = tuple(2.0 * math.ceil(r * size - 0.05) for r, size in zip(reach, fov, strict=True))
    voxels = tuple(max(round(n), 1) for n in wanted)
    if max(voxels) > MAX_MATRIX:
        raise ReconError(f"An image side of {max(voxels)} voxels is not possible.", f"Choose at most {MAX_MATRIX}.")
    voxel_m = tuple(size / n for size, n in zip(fov, voxels, strict=True))
    return Layout(axes_device=axes, n_dim=n_dim, grid=Grid(shape=voxels[::-1], voxel_m=voxel_m[::-1]))


def _sizes(given: tuple[float, ...] | None, defined: str, n_dim: int) -> tuple[float, ...] | None:
    values = tuple(given) if given is not None else numbers(defined)
    return tuple(float(value) for value in values[:n_dim]) if len(values) >= n_dim else None


def _axes(points: Floats, placement: Placement) -> tuple[Floats, int]:
    """Columns x, y, z of the image in device axes, and whether the trajectory fills two or three directions."""
    if len(points) == 0:
        raise ReconError("The trajectory has no finite point.", "Compile the sequence again.")
    _, values, directions = np.linalg.svd(points.T @ points)
    extent = np.sqrt(values / max(values[0], np.finfo(np.float64).tiny))
    if extent[1] < _FLAT:
        raise ReconError(
            "All samples lie on one line of k-space, which makes a profile but no image.",
            "Use a sequence whose spokes point in different directions.",
        )
    logical = np.asarray(placement.device_from_logical, dtype=np.float64)
    if extent[2] >= _FLAT:
        return logical, 3
    normal = directions[2]
    along = logical.T @ normal
    third = int(np.argmax(np.abs(along)))
    z = normal * np.copysign(1.0, along[third])
    if abs(along[third]) > _ALIGNED:
        z = logical[:, third]
    x = logical[:, (third + 1) % 3]  # the next two axes, in cyclic order, keep the three right-handed
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z]), 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices that make one volume, as values of the label SLC in order along the normal."""

    slices: tuple[int, ...]
    display: Display


def stacks(raw: RawScan, layout: Layout) -> tuple[Stack, ...]:
    """The volumes of a scan and where they lie.

    Raises
    ------
    ReconError
        Several slices whose positions are not known.
    """
    placement = raw.placement
    lps = lps_from_device(placement.position) @ layout.axes_device
    sizes, spacings_m = layout.grid.shape[::-1], layout.grid.voxel_m[::-1]
    x, y = (
        Axis(direction=lps[:, axis], spacing_m=spacings_m[axis], size=sizes[axis], zero_index=sizes[axis] // 2)
        for axis in (0, 1)
    )
    if layout.n_dim == 3:
        z = Axis(direction=lps[:, 2], spacing_m=spacings_m[2], size=sizes[2], zero_index=sizes[2] // 2)
        display = display_of(
            z, y, x, centre_lps_m=placement.centre_lps_m, slice_thickness_m=z.spacing_m, position=placement.position
        )
        return (Stack(slices=(0,), display=display),)
    positions = _slice_positions(raw, layout.axes_device[:, 2])
    thickness_m = _thickness_m(raw.definitions, layout)
    found = []
    for slices, spacing_m in _groups(positions):
        z = Axis(direction=lps[:, 2], spacing_m=spacing_m or thickness_m, size=len(slices), zero_index=0)
        centre = placement.centre_lps_m + positions[slices[0]] * lps[:, 2]
        display = display_of(z, y, x, centre_lps_m=centre, slice_thickness_m=thickness_m, position=placement.position)
        found.append(Stack(slices=slices, display=display))
    return tuple(found)


def _slice_positions(raw: RawScan, normal_device: Floats) -> dict[int, float]:
    """Position [m] along the normal of each value of SLC that was measured, from the middle of the field of view."""
    measured = sorted({int(value) for value in raw.label("SLC")})
    if raw.encoding is not None and len(raw.encoding.slice_positions_m):
        listed = tuple(float(value) for value in raw.encoding.slice_positions_m)
        sense = np.copysign(1.0, raw.encoding.slice_normal_device @ normal_device)
    else:
        listed = numbers(raw.definitions.get("SlicePositions", ""))
        sense = np.copysign(1.0, raw.placement.device_from_logical[:, 2] @ normal_device)
    if not listed and measured in ([], [0]):
        return {0: 0.0}
    if max(measured, default=0) >= len(listed):
        raise ReconError(
            f"Nothing says where slice {max(measured)} lies.", "Set the definition SlicePositions [m] in the sequence."
        )
    return {value: float(sense) * listed[value] for value in measured}


def _groups(positions: dict[int, float]) -> list[tuple[tuple[int, ...], float]]:
    """Evenly spaced slices are one volume, others one each; with the spacing [m], 0 for a single slice."""
    order = sorted(positions, key=lambda value: positions[value])
    if len(order) == 1:
        return [((order[0],), 0.0)]
    gaps = np.diff([positions[value] for value in order])
    spacing_m = float(gaps.mean())
    if spacing_m <= 0 or np.any(np.abs(gaps - spacing_m) > 0.02 * spacing_m):
        return [((value,), 0.0) for value in order]
    return [(tuple(order), spacing_m)]


def _thickness_m(definitions: Mapping[str, str], layout: Layout) -> float:
    """Thickness as defined; without slice selection the third field of view, else the larger one in the plane."""
    stated = numbers(definitions.get("SliceThickness", ""))
    if stated and 0 < stated[0] < 10:
        return stated[0]
    fov_m = numbers(definitions.get("FOV", ""))
    if len(fov_m) == 3 and 0 < fov_m[2] < 10:
        return fov_m[2]
    return max(n * size for n, size in zip(layout.grid.shape, layout.grid.voxel_m, strict=True))
