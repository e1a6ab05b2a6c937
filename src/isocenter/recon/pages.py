# SPDX-License-Identifier: MIT
"""Memory of k-space: large arrays go back to the system piece by piece, smaller ones are used again.

An image and its magnitude need not be in memory together: what was shown can go while the rest is still to come. An array of
numpy's own is freed as a whole or not at all, so large ones lie in pages that are asked for here.

New memory is slow: the system clears each page when it is first touched, for 8 MB as long as a transform takes. Pictures of
one scan follow each other and are of one size, so the last two arrays that nobody holds any more wait for the next.
"""

import math
import mmap
import weakref
from collections import deque
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]
Pages = TypeVar("Pages", bound=mmap.mmap)

_LARGE_BYTES: Final = 2**26  # beyond what malloc keeps for the next one anyway (at most 32 MiB)
_STEP_BYTES: Final = 2**21  # a huge page
_REUSED_BYTES: Final = 2**22  # below, malloc has some at hand


class _Reused(mmap.mmap):
    """Memory that an array of middle size had, and another may have."""


_waiting: Final[deque[_Reused]] = deque(maxlen=2)  # appending and taking are whole in every thread; the oldest goes


def empty_pages(shape: tuple[int, ...]) -> Complex:
    """Like ``np.empty`` of complex64; a large array's memory can be returned by ``give_back``."""
    n_bytes = math.prod(shape) * np.dtype(np.complex64).itemsize
    if n_bytes < _REUSED_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return np.empty(shape, dtype=np.complex64)
    if n_bytes >= _LARGE_BYTES:
        return np.frombuffer(_asked_for(mmap.mmap, n_bytes), dtype=np.complex64).reshape(shape)
    pages = _used_before(n_bytes) or _asked_for(_Reused, n_bytes)
    whole: Complex = np.frombuffer(pages, dtype=np.complex64)
    weakref.finalize(whole, _waiting.append, pages).atexit = False  # every part of the array holds the whole
    return whole.reshape(shape)


def _asked_for(kind: type[Pages], n_bytes: int) -> Pages:
    pages = kind(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def _used_before(n_bytes: int) -> _Reused | None:
    for _ in range(len(_waiting)):
        try:
            pages = _waiting.popleft()
        except IndexError:  # another thread was faster
            return None
        if len(pages) == n_bytes:
            return pages
        _waiting.append(pages)
    return None


def zero_pages(shape: tuple[int, ...]) -> Complex:
    """Like ``empty_pages``, filled with zeros; pages from the system are that already."""
    if math.prod(shape) * np.dtype(np.complex64).itemsize < _LARGE_BYTES:
        return np.zeros(shape, dtype=np.complex64)
    array = empty_pages(shape)
    return array if pages_of(array) is not None else np.zeros(shape, dtype=np.complex64)


def pages_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The pages in which a large array of ``empty_pages``, or a part of it, lies; None for any other array."""
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
    is_ours = isinstance(base, mmap.mmap) and not isinstance(base, _Reused) and not isinstance(root, np.memmap)
    return root, base if is_ours else None
