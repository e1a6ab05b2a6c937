# SPDX-License-Identifier: MIT
"""The engines behind ``Nufft``: one shape of a class for each, and which of them is used. See docs/decisions/0008.

All compute, for positions k in cycles per voxel and voxels p counted from the middle ``n // 2``:
forward ``s_j = sum_p image[p] exp(+2 pi i k_j . p)``, adjoint ``image[p] = sum_j s_j exp(-2 pi i k_j . p)``.
"""

import importlib.util
from abc import ABC, abstractmethod
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft import window
from isocenter.recon.nufft.gridder import Complex, Gridder

ENGINES: Final = ("numba", "ducc0", "finufft", "exact")
"""In the order in which they are tried; ``exact`` only when asked for."""

_ACCURACY: Final = {"ducc0": 1e-6, "numba": window.TOLERANCE, "finufft": 5e-6, "exact": 0.0}  # what complex64 allows


class Engine(Protocol):
    """One set of samples and one grid. Not for two threads at once."""

    name: str

    def forward(self, image: Complex) -> Complex:
        """Samples of an image, shape ``(n,)``."""
        ...

    def adjoint(self, samples: Complex) -> Complex:
        """Image from samples."""
        ...

    def forward_many(self, images: Complex, samples: Complex) -> None:
        """Samples of each image, shape ``(many, n)``."""
        ...

    def adjoint_many(self, samples: Complex, images: Complex) -> None:
        """Images from each row of samples."""
        ...


class _OneByOne(ABC):
    """What an engine does that has no better way for many images."""

    @abstractmethod
    def forward(self, image: Complex) -> Complex:
        """See ``Engine``."""

    @abstractmethod
    def adjoint(self, samples: Complex) -> Complex:
        """See ``Engine``."""

    def forward_many(self, images: Complex, samples: Complex) -> None:
        """Samples of each image, shape ``(many, n)``."""
        for index, image in enumerate(images):
            samples[index] = self.forward(image)

    def adjoint_many(self, samples: Complex, images: Complex) -> None:
        """Images from each row of samples."""
        for index, row in enumerate(samples):
            images[index] = self.adjoint(row)


class Finufft(_OneByOne):
    """The library of the Flatiron Institute, in double precision.

    In single precision its adjoint adds up samples that lie in one place one by one: for 300 spokes in 3D, weighted by their
    density, it is off by 2e-3 of the image, for 12 000 by 1e-2 (measured; random samples do not show it). Double takes 1 to
    1.5 times as long. A grid 1.25 times as fine is asked for: the library's own choice is several times slower in 3D on one
    thread, since its transform of the finer grid is not planned well (reference performance.md 0).
    """

    name = "finufft"

    def __init__(self, cycles: NDArray[np.float64], shape: tuple[int, ...], tolerance: float, n_threads: int) -> None:
        import finufft

        angles = [np.ascontiguousarray(2 * np.pi * cycles[:, axis]) for axis in range(len(shape))]
        options = {"dtype": "complex128", "upsampfac": 1.25 if tolerance > 2e-5 else 2.0, "nthreads": n_threads}
        self._to_samples = finufft.Plan(2, shape, 1, tolerance, 1, **options)
        self._to_image = finufft.Plan(1, shape, 1, tolerance, -1, **options)
        self._to_samples.setpts(*angles)
        self._to_image.setpts(*angles)

    def forward(self, image: Complex) -> Complex:
        """Samples of an image."""
        return cast(Complex, self._to_samples.execute(image.astype(np.complex128)).astype(np.complex64))

    def adjoint(self, samples: Complex) -> Complex:
        """Image from samples."""
        return cast(Complex, self._to_image.execute(samples.astype(np.complex128)).astype(np.complex64))


class Ducc(_OneByOne):
    """The library ducc0 of the MPI for Astrophysics, when a user has installed it."""

    name = "ducc0"

    def __init__(self, cycles: NDArray[np.float64], shape: tuple[int, ...], tolerance: float, n_threads: int) -> None:
        import ducc0

        self._plan: Any = ducc0.nufft.plan(
            nu2u=True,
            coord=np.asarray(cycles, dtype=np.float32),
            grid_shape=shape,
            epsilon=tolerance,
            nthreads=n_threads,
            periodicity=1.0,
        )

    def forward(self, image: Complex) -> Complex:
        """Samples of an image."""
        return cast(Complex, self._plan.u2nu(grid=image, forward=False))

    def adjoint(self, samples: Complex) -> Complex:
        """Image from samples."""
        return cast(Complex, self._plan.nu2u(points=samples, forward=True))


class Exact(_OneByOne):
    """The sums as they stand, in double precision: slow, and what the others are measured against."""

    name = "exact"

    def __init__(self, cycles: NDArray[np.float64], shape: tuple[int, ...]) -> None:
        self._cycles, self._shape = cycles, shape

    def forward(self, image: Complex) -> Complex:
        """Samples of an image."""
        samples = np.empty(len(self._cycles), dtype=np.complex64)
        for part in self._parts():
            total = np.broadcast_to(image.astype(np.complex128), (1, *self._shape))
            for waves in self._waves(part):
                total = np.einsum("jp,jp...->j...", waves, np.broadcast_to(total, (len(waves), *total.shape[1:])))
            samples[part] = total
        return samples

    def adjoint(self, samples: Complex) -> Complex:
        """Image from samples."""
        image = np.zeros(self._shape, dtype=np.complex128)
        letters = "zyx"[-len(self._shape) :]
        for part in self._parts():
            formula = ",".join(["j", *(f"j{letter}" for letter in letters)]) + "->" + letters
            image += np.einsum(formula, samples[part], *(w.conj() for w in self._waves(part)), optimize=True)
        return image.astype(np.complex64)

    def _parts(self) -> list[slice]:
        size = max(1, 4_000_000 // int(np.prod(self._shape)))
        return [slice(begin, begin + size) for begin in range(0, len(self._cycles), size)]

    def _waves(self, part: slice) -> list[NDArray[np.complex128]]:
        return [
            np.exp(2j * np.pi * np.outer(self._cycles[part, axis], np.arange(n) - n // 2))
            for axis, n in enumerate(self._shape)
        ]


def choose(name: str, tolerance: float) -> str:
    """The engine to use.

    Raises
    ------
    ReconError
        It is not installed, or cannot be as accurate as that.
    """
    if name == "auto":
        for candidate in ENGINES[:-1]:
            if is_installed(candidate) and _ACCURACY[candidate] <= tolerance:
                return candidate
        raise ReconError(
            f"No installed engine for non-Cartesian data reaches an error of {tolerance:g}.",
            f"Ask for {window.TOLERANCE:g} or more, or install finufft (pip install finufft).",
        )
    if name not in ENGINES:
        raise ReconError(f"There is no NUFFT engine '{name}'.", f"Choose auto, {', '.join(ENGINES)}.")
    if not is_installed(name):
        raise ReconError(
            f"The NUFFT engine {name} is not installed.", f"Choose auto, or install it with `pip install {name}`."
        )
    if tolerance < _ACCURACY[name]:
        raise ReconError(
            f"The NUFFT engine {name} reaches an error of {_ACCURACY[name]:g}, not {tolerance:g}.",
            "Ask for less, or choose the engine exact.",
        )
    return name


def is_installed(name: str) -> bool:
    """Whether an engine can be used here; our own and the exact one always can."""
    return name in {"numba", "exact"} or importlib.util.find_spec(name) is not None


def build(name: str, cycles: NDArray[np.float64], shape: tuple[int, ...], tolerance: float, n_threads: int) -> Engine:
    """An engine by its name, ready to transform."""
    if name == "ducc0":
        return Ducc(cycles, shape, tolerance, n_threads)
    if name == "finufft":
        return Finufft(cycles, shape, tolerance, n_threads)
    if name == "exact":
        return Exact(cycles, shape)
    return Gridder(cycles, shape, n_threads)
