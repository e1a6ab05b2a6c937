# SPDX-License-Identifier: MIT
"""A head with a face, a folded cortex, ventricles, deep nuclei and lesions; left and right differ."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.phantoms.phantom import Phantom, painted
from isocenter.virtual.phantoms.solids import (
    Mask,
    Part,
    Rows,
    Triple,
    both,
    box,
    ellipsoid,
    half_space,
    minus,
    rod,
    sphere,
)
from isocenter.virtual.phantoms.tissue import (
    BLOOD,
    BONE,
    CSF,
    FAT,
    GREY,
    LESION,
    MUSCLE,
    SKIN,
    VITREOUS,
    WHITE,
)

LESIONS_LPS_M: Final[tuple[tuple[Triple, float], ...]] = (
    ((0.030, 0.026, 0.034), 0.010),
    ((-0.022, -0.034, 0.022), 0.005),
    ((-0.026, 0.036, 0.018), 0.003),
)
"""Centres [m] and radii [m] of the lesions. The large one lies left of the midline, behind, above."""

_FAT, _BONE, _CSF, _GREY, _WHITE, _MUSCLE, _LESION, _SKIN, _VITREOUS, _BLOOD = range(1, 11)
_SKULL: Final = ellipsoid((0, 0, 0), (0.071, 0.091, 0.083))
_CAVITY: Final = ellipsoid((0, 0, 0), (0.065, 0.085, 0.077))
_FLOOR_M: Final = -0.035


_FOLD_M: Final = 0.019
"""Distance from one furrow to the next but one [m]."""
_N_WAVES: Final = 10
_RNG: Final = np.random.default_rng(4)
_DIRECTIONS: Final = _RNG.normal(size=(_N_WAVES, 3))
_WAVES: Final = 2 * np.pi / _FOLD_M * _DIRECTIONS / np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
_PHASES: Final = _RNG.random(_N_WAVES) * 2 * np.pi


def _folds(rows: Rows) -> NDArray[np.floating]:
    """A smooth random field, of about unit size, whose zeros are the furrows."""
    total = np.zeros(rows.shape[1])
    for (left, back, up), phase in zip(_WAVES, _PHASES, strict=True):
        total += np.sin(left * rows[0] + back * rows[1] + up * rows[2] + phase)
    return np.asarray(total * np.sqrt(2 / len(_WAVES)))


def _depth(rows: Rows) -> NDArray[np.floating]:
    """1 on the surface of the brain, 0 in its middle. The right frontal and left occipital lobes are a little larger."""
    left, back, up = rows
    size = 1.0 - 6.0 * left * back
    return np.asarray(np.sqrt((left / 0.0625) ** 2 + (back / 0.0825) ** 2 + (up / 0.0745) ** 2) * size)


def _cerebrum(rows: Rows) -> Mask:
    depth, folds = _depth(rows), _folds(rows)
    brain = (depth + 0.015 * folds < 1.0) & (rows[2] > -0.040)
    brain &= ~((np.abs(folds) < 0.11) & (depth > 0.80))  # furrows
    return np.asarray(brain & ~((np.abs(rows[0]) < 0.0015) & (depth > 0.55) & (rows[2] > 0)))  # between the hemispheres


def _white(rows: Rows) -> Mask:
    """White matter reaches into the folds and leaves a ribbon of grey along surface and furrows."""
    depth, folds = _depth(rows), np.abs(_folds(rows))
    midline = (np.abs(rows[0]) < 0.004) & (depth > 0.52)
    return np.asarray(((depth < 0.66) | ((depth < 0.91) & (folds > 0.40))) & ~midline)


def _cerebellum(rows: Rows) -> Mask:
    """Leaves of the cerebellum: grey with thin white sheets."""
    return np.asarray(np.sin(900 * rows[2] + 260 * rows[1]) > 0.55)


def _pairs(label: int, centre_m: Triple, radii_m: Triple) -> list[Part]:
    """The same on both sides."""
    return [(label, ellipsoid((side * centre_m[0], *centre_m[1:]), radii_m)) for side in (1.0, -1.0)]


_HINDBRAIN: Final = ellipsoid((0, 0.045, -0.048), (0.042, 0.028, 0.021))
_PARTS: Final[tuple[Part, ...]] = (
    # Neck, face, scalp. The ear is on the left only.
    (_SKIN, both(ellipsoid((0, 0.015, -0.06), (0.052, 0.060, 0.052)), half_space((0, 0, 1), -0.098))),
    (_MUSCLE, both(ellipsoid((0, 0.015, -0.06), (0.049, 0.057, 0.05)), half_space((0, 0, 1), -0.098))),
    (_MUSCLE, ellipsoid((0, -0.098, -0.035), (0.014, 0.020, 0.024))),
    (_FAT, ellipsoid((0.077, 0.012, -0.028), (0.009, 0.017, 0.026))),
    (_SKIN, ellipsoid((0, 0, 0), (0.076, 0.096, 0.088))),
    (_FAT, ellipsoid((0, 0, 0), (0.0742, 0.0942, 0.0862))),
    (_BONE, _SKULL),
    *_pairs(_MUSCLE, (0.069, -0.030, -0.012), (0.005, 0.026, 0.026)),  # temporal muscles
    (_CSF, _CAVITY),
    # What lies below the brain: muscle with bone, air and the eyes with their fat.
    (_MUSCLE, both(_CAVITY, half_space((0, 0, -1), -_FLOOR_M))),
    (_BONE, both(_SKULL, box((0, -0.02, _FLOOR_M - 0.001), (0.12, 0.13, 0.004)))),
    (0, ellipsoid((0, -0.074, -0.040), (0.010, 0.016, 0.012))),  # nasal cavity
    (0, both(_CAVITY, ellipsoid((0.027, -0.050, -0.050), (0.012, 0.013, 0.009)))),  # maxillary sinuses
    (0, both(_CAVITY, ellipsoid((-0.027, -0.050, -0.050), (0.010, 0.013, 0.009)))),
    (0, ellipsoid((0.006, -0.086, 0.006), (0.012, 0.003, 0.008))),  # frontal sinus, larger on the left
    *_pairs(_FAT, (0.031, -0.070, -0.030), (0.0165, 0.020, 0.0155)),
    *_pairs(_VITREOUS, (0.031, -0.077, -0.030), (0.0125, 0.0125, 0.0125)),
    *_pairs(_MUSCLE, (0.031, -0.0865, -0.030), (0.0045, 0.0022, 0.0045)),  # lenses
    (_WHITE, rod((0.029, -0.064, -0.030), (0.004, -0.020, -0.029), 0.0022)),
    (_WHITE, rod((-0.029, -0.064, -0.030), (-0.004, -0.020, -0.029), 0.0022)),
    # Brain, from the cortex inwards.
    (_GREY, both(_CAVITY, _cerebrum)),
    (_WHITE, both(both(_CAVITY, _cerebrum), _white)),
    (_GREY, _HINDBRAIN),
    (_WHITE, both(_HINDBRAIN, _cerebellum)),
    (_WHITE, ellipsoid((0, 0.012, -0.055), (0.012, 0.012, 0.032))),  # brain stem
    *_pairs(_GREY, (0.024, -0.008, 0.002), (0.007, 0.017, 0.012)),  # putamen
    *_pairs(_GREY, (0.010, 0.012, 0.001), (0.008, 0.013, 0.009)),  # thalamus
    *_pairs(_GREY, (0.013, -0.024, 0.010), (0.005, 0.010, 0.008)),  # caudate nucleus
    (_WHITE, minus(ellipsoid((0, 0.004, 0.012), (0.012, 0.042, 0.020)), half_space((0, 0, -1), -0.014))),  # corpus callosum
    *_pairs(_CSF, (0.009, 0.000, 0.014), (0.0055, 0.032, 0.009)),  # lateral ventricles
    *_pairs(_CSF, (0.016, 0.030, 0.006), (0.006, 0.013, 0.011)),
    (_CSF, ellipsoid((-0.024, 0.012, -0.016), (0.003, 0.014, 0.004))),  # the right temporal horn is wide
    (_CSF, ellipsoid((0, 0.006, -0.004), (0.0018, 0.013, 0.010))),  # third ventricle
    (_CSF, ellipsoid((0, 0.028, -0.044), (0.006, 0.005, 0.009))),  # fourth ventricle
    (_GREY, ellipsoid((0, -0.018, -0.034), (0.006, 0.005, 0.004))),  # pituitary gland
    (_BLOOD, both(_CAVITY, rod((0, 0.040, 0.066), (0, 0.081, 0.008), 0.0025, 0.0045))),  # sagittal sinus
    *((_LESION, sphere(centre, radius)) for centre, radius in LESIONS_LPS_M),
)

HEAD: Final[Phantom] = painted(
    "head",
    "A head with an ear and a lesion on the left, tissues as at 50 mT.",
    (FAT, BONE, CSF, GREY, WHITE, MUSCLE, LESION, SKIN, VITREOUS, BLOOD),
    _PARTS,
    (-0.080, -0.120, -0.100),
    (0.088, 0.098, 0.090),
)
