# SPDX-License-Identifier: MIT
"""In which order phase-encoding lines are measured."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDERS: Final[tuple[str, ...]] = ("linear", "centre-out", "reversed")
EVERY_ECHO: Final = "every echo"
"""Not an order but none: each line is measured at all echoes, which makes one image for each."""
EMPTY: Final = -1
"""Marks an echo of a train that measures no line."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_SPOILERS: Final = 13
_LEAST_ALONG: Final = 0.4
_SPOIL_STEP_DEG: Final = 117
"""Zur, Wood, Neuringer, Magn Reson Med 1991;21:251."""


def kept_from(n: int, fraction: float) -> int:
    """First line that is measured with partial Fourier; the centre, line ``n // 2``, always is."""
    return min(n - math.ceil(n * fraction - 1e-9), n // 2)


def echo_trains(n_lines: int, train_length: int, order: str, skip: int = 0) -> NDArray[np.int64]:
    """Which line each echo of each train measures; every line from ``skip`` on exactly once.

    Lines are cut into as many neighbouring bands as there are echoes, and all trains measure band e at echo e, so that the
    contrast changes smoothly over k-space. Where the train length does not divide the lines, bands differ by one line and
    the last train has empty echoes. A train is never longer than the number of lines.

    Parameters
    ----------
    n_lines, train_length
        Lines of k-space, echoes of a train; both at least 1.
    order
        ``linear``: from the first line to the last, the centre in mid-train. ``centre-out``: the centre, line
        ``n_lines // 2``, at the first echo. ``reversed``: the centre at the last echo.
    skip
        Lines left out at the start, at most ``n_lines // 2``.

    Returns
    -------
        Line of each echo, shape ``(n_trains, n_echoes)``, ``EMPTY`` where none is measured.
    """
    if n_lines < 1 or train_length < 1 or order not in ORDERS or not 0 <= skip <= n_lines // 2:
        raise ValueError(f"no such order: {n_lines} lines from {skip} on, {train_length} echoes, '{order}'")
    lines = np.arange(skip, n_lines)
    n_echoes = min(train_length, len(lines))
    n_trains = math.ceil(len(lines) / n_echoes)
    if order != "linear":
        lines = lines[np.argsort(np.abs(lines - n_lines // 2), kind="stable")]
    table = np.full((n_trains, n_echoes), EMPTY, dtype=np.int64)
    edges = np.arange(n_echoes + 1) * len(lines) // n_echoes  # longer bands are spread evenly: the centre stays in mid-train
    for echo, band in enumerate(np.split(lines, edges[1:-1])):
        table[: len(band), echo] = np.sort(band)
    return table[:, ::-1].copy() if order == "reversed" else table


def centre_echo(table: NDArray[np.int64], n_lines: int) -> int:
    """The echo, counted from 0, at which the centre line is measured."""
    return int(np.argwhere(table == n_lines // 2)[0, 1])


def point_trains(points: list[tuple[int, int]], centre: tuple[int, int], train_length: int, order: str) -> NDArray[np.int64]:
    """As ``echo_trains`` for points (LIN, PAR) of a grid whose lines are not all complete, such as an ellipse.

    Bands hold equally many points, so their edges lie at other lines than those of a full grid; a train's echoes may be of
    different partitions.

    Returns
    -------
        Point of each echo, shape ``(n_trains, n_echoes, 2)``, ``EMPTY`` where none is measured.
    """
    if not points or train_length < 1 or order not in ORDERS:
        raise ValueError(f"no such order: {len(points)} points, {train_length} echoes, '{order}'")
    table = np.array(points)
    lin, par = np.abs(table - np.array(centre)).T
    table = table[np.lexsort(table.T[::-1]) if order == "linear" else np.lexsort((par, lin))]
    n_echoes = min(train_length, len(table))
    edges = np.arange(n_echoes + 1) * len(table) // n_echoes
    trains = np.full((math.ceil(len(table) / n_echoes), n_echoes, 2), EMPTY, dtype=np.int64)
    for echo, band in enumerate(np.split(table, edges[1:-1])):
        trains[: len(band), echo] = band[np.lexsort(band.T)]
    return trains[:, ::-1].copy() if order == "reversed" else trains


def grid_trains(
    size: tuple[int, int], skip: tuple[int, int], train_length: int, order: str, *, elliptical: bool
) -> list[list[tuple[int, int]]]:
    """(LIN, PAR) of each echo of each train over a 3D grid; ``EMPTY`` lines measure nothing.

    Parameters
    ----------
    size, skip
        Lines and partitions, and how many of each are left out at the start.
    """
    n_lin, n_par = size
    if order == EVERY_ECHO:
        return [[point] * train_length for point in grid_lines(n_lin, n_par, elliptical=elliptical, skip=skip)]
    if elliptical:
        points = grid_lines(n_lin, n_par, elliptical=True, skip=skip)
        table = point_trains(points, (n_lin // 2, n_par // 2), train_length, order)
        return [[(line, par) for line, par in train] for train in table.tolist()]
    lines = echo_trains(n_lin, train_length, order, skip[0]).tolist()
    return [[(line, par) for line in train] for par in range(skip[1], n_par) for train in lines]


def grid_lines(n_lin: int, n_par: int, *, elliptical: bool, skip: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
    """(LIN, PAR) of a 3D grid, line by line; with ``elliptical`` without the corners of k-space, without the first lines."""
    lin, par = np.arange(n_lin), np.arange(n_par)
    radius = ((lin - n_lin // 2) / (n_lin / 2)) ** 2 + (((par - n_par // 2) / (n_par / 2)) ** 2)[:, None]
    keep = radius <= 1 + 1e-9 if elliptical else np.ones_like(radius, dtype=bool)
    keep[: skip[1]], keep[:, : skip[0]] = False, False
    return [(int(y), int(z)) for z, y in np.argwhere(keep)]


def interleaved(n_slices: int) -> list[int]:
    """Slices 0, 2, 4 ... 1, 3, 5 ...: neighbours are excited as far apart in time as possible."""
    return [*range(0, n_slices, 2), *range(1, n_slices, 2)]


def spoil_phase_deg(count: int) -> int:
    """Phase of pulse and receiver for RF spoiling: it grows quadratically in steps of 117° [degrees]."""
    return _SPOIL_STEP_DEG * (count * (count + 1) // 2) % 360


def spoil_directions() -> list[tuple[float, float, float]]:
    """Unit vectors for the spoilers of successive shots, which then come round again; the last part is the largest.

    With spoilers that are all alike the second refocuses what the first has left, and fluid is bright from the shots before
    as long as all rests are alike to a fraction of a turn. Rests that the host times are not. Of directions spread by the
    golden ratio few sums of some, forth or back, are near zero.
    """
    found = []
    for number in range(_SPOILERS):
        along = _LEAST_ALONG + (1 - _LEAST_ALONG) * (number * _GOLDEN % 1)
        across, angle = math.sqrt(1 - along * along), 2 * math.pi * _GOLDEN * number
        found.append((across * math.cos(angle), across * math.sin(angle), along))
    return found


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
