# SPDX-License-Identifier: MIT
"""Segments against the scan in one piece; encoding and facts of a small spin echo."""

from itertools import pairwise

import numpy as np
import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.interpret.segments import _wait_out
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import (
    LONGEST_PART_S,
    SEGMENT_MARGIN_S,
    STOP_WITHIN_S,
    TRIP_RESERVE_S,
    WATCH_TICK_S,
)
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import Calibration, nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import catalogue

CLOCK_HZ = 122.88e6
G = 0.01 * GAMMA_HZ_PER_T
N_READ, N_LIN = 32, 40


def spin_echo(draft, tr_s, flip_hz=1250.0, spoil=False):
    """Phase-encoded spin echo: k of sample N/2 of line N_LIN/2 is zero."""
    dwell_s = 20e-6
    read = draft.trapezoid(G, flat_s=1e-3)
    prephase = draft.trapezoid(G, flat_s=450e-6 - 0.0)  # the refocusing pulse inverts it
    adc = draft.readout(n=N_READ, dwell_s=dwell_s, delay_s=600e-6 - N_READ * dwell_s / 2)
    for line in range(N_LIN):
        phase_rad = 0.5 * 117 * line * (line + 1) * np.pi / 180 if spoil else 0.0
        encode = draft.trapezoid(-(line - N_LIN / 2) * 5.0 / 550e-6, flat_s=450e-6)
        draft.block(1e-3, rf=draft.pulse(amplitude_hz=flip_hz, phase_rad=phase_rad))
        draft.block(1e-3, gx=prephase, gy=encode, label_set=(("LIN", line),))
        draft.block(1e-3, rf=draft.pulse(amplitude_hz=2500.0, use="r"))
        draft.block(2e-3, gx=read, adc=adc)
        if tr_s > 5e-3:
            draft.block(tr_s - 5e-3)
    return draft.file(Matrix=f"{N_READ} {N_LIN + 8}")


def joined(scan, name):
    """All changes of a channel on the time axis of the whole scan [ticks], segment after segment."""
    origin = None
    ticks, values = [], []
    for segment in scan.segments:
        track = segment.tracks.get(name)
        start = round(segment.start_s * CLOCK_HZ)
        origin = start if origin is None else origin
        if track is not None:
            ticks.append(track.ticks + start - origin)
            values.append(track.values)
    return np.concatenate(ticks), np.concatenate(values)


@pytest.mark.parametrize("shim", [(0.0, 0.0, 0.0), (1e-3, 0.0, 0.0)])
def test_segments_play_the_same_as_one_piece_where_the_pause_fits(draft, scanner_of, board, shim):
    file = spin_echo(draft, tr_s=0.1)
    scanner, calibration = scanner_of(board), Calibration(larmor_hz=2e6, shim_t_per_m=shim)
    whole = compile_scan(file, scanner, calibration, Placement(), max_segment_s=np.inf)
    parts = compile_scan(file, scanner, calibration, Placement(), max_segment_s=0.5)
    assert len(whole.segments) == 1
    assert len(parts.segments) == 8
    assert all(segment.n_dummy_shots == 0 for segment in parts.segments)
    names = ["tx0_i", "tx_gate", "rx0_en", "rx_gate", "grad_vy"] + ([] if any(shim) else ["grad_vx"])
    for name in names:
        for a, b in zip(joined(whole, name), joined(parts, name), strict=True):
            np.testing.assert_array_equal(a, b)
    for segment, after in zip(parts.segments, parts.segments[1:], strict=False):
        assert after.start_s - (segment.start_s + segment.end_tick / CLOCK_HZ) >= 0.05 - 1e-8
        assert segment.end_tick / CLOCK_HZ <= 0.5
    assert len(parts.readouts) == N_LIN
    assert parts.segment_of_readout.tolist() == np.repeat(np.arange(8), 5).tolist()
    assert parts.facts.duration_s == pytest.approx(whole.facts.duration_s, rel=1e-3)


def test_every_segment_starts_late_enough_and_ends_at_zero(draft, scanner_of, board):
    scan = compile_scan(spin_echo(draft, 0.1), scanner_of(board), Calibration(larmor_hz=2e6), Placement(), max_segment_s=0.3)
    for segment in scan.segments:
        for name, track in segment.tracks.items():
            assert np.all(np.diff(track.ticks) > 0)
            if name != "rx0_rate":
                assert track.ticks[0] >= 2000
                assert track.values[-1] == 0
                assert segment.end_tick - track.ticks[-1] >= 50e-6 * CLOCK_HZ
        readouts = segment.readouts
        np.testing.assert_array_equal(segment.tracks["rx0_en"].ticks[::2], readouts.window_tick)


def test_dummies_repeat_the_shots_before_without_reception(draft, scanner_of, board):
    file = spin_echo(draft, tr_s=30e-3)
    scan = compile_scan(file, scanner_of(board), Calibration(larmor_hz=2e6), Placement(), max_segment_s=0.2)
    whole = compile_scan(file, scanner_of(board), Calibration(larmor_hz=2e6), Placement(), max_segment_s=np.inf)
    shots = []
    assert len(scan.segments) > 2
    for segment in scan.segments[1:]:
        n = segment.n_dummy_shots
        assert n > 0
        first = int(segment.readouts.label("LIN")[0])
        assert n == min(first, n)
        shots.append(n)
        gate = segment.tracks["tx_gate"]
        assert len(gate.ticks) == 4 * (n + len(segment.readouts))
        assert segment.tracks["rx0_en"].ticks[0] == segment.readouts.window_tick[0]
        # the pulses are those of the whole scan from shot first - n on
        reference = whole.segments[0].tracks["tx_gate"].ticks
        np.testing.assert_array_equal(
            gate.ticks - gate.ticks[0], reference[4 * (first - n) :][: len(gate.ticks)] - reference[4 * (first - n)]
        )
        for name in ("tx0_i", "grad_vy"):
            track, full = segment.tracks[name], whole.segments[0].tracks[name]
            shift = reference[4 * (first - n)] - gate.ticks[0]
            part = full.values[(full.ticks >= track.ticks[0] + shift) & (full.ticks <= track.ticks[-1] + shift)]
            np.testing.assert_array_equal(track.values, part)
    labels = np.concatenate([segment.readouts.label("LIN") for segment in scan.segments])
    assert labels.tolist() == list(range(N_LIN))
    assert any("played again" in warning for warning in scan.warnings)
    for segment, after in zip(scan.segments, scan.segments[1:], strict=False):
        assert after.start_s >= segment.start_s + segment.end_tick / CLOCK_HZ + 0.05 - 1e-9


def magnetisation_after(n_shots, *, pause_s, tr_s, flip_rad, t1_s):
    """The recursion, run forward: over that of the steady state, less 1."""
    decay, cosine = np.exp(-tr_s / t1_s), np.cos(flip_rad)
    steady = (1 - decay) / (1 - cosine * decay)
    mz = 1 - (1 - steady) * np.exp(-pause_s / t1_s)
    for _ in range(n_shots):
        mz = 1 - (1 - mz * cosine) * decay
    return mz / steady - 1


def test_dummies_take_a_third_of_a_segment_at_most_and_what_they_leave_is_told(draft, scanner_of):
    file = spin_echo(draft, tr_s=30e-3, flip_hz=420.0)  # 30 degrees
    scan = compile_scan(file, scanner_of(), Calibration(larmor_hz=2e6), Placement(), max_segment_s=0.3)
    n_dummies = scan.segments[-1].n_dummy_shots
    assert n_dummies == 3
    assert all(segment.end_tick / CLOCK_HZ <= 0.3 for segment in scan.segments)
    told = next(warning for warning in scan.warnings if "brighter" in warning)
    pause_s, error = 1e-3 * float(told.split(" ms")[0].split()[-1]), 1e-2 * float(told.split("up to ")[1].split()[0])
    starts = [
        segment.start_s + segment.tracks["tx_gate"].ticks[0] / CLOCK_HZ for segment in scan.segments
    ]  # of the first shot, dummies included
    rests = [after - before for before, after in pairwise(starts)]
    n_shots = [len(segment.tracks["tx_gate"].ticks) // 4 for segment in scan.segments]
    assert pause_s == pytest.approx(rests[1] - n_shots[1] * 30e-3, abs=0.6e-3)
    true = [
        magnetisation_after(n_dummies, pause_s=pause_s, tr_s=30e-3, flip_rad=scan.facts.flip_rad, t1_s=t1_s)
        for t1_s in (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
    ]
    assert max(true) <= error + 0.005
    assert max(true) > 0.6 * error


def test_with_rf_spoiling_no_shot_is_played_again_out_of_phase(draft, scanner_of):
    """What is left of the transverse magnetisation would meet the wrong phase and disturb more than the pause."""
    file = spin_echo(draft, tr_s=30e-3, spoil=True)
    scan = compile_scan(file, scanner_of(), Calibration(larmor_hz=2e6), Placement(), max_segment_s=0.3)
    assert len(scan.segments) > 3
    assert [segment.n_dummy_shots for segment in scan.segments] == [0] * len(scan.segments)


def test_shots_of_alternating_phase_are_played_again_in_pairs():
    scanner = load_scanner("osii-one")
    seq = build("bssfp_3d", {"n_phase": 32, "n_slab": 4}, scanner).seq
    scan = compile_scan(read_pulseq(seq), scanner, nominal_calibration(scanner), Placement(), max_segment_s=0.29)
    repeated = {segment.n_dummy_shots for segment in scan.segments[1:]}
    assert repeated == {8}, "of nine that a third of the segment holds"


def test_a_sequence_that_rests_now_and_then_is_cut_there(draft, scanner_of):
    """Even where the rest is too short for the pause of the link."""
    for line in range(60):
        draft.block(1e-3, rf=draft.pulse())
        draft.block(2e-3, gx=draft.trapezoid(G), adc=draft.readout(n=N_READ, delay_s=200e-6))
        draft.block(2e-3 + (30e-3 if line % 20 == 19 else 0.0))
    scan = compile_scan(draft.file(), scanner_of(), Calibration(larmor_hz=2e6), Placement(), max_segment_s=0.18)
    assert [len(segment.readouts) for segment in scan.segments] == [20, 20, 20]


def test_the_wait_behind_an_inversion_is_cut_and_its_timing_stays(draft, scanner_of):
    for _ in range(2):
        draft.block(1e-3, rf=draft.pulse(amplitude_hz=2500.0, use="i"))
        draft.block(0.8)
        draft.block(1e-3, rf=draft.pulse())
        draft.block(0.3, gx=draft.trapezoid(G), adc=draft.readout(n=N_READ, delay_s=200e-6))
    scan = compile_scan(draft.file(), scanner_of(), Calibration(larmor_hz=2e6), Placement())
    assert max(segment.end_tick for segment in scan.segments) / CLOCK_HZ <= LONGEST_PART_S
    gates, values = joined(scan, "tx_gate")
    rises = gates[values == 1] / CLOCK_HZ
    np.testing.assert_allclose(np.diff(rises), [0.801, 0.301, 0.801], atol=1e-7)


SERVICE = ("nutation",)  # its shots last 0.53 s and have no rest


@pytest.mark.parametrize("scanner_name", ["osii-one", "physio-72mT", pytest.param("osii-mini", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sequence", sorted(info.name for info in catalogue().infos))
def test_a_console_that_hangs_in_any_segment_is_noticed_within_a_second(sequence, scanner_name):
    """Also one that hangs in the pause: the next segment is overdue by its length and the margin."""
    scanner = load_scanner(scanner_name)
    scan = compile_scan(
        read_pulseq(build(sequence, {}, scanner).seq),
        scanner,
        nominal_calibration(scanner),
        Placement(),
        with_trajectory=False,
    )
    gap_s, reserve_s = scanner.console.segment_gap_s, 0.0 if sequence in SERVICE else TRIP_RESERVE_S
    ends_s = [segment.end_tick / scan.clock_hz for segment in scan.segments]
    noticed_s = gap_s + max(ends_s) + SEGMENT_MARGIN_S + WATCH_TICK_S
    assert noticed_s <= STOP_WITHIN_S - reserve_s + 1e-6
    assert not any("noticed only" in warning for warning in scan.warnings)
    starts_s = [segment.start_s for segment in scan.segments]
    pauses_s = [b - a - end for a, b, end in zip(starts_s, starts_s[1:], ends_s, strict=False)]
    assert all(gap_s - 1e-9 <= pause_s <= 1.2 * gap_s for pause_s in pauses_s)


def test_a_shot_that_is_too_long_to_be_stopped_in_time_is_told(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse())
    draft.block(1.2, gx=draft.trapezoid(G, flat_s=1.199), adc=draft.readout(n=N_READ, delay_s=200e-6))
    draft.block(1e-3, rf=draft.pulse())
    scan = compile_scan(draft.file(), scanner_of(), Calibration(larmor_hz=2e6), Placement())
    assert any("1.2 s without rest" in warning and "red button" in warning for warning in scan.warnings)


def test_encoding_and_facts_are_those_of_the_events(draft, scanner_of, board):
    scan = compile_scan(spin_echo(draft, 0.1), scanner_of(board), Calibration(larmor_hz=2e6), Placement())
    encoding = scan.encoding
    assert encoding is not None
    np.testing.assert_allclose(encoding.step_read_per_m, [G * 20e-6, 0, 0], rtol=1e-9)
    np.testing.assert_allclose(encoding.step_lin_per_m, [0, 5.0, 0], atol=1e-9)
    assert encoding.centre_sample == pytest.approx(N_READ / 2 - 0.5, abs=1e-6)
    assert encoding.centre_lin == pytest.approx(N_LIN / 2, abs=1e-6)
    assert (encoding.n_samples, encoding.n_lin, encoding.n_par) == (N_READ, N_LIN + 8, 1)
    facts = scan.facts
    assert facts.tr_s == pytest.approx(0.1, abs=1e-7)
    assert facts.te_s == pytest.approx(3.6e-3 - 200e-6, abs=2e-6)
    assert np.isnan(facts.ti_s)
    assert facts.echo_train_length == 1
    assert facts.flip_rad == pytest.approx(np.pi / 2, rel=1e-9)
    assert facts.peak_b1_t == pytest.approx(2500 / GAMMA_HZ_PER_T, rel=1e-3)
    assert facts.peak_gradient_t_per_m[0] == pytest.approx(0.01, rel=1e-3)
    assert facts.rf_duty == pytest.approx(400e-6 / 0.1, rel=0.05)


def test_radial_scan_has_no_cartesian_encoding(draft, scanner_of):
    adc = draft.readout(n=N_READ, delay_s=200e-6)
    for angle in np.linspace(0, 3, 8):
        draft.block(1e-3, rf=draft.pulse())
        draft.block(2e-3, gx=draft.trapezoid(G * np.cos(angle)), gy=draft.trapezoid(G * np.sin(angle)), adc=adc)
    assert compile_scan(draft.file(), scanner_of(), Calibration(larmor_hz=2e6), Placement()).encoding is None


def test_interleaved_slices_have_their_own_tr_and_positions(draft, scanner_of, board):
    """TR is per slice; positions follow from the pulses' offsets and the gradient, thickness from the definition."""
    g = 0.005 * GAMMA_HZ_PER_T
    adc, read = draft.readout(n=N_READ, delay_s=280e-6), draft.trapezoid(G, flat_s=1e-3)
    prephase, select, rephase = (
        draft.trapezoid(-G, flat_s=450e-6),
        draft.trapezoid(g, flat_s=1.5e-3),
        draft.trapezoid(-g, flat_s=700e-6),
    )
    for line in range(4):
        encode = draft.trapezoid(-(line - 2) * 5.0 / 550e-6, flat_s=450e-6)
        for number in range(3):
            pulse = draft.pulse(delay_s=350e-6, frequency_hz=g * 0.01 * (number - 1), shape=np.hanning(1000))
            draft.block(2e-3, rf=pulse, gz=select)
            draft.block(1e-3, gx=prephase, gy=encode, gz=rephase, label_set=(("LIN", line), ("SLC", number)))
            draft.block(27e-3, gx=read, adc=adc)
    file = draft.file(SliceThickness="0.005")
    placement = Placement(centre_device_m=np.array([0.0, 0.0, 0.02]))
    scan = compile_scan(file, scanner_of(board), Calibration(larmor_hz=2e6), placement)
    assert scan.facts.tr_s == pytest.approx(90e-3, abs=1e-7)
    encoding = scan.encoding
    assert encoding is not None
    np.testing.assert_allclose(encoding.slice_positions_m, [-0.01, 0.0, 0.01], atol=1e-9)
    np.testing.assert_allclose(encoding.slice_normal_device, [0, 0, 1], atol=1e-9)
    assert encoding.slice_thickness_m == 0.005
    np.testing.assert_allclose(encoding.centre_device_m, [0, 0, 0.02])
    assert encoding.centre_lin == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize(
    ("busy", "due", "lengths"),
    [
        (300, 900, [890]),  # fits into one
        (300, 1000, [990]),
        (300, 2500, [823, 823, 824]),  # three, none longer than allowed
        (1900, 2500, [1900, 580]),  # the busy one cannot be shared out
        (2480, 2500, [2490]),
    ],
)
def test_idle_time_is_waited_out_in_pieces_that_can_be_stopped(busy, due, lengths) -> None:
    found = _wait_out(busy, due, 10, 1000)
    assert found == lengths
    assert sum(found) + 10 * len(found) == due


def test_a_long_repetition_time_is_played_in_segments_that_can_be_stopped() -> None:
    scanner = load_scanner("osii-one")
    seq = build("fid", {"tr_s": 8.0, "averages": 2}, scanner).seq
    scan = compile_scan(read_pulseq(seq), scanner, nominal_calibration(scanner), Placement())
    lengths_s = [segment.end_tick / scan.clock_hz for segment in scan.segments]
    assert max(lengths_s) < LONGEST_PART_S
    starts = [segment.start_s for segment in scan.segments]
    gaps = [later - start - length for start, later, length in zip(starts, starts[1:], lengths_s, strict=False)]
    assert max(gaps) == pytest.approx(scanner.console.segment_gap_s, abs=1e-6)
    first, second = (segment for segment in scan.segments if len(segment.readouts))
    ticks = second.readouts.window_tick[0] - first.readouts.window_tick[0]
    assert second.start_s - first.start_s + ticks / scan.clock_hz == pytest.approx(8.0, abs=1e-7)


def test_idle_time_in_front_of_a_slice_gradient_holds_the_pause() -> None:
    """The gradient rises before the gate does; the long rest before it is idle time all the same."""
    scanner = load_scanner("osii-one")
    seq = build("spin_echo_2d", {"n_phase": 16, "slices": 3, "tr_s": 0.5}, scanner).seq
    scan = compile_scan(read_pulseq(seq), scanner, nominal_calibration(scanner), Placement())
    assert len(scan.segments) > 3
    assert [segment.n_dummy_shots for segment in scan.segments] == [0] * len(scan.segments)
