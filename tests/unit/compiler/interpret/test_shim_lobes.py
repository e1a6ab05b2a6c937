# SPDX-License-Identifier: MIT
"""The shim around pauses: behind each a spin has the phase that a shim which stays on would have given it."""

import numpy as np
import pytest

from isocenter.compiler.check.gate import check_scan
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.events import GRADIENT_CHANNELS
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import Calibration, nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.sequences.build import build

CLOCK_HZ = 122.88e6
G = 0.01 * GAMMA_HZ_PER_T
SHIM = (0.5e-3, -0.2e-3, 0.0)


def shots(draft, tr_s, n=40):
    adc = draft.readout(n=32, delay_s=200e-6)
    for line in range(n):
        draft.block(1e-3, rf=draft.pulse(), label_set=(("LIN", line),))
        draft.block(2e-3, gx=draft.trapezoid(G), gy=draft.trapezoid(-G / 2), adc=adc)
        draft.block(tr_s - 3e-3)
    return draft.file()


def moments(scan):
    """Of each channel when each pulse's gate rises, and when that is [codes s, s], shape (3, n) and (n,)."""
    rises, areas = [], [[], [], []]
    done = [0.0, 0.0, 0.0]
    for segment in scan.segments:
        gate = segment.tracks.get("tx_gate")
        at = gate.ticks[gate.values == 1] if gate is not None else np.empty(0, dtype=np.int64)
        rises.append(segment.start_s + at / CLOCK_HZ)
        for channel, name in enumerate(GRADIENT_CHANNELS):
            track = segment.tracks.get(name)
            if track is None:
                areas[channel].append(np.full(len(at), done[channel]))
                continue
            ticks = np.append(track.ticks, max(segment.end_tick, track.ticks[-1]))
            sums = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * track.values.astype(float))])
            areas[channel].append(done[channel] + np.interp(at, ticks, sums) / CLOCK_HZ)
            done[channel] += sums[-1] / CLOCK_HZ
    return np.stack([np.concatenate(parts) for parts in areas]), np.concatenate(rises)


@pytest.mark.parametrize("tr_s", [0.03, 0.3, 0.7, 1.03], ids=lambda tr_s: f"TR {tr_s} s")
def test_behind_every_pause_the_phase_is_that_of_a_shim_that_stays_on(draft, scanner_of, board, tr_s):
    """Also where TR does not hold the pause, and where a wait lasts several segments."""
    scanner = scanner_of(board, gap_s=0.02 if tr_s < 1 else 0.05)
    file = shots(draft, tr_s, n=40 if tr_s < 0.1 else 8)
    plain = compile_scan(file, scanner, Calibration(larmor_hz=2e6), Placement())
    scan = compile_scan(file, scanner, Calibration(larmor_hz=2e6, shim_t_per_m=SHIM), Placement())
    assert len(scan.segments) > 2
    gaps_s = [b.start_s - a.start_s - a.end_tick / CLOCK_HZ for a, b in zip(scan.segments, scan.segments[1:], strict=False)]
    assert min(gaps_s) > 0.9 * scanner.console.segment_gap_s
    (bare, _), (found, rises_s) = moments(plain), moments(scan)
    shim = np.array(scan.segments[0].shim_codes, dtype=float)
    late = found - bare - shim[:, None] * rises_s
    late -= late[:, :1]
    in_time_s = np.abs(late) / np.maximum(np.abs(shim), 1)[:, None]
    assert in_time_s.max() < 5e-6, "for that long the shim has been off, in some pauses of 20 ms and more"


def test_the_last_value_is_zero_and_the_first_segment_has_no_lobe(draft, scanner_of, board):
    scan = compile_scan(
        shots(draft, 0.7, n=4), scanner_of(board), Calibration(larmor_hz=2e6, shim_t_per_m=SHIM), Placement()
    )
    code = scan.segments[0].shim_codes[0]
    assert scan.segments[0].tracks["grad_vx"].values[:2].tolist() != [code, code]
    for segment in scan.segments:
        for name in ("grad_vx", "grad_vy"):
            track = segment.tracks[name]
            assert track.values[-1] == 0
            assert segment.end_tick - track.ticks[-1] >= 50e-6 * CLOCK_HZ
            assert np.all(np.diff(track.ticks) > 0)
            assert track.values[0] == segment.shim_codes[GRADIENT_CHANNELS.index(name)]
    first, second = (segment.tracks["grad_vx"].values for segment in scan.segments[:2])
    assert first[1] != second[1], "only what follows a pause begins with a lobe"
    assert second[1] > code


@pytest.mark.parametrize("scanner_name", ["osii-one", "osii-mini", "physio-72mT"])
def test_lobes_of_the_largest_shim_pass_the_gate_and_are_gentle(scanner_name):
    """The largest that a prescan may set; without gradients of its own the scan shows the lobes alone."""
    scanner = load_scanner(scanner_name)
    shim = [min(0.1 * abs(axis.full_scale_t_per_m), 0.499e-3) for axis in scanner.gradients.axes]
    calibration = Calibration(larmor_hz=scanner.magnet.larmor_hz, shim_t_per_m=(shim[0], -shim[1], shim[2]))
    seq = build("fid", {"tr_s": 1.0, "averages": 3}, scanner).seq
    scan = compile_scan(read_pulseq(seq), scanner, calibration, Placement())
    report = check_scan(scan, scanner, calibration)
    report.raise_if_refused()
    assert len(scan.segments) > 3
    for letter in "xyz":
        assert 0.05 < report.loads[f"{letter} gradient amplitude"] < 0.4
        assert 0.0 < report.loads[f"{letter} gradient slew"] < 0.25


def test_without_a_shim_nothing_is_added():
    scanner = load_scanner("osii-one")
    seq = build("fid", {"tr_s": 1.0, "averages": 3}, scanner).seq
    scan = compile_scan(read_pulseq(seq), scanner, nominal_calibration(scanner), Placement())
    assert len(scan.segments) > 3
    for segment in scan.segments:
        assert not any(track.values.any() for name, track in segment.tracks.items() if name in GRADIENT_CHANNELS)
