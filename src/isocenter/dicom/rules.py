# SPDX-License-Identifier: MIT
"""Rules of our own, checked on every image before it is written: what the public validators let pass (clinical.md 1.6)."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from isocenter.domain.errors import DicomError

_REMEDY: Final = "The images were not written. This is a fault of the program: keep the scan folder and report it."
_ZONE: Final = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")


def check_image(image: Dataset) -> None:
    """Raise DicomError unless geometry, times and load values of one image make sense."""
    spacing = [float(value) for value in image.PixelSpacing]
    _require(all(value > 0 for value in spacing), f"The pixel spacing is {spacing} mm.")
    _require(float(image.SliceThickness) > 0, f"The slice thickness is {image.SliceThickness} mm.")
    if "SpacingBetweenSlices" in image:
        _require(float(image.SpacingBetweenSlices) > 0, f"The spacing between slices is {image.SpacingBetweenSlices} mm.")
    axes = np.array([float(value) for value in image.ImageOrientationPatient]).reshape(2, 3)
    error = float(np.abs(axes @ axes.T - np.eye(2)).max())
    _require(error < 1e-6, f"Rows and columns are {error:.1e} away from right angles and unit length.")
    for keyword in ("SAR", "dBdt", "B1rms"):
        if keyword in image:
            _require(float(image[keyword].value) >= 0, f"{keyword} is {image[keyword].value}.")
    offset = image.TimezoneOffsetFromUTC
    _require(bool(_ZONE.fullmatch(offset)), f"The time zone is '{offset}'.")
    _require(float(image.WindowWidth) >= 1, f"The window width is {image.WindowWidth}.")
    _require(bool(str(image.PatientID).strip()), "The patient ID is empty.")
    kinds = set(image.ScanningSequence if isinstance(image.ScanningSequence, Sequence) else [image.ScanningSequence])
    _require(not {"SE", "GR"} <= kinds, "The sequence is called both spin echo and gradient echo.")
    _require(("InversionTime" in image) == ("IR" in kinds), "Inversion time and inversion recovery disagree.")
    private = [str(element.tag) for element in image if element.tag.is_private]
    _require(not private, f"There are private elements: {private}.")


def check_series(images: Sequence[Dataset]) -> None:
    """Raise DicomError unless the images of a series belong together and stand in spatial order."""
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientPosition"):
        _require(len({str(image[keyword].value) for image in images}) == 1, f"The images of one series differ in {keyword}.")
    _require(len({str(image.SOPInstanceUID) for image in images}) == len(images), "Two images have the same identifier.")
    _require(
        [int(image.InstanceNumber) for image in images] == list(range(1, len(images) + 1)),
        "Images are not numbered 1, 2, 3.",
    )
    axes = np.array([float(value) for value in images[0].ImageOrientationPatient]).reshape(2, 3)
    normal = np.cross(axes[0], axes[1])
    places = [float(normal @ [float(value) for value in image.ImagePositionPatient]) for image in images]
    _require(bool(np.all(np.diff(places) > 0)), "The images are not in spatial order.")


def _require(is_right: bool, problem: str) -> None:
    if not is_right:
        raise DicomError(problem, _REMEDY)
