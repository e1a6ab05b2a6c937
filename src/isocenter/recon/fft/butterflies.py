# SPDX-License-Identifier: MIT
"""Short transforms of 2, 3, 4, 5, 7 and 8 samples, written out: what long ones are made of."""

import functools
import math

from isocenter.recon.fft.lanes import Complex, Function, Value, Writer, instruction


def _discrete(write: Writer, values: list[Complex]) -> list[Complex]:
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


def _turned(write: Writer, value: Complex, index: int, n_values: int) -> Complex:
    """Times ``exp(-2 pi i index / n_values)`` for multiples of an eighth of a turn."""
    eighths = 8 * index // n_values
    if eighths >= 2:
        value = write.turn_back(value)
    if eighths % 2:
        value = write.scale(write.add(value, write.turn_back(value)), write.constant(math.sqrt(0.5)))
    return value


def _odd(write: Writer, values: list[Complex]) -> list[Complex]:
    """Values k and -k share their cosines and differ in the sign of their sines."""
    n_values, half = len(values), range(1, len(values) // 2 + 1)
    sums = [write.add(values[k], values[-k]) for k in half]
    differences = [write.subtract(values[k], values[-k]) for k in half]
    result = [functools.reduce(write.add, sums, values[0])] * n_values
    for index in half:
        angles = [2 * math.pi * index * k / n_values for k in half]
        even, odd = values[0], write.scale(differences[0], write.constant(math.sin(angles[0])))
        for angle, value in zip(angles, sums, strict=True):
            even = write.add_scaled(even, value, write.constant(math.cos(angle)))
        for angle, value in zip(angles[1:], differences[1:], strict=True):
            odd = write.add_scaled(odd, value, write.constant(math.sin(angle)))
        turned = write.turn_back(odd)
        result[index], result[-index] = write.add(even, turned), write.subtract(even, turned)
    return result


def _butterfly(radix: int, *, is_turned: bool = True) -> Function:
    @instruction
    def butterfly(write: Writer, work: Value, place: Value, step: Value, table: Value, twiddle: Value) -> None:
        """Samples from ``place`` on, ``step`` apart, transformed where they are and turned by the factors at ``twiddle``."""
        places = [write.step(place, step, k) for k in range(radix)]
        values = _discrete(write, [write.load_sample(work, place) for place in places])
        for k, value in enumerate(values):
            is_plain = k == 0 or not is_turned
            turned = value if is_plain else write.multiply(value, write.factor(table, write.after(twiddle, 2 * k - 2)))
            write.store_sample(turned, work, places[k])

    return butterfly


butterfly_2, butterfly_3, butterfly_4 = _butterfly(2), _butterfly(3), _butterfly(4)
butterfly_5, butterfly_7, butterfly_8 = _butterfly(5), _butterfly(7), _butterfly(8)
last_8 = _butterfly(8, is_turned=False)
