# SPDX-License-Identifier: MIT
"""Balls of a lattice phantom in an image: which is which, and where each seems to be, to a fraction of a voxel."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError

Floats = NDArray[np.float64]

_ROUNDS: Final = 25
_FAINT: Final = 0.25  # of the usual brightness: no ball
_NEIGHBOURS: Final = 12  # from which the place of the next ball is foretold
_MARKER_RATIO: Final = 1.6
_WIDEST: Final = 1.5  # of half the pitch: a window must not reach into the next ball


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """A phantom with balls at known places.

    Attributes
    ----------
    points_m
        Their centres [m], shape ``(n, 3)``.
    pitch_m, ball_radius_m
        Distance of neighbours; radius of a ball [m].
    marker
        Index of the one ball that is larger, so that images cannot be shifted or turned unseen.
    """

    points_m: Floats
    pitch_m: float
    ball_radius_m: float
    marker: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBalls:
    """Balls that were found.

    Attributes
    ----------
    index
        Which ones of the lattice, shape ``(n,)``.
    shown_m
        Where they show, in the axes of the image's grid [m], shape ``(n, 3)``.
    brightness
        Of each: its sum over the image.
    """

    index: NDArray[np.intp]
    shown_m: Floats
    brightness: Floats


def find_balls(
    image: NDArray[np.floating], first_voxel_m: Floats, steps_m: Floats, lattice: Lattice, *, blur_m: float
) -> FoundBalls:
    """Balls of a lattice, from the marker outwards: each is looked for where its neighbours say that it should be.

    Parameters
    ----------
    image
        Magnitude, shape ``(n_z, n_y, n_x)``.
    first_voxel_m, steps_m
        Centre of voxel [0, 0, 0] and the steps to the next z, y, x [m], shapes (3,) and (3, 3), axes of the lattice.
    blur_m
        How far points are smeared in the image [m].

    Raises
    ------
    ReconError
        No larger ball is seen, or too few balls.
    """
    search = _Search(image, first_voxel_m, steps_m, lattice, blur_m)
    marker_m, brightness = search.marker()
    points, n = lattice.points_m, len(lattice.points_m)
    shown, sums, is_found = np.full((n, 3), np.nan), np.zeros(n), np.zeros(n, dtype=np.bool_)
    shown[lattice.marker], sums[lattice.marker], is_found[lattice.marker] = marker_m, brightness, True
    usual = search.usual(marker_m)
    for at in np.argsort(np.linalg.norm(points - points[lattice.marker], axis=1))[1:]:
        known = np.flatnonzero(is_found)
        near = known[np.argsort(np.linalg.norm(points[known] - points[at], axis=1))[:_NEIGHBOURS]]
        place_m, total = search.settle(_foretell(points, shown, near, int(at), lattice.pitch_m), lattice.pitch_m / 2)
        if total > _FAINT * usual and search.is_inside(place_m):
            shown[at], sums[at], is_found[at] = place_m, total, True
    index = np.flatnonzero(is_found)
    return FoundBalls(index=index, shown_m=shown[index], brightness=sums[index])


def _foretell(points: Floats, shown: Floats, near: NDArray[np.intp], at: int, pitch_m: float) -> Floats:
    """Place of a ball from those around it: shift, and where enough are known a plane through it."""
    moved = shown[near] - points[near]
    away = points[near] - points[at]
    weight = 1 / (np.linalg.norm(away, axis=1) + 0.5 * pitch_m) ** 2
    if len(near) < 6:
        return np.asarray(points[at] + (moved * weight[:, None]).sum(axis=0) / weight.sum())
    design = np.column_stack([np.ones(len(near)), away / pitch_m])
    penalty = np.diag([0.0, 1e-3, 1e-3, 1e-3])
    normal = design.T @ (design * weight[:, None]) / weight.sum() + penalty
    fit = np.linalg.solve(normal, design.T @ (moved * weight[:, None]) / weight.sum())
    return np.asarray(points[at] + fit[0])


class _Search:
    """Centres of brightness in one image."""

    def __init__(
        self, image: NDArray[np.floating], first_voxel_m: Floats, steps_m: Floats, lattice: Lattice, blur_m: float
    ) -> None:
        self._lattice, self._blur_m, self._first, self._steps = (
            lattice,
            blur_m,
            np.asarray(first_voxel_m),
            np.asarray(steps_m),
        )
        self._inverse, self._shape = np.linalg.inv(self._steps), np.array(image.shape)
        floor = float(np.median(image))  # magnitudes of noise are no darkness
        self._power = np.maximum(np.asarray(image, dtype=np.float64) - 2 * floor, 0.0)
        self._spacing = np.linalg.norm(self._steps, axis=1)

    def is_inside(self, place_m: Floats) -> bool:
        """True where a whole ball lies within the image."""
        index = (place_m - self._first) @ self._inverse
        margin = self._lattice.ball_radius_m / self._spacing + 1
        return bool(((index >= margin - 0.5) & (index <= self._shape - margin - 0.5)).all())

    def settle(self, place_m: Floats, reach_m: float) -> tuple[Floats, float]:
        """Centre of brightness near a place, in a soft window that goes with it and closes, and the sum in that window."""
        start, total = place_m, 0.0
        for turn in range(_ROUNDS):
            reach_window_m = min(
                (3.2 if turn < _ROUNDS // 2 else 2.0) * self._lattice.ball_radius_m + 1.6 * self._blur_m, _WIDEST * reach_m
            )
            window, places = self._around(place_m, reach_window_m)
            if not window.size:
                return start, 0.0
            distance = np.linalg.norm(places - place_m, axis=-1) / reach_window_m
            weight = window * np.where(distance < 1, (1 - np.minimum(distance, 1) ** 2) ** 2, 0.0)
            total = float(weight.sum())
            if total <= 0:
                return start, 0.0
            moved = (places * weight[..., None]).reshape(-1, 3).sum(axis=0) / total - place_m
            # a window makes a step too short; this one by about a half
            place_m = place_m + 1.5 * moved
            if np.linalg.norm(place_m - start) > reach_m:
                return start, 0.0
            if turn > _ROUNDS // 2 and np.linalg.norm(moved) < 1e-4 * self._spacing.min():
                break
        return place_m, total

    def marker(self) -> tuple[Floats, float]:
        """The largest ball.

        Raises
        ------
        ReconError
            None is much larger than the others.
        """
        from scipy.ndimage import gaussian_filter, maximum_filter

        smooth = gaussian_filter(self._power, 1.3 * self._lattice.ball_radius_m / self._spacing, mode="constant")
        size = np.maximum(3, np.rint(self._lattice.pitch_m / self._spacing)).astype(int)
        is_peak = (smooth == maximum_filter(smooth, size=tuple(int(n) for n in size))) & (smooth > 0.1 * smooth.max())
        peaks = np.argwhere(is_peak)
        order = np.argsort(-smooth[tuple(peaks.T)])
        if not len(order) or smooth.max() <= 0:
            raise ReconError("There is no ball in the image.", "Lay the lattice phantom into the isocenter and scan again.")
        strengths = smooth[tuple(peaks[order].T)]
        usual = float(np.median(strengths))
        if len(order) < 2 or strengths[0] < _MARKER_RATIO * usual or strengths[0] < 1.15 * strengths[1]:
            raise ReconError(
                f"No ball is clearly the larger one: the brightest has {strengths[0] / usual:.2f} of the usual brightness.",
                "Use more voxels or averages, see that the larger ball is filled and within the field of view, and that the "
                "phantom named is the one that was scanned.",
            )
        place_m = self._first + peaks[order[0]] @ self._steps
        return self.settle(place_m, self._lattice.pitch_m / 2)

    def usual(self, marker_m: Floats) -> float:
        """Brightness of an ordinary ball: the median of what is found around the marker."""
        lattice = self._lattice
        away = lattice.points_m - lattice.points_m[lattice.marker]
        near = np.argsort(np.linalg.norm(away, axis=1))[1:27]
        sums = [self.settle(marker_m + away[at], lattice.pitch_m / 2)[1] for at in near]
        return float(np.median([total for total in sums if total > 0] or [np.inf]))

    def _around(self, place_m: Floats, reach_m: float) -> tuple[Floats, Floats]:
        index = (place_m - self._first) @ self._inverse
        n = np.ceil(reach_m / self._spacing)
        low = np.maximum(np.floor(index - n), 0).astype(int)
        high = np.minimum(np.ceil(index + n) + 1, self._shape).astype(int)
        if (high <= low).any():
            return np.zeros((0, 0, 0)), np.zeros((0, 0, 0, 3))
        part = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
        return self._power[part], self._first + grid @ self._steps
