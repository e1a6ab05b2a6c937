# SPDX-License-Identifier: MIT
"""A volume as a series of classic MR images, one file a slice. Attributes and their rules: DICOM PS3.3 A.4, C.8.3.1."""

import math
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

import isocenter
from isocenter.dicom import text
from isocenter.dicom.acquisition import InPlane, in_plane, sequence_kind
from isocenter.dicom.identifiers import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MR_IMAGE_STORAGE,
    new_uid,
)
from isocenter.dicom.rules import check_image, check_series
from isocenter.domain.errors import DicomError
from isocenter.domain.patient import Exam, needs_side
from isocenter.domain.raw import RawScan
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import b0_t_from_larmor
from isocenter.domain.volume import Volume

STATUS: Final = "Research software, not approved for diagnosis."
"""Stands in Image Comments of every image."""

_SIGNED: Final = ("phase", "real")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesInfo:
    """What identifies one series within an exam.

    Attributes
    ----------
    number
        Unique in the exam, 1 or more.
    description, protocol_name
        Text; the protocol's name for both as a rule.
    started_at
        When the scan started, ISO 8601 with zone.
    uid
        Series identifier; allocate it when the scan is queued. Empty: a new one.
    laterality
        ``L`` or ``R`` for paired body parts, else empty.
    comment
        Added to the status in Image Comments, such as "Scan was stopped early."
    sar_w_per_kg
        Whole-body SAR as estimated [W/kg], NaN when it was not.
    bits
        12 or 16 bits of each pixel are used.
    """

    number: int
    description: str
    started_at: str
    protocol_name: str = ""
    uid: str = ""
    laterality: str = ""
    comment: str = ""
    sar_w_per_kg: float = math.nan
    bits: int = 12


def write_series(
    volume: Volume, *, raw: RawScan, exam: Exam, series: SeriesInfo, scanner: Scanner, folder: Path
) -> list[Path]:
    """Write a volume as ``IM0001.dcm`` and so on, all files or none.

    Parameters
    ----------
    volume
        float32 magnitude, or complex, of which the magnitude is written; or phase or real part (``kind``), shifted so that
        no pixel is negative. One with a label becomes a derived series that says what was done to it.
    raw
        The scan it was made from: times, angles, encoding, frequency. Its samples are not used.
    folder
        Made when missing. Existing files of the same names are replaced.

    Returns
    -------
        The files, in spatial order.

    Raises
    ------
    DicomError
        Something cannot be written as it is (name too long, no finite pixels), or a rule of ``rules`` is broken.
    """
    text.check_patient(exam.patient)
    if not volume.is_placed:
        raise DicomError(
            "Nobody knows where these images lie in the patient, nor which side is which, so they cannot become DICOM.",
            "Use the NIfTI or PNG files, or reconstruct from data with a geometry.",
        )
    if series.bits not in {12, 16} or series.number < 1 or series.laterality not in {"", "L", "R"}:
        raise ValueError(f"series number {series.number}, bits {series.bits}, laterality {series.laterality!r}")
    pixels = to_pixels(volume.data, series.bits, is_signed=volume.kind in _SIGNED)
    common = Dataset()
    for part in (
        _study(exam, series),
        _equipment(raw, scanner),
        _sequence(raw, volume),
        _pixel_description(pixels, series, volume),
    ):
        common.update(part)
    if not math.isnan(series.sar_w_per_kg):
        common.SAR = text.decimal(series.sar_w_per_kg)
    images = [_image(common, pixels, volume, index) for index in range(len(pixels))]
    for image in images:
        check_image(image)
    check_series(images)
    return _write_all(images, folder)


def to_pixels(
    data: NDArray[np.float32] | NDArray[np.complex64], bits: int, *, is_signed: bool = False
) -> NDArray[np.uint16]:
    """Magnitude scaled by one factor for the whole volume, so that its largest value is the largest pixel value.

    Signed values keep their sign: zero becomes the middle pixel value.

    Raises
    ------
    DicomError
        Values that are not finite, or no voxels.
    """
    magnitude: NDArray[np.float32] = np.abs(data)
    if magnitude.ndim != 3 or magnitude.size == 0 or not np.all(np.isfinite(magnitude)):
        raise DicomError(
            f"The images of shape {magnitude.shape} are empty or contain values that are not numbers.",
            "Reconstruct the scan again; if it happens again, the raw data are damaged.",
        )
    top = float(magnitude.max())
    factor = (2**bits - 1) / top if top > 0 else 1.0
    if is_signed:
        shifted: NDArray[np.float64] = (np.real(data) * np.float64(factor) + 2**bits - 1) / 2
        return np.round(shifted).astype(np.uint16)
    return np.round(magnitude * np.float64(factor)).astype(np.uint16)


def _study(exam: Exam, series: SeriesInfo) -> Dataset:
    """Patient, study, series and frame of reference."""
    patient, part = exam.patient, Dataset()
    study_time, series_time = (
        text.parse_time(exam.started_at, "start of the exam"),
        text.parse_time(series.started_at, "start"),
    )
    now = datetime.now(UTC).astimezone(series_time.tzinfo)
    part.SpecificCharacterSet = "ISO_IR 192"
    part.PatientName = text.person(patient.dicom_name, "patient's name")
    part.PatientID = text.identifier(patient.patient_id, "patient ID", 64)
    part.PatientBirthDate = text.dicom_date(patient.birth_date) if patient.birth_date else ""
    part.PatientSex = text.sex(patient)
    _optional(part, "PatientAge", text.age(patient, study_time.date()))
    _optional(part, "PatientSize", _known(patient.height_m))
    _optional(part, "PatientWeight", _known(patient.weight_kg))
    part.StudyInstanceUID = exam.study_uid
    part.StudyDate, part.StudyTime = text.dicom_date(study_time), text.dicom_time(study_time)
    part.StudyID = text.free_text(exam.exam_id, 16)
    part.AccessionNumber = text.identifier(exam.accession_number, "accession number", 16)
    part.ReferringPhysicianName = text.person(exam.referring_physician, "referring physician's name")
    _optional(part, "StudyDescription", text.free_text(exam.study_description, 64))
    part.Modality = "MR"
    part.SeriesInstanceUID = series.uid or new_uid()
    part.SeriesNumber = series.number
    part.SeriesDate, part.SeriesTime = text.dicom_date(series_time), text.dicom_time(series_time)
    _optional(part, "SeriesDescription", text.free_text(series.description, 64))
    _optional(part, "ProtocolName", text.free_text(series.protocol_name or series.description, 64))
    _optional(part, "OperatorsName", text.person(exam.operator, "operator's name"))
    _body_part(part, exam, series)
    part.PatientPosition = exam.position.value
    part.FrameOfReferenceUID, part.PositionReferenceIndicator = exam.frame_of_reference_uid, ""
    part.AcquisitionDate, part.AcquisitionTime = part.SeriesDate, part.SeriesTime
    part.ContentDate, part.ContentTime = text.dicom_date(now), text.dicom_time(now)
    part.InstanceCreationDate, part.InstanceCreationTime = part.ContentDate, part.ContentTime
    part.TimezoneOffsetFromUTC = text.zone(series_time)
    part.AcquisitionNumber = series.number
    return part


def _body_part(part: Dataset, exam: Exam, series: SeriesInfo) -> None:
    name = text.code_string(exam.body_part)
    if exam.patient.is_phantom:
        part.QualityControlImage = "YES"
        part.ImageLaterality = "U"  # it has no body part, and no side
        return
    _optional(part, "BodyPartExamined", name)
    if needs_side(name):
        part.Laterality = series.laterality


def _equipment(raw: RawScan, scanner: Scanner) -> Dataset:
    part = Dataset()
    part.Manufacturer = text.free_text(scanner.manufacturer, 64)
    _optional(part, "ManufacturerModelName", text.free_text(scanner.model, 64))
    _optional(part, "DeviceSerialNumber", text.free_text(scanner.serial_number, 64))
    _optional(part, "StationName", text.free_text(scanner.station_name, 16))
    _optional(part, "InstitutionName", text.free_text(scanner.institution, 64))
    part.SoftwareVersions = f"Isocenter {isocenter.__version__}"
    part.MagneticFieldStrength = text.decimal(round(b0_t_from_larmor(raw.lo_hz), 7))
    part.ImagingFrequency = text.decimal(round(raw.lo_hz * 1e-6, 9))
    part.ImagedNucleus = "1H"
    _optional(part, "ReceiveCoilName", text.free_text(scanner.receiver.coil_name, 16))
    return part


def _sequence(raw: RawScan, volume: Volume) -> Dataset:
    """What was played, from the compiled events."""
    part, kind, facts = Dataset(), sequence_kind(raw), raw.facts
    part.ScanningSequence, part.SequenceVariant = list(kind.scanning), list(kind.variant)
    part.ScanOptions = ""
    part.RepetitionTime = _scaled(facts.tr_s, 1e3) if facts else ""
    part.EchoTime = _scaled(facts.te_s, 1e3) if facts else ""
    part.EchoTrainLength = max(facts.echo_train_length, 1) if facts else ""
    if facts and "IR" in kind.scanning:
        part.InversionTime = _scaled(facts.ti_s, 1e3)
    if facts:
        _optional(part, "FlipAngle", _scaled(facts.flip_rad, 180 / math.pi))
        if math.isfinite(facts.b1_rms_t):
            part.B1rms = facts.b1_rms_t * 1e6
    averages = raw.label("AVG")
    part.NumberOfAverages = str(int(averages.max()) + 1) if len(averages) else "1"
    _optional(part, "SequenceName", text.free_text(raw.definitions.get("Name", "") or raw.name, 16))
    part.AngioFlag = "N"
    part.MRAcquisitionType = "2D"
    if raw.encoding is not None:
        _plane(part, in_plane(raw, raw.encoding, volume))
    return part


def _plane(part: Dataset, plane: InPlane) -> None:
    part.MRAcquisitionType = "3D" if plane.is_3d else "2D"
    part.InPlanePhaseEncodingDirection = plane.phase_direction
    part.AcquisitionMatrix = list(plane.acquisition_matrix)
    part.NumberOfPhaseEncodingSteps = plane.n_phase_steps
    part.PixelBandwidth = text.decimal(round(plane.pixel_bandwidth_hz, 6))
    part.PercentPhaseFieldOfView = text.decimal(round(plane.percent_phase_fov, 3))


def _pixel_description(pixels: NDArray[np.uint16], series: SeriesInfo, volume: Volume) -> Dataset:
    """Everything about the pixels that holds for the whole series."""
    part, geometry = Dataset(), volume.geometry
    part.SOPClassUID = MR_IMAGE_STORAGE
    origin = "DERIVED" if volume.label else "ORIGINAL"
    part.ImageType = [origin, "PRIMARY", "PHASE MAP" if volume.kind == "phase" else "OTHER"]
    derived = f"Derived image: {volume.label}." if volume.label else ""
    part.ImageComments = " ".join(filter(None, (STATUS, derived, text.free_text(series.comment, 500))))
    if volume.label:
        done = "; ".join(f"{name}: {said}" for name, said in volume.provenance[-3:])
        part.DerivationDescription = text.free_text(f"{volume.label} ({done})", 1024)
    part.PixelSpacing = [_millimetres(geometry.spacing_m[1]), _millimetres(geometry.spacing_m[2])]
    directions = (*geometry.row_direction, *geometry.column_direction)
    part.ImageOrientationPatient = [text.decimal(round(float(value), 10)) for value in directions]
    part.SliceThickness = _millimetres(geometry.slice_thickness_m)
    part.SpacingBetweenSlices = _millimetres(geometry.spacing_m[0])
    part.SamplesPerPixel, part.PhotometricInterpretation = 1, "MONOCHROME2"
    part.Rows, part.Columns = pixels.shape[1:]
    part.BitsAllocated, part.BitsStored, part.HighBit, part.PixelRepresentation = 16, series.bits, series.bits - 1, 0
    low, high = (float(value) for value in np.percentile(pixels, (1.0, 99.5)))
    part.WindowCenter, part.WindowWidth = text.decimal(round((low + high) / 2)), text.decimal(max(round(high - low), 1))
    part.BurnedInAnnotation, part.LossyImageCompression, part.PresentationLUTShape = "NO", "00", "IDENTITY"
    return part


def _image(common: Dataset, pixels: NDArray[np.uint16], volume: Volume, index: int) -> Dataset:
    geometry, image = volume.geometry, Dataset()
    image.update(common)
    first_m = geometry.lps_m(np.array([index, 0, 0]))
    image.SOPInstanceUID = new_uid()
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [_millimetres(float(value)) for value in first_m]
    image.SliceLocation = _millimetres(float(first_m @ geometry.slice_direction))
    image.SmallestImagePixelValue, image.LargestImagePixelValue = int(pixels[index].min()), int(pixels[index].max())
    image["SmallestImagePixelValue"].VR = image["LargestImagePixelValue"].VR = "US"
    image.PixelData = np.ascontiguousarray(pixels[index], dtype="<u2").tobytes()
    image["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(MR_IMAGE_STORAGE), UID(image.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    image.file_meta = meta
    return image


def _write_all(images: list[Dataset], folder: Path) -> list[Path]:
    paths = [folder / f"IM{number:04d}.dcm" for number in range(1, len(images) + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as name:
            drafts = [Path(name) / path.name for path in paths]
            for image, draft in zip(images, drafts, strict=True):
                dcmwrite(draft, image, enforce_file_format=True)
            for draft, path in zip(drafts, paths, strict=True):
                os.replace(draft, path)  # noqa: PTH105  # one atomic step each, after all have been written
    except OSError as error:
        raise DicomError(
            f"The images cannot be written to {folder}: {error.strerror or error}.",
            "Check that the folder can be written and the disk has room, then export again.",
        ) from error
    return paths


def _optional(part: Dataset, keyword: str, value: str) -> None:
    """Set an attribute only when there is something to say; an empty optional one says less than none."""
    if value:
        setattr(part, keyword, value)


def _known(value: float) -> str:
    return "" if math.isnan(value) else text.decimal(value)


def _scaled(value: float, factor: float) -> str:
    return text.decimal(round(value * factor, 6)) if math.isfinite(value) else ""


def _millimetres(value_m: float) -> str:
    return text.decimal(round(value_m * 1e3, 7))
