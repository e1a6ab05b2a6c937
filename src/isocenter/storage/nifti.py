# SPDX-License-Identifier: MIT
"""NIfTI copies of images, with a BIDS-style sidecar. For research; the clinical format is DICOM."""

import contextlib
import json
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import ScanFacts
from isocenter.domain.volume import ImageGeometry, Volume


def ras_affine_mm(geometry: ImageGeometry) -> NDArray[np.float64]:
    """Matrix from NIfTI's voxel indices (column, row, slice) to RAS millimetres, shape (4, 4)."""
    affine = np.eye(4)
    affine[:3, 0] = geometry.row_direction * geometry.spacing_m[2]
    affine[:3, 1] = geometry.column_direction * geometry.spacing_m[1]
    affine[:3, 2] = geometry.slice_direction * geometry.spacing_m[0]
    affine[:3, 3] = geometry.first_voxel_m
    affine[:3] *= 1e3
    affine[:2] *= -1  # LPS to RAS
    return affine


def write_nifti(volume: Volume, path: Path, *, facts: ScanFacts | None = None, larmor_hz: float = math.nan) -> Path:
    """Write a volume as float32 NIfTI-1 in millimetres, and what it is in a JSON file of the same stem beside it.

    Parameters
    ----------
    volume
        Complex data are written as their magnitude; a phase or real part keeps its sign.
    path
        Ends in ``.nii`` or ``.nii.gz``.
    facts
        Times and angles for the sidecar; left out when None.
    larmor_hz
        Frequency of the scan [Hz], NaN when not known.

    Returns
    -------
        The sidecar's path.

    Raises
    ------
    StorageError
        Wrong ending, or the files cannot be written; nothing half-written is left.
    """
    import nibabel

    if not path.name.endswith((".nii", ".nii.gz")):
        raise StorageError(f"'{path.name}' is not the name of a NIfTI file.", "Use a name that ends in .nii or .nii.gz.")
    shown = volume.data.real if volume.kind in {"phase", "real"} else np.abs(volume.data)
    data = shown.astype(np.float32).transpose(2, 1, 0)
    affine = ras_affine_mm(volume.geometry)
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    code = "scanner" if volume.is_placed else "unknown"
    image.set_qform(affine, code=code)
    image.set_sform(affine, code=code)
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    draft = path.with_name(f".writing-{path.name}")  # the ending decides about compression
    draft_json = path.with_name(f".writing-{sidecar.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, draft)
        draft_json.write_text(json.dumps(sidecar_of(volume, facts, larmor_hz), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105  # atomic
        os.replace(draft_json, sidecar)  # noqa: PTH105
    except OSError as error:
        for leftover in (draft, draft_json):
            with contextlib.suppress(OSError):
                leftover.unlink()
        raise StorageError(
            f"The image cannot be written to {path}: {error.strerror or error}.",
            "Check that the folder can be written and the disk has room.",
        ) from error
    return sidecar


def sidecar_of(volume: Volume, facts: ScanFacts | None, larmor_hz: float) -> dict[str, object]:
    """What BIDS keeps beside an MR image; seconds, degrees, millimetres MHz as BIDS wants them; unknown values left out."""
    values: dict[str, object] = {
        "Modality": "MR",
        "ConversionSoftware": "Isocenter",
        "SliceThickness": round(volume.geometry.slice_thickness_m * 1e3, 6),
        "PatientPosition": volume.geometry.position.value,
        "Processing": [{"Step": name, "Parameters": text} for name, text in volume.provenance],
        **({"Label": volume.label} if volume.label else {}),
        "Values": volume.kind,
        "Status": "Research software, not approved for diagnosis.",
    }
    if math.isfinite(larmor_hz):
        values["ImagingFrequency"] = larmor_hz * 1e-6
    if facts is not None:
        numbers = {
            "RepetitionTime": facts.tr_s,
            "EchoTime": facts.te_s,
            "InversionTime": facts.ti_s,
            "FlipAngle": math.degrees(facts.flip_rad),
        }
        values |= {name: round(value, 9) for name, value in numbers.items() if math.isfinite(value)}
        values["EchoTrainLength"] = facts.echo_train_length
    return values
