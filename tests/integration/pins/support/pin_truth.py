# SPDX-License-Identifier: MIT
"""Two ways to one truth: what the words do at the pins, and what pypulseq says that a sequence asks for.

Neither shares code with the reader, the compiler or the encoder: the pins come from the tests' own model of the hardware's
timing, the demand from pypulseq's reader, and the rest is plain arithmetic.
"""

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import marga_model
import numpy as np
import pypulseq as pp

from isocenter.devices.marcos.encode import encode_segment
from isocenter.devices.marcos.isa import PIN_CYCLE_OFFSET
from isocenter.domain.scanner import GradientBoard


@dataclass
class Steps:
    """A pin: ``values[i]`` from ``ticks[i]`` on; 0 before."""

    ticks: np.ndarray
    values: np.ndarray

    def integral(self, start, stop, power=0, origin=0.0):
        """Integral of value · (t - origin)^power from start to stop [ticks]."""
        inside = (self.ticks > start) & (self.ticks < stop)
        edges = np.concatenate([[start], self.ticks[inside], [stop]])
        heights = np.concatenate([[self.at(start)], self.values[inside]])
        parts = np.diff((edges - origin) ** (power + 1)) / (power + 1)
        return float(np.sum(heights * parts))

    def area(self, start, stop):
        """Integral of value from start to stop, or from each of many to each of many [ticks]."""
        return self._until(np.asarray(stop)) - self._until(np.asarray(start))

    @cached_property
    def _area_before(self):
        return np.concatenate([[0.0], np.cumsum(self.values[:-1] * np.diff(self.ticks), dtype=float)])

    def _until(self, tick):
        if not len(self.ticks):
            return np.zeros_like(tick, dtype=float)
        place = np.searchsorted(self.ticks, tick, side="right") - 1
        held = np.maximum(place, 0)
        area = self._area_before[held] + self.values[held] * (tick - self.ticks[held])
        return np.where(place >= 0, area, 0.0)

    def at(self, tick):
        if not len(self.ticks):
            return np.zeros_like(tick)
        place = np.searchsorted(self.ticks, tick, side="right") - 1
        if np.isscalar(tick):
            return self.values[place] if place >= 0 else 0
        return np.where(place >= 0, self.values[np.maximum(place, 0)], 0)


def play_at_pins(segment, lo_hz, scanner):
    """Every pin of one segment as ``Steps`` on the segment's ticks; fails on any error the hardware would flag."""
    program = encode_segment(segment, lo_hz, scanner.gradients)
    trace = marga_model.play(program.words)
    assert not trace.errors
    assert max(trace.occupancy.values()) <= 3
    assert trace.max_delay <= 127
    is_ocra = scanner.gradients.board is GradientBoard.OCRA1
    changes = {}
    for cycle, name, value in trace.pins:
        changes.setdefault(name, []).append((cycle - PIN_CYCLE_OFFSET, value))
    pins = {}
    for name, rows in changes.items():
        ticks, values = np.array(rows, dtype=np.int64).T
        if name in ("tx0_i", "tx0_q"):
            values = np.where(values >= 0x8000, values - 0x10000, values) * (-1 if name == "tx0_q" else 1)  # as the field
        elif name.startswith("ocra1"):
            values = np.where(values >= 0x20000, values - 0x40000, values)
        elif name.startswith("fhdo"):
            values = values - 0x8000
        pins[name] = Steps(ticks, values.astype(np.int64))
    nothing = Steps(np.zeros(0, np.int64), np.zeros(0, np.int64))
    prefix = "ocra1_v" if is_ocra else "fhdo_v"
    gradients = [pins.get(prefix + axis, nothing) for axis in "xyz"]
    others = ("tx0_i", "tx0_q", "tx_gate", "rx_gate", "rx0_en", "rx0_rate", "trig_out", "leds")
    return {"gradients": gradients} | {name: pins.get(name, nothing) for name in others}


@dataclass
class Demand:
    """What a sequence asks for, on its own time [s], logical axes."""

    gradients: list = field(default_factory=lambda: [[], [], []])  # points (time, Hz/m)
    pulses: list = field(default_factory=list)  # (start, times, complex Hz, phase, frequency, centre, use)
    readouts: list = field(default_factory=list)  # (start, n, dwell, phase, frequency)
    outputs: list = field(default_factory=list)  # (name, start, duration)
    labels: dict = field(default_factory=dict)
    duration_s: float = 0.0


def demand_of(path: Path, larmor_hz: float) -> Demand:
    """Read by pypulseq, block by block."""
    sequence = pp.Sequence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sequence.read(str(path))
        demand, now = Demand(), 0.0
        for number in sequence.block_events:
            block = sequence.get_block(number)
            _add_block(demand, block, now, larmor_hz)
            now += sequence.block_durations[number]
        demand.labels = {name: np.atleast_1d(v) for name, v in sequence.evaluate_labels(evolution="adc").items()}
    demand.duration_s = now
    return demand


def _add_block(demand, block, now, larmor_hz):
    for axis, name in enumerate(("gx", "gy", "gz")):
        event = getattr(block, name, None)
        if event is None:
            continue
        if event.type == "trap":
            times = event.delay + np.cumsum([0, event.rise_time, event.flat_time, event.fall_time])
            values = event.amplitude * np.array([0, 1, 1, 0])
        else:
            times, values = event.delay + np.asarray(event.tt), np.asarray(event.waveform)
            if event.tt[0] > 0:  # samples at the middle of the raster: the edges are given apart
                times = np.concatenate([[event.delay], times, [event.delay + event.shape_dur]])
                values = np.concatenate([[event.first], values, [event.last]])
        demand.gradients[axis].append((now + times, values))
    rf = getattr(block, "rf", None)
    if rf is not None:
        frequency = rf.freq_offset + getattr(rf, "freq_ppm", 0) * 1e-6 * larmor_hz
        phase = rf.phase_offset + getattr(rf, "phase_ppm", 0) * 1e-6 * larmor_hz
        centre = getattr(rf, "center", None)
        if centre is None:
            centre = pp.calc_rf_center(rf)[0]
        demand.pulses.append((now + rf.delay, np.asarray(rf.t), np.asarray(rf.signal), phase, frequency, centre, rf.use))
    adc = getattr(block, "adc", None)
    if adc is not None:
        frequency = adc.freq_offset + getattr(adc, "freq_ppm", 0) * 1e-6 * larmor_hz
        phase = adc.phase_offset + getattr(adc, "phase_ppm", 0) * 1e-6 * larmor_hz
        demand.readouts.append((now + adc.delay, int(adc.num_samples), adc.dwell, phase, frequency))
    for trigger in (getattr(block, "trigger", None) or {}).values():
        demand.outputs.append((trigger.channel, now + trigger.delay, trigger.duration))


class Wave:
    """Piecewise linear waveform with exact integrals; several points may share a time (a jump)."""

    def __init__(self, times, values):
        self.times, self.values = np.asarray(times, float), np.asarray(values, float)

    @classmethod
    def of_axis(cls, parts):
        times, values = [np.zeros(0)], [np.zeros(0)]
        for t, v in parts:
            times.append(np.concatenate([t[:1], t, t[-1:]]))
            values.append(np.concatenate([[0.0], v, [0.0]]))
        return cls(np.concatenate(times), np.concatenate(values))

    def area(self, start, stop):
        """Area from a time to another, or from each of many to each of many."""
        return self._until(np.asarray(stop)) - self._until(np.asarray(start))

    @cached_property
    def _pieces(self):
        times = np.maximum.accumulate(self.times)
        width = np.diff(times)
        slope = np.divide(np.diff(self.values), width, out=np.zeros_like(width), where=width > 0)
        before = np.cumsum(width * (self.values[1:] + self.values[:-1]) / 2)
        return times, width, slope, np.concatenate([[0.0], before])

    def _until(self, time):
        if len(self.times) < 2:
            return np.zeros_like(time)
        times, width, slope, before = self._pieces
        place = np.clip(np.searchsorted(times, time, side="right") - 1, 0, len(width) - 1)
        part = np.clip(time - times[place], 0.0, width[place])
        return before[place] + self.values[place] * part + slope[place] * part**2 / 2

    def integrals(self, start, stop, origin):
        """Area, and first moment about ``origin``, between two times."""
        pieces = (self.times[:-1] < stop) & (self.times[1:] > start) & (np.diff(self.times) > 0)
        t0, t1 = self.times[:-1][pieces], self.times[1:][pieces]
        v0, v1 = self.values[:-1][pieces], self.values[1:][pieces]
        slope = (v1 - v0) / (t1 - t0)
        low, high = np.maximum(t0, start), np.minimum(t1, stop)
        a, b = v0 + slope * (low - t0), v0 + slope * (high - t0)
        width = high - low
        area = width * (a + b) / 2
        s = np.divide(b - a, width, out=np.zeros_like(width), where=width > 0)
        c = low - origin
        # integral of (a + s x) (c + x) dx
        first = a * c * width + (a + s * c) * width**2 / 2 + s * width**3 / 3
        return float(area.sum()), float(first.sum())

    def spans(self, join):
        """Stretches in which it is not zero, those closer than ``join`` taken together."""
        busy = (np.diff(self.times) > 0) & ((np.abs(self.values[:-1]) > 1e-9) | (np.abs(self.values[1:]) > 1e-9))
        found = []
        for low, high in zip(self.times[:-1][busy], self.times[1:][busy], strict=True):
            if found and low - found[-1][1] < join:
                found[-1][1] = max(found[-1][1], high)
            else:
                found.append([low, high])
        return found
