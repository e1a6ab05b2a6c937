# SPDX-License-Identifier: MIT
"""Solids that phantoms are painted with: functions from places to yes or no.

A solid takes places as three rows x, y, z of shape ``(3, n)`` and returns a mask of length n. Solids that are tested
one inside the other look at the inner one only where the outer one says yes.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.floating]
Mask: TypeAlias = NDArray[np.bool_]
Solid: TypeAlias = Callable[[Rows], Mask]
Places: TypeAlias = NDArray[np.floating]
Labels: TypeAlias = NDArray[np.int16]
Triple: TypeAlias = tuple[float, float, float]
Part: TypeAlias = tuple[int, Solid]


def paint(places: Places, parts: Sequence[Part]) -> Labels:
    """Labels of places of shape ``(n, 3)``: parts are painted one over the other, where none is, the label is 0."""
    rows = np.ascontiguousarray(np.asarray(places).T)
    out = np.zeros(rows.shape[1], dtype=np.int16)
    for label, solid in parts:
        out[solid(rows)] = label
    return out


def ellipsoid(centre_m: Triple, radii_m: Triple) -> Solid:
    """Ellipsoid with its axes along L, P, S."""

    def solid(rows: Rows) -> Mask:
        total = ((rows[0] - centre_m[0]) / radii_m[0]) ** 2
        total += ((rows[1] - centre_m[1]) / radii_m[1]) ** 2
        total += ((rows[2] - centre_m[2]) / radii_m[2]) ** 2
        return np.asarray(total < 1.0)

    return solid


def sphere(centre_m: Triple, radius_m: float) -> Solid:
    """Ball."""
    return ellipsoid(centre_m, (radius_m, radius_m, radius_m))


def box(centre_m: Triple, size_m: Triple) -> Solid:
    """Box with its edges along L, P, S; its surface counts as inside."""

    def solid(rows: Rows) -> Mask:
        mask = np.abs(rows[0] - centre_m[0]) <= size_m[0] / 2
        mask &= np.abs(rows[1] - centre_m[1]) <= size_m[1] / 2
        mask &= np.abs(rows[2] - centre_m[2]) <= size_m[2] / 2
        return np.asarray(mask)

    return solid


def cylinder(centre_m: Triple, radius_m: float, length_m: float) -> Solid:
    """Cylinder along S."""

    def solid(rows: Rows) -> Mask:
        mask = (rows[0] - centre_m[0]) ** 2 + (rows[1] - centre_m[1]) ** 2 < radius_m**2
        mask &= np.abs(rows[2] - centre_m[2]) < length_m / 2
        return np.asarray(mask)

    return solid


def rod(start_m: Triple, end_m: Triple, start_radius_m: float, end_radius_m: float = 0.0) -> Solid:
    """Round rod between two points with rounded ends; it tapers when a second radius is given."""
    first, along = np.asarray(start_m), np.asarray(end_m) - np.asarray(start_m)
    change_m = (end_radius_m or start_radius_m) - start_radius_m

    def solid(rows: Rows) -> Mask:
        share = sum((rows[axis] - first[axis]) * along[axis] for axis in range(3)) / float(along @ along)
        share = np.clip(share, 0.0, 1.0)
        far = sum((rows[axis] - first[axis] - share * along[axis]) ** 2 for axis in range(3))
        return np.asarray(far < (start_radius_m + change_m * share) ** 2)

    return solid


def half_space(normal: Triple, beyond_m: float) -> Solid:
    """All places whose coordinate along a vector is more than a distance."""

    def solid(rows: Rows) -> Mask:
        return np.asarray(normal[0] * rows[0] + normal[1] * rows[1] + normal[2] * rows[2] > beyond_m)

    return solid


def both(outer: Solid, inner: Solid) -> Solid:
    """What lies in both; ``inner`` is asked only about places in ``outer``."""

    def solid(rows: Rows) -> Mask:
        mask = outer(rows)
        at = np.flatnonzero(mask)
        mask[at] = inner(rows[:, at])
        return mask

    return solid


def minus(whole: Solid, cut: Solid) -> Solid:
    """What lies in the first and not in the second, which is asked only about places in the first."""
    return both(whole, lambda rows: ~cut(rows))


def either(*solids: Solid) -> Solid:
    """What lies in any of them."""

    def solid(rows: Rows) -> Mask:
        mask = solids[0](rows)
        for more in solids[1:]:
            at = np.flatnonzero(~mask)
            mask[at] = more(rows[:, at])
        return mask

    return solid
