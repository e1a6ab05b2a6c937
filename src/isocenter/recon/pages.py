# SPDX-License-Identifier: MIT
"""Memory of large k-space that goes back to the system piece by piece.

An image and its magnitude need not be in memory together: what was shown can go while the rest is still to come. An array of
numpy's own is freed as a whole or not at all, so large ones lie in pages that are asked for here.
"""

import math
import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]

_LARGE_BYTES: Final = 2**26  # beyond what malloc keeps for the next one anyway (at most 32 MiB)
_STEP_BYTES: Final = 2**21  # a huge page


def empty_pages(shape: tuple[int, ...]) -> Complex:
    """Like ``np.empty`` of complex64; a large array's memory can be returned by ``give_back``."""
    n_values = math.prod(shape)
    n_bytes = n_values * np.dtype(np.complex64).itemsize
    if n_bytes < _LARGE_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return np.empty(shape, dtype=np.complex64)
    pages = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype=np.complex64).reshape(shape)


def zero_pages(shape: tuple[int, ...]) -> Complex:
    """Like ``empty_pages``, filled with zeros; pages from the system are that already."""
    array = empty_pages(shape)
    return array if pages_of(array) is not None else np.zeros(shape, dtype=np.complex64)


def pages_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The pages in which an array of ``empty_pages``, or a part of it, lies; None for any other array."""
    return _owner(array)[1]


def give_back(array: NDArray[Any], n_bytes: int) -> None:
    """Return the first bytes of an array's memory, as many whole steps of it as there are; they read as zero from then on.

    Parameters
    ----------
    array
        C-contiguous, of ``empty_pages``; nothing happens to any other.
    n_bytes
        How much of it from its start is not needed any more.
    """
    root, pages = _owner(array)
    if pages is None or not array.flags.c_contiguous:
        return
    start = array.ctypes.data - root.ctypes.data
    first, last = -(-start // _STEP_BYTES), (start + n_bytes) // _STEP_BYTES
    if last > first:
        pages.madvise(mmap.MADV_DONTNEED, first * _STEP_BYTES, (last - first) * _STEP_BYTES)


def _owner(array: NDArray[Any]) -> tuple[NDArray[Any], mmap.mmap | None]:
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    base = root.base.obj if isinstance(root.base, memoryview) else root.base
    return root, base if isinstance(base, mmap.mmap) and not isinstance(root, np.memmap) else None
