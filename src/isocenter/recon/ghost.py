# SPDX-License-Identifier: MIT
"""Phase between readouts of both polarities: what makes the ghost at half the field of view in echo planar images.

A delay between gradient and receiver moves k = 0 of forward readouts one way and of reversed ones the other; eddy currents
add a constant phase. In the image of a line both are a phase ``constant + slope x``, x in voxels from the centre.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.fourier import Complex

_COHERENT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePhase:
    """Phase of the images of some lines relative to others.

    Attributes
    ----------
    constant_rad
        At the centre.
    slope_rad
        For each voxel along the readout.
    """

    constant_rad: float
    slope_rad: float

    def along(self, n_voxels: int) -> Complex:
        """Factor that takes the phase away, complex64, shape ``(n_voxels,)``."""
        turn = self.constant_rad + self.slope_rad * (np.arange(n_voxels) - n_voxels // 2)
        return np.asarray(np.exp(-1j * turn), dtype=np.complex64)


def phase_between(first: Complex, second: Complex) -> LinePhase:
    """Phase of the second image lines over the first, which show the same thing otherwise.

    Parameters
    ----------
    first, second
        Images along the readout, complex, shape ``(..., n_voxels)``.

    Raises
    ------
    ReconError
        They have nothing in common.
    """
    product: NDArray[np.complex128] = np.sum(first.conj() * second, axis=tuple(range(first.ndim - 1)), dtype=np.complex128)
    neighbours = np.sum(product[:-1].conj() * product[1:])
    slope = float(np.angle(neighbours))
    voxel = np.arange(len(product)) - len(product) // 2
    total = np.sum(product * np.exp(-1j * slope * voxel))
    power = float(np.sqrt(np.sum(np.abs(first) ** 2, dtype=np.float64) * np.sum(np.abs(second) ** 2, dtype=np.float64)))
    if not abs(total) > _COHERENT * power:
        raise ReconError(
            f"The reference lines of both polarities agree only by {100 * abs(total) / max(power, 1e-300):.0f} %.",
            "Check that they are measured without phase encoding and with signal.",
        )
    rest = product * np.exp(-1j * (slope * voxel + np.angle(total)))  # small now: one linear fit, weighted by the signal
    weights = np.abs(product)
    centred = voxel - np.sum(weights * voxel) / np.sum(weights)
    more = float(np.sum(weights * centred * np.angle(rest)) / max(float(np.sum(weights * centred**2)), 1e-300))
    slope += more
    constant = float(np.angle(np.sum(product * np.exp(-1j * slope * voxel))))
    return LinePhase(constant_rad=constant, slope_rad=slope)


def phase_by_entropy(forward: Complex, backward: Complex) -> LinePhase:
    """Phase of the reversed lines with which the image is sharpest: the sum of both parts has the least entropy.

    The opposite constant phase puts the object where its ghost was and is as sharp; the one nearer to 0 is taken.

    Parameters
    ----------
    forward, backward
        Images of the forward and the reversed lines alone, complex, shape ``(n_images, n_phase, n_voxels)``, zeros where the
        other lines are.

    Source
    ------
    Atkinson et al., IEEE TMI 16:903 (1997), for entropy as a measure; here it is of the summed magnitude.
    """
    from scipy.optimize import minimize

    n_voxels = forward.shape[-1]

    def entropy(values: NDArray[np.float64]) -> float:
        turn = LinePhase(constant_rad=float(values[0]), slope_rad=float(values[1]) / n_voxels).along(n_voxels)
        size = np.abs(forward + backward * turn)
        part = size / np.sqrt(np.sum(size**2, dtype=np.float64))
        return float(-np.sum(part * np.log(np.maximum(part, 1e-30)), dtype=np.float64))

    constants = np.linspace(-np.pi / 2, np.pi / 2, 13)
    slopes = np.linspace(-4 * np.pi, 4 * np.pi, 33)  # two samples either way
    table = np.array([[entropy(np.array([c, s])) for s in slopes] for c in constants])
    row, column = np.unravel_index(int(table.argmin()), table.shape)
    start = np.array([constants[row], slopes[column]])
    simplex = start + np.array([[0, 0], [0.2, 0], [0, 0.4]])
    best = minimize(entropy, start, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-9})
    constant = (float(best.x[0]) + np.pi / 2) % np.pi - np.pi / 2
    return LinePhase(constant_rad=constant, slope_rad=float(best.x[1]) / n_voxels)
