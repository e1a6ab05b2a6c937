# SPDX-License-Identifier: MIT
"""Vials of known T1, T2 and density."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.phantoms.phantom import Phantom, centred
from isocenter.virtual.phantoms.solids import Part, cylinder
from isocenter.virtual.phantoms.tissue import Tissue

VIAL_RADIUS_M: Final = 0.011
VIAL_CIRCLE_M: Final = 0.045
_LENGTH_M: Final = 0.06
_DIFFUSION_M2_PER_S: Final = 2.1e-9
_CHOSEN: Final = "chosen"


def _vial(number: int, t1_s: float, t2_s: float, density: float = 1.0) -> Tissue:
    return Tissue(
        name=f"vial {number}",
        t1_s=t1_s,
        t2_s=t2_s,
        t2_prime_s=1.0,
        density=density,
        diffusion_m2_per_s=_DIFFUSION_M2_PER_S,
        source=_CHOSEN,
    )


VIALS: Final[tuple[Tissue, ...]] = tuple(
    _vial(i + 1, t1, t2, density)
    for i, (t1, t2, density) in enumerate(
        (
            (0.05, 0.04, 1.0),
            (0.10, 0.08, 1.0),
            (0.20, 0.06, 1.0),
            (0.30, 0.10, 1.0),
            (0.50, 0.20, 1.0),
            (1.00, 0.30, 1.0),
            (2.00, 0.80, 1.0),
            (0.30, 0.10, 0.5),
        )
    )
)
"""Vials on a circle about S, the first at +L, going towards +P."""

ARRAY_RADIUS_M: Final = 0.010
ARRAY_OUTER_M: Final = 0.060
"""Radius of the circle of the first ten of fourteen vials [m]."""
ARRAY_INNER_M: Final = 0.026
"""Of the last four [m]."""

T1_ARRAY: Final[tuple[Tissue, ...]] = tuple(
    _vial(i + 1, round(2.0 * 2 ** (-i / 2), 4), round(1.8 * 2 ** (-i / 2), 4)) for i in range(14)
)
"""T1 from 2 s down to 22 ms in steps of the square root of two, like the nickel chloride array of the ISMRM/NIST system
phantom; T2 is nine tenths of T1, as nickel in water has it."""

T2_ARRAY: Final[tuple[Tissue, ...]] = tuple(
    _vial(i + 1, round(min(2.4, 4 * 0.64 * 2 ** (-i / 2)), 4), round(0.64 * 2 ** (-i / 2), 5)) for i in range(14)
)
"""T2 from 640 ms down to 7 ms in steps of the square root of two, like the manganese chloride array of the same phantom; T1
is four times T2 (assumed for manganese at low field), at most 2.4 s.

Source
------
Number of vials, range and spacing: Stupic et al., Magn. Reson. Med. 86 (2021) 1194. Its values hold at 1.5 and 3 T.
"""


def vial_centres_m(n: int) -> NDArray[np.float64]:
    """Centres of 8 vials on a circle, or of 14 on two circles, in the order of their numbers, LPS [m], shape ``(n, 3)``."""
    if n == len(VIALS):
        rings = [(n, VIAL_CIRCLE_M, 0.0)]
    elif n == len(T1_ARRAY):
        rings = [(10, ARRAY_OUTER_M, 0.0), (4, ARRAY_INNER_M, np.pi / 4)]
    else:
        raise ValueError(f"there is no set of {n} vials")
    points = []
    for count, circle_m, first_rad in rings:
        angle = first_rad + 2 * np.pi * np.arange(count) / count
        points.append(np.stack([circle_m * np.cos(angle), circle_m * np.sin(angle), np.zeros(count)], axis=1))
    return np.concatenate(points)


def _parts(n: int, radius_m: float) -> tuple[Part, ...]:
    return tuple(
        (i + 1, cylinder((float(x), float(y), 0.0), radius_m, _LENGTH_M)) for i, (x, y, _) in enumerate(vial_centres_m(n))
    )


_ARRAY_SIZE_M: Final = 2 * (ARRAY_OUTER_M + ARRAY_RADIUS_M)
VIAL_PHANTOMS: Final[tuple[Phantom, ...]] = (
    centred("vials", "Eight vials of known T1, T2 and density.", VIALS, _parts(8, VIAL_RADIUS_M), (0.12, 0.12, _LENGTH_M)),
    centred(
        "vials-t1",
        "Fourteen vials with T1 from 2 s to 22 ms.",
        T1_ARRAY,
        _parts(14, ARRAY_RADIUS_M),
        (_ARRAY_SIZE_M, _ARRAY_SIZE_M, _LENGTH_M),
    ),
    centred(
        "vials-t2",
        "Fourteen vials with T2 from 640 ms to 7 ms.",
        T2_ARRAY,
        _parts(14, ARRAY_RADIUS_M),
        (_ARRAY_SIZE_M, _ARRAY_SIZE_M, _LENGTH_M),
    ),
)
