# SPDX-License-Identifier: MIT
"""ISMRMRD acquisition heads for all readouts of a scan at once."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import CompiledScan, Encoding
from isocenter.domain.geometry import Placement, lps_from_device

INDEX_OF_LABEL: Final[dict[str, str]] = {
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
"""Pulseq label to ISMRMRD encoding counter. Source: reference peers.md 4, "MRD export"."""

FLAG_OF_LABEL: Final[dict[str, int]] = {"NOISE": 19, "REF": 20, "REV": 22, "NAV": 23}
"""Pulseq label to ISMRMRD flag number (1-based bit). Source: ISMRMRD, acquisition flags."""

REFERENCE_AND_IMAGING: Final = 21
"""Flag instead of REF's own for lines that are both (Pulseq labels REF and IMA)."""

REFERENCE_AND_NAVIGATOR: Final = 24
"""Flag instead of REF's own for lines that only say how the phase of others differs (REF and NAV): phase correction data."""

_LAST_IN_MEASUREMENT: Final = 25

# Counter, number of its FIRST flag (LAST is the next), and the counters that together make one pass through it.
_OUTER: Final = ("slice", "contrast", "phase", "repetition", "set")
_PASSES: Final = (
    (1, ("kspace_encode_step_2", "average", *_OUTER)),
    (3, ("average", *_OUTER)),
    (5, ("average", *_OUTER)),
    (7, ("slice", "repetition")),
    (9, ("contrast", "repetition")),
    (11, ("phase", "repetition")),
    (13, ("repetition",)),
    (15, ("set", "repetition")),
    (17, ("segment", "repetition")),
)

N_USER: Final = 8
TIME_STAMP_S: Final = 1e-3
"""Unit of ``acquisition_time_stamp``, counted from the start of the scan [s]."""

MAX_SAMPLES: Final = 65_535


def extra_labels(names: tuple[str, ...]) -> tuple[str, ...]:
    """Labels without a counter or flag of their own; they go to ``user_int`` in this order."""
    return tuple(sorted(set(names) - set(INDEX_OF_LABEL) - set(FLAG_OF_LABEL)))


USER_FLOATS: Final = (
    *("time_rest_s", "evolution_s", "k_unit_read_per_m", "k_unit_phase_per_m", "k_unit_slice_per_m"),
    *("square_moment_xx_per_m2", "square_moment_yy_per_m2", "square_moment_zz_per_m2"),
)
"""What ``user_float`` holds, in order: the part of the time stamp below its unit; free evolution at the first sample; what
one unit of the trajectory is along the three directions of the head; what concomitant fields left at the first sample (the
mixed products stand in ``user_int``, see ``MIXED_SLOTS``)."""

MIXED_SLOTS: Final = slice(5, 8)
"""Where ``user_int`` holds the square moments xy, xz, yz in units of ``MIXED_UNIT_PER_M2``, unless labels need the room."""
MIXED_UNIT_PER_M2: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What heads say of readouts, one row each; arrays of length n.

    Attributes
    ----------
    start_s, evolution_s
        Start of the first sample since the start of the scan; free evolution then, NaN when unknown [s].
    centre_sample
        Where k is zero; NaN for the middle.
    square_moments_per_m2
        Shape (n, 6), as in ``CompiledScan``; empty when unknown.
    k_unit_per_m
        One unit of the file's trajectory along read, phase and slice [1/m]; None without a trajectory.
    """

    n_samples: NDArray[np.int32]
    labels: Mapping[str, NDArray[np.int32]]
    dwell_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    evolution_s: NDArray[np.float64]
    centre_sample: float = math.nan
    n_channels: int = 1
    k_unit_per_m: tuple[float, float, float] | None = None
    square_moments_per_m2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 6), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.n_samples)

    def label(self, name: str) -> NDArray[np.int32]:
        """One label for each readout; zeros where it is never set."""
        return self.labels.get(name, np.zeros(len(self), dtype=np.int32))


def make_heads(scan: CompiledScan, placement: Placement, n_channels: int = 1) -> NDArray[Any]:
    """Heads of all readouts in order, ISMRMRD's ``acquisition_header_dtype``, shape ``(n_readouts,)``.

    Raises
    ------
    StorageError
        When a readout is too long or a label too large for the format.
    """
    readouts = scan.readouts
    lines = Lines(
        n_samples=readouts.n_samples,
        labels=readouts.labels,
        dwell_s=readouts.dwell_ticks / scan.clock_hz,
        start_s=_start_s(scan),
        evolution_s=_or_nan(scan.evolution_s, len(readouts)),
        centre_sample=scan.encoding.centre_sample if scan.encoding else math.nan,
        n_channels=n_channels,
        k_unit_per_m=None if scan.trajectory_per_m is None else k_units_per_m(scan.encoding, scan.definitions),
        square_moments_per_m2=scan.square_moments_per_m2,
    )
    return heads_of(lines, scan.encoding, placement)


def heads_of(lines: Lines, encoding: Encoding | None, placement: Placement) -> NDArray[Any]:
    """The same for any readouts."""
    from ismrmrd.hdf5 import acquisition_header_dtype

    _check(lines)
    heads = np.zeros(len(lines), dtype=acquisition_header_dtype)
    heads["version"] = 1
    heads["scan_counter"] = np.arange(len(lines))
    stamps = np.floor(lines.start_s / TIME_STAMP_S + 1e-9)
    heads["acquisition_time_stamp"] = stamps
    heads["user_float"][:, 0] = lines.start_s - stamps * TIME_STAMP_S
    heads["user_float"][:, 1] = lines.evolution_s
    heads["number_of_samples"] = lines.n_samples
    heads["available_channels"] = heads["active_channels"] = lines.n_channels
    for channel in range(lines.n_channels):
        heads["channel_mask"][:, channel // 64] |= np.uint64(1 << (channel % 64))
    middle = lines.n_samples // 2
    centre = lines.centre_sample
    heads["center_sample"] = (
        middle if math.isnan(centre) else np.where(round(centre) < lines.n_samples, max(round(centre), 0), middle)
    )
    heads["sample_time_us"] = lines.dwell_s * 1e6
    for label, counter in INDEX_OF_LABEL.items():
        heads["idx"][counter] = lines.label(label)
    for slot, label in enumerate(extra_labels(tuple(lines.labels))[:N_USER]):
        heads["user_int"][:, slot] = lines.label(label)
    heads["flags"] = _flags(heads["idx"], lines)
    if lines.k_unit_per_m is not None:
        heads["user_float"][:, 2:5] = lines.k_unit_per_m
    if len(lines.square_moments_per_m2) == len(lines):
        _put_squares(heads, lines)
    _place(heads, encoding, placement)
    return heads


def _put_squares(heads: NDArray[Any], lines: Lines) -> None:
    """Square moments, where labels leave room and they are not beyond what the format holds."""
    mixed = np.rint(lines.square_moments_per_m2[:, 3:].astype(np.float64) / MIXED_UNIT_PER_M2)
    if len(extra_labels(tuple(lines.labels))) <= MIXED_SLOTS.start and np.abs(mixed).max(initial=0.0) < 2**31:
        heads["user_float"][:, 5:8] = lines.square_moments_per_m2[:, :3]
        heads["user_int"][:, MIXED_SLOTS] = mixed


def k_units_per_m(encoding: Encoding | None, definitions: Mapping[str, str]) -> tuple[float, float, float]:
    """What one cycle per voxel is along read, phase and slice [1/m]; other programs expect trajectories from -0.5 to 0.5."""
    numbers = {key: re.findall(r"[-+.\deE]+", definitions.get(key, "")) for key in ("FOV", "Matrix")}
    units = []
    for axis in range(3):
        try:
            fov_m, matrix = float(numbers["FOV"][axis]), float(numbers["Matrix"][axis])
            unit = matrix / fov_m
        except (IndexError, ValueError, ZeroDivisionError):
            unit = 0.0
        units.append(unit if 0 < unit < 1e9 else 1e3)  # not said: cycles per millimetre
    if encoding is not None:
        found = (encoding.step_read_per_m, encoding.step_lin_per_m, encoding.step_par_per_m)
        sizes = (encoding.n_samples, encoding.n_lin, encoding.n_par)
        units = [
            float(np.linalg.norm(step)) * n if np.any(step) else unit
            for step, n, unit in zip(found, sizes, units, strict=True)
        ]
    return units[0], units[1], units[2]


def _or_nan(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return values if len(values) == n else np.full(n, np.nan)


def _check(lines: Lines) -> None:
    longest = int(lines.n_samples.max(initial=0))
    if longest > MAX_SAMPLES:
        raise StorageError(
            f"A readout has {longest} samples; an ISMRMRD file holds at most {MAX_SAMPLES} in one.",
            "Split the readout or lower its bandwidth.",
        )
    for label in INDEX_OF_LABEL:
        values = lines.label(label)
        if len(values) and (values.min() < 0 or values.max() > 65_535):
            raise StorageError(
                f"Label {label} runs from {values.min()} to {values.max()}; an ISMRMRD file holds 0 to 65535.",
                f"Set {label} to values from 0 in the sequence.",
            )
    if (n_extra := len(extra_labels(tuple(lines.labels)))) > N_USER:
        raise StorageError(
            f"The sequence sets {n_extra} labels that ISMRMRD has no name for; a file holds {N_USER}.",
            "Leave out labels that the reconstruction does not use.",
        )


def _start_s(scan: CompiledScan) -> NDArray[np.float64]:
    segment_start_s = np.array([segment.start_s for segment in scan.segments] or [0.0])
    start_s = segment_start_s[scan.segment_of_readout] + scan.readouts.first_sample_tick / scan.clock_hz
    return np.asarray(np.maximum(start_s, 0.0), dtype=np.float64)


def _flags(index: NDArray[Any], lines: Lines) -> NDArray[np.uint64]:
    flags = np.zeros(len(lines), dtype=np.uint64)
    special = np.zeros(len(lines), dtype=bool)
    for label, number in FLAG_OF_LABEL.items():
        is_set = lines.label(label) != 0
        if label == "REF":
            is_both = is_set & (lines.label("IMA") != 0)
            flags[is_both] |= _bit(REFERENCE_AND_IMAGING)
            is_phase = is_set & ~is_both & (lines.label("NAV") != 0)
            flags[is_phase] |= _bit(REFERENCE_AND_NAVIGATOR)
            is_set = is_set & ~is_both & ~is_phase
        flags[is_set] |= _bit(number)
        if label != "REV":
            special |= is_set
    imaging = np.flatnonzero(~special)
    for first, counters in _PASSES:
        if len(imaging) == 0:
            break
        keys = _one_key([index[counter][imaging] for counter in counters])
        for number, order, sorted_keys in ((first, imaging, keys), (first + 1, imaging[::-1], keys[::-1])):
            _, where = np.unique(sorted_keys, return_index=True)
            flags[order[where]] |= _bit(number)
    if len(flags):
        flags[-1] |= _bit(_LAST_IN_MEASUREMENT)
    return flags


def _one_key(counters: list[NDArray[np.uint16]]) -> NDArray[np.int64]:
    """One number for each combination of counters, so that one fast sort tells them apart."""
    key = np.zeros(len(counters[0]), dtype=np.int64)
    for values in counters:
        if (top := int(values.max())) == 0:
            continue
        if int(key.max()) * (top + 1) >= 2**62:
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
        key = key * (top + 1) + values
    return key


def _bit(number: int) -> np.uint64:
    return np.uint64(1 << (number - 1))


def _place(heads: NDArray[Any], encoding: Encoding | None, placement: Placement) -> None:
    """Position [mm] and directions in LPS, from the gradients where they encode, else from the placement."""
    lps = lps_from_device(placement.position)
    axes = [placement.device_from_logical[:, axis] for axis in range(3)]
    centre = placement.centre_device_m
    if encoding is not None:
        normal = encoding.slice_normal_device if np.any(encoding.slice_normal_device) else encoding.step_par_per_m
        found = (encoding.step_read_per_m, encoding.step_lin_per_m, normal)
        axes = [step / np.linalg.norm(step) if np.any(step) else axis for step, axis in zip(found, axes, strict=True)]
        centre = encoding.centre_device_m
    for name, axis in zip(("read_dir", "phase_dir", "slice_dir"), axes, strict=True):
        heads[name] = lps @ axis
    heads["position"] = lps @ centre * 1e3
    if encoding is not None and len(encoding.slice_positions_m):
        which = np.minimum(heads["idx"]["slice"], len(encoding.slice_positions_m) - 1)
        along = np.nan_to_num(encoding.slice_positions_m[which])  # counted from the centre of the field of view
        heads["position"] += along[:, None] * (lps @ axes[2]) * 1e3
