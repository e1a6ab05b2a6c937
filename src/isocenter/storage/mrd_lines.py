# SPDX-License-Identifier: MIT
"""From the heads of our own ISMRMRD files back to labels, times and trajectories."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import CompiledScan
from isocenter.domain.geometry import Placement, lps_from_device
from isocenter.storage.mrd_heads import (
    FLAG_OF_LABEL,
    INDEX_OF_LABEL,
    MIXED_SLOTS,
    MIXED_UNIT_PER_M2,
    REFERENCE_AND_IMAGING,
    REFERENCE_AND_NAVIGATOR,
    TIME_STAMP_S,
    extra_labels,
)


def has_flag(heads: NDArray[Any], number: int) -> NDArray[np.bool_]:
    """Which heads have a flag; numbers count from 1, as in ISMRMRD."""
    return np.asarray((heads["flags"].astype(np.uint64) & np.uint64(1 << (number - 1))) != 0)


def labels_of(heads: NDArray[Any], names: tuple[str, ...]) -> dict[str, NDArray[np.int32]]:
    """Pulseq labels that heads of our own files hold."""
    labels: dict[str, NDArray[np.int32]] = {}
    extra = extra_labels(names)
    for name in names:
        if name in INDEX_OF_LABEL:
            labels[name] = heads["idx"][INDEX_OF_LABEL[name]].astype(np.int32)
        elif name in FLAG_OF_LABEL:
            labels[name] = has_flag(heads, FLAG_OF_LABEL[name]).astype(np.int32)
            if name == "REF":
                labels[name] |= has_flag(heads, REFERENCE_AND_IMAGING) | has_flag(heads, REFERENCE_AND_NAVIGATOR)
        else:
            labels[name] = heads["user_int"][:, extra.index(name)].astype(np.int32)
    return labels


def times_s(heads: NDArray[Any]) -> NDArray[np.float64]:
    """Start of each first sample since the start of the scan [s]: the stamp, and what is below its unit."""
    stamps = heads["acquisition_time_stamp"].astype(np.float64) * TIME_STAMP_S
    return np.asarray(stamps + heads["user_float"][:, 0].astype(np.float64), dtype=np.float64)


def evolution_s_of(heads: NDArray[Any]) -> NDArray[np.float64]:
    """Free evolution at each first sample [s]; empty when unknown, as in files that were written before it was kept."""
    values = heads["user_float"][:, 1].astype(np.float64)
    return values if np.any(np.isfinite(values) & (values != 0)) else np.zeros(0)


def square_moments_of(heads: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.float32]:
    """What concomitant fields left at each first sample; empty when unknown. ``names`` are those of the heads' labels."""
    plain = heads["user_float"][:, 5:8].astype(np.float32)
    if len(extra_labels(names)) > MIXED_SLOTS.start or not np.isfinite(plain).all() or not plain.any():
        return np.zeros((0, 6), dtype=np.float32)
    mixed = heads["user_int"][:, MIXED_SLOTS] * MIXED_UNIT_PER_M2
    return np.concatenate([plain, mixed.astype(np.float32)], axis=1)


def trajectory_in_file(k_per_m: NDArray[np.float32], head: NDArray[Any], placement: Placement) -> NDArray[np.float32]:
    """Trajectory in device axes [1/m] as the file holds it: along the directions of a head, in its units."""
    axes = _device_axes(head, placement)
    return np.asarray(np.einsum("...d,da->...a", k_per_m, axes) / head["user_float"][2:5], dtype=np.float32)


def trajectory_of_file(values: NDArray[np.float32], head: NDArray[Any], placement: Placement) -> NDArray[np.float32]:
    """The other way round."""
    axes = _device_axes(head, placement) * head["user_float"][2:5]
    return np.asarray(np.einsum("...a,da->...d", values, axes), dtype=np.float32)


def scan_trajectories(
    scan: CompiledScan, heads: NDArray[Any], placement: Placement
) -> list[NDArray[np.float32] | None] | tuple[()]:
    """For each readout of a scan what the file holds of its trajectory, None for those that make no image; empty without."""
    if scan.trajectory_per_m is None or len(heads) == 0:
        return ()
    readouts = scan.readouts
    imaging = np.flatnonzero((readouts.label("NOISE") == 0) & (readouts.label("NAV") == 0))
    rows: list[NDArray[np.float32] | None] = [None] * len(readouts)
    for row, k_per_m in zip(imaging.tolist(), scan.trajectory_per_m, strict=True):
        rows[row] = trajectory_in_file(k_per_m[: int(readouts.n_samples[row])], heads[row], placement)
    heads["trajectory_dimensions"][imaging] = 3
    return rows


def _device_axes(head: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
    lps = np.stack([head[name].astype(np.float64) for name in ("read_dir", "phase_dir", "slice_dir")], axis=1)
    return np.asarray(lps_from_device(placement.position).T @ lps, dtype=np.float64)
