# SPDX-License-Identifier: MIT
"""What passes from step to step, and what a step is."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.harmonics import CoilField
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex
from isocenter.recon.pages import empty_pages
from isocenter.recon.plan import PlanAxis, Stack

VOLUME_LABELS: Final = ("ECO", "SET", "PHS", "REP")
"""Each combination of these gives volumes of its own, in this order of significance."""

Notes = tuple[tuple[str, str], ...]


class MeasuredField(Protocol):
    """A map of the main field, anywhere in the magnet."""

    def frequency_hz(self, position_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Offset from the receiver's frequency [Hz] at places in device axes of shape ``(..., 3)`` [m]."""


class Stage(StrEnum):
    """What the data are before or after a step."""

    READOUTS = "readouts"
    GRID = "k-space"
    IMAGE = "images"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """K-space that is still spread over its readouts: nothing was copied yet.

    Attributes
    ----------
    samples
        complex64, shape ``(n, n_samples)``, C-contiguous; not to be changed.
    order
        Which of them is where in k-space, int64, shape ``(n_slices, n_channels, n_par, n_lin)``.
    """

    samples: Complex
    order: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Cartesian k-space of one volume.

    Attributes
    ----------
    key
        Its values of VOLUME_LABELS.
    data
        complex64, shape ``(n_slices, n_channels, n_par, n_lin, n_samples)``; zero where nothing was measured. Empty as long
        as there are ``lines``.
    lines
        Where the samples are that nobody has put in place yet; only steps that say so (``takes_lines``) get such a grid.
    counts
        How often each line was measured, int32, shape ``(n_slices, n_par, n_lin)``.
    read, lin, par
        Where k = 0 lies along each axis, and how many voxels it is to become.
    is_complete
        False when the scan was cut short: then a missing line is no intention.
    notes, said
        What was done so far, step by step; what the step that runs now has to say.
    """

    key: tuple[int, ...]
    data: Complex
    counts: NDArray[np.int32]
    read: PlanAxis
    lin: PlanAxis
    par: PlanAxis
    lines: Lines | None = None
    is_complete: bool = True
    notes: Notes = ()
    said: str = ""

    def __post_init__(self) -> None:
        if self.lines is not None and self.data.size:
            raise ValueError("a grid has its data in place or still as lines, not both")

    @property
    def is_3d(self) -> bool:
        """True with a second phase encoding."""
        return self.par.n_samples > 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data, also of those that are not in place yet."""
        return self.data.shape if self.lines is None else (*self.lines.order.shape, self.lines.samples.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Images of one volume, in the order of the encoding.

    Attributes
    ----------
    key
        Its values of VOLUME_LABELS.
    data
        complex64, shape ``(n_channels, n_z, n_y, n_x)`` while there are channels; then ``(n_z, n_y, n_x)``, complex64 or
        float32.
    stack
        Which slices these are and where they lie.
    read_kept
        The voxels along the readout to which ``stack`` refers, while ``data`` still has the whole readout; None for all.
    kind, label
        As in ``domain.volume.Volume``.
    """

    key: tuple[int, ...]
    data: NDArray[Any]
    stack: Stack
    read_kept: slice | None = None
    kind: str = "complex"
    label: str = ""
    notes: Notes = ()
    said: str = ""

    @property
    def has_channels(self) -> bool:
        """True before the channels are combined."""
        return self.data.ndim == 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything on its way from readouts to images. A step takes one and gives the next.

    Attributes
    ----------
    raw
        The readouts as the steps so far left them, with all that the scan says of itself.
    field
        Map of the main field that was measured before, for the corrections that need one; None without.
    coils
        What the gradient coils do, as it was measured; None without.
    grids, pictures
        Empty until a step makes them.
    is_spent
        Nobody needs these data after the step that runs now: it may reuse the memory of grids and pictures, or give it back.
    notes, said
        What was done while there were only readouts, and what the step that runs now has to say about all of it.
    """

    raw: RawScan
    field: MeasuredField | None = None
    coils: CoilField | None = None
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    is_spent: bool = False
    notes: Notes = ()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParameters:
    """Of a step that leaves no choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A kind of step.

    Attributes
    ----------
    name, title, help
        As a pipeline file calls it; for people; what it does and when it does nothing.
    takes, gives
        What the data are before and after it.
    run
        Pure: gives the next ``Work`` and changes nothing of the one it got. Two exceptions say so: ``transform`` may reuse
        the memory of the grids that it takes, and ``output`` returns that of the pictures where the work is spent.
    parameters
        Frozen dataclass of declared parameters (``domain.parameters``).
    is_live
        It can also be done while lines are still missing, and is quick enough to be.
    is_required
        There is no image without it, unless a pipeline says otherwise.
    takes_lines
        It knows how to treat grids whose ``lines`` are not in place yet.
    """

    name: str
    title: str
    help: str
    takes: Stage
    gives: Stage
    run: Callable[[Work, Any], Work]
    parameters: type = NoParameters
    is_live: bool = True
    is_required: bool = False
    takes_lines: bool = False


def in_place(grid: Grid) -> Grid:
    """The grid with its samples where they belong."""
    if grid.lines is None:
        return grid
    data = empty_pages(grid.shape)
    # Every row is in range; "clip" only keeps numpy from making a copy of the whole first.
    np.take(grid.lines.samples, grid.lines.order.ravel(), axis=0, out=data.reshape(-1, data.shape[-1]), mode="clip")
    return dataclasses.replace(grid, data=data, lines=None)


def all_in_place(work: Work) -> Work:
    """The work with the samples of every grid where they belong."""
    return each_grid(work, in_place) if any(grid.lines is not None for grid in work.grids) else work


def each_grid(work: Work, change: Callable[[Grid], Grid]) -> Work:
    """The work with every grid changed alike."""
    return dataclasses.replace(work, grids=tuple(change(grid) for grid in work.grids))


def each_picture(work: Work, change: Callable[[Picture], Picture]) -> Work:
    """The work with every picture changed alike."""
    return dataclasses.replace(work, pictures=tuple(change(picture) for picture in work.pictures))


def without_oversampling(picture: Picture) -> Picture:
    """The picture with only the voxels to which its place refers."""
    if picture.read_kept is None:
        return picture
    return dataclasses.replace(picture, data=picture.data[..., picture.read_kept], read_kept=None)


def only(raw: RawScan, chosen: NDArray[np.bool_]) -> RawScan:
    """The scan with some of its readouts, in their order."""
    if chosen.all():
        return raw
    rows = np.flatnonzero(chosen)
    return dataclasses.replace(
        raw,
        samples=raw.samples[rows],
        labels={name: values[rows] for name, values in raw.labels.items()},
        time_s=raw.time_s[rows] if len(raw.time_s) == len(chosen) else raw.time_s,
        trajectory_per_m=None if raw.trajectory_per_m is None else raw.trajectory_per_m[rows],
        evolution_s=raw.evolution_s[rows] if len(raw.evolution_s) == len(chosen) else raw.evolution_s,
        square_moments_per_m2=raw.square_moments_per_m2[rows]
        if len(raw.square_moments_per_m2) == len(chosen)
        else raw.square_moments_per_m2,
    )
