# SPDX-License-Identifier: MIT
"""Gates, trigger and digital outputs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.pulses import merge_spans
from isocenter.compiler.interpret.timeline import Timeline
from isocenter.compiler.interpret.windows import GATE_LEAD_TICKS, RATE_LEAD_TICKS
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.errors import CompileError
from isocenter.domain.events import Readouts, Segment, Track

Ints = NDArray[np.int64]

TRIGGER_CHANNEL: Final = 3
"""Pulseq's output ``ext1`` is the console's trigger output; outputs 1, 2 and 4 to 8 are its digital outputs."""


def track_from_spans(rise: Ints, fall: Ints, value: int = 1) -> Track:
    """A line that is ``value`` from each rise to its fall."""
    ticks = np.stack([rise, fall], axis=1).ravel().astype(np.int64)
    values = np.tile(np.array([value, 0], dtype=np.int32), len(rise))
    return Track(ticks, values)


def receive_tracks(readouts: Readouts, gates: tuple[Ints, Ints]) -> tuple[Track, Track, Track]:
    """rx0_rate, rx0_en and rx_gate."""
    opens, length = readouts.window_tick, readouts.decimation.astype(np.int64) * readouts.n_raw
    lead = opens - GATE_LEAD_TICKS
    if len(gates[0]) and len(opens):
        before = np.searchsorted(gates[0], opens) - 1
        lead = np.where(before >= 0, np.maximum(lead, gates[1][np.maximum(before, 0)]), lead)
    changed = np.concatenate([[True], np.diff(readouts.decimation) != 0]) if len(opens) else np.empty(0, dtype=bool)
    rate = Track((opens - RATE_LEAD_TICKS)[changed], readouts.decimation[changed])
    return rate, track_from_spans(opens, opens + length), track_from_spans(*merge_spans(lead, opens + length))


def with_sensor(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Segments whose second receiver, to which a sensor of interference is connected, does what the first does."""
    return tuple(replace(segment, tracks={**segment.tracks, **_second(segment.tracks)}) for segment in segments)


def _second(tracks: Mapping[str, Track]) -> dict[str, Track]:
    pairs = (("rx0_rate", "rx1_rate"), ("rx0_en", "rx1_en"))
    return {second: tracks[first] for first, second in pairs if first in tracks}


def trigger_tracks(file: PulseqFile, timeline: Timeline) -> tuple[Track, Track]:
    """trig_out and leds.

    Raises
    ------
    CompileError
        When the sequence waits for an input, or names an output that the console does not have.
    """
    spans: dict[int, list[tuple[float, float]]] = {}
    with_triggers = [row for row, extension in enumerate(file.extension_sets) if extension.triggers]
    for row in with_triggers:
        starts = timeline.start_ticks[:-1][file.blocks.extension == row]
        for trigger in file.extension_sets[row].triggers:
            if not len(starts):
                continue
            if not trigger.is_output:
                raise CompileError(
                    f"The sequence waits for an input signal (trigger input {trigger.channel}, first at "
                    f"{timeline.seconds(starts[0]):.6g} s); this console has no gated start.",
                    "Use a version of the sequence without triggering.",
                )
            if not 1 <= trigger.channel <= 8:
                raise CompileError(
                    f"The sequence uses digital output {trigger.channel}; the console has 1 to 8.",
                    "Change the output's number in the sequence.",
                )
            low = starts + trigger.delay_s * timeline.clock_hz
            high = low + trigger.duration_s * timeline.clock_hz
            spans.setdefault(trigger.channel, []).extend(zip(low, high, strict=True))
    lines = {channel: merge_spans(*_rounded(pairs)) for channel, pairs in spans.items()}
    marks = track_from_spans(*lines.pop(TRIGGER_CHANNEL, (np.empty(0, np.int64), np.empty(0, np.int64))))
    return marks, _joint(lines)


def _rounded(pairs: list[tuple[float, float]]) -> tuple[Ints, Ints]:
    """Spans on whole ticks, at least one long."""
    low, high = np.round(np.array(pairs)).astype(np.int64).T
    return low, np.maximum(high, low + 1)


def _joint(lines: dict[int, tuple[Ints, Ints]]) -> Track:
    """Several digital outputs as the bits of one channel."""
    if not lines:
        return Track(np.empty(0, np.int64), np.empty(0, np.int32))
    ticks = np.concatenate([np.concatenate(spans) for spans in lines.values()])
    steps = np.concatenate(
        [np.repeat([1 << (channel - 1), -(1 << (channel - 1))], len(spans[0])) for channel, spans in lines.items()]
    )
    unique, inverse = np.unique(ticks, return_inverse=True)
    change = np.zeros(len(unique), dtype=np.int64)
    np.add.at(change, inverse, steps)
    return Track(unique, np.cumsum(change).astype(np.int32))
