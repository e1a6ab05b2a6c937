# SPDX-License-Identifier: MIT
"""Images from any raw data: a scan of ours, or k-space from elsewhere."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from isocenter.app.files import new_folder
from isocenter.app.images import ImageFiles, describe_scan, is_scan_folder, make_images
from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.foreign import plain_volume, reconstruct_plain
from isocenter.recon.options import Filter, ReconOptions
from isocenter.storage.foreign import read_foreign
from isocenter.storage.nifti import write_nifti
from isocenter.storage.png import contact_sheet


def reconstruct_path(source: Path, *, out: Path | None, variable: str, matrix: str, window: str) -> dict[str, Any]:
    """Reconstruct a scan's folder or a file from elsewhere; returns a text and the files written.

    Raises
    ------
    StorageError, ReconError
        What the source holds cannot be read, or gives no image.
    """
    size = parse_matrix(matrix)
    if is_scan_folder(source):
        options = ReconOptions(filter=Filter(window), matrix=(size[1], size[0], 0) if size else None)
        files = make_images(source, out, options)
        scan = describe_scan(source)
        share = "" if scan["complete"] else f" Only {scan['readouts']} of {scan['expected']} readouts were measured."
        return {"text": f"{scan['name']}: {len(files.volumes)} image stacks.{share}", "files": _names(files)}
    if out is None:
        raise ReconError("Nobody said where the images should go.", "Add --out FOLDER.")
    data = read_foreign(source, variable)
    if isinstance(data, RawScan):
        options = ReconOptions(filter=Filter(window), matrix=(size[1], size[0], 0) if size else None)
        volumes = reconstruct(data, options=options)
    else:
        volumes = (plain_volume(reconstruct_plain(data, size), source.name),)
    return _write_plain(volumes, source, out)


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
