# SPDX-License-Identifier: MIT
"""Gradients: the table's zero-order hold against the exact waveform, lobe by lobe."""

import numpy as np
import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.interpret.gradients import spacing_ticks
from isocenter.domain.errors import LimitError
from isocenter.domain.geometry import Orientation, Placement, place
from isocenter.domain.scanner import Calibration, GradientBoard
from isocenter.domain.units import GAMMA_HZ_PER_T

CLOCK_HZ = 122.88e6
FULL = {GradientBoard.OCRA1: 131071, GradientBoard.GPA_FHDO: 32767}
NOMINAL = Calibration(larmor_hz=2e6)
LEAD_S = 2e-3


def code_of(scanner, hz_per_m):
    return hz_per_m / GAMMA_HZ_PER_T / 0.05 * FULL[scanner.gradients.board]


def held(track, low, high):
    """Area [code ticks] and centroid [ticks] of a zero-order hold between two ticks at which it rests at zero."""
    ticks, values = track.ticks, track.values.astype(float)
    inside = (ticks >= low) & (ticks <= high)
    before = np.flatnonzero(ticks < low)
    assert not len(before) or values[before[-1]] == 0
    t, v = ticks[inside].astype(float), values[inside]
    assert v[-1] == 0
    pieces = v[:-1] * np.diff(t)
    return pieces.sum(), (pieces * (t[1:] + t[:-1]) / 2).sum() / pieces.sum()


def exact(times, codes):
    t, v = np.asarray(times, float), np.asarray(codes, float)
    h = np.diff(t)
    area = (0.5 * (v[1:] + v[:-1]) * h).sum()
    moment = (0.5 * (v[1:] + v[:-1]) * h * t[:-1] + (v[:-1] + 2 * v[1:]) * h * h / 6).sum()
    return area, moment / area


def compiled(draft, scanner, placement=None, calibration=NOMINAL):
    scan = compile_scan(draft.file(), scanner, calibration, placement or Placement())
    assert len(scan.segments) == 1
    return scan


def origin_of(scan, draft):
    """Tick of the start of the sequence: every draft here starts with a block pulse whose gate is known."""
    return scan.segments[0].tracks["tx0_i"].ticks[0] - round(100e-6 * CLOCK_HZ)


def begin(draft):
    draft.block(LEAD_S, rf=draft.pulse())


RISES_S = np.array([1, 3, 5, 7, 10, 15, 33, 100, 333, 1000]) * 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_every_trapezoid_keeps_area_and_centroid(draft, scanner_of, board, seed):
    rng = np.random.default_rng(seed)
    scanner = scanner_of(board)
    begin(draft)
    wanted = []
    start_s = LEAD_S
    for number in range(24):
        rise_s, fall_s = rng.choice(RISES_S, 2)
        flat_s = rng.choice([0, 10, 37, 100, 1000, 20000]) * 1e-6
        amplitude = rng.uniform(0.02, 1) * rng.choice([-1, 1]) * 0.045 * GAMMA_HZ_PER_T
        delay_s = rng.choice([0, 20, 35]) * 1e-6
        axis = number % 3
        length_s = np.ceil((delay_s + rise_s + flat_s + fall_s + 300e-6) / 1e-5) * 1e-5
        draft.block(length_s, **{("gx", "gy", "gz")[axis]: draft.trapezoid(amplitude, rise_s, flat_s, fall_s, delay_s)})
        wanted.append((axis, start_s + delay_s + np.cumsum([0, rise_s, flat_s, fall_s]), amplitude))
        start_s += length_s
    scan = compiled(draft, scanner)
    zero = origin_of(scan, draft)
    tracks = scan.segments[0].tracks
    for axis, times_s, amplitude in wanted:
        ticks = zero + times_s * CLOCK_HZ
        area, centroid = exact(ticks, np.array([0, 1, 1, 0]) * code_of(scanner, amplitude))
        got, at = held(tracks[("grad_vx", "grad_vy", "grad_vz")[axis]], ticks[0] - 4000, ticks[-1] + 4000)
        assert abs(got - area) <= 1.0 * 1229 * 1.1  # the DAC's least bit for one cell, which may be up to two intervals
        step = (ticks[-1] - ticks[0] + 2500) * 1229 * 1.0 / abs(area)
        assert abs(at - centroid) <= 1.0 + step  # half a tick, half a tick of the sequence's own start, the DAC's step


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_delays_are_played_early_and_rotations_keep_the_area(draft, scanner_of, board, angle):
    scanner = scanner_of(board, delays_s=(12e-6, 12e-6, 12e-6))
    begin(draft)
    amplitude = 0.02 * GAMMA_HZ_PER_T
    draft.block(4e-3, gx=draft.trapezoid(amplitude), gy=draft.trapezoid(-0.3 * amplitude))
    placement = place(Orientation.AXIAL, tilt_rad=(angle, -angle))
    scan = compiled(draft, scanner, placement)
    zero = origin_of(scan, draft)
    for row, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        turned = placement.device_from_logical[row] @ [1, -0.3, 0]
        if abs(turned) < 1e-9:
            assert name not in scan.segments[0].tracks
            continue
        ticks = zero + (LEAD_S - 12e-6 + np.cumsum([0, 100e-6, 1e-3, 100e-6])) * CLOCK_HZ
        area, centroid = exact(ticks, np.array([0, 1, 1, 0]) * code_of(scanner, amplitude * turned))
        got, at = held(scan.segments[0].tracks[name], ticks[0] - 4000, ticks[-1] + 4000)
        assert abs(got - area) <= 1229
        assert abs(at - centroid) <= 1.0 + (ticks[-1] - ticks[0]) * 1229 / abs(area)


def test_defect_short_ramps_do_not_disappear(draft, scanner_of, board):
    """Reference mri4all.md 3, defect 1: a rise shorter than the raster lost the whole trapezoid; 15 us at 10 us gave 110."""
    scanner = scanner_of(board)
    for rise_s in (5e-6, 15e-6):
        begin(draft)
        draft.block(3e-3, gx=draft.trapezoid(0.03 * GAMMA_HZ_PER_T, rise_s, 1e-3))
    scan = compiled(draft, scanner)
    zero = scan.segments[0].tracks["tx0_i"].ticks[0] - round(100e-6 * CLOCK_HZ)
    for start_s, rise_s in ((LEAD_S, 5e-6), (2 * LEAD_S + 3e-3, 15e-6)):
        low = zero + start_s * CLOCK_HZ
        got, _ = held(scan.segments[0].tracks["grad_vx"], low - 4000, low + 2e-3 * CLOCK_HZ)
        assert got == pytest.approx(code_of(scanner, 0.03 * GAMMA_HZ_PER_T) * (1e-3 + rise_s) * CLOCK_HZ, abs=1300)


def test_defect_bipolar_shapes_keep_both_signs(draft, scanner_of, board):
    """Reference mri4all.md 3, defect 2: compressed bipolar shapes lost one polarity."""
    scanner = scanner_of(board)
    begin(draft)
    shape = np.sin(2 * np.pi * np.arange(101) / 100)
    shape[[0, 50, 100]] = 0
    draft.block(3e-3, gy=draft.gradient(0.04 * GAMMA_HZ_PER_T, np.arange(101) * 1e-5, shape))
    track = compiled(draft, scanner).segments[0].tracks["grad_vy"]
    peak = code_of(scanner, 0.04 * GAMMA_HZ_PER_T)
    assert track.values.max() == pytest.approx(peak, rel=0.01)
    assert track.values.min() == pytest.approx(-peak, rel=0.01)
    hold = np.diff(track.ticks)
    positive = (np.clip(track.values[:-1], 0, None) * hold).sum()
    negative = (np.clip(track.values[:-1], None, 0) * hold).sum()
    assert positive == pytest.approx(np.trapezoid(np.clip(shape, 0, None)) * 1228.8 * peak, rel=1e-6, abs=1300)
    assert negative == pytest.approx(-positive, rel=1e-5)


def test_joined_shapes_do_not_dip(draft, scanner_of, board):
    scanner = scanner_of(board)
    begin(draft)
    a = 0.03 * GAMMA_HZ_PER_T
    draft.block(1e-3, gx=draft.gradient(a, [0, 2e-4, 1e-3], [0, 1, 1]))
    draft.block(1e-3, gx=draft.gradient(a, [0, 1e-3], [1, 0.5]))
    draft.block(1e-3, gx=draft.gradient(a, [0, 8e-4, 1e-3], [0.5, 0.5, 0]))
    draft.block(1e-3)
    scan = compiled(draft, scanner)
    track = scan.segments[0].tracks["grad_vx"]
    area = (track.values[:-1] * np.diff(track.ticks)).sum()
    assert area == pytest.approx(code_of(scanner, a) * (0.9 + 0.75 + 0.45) * 1e-3 * CLOCK_HZ, abs=1300)
    middle = (track.ticks > track.ticks[0] + 3e-4 * CLOCK_HZ) & (track.ticks < track.ticks[-1] - 3e-4 * CLOCK_HZ)
    assert track.values[middle].min() > 0.49 * code_of(scanner, a)


@pytest.mark.parametrize("seed", range(20))
def test_spacing_rules_hold_for_random_sequences(draft, scanner_of, board, seed):
    rng = np.random.default_rng(seed + 100)
    scanner = scanner_of(board, delays_s=(0.0, 3e-6, 7e-6))
    begin(draft)
    for _ in range(60):
        rows = {}
        longest = 1e-5
        for name in ("gx", "gy", "gz"):
            if rng.random() < 0.6:
                n = rng.integers(3, 8)
                times_s = np.concatenate([[0], np.cumsum(rng.choice([1, 2, 5, 10, 13, 50, 200], n - 1) * 1e-6)])
                shape = np.concatenate([[0], rng.uniform(-1, 1, n - 2), [0]])
                rows[name] = draft.gradient(0.025 * GAMMA_HZ_PER_T, times_s, shape, rng.choice([0, 4e-6, 1e-5]))
                longest = max(longest, times_s[-1] + 1e-5)
        draft.block(np.ceil(longest / 1e-5) * 1e-5, **rows)
    scan = compiled(draft, scanner, place(Orientation.CORONAL, tilt_rad=(rng.uniform(-1, 1), 0.2)))
    tracks = [scan.segments[0].tracks[name] for name in ("grad_vx", "grad_vy", "grad_vz")]
    for track in tracks:
        assert np.all(np.diff(track.ticks) > 0)
        assert track.values[-1] == 0
        assert np.all(np.diff(track.values) != 0)
    ticks = np.sort(np.concatenate([track.ticks for track in tracks]))
    if board is GradientBoard.OCRA1:
        ticks = np.unique(ticks)
    assert np.diff(ticks).min() >= spacing_ticks(scanner.gradients)
    assert ticks[0] >= 2000


def test_shim_stays_on_for_the_segment_and_leaves_at_its_end(draft, scanner_of, board):
    scanner = scanner_of(board)
    begin(draft)
    draft.block(3e-3, gx=draft.trapezoid(0.01 * GAMMA_HZ_PER_T))
    draft.block(1e-3)
    segment = compiled(draft, scanner, calibration=Calibration(larmor_hz=2e6, shim_t_per_m=(1e-3, -5e-4, 0.0))).segments[0]
    assert segment.shim_codes == (round(FULL[board] * 0.02), round(-FULL[board] * 0.01), 0)
    for name, code in zip(("grad_vx", "grad_vy"), segment.shim_codes, strict=False):
        track = segment.tracks[name]
        assert (track.values[0], track.values[-1]) == (code, 0)
        assert track.values[-2] == code
        assert segment.end_tick - track.ticks[-1] >= 50e-6 * CLOCK_HZ
        assert track.ticks[0] >= 1000
    assert "grad_vz" not in segment.tracks


def test_more_than_full_scale_is_refused_with_event_and_remedy(draft, scanner_of, board):
    begin(draft)
    draft.block(3e-3, gz=draft.trapezoid(0.049 * GAMMA_HZ_PER_T))
    shimmed = Calibration(larmor_hz=2e6, shim_t_per_m=(0.0, 0.0, 2e-3))
    with pytest.raises(
        LimitError, match=r"channel z needs 51 mT/m[\s\S]*50[\s\S]*block 2[\s\S]*Lower the gradient by 2\.0 %"
    ):
        compile_scan(draft.file(), scanner_of(board), shimmed, Placement())
