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
        A linear map, Hermitian and not negative.
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
    from isocenter.recon.nufft.vectors import descend, flat, product, turn_to

    right = np.ascontiguousarray(right, dtype=np.complex64)
    image, direction, rest = np.zeros_like(right), right.copy(), right.copy()
    flat_image, flat_direction, flat_rest = flat(image), flat(direction), flat(rest)
    energy = start = product(flat_rest, flat_rest)
    residuals = [1.0 if start > 0 else 0.0]
    for _ in range(n_iterations):
        if energy == 0 or residuals[-1] < tolerance or (is_cancelled is not None and is_cancelled()):
            break
        applied = flat(np.ascontiguousarray(normal(direction), dtype=np.complex64))
        curvature = product(flat_direction, applied)
        if damping:
            curvature += damping * product(flat_direction, flat_direction)
        if not np.isfinite(curvature):
            raise ReconError(
                f"The iterative reconstruction does not stay finite (after {len(residuals) - 1} steps).",
                "Check the field map and the coil maps for values that are not numbers, or reconstruct by gridding.",
            )
        if curvature <= 0:  # nothing is left that the data say anything about
            break
        step, before = np.float32(energy / curvature), energy
        energy = descend(flat_image, flat_rest, flat_direction, applied, step, np.float32(damping))
        residuals.append(float(np.sqrt(energy / start)))
        turn_to(flat_direction, flat_rest, np.float32(energy / before))
    return Solution(image=image, residuals=tuple(residuals), is_converged=residuals[-1] <= tolerance)
