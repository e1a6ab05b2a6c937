# SPDX-License-Identifier: MIT
"""How much noise an image has, told from the image itself."""

import numpy as np
from numpy.typing import NDArray


def background_sigma(magnitude: NDArray[np.floating]) -> float:
    """Standard deviation of the noise in one part (real or imaginary) of an image, from its dark voxels.

    In air a magnitude is Rayleigh distributed, with its mode at sigma. The mode is looked for among the darker voxels, so
    that it needs some air around the object; zeros (zero-filled or masked) are left out. 0 for an image without noise.
    """
    values = np.asarray(magnitude, dtype=np.float64).ravel()
    values = np.sort(values[values > 0])
    if len(values) < 16:
        return 0.0
    # The shortest interval that holds a tenth of the voxels lies around the mode.
    n = max(len(values) // 10, 8)
    low = values[: int(len(values) * 0.7) + 1]
    if len(low) <= n:
        low = values
    width = low[n:] - low[:-n]
    at = int(np.argmin(width))
    mode = float(low[at : at + n + 1].mean())
    # Then the Rayleigh distribution up to one and a half times the mode, where no object is: its mean square there.
    for _ in range(8):
        part = values[values <= 1.5 * mode]
        # for a Rayleigh distribution cut at 1.5 sigma the mean square is 0.8983 sigma^2
        mode = float(np.sqrt(np.mean(part**2) / _CUT_SQUARE))
    return mode


_CUT_SQUARE = 2 - 1.5**2 * np.exp(-(1.5**2) / 2) / (1 - np.exp(-(1.5**2) / 2))
"""Mean square of a Rayleigh distribution below 1.5 sigma, over sigma^2."""


def difference_sigma(image: NDArray[np.floating]) -> float:
    """Standard deviation of noise that is independent from voxel to voxel, from the finest details along the last axis.

    Robust against edges (median absolute deviation of second differences), not against noise that was filtered.
    """
    values = np.asarray(image, dtype=np.float64)
    if values.shape[-1] < 4:
        return 0.0
    fine = (values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2]) / np.sqrt(6)
    return float(1.4826 * np.median(np.abs(fine - np.median(fine))))
