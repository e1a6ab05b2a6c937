# SPDX-License-Identifier: MIT
"""Compiled loops over samples: where each lies on the grid, spreading, collecting. They hold no lock on the interpreter."""

import numba
import numpy as np

from isocenter.recon.nufft.lanes import collect_2d, collect_3d, spread_2d, spread_3d
from isocenter.recon.nufft.window import WIDTH


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
        n_dim)``), and which sample it is (int32); and, for each tile along the first axis, where its samples begin (int64,
        one more at the end).
    """
    n, n_dim = cycles.shape
    key = np.empty(n, np.int32)
    starts = np.empty((n, n_dim), np.int32)
    n_keys = 1
    for axis in range(n_dim):
        n_keys *= n_tiles[axis]
    count = np.zeros(n_keys + 1, np.int64)
    for i in range(n):
        place = 0
        for axis in range(n_dim):
            size = n_grid[axis]
            start = int(np.ceil(cycles[i, axis] * size - WIDTH / 2)) % size
            starts[i, axis] = start
            place = place * n_tiles[axis] + start // tile[axis]
        key[i] = place
        count[place + 1] += 1
    for place in range(n_keys):
        count[place + 1] += count[place]
    per_slab = n_keys // n_tiles[0]
    slabs = count[::per_slab].copy()
    first = np.empty(n, np.int64)
    fractions = np.empty((n, n_dim), np.float32)
    order = np.empty(n, np.int32)
    for i in range(n):
        row = count[key[i]]
        count[key[i]] += 1
        order[row] = i
        index = 0
        for axis in range(n_dim):
            begin = cycles[i, axis] * n_grid[axis] - WIDTH / 2
            index += starts[i, axis] * strides[axis]
            fractions[row, axis] = np.ceil(begin) - begin
        first[row] = index
    return first, fractions, order, slabs


@numba.njit(cache=True, nogil=True)
def spread(grid, strides, table, first, fractions, order, samples, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """Add samples ``order[begin:end]`` to the grid. The sign of each makes up for the alternating signs in the table."""
    if fractions.shape[1] == 2:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            sample = samples[order[i]]
            y, x = fractions[i, 0], fractions[i, 1]
            spread_2d(grid, first[i], strides[0], table, y, x, sign * sample.real, sign * sample.imag)
    else:
        for i in range(begin, end):
            sign = np.float32(1 - (first[i] & 2))
            sample = samples[order[i]]
            z, y, x = fractions[i, 0], fractions[i, 1], fractions[i, 2]
            spread_3d(grid, first[i], strides[0], strides[1], table, z, y, x, sign * sample.real, sign * sample.imag)


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
