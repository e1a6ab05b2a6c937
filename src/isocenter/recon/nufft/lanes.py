# SPDX-License-Identifier: MIT
"""Machine instructions for one sample: its window times the grid, twelve numbers at a time.

A loop in numba adds one number after another here; written as vectors, one sample of a 3D grid takes 36 loads and fused
multiplications (and stores), and runs three times as fast. The vectors are plain LLVM, so they work on every processor that
numba knows: it cuts them into what the machine has.

A grid is float32, real and imaginary parts in turn. ``first`` is the index of the first number that the sample touches, the
strides count numbers, and a fraction in 0 ... 1 says which row of the table (``window.window_table``) is its window along
that axis.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from isocenter.recon.nufft.window import N_ROWS, WIDTH

_LANES: Final = 2 * WIDTH
_FLOAT: Final = ir.FloatType()
_INDEX: Final = ir.IntType(64)
_LANE: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_FLOAT, _LANES)
_FLOAT_BYTES: Final = 4

Value: TypeAlias = Any  # values of LLVM have no useful Python type


class _Writer:
    """Writes the instructions that both directions share."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, _VECTOR])
        self._multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{_LANES}f32")

    def data(self, array_type: Any, array: Value) -> Value:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        return self.builder.call(self._multiply_add, [a, b, c])

    def place(self, data: Value, index: Value) -> Value:
        return self.builder.bitcast(self.builder.gep(data, [index], inbounds=True), _VECTOR.as_pointer())

    def load(self, place: Value) -> Value:
        value = self.builder.load(place)
        value.align = _FLOAT_BYTES
        return value

    def store(self, value: Value, place: Value) -> None:
        self.builder.store(value, place).align = _FLOAT_BYTES

    def shuffle(self, vector: Value, lanes: list[int]) -> Value:
        chosen = ir.Constant(ir.VectorType(_LANE, len(lanes)), lanes)
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)

    def fill(self, *numbers: Value) -> Value:
        """A vector that repeats one number, or two in turn."""
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for lane, number in enumerate(numbers):
            vector = self.builder.insert_element(vector, number, ir.Constant(_LANE, lane))
        return self.shuffle(vector, list(range(len(numbers))) * (_LANES // len(numbers)))

    def tap(self, weights: Value, number: int) -> Value:
        """One of the window's values in all lanes."""
        return self.shuffle(weights, [2 * number] * _LANES)

    def weights(self, table: Value, fraction: Value) -> Value:
        """The window between two rows of the table."""
        builder = self.builder
        place = builder.fmul(fraction, ir.Constant(_FLOAT, float(N_ROWS)))
        row = builder.fptosi(place, _INDEX)
        between = builder.fsub(place, builder.sitofp(row, _FLOAT))
        index = builder.mul(row, ir.Constant(_INDEX, _LANES))
        low = self.load(self.place(table, index))
        high = self.load(self.place(table, builder.add(index, ir.Constant(_INDEX, _LANES))))
        return self.multiply_add(self.fill(between), builder.fsub(high, low), low)

    def step(self, index: Value, stride: Value, steps: int) -> Value:
        return self.builder.add(index, self.builder.mul(stride, ir.Constant(_INDEX, steps)))

    def pair(self, vector: Value) -> Value:
        """Sum of the real lanes, and of the imaginary ones, as a pair."""
        quarters = [self.shuffle(vector, [first, first + 1, first + 2, first + 3]) for first in range(0, _LANES, 4)]
        total = quarters[0]
        for quarter in quarters[1:]:
            total = self.builder.fadd(total, quarter)
        total = self.builder.fadd(self.shuffle(total, [0, 1]), self.shuffle(total, [2, 3]))
        numbers = [self.builder.extract_element(total, ir.Constant(_LANE, lane)) for lane in (0, 1)]
        return self.context.make_tuple(self.builder, types.UniTuple(types.float32, 2), numbers)


def _spread_plane(write: _Writer, grid: Value, first: Value, stride: Value, taps: list[Value], row: Value) -> None:
    for number, weight in enumerate(taps):
        place = write.place(grid, write.step(first, stride, number))
        write.store(write.multiply_add(row, weight, write.load(place)), place)


def _collect_plane(write: _Writer, grid: Value, first: Value, stride: Value, taps: list[Value]) -> Value:
    total = ir.Constant(_VECTOR, None)
    for number, weight in enumerate(taps):
        total = write.multiply_add(write.load(write.place(grid, write.step(first, stride, number))), weight, total)
    return total


def _taps(write: _Writer, table: Value, fraction: Value) -> list[Value]:
    weights = write.weights(table, fraction)
    return [write.tap(weights, number) for number in range(WIDTH)]


Generator: TypeAlias = Callable[[Any, Any, Any, Any], Any]


@intrinsic
def spread_2d(_typing, grid, first, stride_y, table, y, x, real, imag):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add a sample to the 6 x 6 points around it: ``(grid, first, stride_y, table, y, x, real, imag)``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, rows = write.data(signature.args[0], args[0]), write.data(signature.args[3], args[3])
        row = builder.fmul(write.weights(rows, args[5]), write.fill(args[6], args[7]))
        _spread_plane(write, data, args[1], args[2], _taps(write, rows, args[4]), row)
        return context.get_dummy_value()

    return types.void(grid, first, stride_y, table, y, x, real, imag), generate


@intrinsic
def spread_3d(_typing, grid, first, stride_z, stride_y, table, z, y, x, real, imag):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """The same for 6 x 6 x 6 points."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, rows = write.data(signature.args[0], args[0]), write.data(signature.args[4], args[4])
        row = builder.fmul(write.weights(rows, args[7]), write.fill(args[8], args[9]))
        taps_z, taps_y = _taps(write, rows, args[5]), _taps(write, rows, args[6])
        for number, weight in enumerate(taps_z):
            plane = write.step(args[1], args[2], number)
            _spread_plane(write, data, plane, args[3], taps_y, builder.fmul(row, weight))
        return context.get_dummy_value()

    return types.void(grid, first, stride_z, stride_y, table, z, y, x, real, imag), generate


@intrinsic
def collect_2d(_typing, grid, first, stride_y, table, y, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Real and imaginary part of the windowed sum over the 6 x 6 points around a sample."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, rows = write.data(signature.args[0], args[0]), write.data(signature.args[3], args[3])
        total = _collect_plane(write, data, args[1], args[2], _taps(write, rows, args[4]))
        return write.pair(builder.fmul(total, write.weights(rows, args[5])))

    return types.UniTuple(types.float32, 2)(grid, first, stride_y, table, y, x), generate


@intrinsic
def collect_3d(_typing, grid, first, stride_z, stride_y, table, z, y, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The same for 6 x 6 x 6 points."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, rows = write.data(signature.args[0], args[0]), write.data(signature.args[4], args[4])
        taps_z, taps_y = _taps(write, rows, args[5]), _taps(write, rows, args[6])
        total = ir.Constant(_VECTOR, None)
        for number, weight in enumerate(taps_z):
            plane = _collect_plane(write, data, write.step(args[1], args[2], number), args[3], taps_y)
            total = write.multiply_add(plane, weight, total)
        return write.pair(builder.fmul(total, write.weights(rows, args[7])))

    return types.UniTuple(types.float32, 2)(grid, first, stride_z, stride_y, table, z, y, x), generate
