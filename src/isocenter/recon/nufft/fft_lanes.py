# SPDX-License-Identifier: MIT
"""Machine instructions of a Fourier transform: sixteen transforms at a time, one in each lane of a vector.

A *lane vector* is sixteen complex numbers as 32 floats in a row: first the real parts, then the imaginary ones. An index
counts lane vectors. Lanes never mix, so a butterfly is plain arithmetic on vectors, and twiddle factors are the same in all
lanes. As in ``lanes``, the vectors are LLVM and are cut to what a processor has.
"""

import math
from typing import Any, Final, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES: Final = 16
FLOATS: Final = 2 * LANES
"""Floats of a lane vector."""

_FLOAT: Final = ir.FloatType()
_INDEX: Final = ir.IntType(64)
_LANE: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_FLOAT, LANES)
_FLOAT_BYTES: Final = 4

Value: TypeAlias = Any  # values of LLVM have no useful Python type
Pair: TypeAlias = tuple[Value, Value]


class _Writer:
    """Writes arithmetic on lane vectors; a ``Pair`` is real and imaginary part."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, _VECTOR])
        self._multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")

    def data(self, array_type: Any, array: Value) -> Value:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def at(self, index: Value, step: Value, number: int) -> Value:
        return self.builder.add(index, self.builder.mul(step, ir.Constant(_INDEX, number)))

    def _place(self, data: Value, index: Value, kind: ir.Type) -> Value:
        return self.builder.bitcast(self.builder.gep(data, [index], inbounds=True), kind.as_pointer())

    def _floats(self, index: Value, offset: int) -> Value:
        index = self.builder.mul(index, ir.Constant(_INDEX, FLOATS))
        return self.builder.add(index, ir.Constant(_INDEX, offset)) if offset else index

    def load_at(self, data: Value, index: Value, kind: ir.Type = _VECTOR) -> Value:
        value = self.builder.load(self._place(data, index, kind))
        value.align = _FLOAT_BYTES
        return value

    def store_at(self, value: Value, data: Value, index: Value) -> None:
        self.builder.store(value, self._place(data, index, value.type)).align = _FLOAT_BYTES

    def load(self, data: Value, index: Value) -> Pair:
        return self.load_at(data, self._floats(index, 0)), self.load_at(data, self._floats(index, LANES))

    def store(self, pair: Pair, data: Value, index: Value) -> None:
        for part, offset in zip(pair, (0, LANES), strict=True):
            self.store_at(part, data, self._floats(index, offset))

    def shuffle(self, one: Value, other: Value, lanes: list[int]) -> Value:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_LANE, len(lanes)), lanes))

    def fill(self, number: Value) -> Value:
        empty = ir.Constant(_VECTOR, ir.Undefined)
        return self.shuffle(self.builder.insert_element(empty, number, ir.Constant(_LANE, 0)), empty, [0] * LANES)

    def constant(self, number: float) -> Value:
        return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, number)] * LANES)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        return self.builder.call(self._multiply_add, [a, b, c])

    def add(self, a: Pair, b: Pair) -> Pair:
        return self.builder.fadd(a[0], b[0]), self.builder.fadd(a[1], b[1])

    def subtract(self, a: Pair, b: Pair) -> Pair:
        return self.builder.fsub(a[0], b[0]), self.builder.fsub(a[1], b[1])

    def add_scaled(self, a: Pair, number: float, b: Pair) -> Pair:
        """``a + number b``."""
        factor = self.constant(number)
        return self.multiply_add(factor, b[0], a[0]), self.multiply_add(factor, b[1], a[1])

    def scale(self, number: float, a: Pair) -> Pair:
        factor = self.constant(number)
        return self.builder.fmul(factor, a[0]), self.builder.fmul(factor, a[1])

    def quarter_turn(self, a: Pair, sign: int) -> Pair:
        """``sign i a``."""
        if sign > 0:
            return self.builder.fneg(a[1]), a[0]
        return a[1], self.builder.fneg(a[0])

    def multiply(self, a: Pair, b: Pair, *, conjugate: bool = False) -> Pair:
        """``a b``, or ``a conj(b)``."""
        builder = self.builder
        if conjugate:
            real = self.multiply_add(a[0], b[0], builder.fmul(a[1], b[1]))
            return real, self.multiply_add(a[1], b[0], builder.fneg(builder.fmul(a[0], b[1])))
        real = self.multiply_add(a[0], b[0], builder.fneg(builder.fmul(a[1], b[1])))
        return real, self.multiply_add(a[0], b[1], builder.fmul(a[1], b[0]))

    def factor(self, table: Value, index: Value) -> Pair:
        """One complex number of a table, in all lanes; the index counts floats."""
        imag = self.builder.add(index, ir.Constant(_INDEX, 1))
        return self.fill(self.load_at(table, index, _FLOAT)), self.fill(self.load_at(table, imag, _FLOAT))


def _short_transform(write: _Writer, x: list[Pair], sign: int) -> list[Pair]:
    """``y_k = sum_n x_n exp(sign 2 pi i n k / r)`` for two to five numbers, written out."""
    if len(x) == 2:
        return [write.add(x[0], x[1]), write.subtract(x[0], x[1])]
    if len(x) == 4:
        even, odd = write.add(x[0], x[2]), write.add(x[1], x[3])
        rest, turned = write.subtract(x[0], x[2]), write.quarter_turn(write.subtract(x[1], x[3]), sign)
        return [write.add(even, odd), write.add(rest, turned), write.subtract(even, odd), write.subtract(rest, turned)]
    n = len(x)  # 3 or 5: pairs n, -n share their cosines and differ in the sign of their sines
    half = range(1, n // 2 + 1)
    sums = [write.add(x[i], x[n - i]) for i in half]
    differences = [write.quarter_turn(write.subtract(x[i], x[n - i]), sign) for i in half]
    first = x[0]
    for total in sums:
        first = write.add(first, total)
    found: list[Pair] = [first] + [first] * (n - 1)
    for k in half:
        even, odd = x[0], write.scale(math.sin(2 * math.pi * k / n), differences[0])
        for i, total in zip(half, sums, strict=True):
            even = write.add_scaled(even, math.cos(2 * math.pi * i * k / n), total)
        for i, difference in zip(half[1:], differences[1:], strict=True):
            odd = write.add_scaled(odd, math.sin(2 * math.pi * i * k / n), difference)
        found[k], found[n - k] = write.add(even, odd), write.subtract(even, odd)
    return found


def _butterfly(radix: int, *, is_inverse: bool, is_turned: bool) -> Any:
    """A butterfly in place on lane vectors ``index, index + step, ...``: ``(work, index, step, table, place)``.

    Forward multiplies by the twiddle factors afterwards, the inverse by their conjugates before; ``place`` is where in the
    table (in floats) those of this butterfly begin. Without ``is_turned`` there are none.
    """

    @intrinsic
    def butterfly(_typing, work, index, step, table, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            write = _Writer(context, builder)
            data, factors = write.data(signature.args[0], args[0]), write.data(signature.args[3], args[3])
            places = [write.at(args[1], args[2], number) for number in range(radix)]
            turns = []
            if is_turned:
                two = ir.Constant(_INDEX, 2)
                turns = [write.factor(factors, write.at(args[4], two, number)) for number in range(radix - 1)]
            values = [write.load(data, index_of) for index_of in places]
            if is_inverse:
                for number, turn in enumerate(turns, 1):
                    values[number] = write.multiply(values[number], turn, conjugate=True)
            values = _short_transform(write, values, 1 if is_inverse else -1)
            if not is_inverse:
                for number, turn in enumerate(turns, 1):
                    values[number] = write.multiply(values[number], turn)
            for value, index_of in zip(values, places, strict=True):
                write.store(value, data, index_of)
            return context.get_dummy_value()

        return types.void(work, index, step, table, place), generate

    return butterfly


forward_2, forward_3 = (_butterfly(r, is_inverse=False, is_turned=True) for r in (2, 3))
forward_4, forward_5 = (_butterfly(r, is_inverse=False, is_turned=True) for r in (4, 5))
inverse_2, inverse_3 = (_butterfly(r, is_inverse=True, is_turned=True) for r in (2, 3))
inverse_4, inverse_5 = (_butterfly(r, is_inverse=True, is_turned=True) for r in (4, 5))
last_forward_4, first_inverse_4 = (_butterfly(4, is_inverse=inverse, is_turned=False) for inverse in (False, True))


@intrinsic
def turn(_typing, target, to, source, index, table, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``target[to] = source[index] * table[place]``, a complex factor for all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        target_data, data, factors = (write.data(signature.args[i], args[i]) for i in (0, 2, 4))
        write.store(write.multiply(write.load(data, args[3]), write.factor(factors, args[5])), target_data, args[1])
        return context.get_dummy_value()

    return types.void(target, to, source, index, table, place), generate


@intrinsic
def turn_back_and_add(_typing, target, to, first, one, second, other, table, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``target[to] = first[one] + second[other] * conj(table[place])``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        target_data, data, other_data, factors = (write.data(signature.args[i], args[i]) for i in (0, 2, 4, 6))
        turned = write.multiply(write.load(other_data, args[5]), write.factor(factors, args[7]), conjugate=True)
        write.store(write.add(write.load(data, args[3]), turned), target_data, args[1])
        return context.get_dummy_value()

    return types.void(target, to, first, one, second, other, table, place), generate


@intrinsic
def copy(_typing, target, to, source, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``target[to] = source[index]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        target_data, data = (write.data(signature.args[i], args[i]) for i in (0, 2))
        write.store(write.load(data, args[3]), target_data, args[1])
        return context.get_dummy_value()

    return types.void(target, to, source, index), generate


@intrinsic
def weigh(_typing, work, index, weights, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Multiply a lane vector by sixteen real weights; ``place`` counts floats."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        data, numbers = write.data(signature.args[0], args[0]), write.data(signature.args[2], args[2])
        factor, (real, imag) = write.load_at(numbers, args[3]), write.load(data, args[1])
        write.store((builder.fmul(real, factor), builder.fmul(imag, factor)), data, args[1])
        return context.get_dummy_value()

    return types.void(work, index, weights, place), generate


@intrinsic
def transpose(_typing, target, to, step_to, source, index, step):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Sixteen lane vectors, ``step`` apart, become sixteen others: lane i of vector j goes to lane j of vector i."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write = _Writer(context, builder)
        target_data, data = (write.data(signature.args[i], args[i]) for i in (0, 3))
        pairs = [write.load(data, write.at(args[4], args[5], number)) for number in range(LANES)]
        turned = [_transposed(write, [pair[part] for pair in pairs]) for part in (0, 1)]
        for number, pair in enumerate(zip(*turned, strict=True)):
            write.store(pair, target_data, write.at(args[1], args[2], number))
        return context.get_dummy_value()

    return types.void(target, to, step_to, source, index, step), generate


def _transposed(write: _Writer, rows: list[Value]) -> list[Value]:
    """Four rounds; each exchanges one bit of the row's number with one of the lane's."""
    for bit in (1, 2, 4, 8):
        low = [lane if not lane & bit else LANES + lane - bit for lane in range(LANES)]
        high = [lane + bit if not lane & bit else LANES + lane for lane in range(LANES)]
        found = list(rows)
        for number in range(LANES):
            if not number & bit:
                one, other = rows[number], rows[number | bit]
                found[number], found[number | bit] = write.shuffle(one, other, low), write.shuffle(one, other, high)
        rows = found
    return rows


def _complex_lanes(*, is_product: bool) -> Any:
    """Sixteen neighbours of complex arrays, viewed as floats, to one lane vector: ``(target, to, image, coil, place)``."""

    @intrinsic
    def read(_typing, target, to, image, coil, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            write = _Writer(context, builder)
            value = _read(write, write.data(signature.args[2], args[2]), args[4])
            if is_product:
                value = write.multiply(value, _read(write, write.data(signature.args[3], args[3]), args[4]))
            write.store(value, write.data(signature.args[0], args[0]), args[1])
            return context.get_dummy_value()

        return types.void(target, to, image, coil, place), generate

    return read


read_lanes, read_product = _complex_lanes(is_product=False), _complex_lanes(is_product=True)


def _read(write: _Writer, data: Value, place: Value) -> Pair:
    both = [write.load_at(data, write.at(place, ir.Constant(_INDEX, LANES), number)) for number in (0, 1)]
    return (
        write.shuffle(both[0], both[1], list(range(0, FLOATS, 2))),
        write.shuffle(both[0], both[1], list(range(1, FLOATS, 2))),
    )


def _to_complex(*, is_product: bool) -> Any:
    """One lane vector, times the conjugate of the coil, to neighbours: ``(image, coil, place, source, index)``."""

    @intrinsic
    def put(_typing, image, coil, place, source, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            write = _Writer(context, builder)
            image_data, coil_data, data = (write.data(signature.args[i], args[i]) for i in (0, 1, 3))
            value = write.load(data, args[4])
            if is_product:
                value = write.multiply(value, _read(write, coil_data, args[2]), conjugate=True)
            for half in (0, 1):
                lanes = [half * LANES // 2 + lane // 2 + LANES * (lane % 2) for lane in range(LANES)]
                at = write.at(args[2], ir.Constant(_INDEX, LANES), half)
                write.store_at(write.shuffle(*value, lanes), image_data, at)
            return context.get_dummy_value()

        return types.void(image, coil, place, source, index), generate

    return put


write_lanes, write_product = _to_complex(is_product=False), _to_complex(is_product=True)
