# SPDX-License-Identifier: MIT
"""Segments for tests: by hand, and random ones that press on every limit of the sequencer."""

from dataclasses import replace

import numpy as np

from isocenter.domain.events import Readouts, Segment, Track
from isocenter.domain.scanner import GradientAxis, GradientBoard, GradientSystem

LEAD_IN = 2000


def gradients(board=GradientBoard.GPA_FHDO, divider=4):
    axis = GradientAxis(
        full_scale_t_per_m=0.03, max_t_per_m=0.03, max_slew_t_per_m_s=100.0, max_rms_t_per_m=0.02, delay_s=0.0
    )
    return GradientSystem(
        board=board,
        spi_divider=divider,
        update_interval_s=1e-5,
        axes=(axis, axis, axis),
        channel_from_device=np.eye(3),
    )


def track(ticks, values):
    return Track(np.asarray(ticks, dtype=np.int64), np.asarray(values, dtype=np.int32))


def readouts(windows=()):
    """Rows of (window_tick, decimation, n_raw)."""
    n = len(windows)
    column = list(zip(*windows, strict=True)) if n else ((), (), ())
    return Readouts(
        block=np.arange(n, dtype=np.int64),
        window_tick=np.array(column[0], dtype=np.int64),
        decimation=np.array(column[1], dtype=np.int32),
        n_raw=np.array(column[2], dtype=np.int32),
        n_samples=np.array(column[2], dtype=np.int32),
        first_sample_tick=np.array(column[0], dtype=np.float64),
        dwell_ticks=np.array(column[1], dtype=np.float64),
        phase_rad=np.zeros(n),
        frequency_hz=np.zeros(n),
    )


def segment(tracks, windows=(), end_tick=None, index=0):
    """Segment with receive windows added to its tracks."""
    tracks = dict(tracks)
    if windows:
        rates, last = [], None
        for start, decimation, _ in windows:
            if decimation != last:
                rates.append((start - 8, decimation))
            last = decimation
        enables = [(t, v) for s, r, n in windows for t, v in ((s, 1), (s + r * n, 0))]
        tracks.setdefault("rx0_rate", track(*zip(*rates, strict=True)))
        tracks.setdefault("rx0_en", track(*zip(*enables, strict=True)))
    if end_tick is None:
        end_tick = max([LEAD_IN, *(int(t.ticks[-1]) for t in tracks.values() if len(t.ticks))]) + 100
    return Segment(index=index, tracks=tracks, end_tick=end_tick, start_s=0.0, readouts=readouts(windows))


def with_sensor(seg):
    """The same with the second receiver listening when the first does."""
    second = {f"rx1{name[3:]}": seg.tracks[name] for name in ("rx0_rate", "rx0_en") if name in seg.tracks}
    return replace(seg, tracks={**seg.tracks, **second})


def random_segment(rng, system):
    """Bursts of changes on every channel at once, long and short gaps, updates as fast as the board takes them."""
    fhdo, d = system.board is GradientBoard.GPA_FHDO, system.spi_divider
    spacing = 26 * (d + 1) + 2 if fhdo else 24 * (d + 1) + 5
    span = int(rng.choice([600, 4000, 40_000]))
    centres = LEAD_IN + rng.integers(0, span, rng.integers(1, 5))
    tracks = {}
    for name, low, high, most in (
        ("tx0_i", -32767, 32767, 12),
        ("tx0_q", -32767, 32767, 12),
        ("tx_gate", 0, 1, 4),
        ("rx_gate", 0, 1, 4),
        ("trig_out", 0, 1, 4),
        ("leds", 0, 255, 8),
    ):
        if rng.random() < 0.8:
            ticks = _ticks(rng, centres, most)
            values = rng.integers(low, high + 1, len(ticks))
            values[-1] = 0
            tracks[name] = track(ticks, values)
    tracks.update(_random_gradients(rng, centres, spacing, fhdo))
    return segment(tracks, _random_windows(rng, centres))


def _ticks(rng, centres, most):
    """Ticks at and around the shared centres, so that many channels change together; now and then one cycle apart."""
    if rng.random() < 0.4:
        return centres[0] + np.arange(rng.integers(1, most + 1)) * int(rng.choice([1, 1, 2]))
    near = rng.choice(centres, most) + rng.choice([0, 0, 0, 1, 2, 5, 17, 126, 127, 128, 129, 130, 131, 500], most)
    return np.unique(near[: rng.integers(1, most + 1)])


def _random_gradients(rng, centres, spacing, fhdo):
    full = 32767 if fhdo else 131071
    events = {"grad_vx": [], "grad_vy": [], "grad_vz": []}
    tick = int(centres.min()) + int(rng.integers(0, 50))
    spacing += 0 if fhdo else 2  # three words at most, one cycle each
    for _ in range(int(rng.integers(0, 12))):
        chosen = rng.choice(list(events), 1 if fhdo else int(rng.integers(1, 4)), replace=False)
        for name in chosen:
            events[name].append((tick, int(rng.choice([-full - 1, full, 0, 1, -1, *rng.integers(-full, full, 3)]))))
        tick += spacing + int(rng.choice([0, 0, 1, 2, 127, 3000]))
    for rows in events.values():
        if rows and rows[-1][1] != 0:
            rows.append((tick, 0))
            tick += spacing
    return {name: track(*zip(*rows, strict=True)) for name, rows in events.items() if rows}


def _random_windows(rng, centres):
    windows, tick = [], int(centres[0]) + int(rng.integers(40, 200))
    for _ in range(int(rng.integers(0, 4))):
        decimation, n_raw = int(rng.choice([30, 33, 100, 123, 384])), int(rng.integers(1, 12))
        windows.append((tick, decimation, n_raw))
        tick += decimation * n_raw + int(rng.choice([20, 150, 700]))
    return windows


def expected_pins(seg, system, offset):
    """What the pins must do, from the table alone: (cycle, signal, value), changes only, in no order."""
    board, fhdo = system.board, system.board is GradientBoard.GPA_FHDO
    pins = [(offset + 50, f"rx{n}_rst_n", 1) for n in range(2 if "rx1_rate" in seg.tracks else 1)]
    for name, tr in seg.tracks.items():
        before = 0
        for tick, value in zip(tr.ticks.tolist(), tr.values.tolist(), strict=True):
            if name in {"rx0_rate", "rx1_rate"}:
                pins += [(tick + offset, f"{name}_valid", 1), (tick + offset + 1, f"{name}_valid", 0)]
            if value == before:
                continue
            before = value
            if name.startswith("grad_v"):
                signal = ("fhdo_v" if fhdo else "ocra1_v") + name[-1]
                pins.append((tick + offset, signal, value + 0x8000 if fhdo else value & 0x3FFFF))
            elif name == "tx0_q":  # the transmit mixer makes the conjugate of it
                pins.append((tick + offset, name, -value & 0xFFFF))
            else:
                pins.append((tick + offset, name, value & 0xFFFF if name == "tx0_i" else value))
    assert board in GradientBoard
    return sorted(pins)
