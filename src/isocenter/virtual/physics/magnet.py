# SPDX-License-Identifier: MIT
"""The fields of a magnet and its coils that are not perfect: B0 from solid harmonics, smooth B1 and reception."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.floating]

FIRST_SHIMMED_SHARE: Final = 0.15
"""First-order terms are what shimming with the gradients removes; this share of the rest is left."""

_WEAKEST: Final = 0.02
"""B1 far outside a coil, where its second order has no more to say."""


def _harmonics(unit: Places) -> NDArray[np.float64]:
    """Solid harmonics of order 1 to 3 at places in units of the imaging radius, shape ``(15, n)``.

    Each solves Laplace's equation, as any field of sources outside the bore does.
    """
    x, y, z = (np.asarray(unit[:, axis], dtype=np.float64) for axis in range(3))
    return np.stack(
        [
            x,
            y,
            z,
            x * y,
            y * z,
            x * z,
            x**2 - y**2,
            z**2 - (x**2 + y**2) / 2,
            z * (z**2 - 1.5 * (x**2 + y**2)),
            x * (4 * z**2 - x**2 - y**2) / 4,
            y * (4 * z**2 - x**2 - y**2) / 4,
            z * (x**2 - y**2),
            x * y * z,
            x * (x**2 - 3 * y**2),
            y * (3 * x**2 - y**2),
        ]
    )


def b0_offset_hz(position_m: Places, *, peak_to_peak_hz: float, radius_m: float, seed: int) -> NDArray[np.float64]:
    """Deviation from the centre frequency [Hz] at places in device axes.

    Parameters
    ----------
    position_m
        Shape ``(n, 3)``.
    peak_to_peak_hz
        Over the imaging sphere; 0 for a perfect magnet.
    radius_m
        Of the imaging sphere.
    seed
        Chooses the magnet.
    """
    if peak_to_peak_hz == 0:
        return np.zeros(len(position_m))
    rng = np.random.default_rng([seed, 0xB0])
    coefficients = rng.normal(size=15) * np.repeat([FIRST_SHIMMED_SHARE, 1.0, 0.6], [3, 5, 7])
    directions = rng.normal(size=(4000, 3))
    surface = coefficients @ _harmonics(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    scale = peak_to_peak_hz / (surface.max() - surface.min())
    return np.asarray(scale * (coefficients @ _harmonics(np.asarray(position_m) / radius_m)))


def _solenoid(unit: NDArray[np.float64], strength: float, tilt: float) -> NDArray[np.float64]:
    """Field of a solenoid about Z over that at its centre, to second order, and a lean towards -Y as a real winding has.

    ``z^2 - (x^2 + y^2) / 2`` is the first term by which an even coil's field can change: it falls along the bore and rises
    towards the wires.
    """
    across = unit[:, 0] ** 2 + unit[:, 1] ** 2
    return np.asarray(np.maximum(1.0 - strength * (unit[:, 2] ** 2 - across / 2 + tilt * unit[:, 1]), _WEAKEST))


def transmit_scale(position_m: Places, *, strength: float, radius_m: float) -> NDArray[np.float64]:
    """Transmit field over its value at the isocenter; ``strength`` is its fall at the radius of the imaging sphere on Z."""
    return _solenoid(np.asarray(position_m, dtype=np.float64) / radius_m, strength, 0.2)


def receive_sensitivity(position_m: Places, *, strength: float, radius_m: float) -> NDArray[np.complex128]:
    """Complex sensitivity of the receive coil, 1 at the isocenter; a coil of its own, so a little unlike the transmitter."""
    unit = np.asarray(position_m, dtype=np.float64) / radius_m
    magnitude = _solenoid(unit, 1.1 * strength, -0.25)
    return np.asarray(magnitude * np.exp(2j * strength * (unit[:, 0] + 0.5 * unit[:, 1])))
