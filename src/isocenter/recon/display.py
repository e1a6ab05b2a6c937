# SPDX-License-Identifier: MIT
"""From encoding axes to the rows and columns of a picture as a radiologist expects it. See docs/reconstruction.md."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import Orientation, PatientPosition, standard_axes_lps
from isocenter.domain.volume import ImageGeometry

Vector = NDArray[np.float64]

_BY_NORMAL: Final = (Orientation.SAGITTAL, Orientation.CORONAL, Orientation.AXIAL)
_MAX_SKEW: Final = 0.02  # 1.1 degrees; what the DACs' rounding causes is below 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of an image array in encoding order.

    Attributes
    ----------
    direction
        Unit vector in LPS towards which the index grows.
    spacing_m
        Distance between voxels [m].
    size
        Voxels.
    zero_index
        Index whose voxel lies in the plane through the field of view's centre.
    """

    direction: Vector
    spacing_m: float
    size: int
    zero_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How to turn an array ``(z, y, x)`` in encoding order into ``(slice, row, column)``, and where that then lies.

    Attributes
    ----------
    transpose
        Encoding's y becomes the columns.
    flip
        Whether slices, rows, columns are reversed, after transposing.
    """

    transpose: bool
    flip: tuple[bool, bool, bool]
    geometry: ImageGeometry

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array with its last three axes in display order, contiguous; not copied where it came from ``empty``."""
        if self.transpose:
            array = array.swapaxes(-1, -2)
        return np.ascontiguousarray(self._flipped(array))

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A new array of ``shape`` in encoding order whose memory is in display order."""
        if self.transpose:
            flipped = self._flipped(np.empty((*shape[:-2], shape[-1], shape[-2]), dtype=dtype))
            return flipped.swapaxes(-1, -2)
        return self._flipped(np.empty(shape, dtype=dtype))

    def _flipped(self, array: NDArray[Any]) -> NDArray[Any]:
        slices, rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flip)
        return array[..., slices, rows, columns]


def orthonormal(read: Vector, lin: Vector, third: Vector) -> tuple[Vector, Vector, Vector]:
    """Unit vectors along read, phase and the third direction; the last one made exactly normal to the others.

    Raises
    ------
    ReconError
        When they are not at right angles.
    """
    first = read / np.linalg.norm(read)
    second = lin / np.linalg.norm(lin)
    normal = np.cross(first, second)
    skew = abs(float(first @ second))
    if np.linalg.norm(third) > 0:
        unit = third / np.linalg.norm(third)
        skew = max(skew, abs(float(first @ unit)), abs(float(second @ unit)))
        normal *= np.copysign(1.0, normal @ unit)
    if not skew < _MAX_SKEW:
        angle_deg = np.degrees(np.arccos(min(skew, 1.0)))
        raise ReconError(
            f"The encoding directions are at {angle_deg:.1f} degrees to each other instead of 90.",
            "Images need read, phase and slice at right angles: check the sequence's gradients and the scanner's wiring.",
        )
    second = second - (second @ first) * first
    return first, second / np.linalg.norm(second), normal / np.linalg.norm(normal)


def display_of(
    z: Axis, y: Axis, x: Axis, *, centre_lps_m: Vector, slice_thickness_m: float, position: PatientPosition
) -> Display:
    """Order and geometry of the images.

    The plane's kind follows from the normal's largest component: S axial, P coronal, L sagittal. Columns then run along the
    encoding axis, and in the sense, nearest to L (axial, coronal) or P (sagittal); rows nearest to P (axial) or to the feet;
    slices along row direction x column direction, so that the three are right-handed: S, P or R.

    Parameters
    ----------
    centre_lps_m
        Where the three zero indices meet [m].
    """
    orientation = _BY_NORMAL[int(np.argmax(np.round(np.abs(z.direction), 6)))]
    right, down, _ = standard_axes_lps(orientation).T
    as_is = abs(x.direction @ right) + abs(y.direction @ down)
    swapped = abs(y.direction @ right) + abs(x.direction @ down)
    transpose = bool(swapped > as_is + 1e-6)
    column, row = (y, x) if transpose else (x, y)
    flip_column, flip_row = bool(column.direction @ right < 0), bool(row.direction @ down < 0)
    row_direction = column.direction * (-1 if flip_column else 1)
    column_direction = row.direction * (-1 if flip_row else 1)
    slice_direction = np.cross(row_direction, column_direction)
    flip_slice = bool(z.direction @ slice_direction < 0)
    first = np.array(centre_lps_m, dtype=np.float64)
    for axis, flip in ((z, flip_slice), (row, flip_row), (column, flip_column)):
        first += ((axis.size - 1 if flip else 0) - axis.zero_index) * axis.spacing_m * axis.direction
    geometry = ImageGeometry(
        first_voxel_m=first,
        row_direction=row_direction,
        column_direction=column_direction,
        slice_direction=slice_direction,
        spacing_m=(z.spacing_m, row.spacing_m, column.spacing_m),
        slice_thickness_m=slice_thickness_m,
        position=position,
    )
    return Display(transpose=transpose, flip=(flip_slice, flip_row, flip_column), geometry=geometry)
