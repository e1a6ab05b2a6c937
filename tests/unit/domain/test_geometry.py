# SPDX-License-Identifier: MIT
"""Device, patient and logical axes."""

import numpy as np
import pytest

from isocenter.domain.geometry import (
    Orientation,
    PatientPosition,
    lps_from_device,
    orientation_letters,
    place,
    standard_axes_lps,
)

RIGHT, UP, OUT = np.eye(3)
# What a person who stands in front of the bore sees. Hand-worked: head first supine, the patient's left is at the
# operator's right, the face looks up, and the feet stick out.
SEEN = {
    "HFS": {"L": RIGHT, "A": UP, "F": OUT},
    "HFP": {"R": RIGHT, "P": UP, "F": OUT},
    "HFDR": {"P": RIGHT, "L": UP, "F": OUT},
    "HFDL": {"A": RIGHT, "R": UP, "F": OUT},
    "FFS": {"R": RIGHT, "A": UP, "H": OUT},
    "FFP": {"L": RIGHT, "P": UP, "H": OUT},
    "FFDR": {"A": RIGHT, "L": UP, "H": OUT},
    "FFDL": {"P": RIGHT, "R": UP, "H": OUT},
}


@pytest.mark.parametrize("position", list(PatientPosition))
def test_patient_sides_are_where_an_operator_sees_them(position: PatientPosition) -> None:
    matrix = lps_from_device(position)
    assert np.linalg.det(matrix) == pytest.approx(1)
    for letter, device in SEEN[position.value].items():
        assert orientation_letters(matrix @ device) == letter


@pytest.mark.parametrize("orientation", list(Orientation))
def test_standard_axes_are_right_handed(orientation: Orientation) -> None:
    assert np.linalg.det(standard_axes_lps(orientation)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("orientation", "right", "down"),
    [(Orientation.AXIAL, "L", "P"), (Orientation.CORONAL, "L", "F"), (Orientation.SAGITTAL, "P", "F")],
)
@pytest.mark.parametrize("position", list(PatientPosition))
def test_placement_gives_radiological_directions(orientation, right, down, position) -> None:
    axes = place(orientation, position).lps_from_logical
    assert orientation_letters(axes[:, 0]) == right
    assert orientation_letters(axes[:, 1]) == down
    assert np.linalg.det(axes) == pytest.approx(1)


def test_centre_is_kept_in_patient_axes() -> None:
    placement = place(Orientation.AXIAL, PatientPosition.FFP, centre_lps_m=(0.01, -0.02, 0.03))
    np.testing.assert_allclose(placement.centre_lps_m, [0.01, -0.02, 0.03], atol=1e-15)


def test_tilt_turns_about_the_row_direction_first() -> None:
    axes = place(Orientation.AXIAL, tilt_rad=(np.pi / 2, 0.0)).lps_from_logical
    np.testing.assert_allclose(axes[:, 0], [1, 0, 0], atol=1e-15)  # rows stay
    np.testing.assert_allclose(axes[:, 1], [0, 0, 1], atol=1e-15)  # down the screen is now towards the head


def test_swapping_read_and_phase_keeps_the_axes_right_handed() -> None:
    axes = place(Orientation.AXIAL, swap_read_phase=True).lps_from_logical
    assert orientation_letters(axes[:, 0]) == "P"
    assert np.linalg.det(axes) == pytest.approx(1)
