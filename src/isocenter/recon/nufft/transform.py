# SPDX-License-Identifier: MIT
"""The Fourier transform between an image and samples anywhere in k-space: one class, several engines behind it."""

import math
import threading
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft import window
from isocenter.recon.nufft.convolution import Convolution
from isocenter.recon.nufft.engines import Engine, build, choose
from isocenter.recon.nufft.gridder import Complex, Gridder, n_processors

_BAND: Final = 0.5 * (1 + 1e-4)  # a trajectory that ends on the edge may be rounded beyond it


class Nufft:
    """Forward and adjoint transform for one image grid and one set of positions in k-space.

    Forward makes samples of an image, ``s_j = sum_r image(r) exp(+2 pi i k_j . r)``, which is what a scanner measures
    (docs/conventions.md). Adjoint makes an image of samples, ``image(r) = sum_j s_j exp(-2 pi i k_j . r)``. Neither is
    scaled. Voxel p of an axis of n lies at ``r = (p - n // 2) voxel_m``.

    May be used by several threads; they wait for each other.

    Parameters
    ----------
    points_per_m
        Positions in k-space [1/m], shape ``(n_points, n_dim)``; column a belongs to array axis a, so the last one to the
        image's columns. ``n_dim`` is 2 or 3.
    shape
        Voxels along each axis.
    voxel_m
        Size of a voxel along each axis [m]; 1 means that positions are cycles per voxel.
    engine
        ``auto``, or a name from ``engines.ENGINES``.
    tolerance
        Relative error of a whole transform that is good enough.
    n_threads
        0 for one for each processor.

    Attributes
    ----------
    engine
        Name of the engine in use.

    Raises
    ------
    ReconError
        Positions that are not finite or lie outside what the voxels resolve, or an engine that cannot be used.
    """

    def __init__(
        self,
        points_per_m: NDArray[np.floating],
        shape: tuple[int, ...],
        voxel_m: tuple[float, ...],
        *,
        engine: str = "auto",
        tolerance: float = window.TOLERANCE,
        n_threads: int = 0,
    ) -> None:
        self.shape, self.voxel_m = tuple(int(n) for n in shape), tuple(float(size) for size in voxel_m)
        cycles = cycles_of(points_per_m, self.shape, self.voxel_m)
        self.n_points = len(cycles)
        self.engine = choose(engine, tolerance)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        if self.n_points:
            self._engine = build(self.engine, cycles, self.shape, tolerance, n_threads or n_processors())

    def forward(self, image: Complex) -> Complex:
        """Samples of images.

        Parameters
        ----------
        image
            complex64, shape ``(..., *shape)``.

        Returns
        -------
            complex64, shape ``(..., n_points)``.

        Raises
        ------
        ReconError
            A voxel is not finite.
        """
        many = _complex64(image, self.shape, "image")
        samples = np.empty((len(many), self.n_points), dtype=np.complex64)
        if self._engine is not None:
            with self._lock:
                self._engine.forward_many(many, samples)
        return samples.reshape(*image.shape[: image.ndim - len(self.shape)], self.n_points)

    def adjoint(self, samples: Complex) -> Complex:
        """Images of samples: shape ``(..., n_points)`` becomes ``(..., *shape)``, complex64.

        Raises
        ------
        ReconError
            A sample is not finite.
        """
        many = _complex64(samples, (self.n_points,), "sample")
        images = np.zeros((len(many), *self.shape), dtype=np.complex64)
        if self._engine is not None:
            with self._lock:
                self._engine.adjoint_many(many, images)
        return images.reshape(*samples.shape[:-1], *self.shape)


def cycles_of(points_per_m: NDArray[np.floating], shape: tuple[int, ...], voxel_m: tuple[float, ...]) -> NDArray[np.float64]:
    """Positions in cycles per voxel, checked.

    Raises
    ------
    ReconError
        A position is not finite, or is beyond what the voxels resolve.
    """
    if len(shape) not in {2, 3} or min(shape) < 1:
        raise ValueError(f"an image has 2 or 3 axes of at least one voxel, not {shape}")
    if points_per_m.ndim != 2 or points_per_m.shape[1] != len(shape) or len(voxel_m) != len(shape):
        raise ValueError(f"positions {points_per_m.shape} and voxels {voxel_m} do not fit an image of shape {shape}")
    from isocenter.recon.nufft.kernels import scale

    points = np.ascontiguousarray(points_per_m, dtype=np.float64)
    cycles, largest = scale(points, np.asarray(voxel_m, dtype=np.float64))
    if not np.isfinite(largest).all():
        wrong = int(np.flatnonzero(~is_finite(cycles))[0])
        raise ReconError(
            f"Sample {wrong} has no finite place in k-space.", "The trajectory is damaged: compile the sequence again."
        )
    if np.any(largest > _BAND):
        axis = int(np.argmax(largest))
        smallest_mm = 1e3 * voxel_m[axis] * 0.5 / largest[axis]
        raise ReconError(
            f"K-space reaches {largest[axis] / voxel_m[axis]:.4g} per m, beyond what voxels of {1e3 * voxel_m[axis]:.3g} mm "
            "resolve.",
            f"Choose voxels of at most {smallest_mm:.3g} mm (a larger matrix), or leave the outer samples out.",
        )
    return cast(NDArray[np.float64], cycles)


def is_finite(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points of shape ``(..., n_dim)`` are finite in every direction."""
    total = points[..., 0].astype(np.float64)
    for axis in range(1, points.shape[-1]):  # column by column: numpy is slow along short axes
        total += points[..., axis]
    return np.asarray(np.isfinite(total))


def spreading(cycles: NDArray[np.float64], shape: tuple[int, ...], n_threads: int = 0) -> Gridder:
    """Our own engine itself, for what needs its grid and not its transform."""
    return Gridder(cycles, shape, n_threads or n_processors())


def warm_up() -> None:
    """Compile what our engine needs, so that nobody waits for it later. Some seconds on a new machine, then nothing."""
    for n_dim in (2, 3):
        few = Nufft(np.zeros((1, n_dim)), (2,) * n_dim, (1.0,) * n_dim, engine="numba", n_threads=1)
        image = np.ones((1, *(2,) * n_dim), dtype=np.complex64)
        few.adjoint(few.forward(image[0]))
        convolve = Convolution(np.ones((*(2,) * (n_dim - 1), *(2,) * n_dim), dtype=np.complex64), 1)
        convolve(image), convolve.combined(image[0], image)


def _complex64(array: Complex, shape: tuple[int, ...], what: str) -> Complex:
    """Contiguous complex64 with one leading axis; refused when the shape is wrong or a value is not finite."""
    lead = array.shape[: max(array.ndim - len(shape), 0)]
    if array.shape != (*lead, *shape):
        raise ValueError(f"expected {what}s of shape (..., {', '.join(map(str, shape))}), not {array.shape}")
    many = np.ascontiguousarray(array, dtype=np.complex64).reshape(math.prod(lead), *shape)
    # A sum that is finite has only finite parts, and costs one pass.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(many.sum())
    if suspect and not (finite := np.isfinite(many)).all():
        raise ReconError(
            f"{int(np.count_nonzero(~finite))} {what}s are not finite numbers.",
            "The data are damaged; reconstruct from the raw file again, or leave the damaged readouts out.",
        )
    return many
