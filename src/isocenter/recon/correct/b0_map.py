# SPDX-License-Identifier: MIT
"""The main field from the phase difference of two images, and where it really was measured.

Two echoes of a gradient echo, or a turbo spin echo scanned twice with its readout shifted against the echo, differ in phase
by 2 pi times frequency times shift. The images are distorted by that same field; but as every voxel's frequency is known, so
is how far it was moved. The field is therefore fitted at the true places, and no iteration is needed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.harmonics import HarmonicField, fit_field

_LEAST_SNR = 5.0
_LEAST_VOXELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Measured frequencies.

    Attributes
    ----------
    frequency_hz
        Of each voxel of the distorted image [Hz], float32, shape ``(n_slices, n_rows, n_cols)``.
    weight
        How much it can be trusted, 0 for not at all, float32.
    """

    frequency_hz: NDArray[np.float32]
    weight: NDArray[np.float32]


def measure_field(first: NDArray[np.complex64], second: NDArray[np.complex64], shift_s: float) -> FieldMap:
    """Frequency of each voxel from two images.

    Parameters
    ----------
    first, second
        complex64, shape ``(n_slices, n_rows, n_cols)`` or ``(n_channels, ...)`` of it.
    shift_s
        How much later after the spin echo (or the excitation) the second one's k-space centre was read [s].

    Raises
    ------
    ReconError
        Hardly any voxel has five times the noise.

    Source
    ------
    Reference domain.md 2, row 12: phase difference over 2 pi times time; signal mask of 5.
    """
    if first.shape != second.shape or shift_s == 0:
        raise ValueError(f"two images of one shape and a time between them are needed, not {first.shape}, {second.shape}")
    from isocenter.recon.correct.noise import background_sigma
    from isocenter.recon.correct.unwrap import unwrap

    product = second * first.conj()
    if product.ndim == 4:
        product = product.sum(axis=0)
    strength = np.sqrt(np.abs(product))
    sigma = background_sigma(strength)
    mask = strength > max(_LEAST_SNR * sigma, 0.05 * float(np.quantile(strength, 0.99)))
    mask = _without_specks(mask)
    if np.count_nonzero(mask) < _LEAST_VOXELS:
        raise ReconError(
            f"Only {np.count_nonzero(mask)} voxels of the two images are strong enough to measure the field.",
            "Measure the field map again with more averages or larger voxels, and check that both scans show the object.",
        )
    weight = np.where(mask, strength**2, 0).astype(np.float32)
    phase_rad = unwrap(np.angle(product).astype(np.float32), _smoothness(product) * mask)
    return FieldMap(frequency_hz=(phase_rad / (2 * np.pi * shift_s)).astype(np.float32), weight=weight / weight.max())


def fit_at_true_places(
    field: FieldMap,
    position_m: NDArray[np.floating],
    read_step_m: NDArray[np.floating],
    shift_px: NDArray[np.floating],
    *,
    order: int = 5,
) -> HarmonicField:
    """Smooth field through a map that was measured on a distorted image.

    Parameters
    ----------
    field
        From ``measure_field``.
    position_m
        Where the voxels seem to be [m], shape ``(n_slices, n_rows, n_cols, 3)``.
    read_step_m
        From a voxel to the next along the readout [m], shape (3,).
    shift_px
        How far the measured frequency moved each along the readout [voxels], from ``b0.shift_px``.
    order
        Highest order of the harmonics.
    """
    true_m = np.asarray(position_m) - np.asarray(shift_px)[..., None] * np.asarray(read_step_m)
    return fit_field(field.frequency_hz, field.weight, true_m, order=order)


def _smoothness(product: NDArray[np.complex64]) -> NDArray[np.float32]:
    """How much a voxel's phase agrees with its neighbours', 0 ... 1, shape of the image."""
    from scipy.ndimage import uniform_filter

    unit = product / np.maximum(np.abs(product), 1e-30)
    size = tuple(min(3, n) for n in unit.shape)
    mean = uniform_filter(unit.real, size) ** 2 + uniform_filter(unit.imag, size) ** 2
    smooth: NDArray[np.float32] = np.clip(mean, 1e-6, 1).astype(np.float32)
    return smooth


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Parts of fewer voxels than a fiftieth of the largest are noise."""
    from scipy.ndimage import label

    parts, n = label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes >= max(sizes.max() / 50, 8))[parts]
    return kept & mask
