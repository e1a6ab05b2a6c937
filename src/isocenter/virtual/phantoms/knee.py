# SPDX-License-Identifier: MIT
"""A left knee, slightly bent towards the patient's front: the fibula lies to the left (outside)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.phantoms.phantom import Phantom, painted
from isocenter.virtual.phantoms.solids import (
    Mask,
    Part,
    Rows,
    Solid,
    Triple,
    both,
    box,
    either,
    ellipsoid,
    half_space,
    minus,
    rod,
)
from isocenter.virtual.phantoms.tissue import (
    BLOOD,
    CARTILAGE,
    CORTICAL,
    FAT,
    LESION,
    LIGAMENT,
    MARROW,
    MENISCUS,
    MUSCLE,
    SKIN,
    SYNOVIAL,
    TENDON,
)

_SKIN, _FAT, _MUSCLE, _CORTEX, _MARROW, _CARTILAGE, _MENISCUS, _LIGAMENT, _TENDON, _FLUID, _BLOOD, _LESION = range(1, 13)
_HALF_LENGTH_M: Final = 0.085
CONDYLES_LPS_M: Final[tuple[Triple, Triple]] = ((-0.023, 0.004, 0.020), (0.023, 0.002, 0.020))
"""Centres of the inner (right) and outer (left) condyle of the femur [m]."""
_CONDYLE_RADII_M: Final[tuple[Triple, Triple]] = ((0.019, 0.030, 0.024), (0.018, 0.031, 0.023))
PLATEAU_M: Final = -0.0105
"""Height of the bone of the tibia under the joint [m]."""
TEAR_LPS_M: Final[Triple] = (-0.024, 0.024, -0.0055)
"""Middle of a tear in the back of the inner meniscus [m]."""
BRUISE_LPS_M: Final[Triple] = (0.022, -0.006, 0.012)
"""Middle of a bruise in the marrow of the outer condyle [m]."""


def _limb(shrink_m: float) -> Solid:
    """Outline of the leg, wider towards the thigh."""

    def solid(rows: Rows) -> Mask:
        width = 1 + 1.2 * rows[2] - 0.05 * np.cos(45 * rows[2])
        middle = 0.004 + 0.06 * np.abs(rows[2])
        across = (rows[0] / (0.062 * width - shrink_m)) ** 2
        across += ((rows[1] - middle) / (0.067 * width - shrink_m)) ** 2
        return np.asarray((across < 1.0) & (np.abs(rows[2]) < _HALF_LENGTH_M))

    return solid


def _femur(grow_m: float) -> Solid:
    inner, outer = (
        ellipsoid(centre, (radii[0] + grow_m, radii[1] + grow_m, radii[2] + grow_m))
        for centre, radii in zip(CONDYLES_LPS_M, _CONDYLE_RADII_M, strict=True)
    )
    bridge = ellipsoid((0, -0.008, 0.031), (0.032 + grow_m, 0.020 + grow_m, 0.017 + grow_m))
    shaft = rod((0, -0.006, 0.040), (0.003, -0.010, 0.11), 0.021 + grow_m, 0.0135 + grow_m)
    return either(inner, outer, bridge, shaft)


def _tibia(grow_m: float) -> Solid:
    head = ellipsoid((0, 0.008, -0.020), (0.041 + grow_m, 0.028 + grow_m, 0.024 + grow_m))
    flat = both(head, half_space((0, 0, -1), -PLATEAU_M - grow_m))
    shaft = rod((0, 0.004, -0.036), (0.0, 0.008, -0.11), 0.021 + grow_m, 0.0125 + grow_m)
    return either(flat, shaft, ellipsoid((0.004, -0.020, -0.042), (0.009 + grow_m, 0.009 + grow_m, 0.012 + grow_m)))


def _fibula(grow_m: float) -> Solid:
    return rod((0.037, 0.026, -0.030), (0.034, 0.026, -0.11), 0.0085 + grow_m, 0.006 + grow_m)


def _patella(grow_m: float) -> Solid:
    return ellipsoid((0.002, -0.045, 0.024), (0.021 + grow_m, 0.0095 + grow_m, 0.020 + grow_m))


def _wedge_ring(side: float) -> Solid:
    """A meniscus: a ring with a wedge for a section, open towards the middle of the knee."""

    def solid(rows: Rows) -> Mask:
        across = rows[0] - side * 0.0225
        away = np.hypot(across, (rows[1] - 0.006) * 0.80)
        above = rows[2] - (PLATEAU_M + 0.0022)
        wedge = (away > 0.009) & (away < 0.0185) & (above > 0) & (above < 0.0012 + 0.55 * (away - 0.009))
        return np.asarray(wedge & (across * side > -0.011))

    return solid


def _cut(solid: Solid, low_m: float, high_m: float) -> Solid:
    """A slab across the leg out of a solid."""
    return both(solid, box((0, 0, (low_m + high_m) / 2), (1.0, 1.0, high_m - low_m)))


def _muscles() -> list[Part]:
    bellies: tuple[tuple[Triple, Triple, float, float], ...] = (
        ((-0.034, -0.020, 0.040), (-0.036, -0.020, 0.11), 0.014, 0.030),  # vastus medialis
        ((0.034, -0.024, 0.055), (0.034, -0.022, 0.11), 0.014, 0.030),  # vastus lateralis
        ((-0.028, 0.045, 0.030), (-0.026, 0.038, 0.11), 0.012, 0.026),  # hamstrings inside
        ((0.032, 0.044, 0.025), (0.026, 0.040, 0.11), 0.011, 0.026),  # hamstrings outside
        ((-0.018, 0.046, -0.020), (-0.020, 0.042, -0.11), 0.016, 0.030),  # gastrocnemius
        ((0.020, 0.046, -0.025), (0.020, 0.042, -0.11), 0.014, 0.028),
        ((0.028, -0.008, -0.055), (0.030, -0.008, -0.11), 0.012, 0.026),  # tibialis anterior
    )
    return [(_MUSCLE, both(_limb(0.006), rod(*belly))) for belly in bellies]


def _whirl(rows: Rows) -> NDArray[np.bool_]:
    """Streaks of fat between the fibres of muscles."""
    return np.asarray(np.sin(420 * rows[0] + 300 * rows[1] + 4 * np.sin(60 * rows[2])) > 0.93)


_BONES: Final = (_femur, _tibia, _fibula, _patella)
_CORTEX_M: Final = 0.0018
_JOINT_FLUID: Final = ellipsoid((0, 0.004, -0.004), (0.042, 0.032, 0.010))
_PARTS: Final[tuple[Part, ...]] = (
    (_SKIN, _limb(0.0)),
    (_FAT, _limb(0.002)),
    *_muscles(),
    (_FAT, both(_limb(0.012), both(half_space((0, 0, 1), 0.03), _whirl))),
    # Joint capsule with its fluid; the pouch above the patella holds an effusion.
    (_FLUID, _JOINT_FLUID),
    (_FLUID, ellipsoid((0.004, -0.033, 0.052), (0.022, 0.005, 0.016))),
    # Cartilage as shells around the bones where they meet, then the bones over it.
    (_CARTILAGE, _cut(_femur(0.0025), -0.02, 0.022)),
    (_CARTILAGE, both(_cut(_femur(0.0025), 0.0, 0.045), half_space((0, -1, 0), 0.016))),
    (_CARTILAGE, both(_tibia(0.0022), half_space((0, 0, 1), PLATEAU_M - 0.001))),
    (_CARTILAGE, both(_patella(0.0028), half_space((0, 1, 0), -0.046))),
    (_MENISCUS, both(_wedge_ring(-1.0), lambda rows: ~_femur(0.0028)(rows))),
    (_MENISCUS, both(_wedge_ring(1.0), lambda rows: ~_femur(0.0028)(rows))),
    (_FLUID, both(_wedge_ring(-1.0), ellipsoid(TEAR_LPS_M, (0.0012, 0.008, 0.006)))),
    *((_CORTEX, both(_limb(0.002), bone(0.0))) for bone in _BONES),
    *((_MARROW, both(_limb(0.002), bone(-_CORTEX_M))) for bone in _BONES),
    (_LESION, both(_femur(-_CORTEX_M), ellipsoid(BRUISE_LPS_M, (0.007, 0.008, 0.007)))),
    # Between the condyles: fat, then the cruciate ligaments.
    (_FAT, ellipsoid((0, 0.020, 0.006), (0.0065, 0.014, 0.016))),
    (_LIGAMENT, rod((0.007, 0.022, 0.014), (-0.003, -0.008, PLATEAU_M), 0.0042)),  # anterior
    (_LIGAMENT, rod((-0.006, 0.004, 0.012), (0.001, 0.033, -0.016), 0.0052)),  # posterior
    (_LIGAMENT, rod((-0.0425, 0.004, 0.020), (-0.038, 0.002, -0.045), 0.0024)),  # collateral, inside
    (_LIGAMENT, rod((0.0425, 0.008, 0.020), (0.041, 0.024, -0.028), 0.0022)),  # collateral, outside
    (
        _TENDON,
        both(_limb(0.002), minus(rod((0.002, -0.043, 0.040), (0.002, -0.031, 0.09), 0.0055), _patella(0.0))),
    ),  # of the quadriceps
    (_TENDON, minus(rod((0.002, -0.047, 0.008), (0.004, -0.028, -0.044), 0.0042), _patella(0.0))),  # of the patella
    (_BLOOD, both(_limb(0.002), rod((0.004, 0.043, 0.1), (0.002, 0.040, -0.1), 0.0035))),  # artery and vein behind the knee
    (_BLOOD, both(_limb(0.002), rod((-0.002, 0.051, 0.1), (-0.004, 0.049, -0.1), 0.0045))),
)

KNEE: Final[Phantom] = painted(
    "knee",
    "A left knee with cartilage, menisci, ligaments, a torn inner meniscus and an effusion, tissues as at 70 mT.",
    (SKIN, FAT, MUSCLE, CORTICAL, MARROW, CARTILAGE, MENISCUS, LIGAMENT, TENDON, SYNOVIAL, BLOOD, LESION),
    _PARTS,
    (-0.073, -0.076, -_HALF_LENGTH_M),
    (0.073, 0.088, _HALF_LENGTH_M),
)
