# SPDX-License-Identifier: MIT
"""Images from samples anywhere in k-space: gridding, least squares for each channel, or for all channels at once."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft.coils import estimate_coils
from isocenter.recon.nufft.encoder import Encoder, combined
from isocenter.recon.nufft.gridder import Complex
from isocenter.recon.nufft.offresonance import FieldSplit, split_field
from isocenter.recon.nufft.solve import Solution, conjugate_gradients
from isocenter.recon.nufft.transform import Nufft


class Method(StrEnum):
    """How an image is made."""

    GRIDDING = "gridding"
    CG = "cg"
    CG_SENSE = "cg-sense"


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseOptions:
    """Choices for ``invert``.

    Attributes
    ----------
    method
        ``gridding``: the weighted adjoint, a preview. ``cg``: least squares, channels by themselves, then combined. ``cg-
        sense``: least squares for one image that all channels see, which also makes up for directions that were not
        measured.
    n_iterations
        Most steps of the least squares.
    tolerance
        It ends when the residual of the normal equations is below this part of the first one.
    damping
        Weight of the image's own energy; 1 is as much as the data's. Less noise, smoother, darker.
    weighting
        Power to which least squares raise the weights: 1 converges in few steps; 0 counts all samples alike, which is best
        for noise but takes many.
    engine
        Of the transform, see ``engines.ENGINES``.
    """

    method: Method = Method.CG
    n_iterations: int = 10
    tolerance: float = 1e-3
    damping: float = 0.0
    weighting: float = 1.0
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.n_iterations < 1 or not 0 <= self.tolerance < 1 or not 0 <= self.damping <= 10:
            raise ReconError(
                f"No least squares with {self.n_iterations} steps, tolerance {self.tolerance:g}, damping {self.damping:g}.",
                "Choose 1 step or more, a tolerance from 0 to below 1, and a damping from 0 to 10.",
            )
        if not 0 <= self.weighting <= 1:
            raise ReconError(f"A weighting of {self.weighting:g} is not possible.", "Choose one from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples of one image.

    Attributes
    ----------
    values
        complex64, shape ``(n_channels, n_points)``.
    points_per_m
        Positions in k-space [1/m], float64, shape ``(n_points, n_dim)``, columns in the order of the image's axes.
    weights
        Density compensation, real, shape ``(n_points,)``, see ``density``; also the weights of the least squares.
    time_s
        How long spins have turned freely at each sample [s], shape ``(n_points,)``; None when unknown.
    """

    values: Complex
    points_per_m: NDArray[np.float64]
    weights: NDArray[np.floating]
    time_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Voxels of an image; the middle of the field of view is voxel ``n // 2``.

    Attributes
    ----------
    shape
        Voxels along each axis.
    voxel_m
        Their size [m].
    """

    shape: tuple[int, ...]
    voxel_m: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """An image and how it came about.

    Attributes
    ----------
    image
        complex64, shape of the grid.
    residuals
        Of the normal equations, before the first step and after each, relative; empty for gridding.
    is_converged
        Whether the last one is below the tolerance; True for gridding.
    rank
        Transforms that stand for the uneven field; 1 without one.
    engine
        The engine of the transform.
    """

    image: Complex
    residuals: tuple[float, ...]
    is_converged: bool
    rank: int
    engine: str


def invert(
    samples: Samples,
    grid: Grid,
    *,
    options: InverseOptions | None = None,
    b0_hz: NDArray[np.floating] | None = None,
    coils: Complex | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Inverted:
    """One image from the samples of all channels.

    Parameters
    ----------
    samples, grid
        What was measured, and what is wanted.
    options
        Method and so on; None for least squares in ten steps.
    b0_hz
        Frequency of each voxel relative to the receiver [Hz], shape of the image; None for an even field.
    coils
        Sensitivities, complex64, shape ``(n_channels, *shape)``; None estimates them from the samples.
    is_cancelled
        Asked before each step; True ends the iteration.

    Raises
    ------
    ReconError
        Data that cannot be: see ``Nufft``, ``split_field``.
    """
    options = options or InverseOptions()
    transform = Nufft(samples.points_per_m, grid.shape, grid.voxel_m, engine=options.engine)
    field = _split(b0_hz, samples.time_s, grid.shape) if b0_hz is not None else None
    if coils is None:
        coils = estimate_coils(transform, samples.values, samples.weights, samples.points_per_m)
    joint = coils if options.method is Method.CG_SENSE and len(samples.values) > 1 else None
    encoder = Encoder(transform, coils=joint, field=field)
    weights = samples.weights
    if options.method is not Method.GRIDDING and options.weighting != 1:
        weights = np.where(weights > 0, np.maximum(weights, 0) ** options.weighting, 0)
        weights = weights * (samples.weights.sum() / max(weights.sum(), np.finfo(np.float64).tiny))
    right = encoder.adjoint(np.asarray(weights, dtype=np.float32) * samples.values)
    solution = Solution(image=right, residuals=(), is_converged=True)
    if options.method is not Method.GRIDDING:
        solution = conjugate_gradients(
            encoder.normal(weights, samples.points_per_m),
            right,
            n_iterations=options.n_iterations,
            tolerance=options.tolerance,
            damping=options.damping,
            is_cancelled=is_cancelled,
        )
    image = solution.image
    if joint is None:
        image = image[0] if len(image) == 1 else combined(coils, image)
    return Inverted(
        image=np.asarray(image, dtype=np.complex64),
        residuals=solution.residuals,
        is_converged=solution.is_converged,
        rank=field.rank if field is not None else 1,
        engine=transform.engine,
    )


def _split(b0_hz: NDArray[np.floating], time_s: NDArray[np.float64] | None, shape: tuple[int, ...]) -> FieldSplit:
    if time_s is None:
        raise ReconError(
            "The map of the field is of no use here, since the times of the samples are not known.",
            "Reconstruct without it, or from the raw file of the scan itself.",
        )
    if b0_hz.shape != shape:
        raise ReconError(
            f"The map of the field has {_times(b0_hz.shape)} voxels, the image {_times(shape)}.",
            "Resample the map on the image's grid, or reconstruct without it.",
        )
    return split_field(b0_hz, time_s)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
