# SPDX-License-Identifier: MIT
"""The pins of a scan in one piece against what its sequence asks for; each function returns the worst it saw."""

from functools import cached_property
from itertools import pairwise

import numpy as np
from pin_truth import Wave

from isocenter.domain.receiver import CIC_SETTLING, raw_sample_ticks
from isocenter.domain.scanner import board_spacing_ticks
from isocenter.domain.units import GAMMA_HZ_PER_T


def interval_ticks(scanner):
    system = scanner.gradients
    shared = 1 if system.board.value == "ocra1" else 3
    return max(
        system.update_interval_s * scanner.console.clock_hz, shared * board_spacing_ticks(system.board, system.spi_divider)
    )


class Bench:
    """One scan, one demand, one scanner, one place."""

    def __init__(self, scan, pins, demand, scanner, placement, shim_codes=(0, 0, 0), rf_scale=1.0):
        self.scan, self.pins, self.demand, self.scanner, self.placement = scan, pins, demand, scanner, placement
        self.shim, self.rf_scale = shim_codes, rf_scale
        self.clock = scan.clock_hz
        self.logical = [Wave.of_axis(parts) for parts in demand.gradients]
        self.zero = self._origin()

    def _origin(self):
        """Tick of the sequence's time 0 in the segment: from the first sample, so that all else is compared with it."""
        if self.demand.readouts:
            start, _, dwell = self.demand.readouts[0][:3]
            return round(float(self.scan.segments[0].readouts.first_sample_tick[0]) - (start + dwell / 2) * self.clock)
        opens = (self.demand.pulses[0][0] - self.scanner.rf.warmup_s) * self.clock
        return int(self.pins["tx_gate"].ticks[0]) - int(np.floor(opens + 1e-6))

    def tick(self, time_s):
        return self.zero + np.asarray(time_s) * self.clock

    def matrix(self):
        """Codes of each channel for one Hz/m of each logical axis."""
        system = self.scanner.gradients
        full = 131071 if system.board.value == "ocra1" else 32767
        per_code = np.array([axis.full_scale_t_per_m for axis in system.axes]) / full
        turned = np.asarray(system.channel_from_device) @ self.placement.device_from_logical
        return turned / GAMMA_HZ_PER_T / per_code[:, None]

    def gradients(self):
        """Worst area of a lobe [codes · update intervals] and centroid [ticks beyond the DAC's own step]."""
        interval, matrix = interval_ticks(self.scanner), self.matrix()
        wave = [Wave(self.tick(w.times), w.values) for w in self.logical]
        spans = _join([s for w in wave for s in w.spans(3 * interval)], 3 * interval)
        worst_area = worst_centre = 0.0
        n = 0
        for low, high in spans:
            start, stop, middle = low - interval, high + interval, (low + high) / 2
            parts = np.array([w.integrals(start, stop, middle) for w in wave])
            sizes = np.array([Wave(w.times, np.abs(w.values)).integrals(start, stop, middle)[0] for w in wave])
            corners = sum(np.count_nonzero((w.times >= low) & (w.times <= high)) for w in wave)
            n_lobes = max(1, corners / 6)  # four of the lobe, and the two at which it is known to be zero
            for channel, steps in enumerate(self.pins["gradients"]):
                lead = self.scanner.gradients.axes[channel].delay_s * self.clock
                shim = self.shim[channel]
                end = min(stop - lead, int(steps.ticks[-1]))  # behind its last change the shim is off too
                got = [
                    steps.integral(start - lead, end, power, middle - lead)
                    - shim * _power_integral(start - middle, end + lead - middle, power)
                    for power in (0, 1)
                ]
                want = matrix[channel] @ parts
                size = float(np.abs(matrix[channel]) @ sizes)
                worst_area = max(worst_area, abs(got[0] - want[0]) / interval / n_lobes)
                if size > 100 * interval:
                    own = interval * (high - low)  # one code in one cell at the far end
                    worst_centre = max(worst_centre, (abs(got[1] - want[1]) - own) / size)
                n += 1
        return worst_area, worst_centre, n

    def resting(self):
        """Largest distance of a gradient from its shim where the sequence asks for none."""
        interval = interval_ticks(self.scanner)
        wave = [Wave(self.tick(w.times), w.values) for w in self.logical]
        spans = _join([s for w in wave for s in w.spans(3 * interval)], 3 * interval)
        edges = [(a[1], b[0]) for a, b in pairwise(spans)]
        worst = 0
        for channel, steps in enumerate(self.pins["gradients"]):
            lead = self.scanner.gradients.axes[channel].delay_s * self.clock
            for low, high in edges:
                inside = (steps.ticks > low + interval - lead) & (steps.ticks < high - interval - lead)
                values = [steps.at((low + high) / 2 - lead), *steps.values[inside]]
                worst = max(worst, *(abs(v - self.shim[channel]) for v in values))
        return worst

    def pulses(self):
        """Worst error of a pulse [codes], of its time [ticks]; the offset of the field of view applied as physics has it."""
        full_hz = self.scanner.rf.full_scale_t * self.rf_scale * GAMMA_HZ_PER_T
        i, q = self.pins["tx0_i"], self.pins["tx0_q"]
        shift = self.placement.device_from_logical.T @ self.placement.centre_device_m
        worst, outside = 0.0, 0
        covered = []
        for start, times, signal, phase, frequency, centre, _ in self.demand.pulses:
            ramp = [np.interp(start + centre, w.times, w.values) if len(w.times) else 0.0 for w in self.logical]
            extra = float(np.dot(ramp, shift))
            step = min(1e-6, np.diff(times).min()) if len(times) > 1 else 1e-6
            probe = np.arange(times[0] + step / 2, times[-1], step) if len(times) < 4 else (times[1:] + times[:-1]) / 2
            value = np.interp(probe, times, signal.real) + 1j * np.interp(probe, times, signal.imag)
            turn = phase + 2 * np.pi * (frequency * probe + extra * (probe - centre))
            want = value * np.exp(1j * turn) / full_hz * 32767
            # held steps against the line between their middles: their mean over a step
            half = step * self.clock / 2
            at = self.tick(start + probe)
            some = at[:: max(1, len(at) // 40)]
            got = [p.area(some - half, some + half) / (2 * half) for p in (i, q)]
            want = want[:: max(1, len(probe) // 40)]
            edge = np.abs(want).max() * 0.51 / (2 * half)  # a step begins on the nearest tick
            worst = max(worst, float(np.abs(got[0] + 1j * got[1] - want).max() - edge))
            covered.append((self.tick(start + times[0]) - 200, self.tick(start + times[-1]) + 200))
        for pin in (i, q):
            on = pin.ticks[pin.values != 0]
            place = np.searchsorted([c[0] for c in covered], on) - 1
            outside += int(np.sum(on > np.array([c[1] for c in covered])[np.maximum(place, 0)])) if len(on) else 0
        return worst, outside

    def readouts(self):
        """Worst time of a sample [ticks], phase of the receiver [rad]; readouts that clean samples do not cover."""
        readouts = self.scan.segments[0].readouts
        assert len(readouts) == len(self.demand.readouts)
        enable = self.pins["rx0_en"]
        rises, falls = enable.ticks[enable.values == 1], enable.ticks[enable.values == 0]
        assert len(rises) == len(falls[falls > rises[0]]) == len(readouts)
        falls = falls[falls > rises[0]]
        worst_time = worst_phase = 0.0
        uncovered = 0
        shift = self.placement.device_from_logical.T @ self.placement.centre_device_m
        for row, (start, n, dwell, phase, frequency) in enumerate(self.demand.readouts):
            assert readouts.n_samples[row] == n
            times = start + (np.arange(n) + 0.5) * dwell
            mine = readouts.first_sample_tick[row] + np.arange(n) * readouts.dwell_ticks[row]
            worst_time = max(worst_time, float(np.abs(mine - self.tick(times)).max()))
            decimation, n_raw = int(readouts.decimation[row]), int(readouts.n_raw[row])
            assert falls[row] - rises[row] == decimation * n_raw
            assert self.pins["rx0_rate"].at(int(rises[row])) == decimation
            raw = raw_sample_ticks(rises[row], decimation, n_raw)[CIC_SETTLING:]
            uncovered += int(raw[0] > mine[0] or raw[-1] < mine[-1])
            begin = times[0] - dwell / 2
            some = times[:: max(1, n // 5)]
            got = readouts.phase_rad[row] + 2 * np.pi * readouts.frequency_hz[row] * (some - begin)
            if readouts.bend_rad is not None:
                got = got + readouts.bend_rad[row, : n : max(1, n // 5)]
            want = phase + 2 * np.pi * (frequency * (some - begin) + self._k(some) @ shift)
            worst_phase = max(worst_phase, float(np.abs(np.angle(np.exp(1j * (got - want)))).max()))
        return worst_time, worst_phase, uncovered

    def _k(self, times_s):
        """k since the last excitation [1/m], one row for each time; a refocusing pulse inverts it.

        Before the first excitation nothing is encoded, and k counts from the start of the scan.
        """
        at_s, k = self._k_of_pulses
        at_s, k = np.append(0.0, at_s), np.concatenate([np.zeros((1, 3)), k.reshape(-1, 3)])
        last = np.searchsorted(at_s, times_s, side="right") - 1
        return k[last] + self._area(at_s[last], times_s)

    @cached_property
    def _k_of_pulses(self):
        """Centres of the pulses that change k, from the first excitation on, and k right behind each."""
        at_s, k = [], []
        for start, _, _, _, _, centre, use in self.demand.pulses:
            at = start + centre
            if use == "refocusing" and at_s:
                k.append(-(k[-1] + self._area(at_s[-1], at)))
                at_s.append(at)
            elif use in ("excitation", "undefined"):
                k.append(np.zeros(3))
                at_s.append(at)
        return np.array(at_s), np.array(k)

    def _area(self, low, high):
        return np.stack([w.area(low, high) for w in self.logical], axis=-1)

    def gates(self):
        """Margins of the gates around every pulse and window at the pins [s]: warm-up, hold, dead time."""
        i, q, gate, enable = (self.pins[name] for name in ("tx0_i", "tx0_q", "tx_gate", "rx0_en"))
        ticks = np.unique(np.concatenate([i.ticks, q.ticks]))
        on = (i.at(ticks) != 0) | (q.at(ticks) != 0)
        assert np.all(gate.at(ticks)[on] == 1)
        assert not np.any(enable.at(ticks)[on])
        rises = enable.ticks[enable.values == 1]
        assert np.all(gate.at(rises) == 0)
        ends = ticks[1:][on[:-1] & ~on[1:]]
        before = np.searchsorted(ends, rises) - 1
        dead = (rises - ends[np.maximum(before, 0)])[before >= 0]
        return float(dead.min() / self.clock) if len(dead) else np.inf


def _power_integral(low, high, power):
    return (high ** (power + 1) - low ** (power + 1)) / (power + 1)


def _join(spans, gap):
    found = []
    for low, high in sorted(map(tuple, spans)):
        if found and low - found[-1][1] < gap:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
