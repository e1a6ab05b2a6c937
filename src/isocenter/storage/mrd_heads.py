# SPDX-License-Identifier: MIT
"""ISMRMRD acquisition heads for all readouts of a scan at once."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import CompiledScan, Encoding, Readouts
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


def make_heads(scan: CompiledScan, placement: Placement) -> NDArray[Any]:
    """Heads of all readouts in order, ISMRMRD's ``acquisition_header_dtype``, shape ``(n_readouts,)``.

    Raises
    ------
    StorageError
        When a readout is too long or a label too large for the format.
    """
    from ismrmrd.hdf5 import acquisition_header_dtype

    readouts = scan.readouts
    _check(readouts)
    heads = np.zeros(len(readouts), dtype=acquisition_header_dtype)
    heads["version"] = 1
    heads["scan_counter"] = np.arange(len(readouts))
    heads["acquisition_time_stamp"] = _start_s(scan) / TIME_STAMP_S
    heads["number_of_samples"] = readouts.n_samples
    heads["available_channels"] = heads["active_channels"] = 1
    heads["channel_mask"][:, 0] = 1
    centre = scan.encoding.centre_sample if scan.encoding else None
    middle = readouts.n_samples // 2
    heads["center_sample"] = (
        middle if centre is None else np.where(round(centre) < readouts.n_samples, round(centre), middle)
    )
    heads["sample_time_us"] = readouts.dwell_ticks / scan.clock_hz * 1e6
    for label, counter in INDEX_OF_LABEL.items():
        heads["idx"][counter] = readouts.label(label)
    for slot, label in enumerate(extra_labels(tuple(readouts.labels))[:N_USER]):
        heads["user_int"][:, slot] = readouts.label(label)
    heads["flags"] = _flags(heads["idx"], readouts)
    _place(heads, scan.encoding, placement)
    return heads


def _check(readouts: Readouts) -> None:
    longest = int(readouts.n_samples.max(initial=0))
    if longest > MAX_SAMPLES:
        raise StorageError(
            f"A readout has {longest} samples; an ISMRMRD file holds at most {MAX_SAMPLES} in one.",
            "Split the readout or lower its bandwidth.",
        )
    for label in INDEX_OF_LABEL:
        values = readouts.label(label)
        if len(values) and (values.min() < 0 or values.max() > 65_535):
            raise StorageError(
                f"Label {label} runs from {values.min()} to {values.max()}; an ISMRMRD file holds 0 to 65535.",
                f"Set {label} to values from 0 in the sequence.",
            )
    if (n_extra := len(extra_labels(tuple(readouts.labels)))) > N_USER:
        raise StorageError(
            f"The sequence sets {n_extra} labels that ISMRMRD has no name for; a file holds {N_USER}.",
            "Leave out labels that the reconstruction does not use.",
        )


def _start_s(scan: CompiledScan) -> NDArray[np.float64]:
    segment_start_s = np.array([segment.start_s for segment in scan.segments] or [0.0])
    start_s = segment_start_s[scan.segment_of_readout] + scan.readouts.first_sample_tick / scan.clock_hz
    return np.asarray(np.maximum(start_s, 0.0), dtype=np.float64)


def _flags(index: NDArray[Any], readouts: Readouts) -> NDArray[np.uint64]:
    flags = np.zeros(len(readouts), dtype=np.uint64)
    special = np.zeros(len(readouts), dtype=bool)
    for label, number in FLAG_OF_LABEL.items():
        is_set = readouts.label(label) != 0
        flags[is_set] |= _bit(number)
        if label != "REV":
            special |= is_set
    imaging = np.flatnonzero(~special)
    for first, counters in _PASSES:
        if len(imaging) == 0:
            break
        keys = np.column_stack([index[counter][imaging] for counter in counters])
        for number, order in ((first, imaging), (first + 1, imaging[::-1])):
            _, where = np.unique(keys if number == first else keys[::-1], axis=0, return_index=True)
            flags[order[where]] |= _bit(number)
    if len(flags):
        flags[-1] |= _bit(_LAST_IN_MEASUREMENT)
    return flags


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
