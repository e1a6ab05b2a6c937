# SPDX-License-Identifier: MIT
"""RF: magnitude, pulse length, duty."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.compiler.check.load import window_maximum
from isocenter.compiler.check.report import Finding
from isocenter.compiler.check.timeline import Ints, Timeline, stretches
from isocenter.compiler.pulseq.model import Floats
from isocenter.domain.events import TX_FULL_SCALE, CompiledScan
from isocenter.domain.scanner import RfSystem

# A shaped pulse passes through 0 between its lobes; shorter pauses than this do not end it.
_SAME_PULSE_S: Final = 20e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """When RF is on, and how strong.

    Attributes
    ----------
    starts, ends
        Of every stretch with RF [ticks].
    magnitude
        Largest of each stretch, in codes.
    energy
        Integral of the squared magnitude over each stretch, in codes² ticks.
    """

    starts: Ints
    ends: Ints
    magnitude: Ints
    energy: Floats


def transmission(timeline: Timeline) -> Transmission:
    """Both parts of the envelope on common ticks; magnitudes are rounded up."""
    in_phase, quadrature = timeline.lines["tx0_i"], timeline.lines["tx0_q"]
    if np.array_equal(in_phase.ticks, quadrature.ticks):
        ticks, i, q = in_phase.ticks, in_phase.values, quadrature.values
    else:
        # Two sorted runs: the merge of a stable sort is much faster than np.union1d.
        ticks = np.sort(np.concatenate([in_phase.ticks, quadrature.ticks]), kind="stable")
        ticks = ticks[np.diff(ticks, prepend=-1) > 0]
        i, q = in_phase.at(ticks), quadrature.at(ticks)
    squared = i * i + q * q
    starts, ends = stretches(ticks, squared > 0)
    if not len(starts):
        return Transmission(starts=starts, ends=ends, magnitude=starts, energy=np.zeros(0))
    places = np.searchsorted(ticks, starts)
    largest = np.maximum.reduceat(squared, places)
    energy = np.add.reduceat(squared * np.diff(ticks, append=ticks[-1] + 1), places)
    return Transmission(
        starts=starts,
        ends=ends,
        magnitude=np.ceil(np.sqrt(largest) - 1e-9).astype(np.int64),
        energy=energy.astype(np.float64),
    )


def check_rf(
    scan: CompiledScan, timeline: Timeline, pulses: Transmission, rf: RfSystem
) -> tuple[list[Finding], dict[str, float]]:
    """Findings and loads of the transmitter."""
    if not len(pulses.starts):
        return [], {"RF amplitude": 0.0, "RF pulse length": 0.0, "RF duty in one second": 0.0, "RF duty of the scan": 0.0}
    findings = [*_magnitude(timeline, pulses), *_lengths(timeline, pulses, rf)]
    second, where = _duty_in_a_second(timeline, pulses, rf)
    # Less than a second of RF heats no more than the same RF in a second, which the line above covers.
    duration_s = max(timeline.time_s(timeline.end_ticks[-1]), 1.0)
    whole = timeline.time_s(int((pulses.ends - pulses.starts).sum())) / duration_s
    for name, duty, time_s in (("RF duty in one second", second, where), ("RF duty of the scan", whole, float("nan"))):
        if not duty <= rf.max_duty * 1.0001:
            findings.append(
                Finding(
                    limit=name,
                    requested=duty * 100,
                    allowed=rf.max_duty * 100,
                    unit="%",
                    event="the sum of all RF pulses",
                    time_s=time_s,
                    remedy=lengthen_tr(scan, duty / rf.max_duty) + " or use shorter pulses.",
                )
            )
    loads = {
        "RF amplitude": float(pulses.magnitude.max()) / TX_FULL_SCALE,
        "RF pulse length": _longest_s(timeline, pulses)[0] / rf.max_pulse_s,
        "RF duty in one second": second / rf.max_duty,
        "RF duty of the scan": whole / rf.max_duty,
    }
    return findings, loads


def lengthen_tr(scan: CompiledScan, factor: float) -> str:
    """Start of a remedy: how long TR must be."""
    tr_s = scan.facts.tr_s
    if np.isfinite(tr_s) and tr_s > 0:
        return f"Lengthen TR to at least {np.ceil(tr_s * factor * 1e3):.0f} ms"
    return f"Make the pauses longer, so that the scan takes {factor:.2f} times as long,"


def _magnitude(timeline: Timeline, pulses: Transmission) -> list[Finding]:
    worst = int(np.argmax(pulses.magnitude))
    if pulses.magnitude[worst] <= TX_FULL_SCALE:
        return []
    factor = float(pulses.magnitude[worst]) / TX_FULL_SCALE
    return [
        Finding(
            limit="RF amplitude",
            requested=factor * 100,
            allowed=100.0,
            unit="% of full scale",
            event=f"the RF pulse in segment {timeline.segment_of(pulses.starts[worst])}",
            time_s=timeline.time_s(pulses.starts[worst]),
            remedy=f"Lower the flip angle to {100 / factor:.0f} % of it, or lengthen the pulse at least {factor:.3f} times.",
        )
    ]


def _longest_s(timeline: Timeline, pulses: Transmission) -> tuple[float, int]:
    """Length of the longest pulse [s], and the tick at which it starts. Short pauses belong to a pulse."""
    is_first = np.ones(len(pulses.starts), dtype=bool)
    is_first[1:] = pulses.starts[1:] - pulses.ends[:-1] > _SAME_PULSE_S * timeline.clock_hz
    starts = pulses.starts[is_first]
    ends = pulses.ends[np.append(np.flatnonzero(is_first)[1:] - 1, len(is_first) - 1)]
    worst = int(np.argmax(ends - starts))
    return timeline.time_s(ends[worst] - starts[worst]), int(starts[worst])


def _lengths(timeline: Timeline, pulses: Transmission, rf: RfSystem) -> list[Finding]:
    length_s, start = _longest_s(timeline, pulses)
    if length_s <= rf.max_pulse_s + 1.5 / timeline.clock_hz:
        return []
    return [
        Finding(
            limit="RF pulse length",
            requested=length_s * 1e3,
            allowed=rf.max_pulse_s * 1e3,
            unit="ms",
            event=f"the RF pulse in segment {timeline.segment_of(start)}",
            time_s=timeline.time_s(start),
            remedy=f"Shorten the RF pulse to at most {rf.max_pulse_s * 1e3:.4g} ms.",
        )
    ]


def _duty_in_a_second(timeline: Timeline, pulses: Transmission, rf: RfSystem) -> tuple[float, float]:
    """Largest fraction of any second with RF, and when that second starts [s]."""
    edges = np.column_stack([pulses.starts, pulses.ends]).reshape(-1)
    is_on = np.tile([1.0, 0.0], len(pulses.starts))
    ticks, start = window_maximum(edges, is_on, int(timeline.clock_hz), rf.max_duty)
    return ticks, timeline.time_s(start)
