# SPDX-License-Identifier: MIT
"""What a scanner does to an image: coils, a field that is not even, and the transform; and its adjoint."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.gridder import Complex
from isocenter.recon.nufft.offresonance import FieldSplit
from isocenter.recon.nufft.toeplitz import Toeplitz
from isocenter.recon.nufft.transform import Nufft


class Encoder:
    """From an image to the samples of all channels.

    Parameters
    ----------
    transform
        Between the image grid and the positions in k-space.
    coils
        Sensitivities, complex64, shape ``(n_channels, *shape)``: then one image makes the samples of all channels. None:
        each channel has an image of its own, so images have shape ``(n_channels, *shape)``.
    field
        Off-resonance; None for none.
    """

    def __init__(self, transform: Nufft, *, coils: Complex | None = None, field: FieldSplit | None = None) -> None:
        self.transform, self.coils, self.field = transform, coils, field

    def forward(self, image: Complex) -> Complex:
        """Samples, complex64, shape ``(n_channels, n_points)``."""
        channels = image if self.coils is None else self.coils * image
        if self.field is None:
            return self.transform.forward(channels)
        samples = np.zeros(
            (*channels.shape[: channels.ndim - len(self.transform.shape)], self.transform.n_points), np.complex64
        )
        for in_time, in_space in zip(self.field.in_time, self.field.in_space, strict=True):
            samples += in_time * self.transform.forward(in_space * channels)
        return samples

    def adjoint(self, samples: Complex) -> Complex:
        """Image, or images of the channels, complex64."""
        return self._combine(self._adjoint_channels(samples))

    def normal(self, weights: NDArray[np.floating], points_per_m: NDArray[np.float64]) -> Callable[[Complex], Complex]:
        """``adjoint(weights * forward(image))`` as a function; a convolution where the field is even.

        Parameters
        ----------
        weights
            Weights of the samples, shape ``(n_points,)``.
        points_per_m
            Positions of the samples [1/m].
        """
        narrow = np.asarray(weights, dtype=np.float32)
        if self.field is not None:
            return lambda image: self.adjoint(narrow * self.forward(image))
        convolve = Toeplitz(self.transform, points_per_m, narrow)
        if self.coils is None:
            return convolve
        coils = np.ascontiguousarray(self.coils, dtype=np.complex64)
        return lambda image: convolve.combined(image, coils)

    def _adjoint_channels(self, samples: Complex) -> Complex:
        if self.field is None:
            return self.transform.adjoint(samples)
        images = np.zeros((*samples.shape[:-1], *self.transform.shape), dtype=np.complex64)
        for in_time, in_space in zip(self.field.in_time, self.field.in_space, strict=True):
            images += in_space.conj() * self.transform.adjoint(in_time.conj() * samples)
        return images

    def _combine(self, channels: Complex) -> Complex:
        if self.coils is None:
            return channels
        return combined(self.coils, channels)


def combined(coils: Complex, channels: Complex) -> Complex:
    """Images of all channels as one, ``sum_c conj(coils[c]) channels[c]``."""
    from isocenter.recon.nufft.vectors import combine

    return combine(coils, channels)
