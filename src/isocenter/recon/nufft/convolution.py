# SPDX-License-Identifier: MIT
"""Convolution of images with a point-spread function that is Hermitian, so that its transform is real.

The circle is at least twice the image along each axis. How that is done without padding: ``fft_kernels``.
"""

import itertools
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.fft_plan import Axis, axis_plan, double_order
from isocenter.recon.nufft.gridder import Complex
from isocenter.recon.nufft.sharing import share_with_number

_FEW: Final = 1 << 19  # voxels of all images below which one thread is done before others have begun: some milliseconds
_LANES: Final = 16
_FLOATS: Final = 2 * _LANES
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
        self._axes = tuple(axis_plan(n) for n in self._shape)
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

    def __init__(self, axes: tuple[Axis, ...], n_threads: int) -> None:
        self._axes = axes
        self._blocks = -(-axes[-1][0] // _LANES)
        self._n_rows = int(np.prod([axis[0] for axis in axes[:-1]]))
        rows = -(-axes[-2][1] // _LANES) * _LANES  # frequencies along y, in whole groups
        self._image = _lane_vectors(self._n_rows * self._blocks)
        length = max(*(axis[1] for axis in axes), self._blocks * _LANES)
        self._work = [_lane_vectors(2 * length) for _ in range(n_threads)]
        is_volume = len(axes) == 3
        n_planes = n_threads if is_volume else 1
        self._planes = [(_lane_vectors(rows * self._blocks), _lane_vectors(rows * self._blocks)) for _ in range(n_planes)]
        depth = axes[0][1] * axes[1][0] * self._blocks if is_volume else 0
        self._halves = (_lane_vectors(depth), _lane_vectors(depth))

    def convolve(self, image: Floats, coil: Floats, found: Floats, kernel: Floats, n_threads: int) -> None:
        from isocenter.recon.nufft import fft_kernels as kernels

        n_columns = self._axes[-1][0]
        passes = _Passes(n_threads)
        passes.run(self._n_rows, lambda a, b, _: kernels.from_image(image, coil, n_columns, self._image, a, b))
        if len(self._axes) == 3:
            self._volume(passes, kernels, kernel)
        else:
            self._plane(passes, kernels, kernel)
        passes.run(self._n_rows, lambda a, b, _: kernels.to_image(found, coil, n_columns, self._image, a, b))

    def _volume(self, passes: "_Passes", kernels: Any, kernel: Floats) -> None:
        along_z, *axes = self._axes
        lines, middle = axes[0][0] * self._blocks, len(kernel) // 2
        split = (self._image, 0, lines, *self._halves, along_z)

        def planes(begin: int, end: int, thread: int) -> None:
            for half, start in zip(self._halves, (0, middle), strict=True):
                place = (half, kernel, start, tuple(axes))
                kernels.convolve_planes(*place, self._planes[thread], self._work[thread], begin, end)

        passes.run(lines, lambda a, b, thread: kernels.split(*split, self._work[thread], a, b))
        passes.run(along_z[1], planes)
        passes.run(lines, lambda a, b, thread: kernels.merge(*split, self._work[thread], a, b))

    def _plane(self, passes: "_Passes", kernels: Any, kernel: Floats) -> None:
        along_y, along_x = self._axes
        middle, halves = len(kernel) // 2, self._planes[0]
        split = (self._image, 0, self._blocks, *halves, along_y)

        def rows(begin: int, end: int, thread: int) -> None:
            for half, start in zip(halves, (0, middle), strict=True):
                kernels.convolve_rows(half, kernel, start, along_x, self._work[thread], begin, end)

        passes.run(self._blocks, lambda a, b, thread: kernels.split(*split, self._work[thread], a, b))
        passes.run(-(-along_y[1] // _LANES), rows)
        passes.run(self._blocks, lambda a, b, thread: kernels.merge(*split, self._work[thread], a, b))


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


def _lane_vectors(count: int) -> Floats:
    """Zeros for so many lane vectors, at the beginning of a line of the processor's cache."""
    memory = np.zeros(count * _FLOATS + _LANES, dtype=np.float32)
    skip = -memory.ctypes.data % (4 * _LANES) // 4
    return memory[skip : skip + count * _FLOATS]


def _arranged(parts: Complex, axes: tuple[Axis, ...], n_threads: int) -> Floats:
    """Transform of the function on the circle as the passes need it; flat."""
    from scipy import fft

    from isocenter.recon.nufft import fft_kernels as kernels

    *others, (n_columns, half_circle, *_) = axes
    half = np.zeros((*(2 * axis[1] for axis in others), half_circle + 1), dtype=np.complex64)
    for index in np.ndindex(*parts.shape[: len(others)]):  # no two voxels are n apart, so the offset -n is left out
        to = [slice(2 * axis[1] - axis[0] + 1, None) if i else slice(axis[0]) for i, axis in zip(index, others, strict=True)]
        half[(*to, slice(n_columns))] = parts[index][tuple(slice(i, None) for i in index)]
    circle = tuple(2 * axis[1] for axis in axes)
    spectrum = fft.hfftn(half, s=circle, workers=n_threads).reshape(-1, *circle[-2:])
    spectrum *= np.float32(1 / np.prod(circle))
    orders = tuple(double_order(axis[1]) for axis in axes)
    if len(axes) == 2:
        orders = (np.zeros(1, dtype=np.int64), *orders)
    groups = -(-axes[-2][1] // _LANES)
    memory = _lane_vectors(len(orders[0]) * 2 * groups * axes[-1][1])
    kernels.arrange(spectrum, orders, memory.reshape(len(orders[0]), 2, groups, 2, axes[-1][1], _LANES))
    return memory
