# SPDX-License-Identifier: MIT
"""Gates and receive windows: what may overlap, what must not, and what the receiver's buffers hold."""

from typing import Final

import numpy as np

from isocenter.compiler.check.report import Finding
from isocenter.compiler.check.rf import Transmission
from isocenter.compiler.check.timeline import Ints, Timeline, fault
from isocenter.compiler.pulseq.model import Floats
from isocenter.domain.events import CHANNELS, GRADIENT_CHANNELS, CompiledScan
from isocenter.domain.receiver import MAX_DECIMATION, MIN_DECIMATION
from isocenter.domain.scanner import RfSystem

# Source: reference marcos.md 4, 10 and 14.7: the buffer warns above 14 336 samples, the server reads at most 10 000 after
# the end, and about 3.8 million a second while it runs, less its own work; half of that is counted on.
_FIFO_SAMPLES: Final = 14_336
_SAMPLES_AFTER_END: Final = 10_000
_DRAIN_HZ: Final = 2e6
_RATE_AHEAD_TICKS: Final = 50
_SLACK_TICKS: Final = 1.5


def check_gates(timeline: Timeline, pulses: Transmission, rf: RfSystem) -> list[Finding]:
    """Transmit only while unblanked, receive only while blanked and after the coil has rung down."""
    gate_starts, gate_ends = timeline.lines["tx_gate"].intervals()
    rx_starts, rx_ends = timeline.lines["rx0_en"].intervals()
    warmup, hold, dead = (seconds * timeline.clock_hz for seconds in (rf.warmup_s, rf.hold_s, rf.dead_time_s))
    early, late = _margins(pulses, gate_starts, gate_ends)
    findings = [
        *_short(
            timeline,
            "RF amplifier warm-up",
            pulses.starts,
            early,
            warmup,
            "Start the RF pulse later in its block, or lengthen the pause before it, by {missing:.1f} us.",
        ),
        *_short(
            timeline,
            "RF amplifier hold",
            pulses.starts,
            late,
            hold,
            "Lengthen the block of the RF pulse by {missing:.1f} us.",
        ),
    ]
    connected, disconnected = timeline.lines["rx_gate"].intervals()
    if len(connected):
        apart = connected - _last_end_before(pulses.starts, pulses.ends, disconnected)
        text = "This is a fault of the program: keep the sequence and report it. Do not scan."
        findings += _short(timeline, "receiver connected during RF", connected, apart, 0.0, text, "the receive gate")
        apart = connected - _last_end_before(gate_starts, gate_ends, disconnected)
        findings += _short(timeline, "receiver connected while unblanked", connected, apart, 0.0, text, "the receive gate")
    if len(rx_starts):
        after_pulse = rx_starts - _last_end_before(pulses.starts, pulses.ends, rx_ends)
        after_gate = rx_starts - _last_end_before(gate_starts, gate_ends, rx_ends)
        later = "Start the readout at least {missing:.1f} us later (a longer TE or delay of the readout)."
        findings += _short(timeline, "dead time after RF", rx_starts, after_pulse, dead, later, "the readout")
        findings += _short(timeline, "receiving while unblanked", rx_starts, after_gate, 0.0, later, "the readout")
    return findings


def _margins(pulses: Transmission, gate_starts: Ints, gate_ends: Ints) -> tuple[Floats, Floats]:
    """How long the gate is open before and after each stretch of RF [ticks]; negative when it is not open."""
    closed = np.full(len(pulses.starts), -1.0)
    if not len(gate_starts):
        return closed, closed
    place = np.searchsorted(gate_starts, pulses.starts, side="right") - 1
    is_open = (place >= 0) & (gate_ends[place] >= pulses.ends)
    return (
        np.where(is_open, pulses.starts - gate_starts[place], closed),
        np.where(is_open, gate_ends[place] - pulses.ends, closed),
    )


def _last_end_before(starts: Ints, ends: Ints, ticks: Ints) -> Ints:
    """End of the last stretch that starts before each tick; far in the past if there is none."""
    if not len(starts):
        return np.full(len(ticks), -(2**62), dtype=np.int64)
    place = np.searchsorted(starts, ticks, side="left") - 1
    return np.where(place >= 0, ends[np.maximum(place, 0)], -(2**62))


def _short(
    timeline: Timeline,
    limit: str,
    ticks: Ints,
    margin: Floats | Ints,
    needed: float,
    remedy: str,
    event: str = "the RF pulse",
) -> list[Finding]:
    if not len(margin):
        return []
    place = int(np.argmin(margin))
    got = float(margin[place])
    if got >= needed - (_SLACK_TICKS if needed else 0.0):
        return []
    us = 1e6 / timeline.clock_hz
    return [
        Finding(
            limit=limit,
            requested=got * us,
            allowed=needed * us,
            unit="us",
            event=f"{event} in segment {timeline.segment_of(ticks[place])}",
            time_s=timeline.time_s(ticks[place]),
            remedy=remedy.format(missing=np.ceil((needed - got) * us * 10 - 0.2) / 10),
        )
    ]


def check_windows(scan: CompiledScan, timeline: Timeline) -> list[Finding]:
    """Receive windows agree with the readouts, their rate is set in time, and the buffers hold what they give."""
    starts, ends = timeline.lines["rx0_en"].intervals()
    offsets = [
        start
        for segment, start in zip(scan.segments, timeline.start_ticks.tolist(), strict=True)
        for _ in range(len(segment.readouts))
    ]
    wanted = np.concatenate([segment.readouts.window_tick for segment in scan.segments]) + np.array(offsets, dtype=np.int64)
    decimation = np.concatenate([segment.readouts.decimation for segment in scan.segments]).astype(np.int64)
    n_raw = np.concatenate([segment.readouts.n_raw for segment in scan.segments]).astype(np.int64)
    if len(scan.readouts) != len(wanted):
        return [fault("readouts", f"the scan lists {len(scan.readouts)} readouts, its segments {len(wanted)}")]
    bad = (decimation < MIN_DECIMATION) | (decimation > MAX_DECIMATION) | (n_raw < 1)
    if np.any(bad):
        place = int(np.argmax(bad))
        return [
            Finding(
                limit="receiver decimation",
                requested=float(decimation[place]),
                allowed=float(MAX_DECIMATION if decimation[place] > MAX_DECIMATION else MIN_DECIMATION),
                unit="ticks per sample",
                event=f"readout {place} with {n_raw[place]} samples",
                time_s=timeline.time_s(wanted[place]),
                remedy="Change the bandwidth of the readout so that the receiver can sample it.",
            )
        ]
    if len(starts) != len(wanted):
        return [fault("receive windows", f"the receiver is switched on {len(starts)} times for {len(wanted)} readouts")]
    wrong = (starts != wanted) | (ends - starts != n_raw * decimation)
    if np.any(wrong):
        place = int(np.argmax(wrong))
        text = (
            f"readout {place} opens for {ends[place] - starts[place]} ticks instead of {n_raw[place]} x {decimation[place]}"
        )
        return [fault("receive windows", text, timeline.time_s(starts[place]))]
    connected, disconnected = timeline.lines["rx_gate"].intervals()
    around = np.searchsorted(connected, starts, side="right") - 1
    if len(starts) and not (len(connected) and np.all((around >= 0) & (disconnected[around] >= ends))):
        return [fault("receive windows", "the receiver is not connected for the whole of a window")]
    has_sensor = bool(np.any(timeline.lines["rx1_en"].values) or np.any(timeline.lines["rx1_rate"].values))
    findings = [*_rates(timeline, starts, ends, decimation), *_buffers(timeline, starts, ends, n_raw, 1 + has_sensor)]
    return [*findings, *_sensor(timeline)] if has_sensor else findings


def _sensor(timeline: Timeline) -> list[Finding]:
    """A sensor must listen when the coil does, at the same rate, or its samples belong to nothing."""
    for first, second in (("rx0_en", "rx1_en"), ("rx0_rate", "rx1_rate")):
        one, other = timeline.lines[first], timeline.lines[second]
        ticks = np.union1d(one.ticks, other.ticks)
        differ = one.at(ticks) != other.at(ticks)
        if np.any(differ):
            return [fault("sensor", f"{second} is not what {first} is", timeline.time_s(ticks[int(np.argmax(differ))]))]
    return []


def _rates(timeline: Timeline, starts: Ints, ends: Ints, decimation: Ints) -> list[Finding]:
    """The decimation must be set some time before its window and stay through it."""
    line = timeline.lines["rx0_rate"]
    changes = line.ticks[np.flatnonzero(np.diff(line.values, prepend=0))]
    before = np.searchsorted(changes, starts - _RATE_AHEAD_TICKS, side="right")
    wrong = (line.at(starts) != decimation) | (before != np.searchsorted(changes, ends - 1, side="right"))
    if not np.any(wrong):
        return []
    place = int(np.argmax(wrong))
    text = f"the rate for readout {place} is not {decimation[place]} from {_RATE_AHEAD_TICKS} ticks before it to its end"
    return [fault("receiver rate", text, timeline.time_s(starts[place]))]


def _buffers(timeline: Timeline, starts: Ints, ends: Ints, n_raw: Ints, n_receivers: int) -> list[Finding]:
    """Samples that wait in the console while a segment plays, and when it ends; receivers share the time of its server."""
    if not len(starts):
        return []
    drain = _DRAIN_HZ / n_receivers / timeline.clock_hz
    segment = np.searchsorted(timeline.start_ticks, starts, side="right") - 1
    added = np.maximum(n_raw - (ends - starts) * drain, 0.0)
    drained = (starts[1:] - ends[:-1]) * drain
    # The server hands over everything between two segments.
    drained[np.diff(segment) != 0] = 1e12
    level = np.concatenate(([0.0], np.cumsum(added[:-1] - drained)))
    base = level - np.minimum.accumulate(level)
    waiting = base + added
    is_last = np.append(np.diff(segment) != 0, True)
    left = np.maximum(waiting - (timeline.end_ticks[segment] - ends) * drain, 0.0)
    cases = (
        ("receive buffer", waiting, float(_FIFO_SAMPLES)),
        ("samples left at the end of a segment", np.where(is_last, left, 0.0), _SAMPLES_AFTER_END / n_receivers),
    )
    findings = []
    for limit, samples, allowed in cases:
        place = int(np.argmax(samples))
        if samples[place] > allowed:
            findings.append(
                Finding(
                    limit=limit,
                    requested=float(samples[place]),
                    allowed=allowed,
                    unit="samples",
                    event=f"readout {place} in segment {segment[place]}",
                    time_s=timeline.time_s(starts[place]),
                    remedy=f"Use at most {100 * allowed / samples[place]:.0f} % of the samples or of the bandwidth.",
                )
            )
    return findings


def check_ends(scan: CompiledScan, timeline: Timeline) -> list[Finding]:
    """Every output is 0 when a segment ends; a gradient may hold the shim, which the driver then takes away."""
    findings: list[Finding] = []
    for name in CHANNELS:
        if name in {"rx0_rate", "rx1_rate"}:  # settings, not outputs
            continue
        last = timeline.lines[name].at(timeline.end_ticks - 1)
        good = last == 0
        if name in GRADIENT_CHANNELS:
            good |= last == np.array([segment.shim_codes[GRADIENT_CHANNELS.index(name)] for segment in scan.segments])
        if not np.all(good):
            index = int(np.argmin(good))
            text = f"{name} is still {last[index]} at the end of segment {index}"
            findings.append(fault("outputs at the end", text, timeline.time_s(timeline.end_ticks[index])))
    return findings
