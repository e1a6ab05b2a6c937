# SPDX-License-Identifier: MIT
"""The normal operator of weighted samples as a convolution, which is cheaper than two NUFFTs.

``sum_j w_j exp(2 pi i k_j . (q - p))`` depends on the difference of voxels only, and is Hermitian in it.
"""

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.convolution import Convolution
from isocenter.recon.nufft.gridder import n_processors
from isocenter.recon.nufft.transform import Nufft


class Toeplitz(Convolution):
    """``adjoint(weights * forward(image))`` for one trajectory. One caller at a time, since buffers are kept.

    Parameters
    ----------
    points_per_m, shape, voxel_m
        As of ``Nufft``.
    weights
        Weights of the samples, real, shape ``(n_points,)``.
    """

    def __init__(
        self,
        points_per_m: NDArray[np.floating],
        shape: tuple[int, ...],
        voxel_m: tuple[float, ...],
        weights: NDArray[np.floating],
        *,
        engine: str = "auto",
        n_threads: int = 0,
    ) -> None:
        transform = Nufft(points_per_m, tuple(2 * n for n in shape), voxel_m, engine=engine, n_threads=n_threads)
        super().__init__(transform.adjoint(np.asarray(weights, dtype=np.complex64)), n_threads or n_processors())
