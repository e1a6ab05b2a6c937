# SPDX-License-Identifier: MIT
"""Compilation ahead of the first use, which would otherwise wait for it."""

import numpy as np

from isocenter.recon.correct.b0 import Undistortion, undistort
from isocenter.recon.correct.denoise import filter_volume
from isocenter.recon.correct.editer import remove_with_sensors


def warm_up() -> None:
    """Compile every inner loop of the corrections, or load it from the cache; for a worker at rest."""
    from isocenter.recon.correct.unwrap import unwrap

    rng = np.random.default_rng(0)
    heard = (rng.standard_normal((16, 2, 64)) + 1j * rng.standard_normal((16, 2, 64))).astype(np.complex64)
    remove_with_sensors(heard[:, :1] + heard[:, 1:], heard[:, 1:], taps=1)
    image = np.ones((1, 4, 8), dtype=np.complex64)
    undistort(image, np.zeros(image.shape, dtype=np.float32), method=Undistortion.MODEL)
    unwrap(np.zeros((1, 4, 4), dtype=np.float32), np.ones((1, 4, 4), dtype=np.float32))
    filter_volume(np.zeros((4, 8, 8), dtype=np.float32))
