# SPDX-License-Identifier: MIT
"""The window that spreads one sample over a few grid points, and what undoes its effect on the image.

Kaiser-Bessel, ``I0(beta sqrt(1 - (2 x / WIDTH)^2)) / I0(beta)`` for ``|x| < WIDTH / 2`` grid steps. With six points and a
grid 1.5 times as fine as the image needs, the aliases that remain are 4e-5 of the image (root mean square, each axis).

Source
------
Beatty, Nishimura, Pauly, IEEE TMI 24:799 (2005), for the choice of beta; the value here is the minimum of that error over
beta, found numerically (docs/nufft.md).
"""

from functools import cache
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 6
"""Grid points along each axis that one sample touches."""

OVERSAMPLING: Final = 1.5
"""Grid points for one voxel, at least."""

BETA: Final = 2.042 * WIDTH

N_ROWS: Final = 256
"""Rows of the table; between them the window is interpolated linearly, with an error below 1e-5."""

TOLERANCE: Final = 1e-4
"""What the window reaches: relative error of a whole transform."""


def window(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value of the window at a distance in grid steps; zero outside."""
    inside = np.maximum(1 - (2 * distance / WIDTH) ** 2, 0)
    return cast(NDArray[np.float64], np.where(inside > 0, np.i0(BETA * np.sqrt(inside)) / np.i0(BETA), 0.0))


@cache
def window_table() -> NDArray[np.float32]:
    """The six values for a sample at each of ``N_ROWS + 1`` places between two grid points.

    Returns
    -------
        Flat float32, rows of ``2 * WIDTH``: each value twice, for the real and the imaginary part of a grid point. Row r is
        for the first grid point ``WIDTH / 2 - r / N_ROWS`` below the sample. Signs alternate along a row, which moves the
        middle of the image from index 0 to the middle of the grid; see ``gridder``. One row more than needed, so that the
        next one exists.
    """
    first = -WIDTH / 2 + np.arange(N_ROWS + 2)[:, np.newaxis] / N_ROWS
    values = window(first + np.arange(WIDTH)) * (-1.0) ** np.arange(WIDTH)
    return np.repeat(values, 2, axis=1).astype(np.float32).ravel()


def correction(n_voxels: int, n_grid: int) -> NDArray[np.float64]:
    """One over the window's transform at each voxel of an axis, shape ``(n_voxels,)``."""
    root = np.sqrt(BETA**2 - (np.pi * WIDTH * (np.arange(n_voxels) - n_voxels // 2) / n_grid) ** 2)
    return np.asarray(root * np.i0(BETA) / (WIDTH * np.sinh(root)))
