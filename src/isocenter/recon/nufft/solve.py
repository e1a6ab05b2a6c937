# SPDX-License-Identifier: MIT
"""Least squares by conjugate gradients, with the residual of every step kept."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft.gridder import Complex


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the iteration came to.

    Attributes
    ----------
    image
        complex64.
    residuals
        ``|b - A x| / |b|`` of the normal equations before the first step and after each.
    is_converged
        Whether the last is below the tolerance that was asked for.
    """

    image: Complex
    residuals: tuple[float, ...]
    is_converged: bool


def conjugate_gradients(
    normal: Callable[[Complex], Complex],
    right: Complex,
    *,
    n_iterations: int,
    tolerance: float = 0.0,
    damping: float = 0.0,
    is_cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Solve ``(normal + damping) x = right`` from zero.

    Parameters
    ----------
    normal
        A linear map, Hermitian and not negative; its result may be overwritten.
    right
        complex64, any shape.
    n_iterations
        At most so many steps.
    tolerance
        Stop when the relative residual is below it.
    damping
        Weight of the image's own energy (Tikhonov), relative to data that are weighted to cover k-space once.
    is_cancelled
        Asked before each step; True ends it with what there is.

    Raises
    ------
    ReconError
        The iteration does not stay finite.

    Source
    ------
    Hestenes, Stiefel, J. Res. NBS 49:409 (1952); with the weighted normal equations, Pruessmann et al., MRM 46:638 (2001).
    """
    image = np.zeros_like(right)
    rest, direction = right.copy(), right.copy()
    energy = start = _energy(right)
    residuals = [1.0 if start > 0 else 0.0]
    for _ in range(n_iterations):
        if energy == 0 or residuals[-1] < tolerance or (is_cancelled is not None and is_cancelled()):
            break
        applied = normal(direction)
        if damping:
            applied = applied + np.float32(damping) * direction
        curvature = _product(direction, applied)
        if not np.isfinite(curvature):
            raise ReconError(
                f"The iterative reconstruction does not stay finite (after {len(residuals) - 1} steps).",
                "Check the field map and the coil maps for values that are not numbers, or reconstruct by gridding.",
            )
        if curvature <= 0:  # nothing is left that the data say anything about
            break
        step = np.float32(energy / curvature)
        image += step * direction
        rest -= step * applied
        before, energy = energy, _energy(rest)
        residuals.append(float(np.sqrt(energy / start)))
        direction *= np.float32(energy / before)
        direction += rest
    return Solution(image=image, residuals=tuple(residuals), is_converged=residuals[-1] <= tolerance)


def _energy(image: Complex) -> float:
    return _product(image, image)


def _product(a: Complex, b: Complex) -> float:
    """Real part of the inner product; pairwise sums of rows keep enough digits."""
    flat_a, flat_b = a.reshape(-1).view(np.float32), b.reshape(-1).view(np.float32)
    rows = 1 << 14
    whole = len(flat_a) // rows * rows
    parts = np.einsum("ij,ij->i", flat_a[:whole].reshape(-1, rows), flat_b[:whole].reshape(-1, rows))
    return float(parts.sum(dtype=np.float64) + np.dot(flat_a[whole:].astype(np.float64), flat_b[whole:]))
