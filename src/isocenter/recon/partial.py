# SPDX-License-Identifier: MIT
"""The part of k-space that was not measured, from a phase that is smooth.

An image times a smooth phase is real, so one half of its k-space follows from the other. The phase is that of the middle of
k-space, which was measured to both sides.

Source
------
Homodyne: Noll, Nishimura, Macovski, IEEE TMI 10:154 (1991). POCS: Haacke, Lindskog, Lin, JMR 92:126 (1991).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.fourier import Complex, to_images, to_kspace

_DENSE: Final = 0.9  # of the lines between first and last; fewer are missing for another reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What of one axis was measured.

    Attributes
    ----------
    axis
        Of the array.
    n_full, centre_sample
        Samples of the whole axis, and where k = 0 lies in it.
    measured
        bool, shape ``(n_full,)``.
    """

    axis: int
    n_full: int
    centre_sample: float
    measured: NDArray[np.bool_]

    @property
    def reach(self) -> tuple[float, float]:
        """Samples that were measured below and above the centre, to the last one."""
        found = np.flatnonzero(self.measured)
        return (self.centre_sample - float(found[0]), float(found[-1]) - self.centre_sample) if len(found) else (0.0, 0.0)

    @property
    def has_opposite(self) -> NDArray[np.bool_]:
        """Where the sample on the other side of k = 0 lies on the axis too; the first of an even axis has none."""
        opposite = np.round(2 * self.centre_sample - np.arange(self.n_full))
        return np.asarray((opposite >= 0) & (opposite < self.n_full))

    @property
    def is_partial(self) -> bool:
        """True when one side is missing in part, so that the other one tells it, and nothing between."""
        found = np.flatnonzero(self.measured)
        if not len(found):
            return False
        opposite = np.round(2 * self.centre_sample - found).astype(np.int64)
        opposite = opposite[(opposite >= 0) & (opposite < self.n_full)]
        is_outside = (opposite < found[0]) | (opposite > found[-1])
        return bool(is_outside.any() and self.measured[found[0] : found[-1] + 1].mean() >= _DENSE)

    @property
    def fraction(self) -> float:
        """Measured part of the axis."""
        return float(self.measured.mean())

    def along(self, values: NDArray[Any], n_dim: int) -> NDArray[Any]:
        """Values along this axis of an array."""
        shape = [1] * n_dim
        shape[self.axis] = -1
        return values.reshape(shape)

    def middle(self) -> NDArray[np.float32]:
        """Window of the part that was measured to both sides, falling off smoothly to its edge; ones on a whole axis."""
        if not self.is_partial:
            return np.ones(self.n_full, dtype=np.float32)
        reach = np.abs(np.arange(self.n_full) - self.centre_sample) / (min(self.reach) + 0.5)
        return np.where(reach < 1, np.cos(np.pi / 2 * reach) ** 2, 0).astype(np.float32)

    def ramp(self) -> NDArray[np.float32]:
        """Weights 0 ... 2 that add up to 2 at every pair of opposite places, so that a real image comes out whole."""
        below, above = self.reach
        slope = np.clip((np.arange(self.n_full) - self.centre_sample) / (min(below, above) + 0.5), -1, 1)
        weights = 1 + (slope if above > below else -slope)
        return np.where(self.has_opposite, weights, 1).astype(np.float32)


def start_in_full(n_samples: int, n_full: int, centre: float) -> int:
    """Where the measured samples of a partial axis begin in the whole one, k = 0 next to its middle."""
    return max(min(n_full // 2 - math.floor(centre), n_full - n_samples), 0)


def fill_pocs(kspace: Complex, axes: Sequence[Coverage], measured: NDArray[np.bool_], n_rounds: int) -> Complex:
    """Whole k-space by projections: in turn the image keeps what has the smooth phase, its k-space what was measured.

    Parameters
    ----------
    kspace
        complex64, zero where nothing was measured.
    axes
        All axes that are encoded, partial or whole.
    measured
        Which samples were measured, of a shape that broadcasts to the k-space's.
    n_rounds
        Repetitions.

    Returns
    -------
        complex64 of the same shape; measured samples unchanged.
    """
    turn = _smooth_phase(kspace, axes)
    known = np.ones((1,) * kspace.ndim, dtype=bool)
    for axis in axes:
        if axis.is_partial:  # a guess at what nothing tells would spoil the rest
            known = known & axis.along(axis.has_opposite | axis.measured, kspace.ndim)
    filled = kspace
    for _ in range(n_rounds):
        image = _image(filled, axes)
        # The real part, not the magnitude: what rings below zero beside an edge is part of the image too.
        image = np.real(image * turn.conj()).astype(np.float32) * turn
        filled = np.where(measured, kspace, np.where(known, _kspace(image, axes), np.complex64(0)))
    return np.asarray(filled, dtype=np.complex64)


def fill_homodyne(kspace: Complex, axes: Sequence[Coverage]) -> Complex:
    """Whole k-space of the real part in the frame of the smooth phase, one partial axis after the other.

    Parameters
    ----------
    kspace, axes
        As for ``fill_pocs``.

    Returns
    -------
        complex64 of the same shape; the smooth phase is put back into it.
    """
    turn = _smooth_phase(kspace, axes)
    for axis in axes:
        if axis.is_partial:
            image = _image(kspace * axis.along(axis.ramp(), kspace.ndim), axes)
            image = np.real(image * turn.conj()).astype(np.float32) * turn
            kspace = _kspace(image, axes)
    return kspace


def _smooth_phase(kspace: Complex, axes: Sequence[Coverage]) -> Complex:
    middle = kspace
    for axis in axes:
        if axis.is_partial:
            middle = middle * axis.along(axis.middle(), kspace.ndim)
    image = _image(middle, axes)
    size = np.abs(image)
    return np.divide(image, size, out=np.ones_like(image), where=size > 0)


def _image(kspace: Complex, axes: Sequence[Coverage]) -> Complex:
    return to_images(kspace, [(axis.axis, axis.n_full, axis.centre_sample) for axis in axes])


def _kspace(image: Complex, axes: Sequence[Coverage]) -> Complex:
    for axis in axes:
        image = to_kspace(image, axis.axis, centre=axis.centre_sample)
    return image
