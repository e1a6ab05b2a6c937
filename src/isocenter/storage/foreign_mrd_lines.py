# SPDX-License-Identifier: MIT
"""The imaging lines of an ISMRMRD file of another console: one kind, in order of time, with their counters."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.storage.mrd_lines import has_flag
from isocenter.storage.mrd_table import NOISE, MrdTable

COUNTERS: Final = {
    "LIN": "kspace_encode_step_1",
    "PAR": "kspace_encode_step_2",
    "SLC": "slice",
    "AVG": "average",
    "ECO": "contrast",
    "PHS": "phase",
    "REP": "repetition",
    "SET": "set",
    "SEG": "segment",
}
_TELLING: Final = ("LIN", "PAR", "SLC", "AVG", "ECO", "PHS", "REP", "SET")
_NOT_IMAGE: Final = (19, 23, 24, 26, 27, 28, 29, 30, 31)
"""Noise, navigation, phase correction, feedbacks, dummies, coil correction, phase stabilisation."""
_CALIBRATION, _REVERSED = 20, 22
_MAX_BAD_SHARE: Final = 0.5
_FARTHEST: Final = 1e12
"""No k-space reaches that far, whatever its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLines:
    """Lines that make one image.

    Attributes
    ----------
    samples
        complex64, shape ``(n_lines, n_channels, n_samples)``, finite.
    trajectory
        float32 in the file's units, shape ``(n_lines, n_samples, n_axes)``; None without one that says anything.
    noise
        complex64, shape ``(n, n_channels, n_samples)``; None without.
    """

    samples: NDArray[np.complex64]
    heads: NDArray[Any]
    labels: dict[str, NDArray[np.int32]]
    trajectory: NDArray[np.float32] | None
    noise: NDArray[np.complex64] | None
    warnings: tuple[str, ...] = ()


def choose_lines(table: MrdTable, n_channels_said: int, file_name: str) -> ForeignLines:
    """Sort out what belongs together.

    Raises
    ------
    StorageError
        No imaging line, or hardly one that can be used.
    """
    warnings: list[str] = []
    heads = table.heads
    skip = (heads["number_of_samples"] == 0) | has_flag(heads, _CALIBRATION)
    for number in _NOT_IMAGE:
        skip |= has_flag(heads, number)
    n_channels, n_samples = _true_sizes(table, warnings)
    usable = ~skip & (n_samples > 0)
    if not usable.any():
        raise StorageError(
            f"{file_name} holds no imaging line ({len(heads)} lines in all).", "Give a file with imaging data."
        )
    space = _most(heads["encoding_space_ref"][usable])
    rows = np.flatnonzero(usable & (heads["encoding_space_ref"] == space))
    if left_out := int(usable.sum()) - len(rows):
        warnings.append(f"{left_out} lines of another encoding space are left out.")
    kinds = n_samples[rows] * 65_536 + n_channels[rows]
    usual = _most(kinds)
    if left_out := int(np.sum(kinds != usual)):
        warnings.append(f"{left_out} lines of another length or number of channels are left out.")
    rows = rows[kinds == usual]
    length, channels = usual // 65_536, usual % 65_536
    if n_channels_said and n_channels_said != channels:
        warnings.append(f"The header says {n_channels_said} receive channels; the lines hold {channels}.")
    rows = _in_order_of_time(rows, heads, warnings)
    samples = _finite(_without_discarded(table.samples(rows, channels, length), heads[rows]), file_name, warnings)
    trajectory = _telling_trajectory(table, rows, length)
    noise_rows = np.flatnonzero(has_flag(heads, NOISE) & (n_channels == channels) & (n_samples > 0))
    return ForeignLines(
        samples=samples,
        heads=heads[rows],
        labels=_labels(heads[rows]),
        trajectory=trajectory,
        noise=_noise(table, noise_rows, channels, n_samples),
        warnings=tuple(warnings),
    )


def _true_sizes(table: MrdTable, warnings: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Channels and samples of each line as its data have them; 0 samples where they fit nothing."""
    channels = table.heads["active_channels"].astype(np.int64)
    samples = table.heads["number_of_samples"].astype(np.int64)
    pairs = table.data_lengths // 2
    is_odd = table.data_lengths % 2 != 0
    fits = (pairs == channels * samples) & ~is_odd & (samples > 0)
    by_samples = ~fits & ~is_odd & (samples > 0) & (pairs > 0) & (pairs % np.maximum(samples, 1) == 0)
    by_channels = ~fits & ~by_samples & ~is_odd & (channels > 0) & (pairs > 0) & (pairs % np.maximum(channels, 1) == 0)
    channels = np.where(by_samples, pairs // np.maximum(samples, 1), channels)
    samples = np.where(by_channels, pairs // np.maximum(channels, 1), samples)
    wrong = ~(fits | by_samples | by_channels) & (table.heads["number_of_samples"] > 0)
    samples = np.where(wrong, 0, samples)
    if n := int(by_samples.sum()):
        warnings.append(f"{n} lines claim a number of channels that their data do not have; the data decide.")
    if n := int(by_channels.sum()):
        warnings.append(f"{n} lines claim a number of samples that their data do not have; the data decide.")
    if n := int(wrong.sum()):
        warnings.append(f"{n} lines hold less or more than they claim, and are left out.")
    channels = np.where((channels < 1) | (channels > 1024), 0, channels)
    return channels, np.where((channels == 0) | (samples > 65_535), 0, samples)


def _most(values: NDArray[Any]) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def _in_order_of_time(rows: NDArray[np.intp], heads: NDArray[Any], warnings: list[str]) -> NDArray[np.intp]:
    counter = heads["scan_counter"][rows].astype(np.int64)
    if np.all(np.diff(counter) >= 0) or len(np.unique(counter)) != len(counter):
        return rows
    warnings.append("The lines of the file are not in the order in which they were measured; they were sorted.")
    return rows[np.argsort(counter, kind="stable")]


def _without_discarded(samples: NDArray[np.complex64], heads: NDArray[Any]) -> NDArray[np.complex64]:
    n_samples = samples.shape[2]
    before, behind = heads["discard_pre"].astype(np.int64), heads["discard_post"].astype(np.int64)
    rows = np.flatnonzero(((before > 0) | (behind > 0)) & (before + behind < n_samples))
    if len(rows) == 0:
        return samples
    samples = samples.copy()
    for row in rows.tolist():
        samples[row, :, : before[row]] = 0
        samples[row, :, n_samples - behind[row] :] = 0
    return samples


def _finite(samples: NDArray[np.complex64], file_name: str, warnings: list[str]) -> NDArray[np.complex64]:
    bad = ~np.isfinite(samples).all(axis=(1, 2))
    n_bad = int(bad.sum())
    if n_bad == 0:
        return samples
    if n_bad > _MAX_BAD_SHARE * len(samples):
        raise StorageError(
            f"{n_bad} of {len(samples)} lines of {file_name} contain values that are not finite numbers.",
            "Export the file again.",
        )
    warnings.append(f"{n_bad} of {len(samples)} lines contain values that are not numbers; these samples were set to zero.")
    samples = samples.copy()
    samples[~np.isfinite(samples)] = 0
    return samples


def _telling_trajectory(table: MrdTable, rows: NDArray[np.intp], n_samples: int) -> NDArray[np.float32] | None:
    """The trajectories, unless some are missing, are not numbers, or nothing but zeros (a field that nobody filled)."""
    n_axes = table.trajectory_lengths[rows] // n_samples
    values = table.trajectories(rows, n_samples, int(n_axes[0]) if len(n_axes) else 0)
    if values is None or values.shape[2] > 3 or not np.any(values) or not np.all(np.abs(values) < _FARTHEST):
        return None
    return values


def _labels(heads: NDArray[Any]) -> dict[str, NDArray[np.int32]]:
    labels = {}
    for label, counter in COUNTERS.items():
        values = heads["idx"][counter].astype(np.int32)
        if np.any(values > 32_767):  # counted from the centre, and wrapped round
            values = values.astype(np.uint16).view(np.int16).astype(np.int32)
            values -= min(int(values.min()), 0)
        labels[label] = values
    labels["REV"] = has_flag(heads, _REVERSED).astype(np.int32)
    return labels


def number_repeats(lines: ForeignLines) -> ForeignLines:
    """Lines that no counter tells apart become averages, in order of time."""
    key = np.stack([lines.labels[name] for name in _TELLING], axis=1)
    _, which, counts = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    if counts.max(initial=1) == 1:
        return lines
    order = np.argsort(which.ravel(), kind="stable")
    starts = np.cumsum(counts) - counts
    repeat = np.empty(len(key), dtype=np.int32)
    repeat[order] = np.arange(len(key)) - np.repeat(starts, counts)
    labels = {**lines.labels, "AVG": (lines.labels["AVG"] * int(counts.max()) + repeat).astype(np.int32)}
    said = f"Up to {counts.max()} lines bear the same counters; they are taken as averages."
    return replace(lines, labels=labels, warnings=(*lines.warnings, said))


def _noise(
    table: MrdTable, rows: NDArray[np.intp], n_channels: int, n_samples: NDArray[np.int64]
) -> NDArray[np.complex64] | None:
    if len(rows) == 0:
        return None
    length = _most(n_samples[rows])
    noise = table.samples(rows[n_samples[rows] == length], n_channels, length)
    return noise if np.all(np.isfinite(noise)) else None
