# SPDX-License-Identifier: MIT
"""Machine instructions of transform and magnitude: sixteen lines at a time, one in each lane of a vector.

numba's own loops do not become vectors here, and scipy's transform is built for the oldest processors. The vectors are plain
LLVM: it cuts them into what the machine has.

For the transform sixteen lines lie in *work*, an array of float32: for each sample 16 real parts, then 16 imaginary ones.
All indices and steps count numbers, not samples. Factors are complex, real and imaginary part in turn.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES: Final = 16
SAMPLE: Final = 2 * LANES
"""Numbers of one sample of all lines in *work*."""
BLOCK: Final = LANES // 2
"""Samples of a line in one vector, for lines whose samples are neighbours in memory."""

_FLOAT: Final = ir.FloatType()
_INDEX: Final = ir.IntType(64)
_LANE: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_FLOAT, LANES)
_FLOAT_BYTES: Final = 4
_SMALLEST_SQUARE: Final = 2.0**-100  # both far from where the exponent of float32 ends
_LARGEST_SQUARE: Final = 2.0**100

Value: TypeAlias = Any  # values of LLVM have no useful Python type
Complex: TypeAlias = tuple[Value, Value]


class _Writer:
    """Writes instructions on vectors of real and imaginary parts."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, _VECTOR])
        self._multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")

    def data(self, array_type: Any, array: Value) -> Value:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def step(self, index: Value, stride: Value, steps: int) -> Value:
        return self.builder.add(index, self.builder.mul(stride, ir.Constant(_INDEX, steps)))

    def after(self, index: Value, numbers: int) -> Value:
        return self.builder.add(index, ir.Constant(_INDEX, numbers))

    def load(self, data: Value, index: Value) -> Value:
        value = self.builder.load(self._place(data, index))
        value.align = _FLOAT_BYTES
        return value

    def store(self, value: Value, data: Value, index: Value) -> None:
        self.builder.store(value, self._place(data, index)).align = _FLOAT_BYTES

    def _place(self, data: Value, index: Value) -> Value:
        return self.builder.bitcast(self.builder.gep(data, [index], inbounds=True), _VECTOR.as_pointer())

    def load_sample(self, work: Value, index: Value) -> Complex:
        return self.load(work, index), self.load(work, self.after(index, LANES))

    def store_sample(self, value: Complex, work: Value, index: Value) -> None:
        self.store(value[0], work, index)
        self.store(value[1], work, self.after(index, LANES))

    def factor(self, data: Value, index: Value) -> Complex:
        """One complex number in all lanes."""
        return self._everywhere(data, index), self._everywhere(data, self.after(index, 1))

    def _everywhere(self, data: Value, index: Value) -> Value:
        number = self.builder.load(self.builder.gep(data, [index], inbounds=True))
        first = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(_LANE, 0))
        return self.shuffle(first, first, [0] * LANES)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_LANE, LANES), list(lanes)))

    def constant(self, value: float) -> Value:
        return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * LANES)

    def add(self, a: Complex, b: Complex) -> Complex:
        return self.builder.fadd(a[0], b[0]), self.builder.fadd(a[1], b[1])

    def subtract(self, a: Complex, b: Complex) -> Complex:
        return self.builder.fsub(a[0], b[0]), self.builder.fsub(a[1], b[1])

    def multiply(self, a: Complex, b: Complex) -> Complex:
        negative = self.builder.fneg(a[1])
        real = self.multiply_add(a[0], b[0], self.builder.fmul(negative, b[1]))
        return real, self.multiply_add(a[0], b[1], self.builder.fmul(a[1], b[0]))

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        return self.builder.call(self._multiply_add, [a, b, c])

    def scale(self, a: Complex, factor: float) -> Complex:
        constant = self.constant(factor)
        return self.builder.fmul(a[0], constant), self.builder.fmul(a[1], constant)

    def add_scaled(self, total: Complex, a: Complex, factor: float) -> Complex:
        constant = self.constant(factor)
        return self.multiply_add(a[0], constant, total[0]), self.multiply_add(a[1], constant, total[1])

    def turn_back(self, a: Complex) -> Complex:
        """Times -i."""
        return a[1], self.builder.fneg(a[0])

    def transposed(self, rows: list[Value]) -> list[Value]:
        """Sixteen vectors as sixteen others, rows for columns."""
        rows = list(rows)
        half = LANES // 2
        while half:
            low = [lane if not lane & half else LANES + lane - half for lane in range(LANES)]
            high = [lane + half if not lane & half else LANES + lane for lane in range(LANES)]
            for row in range(LANES):
                if not row & half:
                    a, b = rows[row], rows[row + half]
                    rows[row], rows[row + half] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            half //= 2
        return rows

    def magnitude(self, low: Value, high: Value) -> tuple[Value, Value]:
        """Of 16 complex numbers, and 1 where the squares of all are numbers that single precision holds well, else 0."""
        builder = self.builder
        real = self.shuffle(low, high, range(0, 2 * LANES, 2))
        imag = self.shuffle(low, high, range(1, 2 * LANES, 2))
        square = self.multiply_add(real, real, builder.fmul(imag, imag))
        root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.sqrt.v{LANES}f32")
        inside = builder.and_(
            builder.fcmp_ordered(">", square, self.constant(_SMALLEST_SQUARE)),
            builder.fcmp_ordered("<", square, self.constant(_LARGEST_SQUARE)),
        )
        zero = self.constant(0.0)
        nothing = builder.and_(builder.fcmp_ordered("==", real, zero), builder.fcmp_ordered("==", imag, zero))
        bits = builder.bitcast(builder.or_(inside, nothing), ir.IntType(LANES))
        is_good = builder.icmp_unsigned("==", bits, ir.Constant(ir.IntType(LANES), -1))
        return builder.call(root, [square]), builder.zext(is_good, _INDEX)


def _discrete(write: _Writer, values: list[Complex]) -> list[Complex]:
    """Forward transform of 2, 4, 8 or an odd number of values."""
    n_values = len(values)
    if n_values == 2:
        return [write.add(*values), write.subtract(*values)]
    if n_values % 2:
        return _odd(write, values)
    even, odd = _discrete(write, values[::2]), _discrete(write, values[1::2])
    odd = [_turned(write, value, index, n_values) for index, value in enumerate(odd)]
    sums = [write.add(a, b) for a, b in zip(even, odd, strict=True)]
    return sums + [write.subtract(a, b) for a, b in zip(even, odd, strict=True)]


def _turned(write: _Writer, value: Complex, index: int, n_values: int) -> Complex:
    """Times ``exp(-2 pi i index / n_values)`` for multiples of an eighth of a turn."""
    eighths = 8 * index // n_values
    if eighths >= 2:
        value = write.turn_back(value)
    if eighths % 2:
        value = write.scale(write.add(value, write.turn_back(value)), math.sqrt(0.5))
    return value


def _odd(write: _Writer, values: list[Complex]) -> list[Complex]:
    n_values, half = len(values), len(values) // 2
    sums = [write.add(values[k], values[n_values - k]) for k in range(1, half + 1)]
    differences = [write.subtract(values[k], values[n_values - k]) for k in range(1, half + 1)]
    result = [values[0]] * n_values
    for value in sums:
        result[0] = write.add(result[0], value)
    for index in range(1, half + 1):
        angles = [2 * math.pi * index * k / n_values for k in range(1, half + 1)]
        even, odd = values[0], write.scale(differences[0], math.sin(angles[0]))
        for angle, value in zip(angles, sums, strict=True):
            even = write.add_scaled(even, value, math.cos(angle))
        for angle, value in zip(angles[1:], differences[1:], strict=True):
            odd = write.add_scaled(odd, value, math.sin(angle))
        turned = write.turn_back(odd)
        result[index], result[n_values - index] = write.add(even, turned), write.subtract(even, turned)
    return result


def _butterfly(radix: int) -> Callable[..., None]:
    @intrinsic
    def butterfly(_typing, work, taken, step, given, stride, tables, twiddle):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """``radix`` samples from ``taken`` on, ``step`` apart, transformed and turned by the factors at ``twiddle``."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            write = _Writer(context, builder)
            data, table = write.data(signature.args[0], args[0]), write.data(signature.args[5], args[5])
            values = [write.load_sample(data, write.step(args[1], args[2], k)) for k in range(radix)]
            for k, value in enumerate(_discrete(write, values)):
                turned = value if k == 0 else write.multiply(value, write.factor(table, write.after(args[6], 2 * k - 2)))
                write.store_sample(turned, data, write.step(args[3], args[4], k))
            return context.get_dummy_value()

        return types.void(work, taken, step, given, stride, tables, twiddle), generate

    return butterfly  # type: ignore[no-any-return]


butterfly_2, butterfly_3, butterfly_4 = _butterfly(2), _butterfly(3), _butterfly(4)
butterfly_5, butterfly_7, butterfly_8 = _butterfly(5), _butterfly(7), _butterfly(8)


@intrinsic
def load_across(_typing, array, index, tables, factor, work, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """One sample of 16 lines that are neighbours in memory, times a factor, to *work*."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, table, into = (write.data(signature.args[k], args[k]) for k in (0, 2, 4))
        low, high = write.load(data, args[1]), write.load(data, write.after(args[1], LANES))
        value = (
            write.shuffle(low, high, range(0, 2 * LANES, 2)),
            write.shuffle(low, high, range(1, 2 * LANES, 2)),
        )
        write.store_sample(write.multiply(value, write.factor(table, args[3])), into, args[5])
        return context.get_dummy_value()

    return types.void(array, index, tables, factor, work, place), generate


@intrinsic
def store_across(_typing, array, index, tables, factor, work, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The other way round."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, table, source = (write.data(signature.args[k], args[k]) for k in (0, 2, 4))
        real, imag = write.multiply(write.load_sample(source, args[5]), write.factor(table, args[3]))
        lanes = [lane for k in range(LANES) for lane in (k, LANES + k)]
        write.store(write.shuffle(real, imag, lanes[:LANES]), data, args[1])
        write.store(write.shuffle(real, imag, lanes[LANES:]), data, write.after(args[1], LANES))
        return context.get_dummy_value()

    return types.void(array, index, tables, factor, work, place), generate


@intrinsic
def load_along(_typing, array, index, starts, line, tables, factor, work, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """BLOCK samples of 16 lines that start where ``starts`` says from ``line`` on, each times its factor, to *work*."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, table, into = (write.data(signature.args[k], args[k]) for k in (0, 4, 6))
        first = builder.gep(write.data(signature.args[2], args[2]), [args[3]], inbounds=True)
        begins = [builder.load(builder.gep(first, [ir.Constant(_INDEX, k)], inbounds=True)) for k in range(LANES)]
        rows = write.transposed([write.load(data, builder.add(args[1], begin)) for begin in begins])
        for k in range(BLOCK):
            value = write.multiply((rows[2 * k], rows[2 * k + 1]), write.factor(table, write.after(args[5], 2 * k)))
            write.store_sample(value, into, write.after(args[7], SAMPLE * k))
        return context.get_dummy_value()

    return types.void(array, index, starts, line, tables, factor, work, place), generate


@intrinsic
def store_along(_typing, array, index, step, tables, factor, work, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """BLOCK samples of 16 lines from *work*, each times its own factor, to where lines begin ``step`` apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, table, source = (write.data(signature.args[k], args[k]) for k in (0, 3, 5))
        parts: list[Value] = []
        for k in range(BLOCK):
            value = write.load_sample(source, write.after(args[6], SAMPLE * k))
            parts += write.multiply(value, write.factor(table, write.after(args[4], 2 * k)))
        for line, row in enumerate(write.transposed(parts)):
            write.store(row, data, write.step(args[1], args[2], line))
        return context.get_dummy_value()

    return types.void(array, index, step, tables, factor, work, place), generate


def _magnitude(order: str) -> Callable[..., int]:
    @intrinsic
    def magnitude(_typing, array, index, step, target, place, stride):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """Magnitude of 16 complex neighbours of 16 rows ``step`` apart; the rows of the result are ``stride`` apart.

        Gives 0 when some of them are too small or too large for it, and what was written is void; else 1.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            write = _Writer(context, builder)
            data, into = write.data(signature.args[0], args[0]), write.data(signature.args[3], args[3])
            rows, all_good = [], ir.Constant(_INDEX, 1)
            for line in range(LANES):
                at = write.step(args[1], args[2], line)
                value, is_good = write.magnitude(write.load(data, at), write.load(data, write.after(at, LANES)))
                rows.append(write.shuffle(value, value, range(LANES - 1, -1, -1)) if order == "mirrored" else value)
                all_good = builder.and_(all_good, is_good)
            for line, row in enumerate(write.transposed(rows) if order == "turned" else rows):
                write.store(row, into, write.step(args[4], args[5], line))
            return all_good

        return types.int64(array, index, step, target, place, stride), generate

    return magnitude  # type: ignore[no-any-return]


magnitude_straight, magnitude_mirrored, magnitude_turned = (_magnitude(o) for o in ("straight", "mirrored", "turned"))
