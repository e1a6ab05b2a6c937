# SPDX-License-Identifier: MIT
"""The normal operator of weighted samples as a convolution: two transforms of twice the size instead of two NUFFTs.

``sum_j w_j exp(2 pi i k_j . (q - p))`` depends on the difference of voxels only. On a grid of twice the image's size along
each axis it is a product with a real array, since it is Hermitian.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.gridder import Complex, n_processors
from isocenter.recon.nufft.transform import Nufft

_SMALL = 1 << 20  # grid points below which a second thread is not worth starting


class Toeplitz:
    """``adjoint(weights * forward(image))`` for one trajectory.

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
        from scipy import fft

        double = tuple(2 * n for n in shape)
        self._shape = shape
        self._n_threads = (n_threads or n_processors()) if np.prod(double) >= _SMALL else 1
        spread = Nufft(points_per_m, double, voxel_m, engine=engine, n_threads=n_threads).adjoint(
            np.asarray(weights, dtype=np.complex64)
        )
        for axis in range(len(shape)):  # no two voxels are a whole grid apart; without it the kernel is not quite Hermitian
            spread[(slice(None),) * axis + (0,)] = 0
        kernel = cast(Complex, fft.fftn(fft.ifftshift(spread), workers=self._n_threads))
        self._kernel = np.ascontiguousarray(kernel.real, dtype=np.float32)

    def __call__(self, images: Complex) -> Complex:
        """The operator applied to images of shape ``(..., *shape)``."""
        from scipy import fft

        n_dim, double, many = len(self._shape), self._kernel.shape, images
        for axis in range(-1, -n_dim - 1, -1):
            many = fft.fft(many, n=double[axis], axis=axis, workers=self._n_threads)
        many *= self._kernel
        for axis in range(-n_dim, 0):
            many = fft.ifft(many, axis=axis, overwrite_x=True, workers=self._n_threads)
            many = many[(..., slice(self._shape[axis]), *(slice(None),) * (-axis - 1))]
        return many
