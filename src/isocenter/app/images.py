# SPDX-License-Identifier: MIT
"""From a scan's folder to image files, and copies of them for others."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.files import new_folder
from isocenter.app.pipelines import INTERMEDIATE, Keeper, PipelineChoice, coils_for, copy_map, skipped_text, write_used
from isocenter.app.simulated import series_description, simulated_comment
from isocenter.dicom.identifiers import new_uid
from isocenter.dicom.series import SeriesInfo, write_series
from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.spectrum import spectrum
from isocenter.storage.nifti import write_nifti
from isocenter.storage.png import contact_sheet
from isocenter.storage.stored import StoredScan, open_scan, read_raw, recover

DICOM, NIFTI, SHEET, SPECTRUM = "dicom", "nifti", "contact-sheet.png", "spectrum.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """What was made of a scan.

    Attributes
    ----------
    volumes
        The images themselves.
    folder
        Where the files are.
    """

    volumes: tuple[Volume, ...]
    folder: Path
    dicom: tuple[Path, ...] = ()
    nifti: tuple[Path, ...] = ()
    sheet: Path | None = None
    spectrum: Path | None = None
    intermediate: Path | None = None


def is_scan_folder(path: Path) -> bool:
    """True for a folder that a scan left."""
    return (path / "scan.json").is_file()


def make_images(scan_folder: Path, out: Path | None = None, choice: PipelineChoice | None = None) -> ImageFiles:
    """Reconstruct a scan, complete or cut short, and write DICOM, NIfTI and a contact sheet (or a spectrum).

    The pipeline that was used is written beside the images.

    Parameters
    ----------
    scan_folder
        As ``storage`` keeps it; one that a crash left behind is closed first.
    out
        Where to write; the scan's own images folder when None.
    choice
        What a person chose of the reconstruction; None for nothing.

    Raises
    ------
    ReconError, StorageError, DicomError
        Nothing half-written is left.
    """
    stored = recover(scan_folder)
    raw = read_all(scan_folder)
    choice, folder, request = choice or PipelineChoice(), out or stored.images, stored.record.request
    if choice.file is None and (request.recon in {"noise", "spectrum"} or not has_images(raw)):
        return _write_spectrum(raw, folder)
    orders = choice.orders(request.pipeline, request.recon)
    coils = coils_for(choice.gradient_map, request.scanner.name)
    with new_folder(folder) as temporary:
        keeper = Keeper(choice.keep, temporary / INTERMEDIATE)
        volumes = reconstruct(raw, pipeline=orders, field=choice.field(raw.lo_hz), coils=coils, watch=keeper)
        write_used(orders, temporary)
        copy_map(choice, temporary)
        _write_volumes(stored, raw, volumes, temporary)
    return _found(volumes, folder)


def has_images(raw: RawScan) -> bool:
    """True when the samples are encoded in some way."""
    return raw.encoding is not None or raw.trajectory_per_m is not None


def read_all(scan_folder: Path) -> RawScan:
    """A scan's readouts with its navigators, when they are as long as the others; ``sort`` leaves them out of the images."""
    raw = read_raw(scan_folder)
    if "NAV" not in raw.labels:
        return raw
    whole = read_raw(scan_folder, kind="all")
    return replace(whole, noise=raw.noise) if whole.samples.shape[1:] == raw.samples.shape[1:] else raw


def export_scan(scan_folder: Path, out: Path) -> tuple[Path, ...]:
    """Copy a scan's image files to another folder, making them first if the scan has none.

    Returns
    -------
        The copies.

    Raises
    ------
    StorageError
        It is no scan, it has no images, or the folder cannot be written.
    """
    if not is_scan_folder(scan_folder):
        raise StorageError(f"'{scan_folder}' is not a scan.", "Give the folder of a scan: it holds a file scan.json.")
    images = open_scan(scan_folder).images
    if not any(images.glob("*")):
        make_images(scan_folder)
    target = out / scan_folder.name
    with new_folder(target) as temporary:
        shutil.copytree(images, temporary, dirs_exist_ok=True)
    return tuple(sorted(path for path in target.rglob("*") if path.is_file()))


def _write_volumes(stored: StoredScan, raw: RawScan, volumes: tuple[Volume, ...], folder: Path) -> None:
    request = stored.record.request
    exam = request.exam or new_exam(phantom_patient(), request.placement.position, "HEAD")
    short = "" if stored.is_complete else f"Incomplete: {len(raw.samples)} of {raw.n_expected} readouts were measured."
    comment = " ".join(filter(None, (simulated_comment(request.console), short, skipped_text(volumes))))
    titles = _titles(volumes)
    for index, (volume, title) in enumerate(zip(volumes, titles, strict=True), start=1):
        suffix = f"-{title.replace(' ', '-')}" if title else ""
        series = SeriesInfo(
            number=request.series_number if index == 1 else request.series_number * 100 + index,
            description=series_description(request.protocol.name, suffix, request.console, exam.patient),
            protocol_name=request.protocol.name,
            started_at=stored.record.started_at,
            uid=new_uid(),
            comment=comment,
            laterality=exam.laterality,
        )
        write_series(volume, raw=raw, exam=exam, series=series, scanner=request.scanner, folder=folder / f"{DICOM}{suffix}")
        name = f"{stored.path.name}{suffix}.nii.gz"
        (folder / NIFTI).mkdir(exist_ok=True)
        write_nifti(volume, folder / NIFTI / name, facts=raw.facts, larmor_hz=raw.lo_hz)
    labels = titles if any(titles) else ()
    name = series_description(request.protocol.name, "", request.console, exam.patient)
    contact_sheet(volumes, folder / SHEET, labels, title=f"{exam.patient.display_name} · {name}")


def _titles(volumes: tuple[Volume, ...]) -> tuple[str, ...]:
    """What tells the volumes of a scan apart: a number for the originals when there are several, and each one's label."""
    originals = [volume for volume in volumes if not volume.label]
    numbers: dict[str, int] = {}
    titles = []
    for volume in volumes:
        numbers[volume.label] = numbers.get(volume.label, 0) + 1
        number = str(numbers[volume.label]) if len(originals) > 1 else ""
        titles.append(" ".join(filter(None, (number, volume.label))))
    return tuple(titles)


def _write_spectrum(raw: RawScan, out: Path) -> ImageFiles:
    frequency_hz, magnitude = spectrum(raw)
    with new_folder(out) as folder:
        table = np.column_stack([frequency_hz, magnitude])
        np.savetxt(folder / SPECTRUM, table, fmt="%.9g", delimiter=",", header="frequency_hz,magnitude", comments="")
    return ImageFiles(volumes=(), folder=out, spectrum=out / SPECTRUM)


def _found(volumes: tuple[Volume, ...], out: Path) -> ImageFiles:
    return ImageFiles(
        volumes=volumes,
        folder=out,
        dicom=tuple(sorted(out.glob(f"{DICOM}*/*.dcm"))),
        nifti=tuple(sorted(out.glob(f"{NIFTI}/*.nii.gz"))),
        sheet=out / SHEET,
        intermediate=out / INTERMEDIATE if (out / INTERMEDIATE).is_dir() else None,
    )


def describe_scan(scan_folder: Path) -> dict[str, object]:
    """What a scan's folder holds, as plain values."""
    stored = open_scan(scan_folder)
    return {
        "folder": str(scan_folder),
        "name": stored.record.request.protocol.name,
        "complete": stored.is_complete,
        "readouts": stored.n_readouts,
        "expected": stored.record.compiled.n_expected,
        "end": stored.record.end.reason.value if stored.record.end else "interrupted",
    }
