# SPDX-License-Identifier: MIT
"""Gradient of a spiral that is as fast as amplitude, slew rate and receiver allow."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SUBSTEPS: Final = 8
_MAX_S: Final = 0.5


def spiral_gradient(
    fov_m: float,
    n_matrix: int,
    n_interleaves: int,
    *,
    max_hz_per_m: float,
    max_hz_per_m_s: float,
    raster_s: float,
) -> NDArray[np.complex128]:
    """First interleaf's gradient from the centre of k-space outwards, x + i y [Hz/m], at times 0, raster, 2 raster ...

    The path is Archimedean, k = λ θ exp(iθ), with turns of all interleaves one step of the field of view apart. Its angle is
    accelerated as fast as the slew rate allows, until the amplitude is reached.

    Parameters
    ----------
    fov_m, n_matrix
        Field of view and its voxels: turns are 1 / (n_interleaves fov) apart, the last reaches n / (2 fov).
    n_interleaves
        Spirals, each turned against the one before.
    max_hz_per_m, max_hz_per_m_s
        Amplitude and slew rate, of the vector [Hz/m, Hz/m/s].

    Raises
    ------
    ValueError
        When it would take longer than half a second.
    """
    pitch = n_interleaves / (2 * math.pi * fov_m)
    end_rad = n_matrix / (2 * fov_m) / pitch
    step_s, slew = raster_s / _SUBSTEPS, max_hz_per_m_s / pitch
    angle, speed, found = 0.0, 0.0, [0.0j]
    while angle < end_rad:
        for _ in range(_SUBSTEPS):
            speed += step_s * _acceleration(angle, speed, slew)
            angle += step_s * speed
            speed = min(speed, max_hz_per_m / pitch / math.sqrt(1 + angle * angle))
        found.append(pitch * speed * complex(1, angle) * complex(math.cos(angle), math.sin(angle)))
        if len(found) * raster_s > _MAX_S:
            raise ValueError(f"a spiral of {n_matrix} voxels in {n_interleaves} parts takes more than {_MAX_S} s")
    return np.array(found)


def _acceleration(angle: float, speed: float, slew: float) -> float:
    """Second derivative of the angle at which |k''| is the slew rate.

    k'' = λ exp(iθ) (θ'' (1 + iθ) + θ'² (2i - θ)), which is a quadratic equation for θ''.
    """
    square = speed * speed
    a, b, c = 1 + angle * angle, angle * square, square * square * (4 + angle * angle) - slew * slew
    return (-b + math.sqrt(max(b * b - a * c, 0.0))) / a


def ramp_down(last: complex, max_hz_per_m_s: float, raster_s: float) -> NDArray[np.complex128]:
    """Values that take a gradient to zero in a straight line, the given one left out [Hz/m]."""
    steps = max(1, math.ceil(abs(last) / (max_hz_per_m_s * raster_s) - 1e-9))
    return np.asarray(last * (1 - np.arange(1, steps + 1) / steps), dtype=np.complex128)
