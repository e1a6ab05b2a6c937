# SPDX-License-Identifier: MIT
"""Images with less noise. Always a second series beside the original, never instead of it.

Block matching in three dimensions and collaborative filtering, in two stages: a first estimate by thresholding, then a
Wiener filter with the first estimate's spectrum. Complex images are filtered as two real ones; magnitudes are first brought
to a scale on which their noise is even and Gaussian.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.figure import Figure
from isocenter.recon.correct.noise import background_sigma, difference_sigma
from isocenter.recon.correct.rician import RicianScale

Floats: TypeAlias = NDArray[np.float32]
Complex: TypeAlias = NDArray[np.complex64]

LABEL: Final = "denoised"
_THREADS: Final = 2
_THRESHOLD: Final = 2.8
_STEP: Final = 3
_REACH: Final = 5
_LIMIT_FIRST: Final = 2.0 + 2.9
"""Mean squared difference of blocks that may be alike, first stage: twice the noise, and something for the object."""
_LIMIT_FINAL: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised:
    """A second image.

    Attributes
    ----------
    image
        With less noise, of shape and type of the original.
    label
        What the series must be called beside the original's name.
    noise
        Standard deviation that was taken for noise, in the units of the image.
    figure
        Spread of the finest details along rows of the middle slice, before and after.
    """

    image: NDArray[np.float32] | NDArray[np.complex64]
    label: str
    noise: float
    figure: Figure


def denoise(image: NDArray[np.float32] | NDArray[np.complex64], *, sigma: float = 0.0, strength: float = 1.0) -> Denoised:
    """A less noisy version of an image.

    Parameters
    ----------
    image
        Magnitude (float32) or complex64, shape ``(n_slices, n_rows, n_cols)``. Complex is better: its noise is even.
    sigma
        Standard deviation of the noise in real and imaginary part, alike everywhere; 0: told from the air around the object.
    strength
        Of the filter; 1 takes the noise for what it is, less is more careful.

    Raises
    ------
    ReconError
        The noise cannot be told, or some voxels are no numbers.

    Source
    ------
    Maggioni, Katkovnik, Egiazarian, Foi 2013, IEEE Trans Image Process 22:119 (collaborative filtering of volumes); Foi
    2011, ISBI (variance stabilisation of magnitudes). Written anew; the published program is not free.
    """
    if image.ndim != 3:
        raise ValueError(f"the image must have three axes, not {image.ndim}")
    if not np.isfinite(image).all():
        raise ReconError("Some voxels are no numbers.", "Leave out the noise filter, and look for what made them.")
    magnitude = np.abs(image)
    sigma = sigma or background_sigma(magnitude)
    if not sigma > 0:
        raise ReconError(
            "The noise of the image cannot be told from the image.",
            "Give the noise as a parameter, or leave out the filter.",
        )
    scale = sigma * strength
    if np.iscomplexobj(image):
        parts = [filter_volume((part / scale).astype(np.float32)) for part in (image.real, image.imag)]
        found: Complex | Floats = ((parts[0] + 1j * parts[1]) * scale).astype(np.complex64)
    else:
        rician = RicianScale()
        found = (rician.undo(filter_volume(rician.apply(magnitude / scale))) * scale).astype(np.float32)
    before, after = (difference_sigma(part[len(part) // 2].real) for part in (image, found))
    return Denoised(
        image=found,
        label=LABEL,
        noise=float(sigma),
        figure=Figure(what="finest details along rows", unit="", values=(before, after)),
    )


def filter_volume(noisy: Floats) -> Floats:
    """Volume with Gaussian noise of standard deviation 1, filtered; float32, shape ``(n_slices, n_rows, n_cols)``."""
    from isocenter.recon.correct.blocks import SIDE

    shape = noisy.shape
    padded = np.pad(noisy, [(0, max(SIDE - n, 0)) for n in shape], mode="edge").astype(np.float32)
    first = _stage(padded, padded, _LIMIT_FIRST, _haar(), is_final=False)
    final = _stage(padded, first, _LIMIT_FINAL, _cosine(), is_final=True)
    return np.ascontiguousarray(final[tuple(slice(0, n) for n in shape)])


def _stage(noisy: Floats, guide: Floats, limit: float, matrix: Floats, *, is_final: bool) -> Floats:
    from isocenter.recon.correct import blocks

    places = [np.unique(np.append(np.arange(0, n - blocks.SIDE + 1, _STEP), n - blocks.SIDE)) for n in noisy.shape]
    references = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)

    def work(part: int) -> tuple[Floats, Floats]:
        total, weights = np.zeros_like(noisy), np.zeros_like(noisy)
        mine = np.ascontiguousarray(
            references[len(references) * part // _THREADS : len(references) * (part + 1) // _THREADS]
        )
        blocks.filter_blocks(noisy, guide, mine, _REACH, limit, _THRESHOLD, is_final, matrix, total, weights)
        return total, weights

    with ThreadPoolExecutor(_THREADS) as pool:
        sums = list(pool.map(work, range(_THREADS)))
    total, weights = (np.sum([one[i] for one in sums], axis=0) for i in (0, 1))
    return cast(Floats, total / np.maximum(weights, 1e-12))


def _haar() -> Floats:
    half = np.sqrt(0.5)
    return np.array(
        [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5], [half, -half, 0, 0], [0, 0, half, -half]], dtype=np.float32
    )


def _cosine() -> Floats:
    rows, columns = np.arange(4)[:, None], np.arange(4)[None]
    matrix = np.cos(np.pi * (2 * columns + 1) * rows / 8) * np.sqrt(0.5)
    matrix[0] = 0.5
    return np.asarray(matrix, dtype=np.float32)
