# SPDX-License-Identifier: MIT
"""Fields of gradient coils that are not straight: gradients that bend, and the transverse parts that Maxwell asks for."""

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.floating]


def effective_position_m(
    position_m: Places, nonlinearity: tuple[float, float, float], radius_m: float
) -> NDArray[np.float64]:
    """Where a place seems to be for the gradients: field of each coil over its gradient at the centre [m].

    Each coil's field is ``u + c (u^3 - 3/2 u (v^2 + w^2))`` along its own axis u, the third-order solid harmonic that
    belongs to that axis, so that it solves Laplace's equation as well. An image shows a spin at this place.

    Parameters
    ----------
    position_m
        True places [m], shape ``(n, 3)``.
    nonlinearity
        Share by which each axis' gradient has fallen on that axis at the radius; in the order of the columns.
    radius_m
        Of the imaging sphere [m].
    """
    place = np.asarray(position_m, dtype=np.float64)
    if not any(nonlinearity):
        return place
    squares = place**2
    total = squares.sum(axis=1)
    out = np.empty_like(place)
    for axis, share in enumerate(nonlinearity):
        own = squares[:, axis]
        out[:, axis] = place[:, axis] * (1.0 - share / (3 * radius_m**2) * (own - 1.5 * (total - own)))
    return out


def along_device(
    per_channel: tuple[float, float, float], channel_from_device: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Values that belong to channels x, y, z in the order of the device axes that those drive."""
    x, y, z = np.abs(channel_from_device).T @ np.asarray(per_channel, dtype=np.float64)
    return float(x), float(y), float(z)
