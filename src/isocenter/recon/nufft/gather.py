# SPDX-License-Identifier: MIT
"""From the readouts of a scan to the samples of one image: places, times and weights."""

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.recon.nufft.density import iterated_weights, spoke_weights
from isocenter.recon.nufft.inverse import Grid, Samples
from isocenter.recon.nufft.layout import Layout
from isocenter.recon.nufft.petra import joined, petra_weights
from isocenter.recon.nufft.transform import is_finite

Floats = NDArray[np.float64]

_BAND: Final = 0.5 * (1 + 5e-5)


class Density(StrEnum):
    """How samples are weighted."""

    AUTO = "auto"
    SPOKES = "spokes"
    ITERATED = "iterated"


def is_petra(raw: RawScan) -> bool:
    """Whether SET tells single points (1) from half spokes (0)."""
    return raw.definitions.get("Trajectory", "") == "petra"


def is_imaging(raw: RawScan) -> NDArray[np.bool_]:
    """Readouts that are part of an image: no noise, no navigator, no line only for calibration."""
    skip = (raw.label("NAV") != 0) | (raw.label("NOISE") != 0) | (raw.label("OFF") != 0)
    skip |= (raw.label("REF") != 0) & (raw.label("IMA") == 0)
    return np.asarray(~skip)


def gather(raw: RawScan, rows: NDArray[np.bool_], layout: Layout, density: Density) -> tuple[Samples, int]:
    """The samples of some readouts.

    Parameters
    ----------
    raw
        With a trajectory.
    rows
        Which readouts.
    layout
        Axes and voxels of the image.
    density
        How to weight them.

    Returns
    -------
        The samples within what the voxels resolve, and how many were left out.

    Raises
    ------
    ReconError
        Trajectory and samples do not belong together, no sample is left, or spokes were asked for and there are none.
    """
    if raw.trajectory_per_m is None or raw.trajectory_per_m.shape[:2] != (len(raw.samples), raw.samples.shape[2]):
        raise ReconError(
            f"The trajectory of '{raw.name or 'this scan'}' does not have a place for each sample.",
            "Store and reconstruct the scan again; or leave the trajectory out if it belongs to another one.",
        )
    if is_petra(raw) and np.any(raw.label("SET")[rows] == 1):
        return _gather_petra(raw, rows, layout)
    index = np.flatnonzero(rows)
    points = layout.points_per_m(raw.trajectory_per_m[index])
    weights = _weights(points, layout.grid, density)
    return _select(raw, index, points, weights, layout.grid)


def _gather_petra(raw: RawScan, rows: NDArray[np.bool_], layout: Layout) -> tuple[Samples, int]:
    assert raw.trajectory_per_m is not None
    is_point = raw.label("SET") == 1
    spokes, singles = np.flatnonzero(rows & ~is_point), np.flatnonzero(rows & is_point)
    along, there = (layout.points_per_m(raw.trajectory_per_m[index]) for index in (spokes, singles))
    there = there[:, :1]
    spoke_weight, point_weight = petra_weights(along, there[:, 0], layout.grid)
    first, left_of_first = _select(raw, spokes, along, spoke_weight, layout.grid)
    second, left_of_second = _select(raw, singles, there, point_weight[:, np.newaxis], layout.grid)
    return joined(first, second), left_of_first + left_of_second


def _weights(points_per_m: Floats, grid: Grid, density: Density) -> Floats:
    if density is not Density.ITERATED:
        weights = spoke_weights(points_per_m, grid.voxel_m)
        if weights is not None:
            return weights
        if density is Density.SPOKES:
            raise ReconError(
                "The readouts of this scan are not spokes that are evenly spread.", "Choose the density compensation 'auto'."
            )
    weights = np.zeros(points_per_m.shape[:2])
    inside = _is_inside(points_per_m, grid)
    weights[inside] = iterated_weights(points_per_m[inside], grid.shape, grid.voxel_m)
    return weights


def _is_inside(points_per_m: Floats, grid: Grid) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        inside = [np.abs(points_per_m[..., axis]) * size <= _BAND for axis, size in enumerate(grid.voxel_m)]
    return np.asarray(np.logical_and.reduce(inside))


def _select(raw: RawScan, rows: NDArray[np.int64], points_per_m: Floats, weights: Floats, grid: Grid) -> tuple[Samples, int]:
    """Samples that the voxels resolve; places beyond the end of a shorter readout are no samples at all."""
    is_real = is_finite(points_per_m)
    inside = is_real & _is_inside(points_per_m, grid)
    if len(rows) and not inside.any():
        raise ReconError(
            "Not one sample lies within what the voxels resolve.", "Choose a larger matrix or a smaller field of view."
        )
    channels = [channel for channel in range(raw.samples.shape[1]) if channel not in raw.sensor_channels]
    values = raw.samples[rows][:, channels, : points_per_m.shape[1]].transpose(1, 0, 2)
    times = _times(raw, rows, points_per_m)
    samples = Samples(
        values=np.ascontiguousarray(values[:, inside]),
        points_per_m=points_per_m[inside],
        weights=weights[inside],
        time_s=times[inside],
    )
    return samples, int(np.count_nonzero(is_real & ~inside))


def _times(raw: RawScan, rows: NDArray[np.int64], points_per_m: Floats) -> Floats:
    """How long spins have turned freely at each sample [s].

    Where nothing says so, it is counted from the sample nearest k = 0 of each readout: what is missing is then the same for
    all of them and only turns the phase of the image.
    """
    steps_s = np.arange(points_per_m.shape[1]) * raw.dwell_s
    if len(raw.evolution_s) == len(raw.samples) and np.isfinite(raw.evolution_s[rows]).all():
        return np.asarray(raw.evolution_s[rows][:, np.newaxis] + steps_s)
    distance = np.where(is_finite(points_per_m), np.linalg.norm(points_per_m, axis=2), np.inf)
    nearest = distance.argmin(axis=1) if points_per_m.shape[1] else np.zeros(len(rows), dtype=np.int64)
    return np.asarray(steps_s - steps_s[nearest][:, np.newaxis])
