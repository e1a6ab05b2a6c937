# SPDX-License-Identifier: MIT
"""Images from any raw data: a scan of ours, or k-space from elsewhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.app.files import new_folder
from isocenter.app.images import ImageFiles, describe_scan, is_scan_folder, make_images
from isocenter.app.pipelines import (
    INTERMEDIATE,
    Keeper,
    PipelineChoice,
    coils_for,
    copy_map,
    skipped_text,
    write_pipeline,
    write_used,
)
from isocenter.domain.errors import ReconError, StorageError
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.foreign import plain_volume, reconstruct_plain
from isocenter.recon.foreign_sensors import clean_plain
from isocenter.recon.options import ReconOptions
from isocenter.recon.pipeline_file import steps_text
from isocenter.recon.plan import plan_cartesian
from isocenter.recon.windows import Filter
from isocenter.storage.foreign import read_any, read_foreign
from isocenter.storage.nifti import write_nifti
from isocenter.storage.png import contact_sheet
from isocenter.storage.stored import open_scan, read_raw


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconOrder:
    """What a person asked for, as typed.

    Attributes
    ----------
    variable
        Array in a file that may hold several.
    matrix
        Rows and columns of the images, such as ``256x256``; empty for as measured.
    window
        Name of a filter.
    axes, channel_axis
        What the axes of a plain array mean, such as ``0,1`` and ``3``; empty where the data tell.
    pipeline
        File with a pipeline of one's own.
    keep
        Names of steps whose result is to be kept, separated by commas.
    field_map
        Folder of a scan of the main field.
    gradient_map
        File with what was measured of the gradient coils.
    sensors
        Arrays of the same file that hold what sensors of interference heard, separated by commas.
    inverse
        Plain arrays: transform with the opposite sign, which turns the images by 180 degrees.
    """

    variable: str = ""
    matrix: str = ""
    window: str = "none"
    axes: str = ""
    channel_axis: int | None = None
    pipeline: Path | None = None
    keep: str = ""
    field_map: Path | None = None
    gradient_map: Path | None = None
    sensors: str = ""
    inverse: bool = False

    def choice(self, raw: RawScan | None) -> PipelineChoice:
        """The same as the pipeline wants it; ``raw`` tells which of rows and columns is read, if a matrix is asked for."""
        options = _options(raw, self.window, parse_matrix(self.matrix))
        keep = tuple(name.strip() for name in self.keep.split(",") if name.strip())
        return PipelineChoice(
            options=options, file=self.pipeline, keep=keep, field_map=self.field_map, gradient_map=self.gradient_map
        )


def reconstruct_path(source: Path, out: Path | None, order: ReconOrder) -> dict[str, Any]:
    """Reconstruct a scan's folder or a file from elsewhere; returns a text and the files written.

    Raises
    ------
    StorageError, ReconError
        What the source holds cannot be read, or gives no image.
    """
    size, axes = parse_matrix(order.matrix), parse_axes(order.axes)
    if is_scan_folder(source):
        _refuse_axes(order)
        files = make_images(source, out, order.choice(read_raw(source) if size else None))
        scan = describe_scan(source)
        share = "" if scan["complete"] else f" Only {scan['readouts']} of {scan['expected']} readouts were measured."
        share += f" {skipped}" if (skipped := skipped_text(files.volumes)) else ""
        what = "its spectrum" if files.spectrum else "1 image stack" if len(files.volumes) == 1 else "image stacks"
        many = f"{len(files.volumes)} " if len(files.volumes) > 1 else ""
        return {"text": f"{scan['name']}: {many}{what}.{share}", "files": _names(files)}
    _require_file(source)
    if out is None:
        raise ReconError("Nobody said where the images should go.", "Add --out FOLDER.")
    found = read_any(source, order.variable)
    data = found.data
    if isinstance(data, RawScan):
        _refuse_axes(order)
        choice = order.choice(data)
        orders = choice.orders((), _kind_of(data))
        with new_folder(out) as folder:
            keeper = Keeper(choice.keep, folder / INTERMEDIATE)
            coils = coils_for(choice.gradient_map, "")
            volumes = reconstruct(data, pipeline=orders, field=choice.field(data.lo_hz), coils=coils, watch=keeper)
            write_used(orders, folder)
            copy_map(choice, folder)
            _write_plain(volumes, source, folder)
        return {**_report(volumes, source, out), "warnings": list(found.warnings)}
    if order.window != Filter.NONE or order.pipeline is not None or order.keep or order.gradient_map:
        raise ReconError(
            "A filter or a pipeline needs to know where the field of view lies, which a plain array does not say.",
            "Leave --filter, --pipeline, --keep and --gradient-map away, or give an ISMRMRD file.",
        )
    data, said = _without_interference(data, source, order)
    if order.inverse:
        data = data.conj()
    images = reconstruct_plain(data, size, encoded_axes=axes, channel_axis=order.channel_axis)
    plain = (plain_volume(images, source.name),)
    with new_folder(out) as folder:
        _write_plain(plain, source, folder)
    return {**_report(plain, source, out), "warnings": [*found.warnings, *said]}


def _without_interference(
    data: NDArray[np.complex64], source: Path, order: ReconOrder
) -> tuple[NDArray[np.complex64], list[str]]:
    """The array without what its file's sensors explain, and a sentence on what that did."""
    names = [name.strip() for name in order.sensors.split(",") if name.strip()]
    if not names:
        return data, []
    heard = [read_any(source, name).data for name in names]
    arrays = [array for array in heard if not isinstance(array, RawScan)]
    removal = clean_plain(data, arrays)
    if not removal.is_changed:
        return data, ["The sensors explain nothing of what the coil heard; the data are as they were."]
    return removal.samples, [f"Interference that the sensors heard was taken out: {removal.figure}."]


def all_steps_text() -> str:
    """Every step that a pipeline may have, for people."""
    return steps_text()


def write_pipeline_of(source: Path, path: Path, order: ReconOrder) -> str:
    """Write the pipeline that ``reconstruct_path`` would use for the same order, to be edited; returns a text.

    Raises
    ------
    StorageError, ReconError
        The source cannot be read, has no pipeline, or the file cannot be written.
    """
    if is_scan_folder(source):
        request = open_scan(source).record.request
        raw = read_raw(source) if order.matrix else None
        orders = order.choice(raw).orders(request.pipeline, request.recon)
    else:
        _require_file(source)
        data = read_foreign(source, order.variable)
        if not isinstance(data, RawScan):
            raise ReconError(f"{source.name} holds a plain array, which needs no pipeline.", "Give a scan's folder.")
        orders = order.choice(data).orders((), _kind_of(data))
    write_pipeline(orders, path)
    return (
        f"The {len(orders)} steps from {source.name} to its images stand in {path}. Change them, then use --pipeline {path}."
    )


def _kind_of(raw: RawScan) -> str:
    return "noncartesian" if raw.encoding is None and raw.trajectory_per_m is not None else "cartesian"


def _require_file(source: Path) -> None:
    if not source.exists():
        raise StorageError(f"There is no '{source}'.", "Check the name of the file or folder.")
    if source.is_dir():
        raise StorageError(f"'{source}' is not a scan.", "Give the folder of a scan: it holds a file scan.json.")


def _options(raw: RawScan | None, window: str, size: tuple[int, int] | None) -> ReconOptions:
    """Rows and columns are those of the pictures: read runs along either."""
    if raw is None or size is None:
        return ReconOptions(filter=Filter(window))
    plan = plan_cartesian(raw.encoding, raw.placement, raw.definitions, ReconOptions())
    read, lin = size if plan.stacks[0].display.transpose else size[::-1]
    return ReconOptions(filter=Filter(window), matrix=(read, lin, 0))


def _refuse_axes(order: ReconOrder) -> None:
    if order.axes or order.channel_axis is not None or order.sensors or order.inverse:
        raise ReconError(
            "These data say themselves what their axes, channels and signs are.",
            "Leave --axes, --channel-axis, --sensors and --inverse away.",
        )


def parse_axes(text: str) -> tuple[int, ...] | None:
    """Axes of ``0,1``; None for an empty text.

    Raises
    ------
    ReconError
        The text is something else.
    """
    if not text:
        return None
    if re.fullmatch(r"\s*\d\s*(,\s*\d\s*){1,2}", text) is None:
        raise ReconError(f"'{text}' does not name axes.", "Write two or three axes counted from 0, such as 0,1.")
    return tuple(int(part) for part in text.split(","))


def parse_matrix(text: str) -> tuple[int, int] | None:
    """Rows and columns of ``256x256``; None for an empty text.

    Raises
    ------
    ReconError
        The text is something else.
    """
    if not text:
        return None
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*", text)
    if match is None:
        raise ReconError(f"'{text}' is not a matrix.", "Write rows x columns, such as 256x256.")
    return int(match[1]), int(match[2])


def _write_plain(volumes: tuple[Volume, ...], source: Path, folder: Path) -> None:
    stem = _stem(source)
    for index, volume in enumerate(volumes, start=1):
        name = stem if len(volumes) == 1 else f"{stem}-{index}"
        name = f"{name}-{volume.label}" if volume.label else name
        np.save(folder / f"{name}.npy", np.abs(volume.data) if volume.kind in {"magnitude", "complex"} else volume.data)
        write_nifti(volume, folder / f"{name}.nii.gz")
    titles = tuple(volume.label for volume in volumes)
    contact_sheet(volumes, folder / f"{stem}.png", titles if any(titles) else (), title=source.name)


def _report(volumes: tuple[Volume, ...], source: Path, out: Path) -> dict[str, Any]:
    shape = " x ".join(map(str, volumes[0].data.shape))
    files = sorted(str(path) for path in out.glob(f"{_stem(source)}*") if path.is_file())
    text = f"{source.name}: images of {shape} (slices x rows x columns). {skipped_text(volumes)}".strip()
    return {"text": text, "files": files}


def _stem(source: Path) -> str:
    return source.name.split(".")[0]


def _names(files: ImageFiles) -> list[str]:
    others = (files.sheet, files.spectrum, files.intermediate)
    return [str(path) for path in (*files.dicom, *files.nifti, *filter(None, others))]
