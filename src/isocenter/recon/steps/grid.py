# SPDX-License-Identifier: MIT
"""Steps on k-space that need no guess: windows, shutter, sizes, and the transform to images."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, integer, number, switch
from isocenter.recon.fourier import Complex, lines_to_images, to_image, to_images
from isocenter.recon.options import MAX_MATRIX
from isocenter.recon.plan import (
    PlanAxis,
    Stack,
    cut_axis,
    encoded_axes,
    readout_oversampling,
    sized_axis,
    stacks_of,
)
from isocenter.recon.steps.base import Grid, Picture, Stage, Step, Work, each_grid, in_place
from isocenter.recon.windows import DEFAULT_WIDTH, Filter, window


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterWindow:
    """Which window over k-space."""

    kind: str = choice(
        "none", "Window", choices=tuple(Filter), help="Hann, Tukey, Fermi or Gauss: less ringing and noise for some blur."
    )
    fraction: float = number(
        0.0,
        "Width",
        unit="%",
        low=0.0,
        high=1.0,
        help="Of half an axis. Hann: where it reaches zero; Tukey: the part that falls off; Fermi: width of the fall-off; "
        "Gauss: where it has fallen to a half. 0: the usual one (100, 50, 5 and 60 %).",
    )
    along_read: bool = switch(True, "Along read", help="Also along the readout.")


def filter_kspace(work: Work, p: FilterWindow) -> Work:
    """A window over every encoded axis."""
    kind = Filter(p.kind)
    if kind is Filter.NONE:
        return dataclasses.replace(work, said="none")
    width = p.fraction or DEFAULT_WIDTH[kind]

    def weights(axis: PlanAxis, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return window(kind, axis.n_samples, axis.centre, half_width(axis), width).reshape(shape)

    def change(grid: Grid) -> Grid:
        data = in_place(grid).data * weights(grid.lin, (1, 1, 1, -1, 1))
        if grid.is_3d:
            data *= weights(grid.par, (1, 1, -1, 1, 1))
        if p.along_read:
            data *= weights(grid.read, (1, 1, 1, 1, -1))
        return dataclasses.replace(grid, data=data, lines=None)

    return each_grid(work, change)


def half_width(axis: PlanAxis) -> float:
    """From the centre to the edge of k-space, in samples."""
    return max(axis.centre, axis.n_samples - 1 - axis.centre) if axis.n_full > axis.n_samples else axis.n_full / 2


def shutter(work: Work, _: object) -> Work:
    """Nothing outside the ellipse (ellipsoid in 3D) that the axes of k-space span: one resolution in all directions."""

    def change(grid: Grid) -> Grid:
        reach = [
            ((np.arange(axis.n_samples) - axis.centre) / half_width(axis)) ** 2 for axis in (grid.par, grid.lin, grid.read)
        ]
        if not grid.is_3d:
            reach[0] = np.zeros(1)
        inside = reach[0][:, None, None] + reach[1][:, None] + reach[2] <= 1 + 1e-9
        said = f"{100 * inside.mean():.0f} % of k-space kept"
        return dataclasses.replace(grid, data=grid.data * inside.astype(np.float32), said=said)

    return each_grid(work, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroFill:
    """How many voxels."""

    factor: float = number(
        1.0,
        "Factor",
        unit="",
        low=1.0,
        high=16.0,
        help="Voxels per encoded one along each axis; does nothing where n is given.",
    )
    n_read: int = integer(0, "Voxels, read", low=0, high=MAX_MATRIX, help="After oversampling is cut off; 0: by the factor.")
    n_phase: int = integer(0, "Voxels, phase", low=0, high=MAX_MATRIX, help="0: by the factor.")
    n_slab: int = integer(0, "Voxels, slab", low=0, high=MAX_MATRIX, help="0: by the factor; nothing to selected slices.")


def zero_fill(work: Work, p: ZeroFill) -> Work:
    """Sizes of the images; the zeros themselves are added by the transform, where they cost least."""

    def change(grid: Grid) -> Grid:
        factor = p.factor if p.factor > 1 else None
        read, lin = sized_axis(grid.read, p.n_read, factor), sized_axis(grid.lin, p.n_phase, factor)
        par = sized_axis(grid.par, p.n_slab, factor) if grid.is_3d else grid.par
        return dataclasses.replace(grid, read=read, lin=lin, par=par)

    return each_grid(work, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversampling:
    """How much more than the wanted field of view was read out."""

    factor: float = number(
        0.0, "Factor", unit="", low=0.0, high=64.0, help="Samples per wanted voxel; 0: as the sequence's definitions say."
    )


def oversampling(work: Work, p: Oversampling) -> Work:
    """Which columns the transform will leave out, because only oversampling made them."""
    encoding, _ = encoded_axes(work.raw.encoding)
    if 0 < p.factor < 1:
        raise ReconError(f"A readout oversampling of {p.factor:g} is not possible.", "Give 1 or more, or 0.")
    factor = p.factor or readout_oversampling(encoding, work.raw.definitions)

    def change(grid: Grid) -> Grid:
        read = cut_axis(grid.read, factor)
        said = f"factor {factor:g}, {read.n_kept} of {read.n_image} columns kept" if factor > 1 else "nothing to cut off"
        return dataclasses.replace(grid, read=read, said=said)

    return each_grid(work, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """What the transform leaves."""

    keeps_readout: bool = switch(
        False,
        "Keep the whole readout",
        help="Leave the columns of the oversampling until the end, for corrections that move things along the readout.",
    )


def transform(work: Work, p: Transform) -> Work:
    """Images of every grid. Takes the grids' memory: they are void afterwards."""
    pictures: list[Picture] = []
    encoding, _axes = encoded_axes(work.raw.encoding)
    for grid in work.grids:
        stacks = stacks_of(encoding, work.raw.placement, work.raw.definitions, (grid.read, grid.lin, grid.par))
        sizes = " x ".join(str(axis.n_image) for axis in (grid.read, grid.lin, grid.par))
        centres = ", ".join(f"{axis.centre:g}" for axis in (grid.read, grid.lin, grid.par))
        said = f"forward FFT to {sizes}, k-space centre at {centres}"
        image, kept = _image_of(grid, keeps_readout=p.keeps_readout)
        for stack in stacks:
            data = image[stack.slices[0]] if grid.is_3d else _slices(image, stack)
            pictures.append(Picture(key=grid.key, data=data, stack=stack, read_kept=kept, notes=grid.notes, said=said))
    return dataclasses.replace(work, grids=(), pictures=tuple(pictures))


def _image_of(grid: Grid, *, keeps_readout: bool) -> tuple[Complex, slice | None]:
    """All axes of a grid transformed, shape ``(n_slices, n_channels, n_z, n_y, n_x)``, and what is left to cut off it."""
    read, lin, par = grid.read, grid.lin, grid.par
    axes = [(3, lin.n_image, lin.centre)]
    if grid.is_3d:
        axes.append((2, par.n_image, par.centre))
    if read.n_kept == read.n_image == read.n_samples and grid.lines is None:
        return to_images(grid.data, [(4, read.n_image, read.centre), *axes], overwrite=True), None
    kept = None if keeps_readout else read.kept
    if grid.lines is not None:
        lines, order = grid.lines.samples, grid.lines.order
        done = lines_to_images(lines, order, axes, size=read.n_image, centre=read.centre, kept=kept)
        if done is None:
            return _image_of(in_place(grid), keeps_readout=keeps_readout)
    else:
        image = to_image(grid.data, 4, size=read.n_image, centre=read.centre, kept=kept)
        done = to_images(image, axes, overwrite=True)
    return done, read.kept if keeps_readout else None


def _slices(image: Complex, stack: Stack) -> Complex:
    """Slices of a stack as ``(n_channels, n_z, n_y, n_x)``."""
    return image[list(stack.slices), :, 0].swapaxes(0, 1)


STEPS: Final = (
    Step(
        name="shutter",
        title="Elliptical shutter",
        help="Leaves out the corners of k-space, so that resolution is the same in all directions.",
        takes=Stage.GRID,
        gives=Stage.GRID,
        run=shutter,
    ),
    Step(
        name="filter",
        title="Filter",
        help="A window over k-space along every encoded axis.",
        takes=Stage.GRID,
        gives=Stage.GRID,
        run=filter_kspace,
        parameters=FilterWindow,
        takes_lines=True,
    ),
    Step(
        name="oversampling",
        title="Oversampling",
        help="Cuts off the columns that only the oversampling of the readout made.",
        takes=Stage.GRID,
        gives=Stage.GRID,
        run=oversampling,
        parameters=Oversampling,
        is_required=True,
        takes_lines=True,
    ),
    Step(
        name="zero_fill",
        title="Zero-filling",
        help="More voxels over the same field of view; no more detail.",
        takes=Stage.GRID,
        gives=Stage.GRID,
        run=zero_fill,
        parameters=ZeroFill,
        is_required=True,
        takes_lines=True,
    ),
    Step(
        name="transform",
        title="Fourier transform",
        help="From k-space to images, in single precision. Takes the place of k-space in memory.",
        takes=Stage.GRID,
        gives=Stage.IMAGE,
        run=transform,
        parameters=Transform,
        is_required=True,
        takes_lines=True,
    ),
)
