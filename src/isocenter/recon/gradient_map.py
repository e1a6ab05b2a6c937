# SPDX-License-Identifier: MIT
"""What the gradient coils do, from a scan of a lattice phantom that was read both ways (sequence gradient_map)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import lps_from_device
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan
from isocenter.recon.coils import root_sum_of_squares
from isocenter.recon.correct.nonlinearity_fit import CoilFit, fit_coils
from isocenter.recon.correct.nonlinearity_lattice import FoundBalls, Lattice, find_balls
from isocenter.recon.pipeline import check_pipeline, run_pipeline
from isocenter.recon.places import voxel_steps_m
from isocenter.recon.steps.base import Picture, Work

_BEFORE: Final = ("receive", "interference", "whiten", "average", "sort")
_FINER: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMap:
    """A measurement of the gradient coils.

    Attributes
    ----------
    fit
        The coils, and how the phantom lay.
    n_balls
        Balls of the phantom; ``fit.field.n_points`` of them were found both ways.
    before_rms_m
        How far the balls showed from where they lay [m].
    field_rms_m
        What the uneven main field moved them along the readout, which cancels [m].
    """

    fit: CoilFit
    n_balls: int
    before_rms_m: float
    field_rms_m: float


def measure_coils(
    raw: RawScan, lattice: Lattice, *, radius_m: float, order: int = 5, name: str = "", scanner: str = ""
) -> GradientMap:
    """What the gradient coils do.

    Parameters
    ----------
    raw
        A scan of the lattice phantom by the sequence gradient_map.
    lattice
        The phantom, its points in patient axes (LPS), its centre meant to lie in the isocenter.
    radius_m
        Of the imaging sphere [m].
    order
        Highest order of the solid harmonics.
    name, scanner
        What the result is said to come from.

    Raises
    ------
    ReconError
        It is no such scan, the balls are not found, or no coils explain where they show.
    """
    _require_both_ways(raw)
    names = (*_BEFORE, "filter", "oversampling", "zero_fill", "transform")
    chosen: dict[str, dict[str, float | int | str | bool]] = {"filter": {"kind": "hann"}, "zero_fill": {"factor": _FINER}}
    planned = check_pipeline((*(StepOrder(step=one, parameters=chosen.get(one, {})) for one in names),))
    pictures = run_pipeline(Work(raw=raw), planned).pictures
    device_from_lps = lps_from_device(raw.placement.position).T
    turned = Lattice(
        points_m=lattice.points_m @ device_from_lps.T,
        pitch_m=lattice.pitch_m,
        ball_radius_m=lattice.ball_radius_m,
        marker=lattice.marker,
    )
    forth, back = (_balls(picture, turned) for picture in pictures[:2])
    both, at_forth, at_back = np.intersect1d(forth.index, back.index, return_indices=True)
    first_m, second_m = forth.shown_m[at_forth], back.shown_m[at_back]
    shown_m = (first_m + second_m) / 2
    fit = fit_coils(turned.points_m[both], shown_m, radius_m=radius_m, order=order, name=name, scanner=scanner)
    lay_m = turned.points_m[both] @ fit.turn.T + fit.shift_m
    return GradientMap(
        fit=fit,
        n_balls=len(lattice.points_m),
        before_rms_m=_rms(shown_m - lay_m),
        field_rms_m=_rms((first_m - second_m) / 2),
    )


def _require_both_ways(raw: RawScan) -> None:
    ways, sets = raw.label("REV"), raw.label("SET")
    is_3d = raw.encoding is not None and raw.encoding.n_par > 1 and len(raw.encoding.slice_positions_m) == 0
    if not is_3d or len(raw.samples) == 0 or not np.array_equal(ways != 0, sets != 0) or not 0 < ways.mean() < 1:
        raise ReconError(
            "This scan was not read both ways in three dimensions, so it cannot tell bent gradients from an uneven field.",
            "Scan the lattice phantom with the sequence gradient_map.",
        )
    if not raw.is_complete:
        raise ReconError(
            f"Only {len(raw.samples)} of {raw.n_expected} readouts of the gradient map were measured.", "Scan it again."
        )


def _balls(picture: Picture, lattice: Lattice) -> FoundBalls:
    image = root_sum_of_squares(picture.data)
    n_z, n_y, n_x = image.shape
    first, steps = voxel_steps_m(picture.stack.display, (n_z, n_y, n_x))
    blur_m = _FINER * float(np.linalg.norm(steps, axis=1).max())
    return find_balls(image, first, steps, lattice, blur_m=blur_m)


def _rms(away_m: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((away_m**2).sum(axis=1))))
