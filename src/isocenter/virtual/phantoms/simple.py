# SPDX-License-Identifier: MIT
"""Plain phantoms of known size: a marked block, a box, a cylinder, a sphere, a lattice of balls."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.phantoms.phantom import Phantom, centred
from isocenter.virtual.phantoms.solids import Part, Rows, Triple, both, box, cylinder, sphere
from isocenter.virtual.phantoms.tissue import GEL, WATER

BLOCK_SIZE_M: Final[Triple] = (0.12, 0.10, 0.08)
"""Size of the marked block along L, P, S [m]; centre at the isocenter."""
MARKER_LPS_M: Final[Triple] = (0.032, -0.022, 0.018)
"""Centre of its bright sphere [m]."""
MARKER_RADIUS_M: Final = 0.010
BOX_SIZE_M: Final[Triple] = (0.12, 0.10, 0.08)
CYLINDER_RADIUS_M: Final = 0.05
CYLINDER_LENGTH_M: Final = 0.12
SPHERE_RADIUS_M: Final = 0.07
GRID_PITCH_M: Final = 0.02
"""Distance of neighbours in the lattice of balls [m]."""
GRID_BALL_RADIUS_M: Final = 0.004
GRID_REACH_M: Final = 0.075
"""Balls are no farther from the isocenter [m]."""
GRID_MARKER_LPS_M: Final[Triple] = (0.04, -0.02, 0.02)
"""The one ball that is larger, so that images cannot be turned unseen [m]."""
GRID_MARKER_RADIUS_M: Final = 0.007

_BLOCK: Final[tuple[Part, ...]] = (
    (1, box((0, 0, 0), BLOCK_SIZE_M)),
    (0, box((-0.060, 0.025, 0.0), (0.024, 0.024, 0.2))),
    (0, box((-0.025, -0.050, 0.0), (0.016, 0.032, 0.2))),
    (0, box((0.020, 0.020, -0.040), (0.016, 0.016, 0.024))),
    (2, sphere(MARKER_LPS_M, MARKER_RADIUS_M)),
)
"""Labels: 1 gel, 2 the marker. A notch on the right, one in front and a small one below tell the axes apart."""


def grid_points_m() -> NDArray[np.float64]:
    """Centres of the balls of the phantom ``grid``, LPS [m], shape ``(n, 3)``."""
    steps = int(GRID_REACH_M / GRID_PITCH_M)
    axis = np.arange(-steps, steps + 1) * GRID_PITCH_M
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(points[np.linalg.norm(points, axis=1) <= GRID_REACH_M])


def _balls(rows: Rows) -> NDArray[np.bool_]:
    nearest = np.rint(rows / GRID_PITCH_M) * GRID_PITCH_M
    is_ball = (nearest**2).sum(axis=0) <= GRID_REACH_M**2
    return np.asarray(is_ball & (((rows - nearest) ** 2).sum(axis=0) < GRID_BALL_RADIUS_M**2))


SIMPLE: Final[tuple[Phantom, ...]] = (
    centred("block", "A block with notches and a bright sphere at a known place.", (GEL, WATER), _BLOCK, BLOCK_SIZE_M),
    centred("box", "A plain box of known size.", (WATER,), ((1, box((0, 0, 0), BOX_SIZE_M)),), BOX_SIZE_M),
    centred(
        "cylinder",
        "A cylinder along the head-foot axis.",
        (WATER,),
        ((1, cylinder((0, 0, 0), CYLINDER_RADIUS_M, CYLINDER_LENGTH_M)),),
        (2 * CYLINDER_RADIUS_M, 2 * CYLINDER_RADIUS_M, CYLINDER_LENGTH_M),
    ),
    centred("sphere", "A uniform sphere.", (WATER,), ((1, sphere((0, 0, 0), SPHERE_RADIUS_M)),), (2 * SPHERE_RADIUS_M,) * 3),
    centred(
        "grid",
        "Small balls on a lattice of known pitch, to measure distortion; one is larger.",
        (WATER,),
        (
            (1, both(sphere((0, 0, 0), GRID_REACH_M + GRID_PITCH_M), _balls)),
            (1, sphere(GRID_MARKER_LPS_M, GRID_MARKER_RADIUS_M)),
        ),
        (2 * (GRID_REACH_M + GRID_BALL_RADIUS_M),) * 3,
    ),
)
