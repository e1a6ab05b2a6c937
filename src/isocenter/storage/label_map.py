# SPDX-License-Identifier: MIT
"""Label maps: NIfTI files whose voxels are whole numbers that stand for tissues."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError

_LARGEST_VOXELS: Final = 500_000_000
_LARGEST_LABEL: Final = 32_000
_METRES: Final[dict[str, float]] = {"mm": 1e-3, "meter": 1.0, "micron": 1e-6, "unknown": 1e-3}
_RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """A label map and where it lies.

    Attributes
    ----------
    labels
        int16, by the file's own voxel indices, shape ``(n_i, n_j, n_k)``; 0 is air.
    lps_from_index_m
        Matrix from voxel indices to patient axes LPS [m], shape ``(4, 4)``.
    """

    labels: NDArray[np.int16]
    lps_from_index_m: NDArray[np.float64]


def read_label_map(path: Path) -> LabelMap:
    """Read a NIfTI label map; its affine, RAS as NIfTI has it, is honoured.

    Raises
    ------
    StorageError
        It cannot be read, is not three-dimensional, does not say how it lies, or holds no labels; says what was found.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    choose = "Give a label map as NIfTI (.nii or .nii.gz) with whole numbers, 0 for air."
    try:
        image = nibabel.load(path)
        shape, header = tuple(int(n) for n in image.shape), image.header
        shape = shape[:3] if len(shape) > 3 and set(shape[3:]) == {1} else shape
        if len(shape) != 3 or min(shape) < 2 or int(np.prod(shape, dtype=np.float64)) > _LARGEST_VOXELS:
            size = " x ".join(map(str, shape))
            raise StorageError(f"{path} has {size} voxels; a label map has three dimensions of 2 or more.", choose)
        is_placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        unit_m = _METRES.get(header.get_xyzt_units()[0], 1e-3)
        values = np.asarray(image.dataobj).reshape(shape)
    except FileNotFoundError:
        raise StorageError(f"There is no label map {path}.", "Correct phantom_file in the scenario file.") from None
    except (OSError, EOFError, zlib.error, ImageFileError, HeaderDataError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} cannot be read as NIfTI: {error}.", choose) from None
    if not is_placed:
        raise StorageError(
            f"{path} does not say how it lies: its sform and qform codes are 0.",
            "Write it with a valid affine, so that left and right are known.",
        )
    affine = _RAS_TO_LPS @ np.asarray(image.affine, dtype=np.float64)
    affine[:3] *= unit_m
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-15:
        raise StorageError(f"{path} has an affine that squeezes its voxels flat.", "Write it with a valid affine.")
    return LabelMap(labels=_labels(path, values, choose), lps_from_index_m=affine)


def _labels(path: Path, values: NDArray[np.generic], choose: str) -> NDArray[np.int16]:
    if values.dtype.kind not in "iuf":
        raise StorageError(f"{path} holds {values.dtype} values, not labels.", choose)
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        wrong = values[~(values == np.rint(values))].flat[0]
        raise StorageError(f"{path} holds {wrong:g}, which is no whole number; it is a picture, not a label map.", choose)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _LARGEST_LABEL:
        raise StorageError(f"{path} holds labels from {low} to {high}; allowed is 0 to {_LARGEST_LABEL}.", choose)
    if high == 0:
        raise StorageError(f"{path} holds no label but 0, which is air.", choose)
    return values.astype(np.int16)
