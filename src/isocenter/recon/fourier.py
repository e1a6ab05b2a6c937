# SPDX-License-Identifier: MIT
"""The Fourier transform from k-space to image, with zero-filling, any centre, odd and even sizes.

Three engines: ducc0 where a person has installed it; our own loops (package ``fft``) for large arrays in programs that have
compiled loops anyway (``compiled``), since loading the compiler takes longer than one image; else scipy. They
agree within the rounding of single precision.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.compiled import loops
from isocenter.recon.pages import empty_pages

if TYPE_CHECKING:
    from isocenter.recon.fft.plan import Plan

Complex = NDArray[np.complex64]

_MOST_THREADS: Final = 4
_WORTH_THREADS: Final = 2**18  # measured: below this a second thread costs more than it brings
_WORTH_OWN_THREADS: Final = 2**22  # the same for our own loops, which leave less to share
_WORTH_OWN: Final = 2**15
_LONGEST_OWN: Final = 4096  # beyond, sixteen lines no longer fit the second cache


def to_image(
    kspace: Complex, axis: int, *, size: int, centre: float, with_phase: bool = True, kept: slice | None = None
) -> Complex:
    """One axis of an image: ``rho[p] = sum_j s[j] exp(-2 pi i (j - centre) (p - size // 2) / size)``.

    Parameters
    ----------
    kspace
        Samples, complex64, any shape.
    axis
        Which axis to transform.
    size
        Voxels of the result along it. More than there are samples: zero-filled. Fewer: those nearest the centre are used.
    centre
        Index of k = 0, need not be whole nor in the middle.
    with_phase
        False leaves out the last factor, which has magnitude 1; enough where only the magnitude is wanted.
    kept
        The voxels of the result, without the others; None for all.

    Returns
    -------
        complex64, image centre at ``size // 2``, contiguous.

    Source
    ------
    docs/conventions.md; the shifts of the centre become factors before and after a plain transform, for even sizes +-1
    before it (reference performance.md 1).
    """
    if size < 1:
        raise ValueError(f"size must be positive, not {size}")
    axis %= kspace.ndim
    n_samples, start = kspace.shape[axis], 0
    if n_samples > size:  # keep the part whose centre index equals the centre of the smaller axis
        start = min(max(round(centre) - size // 2, 0), n_samples - size)
        centre, n_samples = centre - start, size
    wanted = kept or slice(0, size)
    own = _own(kspace)
    if own is not None:
        how = _planned(size, float(centre), (start, n_samples), (wanted.start, wanted.stop), with_phase)
        if how is not None:
            shape = (*kspace.shape[:axis], wanted.stop - wanted.start, *kspace.shape[axis + 1 :])
            result = empty_pages(shape)
            own.transform_axis(np.ascontiguousarray(kspace), result, axis, how, _own_threads(result.size))
            return result
    from scipy import fft

    taken = np.take(kspace, range(start, start + n_samples), axis=axis) if n_samples < kspace.shape[axis] else kspace
    weighted = taken * _along(_phase_before(n_samples, size), axis, kspace.ndim)
    image = cast(Complex, fft.fft(weighted, n=size, axis=axis, overwrite_x=True))
    if with_phase:
        image *= _along(_phase_after(size, centre), axis, kspace.ndim)
    return image if kept is None else np.ascontiguousarray(image[(slice(None),) * axis + (wanted,)])


def lines_to_images(
    samples: Complex,
    order: NDArray[np.int64],
    axes: Sequence[tuple[int, int, float]],
    *,
    size: int,
    centre: float,
    kept: slice | None = None,
) -> Complex | None:
    """Images from lines that are not in place yet, so that nothing copies them first; None where it gains nothing.

    Parameters
    ----------
    samples
        complex64, shape ``(n, n_samples)``, C-contiguous; at most ``size`` samples.
    order
        Which line is where, int64, one axis less than the images have.
    axes
        The other axes, as for ``to_images``.
    size, centre, kept
        Of the last axis, as for ``to_image``.
    """
    n_samples, wanted, own, before_last = samples.shape[1], kept or slice(0, size), _own(samples), order.ndim - 1
    if own is None or n_samples > size:
        return None
    how = _planned(size, float(centre), (0, n_samples), (wanted.start, wanted.stop))
    if how is None:
        return None
    near = [item for item in axes if item[0] == before_last and item[1] == order.shape[-1]]
    planes = _planned(near[0][1], float(near[0][2]), (0, near[0][1]), (0, near[0][1])) if near else None
    image = empty_pages((*order.shape, how.n_given))
    own.transform_lines(samples, order.ravel(), image, how, planes, _own_threads(image.size))
    return to_images(image, [item for item in axes if planes is None or item[0] != before_last], overwrite=True)


def to_images(kspace: Complex, axes: Sequence[tuple[int, int, float]], *, overwrite: bool = False) -> Complex:
    """Several axes of an image at once, each as ``to_image`` does it.

    Parameters
    ----------
    kspace
        Samples, complex64.
    axes
        Axis, voxels along it, index of k = 0.
    overwrite
        The samples are not needed any more: where the size stays, the image takes their place.

    Returns
    -------
        complex64; ``kspace`` itself, changed, if ``overwrite`` allowed it.
    """
    same = [item for item in axes if kspace.shape[item[0]] == item[1]]
    for axis, size, centre in axes:
        if (axis, size, centre) not in same:
            kspace, overwrite = to_image(kspace, axis, size=size, centre=centre), True
    if not same:
        return kspace
    image = _in_place(kspace, same, overwrite=overwrite)
    if image is not None:
        return image
    if not overwrite or not kspace.flags.c_contiguous or not kspace.flags.writeable:
        kspace = kspace.copy()
    _weigh(kspace, [(axis, _phase_before(size, size)) for axis, size, _ in same])
    image = transform(kspace, tuple(axis for axis, _, _ in same))
    _weigh(image, [(axis, _phase_after(size, centre)) for axis, size, centre in same])
    return image


def _in_place(kspace: Complex, axes: Sequence[tuple[int, int, float]], *, overwrite: bool) -> Complex | None:
    """``to_images`` by our own loops where sizes stay; None where they are not for them."""
    own = _own(kspace)
    if own is None:
        return None
    found = [(axis % kspace.ndim, _planned(size, float(centre), (0, size), (0, size))) for axis, size, centre in axes]
    if any(how is None for _, how in found):
        return None
    source = np.ascontiguousarray(kspace)
    image = source if source.flags.writeable and (overwrite or source is not kspace) else np.empty_like(source)
    for axis, how in sorted(found, key=lambda item: -item[0]):
        own.transform_axis(source, image, axis, how, _own_threads(image.size))
        source = image
    return image


@functools.lru_cache(maxsize=256)
def _planned(
    size: int, centre: float, taken: tuple[int, int], kept: tuple[int, int], with_phase: bool = True
) -> "Plan | None":
    """One axis as our own loops do it: first sample that is taken and how many; first and last voxel, not included."""
    if size > _LONGEST_OWN:
        return None
    from isocenter.recon.fft.plan import plan_of

    after = _phase_after(size, centre) if with_phase else np.ones(size, dtype=np.float32)
    before = _phase_before(taken[1], size)
    return plan_of(size, before, after[slice(*kept)], skipped=taken[0], first=kept[0])


def _own(array: Complex) -> ModuleType | None:
    """Our own loops where they are worth it."""
    if array.size < _WORTH_OWN or array.dtype != np.complex64 or _ducc0() is not None:
        return None
    return loops("fft.transform")


def _own_threads(n_values: int) -> int:
    return _threads(n_values) if n_values >= _WORTH_OWN_THREADS else 1


def to_kspace(image: Complex, axis: int, *, centre: float) -> Complex:
    """Undoes ``to_image`` of the same size and centre along one axis.

    Returns
    -------
        complex64, as many samples as there are voxels.
    """
    from scipy import fft

    size = image.shape[axis]
    weighted = image * _along(_phase_after(size, centre).conj(), axis, image.ndim)
    kspace = cast(Complex, fft.ifft(weighted, axis=axis, overwrite_x=True))
    kspace *= _along(_phase_before(size, size).conj(), axis, image.ndim)
    return kspace


def transform(array: Complex, axes: tuple[int, ...]) -> Complex:
    """Plain forward FFT along some axes, in the array's own memory as far as the engine can.

    ducc0 where a person has installed it (it is faster, and GPL: no dependency of ours), else scipy.
    """
    n_threads = _threads(array.size)
    ducc0 = _ducc0()
    if ducc0 is not None:
        return cast(Complex, ducc0.fft.c2c(array, axes=axes, forward=True, out=array, nthreads=n_threads))
    from scipy import fft

    return cast(Complex, fft.fftn(array, axes=axes, overwrite_x=True, workers=n_threads))


@functools.cache
def _ducc0() -> Any:
    return importlib.import_module("ducc0") if importlib.util.find_spec("ducc0") is not None else None


def _threads(n_values: int) -> int:
    """Small transforms on one thread: starting others takes longer, and a neighbour may need the core."""
    return min(os.cpu_count() or 1, _MOST_THREADS) if n_values >= _WORTH_THREADS else 1


def _weigh(array: Complex, factors: Sequence[tuple[int, NDArray[np.float32] | Complex]]) -> None:
    """Multiply by a factor along each axis, in one pass over the array and with one plane of extra memory."""
    last = [item for item in factors if item[0] >= array.ndim - 2]
    plane: Any = np.ones((1, 1), dtype=np.float32)
    for axis, factor in last:
        plane = plane * _along(factor, axis - array.ndim + 2, 2)
    blocks = array.reshape(-1, *array.shape[-2:])
    others: Any = np.ones((1,) * (array.ndim - 2), dtype=np.float32)
    for axis, factor in factors:
        if axis < array.ndim - 2:
            others = others * _along(factor, axis, array.ndim - 2)
    each = np.broadcast_to(others, array.shape[:-2]).ravel()
    if np.iscomplexobj(plane) or np.iscomplexobj(others):
        for block, factor in zip(blocks, each, strict=True):
            np.multiply(block, plane * factor, out=block)
        return
    # Real factors weigh real and imaginary parts alike, with a quarter of the work of a complex product. They are signs.
    plane = np.repeat(plane, 2, axis=1) if plane.shape[1] > 1 else plane
    planes = {factor: plane * np.float32(factor) for factor in np.unique(each).tolist()}
    for block, factor in zip(blocks.view(np.float32), each.tolist(), strict=True):
        np.multiply(block, planes[factor], out=block)


def _phase_before(n_samples: int, size: int) -> NDArray[np.float32] | Complex:
    """Puts the image's centre at ``size // 2``; plain signs for an even size."""
    if size % 2 == 0:
        return np.where(np.arange(n_samples) % 2, np.float32(-1), np.float32(1))
    turns = np.arange(n_samples) * (size // 2) % size / size  # reduced first, so that float64 keeps every digit
    return cast(Complex, np.exp(2j * np.pi * turns).astype(np.complex64))


def _phase_after(size: int, centre: float) -> NDArray[np.float32] | Complex:
    """Puts k = 0 at ``centre``; plain signs where it lies in the middle of an even size."""
    if size % 2 == 0 and centre == size // 2:
        return np.where((np.arange(size) - size // 2) % 2, np.float32(-1), np.float32(1))
    return cast(Complex, np.exp(2j * np.pi * centre * (np.arange(size) - size // 2) / size).astype(np.complex64))


def _along(vector: NDArray[Any], axis: int, n_dim: int) -> Any:
    shape = [1] * n_dim
    shape[axis] = -1
    return vector.reshape(shape)
