# SPDX-License-Identifier: MIT
"""Images of radial, spiral and PETRA scans: from raw data to volumes that lie in the right place."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.display import Display
from isocenter.recon.nufft.gather import Density, gather, is_imaging, is_petra
from isocenter.recon.nufft.inverse import InverseOptions, Inverted, Method, invert
from isocenter.recon.nufft.layout import Layout, Stack, lay_out, stacks


@dataclass(frozen=True, slots=True, kw_only=True)
class NonCartesianOptions:
    """Choices for ``reconstruct_noncartesian``.

    Attributes
    ----------
    inverse
        Method, steps, damping, engine.
    matrix, fov_m
        Voxels and field of view [m] along read, phase (and second phase); None takes what the sequence says.
    density
        Weights from the geometry of spokes, iterated from the positions alone, or the first where the readouts are spokes.
    """

    inverse: InverseOptions = field(default_factory=InverseOptions)
    matrix: tuple[int, ...] | None = None
    fov_m: tuple[float, ...] | None = None
    density: Density = Density.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class NonCartesianImage:
    """One volume and how it came about.

    Attributes
    ----------
    volume
        complex64, display order, with its provenance.
    slices
        The inversion of each slice in the order in which they were made; one for a 3D scan.
    n_left_out
        Samples beyond what the voxels resolve, which were not used.
    """

    volume: Volume
    slices: tuple[Inverted, ...]
    n_left_out: int


def reconstruct_noncartesian(
    raw: RawScan,
    *,
    options: NonCartesianOptions | None = None,
    b0_hz: NDArray[np.floating] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> tuple[NonCartesianImage, ...]:
    """Volumes of a scan with a trajectory, complete or cut short.

    Each combination of ECO, PHS and REP (and SET, but in a PETRA scan) is a volume, each SLC a slice. Averages need not be
    told apart. Readouts for noise, navigation or calibration, and sensor channels, are left out. In a PETRA scan
    (definition Trajectory) SET 1 are single points of which the first sample counts.

    Parameters
    ----------
    raw
        With ``trajectory_per_m``.
    options
        None for least squares in ten steps on the voxels that the sequence asked for.
    b0_hz
        Frequency of each voxel relative to the receiver [Hz], on the voxels and in the order of the volume that is made.
    is_cancelled
        Asked between steps; True ends the work with what there is.

    Raises
    ------
    ReconError
        There is no trajectory or no readout, sizes are not known, or the data are damaged.
    """
    options = options or NonCartesianOptions()
    layout = lay_out(raw, matrix=options.matrix, fov_m=options.fov_m)
    keep = is_imaging(raw)
    if not keep.any():
        raise ReconError(
            f"Not one imaging readout of '{raw.name or 'this scan'}' was measured.",
            "Run the scan again; there is nothing to show.",
        )
    names = ("ECO", "PHS", "REP") if is_petra(raw) else ("ECO", "SET", "PHS", "REP")
    keys = np.stack([raw.label(name) for name in names], axis=1)
    found = []
    for key in np.unique(keys[keep], axis=0):
        chosen = keep & (keys == key).all(axis=1)
        labels = ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True) if value)
        for stack in stacks(raw, layout):
            fields = _fields(b0_hz, stack, layout)
            inverted, n_left_out = [], 0
            for number, field_hz in zip(stack.slices, fields, strict=True):
                rows = chosen & (raw.label("SLC") == number) if layout.n_dim == 2 else chosen
                samples, left_out = gather(raw, rows, layout, options.density)
                n_left_out += left_out
                inverted.append(
                    invert(samples, layout.grid, options=options.inverse, b0_hz=field_hz, is_cancelled=is_cancelled)
                )
            found.append(_finish(inverted, stack, layout, options, (labels, n_left_out)))
    return tuple(found)


def _fields(b0_hz: NDArray[np.floating] | None, stack: Stack, layout: Layout) -> list[NDArray[np.floating] | None]:
    """The map of each slice in encoding order."""
    if b0_hz is None:
        return [None] * len(stack.slices)
    shape = layout.grid.shape if layout.n_dim == 3 else (len(stack.slices), *layout.grid.shape)
    shown = (shape[0], shape[2], shape[1]) if stack.display.transpose else shape
    if b0_hz.shape != shown:
        raise ReconError(
            f"The map of the field has {' x '.join(map(str, b0_hz.shape))} voxels, the image {' x '.join(map(str, shown))}.",
            "Resample the map on the image's voxels, or reconstruct without it.",
        )
    ordered = undo(stack.display, b0_hz)
    return [ordered] if layout.n_dim == 3 else list(ordered)


def undo(display: Display, array: NDArray[Any]) -> NDArray[Any]:
    """From display order back to encoding order, the reverse of ``Display.apply``."""
    slices, rows, columns = (slice(None, None, -1 if flip else 1) for flip in display.flip)
    array = array[..., slices, rows, columns]
    return np.ascontiguousarray(array.swapaxes(-1, -2) if display.transpose else array)


def _finish(
    inverted: list[Inverted], stack: Stack, layout: Layout, options: NonCartesianOptions, about: tuple[str, int]
) -> NonCartesianImage:
    data = np.stack([one.image for one in inverted]).reshape(-1, *layout.grid.shape[-2:])
    volume = Volume(
        data=stack.display.apply(data),
        geometry=stack.display.geometry,
        provenance=_provenance(inverted, layout, options, about),
    )
    return NonCartesianImage(volume=volume, slices=tuple(inverted), n_left_out=about[1])


def _provenance(
    inverted: list[Inverted], layout: Layout, options: NonCartesianOptions, about: tuple[str, int]
) -> tuple[tuple[str, str], ...]:
    labels, n_left_out = about
    solver, first = options.inverse, inverted[0]
    how = "weighted adjoint"
    if solver.method is not Method.GRIDDING:
        worst = max(one.residuals[-1] for one in inverted)
        steps = max(len(one.residuals) - 1 for one in inverted)
        how = f"least squares ({solver.method}), {steps} steps, residual {worst:.1e}, damping {solver.damping:g}"
    sizes = " x ".join(str(n) for n in layout.grid.shape[::-1])
    steps_done = [
        ("sort", labels),
        ("density", str(options.density)),
        ("left out", f"{n_left_out} samples beyond what the voxels resolve" if n_left_out else ""),
        ("transform", f"NUFFT ({first.engine}) to {sizes}"),
        ("image", how),
        ("off-resonance", f"field map, {max(one.rank for one in inverted)} terms" if first.rank > 1 else ""),
    ]
    return tuple((name, text) for name, text in steps_done if text)
