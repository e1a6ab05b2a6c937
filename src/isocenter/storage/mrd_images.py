# SPDX-License-Identifier: MIT
"""Images of an outside reconstruction as volumes in the patient.

Position, directions and field of view come from each image's own header, in patient axes and millimetres. Source: ISMRMRD,
doc/mrd_image_data.md. As everywhere here the position is that of the middle of the image: index n // 2 of each axis.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.geometry import PatientPosition
from isocenter.domain.volume import PLACE_UNKNOWN, ImageGeometry, Volume
from isocenter.storage.mrd_wire import MrdImage

LABEL: Final = "outside"
"""Label of every volume made elsewhere."""

_PHASE, _REAL, _COLOUR = 2, 3, 6
_TOLERANCE: Final = 1e-3
_UNEVEN: Final = 0.02
_LONGEST_DIRECTION: Final = 10.0
_FARTHEST_MM: Final = 1e5
_LARGEST: Final = 1e30
_MAX_SIDE_M: Final = 2.0
_GROUPS: Final = ("image_series_index", "image_type", "average", "contrast", "phase", "repetition", "set")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideVolumes:
    """Volumes, and what could not be taken."""

    volumes: tuple[Volume, ...]
    warnings: tuple[str, ...] = ()


def volumes_of(images: Sequence[MrdImage], position: PatientPosition, source: str) -> OutsideVolumes:
    """Stack images that belong together.

    Parameters
    ----------
    position
        How the patient lay.
    source
        Who made them, for the provenance.
    """
    groups: dict[Hashable, list[MrdImage]] = defaultdict(list)
    warnings: list[str] = []
    for image in images:
        if int(image.head["image_type"]) == _COLOUR:
            warnings.append("A colour image of the outside reconstruction is left out.")
        elif not _is_sound(image.data):
            warnings.append("An image of the outside reconstruction contains values that are not numbers; it is left out.")
        else:
            numbers = tuple(int(image.head[name]) for name in _GROUPS)
            groups[(*numbers, image.data.shape, _directions_key(image))].append(image)
    stacks = [stack for group in groups.values() for stack in _stacks(group)]
    volumes = [_stack(stack, position, source, warnings) for stack in stacks]
    return OutsideVolumes(volumes=tuple(volumes), warnings=tuple(dict.fromkeys(warnings)))


def _is_sound(data: NDArray[Any]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.all(np.abs(data) < _LARGEST))


def _stacks(group: list[MrdImage]) -> list[list[MrdImage]]:
    """A group as one stack of slices when these lie evenly behind each other, else each image for itself."""
    if len(group) == 1:
        return [group]
    heights = _heights_m(group)
    gaps = np.diff(np.sort(heights)) if np.all(np.isfinite(heights)) else np.zeros(1)
    if group[0].data.shape[1] == 1 and gaps.min() > _TOLERANCE * 1e-2 and np.ptp(gaps) < _UNEVEN * gaps.max():
        return [group]
    return [[image] for image in group]


def _heights_m(images: list[MrdImage]) -> NDArray[np.float64]:
    """Along the normal of the first one."""
    axes = _axes(images[0])
    places_mm = np.stack([image.head["position"].astype(np.float64) for image in images])
    places_mm[~(np.abs(places_mm) < _FARTHEST_MM)] = np.nan
    return np.asarray(places_mm @ np.cross(axes[0], axes[1]) * 1e-3, dtype=np.float64)


def _directions_key(image: MrdImage) -> tuple[int, ...]:
    return tuple(int(value) for value in np.round(_axes(image) * 1e3).ravel())


def _axes(image: MrdImage) -> NDArray[np.float64]:
    """Directions of increasing x, y and z as rows, zero where it can be none; the attributes tell when it was turned."""
    told = _attributes(image.attributes)
    rows = []
    for attribute, name in (("ImageRowDir", "read_dir"), ("ImageColumnDir", "phase_dir"), ("ImageSliceDir", "slice_dir")):
        rows.append(told.get(attribute, image.head[name].astype(np.float64)))
    axes = np.stack(rows)
    return np.where(np.abs(axes) < _LONGEST_DIRECTION, axes, 0.0)  # NaN is not less either


def _attributes(text: str) -> dict[str, NDArray[np.float64]]:
    """Vectors among the attributes; none when they are not XML."""
    if not text.strip() or "<!" in text:
        return {}
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  no entities, limited size
    except (ElementTree.ParseError, ValueError):
        return {}
    found = {}
    for meta in root.iter("meta"):
        values = [element.text or "" for element in meta.findall("value")]
        try:
            numbers = np.array([float(value) for value in values])
        except ValueError:
            continue
        if numbers.shape == (3,):
            found[meta.findtext("name") or ""] = numbers
    return found


def _stack(images: list[MrdImage], position: PatientPosition, source: str, warnings: list[str]) -> Volume:
    first = images[0]
    axes = _axes(first)
    is_placed = bool(np.allclose(axes @ axes.T, np.eye(3), atol=1e-2)) and bool(
        all(np.all(np.abs(image.head["position"]) < _FARTHEST_MM) for image in images)
    )
    size = np.array([first.data.shape[3], first.data.shape[2], first.data.shape[1]], dtype=np.float64)
    fov_m = first.head["field_of_view"].astype(np.float64) * 1e-3
    if not np.all((fov_m > 0) & (fov_m < _MAX_SIDE_M)):
        is_placed, fov_m = False, size * 1e-3
    if not is_placed:
        warnings.append("The outside reconstruction does not say where its images lie; they are kept without a place.")
        axes = np.eye(3)
    normal = np.cross(axes[0], axes[1])
    voxel_m = fov_m / size
    places_m = np.stack([image.head["position"].astype(np.float64) * 1e-3 for image in images]) if is_placed else None
    slices = [_combined(image.data) for image in images]
    if axes[2] @ normal < 0:
        slices = [part[::-1] for part in slices]
    order, spacing_m = _in_space(images, float(voxel_m[2])) if is_placed else ([*range(len(images))], float(voxel_m[2]))
    middle_m = places_m[order[0]] if places_m is not None else np.zeros(3)
    n_z = first.data.shape[1]
    lower = (n_z // 2) if axes[2] @ normal >= 0 else n_z - 1 - n_z // 2
    geometry = ImageGeometry(
        first_voxel_m=middle_m
        - axes[0] * voxel_m[0] * (int(size[0]) // 2)
        - axes[1] * voxel_m[1] * (int(size[1]) // 2)
        - normal * voxel_m[2] * lower,
        row_direction=axes[0],
        column_direction=axes[1],
        slice_direction=normal,
        spacing_m=(spacing_m, float(voxel_m[1]), float(voxel_m[0])),
        slice_thickness_m=float(voxel_m[2]),
        position=position,
    )
    data = np.concatenate([slices[index] for index in order])
    notes: tuple[tuple[str, str], ...] = (("outside reconstruction", source),)
    return Volume(
        data=data,
        geometry=geometry,
        provenance=notes if is_placed else (*notes, PLACE_UNKNOWN),
        kind=_kind(int(first.head["image_type"])),
        label=LABEL,
    )


def _kind(image_type: int) -> str:
    return {_PHASE: "phase", _REAL: "real"}.get(image_type, "magnitude")


def _combined(data: NDArray[Any]) -> NDArray[np.float32]:
    """Magnitude over channels where there are several or the values are complex, shape (z, y, x)."""
    if len(data) == 1 and data.dtype.kind != "c":
        return np.asarray(data[0], dtype=np.float32)
    power = np.sum(np.abs(data.astype(np.complex128 if data.dtype.kind == "c" else np.float64)) ** 2, axis=0)
    return np.asarray(np.sqrt(power), dtype=np.float32)


def _in_space(images: list[MrdImage], thickness_m: float) -> tuple[list[int], float]:
    """Order of images along the normal, and the distance of their slices [m]."""
    if len(images) == 1:
        return [0], thickness_m
    heights = _heights_m(images)
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    return order, float(np.diff(heights[order]).mean())
