# SPDX-License-Identifier: MIT
"""A Pulseq file as a scan that the console can play."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.concomitant import find_square_moments
from isocenter.compiler.interpret.encoding import find_encoding, sample_k
from isocenter.compiler.interpret.facts import find_facts
from isocenter.compiler.interpret.gradients import (
    GradientTracks,
    channel_offsets,
    interval_ticks,
    logical_lines,
    make_gradients,
)
from isocenter.compiler.interpret.kspace import Moments, make_moments, track_origin
from isocenter.compiler.interpret.notes import pause_notes, scan_notes
from isocenter.compiler.interpret.outputs import receive_tracks, track_from_spans, trigger_tracks, with_sensor
from isocenter.compiler.interpret.pulses import (
    Pulses,
    find_pulses,
    merge_spans,
    play_pulses,
    shift_pulses,
    tx_gate_spans,
)
from isocenter.compiler.interpret.segments import TAIL_S, Tables, cut, plan_segments
from isocenter.compiler.interpret.shim_lobes import plan_lobes
from isocenter.compiler.interpret.shots import (
    Cuts,
    Recovery,
    choose_cuts,
    find_cuts,
    inner_pulses,
    recovery,
    shot_pulses,
)
from isocenter.compiler.interpret.timeline import make_timeline
from isocenter.compiler.interpret.trajectory import find_evolution_s, find_trajectory, staircases
from isocenter.compiler.interpret.windows import GATE_LEAD_TICKS, find_readouts, shift_readouts
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.control import LONGEST_PART_S
from isocenter.domain.errors import CompileError
from isocenter.domain.events import TX_FULL_SCALE, CompiledScan, Readouts, Segment, Track
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import Calibration, Scanner, with_measured_gradients

Ints = NDArray[np.int64]

SHORTEST_LIMIT_S: Final = 0.1
"""No link is so slow that segments are cut shorter than this [s]."""


def compile_scan(
    file: PulseqFile,
    scanner: Scanner,
    calibration: Calibration,
    placement: Placement,
    *,
    soft_delays_s: Mapping[str, float] | None = None,
    max_segment_s: float | None = None,
    with_trajectory: bool | None = None,
) -> CompiledScan:
    """A sequence on the clock and the DACs of one scanner, cut into segments.

    Parameters
    ----------
    file
        The sequence.
    scanner, calibration
        Where it is played; the local oscillator is set to the calibrated frequency, gradients are asked for as they were
        measured.
    placement
        Orientation and centre of the field of view.
    soft_delays_s
        Length of the sequence's adjustable delays by hint [s].
    max_segment_s
        Segments are that long at most, unless a shot is longer [s]; None for what keeps the promise that a console which
        hangs is noticed within a second, see ``longest_segment_s``.
    with_trajectory
        True gives the trajectory of a Cartesian scan as well, False of none: whoever only wants words need not wait for it.
        None gives it where no grid explains the scan.

    Raises
    ------
    SequenceError, LimitError
        When the sequence asks what cannot be given.
    CompileError
        When it cannot be played on this console.
    """
    scanner = with_measured_gradients(scanner, calibration)
    clock_hz, lo_hz = scanner.console.clock_hz, calibration.larmor_hz
    timeline = make_timeline(file, clock_hz, soft_delays_s or {})
    lines = logical_lines(file, timeline)
    with ThreadPoolExecutor(1) as pool:  # compiled code does most of the gradients, beside everything that needs no codes
        playing = pool.submit(make_gradients, file, scanner, calibration, placement, timeline, lines)
        moments = make_moments(lines, clock_hz)
        shift_m = placement.device_from_logical.T @ placement.centre_device_m
        pulses = find_pulses(file, timeline, lo_hz)
        gates = tx_gate_spans(pulses, scanner)
        readouts = find_readouts(file, timeline, scanner, pulses, gates, lo_hz)
        origin = _origin(pulses, readouts, moments)
        k_samples = sample_k(readouts, moments, origin)
        pulses = shift_pulses(pulses, moments, shift_m, clock_hz)
        tx = play_pulses(file, pulses, scanner, calibration)
        encoding = find_encoding(file, readouts, k_samples, pulses, moments, placement)
        gradients = playing.result()
    needs_trajectory = encoding is None if with_trajectory is None else with_trajectory
    trajectory = find_trajectory(readouts, pulses, gradients, scanner) if needs_trajectory else None
    squares = _squares(readouts, pulses, gradients, scanner, lo_hz) if with_trajectory is not False else None
    readouts = shift_readouts(readouts, moments, origin, shift_m, clock_hz)
    _, rx_enable, rx_gate = receive_tracks(readouts, gates)
    trigger, leds = trigger_tracks(file, timeline)
    tracks = {"tx0_i": tx[0], "tx0_q": tx[1], "tx_gate": track_from_spans(*gates), "rx0_en": rx_enable, "rx_gate": rx_gate}
    tables = _tables(tracks | {"trig_out": trigger, "leds": leds}, gradients, readouts)
    max_s = longest_segment_s(scanner.console.segment_gap_s) if max_segment_s is None else max_segment_s
    segments, recovered = _segments(tables, pulses, gates, scanner, max_s)
    if scanner.receiver.n_sensors:
        segments = with_sensor(segments)
    tx_t_per_code = scanner.rf.full_scale_t * calibration.rf_scale / TX_FULL_SCALE
    return CompiledScan(
        scanner_name=scanner.name,
        clock_hz=clock_hz,
        lo_hz=lo_hz,
        segments=segments,
        readouts=_joint(readouts, segments),
        segment_of_readout=np.repeat(
            np.arange(len(segments), dtype=np.int32), [len(segment.readouts) for segment in segments]
        ),
        gradient_t_per_m_per_code=gradients.t_per_m_per_code,
        tx_t_per_code=tx_t_per_code,
        definitions=dict(file.definitions),
        encoding=encoding,
        facts=find_facts(segments, gradients.loads, tx, tx_t_per_code, (pulses, readouts, k_samples), clock_hz),
        warnings=(
            *file.warnings,
            *scan_notes(readouts, segments, encoding, file.definitions),
            *pause_notes(segments, recovered, clock_hz),
        ),
        signature=file.signature,
        trajectory_per_m=trajectory,
        evolution_s=find_evolution_s(readouts, pulses, clock_hz),
        **({} if squares is None else {"square_moments_per_m2": squares}),
    )


def _squares(
    readouts: Readouts, pulses: Pulses, gradients: GradientTracks, scanner: Scanner, lo_hz: float
) -> NDArray[np.float32]:
    """What concomitant fields leave at each readout."""
    turn = scanner.gradients.channel_from_device.T  # a signed permutation
    return find_square_moments(readouts, pulses, staircases(gradients, scanner), scanner.console.clock_hz, lo_hz, turn)


def _origin(pulses: Pulses, readouts: Readouts, moments: Moments) -> NDArray[np.float64]:
    """Moment at which k is zero for each readout, shape ``(n, 3)``."""
    after_pulse, _ = track_origin(moments.at(pulses.centre_tick), pulses.kind)
    row = np.searchsorted(pulses.centre_tick, readouts.first_sample_tick) - 1
    return np.where(row[:, None] >= 0, after_pulse[np.maximum(row, 0)], 0.0) if len(after_pulse) else np.zeros((len(row), 3))


def _tables(tracks: dict[str, Track], gradients: GradientTracks, readouts: Readouts) -> Tables:
    """Everything with its first and last tick."""
    every = [track.ticks for track in (*tracks.values(), *gradients.tracks) if len(track.ticks)]
    if not every:
        raise CompileError("The sequence does nothing: no pulse, gradient, readout or output.", "Choose another sequence.")
    first, last = min(int(ticks[0]) for ticks in every), max(int(ticks[-1]) for ticks in every)
    if len(gradients.slots):
        first = min(first, int(gradients.slots[0]))
    return Tables(tracks=tracks, gradients=gradients, readouts=readouts, first=first, last=last)


def longest_segment_s(gap_s: float) -> float:
    """How long a segment may be [s] that a console which hangs at any moment is noticed in good time.

    Two pauses are left: the one behind the segment, and one for idle time that is too short to be a segment.
    """
    return max(LONGEST_PART_S - 2 * gap_s, SHORTEST_LIMIT_S)


def _segments(
    tables: Tables, pulses: Pulses, gates: tuple[Ints, Ints], scanner: Scanner, max_s: float
) -> tuple[tuple[Segment, ...], Recovery | None]:
    """The scan cut at shot boundaries, and what is done where the pause does not fit; None where it fits everywhere."""
    clock_hz, gap_s = scanner.console.clock_hz, scanner.console.segment_gap_s
    offsets = channel_offsets(scanner.gradients)
    settle = int(interval_ticks(scanner.gradients, clock_hz)) + 1
    first_pulses = shot_pulses(pulses)
    cuts = _cuts(tables, pulses, first_pulses, gates, 2 * max(offsets))
    lobes = plan_lobes(tables.gradients, scanner, offsets, round(TAIL_S * clock_hz))
    around = 4 * max(offsets) + settle + 2 + TAIL_S * clock_hz + lobes.lead
    need, room = gap_s * clock_hz + around, max_s * clock_hz - around
    chosen = choose_cuts(cuts, tables.last, need, room)
    recovered = None
    if misfits := [row for row, fit in chosen if not fit]:
        idle = float(np.median(cuts.idle_to[misfits] - cuts.idle_from[misfits]))
        recovered = recovery(pulses, first_pulses, clock_hz, (need - idle) / clock_hz, max_s)
        if recovered.n_shots:
            chosen = choose_cuts(cuts, tables.last, need, room, recovered.n_shots * _spacing(cuts))
    plans = plan_segments(cuts, chosen, tables, recovered.n_shots if recovered else 0)
    return cut(tables, plans, lobes, settle, clock_hz, gap_s, max_s), recovered


def _spacing(cuts: Cuts) -> float:
    """From one shot to the next [ticks]."""
    return float(np.median(np.diff(cuts.idle_to[~cuts.is_inner])))


def _cuts(tables: Tables, pulses: Pulses, first_pulses: Ints, gates: tuple[Ints, Ints], reach: int) -> Cuts:
    """Where the scan may be cut."""
    readouts = tables.readouts
    opens = readouts.window_tick - GATE_LEAD_TICKS
    windows = opens, readouts.window_tick + readouts.decimation.astype(np.int64) * readouts.n_raw
    spans = [gates, windows]
    for name in ("trig_out", "leds"):
        ticks, values = tables.tracks[name].ticks, tables.tracks[name].values
        on = np.flatnonzero(values[:-1] != 0)
        spans.append((ticks[on], ticks[on + 1]))
    busy = merge_spans(np.concatenate([s[0] for s in spans]), np.concatenate([s[1] for s in spans]))
    if len(first_pulses):
        inner = inner_pulses(pulses, first_pulses)
        rows = np.union1d(first_pulses, inner)
        starts = np.ceil(pulses.start_tick[rows]).astype(np.int64)
        return find_cuts(tables.gradients, starts, gates, busy, reach, np.isin(rows, inner))
    if len(opens):
        return find_cuts(tables.gradients, readouts.window_tick, windows, busy, reach)
    nothing = np.empty(0, dtype=np.int64)
    return Cuts(nothing, nothing, nothing, np.empty(0, dtype=bool))


def _joint(readouts: Readouts, segments: tuple[Segment, ...]) -> Readouts:
    """Readouts of all segments, ticks relative to their own segment."""
    from dataclasses import replace

    if not len(readouts):
        return readouts
    return replace(
        readouts,
        window_tick=np.concatenate([segment.readouts.window_tick for segment in segments]),
        first_sample_tick=np.concatenate([segment.readouts.first_sample_tick for segment in segments]),
    )
