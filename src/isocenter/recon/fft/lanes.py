# SPDX-License-Identifier: MIT
"""Vectors of sixteen lanes, written as LLVM: numba's own loops do not become vectors, and LLVM cuts these to any processor.

A *sample* in an array of float32 is one complex number of each of sixteen lines: 16 real parts, then 16 imaginary ones.
Lanes never mix, so sixteen transforms are arithmetic on vectors. Indices count numbers (float32), not samples.

numba does not see what an instruction is made of when it looks for a loop that it compiled before; ``loop`` makes it see.
"""

# ruff: noqa: D102 - names of arithmetic say what it does
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, Final, TypeAlias

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from isocenter.recon.fft.plan import LANES, SAMPLE

_FLOAT: Final = ir.FloatType()
_INDEX: Final = ir.IntType(64)
_LANE: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_FLOAT, LANES)
_FLOAT_BYTES: Final = 4

Value: TypeAlias = Any  # values of LLVM have no useful Python type
Complex: TypeAlias = tuple[Value, Value]
Function: TypeAlias = Callable[..., Any]


class Writer:
    """Writes instructions; a ``Complex`` is a vector of real parts and one of imaginary parts."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def step(self, index: Value, stride: Value, steps: int) -> Value:
        return self.builder.add(index, self.builder.mul(stride, ir.Constant(_INDEX, steps)))

    def after(self, index: Value, numbers: int) -> Value:
        return self.builder.add(index, ir.Constant(_INDEX, numbers))

    def number(self, data: Value, index: Value) -> Value:
        return self.builder.load(self.builder.gep(data, [index], inbounds=True))

    def load(self, data: Value, index: Value) -> Value:
        value = self.builder.load(self._place(data, index))
        value.align = _FLOAT_BYTES
        return value

    def store(self, value: Value, data: Value, index: Value) -> None:
        self.builder.store(value, self._place(data, index)).align = _FLOAT_BYTES

    def _place(self, data: Value, index: Value) -> Value:
        return self.builder.bitcast(self.builder.gep(data, [index], inbounds=True), _VECTOR.as_pointer())

    def load_sample(self, data: Value, index: Value) -> Complex:
        return self.load(data, index), self.load(data, self.after(index, LANES))

    def store_sample(self, value: Complex, data: Value, index: Value) -> None:
        self.store(value[0], data, index)
        self.store(value[1], data, self.after(index, LANES))

    def load_neighbours(self, data: Value, index: Value) -> Complex:
        """Sixteen complex numbers that lie side by side, as numpy has them."""
        both = self.load(data, index), self.load(data, self.after(index, LANES))
        return self.shuffle(*both, range(0, SAMPLE, 2)), self.shuffle(*both, range(1, SAMPLE, 2))

    def store_neighbours(self, value: Complex, data: Value, index: Value) -> None:
        lanes = [lane for k in range(LANES) for lane in (k, LANES + k)]
        self.store(self.shuffle(*value, lanes[:LANES]), data, index)
        self.store(self.shuffle(*value, lanes[LANES:]), data, self.after(index, LANES))

    def factor(self, table: Value, index: Value) -> Complex:
        """One complex number in all lanes."""
        return self._everywhere(self.number(table, index)), self._everywhere(self.number(table, self.after(index, 1)))

    def _everywhere(self, number: Value) -> Value:
        first = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(_LANE, 0))
        return self.shuffle(first, first, [0] * LANES)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_LANE, LANES), list(lanes)))

    def transposed(self, rows: list[Value]) -> list[Value]:
        """Sixteen vectors as sixteen others, rows for columns: a round exchanges one bit of the row with one of the lane."""
        rows, half = list(rows), LANES // 2
        while half:
            low = [lane if not lane & half else LANES + lane - half for lane in range(LANES)]
            high = [lane + half if not lane & half else LANES + lane for lane in range(LANES)]
            for row in range(LANES):
                if not row & half:
                    a, b = rows[row], rows[row + half]
                    rows[row], rows[row + half] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            half //= 2
        return rows

    def constant(self, value: float) -> Value:
        return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * LANES)

    def vector_function(self, name: str, *arguments: Value) -> Value:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32"), arguments
        )

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        return self.vector_function("fmuladd", a, b, c)

    def add(self, a: Complex, b: Complex) -> Complex:
        return self.builder.fadd(a[0], b[0]), self.builder.fadd(a[1], b[1])

    def subtract(self, a: Complex, b: Complex) -> Complex:
        return self.builder.fsub(a[0], b[0]), self.builder.fsub(a[1], b[1])

    def multiply(self, a: Complex, b: Complex) -> Complex:
        real = self.multiply_add(a[0], b[0], self.builder.fneg(self.builder.fmul(a[1], b[1])))
        return real, self.multiply_add(a[0], b[1], self.builder.fmul(a[1], b[0]))

    def scale(self, a: Complex, factor: Value) -> Complex:
        return self.builder.fmul(a[0], factor), self.builder.fmul(a[1], factor)

    def add_scaled(self, total: Complex, a: Complex, factor: Value) -> Complex:
        return self.multiply_add(a[0], factor, total[0]), self.multiply_add(a[1], factor, total[1])

    def conjugate(self, a: Complex) -> Complex:
        return a[0], self.builder.fneg(a[1])

    def turn_back(self, a: Complex) -> Complex:
        """Times -i."""
        return a[1], self.builder.fneg(a[0])


def instruction(write: Function, result: Any = types.void) -> Function:
    """What a function writes, for use in compiled loops.

    Parameters
    ----------
    write
        Takes a ``Writer`` and its arguments: arrays as where their data begin, whole numbers as they are.
    result
        numba's type of what it returns.
    """

    @functools.wraps(write)
    def typed(_typing: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arguments = [
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            found = write(Writer(context, builder), *arguments)
            return context.get_dummy_value() if result is types.void else found

        return result(*kinds), generate

    return intrinsic(typed)  # type: ignore[no-any-return]


NUMBERS: Final = types.Array(types.float32, 1, "C")
FIXED_NUMBERS: Final = types.Array(types.float32, 1, "C", readonly=True)
WHOLE: Final = types.Array(types.int64, 1, "C", readonly=True)
_SOURCES: Final = sorted(Path(__file__).parent.glob("*.py"))


def loop(signature: Any) -> Callable[[Function], Function]:
    """``numba.njit`` that holds no lock, and compiles anew when any file of this package was changed.

    The key of numba's cache has the values that a function closes over, so this one closes over the files' digest.
    """
    digest = CellType(hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest())

    def decorate(function: Function) -> Function:
        code = function.__code__.replace(co_freevars=("digest",))
        closed = FunctionType(code, function.__globals__, function.__name__, None, (digest,))
        closed.__doc__, closed.__module__ = function.__doc__, function.__module__
        closed.__qualname__ = function.__qualname__
        return numba.njit(signature, cache=True, nogil=True)(closed)  # type: ignore[no-any-return]

    return decorate
