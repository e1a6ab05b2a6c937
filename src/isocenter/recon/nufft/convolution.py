# SPDX-License-Identifier: MIT
"""Convolution of images with a point-spread function that is Hermitian, so that its transform is real.

The circle is at least twice the image along each axis. How that is done without padding: ``passes``.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.fft.plan import LANES, SAMPLE, Plan, aligned, plan_of, smooth
from isocenter.recon.nufft.gridder import Complex
from isocenter.recon.nufft.sharing import share_with_number

_FEW: Final = 1 << 19  # voxels of all images below which one thread is done before others have begun: some milliseconds
_PIECES: Final = 4  # of a pass, for each thread

Floats = NDArray[np.float32]


class Convolution:
    """Images convolved with one function. One caller at a time, since buffers are kept.

    Parameters
    ----------
    parts
        The function h, complex64, shape ``(2, *shape)`` or ``(2, 2, *shape)``: for each axis but the last one, offsets from
        0 on and those from -n to -1; along the last axis offsets from 0 on, since ``h(-r) = conj(h(r))``.
    n_threads
        Threads to use, at least 1.
    """

    def __init__(self, parts: Complex, n_threads: int) -> None:
        self._shape = parts.shape[parts.ndim // 2 :]
        self._n_threads = n_threads
        self._axes = tuple(_plan(n) for n in self._shape)
        self._kernel = _arranged(parts, self._axes, self._n_threads)
        self._fields: list[_Field] = []
        self._channels = np.empty((0, *self._shape), dtype=np.complex64)

    def __call__(self, images: Complex) -> Complex:
        """Images of shape ``(..., *shape)`` convolved."""
        found = np.empty_like(images, order="C")
        many = np.ascontiguousarray(images).reshape(-1, *self._shape)
        self._convolve(many, [_NO_COIL] * len(many), found.reshape(many.shape))
        return found

    def combined(self, image: Complex, coils: Complex) -> Complex:
        """``sum_c conj(coil_c) convolved(coil_c image)``: what all channels see of one image, shape of the image."""
        if len(self._channels) != len(coils):
            self._channels = np.empty(coils.shape, dtype=np.complex64)
        found = self._channels
        image = np.ascontiguousarray(image)
        self._convolve([image] * len(coils), [_flat(coil) for coil in np.ascontiguousarray(coils)], found)
        return cast(Complex, found.sum(axis=0))

    def _convolve(self, images: Any, coils: list[Floats], found: Complex) -> None:
        """An image for each thread if there are enough of them, else all threads for each image."""
        n_threads = 1 if found.size < _FEW else self._n_threads
        n_side_by_side = n_threads if len(images) >= n_threads else 1
        if n_side_by_side > 1:
            n_threads = 1
        while len(self._fields) < n_side_by_side:
            self._fields.append(_Field(self._axes, self._n_threads))

        def work(index: int, number: int) -> None:
            self._fields[number].convolve(_flat(images[index]), coils[index], _flat(found[index]), self._kernel, n_threads)

        share_with_number(work, range(len(images)), n_side_by_side)


_NO_COIL: Final = np.zeros(0, dtype=np.float32)


def _flat(image: Complex) -> Floats:
    return image.reshape(-1).view(np.float32)


class _Field:
    """Memory for one convolution and the order of its passes."""

    def __init__(self, axes: tuple[Plan, ...], n_threads: int) -> None:
        self._axes = tuple(axis.loops for axis in axes)
        taken = [int(axis.loops[0][2]) for axis in axes]
        self._n_columns, self._n_rows = taken[-1], math.prod(taken[:-1])
        self._blocks = -(-self._n_columns // LANES)
        self._image = _samples(self._n_rows * self._blocks)
        n_work = 4 * max(axis.size for axis in axes) + self._blocks * LANES
        self._work = [_samples(n_work) for _ in range(n_threads)]
        rows = -(-axes[-2].size // LANES) * LANES  # frequencies along y, in whole groups
        self._planes = [(_samples(rows * self._blocks), _samples(rows * self._blocks)) for _ in range(n_threads)]
        depth = axes[0].size * taken[1] * self._blocks if len(axes) == 3 else 0
        self._halves = (_samples(depth), _samples(depth))

    def convolve(self, image: Floats, coil: Floats, found: Floats, kernel: Floats, n_threads: int) -> None:
        from isocenter.recon.nufft import passes

        *_, along_y, along_x = self._axes
        run = _Passes(n_threads).run

        def planes(field: Floats, start: int) -> Callable[[int, int, int], object]:
            place = (field, kernel, start, along_y, along_x)
            return lambda a, b, thread: passes.convolve_planes(*place, self._planes[thread], self._work[thread], a, b)

        run(self._n_rows, lambda a, b, _: passes.from_image(image, coil, self._n_columns, self._image, a, b))
        if len(self._axes) == 2:
            run(1, planes(self._image, 0))
        else:
            along_z, lines = self._axes[0], self._n_rows * self._blocks // int(self._axes[0][0][2])
            place = (self._image, 0, lines, *self._halves, along_z)
            run(lines, lambda a, b, thread: passes.split(*place, self._work[thread], a, b))
            for half, start in zip(self._halves, (0, len(kernel) // 2), strict=True):
                run(int(along_z[0][0]), planes(half, start))
            run(lines, lambda a, b, thread: passes.merge(*place, self._work[thread], a, b))
        run(self._n_rows, lambda a, b, _: passes.to_image(found, coil, self._n_columns, self._image, a, b))


class _Passes:
    """Runs passes one after another, each shared out in pieces."""

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads

    def run(self, size: int, work: Callable[[int, int, int], object]) -> None:
        """``work(begin, end, number of the thread)`` for pieces of ``range(size)``."""
        if self.n_threads == 1:
            work(0, size, 0)
            return
        edges = np.linspace(0, size, min(_PIECES * self.n_threads, size) + 1).astype(int).tolist()
        pieces = itertools.pairwise(edges)
        share_with_number(lambda piece, number: work(*piece, number), pieces, self.n_threads)


def _samples(count: int) -> Floats:
    return aligned(count * SAMPLE)


def _plan(n: int) -> Plan:
    """An axis of n voxels: on a circle of twice as many points or more, for the odd frequencies."""
    size = smooth(n)
    found = plan_of(size, np.exp(-1j * np.pi * np.arange(n) / size))
    assert found is not None  # whatever is smooth has a plan
    return found


def _arranged(parts: Complex, axes: tuple[Plan, ...], n_threads: int) -> Floats:
    """Transform of the function on the circle as the passes need it; flat."""
    from scipy import fft

    shape, circle = parts.shape[parts.ndim // 2 :], tuple(2 * axis.size for axis in axes)
    half = np.zeros((*circle[:-1], axes[-1].size + 1), dtype=np.complex64)
    for index in np.ndindex(*parts.shape[: len(shape) - 1]):  # no two voxels are n apart, so the offset -n is left out
        to = [slice(wide - n + 1, None) if i else slice(n) for i, n, wide in zip(index, shape, circle, strict=False)]
        half[(*to, slice(shape[-1]))] = parts[index][tuple(slice(i, None) for i in index)]
    spectrum = fft.hfftn(half, s=circle, workers=n_threads).reshape(-1, *circle[-2:])
    spectrum *= np.float32(1 / math.prod(circle))
    m_y, m_x, n_planes = axes[-2].size, axes[-1].size, len(spectrum)
    groups, n_even = -(-m_y // LANES), (n_planes + 1) // 2
    memory = aligned(
        n_planes * groups * 2 * m_x * SAMPLE
    )  # even and odd frequencies apart along each axis, groups of rows as lanes
    kernel = memory.reshape(n_planes, 2, groups, 2, m_x, LANES)
    rows = np.zeros((groups * LANES, 2, m_x, 2), dtype=np.float32)
    for frequency, plane in enumerate(spectrum):
        rows[:m_y] = plane.reshape(m_y, 2, m_x, 2)
        place = frequency // 2 + frequency % 2 * n_even
        kernel[place] = rows.reshape(groups, LANES, 2, m_x, 2).transpose(2, 0, 4, 3, 1)
    return memory
