# SPDX-License-Identifier: MIT
"""Magnitude of an image into memory of another order, compiled. Importing this module compiles it, or loads what was."""

import math
from typing import Final

import numba
import numpy as np
from numba import types

from isocenter.recon.lanes import LANES, magnitude_mirrored, magnitude_straight, magnitude_turned

_LAST: Final = LANES - 1
_WHOLE: Final = types.Array(types.int64, 1, "C", readonly=True)
_LOOP: Final = types.void(
    types.Array(types.float32, 1, "C", readonly=True), types.Array(types.float32, 1, "C"), _WHOLE, _WHOLE, _WHOLE
)


@numba.njit(_LOOP, cache=True, nogil=True)
def magnitude_across(source, target, sizes, taken, given):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, C901
    """Magnitude of every voxel, float32, within one rounding of the exact one also where its square is no float32.

    Parameters
    ----------
    source, target
        float32 one behind the other; of the source real and imaginary part in turn.
    sizes
        Planes, rows, columns.
    taken
        Of the source: index of the first number, from plane to plane, from row to row. Columns are neighbours.
    given
        Of the target: the same, and from column to column. Either columns or rows are neighbours, in either sense.
    """
    n_planes, n_rows, n_columns = sizes
    source_at, source_plane, source_row = taken
    target_at, target_plane, target_row, target_column = given
    for plane in range(n_planes):
        for row in range(0, n_rows, LANES):
            for column in range(0, n_columns, LANES):
                at = source_at + plane * source_plane + row * source_row + 2 * column
                to = target_at + plane * target_plane + row * target_row + column * target_column
                is_done = 0
                if column + LANES <= n_columns and row + LANES <= n_rows:
                    if target_column == 1:
                        is_done = magnitude_straight(source, at, source_row, target, to, target_row)
                    elif target_column == -1:
                        is_done = magnitude_mirrored(source, at, source_row, target, to - _LAST, target_row)
                    elif target_row == 1:
                        is_done = magnitude_turned(source, at, source_row, target, to, target_column)
                    elif target_row == -1:
                        last = at + _LAST * source_row
                        is_done = magnitude_turned(source, last, -source_row, target, to - _LAST, target_column)
                if is_done:
                    continue
                for i in range(min(LANES, n_rows - row)):
                    for j in range(min(LANES, n_columns - column)):
                        real = np.float64(source[at + i * source_row + 2 * j])
                        imag = np.float64(source[at + i * source_row + 2 * j + 1])
                        target[to + i * target_row + j * target_column] = math.sqrt(real * real + imag * imag)
