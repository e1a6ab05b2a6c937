# SPDX-License-Identifier: MIT
"""The Fourier transform from k-space to image, with zero-filling, any centre, odd and even sizes, one axis at a time."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]


def to_image(kspace: Complex, axis: int, *, size: int, centre: float, with_phase: bool = True) -> Complex:
    """One axis of an image: ``rho[p] = sum_j s[j] exp(-2 pi i (j - centre) (p - size // 2) / size)``.

    Parameters
    ----------
    kspace
        Samples, complex64, any shape.
    axis
        Which axis to transform.
    size
        Voxels of the result along it. More than there are samples: zero-filled. Fewer: those nearest the centre are used.
    centre
        Index of k = 0, need not be whole nor in the middle.
    with_phase
        False leaves out the last factor, which has magnitude 1; enough where only the magnitude is wanted.

    Returns
    -------
        complex64, image centre at ``size // 2``.

    Source
    ------
    docs/conventions.md; the shifts of the centre become factors before and after a plain transform, for even sizes +-1
    before it (reference performance.md 1).
    """
    from scipy import fft

    if size < 1:
        raise ValueError(f"size must be positive, not {size}")
    n_samples = kspace.shape[axis]
    if n_samples > size:  # keep the part whose centre index equals the centre of the smaller axis
        start = min(max(round(centre) - size // 2, 0), n_samples - size)
        kspace = np.take(kspace, range(start, start + size), axis=axis)
        centre, n_samples = centre - start, size
    weighted = kspace * _along(_phase_before(n_samples, size), axis, kspace.ndim)
    image = cast(Complex, fft.fft(weighted, n=size, axis=axis, overwrite_x=True))
    if with_phase:
        image *= _along(_phase_after(size, centre), axis, kspace.ndim)
    return image


def _phase_before(n_samples: int, size: int) -> NDArray[np.float32] | Complex:
    """Puts the image's centre at ``size // 2``; plain signs for an even size."""
    if size % 2 == 0:
        return np.where(np.arange(n_samples) % 2, np.float32(-1), np.float32(1))
    turns = np.arange(n_samples) * (size // 2) % size / size  # reduced first, so that float64 keeps every digit
    return cast(Complex, np.exp(2j * np.pi * turns).astype(np.complex64))


def _phase_after(size: int, centre: float) -> Complex:
    """Puts k = 0 at ``centre``."""
    return cast(Complex, np.exp(2j * np.pi * centre * (np.arange(size) - size // 2) / size).astype(np.complex64))


def _along(vector: NDArray[Any], axis: int, n_dim: int) -> Any:
    shape = [1] * n_dim
    shape[axis] = -1
    return vector.reshape(shape)
