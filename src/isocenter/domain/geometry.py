# SPDX-License-Identifier: MIT
"""Where things are: logical axes, device axes, patient axes. See docs/conventions.md.

logical   (read, phase, slice or second phase), what a sequence calls x, y, z.
device    +X right as seen by an operator who looks into the bore, +Y up, +Z out of the bore [m]. Origin: isocenter.
patient   DICOM's LPS: +L to the patient's left, +P to the back, +S to the head.
channel   gradient outputs x, y, z of the console. Their axes depend on how a magnet is wired; see ``domain.scanner``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix3: TypeAlias = NDArray[np.float64]


class PatientPosition(StrEnum):
    """How the patient lies: head or feet first; supine, prone, on the right or left side (DICOM 0018,5100)."""

    HFS = "HFS"
    HFP = "HFP"
    HFDR = "HFDR"
    HFDL = "HFDL"
    FFS = "FFS"
    FFP = "FFP"
    FFDR = "FFDR"
    FFDL = "FFDL"


# Each row gives L, P, S as a signed device axis. Source: reference clinical.md 1.5 (all eight checked: right-handed,
# which side is up, which end is deep).
_LPS_FROM_DEVICE: Final[dict[PatientPosition, tuple[tuple[int, int, int], ...]]] = {
    PatientPosition.HFS: ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    PatientPosition.HFP: ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    PatientPosition.HFDR: ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    PatientPosition.HFDL: ((0, -1, 0), (-1, 0, 0), (0, 0, -1)),
    PatientPosition.FFS: ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    PatientPosition.FFP: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    PatientPosition.FFDR: ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    PatientPosition.FFDL: ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
}


def lps_from_device(position: PatientPosition) -> Matrix3:
    """Matrix M with ``lps = M @ device``, shape (3, 3), a signed permutation with determinant +1."""
    return np.array(_LPS_FROM_DEVICE[position], dtype=np.float64)


class Orientation(StrEnum):
    """The three standard slice orientations."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


# Columns: direction of +read (along an image row, to the right of the screen), +phase (down the screen), +slice, in LPS.
# Radiological display: axial seen from the feet, coronal from the front, sagittal from the left.
# Rows of these tuples are the three vectors; read x phase = slice (right-handed) in all three.
_LPS_AXES: Final[dict[Orientation, tuple[tuple[int, int, int], ...]]] = {
    Orientation.AXIAL: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    Orientation.CORONAL: ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    Orientation.SAGITTAL: ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
}


def standard_axes_lps(orientation: Orientation) -> Matrix3:
    """Columns are the LPS directions of image right, image down and slice normal, shape (3, 3), determinant +1."""
    return np.array(_LPS_AXES[orientation], dtype=np.float64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a sequence's logical axes lie in the device.

    Attributes
    ----------
    device_from_logical
        Rotation, shape (3, 3), columns are the device directions of logical x (read), y (phase), z (slice). Determinant +1.
    centre_device_m
        Centre of the field of view in device axes [m], shape (3,).
    position
        How the patient lies.
    """

    device_from_logical: Matrix3 = field(default_factory=lambda: np.eye(3))
    centre_device_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    position: PatientPosition = PatientPosition.HFS

    @property
    def lps_from_logical(self) -> Matrix3:
        """Columns are the LPS directions of logical x, y, z."""
        return lps_from_device(self.position) @ self.device_from_logical

    @property
    def centre_lps_m(self) -> NDArray[np.float64]:
        """Centre of the field of view in patient axes [m]."""
        return lps_from_device(self.position) @ self.centre_device_m


def place(
    orientation: Orientation,
    position: PatientPosition = PatientPosition.HFS,
    centre_lps_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    tilt_rad: tuple[float, float] = (0.0, 0.0),
    swap_read_phase: bool = False,
) -> Placement:
    """Placement of a standard slice or slab in a patient.

    Parameters
    ----------
    orientation
        Axial, coronal or sagittal, with radiological image directions.
    position
        How the patient lies.
    centre_lps_m
        Centre in patient axes, relative to isocenter [m].
    tilt_rad
        Rotation about the image's row direction, then about its column direction [rad]; both zero for an orthogonal slice.
    swap_read_phase
        Read out along image columns instead of rows. The slice direction turns with it, so that the axes stay right-handed.
    """
    axes = standard_axes_lps(orientation) @ _rotation(0, tilt_rad[0]) @ _rotation(1, tilt_rad[1])
    if swap_read_phase:
        axes = np.column_stack([axes[:, 1], axes[:, 0], -axes[:, 2]])
    device_from_lps = lps_from_device(position).T
    return Placement(
        device_from_logical=device_from_lps @ axes,
        centre_device_m=device_from_lps @ np.asarray(centre_lps_m, dtype=np.float64),
        position=position,
    )


def _rotation(axis: int, angle_rad: float) -> Matrix3:
    """Right-handed rotation about one coordinate axis."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    matrix = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def orientation_letters(direction_lps: NDArray[np.float64]) -> str:
    """Letters towards which a direction points, strongest first, such as ``L`` or ``PH``.

    Components below 0.2 of the unit vector are left out. H and F stand for head and feet.
    """
    letters = (("L", "R"), ("P", "A"), ("H", "F"))
    unit = np.asarray(direction_lps, dtype=np.float64) / max(float(np.linalg.norm(direction_lps)), 1e-12)
    order = sorted(range(3), key=lambda axis: -abs(unit[axis]))
    return "".join(letters[axis][0 if unit[axis] > 0 else 1] for axis in order if abs(unit[axis]) > 0.2)
