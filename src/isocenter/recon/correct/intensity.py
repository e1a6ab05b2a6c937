# SPDX-License-Identifier: MIT
"""Brightness that falls with the distance from the coil, evened out."""

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.figure import Figure

_ROUNDS: Final = 40
_TISSUE_WIDTH: Final = 0.12
"""Spread of a tissue's brightness, as a share of it; wider, and neighbouring tissues are taken for one."""
_LEAST_VOXELS: Final = 64
_MOST_VOXELS: Final = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evened:
    """An image of even brightness.

    Attributes
    ----------
    image
        Of the shape and type of the original; air is left as dark as it was relative to the object's edge.
    bias
        What it was divided by, float32, 1 on average over the object.
    figure
        Largest over smallest bias within the object, before and after.
    """

    image: NDArray[np.float32] | NDArray[np.complex64]
    bias: NDArray[np.float32]
    figure: Figure


def object_mask(magnitude: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Voxels of the object: five times the noise and a tenth of the bright ones at least, without specks."""
    from scipy.ndimage import binary_opening

    from isocenter.recon.correct.noise import background_sigma

    bright = float(np.quantile(magnitude, 0.98))
    mask: NDArray[np.bool_] = magnitude > max(5 * background_sigma(magnitude), 0.1 * bright)
    size = tuple(min(3, n) for n in mask.shape)
    opened: NDArray[np.bool_] = binary_opening(mask, np.ones(size, dtype=bool))
    return opened


def even_out(
    image: NDArray[np.float32] | NDArray[np.complex64],
    spacing_m: tuple[float, float, float],
    *,
    order: int = 4,
    largest_ratio: float = 10.0,
) -> Evened:
    """Image without the smooth fall of brightness that coils make.

    Parameters
    ----------
    image
        Magnitude or complex, shape ``(n_slices, n_rows, n_cols)``.
    spacing_m
        Between slices, rows and columns [m].
    order
        Of the polynomial that the logarithm of the bias is.
    largest_ratio
        Of brightest to darkest place that is believed; noise is not raised further.

    Raises
    ------
    ReconError
        Hardly anything stands out from the noise.

    Source
    ------
    As N4 (Tustison 2010) in that the logarithm of the brightness is sharpened in turn with a smooth fit to what is left;
    tissues are told by robust fitting instead of by deconvolution, and the smooth part is a polynomial.
    """
    magnitude = np.abs(image).astype(np.float64)
    mask = object_mask(magnitude)
    if np.count_nonzero(mask) < _LEAST_VOXELS:
        raise ReconError(
            f"Only {np.count_nonzero(mask)} voxels stand out from the noise; the brightness cannot be evened out.",
            "Leave out the intensity correction.",
        )
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(image.shape, spacing_m, strict=True)]
    extent_m = max(float(np.abs(axis).max()) for axis in axes) or 1.0
    powers = [np.stack([(axis / extent_m) ** p for p in range(order + 1)]) for axis in axes]
    terms = [
        (a, b, c)
        for a in range(order + 1)
        for b in range(order + 1 - a)
        for c in range(order + 1 - a - b)
        if a < len(axes[0]) and b < len(axes[1]) and c < len(axes[2])
    ]
    where = np.nonzero(mask)
    some = slice(None, None, max(len(where[0]) // _MOST_VOXELS, 1))
    z, y, x = (index[some] for index in where)
    table = np.stack([powers[0][a][z] * powers[1][b][y] * powers[2][c][x] for a, b, c in terms], axis=1)
    normal = table.T @ table
    normal[np.diag_indices(len(normal))] += 1e-6 * np.trace(normal) / len(normal)
    project = np.linalg.solve(normal, table.T)  # values to coefficients
    found = _fit_log_bias(np.log(magnitude[z, y, x]), table, project)
    total = np.zeros(image.shape)
    for coefficient, (a, b, c) in zip(found, terms, strict=True):
        total += coefficient * np.einsum("i,j,k->ijk", powers[0][a], powers[1][b], powers[2][c])
    inside = total[where]
    total -= inside.mean()
    low, high = float(total[where].min()), float(total[where].max())
    low = max(low, high - float(np.log(largest_ratio)))
    bias = np.exp(np.clip(total, low, high)).astype(np.float32)
    rest = np.log(magnitude[z, y, x] / bias[z, y, x])
    left = np.exp(np.ptp(table @ (project @ (rest - _sharpen(rest, _TISSUE_WIDTH)))))
    return Evened(
        image=cast("NDArray[np.float32] | NDArray[np.complex64]", (image / bias).astype(image.dtype)),
        bias=bias,
        figure=Figure(what="largest over smallest bias", unit="", values=(float(np.exp(high - low)), float(left))),
    )


def _fit_log_bias(
    values: NDArray[np.float64], table: NDArray[np.float64], project: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smooth part of the logarithm of brightness: tissues are the values around which what is left heaps up."""
    found: NDArray[np.float64] = np.zeros(table.shape[1])
    for _ in range(_ROUNDS):
        left = values - table @ found
        sharpened = _sharpen(left, width=_TISSUE_WIDTH)
        step = project @ (left - sharpened)
        found = np.asarray(found + step, dtype=np.float64)
        if float(np.ptp(table @ step)) < 1e-3:
            break
    return found


def _sharpen(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Each value moved to the mean of those like it: uphill on their histogram smoothed by ``width``."""
    from scipy.ndimage import gaussian_filter1d

    low, high = np.quantile(values, [0.001, 0.999])
    n_bins = 400
    step = max(float(high - low), 1e-6) / n_bins
    edges = low + step * np.arange(n_bins + 1)
    centres = edges[:-1] + step / 2
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.float64)
    smooth = gaussian_filter1d(counts, width / step, mode="constant") + 1e-9
    moved = gaussian_filter1d(counts * centres, width / step, mode="constant") / smooth
    return np.asarray(np.interp(values, centres, moved), dtype=np.float64)
