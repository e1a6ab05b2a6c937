# SPDX-License-Identifier: MIT
"""Step that fills the part of k-space that was left out on purpose."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, integer
from isocenter.recon.partial import Coverage, fill_homodyne, fill_pocs, start_in_full
from isocenter.recon.plan import PlanAxis
from isocenter.recon.steps.base import Grid, Stage, Step, Work, each_grid, in_place

_PAR, _LIN, _READ = 2, 3, 4
_NAMES: Final = {_PAR: "par", _LIN: "lin", _READ: "read"}
_FEW: Final = {"pocs": 1, "homodyne": 2}  # lines beyond the centre without which nobody knows the phase, and their share
_FEW_SHARE: Final = 0.06
_NOTHING_MISSING: Final = "nothing is missing on one side only"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialFourier:
    """How missing k-space is filled."""

    method: str = choice(
        "pocs",
        "Method",
        choices=("pocs", "homodyne"),
        help="pocs: repeated projections, keeps what was measured; homodyne: one pass, for one direction.",
    )
    n_rounds: int = integer(12, "Rounds", low=1, high=100, help="pocs: repetitions.")


def partial_fourier(work: Work, p: PartialFourier) -> Work:
    """K-space of which one side is missing along one or more axes, filled."""
    return each_grid(work, lambda grid: _fill(grid, p))


def _fill(grid: Grid, p: PartialFourier) -> Grid:
    if not grid.is_complete:
        return dataclasses.replace(grid, said="the scan was cut short, so lines are missing by accident: nothing filled")
    if grid.lines is not None and all(axis.n_full == axis.n_samples for axis in (grid.read, grid.lin, grid.par)):
        return dataclasses.replace(grid, said=_NOTHING_MISSING)  # lines that wait for their place are all there
    whole, coverages = _whole(in_place(grid))
    partial = [item for item in coverages if item.is_partial]
    if not partial:
        return dataclasses.replace(grid, said=_NOTHING_MISSING)
    for item in partial:
        below, above = item.reach
        if min(below, above) < max(_FEW[p.method], _FEW_SHARE * max(below, above)) - 1e-3:
            raise ReconError(
                f"Only {max(min(below, above), 0):.0f} lines of {_NAMES[item.axis]} lie beyond the centre of k-space, too "
                "few to tell the phase.",
                "Measure at least 60 % of k-space.",
            )
    used = [item for item in coverages if item.axis != _PAR or grid.is_3d]
    if p.method == "pocs":
        measured = (whole.counts > 0)[:, np.newaxis, :, :, np.newaxis] & coverages[-1].measured
        data = fill_pocs(whole.data, used, measured, p.n_rounds)
    else:
        data = fill_homodyne(whole.data, used)
    said = ", ".join(f"{100 * item.fraction:.0f} % of {_NAMES[item.axis]} measured" for item in partial)
    return dataclasses.replace(whole, data=data, said=said)


def _whole(grid: Grid) -> tuple[Grid, list[Coverage]]:
    """The grid with room for what is missing, and what of each axis was measured, the readout last."""
    read, start = _full_axis(grid.read)
    lin, lin_start = _full_axis(grid.lin)
    par, par_start = _full_axis(grid.par) if grid.is_3d else (grid.par, 0)
    shape = (*grid.data.shape[:2], par.n_samples, lin.n_samples, read.n_samples)
    counts = np.zeros((shape[0], shape[2], shape[3]), dtype=np.int32)
    places = (
        slice(par_start, par_start + grid.par.n_samples),
        slice(lin_start, lin_start + grid.lin.n_samples),
        slice(start, start + grid.read.n_samples),
    )
    counts[:, places[0], places[1]] = grid.counts
    if shape == grid.data.shape:
        data = grid.data
    else:
        data = np.zeros(shape, dtype=np.complex64)
        data[:, :, places[0], places[1], places[2]] = grid.data
    along_read = np.zeros(read.n_samples, dtype=bool)
    along_read[places[2]] = True
    lines: NDArray[np.bool_] = counts > 0
    coverages = [
        Coverage(axis=_PAR, n_full=par.n_samples, centre_sample=par.centre, measured=np.asarray(lines.any(axis=(0, 2)))),
        Coverage(axis=_LIN, n_full=lin.n_samples, centre_sample=lin.centre, measured=np.asarray(lines.any(axis=(0, 1)))),
        Coverage(axis=_READ, n_full=read.n_samples, centre_sample=read.centre, measured=along_read),
    ]
    return dataclasses.replace(grid, data=data, counts=counts, read=read, lin=lin, par=par), coverages


def _full_axis(axis: PlanAxis) -> tuple[PlanAxis, int]:
    if axis.n_full == axis.n_samples:
        return axis, 0
    start = start_in_full(axis.n_samples, axis.n_full, axis.centre)
    return dataclasses.replace(axis, n_samples=axis.n_full, centre=axis.centre + start), start


STEPS: Final = (
    Step(
        name="partial_fourier",
        title="Partial Fourier",
        help="Fills the side of k-space that was not measured, along every axis of which one side is missing, from a phase "
        "that is smooth. Does nothing when the scan was cut short, since lines are then missing by accident.",
        takes=Stage.GRID,
        gives=Stage.GRID,
        run=partial_fourier,
        parameters=PartialFourier,
        is_live=False,
        takes_lines=True,
    ),
)
