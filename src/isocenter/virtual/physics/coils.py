# SPDX-License-Identifier: MIT
"""Fields of several receive coils: a ring of loops around the bore.

At a few megahertz the wavelength is metres, so the field of a loop is that of a steady current. What a coil hears of a
spin is the part of its field that is transverse to the main field, as a complex number.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.floating]

RING_PER_RADIUS: Final = 1.35
"""Distance of the loops' centres from the axis, in radii of the imaging sphere."""
_OVERLAP: Final = 1.15
_LARGEST_LOOP: Final = 0.8
_TRANSVERSE: Final[dict[str, tuple[int, int]]] = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}
_CHUNK: Final = 1 << 16


def loop_field(position_m: Places, centre_m: Places, axis: Places, radius_m: float) -> NDArray[np.float64]:
    """Field of a round loop over that at its centre, shape ``(n, 3)``.

    Parameters
    ----------
    position_m
        Places, shape ``(n, 3)``.
    centre_m, axis, radius_m
        Of the loop; the axis is a unit vector.

    Source
    ------
    J. D. Jackson, Classical Electrodynamics, 3rd ed., section 5.5, in complete elliptic integrals.
    """
    from scipy.special import ellipe, ellipkm1  # heavy; only scenarios with several coils need it

    place = np.asarray(position_m, dtype=np.float64) - centre_m
    height = place @ axis
    outward = place - height[:, None] * axis
    far = np.linalg.norm(outward, axis=1)
    near_square = (radius_m - far) ** 2 + height**2
    near_square = np.maximum(near_square, (0.02 * radius_m) ** 2)  # a wire has a thickness
    wide_square = (radius_m + far) ** 2 + height**2
    first, second = ellipkm1(near_square / wide_square), ellipe(1 - near_square / wide_square)
    scale = radius_m / np.pi / np.sqrt(wide_square)
    along = scale * (first + (radius_m**2 - far**2 - height**2) / near_square * second)
    away = np.where(
        far > 1e-9 * radius_m,
        scale * height * (-first + (radius_m**2 + far**2 + height**2) / near_square * second) / np.maximum(far, 1e-12),
        0.0,
    )
    away_direction = outward / np.maximum(far, 1e-12)[:, None]
    return np.asarray(along[:, None] * axis + away[:, None] * away_direction)


def ring_sensitivity(position_m: Places, *, n_coils: int, radius_m: float, field_axis: str) -> NDArray[np.complex64]:
    """Complex sensitivities of loops in a ring around device Z; their root sum of squares is 1 at the isocenter.

    Parameters
    ----------
    position_m
        Device axes, shape ``(n, 3)``.
    n_coils
        Loops; the first faces the isocenter from +X, the next follow towards +Y.
    radius_m
        Of the imaging sphere.
    field_axis
        Direction of the main field, ``x``, ``y`` or ``z``.

    Returns
    -------
        complex64, shape ``(n_coils, n)``.
    """
    ring_m = RING_PER_RADIUS * radius_m
    loop_m = ring_m * min(_OVERLAP * np.sin(np.pi / n_coils), _LARGEST_LOOP)
    first, second = _TRANSVERSE[field_axis]
    out = np.empty((n_coils, len(position_m)), dtype=np.complex64)
    at_centre = np.zeros(n_coils)
    for coil in range(n_coils):
        # Half a step off the field's own axis, so that no loop looks along it and hears nothing.
        angle = 2 * np.pi * (coil + 0.5) / n_coils
        towards = np.array([-np.cos(angle), -np.sin(angle), 0.0])
        centre = -ring_m * towards
        middle = loop_field(np.zeros((1, 3)), centre, towards, loop_m)[0]
        at_centre[coil] = middle[first] ** 2 + middle[second] ** 2
        for start in range(0, len(position_m), _CHUNK):
            field = loop_field(position_m[start : start + _CHUNK], centre, towards, loop_m)
            out[coil, start : start + _CHUNK] = field[:, first] + 1j * field[:, second]
    out /= np.float32(np.sqrt(at_centre.sum()))
    return out
