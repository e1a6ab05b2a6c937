# SPDX-License-Identifier: MIT
"""Where the voxels of an image in encoding order lie in the magnet."""

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.geometry import lps_from_device
from isocenter.recon.display import Display

Vector = NDArray[np.float64]


def voxel_steps_m(display: Display, shape: tuple[int, int, int]) -> tuple[Vector, Vector]:
    """Centre of the voxel [0, 0, 0] and the steps to the next z, y, x, in device axes [m], shapes (3,) and (3, 3).

    Parameters
    ----------
    shape
        Of the image in encoding order ``(z, y, x)``, to which the display refers.
    """
    first = _shown_index((0, 0, 0), display, shape)
    units = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    steps = [_shown_index(unit, display, shape) - first for unit in units]
    device_from_lps = lps_from_device(display.geometry.position).T
    origin = display.geometry.lps_m(first)
    moved = [display.geometry.lps_m(first + step) - origin for step in steps]
    return device_from_lps @ origin, np.array([device_from_lps @ step for step in moved])


def voxel_positions_m(display: Display, shape: tuple[int, int, int], kept: slice | None, n_whole: int) -> Vector:
    """Place of every voxel in device axes [m], shape ``(z, y, x, 3)``.

    Parameters
    ----------
    shape
        As for ``voxel_steps_m``.
    kept, n_whole
        Where these columns lie among those of the whole readout, for which the places are wanted; None for no others.
    """
    first, steps = voxel_steps_m(display, shape)
    start = kept.start if kept is not None else 0
    columns = np.arange(n_whole if kept is not None else shape[2]) - start
    z, y = np.arange(shape[0]), np.arange(shape[1])
    return np.asarray(
        first
        + z[:, np.newaxis, np.newaxis, np.newaxis] * steps[0]
        + y[:, np.newaxis, np.newaxis] * steps[1]
        + columns[:, np.newaxis] * steps[2]
    )


def _shown_index(index: tuple[int, int, int], display: Display, shape: tuple[int, int, int]) -> Vector:
    """Index in display order of a voxel in encoding order."""
    z, y, x = index
    turned = (z, x, y) if display.transpose else (z, y, x)
    sizes = (shape[0], shape[2], shape[1]) if display.transpose else shape
    return np.array(
        [size - 1 - i if flip else i for i, size, flip in zip(turned, sizes, display.flip, strict=True)], dtype=np.float64
    )
