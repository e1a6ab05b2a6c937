# SPDX-License-Identifier: MIT
"""Plain phantoms and the list of all, under the names that the physics knows them by."""

from isocenter.virtual.phantoms.catalogue import PHANTOMS, find_phantom
from isocenter.virtual.phantoms.phantom import Phantom
from isocenter.virtual.phantoms.simple import (
    BLOCK_SIZE_M,
    BOX_SIZE_M,
    CYLINDER_LENGTH_M,
    CYLINDER_RADIUS_M,
    MARKER_LPS_M,
    MARKER_RADIUS_M,
    SPHERE_RADIUS_M,
)
from isocenter.virtual.phantoms.vials import VIAL_CIRCLE_M, VIAL_RADIUS_M, VIALS

__all__ = [
    "BLOCK_SIZE_M",
    "BOX_SIZE_M",
    "CYLINDER_LENGTH_M",
    "CYLINDER_RADIUS_M",
    "MARKER_LPS_M",
    "MARKER_RADIUS_M",
    "PHANTOMS",
    "SPHERE_RADIUS_M",
    "VIALS",
    "VIAL_CIRCLE_M",
    "VIAL_RADIUS_M",
    "Phantom",
    "find_phantom",
]
