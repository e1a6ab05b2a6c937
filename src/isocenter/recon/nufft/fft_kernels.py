# SPDX-License-Identifier: MIT
"""Compiled passes of a convolution with a real kernel, sixteen lines of an image at a time. They hold no lock.

A line of n voxels is convolved on a circle of 2 m points, m >= n, without ever being padded to it: the even frequencies of
the circle are a transform of m points, the odd ones another, of the line times ``exp(-i pi j / m)``. Both stay in the
processor's first cache. Frequencies are left in the order in which butterflies make them; the kernel has the same order.

An *axis* is the tuple that ``fft_plan.axis_plan`` makes. Arrays of lane vectors are flat float32, see ``fft_lanes``.
"""

import numba
import numpy as np

from isocenter.recon.nufft import fft_lanes as lanes
from isocenter.recon.nufft.fft_lanes import FLOATS, LANES


@numba.njit(cache=True, nogil=True)
def forward(work, base, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Transform m lane vectors from ``base`` on in place; frequencies come out in the order ``fft_plan.frequency_order``."""
    _, m, radices, factors, starts, _ = axis
    size = m
    for stage in range(len(radices)):
        radix = radices[stage]
        step = size // radix
        for block in range(base, base + m, size):
            if radix == 4 and step == 1:
                lanes.last_forward_4(work, block, step, factors, 0)
                continue
            for j in range(step):
                place = starts[stage] + 2 * (radix - 1) * j
                if radix == 4:
                    lanes.forward_4(work, block + j, step, factors, place)
                elif radix == 2:
                    lanes.forward_2(work, block + j, step, factors, place)
                elif radix == 3:
                    lanes.forward_3(work, block + j, step, factors, place)
                else:
                    lanes.forward_5(work, block + j, step, factors, place)
        size = step


@numba.njit(cache=True, nogil=True)
def inverse(work, base, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The reverse of ``forward``, times m."""
    _, m, radices, factors, starts, _ = axis
    size = 1
    for stage in range(len(radices) - 1, -1, -1):
        radix = radices[stage]
        step = size
        size = step * radix
        for block in range(base, base + m, size):
            if radix == 4 and step == 1:
                lanes.first_inverse_4(work, block, step, factors, 0)
                continue
            for j in range(step):
                place = starts[stage] + 2 * (radix - 1) * j
                if radix == 4:
                    lanes.inverse_4(work, block + j, step, factors, place)
                elif radix == 2:
                    lanes.inverse_2(work, block + j, step, factors, place)
                elif radix == 3:
                    lanes.inverse_3(work, block + j, step, factors, place)
                else:
                    lanes.inverse_5(work, block + j, step, factors, place)


@numba.njit(cache=True, nogil=True, inline="always")
def _halves(work, second, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Even frequencies of the line at 0 in place, and the odd ones at ``second``."""
    n, m, _, _, _, turns = axis
    for i in range(n):
        lanes.turn(work, second + i, work, i, turns, 2 * i)
    for base in (0, second):
        work[(base + n) * FLOATS : (base + m) * FLOATS] = 0
        forward(work, base, axis)


@numba.njit(cache=True, nogil=True, inline="always")
def _undo_halves(work, second, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The reverse, times 2 m."""
    turns = axis[5]
    for base in (0, second):
        inverse(work, base, axis)
    for i in range(axis[0]):
        lanes.turn_back_and_add(work, i, work, i, work, second + i, turns, 2 * i)


@numba.njit(cache=True, nogil=True)
def from_image(image, coil, n_columns, field, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Rows ``begin:end`` of an image, times a coil's sensitivity, as lane vectors; the last one is filled up with zeros.

    Parameters
    ----------
    image, coil
        Complex numbers viewed as flat float32; an empty coil stands for one.
    """
    blocks = -(-n_columns // LANES)
    for row in range(begin, end):
        for block in range(n_columns // LANES):
            place = 2 * (row * n_columns + block * LANES)
            if len(coil):
                lanes.read_product(field, row * blocks + block, image, coil, place)
            else:
                lanes.read_lanes(field, row * blocks + block, image, coil, place)
        if n_columns % LANES == 0:
            continue
        to = (row * blocks + blocks - 1) * FLOATS
        field[to : to + FLOATS] = 0
        for column in range(n_columns // LANES * LANES, n_columns):
            place = 2 * (row * n_columns + column)
            real, imag = image[place], image[place + 1]
            if len(coil):
                c, d = coil[place], coil[place + 1]
                real, imag = real * c - imag * d, real * d + imag * c
            field[to + column % LANES] = real
            field[to + LANES + column % LANES] = imag


@numba.njit(cache=True, nogil=True)
def to_image(image, coil, n_columns, field, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The reverse of ``from_image``, times the conjugate of the sensitivity."""
    blocks = -(-n_columns // LANES)
    for row in range(begin, end):
        for block in range(n_columns // LANES):
            place = 2 * (row * n_columns + block * LANES)
            if len(coil):
                lanes.write_product(image, coil, place, field, row * blocks + block)
            else:
                lanes.write_lanes(image, coil, place, field, row * blocks + block)
        at = (row * blocks + blocks - 1) * FLOATS
        for column in range(n_columns // LANES * LANES, n_columns):
            place = 2 * (row * n_columns + column)
            real, imag = field[at + column % LANES], field[at + LANES + column % LANES]
            if len(coil):
                c, d = coil[place], coil[place + 1]
                real, imag = real * c + imag * d, imag * c - real * d
            image[place] = real
            image[place + 1] = imag


@numba.njit(cache=True, nogil=True)
def split(field, base, step, even, odd, axis, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """Transform lines along an axis that is not the last one: the even and the odd frequencies of each.

    Parameters
    ----------
    field, even, odd
        Lane vectors; line b begins at ``base + b`` (``b`` in the results), and neighbours on it are ``step`` apart.
    work
        Spare lane vectors, twice m and twice the columns in whole groups.
    begin, end
        Lines of the field.
    """
    n, m = axis[:2]
    for line in range(begin, end):
        for i in range(n):
            lanes.copy(work, i, field, base + line + i * step)
        _halves(work, m, axis)
        for k in range(m):
            lanes.copy(even, line + k * step, work, k)
            lanes.copy(odd, line + k * step, work, m + k)


@numba.njit(cache=True, nogil=True)
def merge(field, base, step, even, odd, axis, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917
    """The reverse of ``split``, times 2 m."""
    n, m = axis[:2]
    for line in range(begin, end):
        for k in range(m):
            lanes.copy(work, k, even, line + k * step)
            lanes.copy(work, m + k, odd, line + k * step)
        _undo_halves(work, m, axis)
        for i in range(n):
            lanes.copy(field, base + line + i * step, work, i)


@numba.njit(cache=True, nogil=True)
def convolve_rows(field, kernel, start, axis, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Convolve along the last axis in place: groups ``begin:end`` of sixteen rows.

    Parameters
    ----------
    kernel, start
        Real; from ``start`` on for each group, for even and odd frequencies, for each frequency, sixteen numbers.
    """
    n, m = axis[:2]
    blocks = -(-n // LANES)
    second = max(m, blocks * LANES)
    for group in range(begin, end):
        for block in range(blocks):
            lanes.transpose(work, block * LANES, 1, field, group * LANES * blocks + block, blocks)
        _halves(work, second, axis)
        place = start + group * 2 * m * LANES
        for k in range(m):
            lanes.weigh(work, k, kernel, place + k * LANES)
            lanes.weigh(work, second + k, kernel, place + (m + k) * LANES)
        _undo_halves(work, second, axis)
        for block in range(blocks):
            lanes.transpose(field, group * LANES * blocks + block, blocks, work, block * LANES, 1)


@numba.njit(cache=True, nogil=True)
def convolve_planes(field, kernel, start, axes, planes, work, begin, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Convolve planes ``begin:end`` of a volume of lane vectors in place.

    Parameters
    ----------
    axes
        Of rows and columns of a plane.
    planes
        Two spare planes.
    """
    along_y, along_x = axes
    blocks = -(-along_x[0] // LANES)
    groups = -(-along_y[1] // LANES)
    size = groups * 2 * along_x[1] * LANES
    none = np.int64(0)  # a plain 0 has a type of its own, for which everything would be compiled once more
    for plane in range(begin, end):
        base = plane * along_y[0] * blocks
        place = start + plane * 2 * size
        split(field, base, blocks, planes[0], planes[1], along_y, work, none, blocks)
        for half in range(2):
            convolve_rows(planes[half], kernel, place + half * size, along_x, work, none, groups)
        merge(field, base, blocks, planes[0], planes[1], along_y, work, none, blocks)


@numba.njit(cache=True, nogil=True)
def arrange(spectrum, orders, kernel):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Put a kernel's transform in the order in which ``convolve_planes`` reads it.

    Parameters
    ----------
    spectrum
        Real, shape ``(2 m_z or 1, 2 m_y, 2 m_x)``.
    orders
        For z, y and x: frequency at each place, first the even ones and then the odd ones.
    kernel
        Zeros, shape ``(n_planes, 2, groups, 2, m_x, LANES)``.
    """
    order_z, order_y, order_x = orders
    m_y, m_x = len(order_y) // 2, len(order_x) // 2
    for plane in range(len(order_z)):
        for row in range(2 * m_y):
            parity, place = row // m_y, row % m_y
            line = spectrum[order_z[plane], order_y[row]]
            for column in range(2 * m_x):
                value = line[order_x[column]]
                kernel[plane, parity, place // LANES, column // m_x, column % m_x, place % LANES] = value
