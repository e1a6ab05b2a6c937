# SPDX-License-Identifier: MIT
"""A test object in the manner of NEMA MS 1 to 5: a uniform cylinder, crossed wedges, and bars.

MS 1 (signal to noise) and MS 3 (uniformity) look at a uniform slice, MS 2 (geometry) at known lengths, MS 5 (slice
thickness) at the profile of crossed wedges; bars of known width tell the resolution. Its axis is S. The standards leave
sizes to the maker; these fit a bore of 50 mT scanners.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.virtual.phantoms.phantom import Phantom, centred
from isocenter.virtual.phantoms.solids import Mask, Part, Rows, Solid, box, cylinder
from isocenter.virtual.phantoms.tissue import WATER

WEDGE_SLOPE: Final = math.tan(math.radians(11.3))
"""About 1 in 5, the usual angle of wedges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Equal bars and gaps.

    Attributes
    ----------
    width_m
        Of a bar and of a gap [m].
    n_bars
        How many bars of water.
    centre_m
        Middle of the group, L and P [m].
    is_along_left
        True: the bars follow one another along L; else along P.
    length_m
        Of a bar [m].
    """

    width_m: float
    n_bars: int
    centre_m: tuple[float, float]
    is_along_left: bool
    length_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NemaGeometry:
    """What a measurement of the object should find.

    Attributes
    ----------
    diameter_m, length_m
        Of the water [m].
    uniform_m, wedges_m, bars_m
        From where to where along S each section reaches [m].
    wedge_slope
        Rise along S per length along L; front and back wedge rise in opposite directions. The derivative of the signal along
        a wedge is the slice profile, stretched by the inverse slope.
    wedge_width_m
        Of each wedge, along P [m].
    bars
        Groups of bars.
    """

    diameter_m: float
    length_m: float
    uniform_m: tuple[float, float]
    wedges_m: tuple[float, float]
    bars_m: tuple[float, float]
    wedge_slope: float
    wedge_width_m: float
    bars: tuple[Bars, ...]


NEMA_GEOMETRY: Final = NemaGeometry(
    diameter_m=0.14,
    length_m=0.12,
    uniform_m=(-0.056, -0.016),
    wedges_m=(-0.012, 0.012),
    bars_m=(0.020, 0.050),
    wedge_slope=WEDGE_SLOPE,
    wedge_width_m=0.030,
    bars=tuple(
        Bars(width_m=width, n_bars=5, centre_m=(across, along), is_along_left=is_along_left, length_m=0.018)
        for is_along_left, along, places in (
            (True, -0.024, (-0.030, 0.000, 0.022, 0.040)),
            (False, 0.022, (-0.034, -0.010, 0.014, 0.038)),
        )
        for width, across in zip((0.003, 0.002, 0.0015, 0.001), places, strict=True)
    ),
)


def _wedge(side: float) -> Solid:
    """Plastic under a plane that rises along +L in front and along -L behind; above it is water."""
    found = NEMA_GEOMETRY

    def solid(rows: Rows) -> Mask:
        mask = (rows[2] > found.wedges_m[0]) & (rows[2] < found.wedges_m[1])
        mask &= np.abs(rows[1] - side * found.wedge_width_m * 0.6) < found.wedge_width_m / 2
        mask &= np.abs(rows[0]) < 0.8 * found.diameter_m / 2
        return np.asarray(mask & (rows[2] < -side * found.wedge_slope * rows[0]))

    return solid


def _bars(group: Bars) -> Solid:
    along = 0 if group.is_along_left else 1

    def solid(rows: Rows) -> Mask:
        section = NEMA_GEOMETRY.bars_m
        mask = (rows[2] > section[0]) & (rows[2] < section[1])
        mask &= np.abs(rows[1 - along] - group.centre_m[1 - along]) < group.length_m / 2
        place = (rows[along] - group.centre_m[along]) / group.width_m + (2 * group.n_bars - 1) / 2
        return np.asarray(mask & (place >= 0) & (place < 2 * group.n_bars - 1) & (np.floor(place) % 2 == 0))

    return solid


_FOUND: Final = NEMA_GEOMETRY
_PARTS: Final[tuple[Part, ...]] = (
    (1, cylinder((0, 0, 0), _FOUND.diameter_m / 2, _FOUND.length_m)),
    (0, _wedge(-1.0)),
    (0, _wedge(1.0)),
    (0, box((0.002, 0, sum(_FOUND.bars_m) / 2), (0.104, 0.084, _FOUND.bars_m[1] - _FOUND.bars_m[0]))),
    *((1, _bars(group)) for group in _FOUND.bars),
)

NEMA: Final[Phantom] = centred(
    "nema",
    "A uniform cylinder with crossed wedges and bars of 3, 2, 1.5 and 1 mm, in the manner of NEMA MS 1 to 5.",
    (WATER,),
    _PARTS,
    (_FOUND.diameter_m, _FOUND.diameter_m, _FOUND.length_m),
)
