# SPDX-License-Identifier: MIT
"""An independent model of marga's timing, for tests: instruction words in, pin changes out. Shares no code with the encoder.

Written from reference marcos.md 6.2, 7 and 11, and checked against pin traces of the simulated hardware.
"""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Trace:
    writes: list = field(default_factory=list)  # (cycle, buffer, value) as they leave the buffers
    occupancy: dict = field(default_factory=dict)  # largest number of waiting entries by buffer
    finish_cycle: int = -1
    max_delay: int = 0
    longest_nop_run: int = 0
    errors: list = field(default_factory=list)
    pins: list = field(default_factory=list)  # (cycle, signal, value), changes only


def play(words) -> Trace:
    trace = Trace()
    _execute([int(w) for w in words], trace)
    _drive_pins(trace)
    return trace


def _execute(words, trace):
    cycle, nops = 0, 0
    queued, left, previous = defaultdict(list), defaultdict(list), {}
    for word in words:
        nops = nops + 1 if word == 0 else 0
        trace.longest_nop_run = max(trace.longest_nop_run, nops)
        if word & 0x8000_0000:
            buffer, delay, value = (word >> 24) & 0x1F, (word >> 16) & 0xFF, word & 0xFFFF
            trace.max_delay = max(trace.max_delay, delay)
            delay &= 0x7F
            loaded = cycle + 3
            if buffer in previous:
                before_loaded, before_delay = previous[buffer]
                loaded = max(loaded, before_loaded + 1 + before_delay)
            previous[buffer] = (loaded, delay)
            queued[buffer].append(cycle + 2)
            left[buffer].append(loaded + 1)
            trace.writes.append((loaded + 1 + delay, buffer, value))
            cycle += 1
        else:
            opcode, operand = word >> 24, word & 0xFF_FFFF
            if opcode == 1:
                trace.finish_cycle = cycle
                break
            cycle += operand + 3 if opcode in (2, 3) else 1
    for buffer, times in queued.items():
        events = sorted([(t, 1) for t in times] + [(t, -1) for t in left[buffer]])
        level = peak = 0
        for _, step in events:  # at one time, what leaves is counted before what comes
            level += step
            peak = max(peak, level)
        trace.occupancy[buffer] = peak
    trace.writes.sort(key=lambda w: w[0])


class _Ocra1:
    def __init__(self, divider):
        self.latency = self.spacing = 24 * (divider + 1) + 5
        self.stored, self.outputs, self.last = {}, {}, None

    def send(self, cycle, word, trace):
        channel, frame = word >> 25 & 3, word & 0xFF_FFFF
        assert frame >> 20 == 1, f"not a write to the DAC register: {frame:06x}"
        code = frame >> 2 & 0x3FFFF
        self.stored[channel] = code
        if self.last is not None and cycle - self.last < self.spacing:
            trace.errors.append((cycle, "ocra1"))  # also for a word that is only stored: seen on the simulated hardware
        if word >> 24 & 1:
            self.last = cycle
            for k, value in self.stored.items():
                yield cycle + self.latency, f"ocra1_v{'xyz'[k]}" if k < 3 else "ocra1_vz2", value


class _Fhdo:
    def __init__(self, divider):
        self.latency, self.spacing, self.lost = 25 * (divider + 1) + 2, 26 * (divider + 1) + 2, 25 * (divider + 1) + 2
        self.last = None

    def send(self, cycle, word, trace):
        gap = None if self.last is None else cycle - self.last
        if gap is not None and gap < self.spacing:
            trace.errors.append((cycle, "gpa-fhdo"))
            if gap < self.lost:
                return
        self.last = cycle
        register = word >> 16 & 0xF
        assert not word >> 30 & 1, "an ADC transfer"
        assert register >= 8, f"not a DAC register: {register}"
        yield cycle + self.latency, f"fhdo_v{('x', 'y', 'z', 'z2')[register - 8]}", word & 0xFFFF


_TX = {5: "tx0_i", 6: "tx0_q", 7: "tx1_i", 8: "tx1_q"}
_BITS = {
    15: (("tx_gate", 0, 1), ("rx_gate", 1, 1), ("trig_out", 2, 1), ("leds", 8, 8)),
    16: (
        ("rx0_rate_valid", 4, 1),
        ("rx1_rate_valid", 5, 1),
        ("rx0_rst_n", 6, 1),
        ("rx1_rst_n", 7, 1),
        ("rx0_en", 8, 1),
        ("rx1_en", 9, 1),
    ),
}


def _drive_pins(trace):
    board, lsb, msb, control = None, 0, 0, 0
    changes = []
    by_cycle = defaultdict(dict)
    for cycle, buffer, value in trace.writes:
        assert buffer not in by_cycle[cycle], f"two values for buffer {buffer} in cycle {cycle}"
        by_cycle[cycle][buffer] = value
    for cycle in sorted(by_cycle):
        new = by_cycle[cycle]
        if 0 in new:
            control = new[0]
            divider = control >> 2 & 0x3F
            board = _Ocra1(divider) if control & 1 else _Fhdo(divider) if control & 2 else None
        lsb, msb = new.get(1, lsb), new.get(2, msb)
        if board is not None and (1 in new or (2 in new and control & 0x200)):
            changes.extend(board.send(cycle, msb << 16 | lsb, trace))
        for buffer, value in new.items():
            if buffer in _TX:
                changes.append((cycle + 1, _TX[buffer], value))
            elif buffer in (3, 4):
                changes.append((cycle, f"rx{buffer - 3}_rate", value))
            elif buffer in (9, 10):
                changes.append((cycle, "lo0_lsb" if buffer == 9 else "lo0_msb", value))
            elif buffer in _BITS:
                changes.extend((cycle, n, value >> shift & ((1 << width) - 1)) for n, shift, width in _BITS[buffer])
    now = defaultdict(int, dict.fromkeys(("fhdo_vx", "fhdo_vy", "fhdo_vz", "fhdo_vz2"), 0x8000))
    for cycle, name, value in sorted(changes, key=lambda c: c[0]):
        if now[name] != value:
            now[name] = value
            trace.pins.append((cycle, name, value))
