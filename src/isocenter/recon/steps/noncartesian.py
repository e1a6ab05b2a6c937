# SPDX-License-Identifier: MIT
"""Step from readouts along any trajectory to images."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import lps_from_device
from isocenter.domain.parameters import choice, integer, number
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.display import Display
from isocenter.recon.options import MAX_MATRIX
from isocenter.recon.plan import Stack
from isocenter.recon.steps.base import Picture, Stage, Step, Work
from isocenter.recon.steps.concomitant import require_squares

_AIR: Final = 0.05  # of the brightest voxel: what phases darker ones have does not matter
_MOST_TERMS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Nufft:
    """How an image is made of samples that lie on no grid."""

    method: str = choice(
        "cg",
        "Method",
        choices=("gridding", "cg", "cg-sense"),
        help="gridding: weighted adjoint, a quick preview; cg: least squares; cg-sense: least squares of one image that all "
        "channels see, for scans with directions left out.",
    )
    n_rounds: int = integer(10, "Steps", low=1, high=200, help="Most steps of the least squares.")
    fraction: float = number(
        0.001, "Tolerance", unit="%", low=0.0, high=0.5, help="The least squares end at this part of the first residual."
    )
    factor: float = number(
        0.0, "Damping", unit="", low=0.0, high=10.0, help="Weight of the image's own energy: less noise, smoother."
    )
    density: str = choice(
        "auto",
        "Density",
        choices=("auto", "spokes", "iterated"),
        help="Weights of samples: from the geometry of spokes, from the positions alone, or the first where it can be.",
    )
    n_matrix: int = integer(0, "Matrix", low=0, high=MAX_MATRIX, help="Voxels along every axis; 0: as the sequence says.")
    engine: str = choice(
        "auto", "Engine", choices=("auto", "finufft", "ducc0", "numba"), help="Of the transform; auto: the fastest here."
    )
    field_axis: str = choice(
        "none",
        "B0 along",
        choices=("none", "x", "y", "z"),
        help="Device axis of the main field (x across the bore of a Halbach magnet): undo the concomitant fields of the "
        "gradients, which takes as many reconstructions as the phases need terms.",
    )


def nufft(work: Work, p: Nufft) -> Work:
    """Images of readouts along any trajectory."""
    from isocenter.recon.nufft.gather import Density
    from isocenter.recon.nufft.inverse import InverseOptions, Method
    from isocenter.recon.nufft.layout import lay_out
    from isocenter.recon.nufft.noncartesian import NonCartesianOptions, reconstruct_noncartesian

    inverse = InverseOptions(
        method=Method(p.method), n_iterations=p.n_rounds, tolerance=p.fraction, damping=p.factor, engine=p.engine
    )
    matrix = (p.n_matrix,) * lay_out(work.raw).n_dim if p.n_matrix else None
    options = NonCartesianOptions(inverse=inverse, matrix=matrix, density=Density(p.density))
    b0_hz = _field_on_voxels(work, matrix)

    def volumes_of(raw: RawScan) -> tuple[Volume, ...]:
        return tuple(image.volume for image in reconstruct_noncartesian(raw, options=options, b0_hz=b0_hz))

    if p.field_axis == "none":
        volumes, note = volumes_of(work.raw), ""
    else:
        volumes, note = _without_concomitant(work.raw, volumes_of, "xyz".index(p.field_axis))
    pictures = []
    for index, volume in enumerate(volumes):
        said = "; ".join([*(f"{name}: {text}" for name, text in volume.provenance), *filter(None, [note])])
        pictures.append(_picture(volume, index, work, said))
    return dataclasses.replace(work, pictures=tuple(pictures))


def _without_concomitant(
    raw: RawScan, volumes_of: Callable[[RawScan], tuple[Volume, ...]], axis: int
) -> tuple[tuple[Volume, ...], str]:
    """Volumes without what concomitant fields did: conjugate phase, as many reconstructions as the phases have terms."""
    from isocenter.recon.correct.concomitant import maxwell_functions_m2, moments_along, separate, squares_of_steps

    require_squares(raw)
    if raw.trajectory_per_m is None:
        raise ReconError("The scan has no trajectory.", "Leave field_axis of 'nufft' away.")
    found = volumes_of(raw)
    steps = np.diff(raw.trajectory_per_m.astype(np.float64), axis=1, prepend=raw.trajectory_per_m[:, :1])
    passed = np.cumsum(np.nan_to_num(squares_of_steps(steps, raw.dwell_s, raw.lo_hz)), axis=1)
    squares = raw.square_moments_per_m2[:, np.newaxis].astype(np.float64) + passed
    moments = moments_along(squares, axis).reshape(-1, 4)
    moments -= moments.mean(axis=0)  # what all samples share stays a phase of the image
    geometry, shape = found[0].geometry, found[0].data.shape
    if any(volume.data.shape != shape for volume in found):
        raise ReconError("The volumes of this scan differ in size.", "Leave field_axis of 'nufft' away.")
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij"), axis=-1)
    functions = maxwell_functions_m2(geometry.lps_m(index) @ lps_from_device(geometry.position), axis)
    flat, bright = functions.reshape(len(functions), -1), np.abs(found[0].data).ravel()
    matters = bright > _AIR * bright.max()
    terms = separate(moments, flat, tolerance=3e-3, largest_rank=_MOST_TERMS, matters=matters)
    most = float(np.abs(moments).max(axis=0) @ np.abs(flat[:, matters]).max(axis=1, initial=0.0))
    sums = [np.zeros(shape, dtype=np.complex64) for _ in found]
    for rows, places in zip(terms.rows.T, terms.places, strict=True):
        factor = rows.conj().reshape(len(raw.samples), 1, -1) * np.float32(np.sqrt(len(rows)))
        part = volumes_of(dataclasses.replace(raw, samples=raw.samples * factor))
        weight = places.conj().reshape(shape) / np.float32(np.sqrt(len(rows)))
        for into, volume in zip(sums, part, strict=True):
            np.add(into, weight * volume.data, out=into)
    done = tuple(dataclasses.replace(volume, data=sum_) for volume, sum_ in zip(found, sums, strict=True))
    return done, f"concomitant phases up to {most:.2f} turns undone in {len(terms.places)} terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """By how much each gradient was later than the sequence says, beyond what the hardware file knows."""

    x_delay_s: float = number(0.0, "Delay of x", unit="us", low=-1e-3, high=1e-3, help="Along device axis x.")
    y_delay_s: float = number(0.0, "Delay of y", unit="us", low=-1e-3, high=1e-3, help="Along device axis y.")
    z_delay_s: float = number(0.0, "Delay of z", unit="us", low=-1e-3, high=1e-3, help="Along device axis z.")


def delays(work: Work, p: Delays) -> Work:
    """Samples where they really lie in k-space."""
    from isocenter.recon.correct.delays import delay_trajectory

    raw = work.raw
    if raw.trajectory_per_m is None:
        raise ReconError("The scan has no trajectory that delays could bend.", "Use delay_s of 'receive' instead.")
    late_s = (p.x_delay_s, p.y_delay_s, p.z_delay_s)
    if not any(late_s):
        return dataclasses.replace(work, said="the gradients are said to be in time")
    moved = delay_trajectory(raw.trajectory_per_m, late_s, raw.dwell_s, np.eye(3))
    return dataclasses.replace(work, raw=dataclasses.replace(raw, trajectory_per_m=moved))


def _field_on_voxels(work: Work, matrix: tuple[int, ...] | None) -> NDArray[np.float64] | None:
    """The main field on the voxels of the volume that will be made, in display order; None without a map."""
    from isocenter.recon.nufft.layout import lay_out, stacks

    if work.field is None:
        return None
    layout = lay_out(work.raw, matrix=matrix)
    found = stacks(work.raw, layout)
    if len(found) > 1:
        raise ReconError("The slices are no one volume on which the map of the field could lie.", "Leave the map out.")
    shape = layout.grid.shape if layout.n_dim == 3 else (len(found[0].slices), *layout.grid.shape)
    shown = (shape[0], shape[2], shape[1]) if found[0].display.transpose else shape
    geometry = found[0].display.geometry
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shown), indexing="ij"), axis=-1)
    return work.field.frequency_hz(geometry.lps_m(index) @ lps_from_device(geometry.position))


def _picture(volume: Volume, index: int, work: Work, said: str) -> Picture:
    """A volume that is in display order already."""
    display = Display(transpose=False, flip=(False, False, False), geometry=volume.geometry)
    stack = Stack(slices=tuple(range(len(volume.data))), display=display)
    return Picture(key=(index,), data=volume.data, stack=stack, notes=work.notes, said=said)


STEPS: Final = (
    Step(
        name="delays",
        title="Gradient delays",
        help="Puts the samples of radial and spiral scans where late gradients left them in k-space.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=delays,
        parameters=Delays,
        is_live=False,
    ),
    Step(
        name="nufft",
        title="Non-uniform Fourier transform",
        help="Images of radial, spiral and PETRA scans, from the place of every sample in k-space.",
        takes=Stage.READOUTS,
        gives=Stage.IMAGE,
        run=nufft,
        parameters=Nufft,
        is_live=False,
        is_required=True,
    ),
)
