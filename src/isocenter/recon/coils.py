# SPDX-License-Identifier: MIT
"""One image from those of several receive channels."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.fourier import Complex

_PATCH: Final = 5
_POWER_ROUNDS: Final = 8


def root_sum_of_squares(channels: Complex) -> NDArray[np.float32]:
    """Magnitude over the first axis, summed in float64, one index of the second axis at a time to need little memory."""
    if channels.ndim < 3:
        return _root_sum(channels)
    return np.stack([_root_sum(channels[:, index]) for index in range(channels.shape[1])])


def _root_sum(channels: Complex) -> NDArray[np.float32]:
    power = np.einsum("c...,c...->...", channels.real, channels.real, dtype=np.float64)
    power += np.einsum("c...,c...->...", channels.imag, channels.imag, dtype=np.float64)
    return np.asarray(np.sqrt(power), dtype=np.float32)


def combine_adaptively(channels: Complex, patch: int = _PATCH) -> Complex:
    """Complex image along the strongest local direction in the space of channels; noise of equal level assumed.

    Parameters
    ----------
    channels
        complex64, shape ``(n_channels, n_z, n_y, n_x)``; whiten them first when their noise differs.
    patch
        Voxels of a patch along y and x (and z where there are as many).

    Returns
    -------
        complex64, shape ``(n_z, n_y, n_x)``, with the phase that the strongest channel has.

    Source
    ------
    Walsh, Gmitro, Marcellin, MRM 43:682 (2000): the matched filter is the dominant eigenvector of the local covariance.
    """
    from scipy.ndimage import uniform_filter

    n_channels = len(channels)
    size = (patch if channels.shape[1] >= patch else 1, patch, patch)
    covariance = np.empty((*channels.shape[1:], n_channels, n_channels), dtype=np.complex64)
    for first in range(n_channels):
        for second in range(first + 1):
            product = channels[first] * channels[second].conj()
            smooth = uniform_filter(product.real, size) + 1j * uniform_filter(product.imag, size)
            covariance[..., first, second] = smooth
            covariance[..., second, first] = smooth.conj()
    strongest = int(np.argmax(np.einsum("zyxcc->c", covariance).real))
    weights = covariance[..., strongest]  # a start that is never orthogonal to the answer where this coil hears anything
    for _ in range(_POWER_ROUNDS):
        weights = np.einsum("zyxab,zyxb->zyxa", covariance, weights)
        weights /= np.maximum(np.linalg.norm(weights, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    reference = weights[..., strongest]
    weights *= (reference.conj() / np.maximum(np.abs(reference), np.finfo(np.float32).tiny))[..., np.newaxis]
    return np.asarray(np.einsum("zyxc,czyx->zyx", weights.conj(), channels), dtype=np.complex64)
