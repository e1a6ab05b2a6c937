# SPDX-License-Identifier: MIT
"""Lines of an ISMRMRD file as flat arrays, and the scan that a file of our own holds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.storage.mrd_about import RawAbout
from isocenter.storage.mrd_lines import evolution_s_of, has_flag, labels_of, square_moments_of, times_s, trajectory_of_file

NOISE, NAVIGATION = 19, 23


@dataclass(frozen=True, slots=True, kw_only=True)
class MrdTable:
    """Lines of a file in its order.

    Attributes
    ----------
    heads
        ISMRMRD's acquisition heads, shape ``(n_lines,)``.
    data, trajectory
        float32 of all lines one behind the other.
    data_lengths, trajectory_lengths
        Numbers of each line, int64, shape ``(n_lines,)``.
    """

    heads: NDArray[Any]
    data: NDArray[np.float32]
    data_lengths: NDArray[np.int64]
    trajectory: NDArray[np.float32]
    trajectory_lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.heads)

    def samples(self, rows: NDArray[np.intp], n_channels: int, n_samples: int) -> NDArray[np.complex64]:
        """Samples of lines of one length, complex64, shape ``(n_rows, n_channels, n_samples)``."""
        return (
            _gather(self.data, self.data_lengths, rows, 2 * n_channels * n_samples)
            .view(np.complex64)
            .reshape(len(rows), n_channels, n_samples)
        )

    def trajectories(self, rows: NDArray[np.intp], n_samples: int, n_axes: int) -> NDArray[np.float32] | None:
        """Trajectories of lines, float32, shape ``(n_rows, n_samples, n_axes)``; None unless all of them have one."""
        if len(rows) == 0 or n_axes < 1 or np.any(self.trajectory_lengths[rows] != n_samples * n_axes):
            return None
        values = _gather(self.trajectory, self.trajectory_lengths, rows, n_samples * n_axes)
        return values.reshape(len(rows), n_samples, n_axes)


def _gather(
    flat: NDArray[np.float32], lengths: NDArray[np.int64], rows: NDArray[np.intp], length: int
) -> NDArray[np.float32]:
    starts = np.cumsum(lengths) - lengths
    if np.any(lengths[rows] != length):
        raise ValueError(f"rows of {np.unique(lengths[rows])} values, not {length}")
    if len(rows) == len(lengths) and np.all(np.diff(rows) == 1):
        return flat.reshape(len(rows), length)
    result = np.empty((len(rows), length), dtype=np.float32)
    for target, start in enumerate(starts[rows].tolist()):
        result[target] = flat[start : start + length]
    return result


def read_own(table: MrdTable, about: RawAbout) -> RawScan:
    """The scan of a file that this program wrote: exactly what was written, or what of it was measured.

    Raises
    ------
    StorageError
        The lines are not those that were written.
    """
    heads = table.heads
    noise = has_flag(heads, NOISE)
    chosen = ~noise
    if about.is_scan:
        chosen &= ~has_flag(heads, NAVIGATION)
        chosen = chosen if chosen.any() else ~chosen
    lengths = heads["number_of_samples"].astype(np.int64)
    wanted = about.encoding.n_samples if about.encoding is not None else -1
    if about.is_scan and wanted not in lengths[chosen]:
        wanted = -1
    usual = wanted if wanted > 0 and np.any(lengths[chosen] == wanted) else _most(lengths[chosen])
    chosen &= lengths == usual
    rows = np.flatnonzero(chosen)
    n_channels = _most(heads["active_channels"][rows].astype(np.int64)) or 1
    try:
        samples = table.samples(rows, n_channels, usual)
        noise_samples = _noise(table, np.flatnonzero(noise), n_channels, usual)
    except ValueError as error:
        raise StorageError(f"The raw file is damaged: {error}.", "Copy the file again.") from error
    is_everywhere = len(rows) and np.all(heads["trajectory_dimensions"][rows] == 3)
    values = table.trajectories(rows, usual, 3) if is_everywhere else None
    left_out = len(heads) - len(rows)
    return RawScan(
        samples=samples,
        labels={name: label[rows] for name, label in labels_of(heads, about.labels).items()},
        dwell_s=about.dwell_s,
        lo_hz=about.lo_hz,
        encoding=about.encoding,
        placement=about.placement,
        facts=about.facts,
        definitions=about.definitions,
        n_expected=max(about.n_expected - left_out, len(rows)),
        name=about.name,
        time_s=times_s(heads[rows]) if np.any(heads["acquisition_time_stamp"]) or about.is_scan else np.zeros(0),
        trajectory_per_m=None if values is None else trajectory_of_file(values, heads[rows[0]], about.placement),
        evolution_s=evolution_s_of(heads[rows]),
        square_moments_per_m2=square_moments_of(heads[rows], about.labels),
        noise=noise_samples,
        sensor_channels=about.sensor_channels,
        warnings=about.warnings,
    )


def _most(values: NDArray[np.int64]) -> int:
    return int(np.bincount(values).argmax()) if len(values) else 0


def _noise(table: MrdTable, rows: NDArray[np.intp], n_channels: int, wanted: int) -> NDArray[np.complex64] | None:
    if len(rows) == 0:
        return None
    lengths = table.heads["number_of_samples"][rows].astype(np.int64)
    length = wanted if np.any(lengths == wanted) else _most(lengths)
    return table.samples(rows[lengths == length], n_channels, length)
