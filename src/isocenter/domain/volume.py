# SPDX-License-Identifier: MIT
"""Images with their place in the patient."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.geometry import PatientPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeometry:
    """Where the voxels of an array of shape ``(n_slices, n_rows, n_cols)`` lie, in patient axes (LPS).

    Attributes
    ----------
    first_voxel_m
        Centre of voxel [0, 0, 0] [m], shape (3,).
    row_direction, column_direction, slice_direction
        Unit vectors along increasing column index (along a row), increasing row index, increasing slice index.
    spacing_m
        Distance between slices, rows, columns [m], in array order.
    slice_thickness_m
        Thickness of a slice [m].
    position
        How the patient lay.
    """

    first_voxel_m: NDArray[np.float64]
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    slice_direction: NDArray[np.float64]
    spacing_m: tuple[float, float, float]
    slice_thickness_m: float
    position: PatientPosition = PatientPosition.HFS

    def lps_m(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Patient coordinates [m] of voxel indices (slice, row, column), shape (..., 3)."""
        step = np.stack(
            [
                self.slice_direction * self.spacing_m[0],
                self.column_direction * self.spacing_m[1],
                self.row_direction * self.spacing_m[2],
            ]
        )
        return self.first_voxel_m + np.asarray(index, dtype=np.float64) @ step


PLACE_UNKNOWN: Final = ("geometry", "not known")
"""Step of a provenance that says: nobody knows where these images lie in the patient, nor which way round."""


SKIPPED: Final = "skipped: "
"""How the text of a provenance begins for a step that was asked for and could not be done; the reason follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One series of images.

    Attributes
    ----------
    data
        complex64 or float32, shape ``(n_slices, n_rows, n_cols)`` [a.u.].
    geometry
        Where it lies.
    provenance
        What was done to the data, in order: name of each step and its parameters as text.
    kind
        What the values are: ``magnitude``, ``phase`` [rad], ``real`` or ``complex``; the last is shown as its magnitude.
    label
        What sets this series apart from the original one that was made of the same data, such as ``denoised``; empty for
        the original.
    """

    data: NDArray[np.complex64] | NDArray[np.float32]
    geometry: ImageGeometry
    provenance: tuple[tuple[str, str], ...] = field(default=())
    kind: str = "magnitude"
    label: str = ""

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Steps that were asked for and could not be done: name and reason."""
        return tuple((name, text.removeprefix(SKIPPED)) for name, text in self.provenance if text.startswith(SKIPPED))

    @property
    def is_placed(self) -> bool:
        """False when the geometry is only a stand-in: then no orientation may be shown or written."""
        return PLACE_UNKNOWN not in self.provenance
