# SPDX-License-Identifier: MIT
"""The encoder as a plain loop over changes: slow, readable, the oracle for the fast one and the yardstick of its speed.

Works on (cycle, buffer, value) one change at a time. Takes only constants' meaning from the documentation, no code from
the package.
"""

OFFSET, TAIL = 20, 6144
RX_CTRL, GATES, LO_MSB, LO_LSB, TX_I, TX_Q, RATE, MSB, LSB = 16, 15, 10, 9, 5, 6, 3, 2, 1


def encode(segment, lo_hz, fhdo, divider):
    changes = _gradients(segment.tracks, fhdo, divider) + _others(segment.tracks, lo_hz)
    queues = {}
    for cycle, buffer, value in sorted(changes, key=lambda c: c[0]):
        queue = queues.setdefault(buffer, [])
        if buffer == RATE or value != (queue[-1][1] if queue else 0):
            queue.append((cycle, value))
    queues = {b: q for b, q in sorted(queues.items()) if q}
    last = max([segment.end_tick + OFFSET] + [q[-1][0] for q in queues.values()])
    return _emit(_issue(queues), 0x300 | divider << 2 | (2 if fhdo else 1), last + TAIL)


def _gradients(tracks, fhdo, divider):
    by_tick = {}
    for channel, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        before = 0
        if name in tracks:
            for tick, code in zip(tracks[name].ticks.tolist(), tracks[name].values.tolist(), strict=True):
                if code != before:
                    by_tick.setdefault(tick, []).append((channel, code))
                before = code
    latency = 25 * (divider + 1) + 2 if fhdo else 24 * (divider + 1) + 5
    out = []
    for tick in sorted(by_tick):
        for place, (channel, code) in enumerate(by_tick[tick]):
            if fhdo:
                word = 0x80000 | channel << 25 | channel << 16 | code + 0x8000
            else:
                word = 0x100000 | channel << 25 | (code & 0x3FFFF) << 2 | (0x1000000 if place == 0 else 0)
            cycle = tick + OFFSET - latency - place
            out += [(cycle, LSB, word & 0xFFFF), (cycle, MSB, word >> 16)]
    return out


def _others(tracks, lo_hz):
    out = []
    for name, buffer, sign in (("tx0_i", TX_I, 1), ("tx0_q", TX_Q, -1)):
        if name in tracks:
            for tick, value in zip(tracks[name].ticks.tolist(), tracks[name].values.tolist(), strict=True):
                out.append((tick + OFFSET - 1, buffer, sign * value & 0xFFFF))
    bits = {GATES: [], RX_CTRL: [(50, 0x40, 1)]}
    for name, buffer, factor in (
        ("tx_gate", GATES, 1),
        ("rx_gate", GATES, 2),
        ("trig_out", GATES, 4),
        ("leds", GATES, 256),
        ("rx0_en", RX_CTRL, 256),
    ):
        if name in tracks:
            for tick, value in zip(tracks[name].ticks.tolist(), tracks[name].values.tolist(), strict=True):
                bits[buffer].append((tick, factor, value))
    if "rx0_rate" in tracks:
        for tick, value in zip(tracks["rx0_rate"].ticks.tolist(), tracks["rx0_rate"].values.tolist(), strict=True):
            out.append((tick + OFFSET, RATE, value))
            bits[RX_CTRL] += [(tick, 0x10, 1), (tick + 1, 0x10, 0)]
    for buffer, events in bits.items():
        now, at = {}, {}
        for tick, factor, value in sorted(events, key=lambda e: e[0]):
            now[factor] = value
            at[tick] = sum(f * v for f, v in now.items())
        out += [(tick + OFFSET, buffer, value) for tick, value in at.items()]
    step = round(lo_hz / 122.88e6 * 2**31) & 0x7FFFFFFF
    out += [(70, LO_LSB, step & 0xFFFF), (70, LO_MSB, step >> 16 | 0x8000), (71, LO_MSB, step >> 16)]
    return out


def _issue(queues):
    """Backward in time: of the entries that may still wait this long, issue the one that may start last."""
    heads = {b: len(q) - 1 for b, q in queues.items()}

    def earliest(b):
        q, k = queues[b], heads[b]
        release = max(40, q[k - 4][0] - 1) if k >= 4 else 40
        if k == 0 or q[k][0] - q[k - 1][0] > 128:
            release = max(release, q[k][0] - 131)
        return release

    releases = {b: earliest(b) for b in queues}
    issued, slot = [], float("inf")
    while heads:
        slot = min(slot, max(queues[b][k][0] - 4 for b, k in heads.items()))
        ready = [b for b, k in heads.items() if queues[b][k][0] - 4 >= slot]
        b = max(ready, key=lambda b: (releases[b], b))
        if releases[b] > slot:
            raise OverflowError(f"no cycle left for buffer {b} at {queues[b][heads[b]][0]}")
        k = heads[b]
        target, value = queues[b][k]
        loaded = slot + 3 if k == 0 else max(slot + 3, queues[b][k - 1][0])
        issued.append((slot, 0x80000000 | b << 24 | target - 1 - loaded << 16 | value))
        if k:
            heads[b] = k - 1
            releases[b] = earliest(b)
        else:
            del heads[b]
        slot -= 1
    return issued[::-1]


def _emit(issued, control, finish):
    words = [0x80000000 | (16 - i) << 24 | i << 16 | (control if i == 16 else 0) for i in range(17)]
    now = 17
    for cycle, word in [*issued, (finish, 0x01000000)]:
        gap = cycle - now
        while gap >= 3:
            length = min(gap, 16_777_218)
            words.append(0x02000000 | length - 3)
            gap -= length
        words += [0] * gap
        words.append(word)
        now = cycle + 1
    return words
