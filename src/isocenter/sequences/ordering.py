# SPDX-License-Identifier: MIT
"""In which order phase-encoding lines are measured."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDERS: Final[tuple[str, ...]] = ("linear", "centre-out", "reversed")
EMPTY: Final = -1
"""Marks an echo of a train that measures no line."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_SPOIL_STEP_DEG: Final = 117
"""Zur, Wood, Neuringer, Magn Reson Med 1991;21:251."""


def echo_trains(n_lines: int, train_length: int, order: str) -> NDArray[np.int64]:
    """Which line each echo of each train measures; every line exactly once.

    Lines are cut into as many neighbouring bands as there are echoes, and all trains measure band e at echo e, so that the
    contrast changes smoothly over k-space. Where the train length does not divide the lines, bands differ by one line and
    the last train has empty echoes. A train is never longer than the number of lines.

    Parameters
    ----------
    n_lines, train_length
        Lines to measure, echoes of a train; both at least 1.
    order
        ``linear``: from the first line to the last, the centre in mid-train. ``centre-out``: the centre, line
        ``n_lines // 2``, at the first echo. ``reversed``: the centre at the last echo.

    Returns
    -------
        Line of each echo, shape ``(n_trains, min(train_length, n_lines))``, ``EMPTY`` where none is measured.
    """
    if n_lines < 1 or train_length < 1 or order not in ORDERS:
        raise ValueError(f"no such order: {n_lines} lines, {train_length} echoes, '{order}'")
    n_echoes = min(train_length, n_lines)
    n_trains = math.ceil(n_lines / n_echoes)
    lines = np.arange(n_lines)
    if order != "linear":
        lines = lines[np.argsort(np.abs(lines - n_lines // 2), kind="stable")]
    table = np.full((n_trains, n_echoes), EMPTY, dtype=np.int64)
    edges = np.arange(n_echoes + 1) * n_lines // n_echoes  # longer bands are spread evenly, so the centre stays in mid-train
    for echo, band in enumerate(np.split(lines, edges[1:-1])):
        table[: len(band), echo] = np.sort(band)
    return table[:, ::-1].copy() if order == "reversed" else table


def centre_echo(table: NDArray[np.int64], n_lines: int) -> int:
    """The echo, counted from 0, at which the centre line is measured."""
    return int(np.argwhere(table == n_lines // 2)[0, 1])


def grid_lines(n_lin: int, n_par: int, *, elliptical: bool) -> list[tuple[int, int]]:
    """(LIN, PAR) of a 3D grid, line by line; with ``elliptical`` without the corners of k-space."""
    lin, par = np.arange(n_lin), np.arange(n_par)
    radius = ((lin - n_lin // 2) / (n_lin / 2)) ** 2 + (((par - n_par // 2) / (n_par / 2)) ** 2)[:, None]
    keep = radius <= 1 + 1e-9 if elliptical else np.ones_like(radius, dtype=bool)
    return [(int(y), int(z)) for z, y in np.argwhere(keep)]


def interleaved(n_slices: int) -> list[int]:
    """Slices 0, 2, 4 ... 1, 3, 5 ...: neighbours are excited as far apart in time as possible."""
    return [*range(0, n_slices, 2), *range(1, n_slices, 2)]


def spoil_phase_deg(count: int) -> int:
    """Phase of pulse and receiver for RF spoiling: it grows quadratically in steps of 117° [degrees]."""
    return _SPOIL_STEP_DEG * (count * (count + 1) // 2) % 360


def sphere_directions(n: int) -> NDArray[np.float64]:
    """Unit vectors spread evenly over all directions, shape ``(n, 3)``; any stretch of them is spread evenly as well.

    A spiral from pole to pole with the golden angle between neighbours (Swinbank, Purser, Q J R Meteorol Soc
    2006;132:1769), walked through in golden strides.
    """
    stride = max(round(n * _GOLDEN), 1)
    while math.gcd(stride, n) > 1:
        stride += 1
    index = np.arange(n) * stride % n
    z = 1 - (2 * index + 1) / n
    angle = 2 * np.pi * _GOLDEN * index
    across = np.sqrt(1 - z * z)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)
