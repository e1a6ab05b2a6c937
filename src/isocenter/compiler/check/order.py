# SPDX-License-Identifier: MIT
"""The tables of a scan agree with one another: order of segments, readouts, and how long one segment cannot be stopped."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from isocenter.compiler.check.report import Finding
from isocenter.compiler.check.timeline import Timeline, fault
from isocenter.domain.events import CompiledScan, Readouts

_COUNTED: Final = ("LIN", "PAR", "SLC", "ECO", "REP", "SET", "PHS", "AVG")
STOP_WITHIN_S: Final = 5.0
"""The console cannot be interrupted within a segment, so none may be longer: that is how long Stop could take [s]."""


def check_order(scan: CompiledScan, timeline: Timeline) -> Iterator[Finding]:
    """Findings about segments and readouts that do not belong together."""
    indices = [segment.index for segment in scan.segments]
    if indices != list(range(len(indices))):
        yield fault("segment order", f"the segments are numbered {indices[:8]}, not in order")
    counts = [len(segment.readouts) for segment in scan.segments]
    expected = np.repeat(np.arange(len(counts)), counts)
    if not np.array_equal(scan.segment_of_readout, expected):
        yield fault("readouts", "the scan says of a readout that it belongs to another segment than the one that has it")
    elif len(scan.readouts) == len(expected):
        start = 0
        for segment, count in zip(scan.segments, counts, strict=True):
            if name := _difference(scan.readouts.slice(start, start + count), segment.readouts):
                yield fault("readouts", f"segment {segment.index} and the scan disagree on {name} of its readouts")
                break
            start += count
    yield from _labels(scan)
    yield from _stop(timeline)


def _difference(of_scan: Readouts, of_segment: Readouts) -> str:
    """What differs, empty for nothing."""
    for name in ("block", "window_tick", "decimation", "n_raw", "n_samples", "first_sample_tick", "dwell_ticks"):
        if not np.array_equal(getattr(of_scan, name), getattr(of_segment, name)):
            return name
    for name in ("phase_rad", "frequency_hz"):
        if not np.array_equal(getattr(of_scan, name), getattr(of_segment, name)) or not np.all(
            np.isfinite(getattr(of_scan, name))
        ):
            return name
    for label in sorted(of_scan.labels.keys() | of_segment.labels.keys()):
        if not np.array_equal(of_scan.label(label), of_segment.label(label)):
            return f"label {label}"
    return ""


def _labels(scan: CompiledScan) -> Iterator[Finding]:
    """Labels that no image has a place for are found before a patient lies still for them."""
    for name, values in sorted(scan.readouts.labels.items()):
        if name in _COUNTED and len(values) and values.min() < 0:
            yield Finding(
                limit=f"label {name}",
                requested=float(values.min()),
                allowed=0.0,
                unit="",
                event=f"readout {int(np.argmin(values))}",
                time_s=float("nan"),
                remedy=f"Count {name} from 0 in the sequence.",
            )


def _stop(timeline: Timeline) -> Iterator[Finding]:
    lengths_s = (timeline.end_ticks - timeline.start_ticks) / timeline.clock_hz
    longest = int(np.argmax(lengths_s))
    if lengths_s[longest] > STOP_WITHIN_S:
        yield Finding(
            limit="time until Stop takes effect",
            requested=float(lengths_s[longest]),
            allowed=STOP_WITHIN_S,
            unit="s",
            event=f"segment {longest}, in which there is no moment of rest at which the scan could be cut,",
            time_s=timeline.time_s(timeline.start_ticks[longest]),
            remedy="Bring all gradients to zero between repetitions, or make the echo train shorter.",
        )
