# SPDX-License-Identifier: MIT
"""Fields that come with every gradient because Maxwell asks for them: large at low field.

While a line is read they act like an uneven main field: add ``concomitant_hz`` of the read gradient to the map that
``b0.undistort`` gets. What gradients before the readout leave behind is a phase that differs from line to line;
``remove_line_phases`` takes it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.units import GAMMA_HZ_PER_T

Complex: TypeAlias = NDArray[np.complex64]
N_MOMENTS = 4
_ROWS: Final = 2048
_PLACES: Final = 1 << 16


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


def moments_along(squares: NDArray[np.floating], field_axis: int) -> NDArray[np.float64]:
    """Moments over the functions of ``maxwell_functions_m2``, shape ``(..., N_MOMENTS)``.

    Parameters
    ----------
    squares
        Products of the gradients, or their integrals, columns xx, yy, zz, xy, xz, yz of the device, shape ``(..., 6)``.
    field_axis
        Device axis along which B0 lies.
    """
    x, y, z = ((field_axis + step) % 3 for step in (1, 2, 0))
    column = {(0, 0): 0, (1, 1): 1, (2, 2): 2, (0, 1): 3, (0, 2): 4, (1, 2): 5}

    def pair(i: int, j: int) -> NDArray[np.float64]:
        return np.asarray(squares[..., column[min(i, j), max(i, j)]], dtype=np.float64)

    return np.stack([pair(x, x) + pair(y, y), pair(z, z), pair(x, z), pair(y, z)], axis=-1)


def squares_of_steps(steps_per_m: NDArray[np.floating], dwell_s: float, larmor_hz: float) -> NDArray[np.float64]:
    """What steps in k-space add to the square moments [turns/m2], shape ``(..., 6)``.

    Parameters
    ----------
    steps_per_m
        From a sample to the next, device axes [1/m], shape ``(..., 3)``: the gradient times the dwell time.
    """
    x, y, z = (np.asarray(steps_per_m[..., axis], dtype=np.float64) for axis in range(3))
    return np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=-1) / (dwell_s * 2 * larmor_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """Phases of rows (lines, samples) at places as a short sum of products: ``rows @ places``.

    Attributes
    ----------
    rows
        complex64, shape ``(n_rows, rank)``, orthonormal over the rows.
    places
        complex64, shape ``(rank, n_places)``.
    """

    rows: Complex
    places: Complex


def separate(
    moments: NDArray[np.floating],
    functions: NDArray[np.floating],
    *,
    tolerance: float = 1e-3,
    largest_rank: int = 16,
    matters: NDArray[np.bool_] | None = None,
) -> Separated:
    """Phases ``exp(2 pi i moments @ functions)`` in few terms.

    Parameters
    ----------
    moments
        Turns per unit of each function, for each row, shape ``(n_rows, n_functions)``.
    functions
        At the places, shape ``(n_functions, n_places)``.
    tolerance
        Largest relative error.
    largest_rank
        Most terms.
    matters
        Places at which the phases must be right, shape ``(n_places,)``; None for all.

    Source
    ------
    The phases as a matrix of low rank, as in MaxGIRF (PMC9232904).
    """
    moments = moments.astype(np.float64)
    flat = np.asarray(functions, dtype=np.float64)
    rng = np.random.default_rng(0)
    known = np.arange(flat.shape[1]) if matters is None or not matters.any() else np.flatnonzero(matters)
    some = rng.choice(known, min(len(known), 256), replace=False)
    corners = np.unique(np.concatenate([known[flat[:, known].argmin(axis=1)], known[flat[:, known].argmax(axis=1)], some]))
    few = _few_rows(moments, rng)
    _, strength, right = np.linalg.svd(np.exp(2j * np.pi * (moments[few] @ flat[:, corners])), full_matrices=False)
    rest = np.sqrt(np.cumsum(strength[::-1] ** 2)[::-1] / np.sum(strength**2))
    rank = int(np.clip(np.count_nonzero(rest > tolerance), 1, largest_rank))
    basis = right[:rank].conj().T
    seen = np.empty((len(moments), rank), dtype=np.complex128)
    for start in range(0, len(moments), _ROWS):  # keeps the table of rows and places small
        part = slice(start, start + _ROWS)
        seen[part] = np.exp(2j * np.pi * (moments[part] @ flat[:, corners])) @ basis
    left = np.linalg.qr(seen)[0]
    chosen = _spread_rows(left[few], min(3 * rank, len(few)))
    weights = np.linalg.pinv(left[few][chosen])
    places = np.empty((rank, flat.shape[1]), dtype=np.complex64)
    for start in range(0, flat.shape[1], _PLACES):
        part = slice(start, start + _PLACES)
        places[:, part] = weights @ np.exp(2j * np.pi * (moments[few][chosen] @ flat[:, part]))
    return Separated(rows=left.astype(np.complex64), places=places)


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
    """
    flat = np.asarray(functions, dtype=np.float64).reshape(len(functions), -1)
    found = separate(moments, flat, tolerance=tolerance, largest_rank=largest_rank)
    image: Complex | None = None
    for rows, places in zip(found.rows.T, found.places, strict=True):
        part = to_image(lines * rows.conj().reshape(-1, *[1] * (lines.ndim - 1)))
        part = part * places.conj().reshape(functions.shape[1:])
        image = part if image is None else image + part
    assert image is not None
    return image, len(found.places)


def _few_rows(moments: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows that stand for all: the extreme ones and some others."""
    if len(moments) <= _ROWS:
        return np.arange(len(moments))
    some = rng.choice(len(moments), _ROWS, replace=False)
    return np.unique(np.concatenate([moments.argmin(axis=0), moments.argmax(axis=0), some]))


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
