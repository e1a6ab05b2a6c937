# SPDX-License-Identifier: MIT
"""How a Cartesian scan becomes images: sizes, centres and places, decided before the first sample arrives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Placement, lps_from_device
from isocenter.recon.display import Axis, Display, display_of, orthonormal
from isocenter.recon.options import MAX_MATRIX, ReconOptions

_SYMMETRIC = 0.05  # an echo this much of its length off the middle is still a whole echo, with a small timing error
_MAX_VOXELS = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAxis:
    """One axis from samples to voxels.

    Attributes
    ----------
    n_samples
        Samples measured along it.
    centre
        Index of k = 0.
    n_full
        Samples of the symmetric k-space that contains them; larger than ``n_samples`` for a partial echo.
    n_image
        Voxels transformed, zero-filling included.
    n_kept
        Voxels kept after readout oversampling is cut off.
    """

    n_samples: int
    centre: int | float
    n_full: int
    n_image: int
    n_kept: int

    @property
    def kept(self) -> slice:
        """The middle part that is kept, centre on centre."""
        start = self.n_image // 2 - self.n_kept // 2
        return slice(start, start + self.n_kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices, or one 3D slab, that make one volume.

    Attributes
    ----------
    slices
        Values of the label SLC, in the order of the array before ``display`` turns it.
    """

    slices: tuple[int, ...]
    display: Display


@dataclass(frozen=True, slots=True, kw_only=True)
class CartesianPlan:
    """Everything that ``reconstruct`` and ``LiveReconstruction`` decide beforehand.

    Attributes
    ----------
    read, lin, par
        The three encoded axes; ``par`` has one sample in a 2D scan.
    n_slices
        Extent of the label SLC.
    stacks
        One for each volume that one contrast gives.
    """

    read: PlanAxis
    lin: PlanAxis
    par: PlanAxis
    n_slices: int
    stacks: tuple[Stack, ...]
    oversampling: int | float
    options: ReconOptions

    @property
    def is_3d(self) -> bool:
        """True with a second phase encoding."""
        return self.par.n_samples > 1


def plan_cartesian(
    encoding: Encoding | None, placement: Placement, definitions: Mapping[str, str], options: ReconOptions
) -> CartesianPlan:
    """Sizes, centres and geometry of the images of a Cartesian scan.

    Raises
    ------
    ReconError
        When there is no Cartesian encoding along two directions, or its sizes cannot be.
    """
    encoding, (read, lin, par) = encoded_axes(encoding)
    oversampling = options.oversampling or readout_oversampling(encoding, definitions)
    wanted = options.matrix or (0, 0, 0)
    read = sized_axis(cut_axis(read, oversampling), wanted[0], options.zero_fill)
    lin = sized_axis(lin, wanted[1], options.zero_fill)
    if par.n_samples > 1:
        par = sized_axis(par, wanted[2], options.zero_fill)
    stacks = stacks_of(encoding, placement, definitions, (read, lin, par))
    return CartesianPlan(
        read=read,
        lin=lin,
        par=par,
        n_slices=max(len(encoding.slice_positions_m), 1),
        stacks=stacks,
        oversampling=oversampling,
        options=options,
    )


def encoded_axes(encoding: Encoding | None) -> tuple[Encoding, tuple[PlanAxis, PlanAxis, PlanAxis]]:
    """The encoding, when it is one that the FFT can use, and its axes along read, lin and par as they were measured.

    Raises
    ------
    ReconError
        It is not, and why.
    """
    if encoding is None or not np.any(encoding.step_read_per_m) or not np.any(encoding.step_lin_per_m):
        raise ReconError(
            "This scan is not encoded on a Cartesian grid along two directions, so the FFT gives no image of it.",
            "Look at its spectrum instead, or check that the sequence sets LIN (and PAR) for each readout.",
        )
    _check_extents(encoding)
    if encoding.n_par > 1 and not np.any(encoding.step_par_per_m):
        raise ReconError(
            f"The label PAR has {encoding.n_par} values but no gradient encodes them.",
            "Use SLC for slices, or REP for repetitions, in the sequence.",
        )
    read = _measured_axis(encoding.n_samples, encoding.centre_sample)
    lin = _measured_axis(encoding.n_lin, encoding.centre_lin)
    par = _measured_axis(encoding.n_par, encoding.centre_par) if encoding.n_par > 1 else _measured_axis(1, 0.0)
    return encoding, (read, lin, par)


def readout_oversampling(encoding: Encoding, definitions: Mapping[str, str]) -> float:
    """Readout samples per wanted voxel: from the wanted field of view, the sequence's own word for it, or its matrix.

    Definitions that do not say leave 1: nothing is cut off that was measured.
    """
    fov_m = numbers(definitions.get("FOV", ""))
    stated = numbers(definitions.get("ReadoutOversamplingFactor", ""))
    matrix = numbers(definitions.get("Matrix", ""))
    if stated and stated[0] >= 1:
        return stated[0]
    if fov_m and 0 < fov_m[0] < 10:
        ratio = 1 / (float(np.linalg.norm(encoding.step_read_per_m)) * fov_m[0])
    elif matrix and matrix[0] >= 1:
        ratio = encoding.n_samples / matrix[0]
    else:
        return 1.0
    return ratio if ratio > 1.02 else 1.0  # the DAC's rounding alone is no oversampling


def numbers(text: str) -> tuple[float, ...]:
    """Finite numbers of a definition, none when it is something else."""
    try:
        values = tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        return ()
    return values if all(math.isfinite(value) for value in values) else ()


def _check_extents(encoding: Encoding) -> None:
    for label, size, centre in (
        ("sample", encoding.n_samples, encoding.centre_sample),
        ("LIN", encoding.n_lin, encoding.centre_lin),
        ("PAR", encoding.n_par, encoding.centre_par),
    ):
        if not (1 <= size <= 65536 and -0.5 <= centre <= size):
            raise ReconError(
                f"The scan's encoding says {size} values of {label} with the k-space centre at {centre:g}.",
                "The centre must lie among them: check the labels and the gradients of the sequence.",
            )


def _measured_axis(n_samples: int, centre: float) -> PlanAxis:
    """An axis as it was measured, a partial one with the size of the whole."""
    n_full = n_samples
    if abs(centre - n_samples // 2) > max(1.0, _SYMMETRIC * n_samples):
        # k runs from -n / 2 to n / 2 - 1 on a whole axis of n, or half a step beside that: one more is needed below zero
        below, above = centre, n_samples - 1 - centre
        n_full = 2 * math.ceil(max(below, above + 0.5) - 0.05)
    return PlanAxis(n_samples=n_samples, centre=centre, n_full=n_full, n_image=n_full, n_kept=n_full)


def cut_axis(axis: PlanAxis, oversampling: float) -> PlanAxis:
    """The axis with the voxels that oversampling added cut off."""
    return replace(axis, n_kept=max(round(axis.n_kept / oversampling), 1))


def sized_axis(axis: PlanAxis, wanted: int, factor: float | None) -> PlanAxis:
    """The axis with ``wanted`` voxels after cutting, or ``factor`` times as many as it has; 0 and None leave it alone.

    Raises
    ------
    ReconError
        More voxels than anybody can mean.
    """
    n_image, n_kept = axis.n_image, axis.n_kept
    if wanted:
        n_image, n_kept = max(round(wanted * n_image / n_kept), wanted), wanted
    elif factor is not None:
        n_image, n_kept = round(n_image * factor), max(round(n_kept * factor), 1)
    if n_kept > MAX_MATRIX:
        raise ReconError(f"An image side of {n_kept} voxels is not possible.", f"Choose at most {MAX_MATRIX}.")
    return replace(axis, n_image=n_image, n_kept=min(n_kept, n_image))


def stacks_of(
    encoding: Encoding,
    placement: Placement,
    definitions: Mapping[str, str],
    axes: tuple[PlanAxis, PlanAxis, PlanAxis],
) -> tuple[Stack, ...]:
    """Where the images lie that axes of these sizes give.

    Raises
    ------
    ReconError
        Too many voxels, directions not at right angles, or slices whose place nobody knows.
    """
    read, lin, par = axes
    if read.n_kept * lin.n_kept * par.n_kept * max(len(encoding.slice_positions_m), 1) > _MAX_VOXELS:
        raise ReconError("The images would have more than 2 thousand million voxels.", "Choose a smaller matrix.")
    lps = lps_from_device(placement.position)
    is_3d = par.n_samples > 1
    third = encoding.step_par_per_m if is_3d else encoding.slice_normal_device
    directions = orthonormal(lps @ encoding.step_read_per_m, lps @ encoding.step_lin_per_m, lps @ third)
    x = _axis(read, directions[0], encoding.step_read_per_m)
    y = _axis(lin, directions[1], encoding.step_lin_per_m)
    centre = lps @ encoding.centre_device_m
    positions = encoding.slice_positions_m * _sense(encoding.slice_normal_device, lps, directions[2])
    stacks = []
    for slices, spacing_m in _groups(positions, is_3d):
        if is_3d:
            z = _axis(par, directions[2], encoding.step_par_per_m)
            thickness_m = z.spacing_m
        else:
            thickness_m = encoding.slice_thickness_m or _projection_thickness_m(definitions, x, y)
            z = Axis(direction=directions[2], spacing_m=spacing_m or thickness_m, size=len(slices), zero_index=0)
        origin = centre
        if len(positions) and not (is_3d and len(positions) == 1):
            origin = centre + positions[slices[0]] * directions[2]
        display = display_of(z, y, x, centre_lps_m=origin, slice_thickness_m=thickness_m, position=placement.position)
        stacks.append(Stack(slices=slices, display=display))
    return tuple(stacks)


def _axis(axis: PlanAxis, direction: NDArray[np.float64], step_per_m: NDArray[np.float64]) -> Axis:
    spacing_m = 1 / (float(np.linalg.norm(step_per_m)) * axis.n_image)
    return Axis(direction=direction, spacing_m=spacing_m, size=axis.n_kept, zero_index=axis.n_kept // 2)


def _sense(normal_device: NDArray[np.float64], lps: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    return float(np.copysign(1.0, (lps @ normal_device) @ direction))


def _groups(positions: NDArray[np.float64], is_3d: bool) -> list[tuple[tuple[int, ...], float]]:
    """Label values of the slices of each volume, in order along the normal, and their spacing [m] (0: not known).

    Evenly spaced slices are one volume. Others, and slabs, are one volume each, since no single geometry describes them.
    """
    if len(positions) == 0:
        return [((0,), 0.0)]
    order = tuple(int(index) for index in np.argsort(positions, kind="stable") if np.isfinite(positions[index]))
    if not order:
        raise ReconError(
            "Not one slice has a known position.", "Check the sequence's slice-selective pulses and its label SLC."
        )
    if len(order) == 1:
        return [(order, 0.0)]
    gaps = np.diff(positions[list(order)])
    spacing_m = float(gaps.mean())
    if is_3d or spacing_m <= 0 or np.any(np.abs(gaps - spacing_m) > 0.02 * spacing_m):
        return [((index,), 0.0) for index in order]
    return [(order, spacing_m)]


def _projection_thickness_m(definitions: Mapping[str, str], x: Axis, y: Axis) -> float:
    """Depth of a picture without slice selection: the definitions' third field of view, else the larger one in the plane."""
    fov_m = numbers(definitions.get("FOV", ""))
    if len(fov_m) == 3 and 0 < fov_m[2] < 10:
        return fov_m[2]
    return max(x.spacing_m * x.size, y.spacing_m * y.size)
