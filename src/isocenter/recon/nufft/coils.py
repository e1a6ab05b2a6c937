# SPDX-License-Identifier: MIT
"""How strongly each receive channel sees each voxel, told from the middle of k-space."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.gridder import Complex
from isocenter.recon.nufft.transform import Nufft

_CENTRE: Final = 0.125  # cycles per voxel: the innermost quarter of the band holds all that a sensitivity varies
_STEPS: Final = 4
_PATCH: Final = 0.03  # smoothing of the products, in parts of the field of view


def low_pass(points_per_m: NDArray[np.float64], voxel_m: tuple[float, ...]) -> NDArray[np.float64]:
    """Hann window over the middle of k-space, shape ``(n_points,)``."""
    cycles = np.linalg.norm(points_per_m * np.asarray(voxel_m), axis=1)
    return np.where(cycles < _CENTRE, np.cos(0.5 * np.pi * cycles / _CENTRE) ** 2, 0.0)


def estimate_coils(
    transform: Nufft, samples: Complex, weights: NDArray[np.floating], points_per_m: NDArray[np.float64]
) -> Complex:
    """Sensitivities of the channels.

    Parameters
    ----------
    transform
        Of the samples and the image grid.
    samples
        complex64, shape ``(n_channels, n_points)``.
    weights
        Density compensation, shape ``(n_points,)``.
    points_per_m
        Positions of the samples [1/m].

    Returns
    -------
        complex64, shape ``(n_channels, *shape)``; the squares of the magnitudes sum to 1 in each voxel. What phase all
        channels have in common stays with the image.

    Source
    ------
    The strongest eigenvector of the channels' local covariance: Walsh, Gmitro, Marcellin, MRM 43:682 (2000).
    """
    if len(samples) == 1:
        return np.ones((1, *transform.shape), dtype=np.complex64)
    narrow = np.asarray(weights * low_pass(points_per_m, transform.voxel_m), dtype=np.float32)
    return sensitivities(transform.adjoint(narrow * samples))


def sensitivities(images: Complex) -> Complex:
    """The same from smooth images of the channels, shape ``(n_channels, *shape)``."""
    from scipy.ndimage import gaussian_filter

    n_channels = len(images)
    sigma = [_PATCH * n for n in images.shape[1:]]
    covariance = np.empty((n_channels, n_channels, *images.shape[1:]), dtype=np.complex64)
    for a in range(n_channels):
        for b in range(a + 1):
            product = images[a] * images[b].conj()
            covariance[a, b] = gaussian_filter(product.real, sigma) + 1j * gaussian_filter(product.imag, sigma)
            covariance[b, a] = covariance[a, b].conj()
    vector = np.ones_like(images)
    vector *= np.asarray(images.reshape(n_channels, -1).mean(axis=1)).reshape(-1, *([1] * (images.ndim - 1)))
    tiny = np.finfo(np.float32).tiny ** 0.5
    for _ in range(_STEPS):  # the power method: the strongest eigenvalue stands far above the rest
        vector = np.einsum("ab...,b...->a...", covariance, vector)
        vector /= np.maximum(np.linalg.norm(vector, axis=0), tiny)
    # An eigenvector's phase is free. The one that makes the channels' common direction real is smooth.
    common = images.reshape(n_channels, -1) @ np.abs(images).sum(axis=0).reshape(-1)
    along = np.einsum("a,a...->...", common.conj(), vector)
    vector *= np.where(np.abs(along) > tiny, along.conj() / np.maximum(np.abs(along), tiny), 1.0)
    is_dark = np.linalg.norm(vector, axis=0) < 0.5
    vector[:, is_dark] = n_channels**-0.5
    return np.asarray(vector, dtype=np.complex64)
