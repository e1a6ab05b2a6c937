# SPDX-License-Identifier: MIT
"""A test object after the ACR's: a cylinder of water with inserts for resolution, slice thickness, geometry and contrast.

Its axis is S. Dimensions in the full size are the ACR phantom's (190 mm diameter, 148 mm length); inserts are arranged so
that they fit smaller cylinders too. Holes keep their diameter whatever the size, and 4, 3 and 2 mm are added because
1.0 mm is out of reach at 50 mT.

Source
------
Diameter, length, holes of 1.1, 1.0 and 0.9 mm, ramps of 1 in 10, disc contrasts of 1.4 to 5.1 %: ACR, Large and Medium
Phantom Test Guidance. The other sizes, places and contrasts are our own.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.phantoms.phantom import Phantom, centred
from isocenter.virtual.phantoms.solids import Mask, Part, Rows, Solid, Triple, box, cylinder
from isocenter.virtual.phantoms.tissue import Tissue

DIAMETER_M: Final = 0.190
LENGTH_M: Final = 0.148
SMALL: Final = 0.1 / DIAMETER_M
"""Scale of the small one, 100 mm in diameter."""
HOLES_M: Final = (0.004, 0.003, 0.002, 0.0011, 0.0010, 0.0009)
CONTRASTS: Final = (0.20, 0.10, 0.051, 0.025)
"""Loss of density of the four groups of discs."""
RAMP_SLOPE: Final = 0.1
_DISC_DIAMETERS_M: Final = (0.0070, 0.0055, 0.0040)
_N_SPOKES: Final = 10
_FULL_HOLES, _FEW_HOLES = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HoleArray:
    """Equal holes of water along S, in rows and columns.

    Attributes
    ----------
    diameter_m, pitch_m
        Of a hole, and from one to the next [m].
    centres_m
        L and P of each hole's axis [m], shape ``(n, 2)``.
    """

    diameter_m: float
    pitch_m: float
    centres_m: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A thin slot of water that rises along L.

    Attributes
    ----------
    middle_lps_m
        Where it crosses the insert's middle plane [m].
    slope
        Rise along S per length along L, with its sign.
    length_m, width_m, thickness_m
        Along L, along P, along S [m].
    """

    middle_lps_m: Triple
    slope: float
    length_m: float
    width_m: float
    thickness_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A disc of less density.

    Attributes
    ----------
    centre_lps_m, diameter_m
        Place and size [m].
    contrast
        Loss of density relative to the water around.
    """

    centre_lps_m: Triple
    diameter_m: float
    contrast: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrGeometry:
    """What a measurement of the object should find.

    Attributes
    ----------
    diameter_m, length_m
        Of the water [m].
    resolution_m, ramps_m, grid_m, uniform_m, contrast_m
        From where to where along S each section reaches [m].
    holes
        Of the resolution insert.
    ramps
        Two that rise in opposite directions; a slice of thickness t shows each over a length of t / slope.
    grid_pitch_m, grid_line_m
        Distance of the plastic lines of the grid, and their thickness [m].
    grid_reach_m
        The grid covers a square of twice this [m].
    discs
        Of the contrast insert, by falling contrast.
    """

    diameter_m: float
    length_m: float
    resolution_m: tuple[float, float]
    ramps_m: tuple[float, float]
    grid_m: tuple[float, float]
    uniform_m: tuple[float, float]
    contrast_m: tuple[float, float]
    holes: tuple[HoleArray, ...]
    ramps: tuple[Ramp, Ramp]
    grid_pitch_m: float
    grid_line_m: float
    grid_reach_m: float
    discs: tuple[Disc, ...]


def acr_geometry(scale: float = 1.0) -> AcrGeometry:
    """Where everything lies in an object of a size relative to the full one."""
    radius_m, half_m = scale * DIAMETER_M / 2, scale * LENGTH_M / 2

    def section(low: float, high: float) -> tuple[float, float]:
        return low * half_m, high * half_m

    ramps = section(-0.66, -0.34)
    middle_m, height_m = sum(ramps) / 2, ramps[1] - ramps[0]
    length_m = min(1.5 * radius_m, height_m / RAMP_SLOPE)
    contrast = section(0.62, 0.94)
    return AcrGeometry(
        diameter_m=2 * radius_m,
        length_m=2 * half_m,
        resolution_m=section(-0.94, -0.72),
        ramps_m=ramps,
        grid_m=section(-0.28, 0.02),
        uniform_m=section(0.06, 0.58),
        contrast_m=contrast,
        holes=_hole_arrays(radius_m),
        ramps=tuple(  # type: ignore[arg-type]
            Ramp(
                middle_lps_m=(0.0, side * 0.05 * radius_m, middle_m),
                slope=side * RAMP_SLOPE,
                length_m=length_m,
                width_m=0.07 * radius_m,
                thickness_m=0.001,
            )
            for side in (1.0, -1.0)
        ),
        grid_pitch_m=0.16 * radius_m,
        grid_line_m=0.0015,
        grid_reach_m=0.64 * radius_m,
        discs=_discs(radius_m, contrast),
    )


def _hole_arrays(radius_m: float) -> tuple[HoleArray, ...]:
    """Coarse arrays in front, fine ones behind, each group from right to left by falling diameter."""
    per_side = _FULL_HOLES if radius_m > 0.8 * DIAMETER_M / 2 else _FEW_HOLES
    arrays = []
    for group, behind in ((HOLES_M[:3], -0.3), (HOLES_M[3:], 0.35)):
        widths = [(2 * per_side - 1) * diameter for diameter in group]
        gap_m = 0.10 * radius_m
        left = -(sum(widths) + gap_m * (len(group) - 1)) / 2
        for diameter, width in zip(group, widths, strict=True):
            step = 2 * diameter * (np.arange(per_side) - (per_side - 1) / 2)
            across, along = np.meshgrid(step + left + width / 2, step + behind * radius_m, indexing="ij")
            centres = np.stack([across.ravel(), along.ravel()], axis=1)
            arrays.append(HoleArray(diameter_m=diameter, pitch_m=2 * diameter, centres_m=centres))
            left += width + gap_m
    return tuple(arrays)


def _discs(radius_m: float, section_m: tuple[float, float]) -> tuple[Disc, ...]:
    """A quarter of the section's length for each contrast; ten spokes of three discs."""
    discs = []
    quarter_m, shrink = (section_m[1] - section_m[0]) / len(CONTRASTS), radius_m / (DIAMETER_M / 2)
    for level, contrast in enumerate(CONTRASTS):
        height = section_m[0] + (level + 0.5) * quarter_m
        for spoke in range(_N_SPOKES):
            angle = 2 * np.pi * spoke / _N_SPOKES
            for ring, diameter in zip((0.62, 0.45, 0.30), _DISC_DIAMETERS_M, strict=True):
                place = (float(ring * radius_m * np.cos(angle)), float(ring * radius_m * np.sin(angle)), height)
                discs.append(Disc(centre_lps_m=place, diameter_m=diameter * shrink, contrast=contrast))
    return tuple(discs)


def acr(name: str, scale: float = 1.0) -> Phantom:
    """The object in a size relative to the full one. Labels: 1 water, 2 ... the discs by falling contrast."""
    found = acr_geometry(scale)
    water = _filling("water", 1.0)
    tissues = (water, *(_filling(f"disc {contrast:.1%}", 1.0 - contrast) for contrast in CONTRASTS))
    wide, length = found.diameter_m, found.length_m
    parts: tuple[Part, ...] = (
        (1, cylinder((0, 0, 0), wide / 2, length)),
        (0, _slab(found.resolution_m, 0.80 * wide, 0.62 * wide)),
        *((1, _holes(array, found.resolution_m)) for array in found.holes),
        (0, _slab(found.ramps_m, 0.80 * wide, 0.20 * wide)),
        *((1, _ramp(ramp)) for ramp in found.ramps),
        (0, _grid(found)),
        *((2 + CONTRASTS.index(disc.contrast), _disc(disc, found)) for disc in found.discs),
        # One rod of plastic in front on the left, through the uniform section, tells the axes apart.
        (0, cylinder((0.30 * wide, -0.30 * wide, found.uniform_m[1]), 0.03 * wide, 0.05 * length)),
    )
    summary = (
        f"A cylinder of {wide * 1e3:.0f} mm after the ACR's, with inserts for resolution, slices, geometry and contrast."
    )
    return centred(name, summary, tissues, parts, (wide, wide, length))


def _filling(name: str, density: float) -> Tissue:
    return Tissue(
        name=name,
        t1_s=0.20,
        t2_s=0.15,
        t2_prime_s=1.0,
        density=density,
        diffusion_m2_per_s=2.1e-9,
        source="assumed: nickel chloride and salt in water",
    )


def _slab(section_m: tuple[float, float], width_m: float, depth_m: float) -> Solid:
    return box((0, 0, sum(section_m) / 2), (width_m, depth_m, section_m[1] - section_m[0]))


def _holes(array: HoleArray, section_m: tuple[float, float]) -> Solid:
    """Holes of one array, found from the nearest one in its lattice."""
    first, last = array.centres_m.min(axis=0), array.centres_m.max(axis=0)

    def solid(rows: Rows) -> Mask:
        mask = (rows[2] > section_m[0]) & (rows[2] < section_m[1])
        reach = array.diameter_m
        for axis in range(2):
            mask &= (rows[axis] > first[axis] - reach) & (rows[axis] < last[axis] + reach)
        at = np.flatnonzero(mask)
        far = np.zeros(len(at))
        for axis in range(2):
            steps = np.rint((rows[axis, at] - first[axis]) / array.pitch_m)
            steps = np.clip(steps, 0, round((last[axis] - first[axis]) / array.pitch_m))
            far += (rows[axis, at] - first[axis] - steps * array.pitch_m) ** 2
        mask[at] = far < (array.diameter_m / 2) ** 2
        return np.asarray(mask)

    return solid


def _ramp(ramp: Ramp) -> Solid:
    left, back, up = ramp.middle_lps_m

    def solid(rows: Rows) -> Mask:
        mask = (np.abs(rows[0] - left) < ramp.length_m / 2) & (np.abs(rows[1] - back) < ramp.width_m / 2)
        mask &= np.abs(rows[2] - up - ramp.slope * (rows[0] - left)) < ramp.thickness_m / 2
        return np.asarray(mask)

    return solid


def _grid(found: AcrGeometry) -> Solid:
    """Plastic lines; one lies in the middle."""

    def solid(rows: Rows) -> Mask:
        mask = (rows[2] > found.grid_m[0]) & (rows[2] < found.grid_m[1])
        mask &= (np.abs(rows[:2]) < found.grid_reach_m + found.grid_line_m / 2).all(axis=0)
        at = np.flatnonzero(mask)
        off = np.abs(rows[:2, at] - found.grid_pitch_m * np.rint(rows[:2, at] / found.grid_pitch_m))
        mask[at] = (off < found.grid_line_m / 2).any(axis=0)
        return np.asarray(mask)

    return solid


def _disc(disc: Disc, found: AcrGeometry) -> Solid:
    quarter_m = (found.contrast_m[1] - found.contrast_m[0]) / len(CONTRASTS)
    return cylinder(disc.centre_lps_m, disc.diameter_m / 2, 0.999 * quarter_m)
