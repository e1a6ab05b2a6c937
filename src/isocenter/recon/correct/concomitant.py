# SPDX-License-Identifier: MIT
"""Fields that come with every gradient because Maxwell asks for them: large at low field.

While a line is read they act like an uneven main field: add ``concomitant_hz`` of the read gradient to the map that
``b0.undistort`` gets. What gradients before the readout leave behind is a phase that differs from line to line;
``remove_line_phases`` takes it out.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.units import GAMMA_HZ_PER_T

Complex: TypeAlias = NDArray[np.complex64]
N_MOMENTS = 4


def maxwell_functions_m2(position_m: NDArray[np.floating], field_axis: int) -> NDArray[np.float64]:
    """The quadratic functions of space that concomitant fields are made of, shape ``(N_MOMENTS, ...)`` [m2].

    Parameters
    ----------
    position_m
        Places from the isocenter, device axes [m], shape ``(..., 3)``.
    field_axis
        Device axis along which B0 lies: 0, 1, 2.
    """
    x, y, z = (np.asarray(position_m[..., (field_axis + step) % 3], dtype=np.float64) for step in (1, 2, 0))
    return np.stack([z * z, (x * x + y * y) / 4, -x * z, -y * z])


def maxwell_products(gradient_t_per_m: NDArray[np.floating], larmor_hz: float, field_axis: int) -> NDArray[np.float64]:
    """What each function is multiplied with while gradients are on [Hz/m2], shape ``(..., N_MOMENTS)``.

    Source
    ------
    Bernstein et al. 1998, Magn Reson Med 39:300, for symmetric coils; reference domain.md 3.5.
    """
    x, y, z = (np.asarray(gradient_t_per_m[..., (field_axis + step) % 3], dtype=np.float64) for step in (1, 2, 0))
    scale = GAMMA_HZ_PER_T**2 / (2 * larmor_hz)
    return scale * np.stack([x * x + y * y, z * z, x * z, y * z], axis=-1)


def concomitant_hz(
    position_m: NDArray[np.floating], gradient_t_per_m: NDArray[np.floating], larmor_hz: float, field_axis: int
) -> NDArray[np.float64]:
    """Frequency that a gradient adds by its concomitant field [Hz].

    Parameters
    ----------
    position_m
        Places from the isocenter, device axes [m], shape ``(..., 3)``.
    gradient_t_per_m
        Device axes [T/m], shape (3,).
    larmor_hz
        Frequency of the main field [Hz].
    field_axis
        Device axis along which B0 lies: across the bore in a Halbach magnet.
    """
    products = maxwell_products(np.asarray(gradient_t_per_m), larmor_hz, field_axis)
    added: NDArray[np.float64] = np.tensordot(products, maxwell_functions_m2(position_m, field_axis), axes=1)
    return added


def staircase_moments(
    times_s: NDArray[np.floating],
    gradient_t_per_m: NDArray[np.floating],
    flips_s: NDArray[np.floating],
    end_s: float,
    larmor_hz: float,
    field_axis: int,
) -> NDArray[np.float64]:
    """Phase that concomitant fields leave by a time, over each of the functions [turns/m2], shape ``(N_MOMENTS,)``.

    Parameters
    ----------
    times_s
        Moments at which the gradients change, first the excitation's centre, ascending [s], shape ``(n,)``.
    gradient_t_per_m
        What they are from then on, device axes [T/m], shape ``(n, 3)``.
    flips_s
        Centres of refocusing pulses; each turns what has gathered before it round [s].
    end_s
        Until when [s].
    """
    edges = np.unique(np.concatenate([np.asarray(times_s), np.asarray(flips_s), [end_s]]))
    edges = edges[(edges >= times_s[0]) & (edges <= end_s)]
    at = np.searchsorted(times_s, edges[:-1], side="right") - 1
    gathered = maxwell_products(np.asarray(gradient_t_per_m)[at], larmor_hz, field_axis) * np.diff(edges)[:, None]
    flips = np.searchsorted(np.sort(flips_s), edges[:-1], side="right")
    n_flips = int(np.count_nonzero(np.asarray(flips_s) < end_s))
    sign = np.where((n_flips - flips) % 2 == 0, 1.0, -1.0)
    moments: NDArray[np.float64] = (gathered * sign[:, None]).sum(axis=0)
    return moments


def remove_line_phases(
    lines: Complex,
    moments: NDArray[np.floating],
    functions: NDArray[np.floating],
    to_image: Callable[[Complex], Complex],
    *,
    tolerance: float = 1e-3,
    largest_rank: int = 16,
) -> tuple[Complex, int]:
    """Image of lines each of which carries a phase that varies over the image: conjugate phase in few transforms.

    Parameters
    ----------
    lines
        complex64, shape ``(n_lines, ...)``.
    moments
        Turns per unit of each function, for each line, shape ``(n_lines, n_functions)``.
    functions
        Over the image, shape ``(n_functions, *image)``; ``maxwell_functions_m2`` of its voxels.
    to_image
        Transforms lines to an image whose shape ends with that of the functions.
    tolerance
        Largest relative error of the phases' approximation.
    largest_rank
        Most transforms.

    Returns
    -------
        The image, and how many transforms it took; 1 where the phases are all alike.

    Source
    ------
    The phases as a matrix lines times voxels of low rank, as in MaxGIRF (PMC9232904).
    """
    moments = np.asarray(moments, dtype=np.float64)
    flat = np.asarray(functions, dtype=np.float64).reshape(len(functions), -1)
    rng = np.random.default_rng(0)
    some = rng.choice(flat.shape[1], min(flat.shape[1], 256), replace=False)
    corners = np.unique(np.concatenate([flat.argmin(axis=1), flat.argmax(axis=1), some]))
    sampled = np.exp(2j * np.pi * (moments @ flat[:, corners]))
    left, strength, _ = np.linalg.svd(sampled, full_matrices=False)
    rest = np.sqrt(np.cumsum(strength[::-1] ** 2)[::-1] / np.sum(strength**2))
    rank = int(np.clip(np.count_nonzero(rest > tolerance), 1, largest_rank))
    left = left[:, :rank]
    chosen = _spread_rows(left, min(4 * rank, len(left)))
    weights = np.linalg.pinv(left[chosen])
    image: Complex | None = None
    for number in range(rank):
        factor = left[:, number].conj().reshape(-1, *[1] * (lines.ndim - 1)).astype(np.complex64)
        part = to_image(lines * factor)
        over = np.zeros(flat.shape[1], dtype=np.complex64)
        for weight, row in zip(weights[number], chosen, strict=True):
            over += (weight * np.exp(2j * np.pi * (moments[row] @ flat))).astype(np.complex64)
        part = part * over.conj().reshape(functions.shape[1:])
        image = part if image is None else image + part
    assert image is not None
    return image, rank


def _spread_rows(table: NDArray[np.complex128], n: int) -> NDArray[np.intp]:
    """Rows that between them know the whole table: each the one that the earlier ones explain least."""
    left = table.copy()
    chosen: list[int] = []
    for _ in range(n):
        size = (np.abs(left) ** 2).sum(axis=1)
        size[chosen] = -1
        at = int(np.argmax(size))
        chosen.append(at)
        if size[at] > 1e-20:
            unit = left[at] / np.linalg.norm(left[at])
            left = left - (left @ unit.conj())[:, None] * unit
        if len(chosen) % table.shape[1] == 0:
            left = table.copy()
    return np.array(chosen, dtype=np.intp)
