# SPDX-License-Identifier: MIT
"""Magnitude of an image into memory of another order, compiled. Importing this module compiles it, or loads what was."""

import math
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from isocenter.recon.fft.lanes import FIXED_NUMBERS, NUMBERS, WHOLE, Function, Value, Writer, instruction, loop
from isocenter.recon.fft.plan import LANES

_LAST: Final = LANES - 1
_SMALLEST_SQUARE: Final = 2.0**-100  # both far from where the exponent of float32 ends
_LARGEST_SQUARE: Final = 2.0**100


def _magnitude(write: Writer, value: Any) -> tuple[Value, Value]:
    """Of 16 complex numbers, and whether the squares of all are numbers that single precision holds well."""
    builder, (real, imag), zero = write.builder, value, write.constant(0.0)
    square = write.multiply_add(real, real, builder.fmul(imag, imag))
    inside = builder.and_(
        builder.fcmp_ordered(">", square, write.constant(_SMALLEST_SQUARE)),
        builder.fcmp_ordered("<", square, write.constant(_LARGEST_SQUARE)),
    )
    nothing = builder.and_(builder.fcmp_ordered("==", real, zero), builder.fcmp_ordered("==", imag, zero))
    bits = builder.bitcast(builder.or_(inside, nothing), ir.IntType(LANES))
    is_good = builder.icmp_unsigned("==", bits, ir.Constant(ir.IntType(LANES), -1))
    return write.vector_function("sqrt", square), is_good


def _tile(order: str) -> Function:
    def magnitude(
        write: Writer, array: Value, index: Value, step: Value, target: Value, place: Value, stride: Value
    ) -> Value:
        """Magnitude of 16 complex neighbours of 16 rows ``step`` apart; the rows of the result are ``stride`` apart.

        Gives 0 when some of them are too small or too large for it, and what was written is void; else 1.
        """
        rows, all_good = [], ir.Constant(ir.IntType(1), 1)
        for line in range(LANES):
            value, is_good = _magnitude(write, write.load_neighbours(array, write.step(index, step, line)))
            rows.append(write.shuffle(value, value, range(LANES - 1, -1, -1)) if order == "mirrored" else value)
            all_good = write.builder.and_(all_good, is_good)
        for line, row in enumerate(write.transposed(rows) if order == "turned" else rows):
            write.store(row, target, write.step(place, stride, line))
        return write.builder.zext(all_good, ir.IntType(64))

    return instruction(magnitude, types.int64)


magnitude_straight, magnitude_mirrored, magnitude_turned = (_tile(order) for order in ("straight", "mirrored", "turned"))


@loop(types.void(FIXED_NUMBERS, NUMBERS, WHOLE, WHOLE, WHOLE))
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
