# SPDX-License-Identifier: MIT
"""A compiled scan straight to raw data: the virtual scanner without its console, for tests and for training.

The tables are played as the compiler wrote them; nothing is encoded or sent. Decimator and receive filter are those of the
road over the wire, so both roads give the same samples up to the rounding of the console's integers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import CompiledScan, Readouts, Segment, Track
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.domain.receiver import raw_sample_ticks
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.recon.receive import ReceiveFilter, Samples
from isocenter.virtual.console.playback import Playback, RxWindow
from isocenter.virtual.console.receiver import Receiver, Stretch, cic_correction, to_words
from isocenter.virtual.physics.model import BlochSignalModel

LO_RESET_TICK = 51
"""From here on the oscillator runs, from the first segment to the last, as the driver for MaRCoS sets it."""
RUN_LEAD_TICKS = 20
"""A segment's tick 0 comes this long after the start of the run in which that driver plays it."""
RUN_TAIL_TICKS = 6145
"""That run ends this long after the segment does, so that queues and serial lines run out."""

_Rows = list[NDArray[np.complex64]]


def simulate(
    scan: CompiledScan,
    scanner: Scanner,
    scenario: Scenario,
    placement: Placement,
    *,
    n_threads: int | None = None,
    name: str = "",
    with_navigators: bool = False,
) -> RawScan:
    """Measure a scan on a virtual scanner, without a wire.

    Parameters
    ----------
    scan
        Compiled for ``scanner``.
    scanner, scenario
        Which scanner, what lies in it, and what is wrong with it.
    placement
        The one that the scan was compiled with.
    n_threads
        Threads that compute; all processors if not given.
    name
        What the scan is called.
    with_navigators
        Keep readouts labelled NAV among the others, as the program does where they are as long as these.

    Returns
    -------
        Imaging readouts in ``samples``, those labelled NOISE in ``noise``, navigators left out unless asked for; just as a
        stored scan is read back. The coils come first, then the sensors.
    """
    model = BlochSignalModel(scanner, scenario, n_threads=n_threads)
    filter_ = ReceiveFilter(scan.readouts, scan.clock_hz)
    channels: list[_Rows] = []
    end_s = 0.0
    for segment in scan.segments:
        idle_s = max(segment.start_s - end_s, 0.0) if segment.index else 0.0
        raw = _decimated(segment.readouts, model.play_channels(_playback(segment, scan, idle_s)), model.n_channels)
        for channel, samples in enumerate(raw):
            rows: Samples = filter_.apply(samples, segment.readouts)
            if len(channels) <= channel:
                channels.append([])
            channels[channel].extend(rows)
        end_s = segment.start_s + segment.end_tick / scan.clock_hz
    return _raw_scan(scan, placement, channels, name, model.n_coils, with_navigators=with_navigators)


def _playback(segment: Segment, scan: CompiledScan, idle_s: float) -> Playback:
    """A segment as the virtual console would hand it to the physics; only the first sets the oscillator to phase zero."""
    return Playback(
        tracks={channel: _from_start(track) for channel, track in segment.tracks.items()},
        lo_ticks=np.zeros(1, dtype=np.int64),
        lo_hz=np.array([_lo_as_played(scan)]),
        lo_reset_ticks=np.full(0 if segment.index else 1, LO_RESET_TICK, dtype=np.int64),
        windows=tuple(_windows(segment.readouts)),
        end_tick=segment.end_tick + RUN_TAIL_TICKS,
        clock_hz=scan.clock_hz,
        start_s=segment.start_s + RUN_LEAD_TICKS / scan.clock_hz,
        idle_s=idle_s + RUN_LEAD_TICKS / scan.clock_hz if segment.index else 0.0,
    )


def _lo_as_played(scan: CompiledScan) -> float:
    """Frequency of the oscillator [Hz], whose step has 31 bits. Source: reference marcos.md 9."""
    return round(scan.lo_hz / scan.clock_hz * 2**31) * scan.clock_hz / 2**31


def _from_start(track: Track) -> Track:
    """With an entry at tick 0: outputs are zero between segments."""
    if len(track.ticks) and track.ticks[0] == 0:
        return track
    return Track(np.concatenate([[0], track.ticks]), np.concatenate([[0], track.values]).astype(np.int32))


def _windows(readouts: Readouts) -> Iterator[RxWindow]:
    for start, decimation, n_raw in zip(
        readouts.window_tick.tolist(), readouts.decimation.tolist(), readouts.n_raw.tolist(), strict=True
    ):
        yield RxWindow(
            tick=start,
            stop_tick=start + n_raw * decimation,
            decimation=decimation,
            sample_ticks=raw_sample_ticks(start, decimation, n_raw + 2)[2:],
        )


def _decimated(readouts: Readouts, windows: Sequence[NDArray[np.complex64]], n_channels: int) -> list[NDArray[np.complex64]]:
    """Each channel through a decimator of its own: all raw samples of a segment, shape ``(sum(n_raw),)`` each."""
    if not windows:
        return [np.zeros(0, dtype=np.complex64)] * n_channels
    stretches = []
    before = 0
    for window in _windows(readouts):
        emitted = window.tick + np.arange(1, len(window.sample_ticks) + 1, dtype=np.int64) * window.decimation - 1
        is_fresh = window.decimation != before  # a rate is set when it changes, and clears the filter
        stretches.append(Stretch(window=window, emit_ticks=emitted, is_fresh=is_fresh, lo=0))
        before = window.decimation
    raw = []
    for channel in range(n_channels):
        filtered = Receiver(channel).filter(stretches, [window[channel] for window in windows])
        scaled = [
            to_words(part) * (cic_correction(each.window.decimation) / 2.0**31)
            for part, each in zip(filtered, stretches, strict=True)
        ]
        raw.append(np.concatenate(scaled).astype(np.complex64))
    return raw


def _raw_scan(
    scan: CompiledScan, placement: Placement, channels: list[_Rows], name: str, n_coils: int, *, with_navigators: bool
) -> RawScan:
    readouts, n = scan.readouts, len(scan.readouts)
    is_noise = readouts.label("NOISE") != 0
    is_imaging = ~is_noise & (readouts.label("NAV") == 0)
    chosen = is_imaging.copy() if is_imaging.any() else np.ones(n, dtype=np.bool_)
    if with_navigators:
        chosen |= readouts.label("NAV") != 0
    lengths = readouts.n_samples
    length = _length(lengths[chosen], scan.encoding.n_samples if scan.encoding else 0)
    chosen &= lengths == length
    trajectory = scan.trajectory_per_m
    if trajectory is not None:
        placed = np.full((n, trajectory.shape[1], 3), np.nan, dtype=np.float32)
        placed[is_imaging] = trajectory
        trajectory = placed[chosen, :length]
    segment_start_s = np.array([segment.start_s for segment in scan.segments] or [0.0])
    time_s = segment_start_s[scan.segment_of_readout] + readouts.first_sample_tick / scan.clock_hz
    noise = None
    if is_noise.any():
        noise = _stacked(channels, is_noise & (lengths == _length(lengths[is_noise], length)))
    return RawScan(
        samples=_stacked(channels, chosen) if n else np.zeros((0, 1, length), dtype=np.complex64),
        labels={label: values[chosen] for label, values in readouts.labels.items()},
        dwell_s=float(np.median(readouts.dwell_ticks[chosen])) / scan.clock_hz if n else float("nan"),
        lo_hz=scan.lo_hz,
        encoding=scan.encoding,
        placement=placement,
        facts=scan.facts,
        definitions=dict(scan.definitions),
        n_expected=int(chosen.sum()),
        name=name,
        time_s=time_s[chosen],
        trajectory_per_m=trajectory,
        evolution_s=scan.evolution_s[chosen] if len(scan.evolution_s) else scan.evolution_s,
        square_moments_per_m2=scan.square_moments_per_m2[chosen]
        if len(scan.square_moments_per_m2)
        else scan.square_moments_per_m2,
        noise=noise,
        sensor_channels=tuple(range(n_coils, len(channels))),
    )


def _length(lengths: NDArray[np.int32], wanted: int) -> int:
    """Samples of the readouts that belong together."""
    if not len(lengths):
        return wanted
    return wanted if np.any(lengths == wanted) else int(np.bincount(lengths).argmax())


def _stacked(channels: list[_Rows], chosen: NDArray[np.bool_]) -> NDArray[np.complex64]:
    """Shape ``(n_readouts, n_channels, n_samples)``."""
    index = np.flatnonzero(chosen)
    return np.stack([np.stack([rows[i] for i in index]) for rows in channels], axis=1)
