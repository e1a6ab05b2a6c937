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
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.fourier import Complex, to_images, to_kspace

_DENSE: Final = 0.9  # of the lines between first and last; fewer are missing for another reason
_UNEVEN: Final = 1.5  # an even axis has one line more on one side anyway


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
    def is_partial(self) -> bool:
        """True when one side is missing in part, and nothing between."""
        below, above = self.reach
        found = np.flatnonzero(self.measured)
        if not len(found) or abs(below - above) <= _UNEVEN:
            return False
        return bool(self.measured[found[0] : found[-1] + 1].mean() >= _DENSE)

    @property
    def fraction(self) -> float:
        """Measured part of the axis."""
        return float(self.measured.mean())

    def along(self, values: NDArray[np.float32], n_dim: int) -> NDArray[np.float32]:
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
        return np.asarray(1 + (slope if above > below else -slope), dtype=np.float32)


def start_in_full(n_samples: int, n_full: int, centre: float) -> int:
    """Where the measured samples of a partial axis begin in the whole one, k = 0 next to its middle."""
    return max(min(n_full // 2 - math.floor(centre), n_full - n_samples), 0)


def fill_pocs(kspace: Complex, axes: Sequence[Coverage], measured: NDArray[np.bool_], n_rounds: int) -> Complex:
    """Whole k-space by projections: in turn the image gets the smooth phase and its k-space what was measured.

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
    filled = kspace
    for _ in range(n_rounds):
        image = _image(filled, axes)
        image = np.abs(image) * turn
        filled = np.where(measured, kspace, _kspace(image, axes))
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
