# SPDX-License-Identifier: MIT
"""Compiled loops over samples: where each lies on the grid, spreading, collecting. They hold no lock on the interpreter."""

from typing import Final

import numba
import numpy as np

from isocenter.recon.nufft.lanes import collect_2d, collect_3d, spread_2d, spread_3d
from isocenter.recon.nufft.window import WIDTH

BATCH: Final = 1024
"""Samples of a tile that are summed before they are added to the grid."""


@numba.njit(cache=True, nogil=True)
def scale(points, voxel):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Positions times the size of a voxel, and how far they reach along each axis; NaN if one is not a number."""
    scaled = np.empty_like(points)
    largest = np.zeros(points.shape[1])
    for i in range(len(points)):
        for axis in range(points.shape[1]):
            value = points[i, axis] * voxel[axis]
            scaled[i, axis] = value
            if not abs(value) <= largest[axis]:
                largest[axis] = abs(value) if largest[axis] == largest[axis] else largest[axis]
    return scaled, largest


@numba.njit(cache=True, nogil=True)
def locate(cycles, n_grid, strides, tile, n_tiles):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Grid place of every sample, and the order that visits the grid tile by tile.

    Parameters
    ----------
    cycles
        Positions in k-space [cycles per voxel of the grid, -0.5 ... 0.5], float64, shape ``(n, n_dim)``.
    n_grid, strides, tile, n_tiles
        Grid points, distance in numbers between neighbours, points of a tile, tiles; for each axis.

    Returns
    -------
        For samples in the new order: index of the first number each touches (int64), fractions (float32, shape ``(n,
        n_dim)``), and which sample it is (int32); and where the samples of each tile begin (int64, one more at the end).
    """
    n, n_dim = cycles.shape
    key = np.empty(n, np.int32)
    n_keys = 1
    for axis in range(n_dim):
        n_keys *= n_tiles[axis]
    count = np.zeros(n_keys + 1, np.int64)
    shifts = np.zeros(n_dim, np.int64)
    for axis in range(n_dim):
        while tile[axis] >> shifts[axis] > 1:
            shifts[axis] += 1
    index_of = np.empty(n, np.int64)
    for i in range(n):
        place, index = 0, 0
        for axis in range(n_dim):
            start = int(np.ceil(cycles[i, axis] * n_grid[axis] - WIDTH / 2))
            start += n_grid[axis] if start < 0 else 0
            place = place * n_tiles[axis] + (start >> shifts[axis])
            index += start * strides[axis]
        key[i] = place
        index_of[i] = index
        count[place + 1] += 1
    for place in range(n_keys):
        count[place + 1] += count[place]
    tiles = count.copy()
    first = np.empty(n, np.int64)
    fractions = np.empty((n, n_dim), np.float32)
    order = np.empty(n, np.int32)
    for i in range(n):
        row = count[key[i]]
        count[key[i]] += 1
        order[row] = i
        first[row] = index_of[i]
        for axis in range(n_dim):
            begin = cycles[i, axis] * n_grid[axis] - WIDTH / 2
            fractions[row, axis] = np.ceil(begin) - begin
    return first, fractions, order, tiles


@numba.njit(cache=True, nogil=True)
def spread(grid, strides, table, first, fractions, order, samples, tiling, slab):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """Add the samples of one slab of tiles to the grid.

    Where many samples meet, as in the middle of spokes, they are summed in parts: fifty thousand small numbers added one by
    one in single precision lose three digits.

    Parameters
    ----------
    tiling
        Where the samples of each tile begin, points of a tile, tiles and grid points along each axis.
    """
    tiles, tile, n_tiles, n_grid = tiling
    per_slab = (len(tiles) - 1) // n_tiles[0]
    origin = slab * tile[0] * strides[0]
    part_of_grid = np.zeros(1, np.float32)
    for inner in range(per_slab):
        begin, end = tiles[slab * per_slab + inner], tiles[slab * per_slab + inner + 1]
        if end - begin <= BATCH:
            _add(grid, 0, strides, table, first, fractions, order, samples, begin, end)
            continue
        if len(part_of_grid) == 1:
            part_of_grid = np.zeros((tile[0] + WIDTH) * strides[0], np.float32)
        for begin_of_part in range(begin, end, BATCH):
            end_of_part = min(begin_of_part + BATCH, end)
            _add(part_of_grid, origin, strides, table, first, fractions, order, samples, begin_of_part, end_of_part)
            _move(part_of_grid, grid, origin, strides, (slab, inner), tile, n_tiles, n_grid)


@numba.njit(cache=True, nogil=True)
def _add(grid, origin, strides, table, first, fractions, order, samples, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917
    """Add samples ``order[begin:end]``. The sign of each makes up for the alternating signs in the table."""
    if fractions.shape[1] == 2:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            sample = samples[order[i]]
            y, x = fractions[i, 0], fractions[i, 1]
            spread_2d(grid, first[i] - origin, strides[0], table, y, x, sign * sample.real, sign * sample.imag)
    else:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            sample = samples[order[i]]
            z, y, x = fractions[i, 0], fractions[i, 1], fractions[i, 2]
            real, imag = sign * sample.real, sign * sample.imag
            spread_3d(grid, first[i] - origin, strides[0], strides[1], table, z, y, x, real, imag)


@numba.njit(cache=True, nogil=True)
def _move(part_of_grid, grid, origin, strides, place, tile, n_tiles, n_grid):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Add what the samples of one tile can have touched to the grid, and clear it."""
    slab, inner = place
    planes = min(tile[0], n_grid[0] - slab * tile[0]) + WIDTH - 1
    n_dim = len(n_grid)
    column = inner % n_tiles[n_dim - 1]
    numbers = 2 * (min(tile[n_dim - 1], n_grid[n_dim - 1] - column * tile[n_dim - 1]) + WIDTH - 1)
    corner = 2 * column * tile[n_dim - 1]
    rows, stride = 1, 0
    if n_dim == 3:
        row = inner // n_tiles[2]
        rows, stride = min(tile[1], n_grid[1] - row * tile[1]) + WIDTH - 1, strides[1]
        corner += row * tile[1] * stride
    for plane in range(planes):
        for row in range(rows):
            start = plane * strides[0] + row * stride + corner
            for index in range(start, start + numbers):
                grid[origin + index] += part_of_grid[index]
                part_of_grid[index] = 0


@numba.njit(cache=True, nogil=True)
def collect(grid, strides, table, first, fractions, order, samples, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """The transpose of ``spread``: samples ``order[begin:end]`` from the grid."""
    if fractions.shape[1] == 2:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            real, imag = collect_2d(grid, first[i], strides[0], table, fractions[i, 0], fractions[i, 1])
            samples[order[i]] = complex(sign * real, sign * imag)
    else:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            z, y, x = fractions[i, 0], fractions[i, 1], fractions[i, 2]
            real, imag = collect_3d(grid, first[i], strides[0], strides[1], table, z, y, x)
            samples[order[i]] = complex(sign * real, sign * imag)
