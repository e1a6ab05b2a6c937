# SPDX-License-Identifier: MIT
"""What the trajectories of an ISMRMRD file mean: a Cartesian grid after all, or something else; and in which unit.

The format leaves the unit open. In use are cycles per voxel (-0.5 to 0.5), cycles per field of view (-n/2 to n/2), radians
per voxel (-pi to pi), 1/m and rad/m; which it is shows in the largest value.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_GRID_TOLERANCE: Final = 0.05
_MAX_STEPS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Counters of lines on a Cartesian grid, from 0; where they are k = 0; along which axis of the trajectory is read."""

    lin: NDArray[np.int32]
    par: NDArray[np.int32]
    centres: tuple[int, int]
    read_axis: int


def find_grid(trajectory: NDArray[np.float32]) -> Grid | None:
    """Counters of lines whose trajectories lie on a grid; None when they do not.

    Parameters
    ----------
    trajectory
        Shape ``(n_lines, n_samples, n_axes)``, any unit.
    """
    n_lines, n_samples, n_axes = trajectory.shape
    if n_axes < 2 or n_samples < 2:
        return None
    k = trajectory.astype(np.float64)
    span = np.ptp(k, axis=1)  # within each line
    read_axis = int(span.mean(axis=0).argmax())
    reach = float(span[:, read_axis].mean())
    others = [axis for axis in range(n_axes) if axis != read_axis]
    if not reach > 0 or np.max(span[:, others]) > _GRID_TOLERANCE * reach / n_samples * n_samples**0.5:
        return None
    if np.max(np.abs(k[:, :, read_axis] - np.median(k[:, :, read_axis], axis=0))) > 1.5 * reach / n_samples:
        return None
    counters, centres = [np.zeros(n_lines, dtype=np.int32)] * 2, [0, 0]
    for index, axis in enumerate(others):
        values = k[:, :, axis].mean(axis=1)
        found = _steps(values, reach / n_samples)
        if found is None:
            return None
        counters[index], centres[index] = found, int(found[np.abs(values).argmin()])
    return Grid(lin=counters[0], par=counters[1], centres=(centres[0], centres[1]), read_axis=read_axis)


def _steps(values: NDArray[np.float64], least: float) -> NDArray[np.int32] | None:
    """Multiples of one step, counted from the lowest; None when they are none."""
    places = np.unique(np.round(values / (least * 1e-2)).astype(np.int64)).astype(np.float64) * least * 1e-2
    if len(places) == 1:
        return np.zeros(len(values), dtype=np.int32)
    gaps = np.diff(places)
    step = float(np.median(gaps[gaps > 0.5 * gaps.max()])) if gaps.max() > 0 else 0.0
    smallest = float(gaps.min())
    step = smallest if smallest > 0.2 * step else step
    step = float(places[-1] - places[0]) / max(round(float(places[-1] - places[0]) / step), 1)
    counted = (values - values.min()) / step
    whole = np.round(counted)
    if np.max(np.abs(counted - whole)) > 0.2 or whole.max() > _MAX_STEPS:
        return None
    return np.asarray(whole, dtype=np.int32)


def unit_per_m(
    trajectory: NDArray[np.float32], matrix: tuple[int, int, int], fov_m: tuple[float, float, float]
) -> tuple[tuple[float, float, float], str]:
    """What one unit of a trajectory is along read, phase and slice [1/m], and what it is called.

    Parameters
    ----------
    matrix, fov_m
        Of the images: they say how far k-space reaches.
    """
    n_axes = trajectory.shape[2]
    reach = [float(np.percentile(np.abs(trajectory[:, :, axis]), 99.5)) for axis in range(n_axes)]
    axis = int(np.argmax(reach))
    n, fov = max(matrix[axis], 1), fov_m[axis]
    ratios = tuple(m / f for m, f in zip(matrix, fov_m, strict=True))
    choices = {
        "cycles per voxel": (0.5, ratios),
        "radians per voxel": (math.pi, tuple(value / (2 * math.pi) for value in ratios)),
        "cycles per field of view": (n / 2, tuple(1 / value for value in fov_m)),
        "1/m": (n / (2 * fov), (1.0, 1.0, 1.0)),
        "rad/m": (math.pi * n / fov, (1 / (2 * math.pi),) * 3),
    }
    name = min(choices, key=lambda key: abs(math.log(max(reach[axis], 1e-30) / choices[key][0])))
    x, y, z = choices[name][1]
    return (x, y, z), name
