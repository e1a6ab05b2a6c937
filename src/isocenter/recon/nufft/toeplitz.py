# SPDX-License-Identifier: MIT
"""The normal operator of weighted samples as a convolution, which is cheaper than two NUFFTs.

``sum_j w_j exp(2 pi i k_j . (q - p))`` depends on the difference of voxels only, and is Hermitian in it.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.convolution import Convolution
from isocenter.recon.nufft.gridder import Complex, n_processors
from isocenter.recon.nufft.transform import Nufft


class Toeplitz(Convolution):
    """``adjoint(weights * forward(image))`` for one trajectory. One caller at a time, since buffers are kept.

    Parameters
    ----------
    transform
        Between the image grid and the positions.
    points_per_m
        The same positions [1/m], shape ``(n_points, n_dim)``.
    weights
        Weights of the samples, real, shape ``(n_points,)``.
    n_threads
        0 for one for each processor.
    """

    def __init__(
        self, transform: Nufft, points_per_m: NDArray[np.floating], weights: NDArray[np.floating], *, n_threads: int = 0
    ) -> None:
        super().__init__(_spread(transform, points_per_m, weights), n_threads or n_processors())


def _spread(transform: Nufft, points_per_m: NDArray[np.floating], weights: NDArray[np.floating]) -> Complex:
    """The adjoint of the weights at all differences of two voxels; see ``Convolution`` for the shape.

    It is twice as large as an image along each axis. Images of it are made with the transform of the image itself: a
    finer grid for all at once would cost more, and eight times the memory in 3D.
    """
    from isocenter.recon.nufft.vectors import flat, turned_weights

    shape, n_dim = transform.shape, len(transform.shape)
    narrow = np.ascontiguousarray(weights, dtype=np.float32)
    points = np.ascontiguousarray(points_per_m, dtype=np.float64)
    parts = np.empty((*(2,) * (n_dim - 1), *shape), dtype=np.complex64)
    samples = np.empty((2, len(points)), dtype=np.complex64)
    for outer in product((0, 1), repeat=n_dim - 2):
        for inner in (0, 1):
            signs = (*outer, inner, 0)
            shift = [n // 2 - n * sign for n, sign in zip(shape, signs, strict=True)]
            turned_weights(narrow, points, np.multiply(shift, transform.voxel_m), flat(samples[inner]))
        parts[outer] = transform.adjoint(samples)
    return parts
