# SPDX-License-Identifier: MIT
"""Whatever the gate lets through keeps every limit, by checks that are written plainly and share nothing with it.

Valid scans are broken in random ways; each plain check walks through the table step by step. A gate that refuses too much
is seen by the tests of the sequences that must pass; here it may only not refuse too little.
"""

import dataclasses
import math
import random

import pytest

from isocenter.compiler.check import check_scan

GRADIENTS = ("grad_vx", "grad_vy", "grad_vz")


class Plain:
    """A scan as lists of (tick, value) on one clock, and each limit in a loop."""

    def __init__(self, scan, scanner):
        self.scan, self.scanner, self.clock = scan, scanner, scan.clock_hz
        self.lines = {}
        self.starts = [round(segment.start_s * self.clock) for segment in scan.segments]
        for name in {name for segment in scan.segments for name in segment.tracks} | set(GRADIENTS):
            changes = []
            for start, segment in zip(self.starts, scan.segments, strict=True):
                track = segment.tracks.get(name)
                rows = [] if track is None else list(zip(track.ticks.tolist(), track.values.tolist(), strict=True))
                if not rows or rows[0][0] > 0:
                    rows = [(0, 0), *rows]
                changes += [(start + tick, value) for tick, value in rows]
            self.lines[name] = changes

    def holds(self, name):
        """(start, end, value) of every stretch."""
        rows = self.lines.get(name, [])
        last = self.starts[-1] + self.scan.segments[-1].end_tick
        ends = [tick for tick, _ in rows[1:]] + [max(last, rows[-1][0] + 1)] if rows else []
        return [(tick, end, value) for (tick, value), end in zip(rows, ends, strict=True)]

    def spans(self, name):
        found = []
        for start, end, value in self.holds(name):
            if not value:
                continue
            if found and found[-1][1] == start:
                found[-1][1] = end
            else:
                found.append([start, end])
        return found

    def rf(self):
        """(start, end, magnitude) of every stretch with RF."""
        ticks = sorted({tick for name in ("tx0_i", "tx0_q") for tick, _ in self.lines.get(name, [])})
        rows, values, at = {n: dict(self.lines.get(n, [])) for n in ("tx0_i", "tx0_q")}, {"tx0_i": 0, "tx0_q": 0}, []
        for tick in ticks:
            for name, row in rows.items():
                values[name] = row.get(tick, values[name])
            at.append((tick, math.hypot(*values.values())))
        return [(t, ticks[i + 1] if i + 1 < len(ticks) else t + 1, m) for i, (t, m) in enumerate(at) if m]

    def broken(self):
        """Names of the limits that are not kept."""
        checks = (self.rf_strength, self.rf_duty, self.amplitude, self.slew, self.rms, self.gates, self.windows, self.ends)
        return [check.__name__ for check in checks if not check()]

    def rf_strength(self):
        pulses = self.rf()
        length, longest, before = 0, 0, None
        for start, end, magnitude in pulses:
            if not magnitude <= 32767 + 1e-6:
                return False
            length = length + end - before if before is not None and start - before < 20e-6 * self.clock else end - start
            before = end
            longest = max(longest, length)
        return longest <= self.scanner.rf.max_pulse_s * self.clock + 2

    def rf_duty(self):
        pulses = self.rf()
        for origin in [start for start, _, _ in pulses] + [end - round(self.clock) for _, end, _ in pulses]:
            stop = origin + self.clock
            on = sum(max(0.0, min(end, stop) - max(start, origin)) for start, end, _ in pulses)
            if not on <= 1.001 * self.scanner.rf.max_duty * self.clock:
                return False
        return True

    def per_code(self, channel):
        return abs(self.scanner.gradients.axes[channel].full_scale_t_per_m) / 32767

    def amplitude(self):
        return all(
            abs(value) * self.per_code(channel) <= self.scanner.gradients.axes[channel].max_t_per_m + self.per_code(channel)
            for channel, name in enumerate(GRADIENTS)
            for _, value in self.lines[name]
        )

    def slew(self):
        """No change within any two update intervals that a ramp at the limit, played in cells, could not have made."""
        interval = self.scanner.gradients.update_interval_s * self.clock
        for channel, name in enumerate(GRADIENTS):
            limit = self.scanner.gradients.axes[channel].max_slew_t_per_m_s / self.per_code(channel) / self.clock
            rows = self.lines[name]
            for i in range(1, len(rows)):
                j = i
                while j < len(rows) and rows[j][0] - rows[i][0] <= 2 * interval:
                    allowed = limit * (rows[j][0] - rows[i][0] + 2 * interval) * 1.02 + 4
                    if abs(rows[j][1] - rows[i - 1][1]) > allowed:
                        return False
                    j += 1
        return True

    def rms(self):
        for channel, name in enumerate(GRADIENTS):
            holds = [(a, b, v * self.per_code(channel)) for a, b, v in self.holds(name) if v]
            for origin in [a for a, _, _ in holds]:
                stop = origin + self.clock
                square = sum(v * v * max(0.0, min(b, stop) - max(a, origin)) for a, b, v in holds) / self.clock
                if not math.sqrt(square) <= self.scanner.gradients.axes[channel].max_rms_t_per_m * 1.001:
                    return False
        return True

    def gates(self):
        rf, clock = self.scanner.rf, self.clock
        gates, windows, connected = (self.spans(name) for name in ("tx_gate", "rx0_en", "rx_gate"))
        for start, end, _ in self.rf():
            if not any(a <= start - rf.warmup_s * clock + 2 and b >= end + rf.hold_s * clock - 2 for a, b in gates):
                return False
            for a, b in windows:
                if b > start and a < end + rf.dead_time_s * clock - 2:
                    return False
        return not any(b > low and a < high for a, b in gates for low, high in [*windows, *connected])

    def windows(self):
        windows = self.spans("rx0_en")
        rows = [
            (start + int(tick), int(r) * int(n), int(r))
            for start, segment in zip(self.starts, self.scan.segments, strict=True)
            for tick, r, n in zip(
                segment.readouts.window_tick, segment.readouts.decimation, segment.readouts.n_raw, strict=True
            )
        ]
        if [[a, a + length] for a, length, _ in rows] != windows:
            return False
        for start, length, rate in rows:
            values = [v for a, b, v in self.holds("rx0_rate") if a < start + length and b > start]
            if values != [rate] or not any(a <= start and b >= start + length for a, b in self.spans("rx_gate")):
                return False
        return True

    def ends(self):
        for start, segment in zip(self.starts, self.scan.segments, strict=True):
            for channel, rows in self.lines.items():
                if channel == "rx0_rate":
                    continue
                last = [value for tick, value in rows if tick < start + segment.end_tick][-1:]
                allowed = {0, segment.shim_codes[GRADIENTS.index(channel)]} if channel in GRADIENTS else {0}
                if last and last[0] not in allowed:
                    return False
        return all(
            start + segment.end_tick <= after
            for start, segment, after in zip(self.starts, self.scan.segments, self.starts[1:], strict=False)
        )


def _scale(rng, draft, us):
    name = rng.choice([*GRADIENTS, "tx0_i", "tx0_q"])
    factor = rng.choice([0.5, 0.9, 1.1, 1.3, 1.5, 2.0, -1.0])
    draft.tracks[name] = [[tick, max(-32767, min(32767, round(value * factor)))] for tick, value in draft.tracks[name]]


def _swap(rng, draft, us):
    one, other = rng.sample(sorted(draft.tracks), 2)
    draft.tracks[one], draft.tracks[other] = draft.tracks[other], draft.tracks[one]


def _shift(rng, draft, us):
    name = rng.choice(sorted(draft.tracks))
    by = us(rng.choice([-4000, -300, -100, -20, -1, 1, 20, 100, 300, 4000]))
    draft.tracks[name] = [[tick + by, value] for tick, value in draft.tracks[name]]


def _drop(rng, draft, us):
    name = rng.choice(sorted(draft.tracks))
    if draft.tracks[name]:
        del draft.tracks[name][rng.randrange(len(draft.tracks[name]))]


def _value(rng, draft, us):
    name = rng.choice(sorted(draft.tracks))
    if draft.tracks[name]:
        draft.tracks[name][rng.randrange(len(draft.tracks[name]))][1] = rng.choice([0, 1, 123, 3000, -3000, 30000, -32767])


def _tick(rng, draft, us):
    name = rng.choice(sorted(draft.tracks))
    if draft.tracks[name]:
        draft.tracks[name][rng.randrange(len(draft.tracks[name]))][0] += us(rng.choice([-50, -5, 5, 50, 500]))


def _squeeze(rng, draft, us):
    name = rng.choice(GRADIENTS)
    origin, factor = draft.tracks[name][0][0], rng.choice([0.11, 0.2, 0.4, 0.6, 0.8])
    draft.tracks[name] = [[origin + round((tick - origin) * factor), value] for tick, value in draft.tracks[name]]


def _repeat(rng, draft, us):
    every = us(rng.choice([300, 700, 1500]))
    for name in ("tx0_i", "tx0_q", "tx_gate"):
        rows = draft.tracks[name]
        draft.tracks[name] = rows + [[tick + every * k, value] for k in range(1, 4) for tick, value in rows]


def _when(rng, draft, us):
    draft.start_s = max(0.0, draft.start_s + rng.choice([-0.05, -0.031, -0.02, 0.5]))


def _window(rng, draft, us):
    row = draft.readouts[0]
    row[rng.randrange(3)] += rng.choice([-1, 1, 50])


def _shim(rng, draft, us):
    draft.shim = (rng.choice([0, 40, 900, 5000]), 0, 0)


MUTATIONS = (_scale, _swap, _shift, _drop, _value, _tick, _squeeze, _repeat, _when, _window, _shim)


def test_the_plain_checks_pass_what_is_valid_and_see_what_is_not(bench):
    drafts = bench.drafts()
    assert Plain(bench.build(drafts), bench.scanner()).broken() == []
    drafts[1].tracks["tx_gate"] = [[0, 0]]
    drafts[0].tracks["grad_vx"][5][1] = 30000
    found = Plain(bench.build(drafts), bench.scanner()).broken()
    assert {"gates", "amplitude", "slew"} <= set(found)


@pytest.mark.parametrize("seed", range(8))
def test_what_passes_the_gate_keeps_every_limit(bench, seed):
    rng, passed, plainly_broken = random.Random(f"gate {seed}"), 0, 0
    limits = [
        {},
        {"max_rms_t_per_m": 3.6e-4},
        {"max_duty": 3e-4},
        {"max_slew_t_per_m_s": 30.0, "max_t_per_m": 7.4e-3},
        {"dead_time_s": 3.7e-3, "warmup_s": 140e-6},
    ]
    for _ in range(120):
        drafts = bench.drafts()
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            rng.choice(MUTATIONS)(rng, rng.choice(drafts), bench.us)
        scanner = bench.scanner(**rng.choice(limits))
        scan = bench.build(drafts)
        report = check_scan(scan, scanner, bench.calibration())
        if not report.is_allowed:
            plainly_broken += bool(scan.segments)
            continue
        passed += 1
        assert Plain(scan, scanner).broken() == []
        assert all(0 <= load <= 1.01 for load in report.loads.values())
    assert passed >= 5
    assert plainly_broken >= 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_limit_that_is_no_limit_lets_nothing_through(bench, value):
    scan = bench.build(bench.drafts())
    for name in ("max_t_per_m", "max_slew_t_per_m_s", "max_rms_t_per_m", "max_duty", "max_pulse_s", "full_scale_t"):
        assert not check_scan(scan, bench.scanner(**{name: value}), bench.calibration()).is_allowed, name
    for calibration in (bench.calibration(rf_scale=value), bench.calibration(larmor_hz=value)):
        assert not check_scan(scan, bench.scanner(), calibration).is_allowed
    if value != 0.0:
        shim = dataclasses.replace(bench.calibration(), shim_t_per_m=(value, 0.0, 0.0))
        assert not check_scan(scan, bench.scanner(), shim).is_allowed
