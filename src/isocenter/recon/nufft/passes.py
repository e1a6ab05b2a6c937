# SPDX-License-Identifier: MIT
"""Compiled passes of a convolution with a real kernel, sixteen lines of an image at a time. They hold no lock.

A line of n voxels is convolved on a circle of 2 m points, m >= n, without ever being padded to it: the even frequencies of
the circle are a transform of m points, the odd ones another, of the line times ``exp(-i pi j / m)``. Both stay in the
processor's first caches.

The way back needs no other transform: the inverse is the forward one of numbers whose real and imaginary parts are
exchanged, exchanged once more. ``convolve_planes`` exchanges them where it weighs, ``to_image`` exchanges them back.

Arrays hold samples of sixteen lines, see ``fft.lanes``; loops here count samples, instructions numbers. The plan of an axis
is that of m points; it takes n samples, and its factors before them make the odd frequencies.
"""

from typing import Final

from numba import njit, types

from isocenter.recon.fft.lanes import FIXED_NUMBERS, NUMBERS, Value, Writer, instruction, loop
from isocenter.recon.fft.loops import PLAN, clear, stages
from isocenter.recon.fft.plan import LANES, SAMPLE

_INT: Final = types.int64


# --- instructions; indices count numbers


@instruction
def _double(
    write: Writer, source: Value, at: Value, work: Value, to: Value, turned: Value, table: Value, factor: Value
) -> None:
    """A sample to one place, and times a factor to another."""
    value = write.load_sample(source, at)
    write.store_sample(value, work, to)
    write.store_sample(write.multiply(value, write.factor(table, factor)), work, turned)


@instruction
def _turn_and_add(
    write: Writer, target: Value, to: Value, work: Value, at: Value, turned: Value, table: Value, factor: Value
) -> None:
    """The sum of a sample and another one times a factor."""
    product = write.multiply(write.load_sample(work, turned), write.factor(table, factor))
    write.store_sample(write.add(write.load_sample(work, at), product), target, to)


@instruction
def _move(write: Writer, target: Value, to: Value, source: Value, at: Value) -> None:
    write.store_sample(write.load_sample(source, at), target, to)


@instruction
def _weigh(write: Writer, work: Value, to: Value, at: Value, weights: Value, place: Value) -> None:
    """Sixteen real weights; real and imaginary part exchanged."""
    real, imag = write.scale(write.load_sample(work, at), write.load(weights, place))
    write.store_sample((imag, real), work, to)


@instruction
def _transpose(write: Writer, target: Value, to: Value, step_to: Value, source: Value, at: Value, step: Value) -> None:
    """Sixteen samples, ``step`` apart, become sixteen others: lane i of sample j goes to lane j of sample i."""
    values = [write.load_sample(source, write.step(at, step, number)) for number in range(LANES)]
    turned = [write.transposed([value[part] for value in values]) for part in (0, 1)]
    for number, value in enumerate(zip(*turned, strict=True)):
        write.store_sample(value, target, write.step(to, step_to, number))


@instruction
def _read(write: Writer, target: Value, to: Value, image: Value, place: Value) -> None:
    write.store_sample(write.load_neighbours(image, place), target, to)


@instruction
def _read_product(write: Writer, target: Value, to: Value, image: Value, coil: Value, place: Value) -> None:
    product = write.multiply(write.load_neighbours(image, place), write.load_neighbours(coil, place))
    write.store_sample(product, target, to)


@instruction
def _put(write: Writer, image: Value, place: Value, source: Value, at: Value) -> None:
    imag, real = write.load_sample(source, at)
    write.store_neighbours((real, imag), image, place)


@instruction
def _put_product(write: Writer, image: Value, coil: Value, place: Value, source: Value, at: Value) -> None:
    imag, real = write.load_sample(source, at)
    factor = write.conjugate(write.load_neighbours(coil, place))
    write.store_neighbours(write.multiply((real, imag), factor), image, place)


# --- between images and samples of sixteen columns


@loop(types.void(FIXED_NUMBERS, FIXED_NUMBERS, _INT, NUMBERS, _INT, _INT))
def from_image(image, coil, n_columns, field, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Rows ``begin:end`` of an image, times a coil's sensitivity; the last sample of a row is filled up with zeros.

    Parameters
    ----------
    image, coil
        Complex numbers viewed as flat float32; an empty coil stands for one.
    """
    blocks = -(-n_columns // LANES)
    for row in range(begin, end):
        for block in range(n_columns // LANES):
            to, place = (row * blocks + block) * SAMPLE, 2 * (row * n_columns + block * LANES)
            if len(coil):
                _read_product(field, to, image, coil, place)
            else:
                _read(field, to, image, place)
        if n_columns % LANES == 0:
            continue
        to = (row * blocks + blocks - 1) * SAMPLE
        clear(field, to, to + SAMPLE)
        for column in range(n_columns // LANES * LANES, n_columns):
            place = 2 * (row * n_columns + column)
            real, imag = image[place], image[place + 1]
            if len(coil):
                c, d = coil[place], coil[place + 1]
                real, imag = real * c - imag * d, real * d + imag * c
            field[to + column % LANES] = real
            field[to + LANES + column % LANES] = imag


@loop(types.void(NUMBERS, FIXED_NUMBERS, _INT, FIXED_NUMBERS, _INT, _INT))
def to_image(image, coil, n_columns, field, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The reverse of ``from_image``, times the conjugate of the sensitivity; exchanges real and imaginary parts back."""
    blocks = -(-n_columns // LANES)
    for row in range(begin, end):
        for block in range(n_columns // LANES):
            at, place = (row * blocks + block) * SAMPLE, 2 * (row * n_columns + block * LANES)
            if len(coil):
                _put_product(image, coil, place, field, at)
            else:
                _put(image, place, field, at)
        at = (row * blocks + blocks - 1) * SAMPLE
        for column in range(n_columns // LANES * LANES, n_columns):
            place = 2 * (row * n_columns + column)
            imag, real = field[at + column % LANES], field[at + LANES + column % LANES]
            if len(coil):
                c, d = coil[place], coil[place + 1]
                real, imag = real * c + imag * d, imag * c - real * d
            image[place] = real
            image[place + 1] = imag


# --- along one axis


@njit(inline="always")
def _halves(source, at, step, work, second, plan):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Even frequencies of a line from the start of *work* on, odd ones from ``second`` on, both in the plan's order."""
    sizes, _, _, tables = plan
    m, n, factor = sizes[0], sizes[2], sizes[3]
    for i in range(n):
        place = (at + i * step) * SAMPLE
        _double(source, place, work, i * SAMPLE, (second + i) * SAMPLE, tables, factor + 2 * i)
    for base in (0, second):
        clear(work, (base + n) * SAMPLE, (base + m) * SAMPLE)
        stages(work, base * SAMPLE, plan)


@njit(inline="always")
def _undo_halves(target, to, step, work, first, second, plan):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The reverse, times 2 m, of exchanged parts; frequencies in their own order."""
    sizes, _, order, tables = plan
    n, factor = sizes[2], sizes[3]
    for base in (first, second):
        stages(work, base * SAMPLE, plan)
    for i in range(n):
        at = order[i]
        place = (to + i * step) * SAMPLE
        _turn_and_add(target, place, work, first * SAMPLE + at, second * SAMPLE + at, tables, factor + 2 * i)


@loop(types.void(NUMBERS, _INT, _INT, NUMBERS, NUMBERS, PLAN, NUMBERS, _INT, _INT))
def split(field, base, step, even, odd, plan, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """Transform lines along an axis that is not the last one: the even and the odd frequencies of each.

    Parameters
    ----------
    field, even, odd
        Line b begins at ``base + b`` (``b`` in the results), and neighbours on it are ``step`` apart.
    work
        Room for four times m samples, and for the columns in whole groups.
    begin, end
        Lines of the field.
    """
    sizes, _, order, _ = plan
    m = sizes[0]
    for line in range(begin, end):
        _halves(field, base + line, step, work, m, plan)
        for k in range(m):
            to, at = (line + k * step) * SAMPLE, order[k]
            _move(even, to, work, at)
            _move(odd, to, work, at + m * SAMPLE)


@loop(types.void(NUMBERS, _INT, _INT, NUMBERS, NUMBERS, PLAN, NUMBERS, _INT, _INT))
def merge(field, base, step, even, odd, plan, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """The reverse of ``split``, times 2 m, of exchanged parts."""
    m = plan[0][0]
    for line in range(begin, end):
        for k in range(m):
            to, at = k * SAMPLE, (line + k * step) * SAMPLE
            _move(work, to, even, at)
            _move(work, to + m * SAMPLE, odd, at)
        _undo_halves(field, base + line, step, work, 0, m, plan)


@njit(inline="always")
def _convolve_rows(field, kernel, start, plan, work, n_groups):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Convolve along the last axis in place: groups of sixteen rows. The parts come out exchanged.

    Parameters
    ----------
    kernel, start
        Real; from the number ``start`` on for each group, for even and odd frequencies, for each frequency, sixteen numbers.
    """
    sizes, _, order, _ = plan
    m, n = sizes[0], sizes[2]
    blocks = -(-n // LANES)
    for group in range(n_groups):
        here = group * LANES * blocks
        for block in range(blocks):
            to, at = block * LANES * SAMPLE, (here + block) * SAMPLE
            _transpose(work, to, SAMPLE, field, at, blocks * SAMPLE)
        _halves(work, 0, 1, work, m, plan)
        for half in range(2):
            place, base = start + (2 * group + half) * m * LANES, half * m * SAMPLE
            for k in range(m):
                _weigh(work, base + (2 * m + k) * SAMPLE, base + order[k], kernel, place + k * LANES)
        _undo_halves(work, 0, 1, work, 2 * m, 3 * m, plan)
        for block in range(blocks):
            to, at = (here + block) * SAMPLE, block * LANES * SAMPLE
            _transpose(field, to, blocks * SAMPLE, work, at, SAMPLE)


@loop(types.void(NUMBERS, FIXED_NUMBERS, _INT, PLAN, PLAN, types.UniTuple(NUMBERS, 2), NUMBERS, _INT, _INT))
def convolve_planes(field, kernel, start, along_y, along_x, planes, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """Convolve planes ``begin:end`` of a volume in place. The parts come out exchanged.

    Parameters
    ----------
    kernel, start
        As for rows, for each plane and for even and odd frequencies along y.
    along_y, along_x
        Plans of a plane's axes.
    planes
        Two spare planes.
    """
    blocks = -(-along_x[0][2] // LANES)
    groups = -(-along_y[0][0] // LANES)
    size = groups * 2 * along_x[0][0] * LANES
    for plane in range(begin, end):
        base = plane * along_y[0][2] * blocks
        split(field, base, blocks, planes[0], planes[1], along_y, work, 0, blocks)
        for half in range(2):
            _convolve_rows(planes[half], kernel, start + (2 * plane + half) * size, along_x, work, groups)
        merge(field, base, blocks, planes[0], planes[1], along_y, work, 0, blocks)
