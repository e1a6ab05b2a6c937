# SPDX-License-Identifier: MIT
"""Our own engine: spread on a finer grid, transform, cut out the image. Runs wherever numba does.

Spreading by several threads is exact to the bit: the grid is cut into slabs along its first axis, and no two slabs that are
worked on at the same time touch the same points, since first the even ones are done and then the odd ones.

The grid is a few points wider than the transform at the far end of each axis, so that no sample wraps around; what lies
there is added at the near end afterwards. Its strides are odd, so that the parity of an index is the parity of the sum of
its coordinates: that is the sign which moves the middle of the image to the middle of the grid.
"""

import os
from collections.abc import Callable
from copy import copy
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.nufft.sharing import share, share_with_number
from isocenter.recon.nufft.window import OVERSAMPLING, WIDTH, correction, window_table

Complex = NDArray[np.complex64]

_TILE: Final = (8, 8, 16)  # powers of two
_FEW_TAPS: Final = 30_000_000  # less work than this is done sooner by one thread than shared out
_CHUNK: Final = 50_000


class Gridder:
    """Transforms between one grid and one set of samples. One call at a time; ``Nufft`` sees to that.

    Parameters
    ----------
    cycles
        Positions in k-space [cycles per voxel, -0.5 ... 0.5], shape ``(n, 2)`` or ``(n, 3)``, columns in the order of the
        axes.
    shape
        Voxels along each axis.
    n_threads
        Threads to use, at least 1.
    """

    name = "numba"

    def __init__(self, cycles: NDArray[np.float64], shape: tuple[int, ...], n_threads: int) -> None:
        from scipy import fft

        from isocenter.recon.nufft import kernels

        self._kernels: Any = kernels
        self._shape, self._n_samples = shape, len(cycles)
        self._taps = len(cycles) * WIDTH ** len(shape)
        self._n_threads = n_threads if self._taps > _FEW_TAPS else 1
        self._n_side_by_side = n_threads if self._n_threads == 1 else 1
        self._twins: list[Gridder] = []
        self.n_grid = tuple(_even_fast(max(int(np.ceil(OVERSAMPLING * n)), 2 * WIDTH), fft.next_fast_len) for n in shape)
        padded = tuple(n + WIDTH + (n + WIDTH + 1) % 2 for n in self.n_grid)
        self._buffer = np.zeros((*padded[:-1], 2 * padded[-1]), dtype=np.float32)
        strides = np.array(self._buffer.strides, dtype=np.int64)[:-1] // self._buffer.itemsize
        self._strides = np.append(strides, 2)
        tile = np.array(_TILE[-len(shape) :] if len(shape) == 3 else (16, 32), dtype=np.int64)
        n_tiles = -(-np.array(self.n_grid, dtype=np.int64) // tile)
        n_grid = np.array(self.n_grid, dtype=np.int64)
        located = kernels.locate(cycles, n_grid, self._strides, tile, n_tiles)
        self._first, self._fractions, self._order, tiles = located
        self._tiling = (tiles, tile, n_tiles, n_grid)
        self._slab_sizes = np.diff(tiles[:: np.prod(n_tiles[1:])])
        self._table = window_table()
        axes = [correction(n, grid).astype(np.float32) for n, grid in zip(shape, self.n_grid, strict=True)]
        self._correction = reduce(np.multiply, np.ix_(*axes))
        self._image = tuple(
            slice(grid // 2 - n // 2, grid // 2 - n // 2 + n) for n, grid in zip(shape, self.n_grid, strict=True)
        )

    def forward_many(self, images: Complex, samples: Complex) -> None:
        """``forward`` of each image."""

        def work(index: int, twin: int) -> None:
            samples[index] = (self._twins[twin - 1] if twin else self).forward(images[index])

        self._many(work, len(images))

    def adjoint_many(self, samples: Complex, images: Complex) -> None:
        """``adjoint`` of each set of samples."""

        def work(index: int, twin: int) -> None:
            images[index] = (self._twins[twin - 1] if twin else self).adjoint(samples[index])

        self._many(work, len(images))

    def _many(self, work: Callable[[int, int], None], count: int) -> None:
        """Threads side by side with a grid each, where one transform is too small to be shared among them."""
        n_threads = min(self._n_side_by_side, count) if count * self._taps > _FEW_TAPS // 2 else 1
        while len(self._twins) < n_threads - 1:
            self._twins.append(self._twin())
        share_with_number(work, range(count), n_threads)

    def _twin(self) -> "Gridder":
        """The same with a grid of its own."""
        twin = copy(self)
        twin._buffer = np.zeros_like(self._buffer)  # noqa: SLF001 - of the same class
        twin._twins = []  # noqa: SLF001
        return twin

    def forward(self, image: Complex) -> Complex:
        """Samples ``sum_p image[p] exp(+2 pi i k . p)``, shape ``(n,)``."""
        from scipy import fft

        self._buffer.fill(0)
        grid = self._grid()
        np.multiply(image, self._correction, out=grid[self._image])
        for axis in range(len(self._shape)):
            part = grid[(slice(None),) * (axis + 1) + self._image[axis + 1 :]]
            into(part, fft.ifft(part, axis=axis, norm="forward", overwrite_x=True, workers=self._n_threads))
        self._copy_edges()
        return self.collect()

    def adjoint(self, samples: Complex) -> Complex:
        """Image ``sum_j samples[j] exp(-2 pi i k_j . p)``."""
        from scipy import fft

        self.spread(samples)
        grid = self._grid()
        for axis in reversed(range(len(self._shape))):
            part = grid[(slice(None),) * (axis + 1) + self._image[axis + 1 :]]
            into(part, fft.fft(part, axis=axis, overwrite_x=True, workers=self._n_threads))
        return np.multiply(grid[self._image], self._correction)

    def spread(self, samples: Complex) -> None:
        """Put samples on the grid, which stays here."""
        self._buffer.fill(0)
        flat, sizes = self._buffer.reshape(-1), self._slab_sizes
        fixed = (flat, self._strides, self._table, self._first, self._fractions, self._order, samples, self._tiling)

        def work(slab: int) -> None:
            self._kernels.spread(*fixed, slab)

        for parity in (0, 1):
            order = parity + 2 * np.argsort(-sizes[parity::2], kind="stable")
            share(work, (int(slab) for slab in order if sizes[slab]), self._n_threads)
        self._fold_edges()

    def collect(self) -> Complex:
        """Samples from the grid as ``forward`` left it, or as ``spread`` did after ``_copy_edges``."""
        samples = np.empty(self._n_samples, dtype=np.complex64)
        flat = self._buffer.reshape(-1)

        def work(begin: int) -> None:
            parts = (self._first, self._fractions, self._order, samples, begin, min(begin + _CHUNK, self._n_samples))
            self._kernels.collect(flat, self._strides, self._table, *parts)

        share(work, range(0, self._n_samples, _CHUNK), self._n_threads)
        return samples

    def blur(self, samples: Complex) -> Complex:
        """Spread and collect again without any transform; what density compensation iterates on."""
        self.spread(samples)
        self._copy_edges()
        return self.collect()

    def _grid(self) -> Complex:
        """The part that is transformed, as complex numbers, without a copy."""
        return self._buffer.view(np.complex64)[tuple(slice(n) for n in self.n_grid)]

    def _fold_edges(self) -> None:
        """Add what was spread beyond the far end to the near end, axis by axis."""
        whole = self._buffer.view(np.complex64)
        for axis, n in enumerate(self.n_grid):
            edge = whole[(slice(None),) * axis + (slice(n, n + WIDTH),)]
            whole[(slice(None),) * axis + (slice(0, WIDTH),)] += edge

    def _copy_edges(self) -> None:
        """Repeat the near end beyond the far end."""
        whole = self._buffer.view(np.complex64)
        for axis, n in enumerate(self.n_grid):
            near = whole[(slice(None),) * axis + (slice(0, WIDTH),)]
            whole[(slice(None),) * axis + (slice(n, n + WIDTH),)] = near


def _even_fast(size: int, next_fast_len: Callable[[int], int]) -> int:
    """Smallest even size with a fast transform that is not below ``size``."""
    return 2 * next_fast_len(-(-size // 2))


def into(part: Complex, result: Complex) -> None:
    """Most transforms are done in place; copy those that were not."""
    if not np.may_share_memory(part, result):
        part[...] = result


def n_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
