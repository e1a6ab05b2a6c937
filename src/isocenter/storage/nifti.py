# SPDX-License-Identifier: MIT
"""NIfTI copies of images, with a BIDS-style sidecar. For research; the clinical format is DICOM."""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import ScanFacts
from isocenter.domain.units import b0_t_from_larmor
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


def write_nifti(
    volume: Volume | Sequence[Volume],
    path: Path,
    *,
    facts: ScanFacts | None = None,
    larmor_hz: float = math.nan,
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write volumes as float32 NIfTI-1 in millimetres, and what they are in a JSON file of the same stem beside it.

    Parameters
    ----------
    volume
        Complex data are written as their magnitude; a phase or real part keeps its sign. Several volumes of equal geometry
        (echoes, repetitions) become the fourth axis.
    path
        Ends in ``.nii`` or ``.nii.gz``.
    facts
        Times and angles for the sidecar; left out when None.
    larmor_hz
        Frequency of the scan [Hz], NaN when not known.
    extra
        More entries for the sidecar, under the names that BIDS has for them.

    Returns
    -------
        The sidecar's path.

    Raises
    ------
    StorageError
        Wrong ending, volumes that do not belong into one file, or the files cannot be written; nothing half-written is
        left.
    """
    import nibabel

    if not path.name.endswith((".nii", ".nii.gz")):
        raise StorageError(f"'{path.name}' is not the name of a NIfTI file.", "Use a name that ends in .nii or .nii.gz.")
    volumes = [volume] if isinstance(volume, Volume) else list(volume)
    _require_equal(volumes, path)
    volume, parts = volumes[0], [_values(part).transpose(2, 1, 0) for part in volumes]
    data = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
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
        values = {**sidecar_of(volume, facts, larmor_hz), **(extra or {})}
        draft_json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
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


def _values(volume: Volume) -> NDArray[np.float32]:
    shown = volume.data.real if volume.kind in {"phase", "real"} else np.abs(volume.data)
    return np.asarray(shown, dtype=np.float32)


def _require_equal(volumes: list[Volume], path: Path) -> None:
    if not volumes:
        raise ValueError("no volume")
    first = volumes[0]
    for other in volumes[1:]:
        is_equal = other.data.shape == first.data.shape and other.kind == first.kind and other.is_placed == first.is_placed
        if not is_equal or not np.allclose(ras_affine_mm(other.geometry), ras_affine_mm(first.geometry), atol=1e-3):
            raise StorageError(
                f"The volumes for {path.name} differ in size, place or kind.", "Write them to files of their own."
            )


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
    if volume.data.shape[0] > 1:
        values["SpacingBetweenSlices"] = round(volume.geometry.spacing_m[0] * 1e3, 6)
    if volume.kind == "phase":
        values["Units"] = "rad"
    if math.isfinite(larmor_hz) and larmor_hz > 0:
        values["ImagingFrequency"] = larmor_hz * 1e-6
        values["MagneticFieldStrength"] = round(b0_t_from_larmor(larmor_hz), 7)
    if facts is not None:
        numbers = {
            "RepetitionTime": facts.tr_s,
            "EchoTime": facts.te_s,
            "InversionTime": facts.ti_s,
            "FlipAngle": math.degrees(facts.flip_rad),
            "AcquisitionDuration": facts.duration_s,
        }
        values |= {name: round(value, 9) for name, value in numbers.items() if math.isfinite(value)}
        values["EchoTrainLength"] = facts.echo_train_length
    return values
