# SPDX-License-Identifier: MIT
"""The normal operator of weighted samples as a convolution: two transforms of twice the size instead of two NUFFTs.

``sum_j w_j exp(2 pi i k_j . (q - p))`` depends on the difference of voxels only. On a grid of twice the image's size along
each axis it is a product with a real array, since it is Hermitian.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.gridder import Complex, into, n_processors
from isocenter.recon.nufft.transform import Nufft

_SMALL: Final = 1 << 20  # grid points below which two threads for one transform are not worth starting


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
        self._n_threads = n_threads or n_processors()
        spread = Nufft(points_per_m, double, voxel_m, engine=engine, n_threads=n_threads).adjoint(
            np.asarray(weights, dtype=np.complex64)
        )
        for axis in range(len(shape)):  # no two voxels are a whole grid apart; without it the kernel is not quite Hermitian
            spread[(slice(None),) * axis + (0,)] = 0
        kernel = cast(Complex, fft.fftn(fft.ifftshift(spread), workers=self._n_threads))
        self._kernel = np.ascontiguousarray(kernel.real, dtype=np.float32)
        self._buffers: list[Complex] = []

    def __call__(self, images: Complex) -> Complex:
        """The operator applied to images of shape ``(..., *shape)``. One caller at a time, since buffers are kept."""
        found = np.empty_like(images)
        pairs = list(zip(images.reshape(-1, *self._shape), found.reshape(-1, *self._shape), strict=True))
        n_workers = min(self._n_threads, len(pairs))
        while len(self._buffers) < n_workers:
            self._buffers.append(np.empty(self._kernel.shape, dtype=np.complex64))
        if n_workers == 1:
            self._convolve(pairs, self._buffers[0], self._n_threads)
        elif n_workers > 1:  # an image for each thread, rather than all threads for each image
            with ThreadPoolExecutor(n_workers) as pool:
                for _ in pool.map(lambda i: self._convolve(pairs[i::n_workers], self._buffers[i], 1), range(n_workers)):
                    pass
        return found

    def _convolve(self, pairs: Sequence[tuple[Complex, Complex]], work: Complex, n_threads: int) -> None:
        from scipy import fft

        n_dim = len(self._shape)
        corner = tuple(slice(n) for n in self._shape)
        n_threads = n_threads if work.size > _SMALL else 1
        for image, result in pairs:
            work.fill(0)
            work[corner] = image
            for axis in reversed(range(n_dim)):  # what is zero still, or not needed any more, is not transformed
                part = work[corner[:axis]]
                into(part, fft.fft(part, axis=axis, overwrite_x=True, workers=n_threads))
            np.multiply(work, self._kernel, out=work)
            for axis in range(n_dim):
                part = work[corner[:axis]]
                into(part, fft.ifft(part, axis=axis, overwrite_x=True, workers=n_threads))
            result[...] = work[corner]
