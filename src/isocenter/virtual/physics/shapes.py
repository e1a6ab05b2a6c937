# SPDX-License-Identifier: MIT
"""Phantoms as functions of the place in the patient (LPS, metres): which tissue is there.

A phantom is a table of tissues and a function from places to labels, 0 for air and 1, 2 ... for the tissues in turn. So
it has no resolution of its own: spins and the truth that images are compared with come from the same function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ConfigError
from isocenter.virtual.physics.tissue import BONE, CSF, FAT, GEL, GREY, LESION, MUSCLE, WATER, WHITE, Tissue

Places: TypeAlias = NDArray[np.floating]
Labels: TypeAlias = NDArray[np.int16]
Triple: TypeAlias = tuple[float, float, float]

BLOCK_SIZE_M: Final[Triple] = (0.12, 0.10, 0.08)
"""Size of the marked block along L, P, S [m]; centre at the isocenter."""
MARKER_LPS_M: Final[Triple] = (0.032, -0.022, 0.018)
"""Centre of its bright sphere [m]."""
MARKER_RADIUS_M: Final = 0.010
BOX_SIZE_M: Final[Triple] = (0.12, 0.10, 0.08)
CYLINDER_RADIUS_M: Final = 0.05
CYLINDER_LENGTH_M: Final = 0.12
SPHERE_RADIUS_M: Final = 0.07
VIAL_RADIUS_M: Final = 0.011
VIAL_CIRCLE_M: Final = 0.045
VIALS: Final[tuple[Tissue, ...]] = tuple(
    Tissue(name=f"vial {i + 1}", t1_s=t1, t2_s=t2, t2_prime_s=1.0, density=density)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """An object to scan.

    Attributes
    ----------
    name, summary
        For people.
    tissues
        Those that it is made of; label 1 is the first.
    label
        Labels of places, ``(n, 3)`` LPS [m] to ``(n,)``.
    low_m, high_m
        Corners of a box around it, LPS [m].
    """

    name: str
    summary: str
    tissues: tuple[Tissue, ...]
    label: Callable[[Places], Labels]
    low_m: Triple
    high_m: Triple


def _ellipsoid(places: Places, centre_m: Triple, radii_m: Triple) -> NDArray[np.bool_]:
    scaled = (places - np.asarray(centre_m)) / np.asarray(radii_m)
    return np.asarray((scaled**2).sum(axis=1) < 1.0)


def _box(places: Places, centre_m: Triple, size_m: Triple) -> NDArray[np.bool_]:
    return np.asarray((np.abs(places - np.asarray(centre_m)) <= np.asarray(size_m) / 2).all(axis=1))


def _head(places: Places) -> Labels:
    """Labels: 1 fat, 2 bone, 3 CSF, 4 grey, 5 white, 6 muscle, 7 lesion. Drawn from the outside in."""
    left, back, up = places[:, 0], places[:, 1], places[:, 2]
    out = np.zeros(len(places), dtype=np.int16)
    neck = (_ellipsoid(places, (0, 0.015, -0.06), (0.050, 0.058, 0.05))) & (up > -0.098)
    out[neck] = 6
    out[_ellipsoid(places, (0, -0.098, -0.035), (0.014, 0.020, 0.024))] = 6  # nose
    out[_ellipsoid(places, (0.077, 0.012, -0.028), (0.009, 0.017, 0.026))] = 1  # an ear, on the left only
    out[_ellipsoid(places, (0, 0, 0), (0.076, 0.096, 0.088))] = 1
    out[_ellipsoid(places, (0, 0, 0), (0.071, 0.091, 0.083))] = 2
    inner = _ellipsoid(places, (0, 0, 0), (0.065, 0.085, 0.077))
    out[inner] = 3
    out[inner & (up < -0.035)] = 6  # what lies below the brain
    folds = np.sin(250 * left + 1.0) * np.sin(230 * back) + 0.8 * np.sin(280 * up + 0.5) * np.sin(210 * back + 2)
    radius = np.sqrt((left / 0.061) ** 2 + (back / 0.081) ** 2 + (up / 0.073) ** 2)
    brain = (radius + 0.02 * folds < 1.0) & (up > -0.040) & inner
    brain &= ~((np.abs(left) < 0.0015) & (radius > 0.55) & (up > 0))  # the cleft between the hemispheres
    out[brain] = 4
    out[brain & (radius + 0.06 * folds < 0.80)] = 5
    for centre, radii in (((0.024, -0.006, 0.0), (0.008, 0.013, 0.013)), ((-0.024, -0.006, 0.0), (0.008, 0.013, 0.013))):
        out[_ellipsoid(places, centre, radii)] = 4  # deep grey matter
    for side in (1.0, -1.0):
        out[_ellipsoid(places, (0.010 * side, 0.004, 0.014), (0.006, 0.034, 0.010))] = 3  # lateral ventricles
        out[_ellipsoid(places, (0.015 * side, 0.030, 0.006), (0.006, 0.012, 0.012))] = 3
        out[_ellipsoid(places, (0.031 * side, -0.077, -0.030), (0.0125, 0.0125, 0.0125))] = 3  # eyes
    out[_ellipsoid(places, (0, 0.045, -0.048), (0.040, 0.026, 0.020))] = 4  # cerebellum
    out[_ellipsoid(places, (0, 0.012, -0.055), (0.012, 0.012, 0.032))] = 5  # brain stem
    out[_ellipsoid(places, (0.030, 0.026, 0.034), (0.010, 0.010, 0.010))] = 7  # left of the midline, behind, above
    return out


def _marked_block(places: Places) -> Labels:
    """Labels: 1 gel, 2 the marker. A notch on the right, one in front and a small one below tell the axes apart."""
    out = _box(places, (0, 0, 0), BLOCK_SIZE_M).astype(np.int16)
    out[_box(places, (-0.060, 0.025, 0.0), (0.024, 0.024, 0.2))] = 0
    out[_box(places, (-0.025, -0.050, 0.0), (0.016, 0.032, 0.2))] = 0
    out[_box(places, (0.020, 0.020, -0.040), (0.016, 0.016, 0.024))] = 0
    out[_ellipsoid(places, MARKER_LPS_M, (MARKER_RADIUS_M,) * 3)] = 2
    return out


def _plain_box(places: Places) -> Labels:
    return _box(places, (0, 0, 0), BOX_SIZE_M).astype(np.int16)


def _cylinder(places: Places) -> Labels:
    inside = np.hypot(places[:, 0], places[:, 1]) < CYLINDER_RADIUS_M
    return (inside & (np.abs(places[:, 2]) < CYLINDER_LENGTH_M / 2)).astype(np.int16)


def _sphere(places: Places) -> Labels:
    return _ellipsoid(places, (0, 0, 0), (SPHERE_RADIUS_M,) * 3).astype(np.int16)


def _vials(places: Places) -> Labels:
    out = np.zeros(len(places), dtype=np.int16)
    for i in range(len(VIALS)):
        angle = 2 * np.pi * i / len(VIALS)
        distance = np.hypot(places[:, 0] - VIAL_CIRCLE_M * np.cos(angle), places[:, 1] - VIAL_CIRCLE_M * np.sin(angle))
        out[(distance < VIAL_RADIUS_M) & (np.abs(places[:, 2]) < 0.03)] = i + 1
    return out


def _half(size_m: Triple) -> tuple[Triple, Triple]:
    low, high = -np.asarray(size_m) / 2, np.asarray(size_m) / 2
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _make(
    name: str, summary: str, tissues: tuple[Tissue, ...], label: Callable[[Places], Labels], size_m: Triple
) -> Phantom:
    low, high = _half(size_m)
    return Phantom(name=name, summary=summary, tissues=tissues, label=label, low_m=low, high_m=high)


PHANTOMS: Final[dict[str, Phantom]] = {
    phantom.name: phantom
    for phantom in (
        Phantom(
            name="head",
            summary="A head with an ear and a lesion on the left, tissues as at 50 mT.",
            tissues=(FAT, BONE, CSF, GREY, WHITE, MUSCLE, LESION),
            label=_head,
            low_m=(-0.080, -0.120, -0.100),
            high_m=(0.088, 0.098, 0.090),
        ),
        _make(
            "block", "A block with notches and a bright sphere at a known place.", (GEL, WATER), _marked_block, BLOCK_SIZE_M
        ),
        _make("box", "A plain box of known size.", (WATER,), _plain_box, BOX_SIZE_M),
        _make("cylinder", "A cylinder along the head-foot axis.", (WATER,), _cylinder, (0.1, 0.1, 0.12)),
        _make("sphere", "A uniform sphere.", (WATER,), _sphere, (0.14, 0.14, 0.14)),
        _make("vials", "Eight vials of known T1, T2 and density.", VIALS, _vials, (0.12, 0.12, 0.06)),
    )
}


def find_phantom(name: str) -> Phantom:
    """Phantom of a name.

    Raises
    ------
    ConfigError
        When there is none of that name; the remedy lists those that there are.
    """
    if name not in PHANTOMS:
        raise ConfigError(f"There is no phantom called {name!r}.", f"Choose one of {', '.join(PHANTOMS)}.")
    return PHANTOMS[name]
