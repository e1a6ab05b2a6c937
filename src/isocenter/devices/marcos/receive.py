# SPDX-License-Identifier: MIT
"""What the console's receiver will deliver for a segment: checked against the table before it is played."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos.isa import CLOCK_HZ
from isocenter.devices.marcos.queues import Table, at_time, cic_gain_bits
from isocenter.domain.errors import CompileError
from isocenter.domain.events import Readouts, Segment, Track
from isocenter.domain.receiver import MIN_DECIMATION

FIFO_LIMIT_SAMPLES: Final = 9_500
"""Samples that may wait in the receive FIFO: what is left at the end of a run is read up to about 10 000."""
READ_TICKS_PER_SAMPLE: Final = 40
"""The server empties the FIFO at about one sample in 0.26 us, loop overhead not counted; taken as 0.33 us."""

_REPORT = "Report this with the sequence: the compiler's readouts and its receive windows disagree."


def n_receivers(segment: Segment) -> int:
    """Receivers that a segment switches on."""
    return 2 if any(name in segment.tracks and len(segment.tracks[name].ticks) for name in ("rx1_en", "rx1_rate")) else 1


def check_windows(segment: Segment, table: Table) -> None:
    """Raise CompileError unless receive windows, rates and readouts of a segment agree and the FIFOs hold."""
    from isocenter.devices.marcos.fill import windows_agree

    readouts, n = segment.readouts, n_receivers(segment)
    if n > 1:
        _check_sensor(segment.tracks)
    if not windows_agree(
        (table.ticks, table.values, table.bounds),
        readouts.window_tick.astype(np.int64, copy=False),
        readouts.decimation.astype(np.int32, copy=False),
        readouts.n_raw.astype(np.int32, copy=False),
        MIN_DECIMATION,
        (FIFO_LIMIT_SAMPLES / n, float(READ_TICKS_PER_SAMPLE * n)),  # the server reads the FIFOs in turn
    ):
        _explain(segment, n)


def _check_sensor(tracks: Mapping[str, Track]) -> None:
    for first, second in (("rx0_en", "rx1_en"), ("rx0_rate", "rx1_rate")):
        one, other = tracks.get(first), tracks.get(second)
        if one is other:
            continue
        if one is None or other is None or not _are_equal(one, other):
            raise CompileError(f"{second} differs from {first}, but a sensor must listen whenever the coil does.", _REPORT)


def _are_equal(one: Track, other: Track) -> bool:
    return np.array_equal(one.ticks, other.ticks) and np.array_equal(one.values, other.values)


def _explain(segment: Segment, n: int) -> None:
    """Raise CompileError that says what does not agree; ``n`` receivers are on."""
    starts, stops = _windows(segment.tracks)
    readouts = segment.readouts
    if len(starts) != len(readouts):
        raise CompileError(f"The segment opens {len(starts)} receive windows for {len(readouts)} readouts.", _REPORT)
    if len(starts) == 0:
        return
    lengths = readouts.n_raw.astype(np.int64) * readouts.decimation
    for wrong, what in (
        (starts != readouts.window_tick, "opens at another tick than its readout says"),
        (stops - starts != lengths, "is not as long as its raw samples"),
        (_rates(segment.tracks, starts) != readouts.decimation, "has another decimation than the receiver is set to"),
        (readouts.decimation < MIN_DECIMATION, f"has a decimation below {MIN_DECIMATION}"),
    ):
        if np.any(wrong):
            i = int(np.argmax(wrong))
            raise CompileError(f"The receive window of readout {i} at {at_time(starts[i])} {what}.", _REPORT)
    _check_fifo(starts, readouts, n)


def _windows(tracks: Mapping[str, Track]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    track = tracks.get("rx0_en")
    if track is None or len(track.ticks) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    before = np.concatenate([[0], track.values[:-1]])
    return track.ticks[(track.values == 1) & (before == 0)], track.ticks[(track.values == 0) & (before == 1)]


def _rates(tracks: Mapping[str, Track], ticks: NDArray[np.int64]) -> NDArray[np.int32]:
    track = tracks.get("rx0_rate")
    if track is None:
        return np.zeros(len(ticks), dtype=np.int32)
    at = np.searchsorted(track.ticks, ticks, side="left") - 1
    return np.where(at >= 0, track.values[np.maximum(at, 0)], 0).astype(np.int32)


def _check_fifo(starts: NDArray[np.int64], readouts: Readouts, n: int) -> None:
    level, now, ticks_each = 0.0, int(starts[0]), READ_TICKS_PER_SAMPLE * n
    for start, decimation, n_raw in zip(starts.tolist(), readouts.decimation.tolist(), readouts.n_raw.tolist(), strict=True):
        level = max(0.0, level - (start - now) / ticks_each)
        level += n_raw * max(0.0, 1.0 - decimation / ticks_each)
        now = start + n_raw * decimation
        if level > FIFO_LIMIT_SAMPLES / n:
            raise CompileError(
                f"By {at_time(now)} about {level:.0f} samples wait in the receive buffer, more than the "
                f"{FIFO_LIMIT_SAMPLES // n} it may hold: a sample every {decimation / CLOCK_HZ * 1e6:.2f} us is too fast "
                "for so long.",
                "Use a longer dwell time, less oversampling, or shorter readouts.",
            )


def sample_gains(decimation: NDArray[np.int32], n_raw: NDArray[np.int32]) -> NDArray[np.float32]:
    """Factor for each raw sample that undoes the decimator's amplitude, between 1 and 2, shape ``(sum(n_raw),)``.

    Source
    ------
    reference marcos.md 10: 2^(g - floor(g)) with g = 6 log2(4096 / R).
    """
    gain_bits = cic_gain_bits(decimation)
    return np.repeat(np.exp2(gain_bits - np.floor(gain_bits)).astype(np.float32), n_raw)
