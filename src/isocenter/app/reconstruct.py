# SPDX-License-Identifier: MIT
"""Images from any raw data: a scan of ours, or k-space from elsewhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isocenter.app.files import new_folder
from isocenter.app.images import ImageFiles, describe_scan, is_scan_folder, make_images
from isocenter.domain.errors import ReconError, StorageError
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.foreign import plain_volume, reconstruct_plain
from isocenter.recon.options import Filter, ReconOptions
from isocenter.recon.plan import plan_cartesian
from isocenter.storage.foreign import read_foreign
from isocenter.storage.nifti import write_nifti
from isocenter.storage.png import contact_sheet
from isocenter.storage.stored import read_raw


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
    """

    variable: str = ""
    matrix: str = ""
    window: str = "none"
    axes: str = ""
    channel_axis: int | None = None


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
        files = make_images(source, out, _options(read_raw(source) if size else None, order.window, size))
        scan = describe_scan(source)
        share = "" if scan["complete"] else f" Only {scan['readouts']} of {scan['expected']} readouts were measured."
        what = "its spectrum" if files.spectrum else "1 image stack" if len(files.volumes) == 1 else "image stacks"
        many = f"{len(files.volumes)} " if len(files.volumes) > 1 else ""
        return {"text": f"{scan['name']}: {many}{what}.{share}", "files": _names(files)}
    if not source.exists():
        raise StorageError(f"There is no '{source}'.", "Check the name of the file or folder.")
    if source.is_dir():
        raise StorageError(f"'{source}' is not a scan.", "Give the folder of a scan: it holds a file scan.json.")
    if out is None:
        raise ReconError("Nobody said where the images should go.", "Add --out FOLDER.")
    data = read_foreign(source, order.variable)
    if isinstance(data, RawScan):
        _refuse_axes(order)
        volumes = reconstruct(data, options=_options(data, order.window, size))
    else:
        if order.window != Filter.NONE:
            raise ReconError(
                "A filter needs to know where the field of view lies, which a plain array does not say.",
                "Leave --filter away, or give an ISMRMRD file.",
            )
        images = reconstruct_plain(data, size, encoded_axes=axes, channel_axis=order.channel_axis)
        volumes = (plain_volume(images, source.name),)
    return _write_plain(volumes, source, out)


def _options(raw: RawScan | None, window: str, size: tuple[int, int] | None) -> ReconOptions:
    """Rows and columns are those of the pictures: read runs along either."""
    if raw is None or size is None:
        return ReconOptions(filter=Filter(window))
    plan = plan_cartesian(raw.encoding, raw.placement, raw.definitions, ReconOptions())
    read, lin = size if plan.stacks[0].display.transpose else size[::-1]
    return ReconOptions(filter=Filter(window), matrix=(read, lin, 0))


def _refuse_axes(order: ReconOrder) -> None:
    if order.axes or order.channel_axis is not None:
        raise ReconError("These data say themselves what their axes are.", "Leave --axes and --channel-axis away.")


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


def _write_plain(volumes: tuple[Volume, ...], source: Path, out: Path) -> dict[str, Any]:
    stem = source.name.split(".")[0]
    with new_folder(out) as folder:
        for index, volume in enumerate(volumes, start=1):
            name = stem if len(volumes) == 1 else f"{stem}-{index}"
            np.save(folder / f"{name}.npy", np.abs(volume.data))
            write_nifti(volume, folder / f"{name}.nii.gz")
        contact_sheet(volumes, folder / f"{stem}.png", title=source.name)
    shape = " x ".join(map(str, volumes[0].data.shape))
    files = sorted(str(path) for path in out.glob(f"{stem}*") if path.is_file())
    return {"text": f"{source.name}: images of {shape} (slices x rows x columns).", "files": files}


def _names(files: ImageFiles) -> list[str]:
    return [str(path) for path in (*files.dicom, *files.nifti, *filter(None, (files.sheet, files.spectrum)))]
