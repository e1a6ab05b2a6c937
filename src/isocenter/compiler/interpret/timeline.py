# SPDX-License-Identifier: MIT
"""When each block starts, how its gradients are turned, and which labels it carries."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.pulseq.model import ExtensionSet, PulseqFile
from isocenter.domain.errors import SequenceError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PS = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Blocks on the clock of the console.

    Attributes
    ----------
    clock_hz
        Ticks per second.
    start_ticks
        Start of each block and the end of the last, float64, shape ``(n_blocks + 1,)``; not rounded.
    rotation
        Matrix of each block's ROTATIONS extension, shape ``(n_blocks, 3, 3)``, None when the file has none.
    """

    clock_hz: float
    start_ticks: Floats
    rotation: NDArray[np.float64] | None

    def block_at(self, tick: float) -> int:
        """Row of the block that plays at a tick."""
        return int(np.clip(np.searchsorted(self.start_ticks, tick, side="right") - 1, 0, len(self.start_ticks) - 2))

    def seconds(self, tick: float) -> float:
        """Time since the start of the scan [s]."""
        return float(tick / self.clock_hz)


def make_timeline(file: PulseqFile, clock_hz: float, soft_delays_s: Mapping[str, float]) -> Timeline:
    """Start of each block, soft delays applied.

    Raises
    ------
    SequenceError
        When the file has no blocks, or a soft delay is unknown or would make a block negative.
    """
    if not len(file.blocks.duration_s):
        raise SequenceError("The sequence has no blocks, so there is nothing to play.", "Choose another sequence file.")
    durations_s = _with_soft_delays(file, soft_delays_s)
    # Whole picoseconds add up without rounding, so that shapes that join in the file join here.
    ends_ps = np.cumsum(np.round(durations_s * _PS).astype(np.int64))
    start_ticks = np.concatenate([[0.0], ends_ps * (clock_hz / _PS)])
    return Timeline(clock_hz=clock_hz, start_ticks=start_ticks, rotation=_rotations(file))


def _with_soft_delays(file: PulseqFile, soft_delays_s: Mapping[str, float]) -> Floats:
    """Block durations [s] with the operator's delays put in."""
    durations_s = file.blocks.duration_s
    rows = {row: ext.soft_delay for row, ext in enumerate(file.extension_sets) if ext.soft_delay is not None}
    hints = {delay.hint for delay in rows.values()}
    if unknown := sorted(set(soft_delays_s) - hints):
        raise SequenceError(
            f"The sequence has no adjustable delay called {unknown[0]!r}; it has {', '.join(sorted(hints)) or 'none'}.",
            "Use one of these names, or leave the delay out.",
        )
    if not soft_delays_s:
        return durations_s
    durations_s = durations_s.copy()
    for row, delay in rows.items():
        if delay.hint not in soft_delays_s:
            continue
        asked_s = soft_delays_s[delay.hint]
        length_s = asked_s / delay.factor + delay.offset_s
        if not (np.isfinite(length_s) and length_s >= 0):
            raise SequenceError(
                f"The delay {delay.hint!r} of {asked_s * 1e3:g} ms would make a block {length_s * 1e3:g} ms long.",
                f"Set {delay.hint!r} to at least {max(-delay.offset_s * delay.factor, 0) * 1e3:g} ms.",
            )
        raster_s = file.block_raster_s
        durations_s[file.blocks.extension == row] = np.round(length_s / raster_s) * raster_s
    return durations_s


def _rotations(file: PulseqFile) -> NDArray[np.float64] | None:
    """Rotation matrix of each block."""
    turned = {row: ext.rotation for row, ext in enumerate(file.extension_sets) if ext.rotation is not None}
    if not turned:
        return None
    table = np.tile(np.eye(3), (len(file.extension_sets) + 1, 1, 1))  # the last row serves blocks without extension
    for row, quaternion in turned.items():
        table[row] = rotation_matrix(quaternion)
    return table[file.blocks.extension]


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Matrix that turns a vector as the quaternion (w, x, y, z) says, shape (3, 3)."""
    w, x, y, z = np.asarray(quaternion, dtype=np.float64) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def labels_at(file: PulseqFile, blocks: Ints) -> dict[str, NDArray[np.int32]]:
    """Value of every label that the file uses at the given blocks.

    Within a block all sets act first, then all increments, and what an ADC of that block carries is the result.

    Parameters
    ----------
    blocks
        Rows of blocks, increasing, shape ``(n,)``.

    Source
    ------
    Pulseq specification 1.5, extensions LABELSET and LABELINC.
    """
    sets, increments = _label_columns(file.extension_sets)
    used = np.flatnonzero(file.blocks.extension >= 0)
    rows = file.blocks.extension[used]
    found: dict[str, NDArray[np.int32]] = {}
    for name in sorted(sets.keys() | increments.keys()):
        n_rows = len(file.extension_sets)
        set_rows, set_values = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=np.int64)
        steps = np.zeros(n_rows, dtype=np.int64)
        for row, value in sets.get(name, {}).items():
            set_rows[row], set_values[row] = True, value
        for row, value in increments.get(name, {}).items():
            steps[row] = value
        total = np.cumsum(steps[rows])
        base = np.where(set_rows[rows], set_values[rows] - (total - steps[rows]), 0)
        last_set = np.maximum.accumulate(np.where(set_rows[rows], np.arange(len(rows)), -1))
        values = total + np.where(last_set >= 0, base[last_set], 0)
        at = np.searchsorted(used, blocks, side="right") - 1
        found[name] = np.where(at >= 0, values[at], 0).astype(np.int32)
    return found


_Columns = dict[str, dict[int, int]]


def _label_columns(extension_sets: tuple[ExtensionSet, ...]) -> tuple[_Columns, _Columns]:
    """Set and increment of each label by row of the extension table."""
    sets: _Columns = {}
    increments: _Columns = {}
    for row, ext in enumerate(extension_sets):
        for name, value in ext.label_set:
            sets.setdefault(name, {})[row] = int(value)
        for name, value in ext.label_increment:
            column = increments.setdefault(name, {})
            column[row] = column.get(row, 0) + int(value)
    return sets, increments
