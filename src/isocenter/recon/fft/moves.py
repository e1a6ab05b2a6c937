# SPDX-License-Identifier: MIT
"""Between arrays as numpy has them, viewed as numbers, and samples of sixteen lines; each times its factor on the way."""

# ruff: noqa: PLR0913, PLR0917 - two arrays, the factors, and a place in each
from isocenter.recon.fft.lanes import Value, Writer, instruction
from isocenter.recon.fft.plan import BLOCK, LANES, SAMPLE


@instruction
def load_across(write: Writer, array: Value, index: Value, table: Value, factor: Value, work: Value, place: Value) -> None:
    """One sample of 16 lines that are neighbours in memory, times a factor, to *work*."""
    value = write.multiply(write.load_neighbours(array, index), write.factor(table, factor))
    write.store_sample(value, work, place)


@instruction
def store_across(write: Writer, array: Value, index: Value, table: Value, factor: Value, work: Value, place: Value) -> None:
    """The other way round."""
    value = write.multiply(write.load_sample(work, place), write.factor(table, factor))
    write.store_neighbours(value, array, index)


@instruction
def load_along(
    write: Writer,
    array: Value,
    index: Value,
    starts: Value,
    line: Value,
    table: Value,
    factor: Value,
    work: Value,
    place: Value,
) -> None:
    """BLOCK samples of 16 lines that start where ``starts`` says from ``line`` on, each times its factor, to *work*."""
    begins = [write.number(starts, write.after(line, k)) for k in range(LANES)]
    rows = write.transposed([write.load(array, write.builder.add(index, begin)) for begin in begins])
    for k in range(BLOCK):
        value = write.multiply((rows[2 * k], rows[2 * k + 1]), write.factor(table, write.after(factor, 2 * k)))
        write.store_sample(value, work, write.after(place, SAMPLE * k))


@instruction
def store_along(
    write: Writer,
    array: Value,
    index: Value,
    step: Value,
    table: Value,
    factor: Value,
    work: Value,
    order: Value,
    first: Value,
) -> None:
    """BLOCK samples of 16 lines, which lie where ``order`` says from ``first`` on, to where lines begin ``step`` apart."""
    parts: list[Value] = []
    for k in range(BLOCK):
        value = write.load_sample(work, write.number(order, write.after(first, k)))
        parts += write.multiply(value, write.factor(table, write.after(factor, 2 * k)))
    for line, row in enumerate(write.transposed(parts)):
        write.store(row, array, write.step(index, step, line))
