# SPDX-License-Identifier: MIT
"""Images of k-space arrays that say nothing about themselves: axes and centre are found from the data."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.volume import PLACE_UNKNOWN, ImageGeometry, Volume
from isocenter.recon.cartesian import root_sum_of_squares
from isocenter.recon.channels import tell_channels
from isocenter.recon.fourier import Complex, to_image
from isocenter.recon.options import MAX_MATRIX

_PEAKED: Final = 3.0
"""Energy near the strongest index of an encoded axis is at least this often what an even spread would give."""

_TWO: Final = 2
_SHORT: Final = 16
_FEW: Final = 6
_THIN: Final = 0.6
_CENTRAL_SHARE: Final = 0.42
"""Energy of the central partition of a short encoded axis; of a stack of as many slices none has a third."""
_SPIKE: Final = 100.0
"""Power over that of the strongest neighbour, which only a disturbance has; the centre of k-space has about ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the axes of an array mean, found or given.

    Attributes
    ----------
    encoded
        Axes to transform: two for slices, three for a 3D scan, its partitions first. The last two become rows and columns.
    channels, slices
        Axis of the receive channels and of the slices, None without.
    centre
        Index of k = 0 along each encoded axis.
    """

    encoded: tuple[int, ...]
    channels: int | None
    slices: int | None
    centre: tuple[int, ...]


def reconstruct_plain(
    kspace: Complex,
    matrix: tuple[int, int] | None = None,
    *,
    encoded_axes: tuple[int, ...] | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Magnitude images of a k-space array of unknown origin.

    Zero-filled about the found centre to ``matrix`` and transformed; channels are combined by root sum of squares. Whether
    another program would transform forward or backward changes only the sense of the axes, and nothing here knows it: the
    images may be turned by 180 degrees against its own.

    Parameters
    ----------
    kspace
        Two to four axes that are longer than 1, in any order.
    matrix
        Rows and columns of the images; None keeps those of the data.
    encoded_axes, channel_axis
        What the axes are, where it cannot be told from the data. Indices into ``kspace.shape``.

    Returns
    -------
        float32, shape ``(n_slices, n_rows, n_cols)``.

    Raises
    ------
    ReconError
        Not k-space, or axes that could mean several things; the remedy says what to pass.
    """
    largest = float(np.abs(kspace).max(initial=0.0))
    if not math.isfinite(largest):
        raise ReconError("The k-space contains values that are not numbers.", "Export the file again.")
    unit = largest if not 1e-15 < largest < 1e15 else 1.0  # squares must stay within single precision
    kspace = (kspace / unit).astype(np.complex64) if unit and (unit != 1.0 or kspace.dtype != np.complex64) else kspace
    layout = find_layout(kspace, encoded_axes=encoded_axes, channel_axis=channel_axis)
    sizes = [kspace.shape[axis] for axis in layout.encoded]
    if matrix is not None:
        if not all(1 <= size <= MAX_MATRIX for size in matrix):
            raise ReconError(f"A matrix of {matrix[0]}x{matrix[1]} is not possible.", f"Give sizes from 1 to {MAX_MATRIX}.")
        sizes[-2:] = matrix
    order = [axis for axis in (layout.channels, layout.slices) if axis is not None] + list(layout.encoded)
    rest = [axis for axis in range(kspace.ndim) if axis not in order]
    image = kspace.transpose([*rest, *order])
    image = image.reshape(image.shape[len(rest) :])
    for axis, size, centre in zip(range(-len(sizes), 0), sizes, layout.centre, strict=True):
        image = to_image(image, axis + image.ndim, size=size, centre=float(centre), with_phase=False)
    combined = root_sum_of_squares(image) if layout.channels is not None else np.asarray(np.abs(image), dtype=np.float32)
    return combined.reshape((-1, *combined.shape[-2:]))


def find_layout(kspace: Complex, *, encoded_axes: tuple[int, ...] | None = None, channel_axis: int | None = None) -> Layout:
    """Tell encoded axes (energy gathers around one index) from slices and channels (it does not).

    With one other axis it is taken for slices. With two, the images tell which is channels (``tell_channels``); if they do
    not, the outermost, when the encoded axes stand together at one end.
    """
    shape = kspace.shape
    if not np.any(kspace):
        raise ReconError("The k-space is empty: all samples are zero.", "Give the variable that holds the measured data.")
    given = [*(encoded_axes or ()), *([] if channel_axis is None else [channel_axis])]
    if any(not -kspace.ndim <= axis < kspace.ndim for axis in given) or len(given) != len(
        {axis % kspace.ndim for axis in given}
    ):
        raise ReconError(f"Axes {given} do not fit an array of {_text(shape)}.", f"Count them from 0 to {kspace.ndim - 1}.")
    size = np.abs(kspace)
    whole = ((size / size.max()) ** 2).astype(np.float32)
    power = _without_spikes(whole)
    channels = None if channel_axis is None else channel_axis % kspace.ndim
    if encoded_axes is not None:
        encoded = tuple(axis % kspace.ndim for axis in encoded_axes)
    else:
        try:
            encoded = _find_encoded(power, channels)
        except ReconError:  # an object without detail has little but its centre, which then looks like a spark
            power, encoded = whole, _find_encoded(whole, channels)
    if len(encoded) not in {2, 3}:
        raise ReconError(f"{len(encoded)} encoded axes give no image.", "Name two axes for slices, three for a 3D scan.")
    others = [axis for axis in range(kspace.ndim) if axis not in encoded and axis != channels and shape[axis] > 1]
    centre = _centre(power, encoded)
    if channels is None and len(others) == _TWO and len(encoded) == _TWO:
        pair, both = (encoded[0], encoded[1]), (others[0], others[1])
        channels = tell_channels(kspace, pair, (centre[0], centre[1]), both)
        channels = _outer(encoded, others, shape) if channels is None else channels
        others.remove(channels)
    elif channels is None and len(others) == 1 and len(encoded) == 3:
        channels = others.pop()
    if len(others) > (1 if len(encoded) == _TWO else 0):
        raise ReconError(
            f"In an array of {_text(shape)} the axes {others} could be slices, channels or repetitions.",
            "Take one repetition out of it, or name the encoded axes (--axes) and the channel axis (--channel-axis).",
        )
    return Layout(encoded=encoded, channels=channels, slices=others[0] if others else None, centre=centre)


def _find_encoded(power: NDArray[np.float32], channels: int | None) -> tuple[int, ...]:
    shape = power.shape
    long = [axis for axis in range(power.ndim) if shape[axis] > 1 and axis != channels]
    if len(long) < _TWO:
        raise ReconError(
            f"An array of {_text(shape)} has fewer than two axes to transform.", "Give k-space with rows and columns."
        )
    is_lone = len(long) == 3
    encoded = long if len(long) == _TWO else [axis for axis in long if _is_encoded(power, axis, is_lone=is_lone)]
    flat = [axis for axis in encoded if _peakedness(power, axis) < min(_PEAKED, shape[axis] / 2.5)]
    if len(encoded) not in {2, 3} or flat:
        raise ReconError(
            f"The array of {_text(shape)} does not look like k-space: its energy gathers around one point along "
            f"{len(encoded) - len(flat)} of its axes, and 2 or 3 are needed.",
            "Give the variable with k-space, not images; if it is k-space, name its encoded axes (--axes).",
        )
    if len(encoded) == 3:  # partitions are the shortest as a rule
        shortest = min(encoded, key=lambda axis: shape[axis])
        others = [axis for axis in encoded if axis != shortest]
        encoded = [shortest, *others] if shape[shortest] <= _THIN * min(shape[axis] for axis in others) else encoded
    return tuple(encoded)


def _is_encoded(power: NDArray[np.float32], axis: int, *, is_lone: bool) -> bool:
    """A short axis must be mostly at one index near its middle: one of a few channels may well have half of the energy.

    One short axis beside two long ones is slices or encoded; then less will do, since slices share the energy more evenly.
    """
    size = power.shape[axis]
    if size >= _SHORT:
        return _peakedness(power, axis) >= _PEAKED
    profile = power.sum(axis=tuple(other for other in range(power.ndim) if other != axis), dtype=np.float64)
    is_central = abs(int(profile.argmax()) - size // 2) <= size // 4
    if is_lone and size >= _FEW:
        return bool(is_central and profile.max() >= _CENTRAL_SHARE * profile.sum())
    return bool(is_central and _peakedness(power, axis) >= max(_PEAKED, 0.6 * size))


def _without_spikes(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power in which a lone sample that towers over its neighbours along the long axes is cut down to what they allow."""
    most = np.zeros_like(power)
    for axis, size in enumerate(power.shape):
        if size >= _SHORT:
            ahead, behind = [slice(None)] * power.ndim, [slice(None)] * power.ndim
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            for here, there in ((ahead, behind), (behind, ahead)):
                np.maximum(most[tuple(here)], power[tuple(there)], out=most[tuple(here)])
    return np.minimum(power, _SPIKE * most) if np.any(most) else power


def _peakedness(power: NDArray[np.float32], axis: int) -> float:
    """Energy within a sixteenth to each side of the strongest index, over that of an even spread."""
    profile = power.sum(axis=tuple(other for other in range(power.ndim) if other != axis), dtype=np.float64)
    size, strongest = len(profile), int(profile.argmax())
    reach = size // 16
    near = profile[max(strongest - reach, 0) : strongest + reach + 1]
    return float(near.sum() / profile.sum() * size / len(near))


def _outer(encoded: tuple[int, ...], others: list[int], shape: tuple[int, ...]) -> int:
    if max(encoded) < min(others):
        return max(others)
    if min(encoded) > max(others):
        return min(others)
    raise ReconError(
        f"In an array of {_text(shape)} either of the axes {others} could be the receive channels.",
        "Name the channel axis (--channel-axis).",
    )


def _centre(power: NDArray[np.float32], encoded: tuple[int, ...]) -> tuple[int, ...]:
    """Index of the strongest sample, summed over slices and channels: there all of the object is in phase."""
    summed = power.sum(axis=tuple(axis for axis in range(power.ndim) if axis not in encoded), dtype=np.float64)
    index = np.unravel_index(int(summed.argmax()), summed.shape)
    by_axis = dict(zip(sorted(encoded), (int(value) for value in index), strict=True))
    return tuple(by_axis[axis] for axis in encoded)


def plain_volume(images: NDArray[np.float32], source: str) -> Volume:
    """Images of unknown place as a volume that says so: its voxels of 1 mm are a stand-in (``Volume.is_placed``)."""
    n_slices, n_rows, n_cols = images.shape
    geometry = ImageGeometry(
        first_voxel_m=-1e-3 * np.array([n_cols // 2, n_rows // 2, n_slices // 2], dtype=np.float64),
        row_direction=np.array([1.0, 0.0, 0.0]),
        column_direction=np.array([0.0, 1.0, 0.0]),
        slice_direction=np.array([0.0, 0.0, 1.0]),
        spacing_m=(1e-3, 1e-3, 1e-3),
        slice_thickness_m=1e-3,
    )
    notes = (("source", source), PLACE_UNKNOWN)
    return Volume(data=images, geometry=geometry, provenance=notes)


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
