# SPDX-License-Identifier: MIT
"""A scan's raw data for other programs."""

from pathlib import Path

from isocenter.app.files import new_folder
from isocenter.app.images import is_scan_folder
from isocenter.domain.errors import StorageError
from isocenter.storage.mrd_write import write_mrd
from isocenter.storage.stored import read_raw


def export_mrd(scan_folder: Path, out: Path) -> tuple[Path, ...]:
    """Write a scan's readouts as an ISMRMRD file named after its folder.

    Raises
    ------
    StorageError
        It is no scan, or the file cannot be written.
    """
    if not is_scan_folder(scan_folder):
        raise StorageError(f"'{scan_folder}' is not a scan.", "Give the folder of a scan: it holds a file scan.json.")
    name = f"{scan_folder.resolve().name}.h5"
    raw = read_raw(scan_folder)
    with new_folder(out) as folder:
        write_mrd(raw, folder / name, is_for_others=True)
    return (out / name,)
