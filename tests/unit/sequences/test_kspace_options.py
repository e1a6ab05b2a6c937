# SPDX-License-Identifier: MIT
"""Partial Fourier, inversion, navigators, field maps, EPI, echoes and balanced gradients, against pypulseq's k-space."""

import itertools

import numpy as np
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build
from isocenter.sequences.ordering import ORDERS

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")


def lines_of(scan):
    names = ("AVG", "SET", "PAR", "LIN")
    columns = [scan.labels.get(name, np.zeros_like(scan.labels["LIN"])).tolist() for name in names]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "partial", "first"), [((16, 12, 6), (0.7, 0.55), (3, 2)), ((16, 9, 1), (0.55, 1.0), (4, 0))])
def test_tse_partial_fourier_leaves_the_first_lines_out(order, n, partial, first, kspace_of):
    fov = (0.2, 0.16, 0.1)
    values = dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m", "n_read", "n_phase", "n_slab"), (*fov, *n), strict=True))
    values |= {"partial_phase": partial[0], "partial_slab": partial[1], "echo_train_length": 4, "order": order}
    scan = kspace_of("tse_3d", values, "osii-one")
    scan.check_grid(fov, n)
    assert sorted(lines_of(scan)) == [(0, 0, z, y) for z in range(first[1], n[2]) for y in range(first[0], n[1])]
    echo_s = scan.t[:, n[0] // 2] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    centre = scan.labels["LIN"] == n[1] // 2
    np.testing.assert_allclose(echo_s[centre], scan.built.report["EffectiveEchoTime"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_tse_ellipse_saves_time_and_keeps_the_centre_and_the_bands(order, kspace_of):
    fov, n = (0.2, 0.16, 0.1), (16, 16, 12)
    values = dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m", "n_read", "n_phase", "n_slab"), (*fov, *n), strict=True))
    values |= {"echo_train_length": 4, "order": order, "dummy_shots": 0}
    full_s = build("tse_3d", values, load_scanner("osii-one")).report["TotalDuration"]
    scan = kspace_of("tse_3d", values | {"elliptical": True}, "osii-one")
    scan.check_grid(fov, n)
    inside = [(z, y) for z in range(12) for y in range(16) if ((y - 8) / 8) ** 2 + ((z - 6) / 6) ** 2 <= 1 + 1e-9]
    assert sorted(lines_of(scan)) == [(0, 0, z, y) for z, y in inside]
    assert scan.built.report["TotalDuration"] == pytest.approx(full_s * len(inside) / 192, rel=0.03)
    echo_s = scan.t[:, 8] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    echo = np.round(echo_s / scan.built.report["EchoSpacing"]).astype(int)
    distance = scan.labels["LIN"] if order == "linear" else np.abs(scan.labels["LIN"] - 8)
    bands = [distance[echo == number] for number in range(1, 5)]
    for earlier, later in itertools.pairwise(bands[::-1] if order == "reversed" else bands):
        assert earlier.max() <= later.min()
    at_centre = (scan.labels["LIN"] == 8) & (scan.labels["PAR"] == 6)
    assert echo_s[at_centre] == pytest.approx(scan.built.report["EffectiveEchoTime"], abs=1e-9)


def test_tse_inversion_comes_ti_before_each_excitation(read_back):
    values = {"ti_s": 0.15, "n_phase": 8, "n_slab": 1, "echo_train_length": 4, "dummy_shots": 1}
    scanner = load_scanner("osii-one")
    built = build("tse_3d", values, scanner)
    seq = read_back(built)
    clock, centres = 0.0, {"inversion": [], "excitation": []}
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None and block.rf.use in centres:
            centres[block.rf.use].append(clock + block.rf.delay + block.rf.center)
        clock += seq.block_durations[number]
    assert len(centres["inversion"]) == 4  # a dummy, the reference train, two shots
    np.testing.assert_allclose(np.subtract(centres["excitation"], centres["inversion"]), 0.15, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.diff(centres["excitation"]), 0.5, rtol=0, atol=1e-9)
    scan = compile_scan(read_pulseq(built.seq), scanner, nominal_calibration(scanner), Placement())
    assert scan.facts.ti_s == pytest.approx(0.15, abs=1e-7)
    assert built.report["InversionTime"] == 0.15


def test_tse_navigators_are_centre_lines_at_the_end_of_every_third_train():
    values = {"navigator_every": 3, "n_phase": 16, "n_slab": 2, "echo_train_length": 4, "dummy_shots": 1}
    scanner = load_scanner("osii-one")
    built = build("tse_3d", values, scanner)
    scan = compile_scan(read_pulseq(built.seq), scanner, nominal_calibration(scanner), Placement(), with_trajectory=True)
    nav, r = scan.readouts.label("NAV"), scan.readouts
    reference = [1] * 4
    assert nav.tolist() == reference + [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0] * 2 + [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert r.label("REF").tolist() == reference + [0] * 35
    assert (r.label("LIN")[nav == 1] == 8).all()
    assert scan.evolution_s == pytest.approx(scan.evolution_s[0], abs=1e-9)  # on the spin echo as every other
    assert scan.encoding.n_lin == 16
    assert len(scan.trajectory_per_m) == 32
    assert scan.facts.echo_train_length == 4
    assert built.report["TotalDuration"] == pytest.approx(10 * 0.5, abs=0.01)


@pytest.mark.parametrize(
    ("name", "values", "step_s"),
    [
        ("tse_3d", {"readout_shift_s": 4e-4}, 4e-4),
        ("b0_map", {}, 2e-4),
        ("gre_3d", {"te_step_s": 1e-3, "tr_s": 0.05}, 1e-3),
        ("b0_map", {"method": "gradient echo", "step_s": 5e-4}, 5e-4),
    ],
)
@pytest.mark.parametrize("scanner_name", SCANNERS)
def test_field_maps_measure_each_line_twice_a_step_apart(name, values, step_s, scanner_name, kspace_of):
    small = {"n_read": 16, "n_phase": 8, "n_slab": 3, "echo_train_length": 4}
    if name == "gre_3d" or "method" in values:
        del small["echo_train_length"]
    scan = kspace_of(name, small | values, scanner_name)
    fov = [float(word) for word in scan.built.report["FOV"].split()]
    scan.check_grid(fov, (16, 8, 3))
    assert sorted(lines_of(scan)) == [(0, s, z, y) for s in (0, 1) for z in range(3) for y in range(8)]
    scanner = load_scanner(scanner_name)
    played = compile_scan(read_pulseq(scan.built.seq), scanner, nominal_calibration(scanner), Placement())
    at_centre = played.evolution_s + 8 * played.readouts.dwell_ticks / played.clock_hz
    times = [float(word) for word in scan.built.report["EvolutionTimes"].split()]
    assert times[1] - times[0] == pytest.approx(step_s, abs=1e-12)
    for number, time_s in enumerate(times):
        np.testing.assert_allclose(at_centre[played.readouts.label("SET") == number], time_s, rtol=0, atol=1e-8)
    assert played.facts.te_s == pytest.approx(scan.built.report["EffectiveEchoTime"], abs=1e-7)


def test_gre_partial_fourier_and_ellipse_together(kspace_of):
    values = {"n_read": 16, "n_phase": 12, "n_slab": 8, "partial_phase": 0.6, "partial_slab": 0.75, "elliptical": True}
    scan = kspace_of("gre_3d", values, "osii-one")
    scan.check_grid((0.22, 0.22, 0.18), (16, 12, 8))
    inside = {(z, y) for z in range(2, 8) for y in range(4, 12) if ((y - 6) / 6) ** 2 + ((z - 4) / 4) ** 2 <= 1 + 1e-9}
    assert {(z, y) for _, _, z, y in lines_of(scan)} == inside


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ti_s": 0.001}, r"TI \(ti_s\) 1 ms is too short.*\n.*Set TI to [\d.]+ ms or more, or to 0"),
        ({"ti_s": 0.45}, r"TR \(tr_s\) 500 ms is too short.*\n.*Set TR to"),
        ({"readout_shift_s": 0.008}, r"Echo spacing \(echo_spacing_s\) 12 ms is too short.*\n.*Set echo spacing to"),
    ],
)
def test_tse_options_that_do_not_fit_are_refused(values, message):
    with pytest.raises(SequenceError, match=message):
        build("tse_3d", values, load_scanner("osii-one"))


@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize(("n", "shots"), [((16, 12), 3), ((17, 11), 4), ((12, 8), 1), ((12, 9), 9)])
def test_epi_lines_lie_on_one_grid_in_both_directions(n, shots, scanner_name, kspace_of):
    values = {"n_read": n[0], "n_phase": n[1], "shots": shots, "slices": 2, "dummy_shots": 1, "averages": 2, "te_s": 0.05}
    scan = kspace_of("epi_2d", values, scanner_name)
    lab = scan.labels
    image, step = lab["NAV"] == 0, 1 / 0.22
    k = np.where(lab["REV"][:, None] == 1, scan.k[:, :, ::-1], scan.k)
    np.testing.assert_allclose(k[0], np.tile((np.arange(n[0]) - (n[0] - 1) / 2) * step, (len(image), 1)), atol=0.01 * step)
    wanted = np.where(image, lab["LIN"] - n[1] // 2, 0) * step
    np.testing.assert_allclose(k[1], np.repeat(wanted[:, None], n[0], axis=1), atol=0.01 * step)
    measured = list(zip(*(lab[name][image].tolist() for name in ("AVG", "SLC", "LIN")), strict=True))
    assert sorted(measured) == [(a, s, y) for a in range(2) for s in range(2) for y in range(n[1])]
    assert (~image).sum() == 3 * shots * 2 * 2
    assert lab["REV"][~image].tolist() == [0, 1, 0] * (shots * 4)
    # the centre line's echo, and interleaved lines a fraction of the echo spacing apart
    excited = np.array(scan.excited_s)
    echo_s = scan.t.mean(axis=1) - excited[np.searchsorted(excited, scan.t[:, 0]) - 1]
    report = scan.built.report
    np.testing.assert_allclose(echo_s[image & (lab["LIN"] == n[1] // 2)], report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    first = image & (lab["AVG"] == 0) & (lab["SLC"] == 0)
    order = np.argsort(lab["LIN"][first])
    gaps = np.diff(echo_s[first][order])
    np.testing.assert_allclose(gaps, report["EchoSpacing"] / shots, rtol=0, atol=1e-5 * shots)
    scanner = load_scanner(scanner_name)
    played = compile_scan(read_pulseq(scan.built.seq), scanner, nominal_calibration(scanner), Placement())
    e = played.encoding
    assert (e.centre_sample, e.centre_lin) == (pytest.approx((n[0] - 1) / 2, abs=1e-2), pytest.approx(n[1] // 2, abs=1e-2))
    assert (e.n_samples, e.n_lin) == n


@pytest.mark.parametrize("scanner_name", SCANNERS)
def test_t2_map_measures_each_line_at_every_echo(scanner_name, kspace_of):
    values = {"n_read": 16, "n_phase": 6, "n_slab": 3, "echo_train_length": 5, "elliptical": False, "averages": 2}
    scan = kspace_of("t2_map", values, scanner_name)
    scan.check_grid((0.22, 0.22, 0.18), (16, 6, 3))
    names = ("AVG", "ECO", "PAR", "LIN")
    measured = sorted(zip(*(scan.labels[name].tolist() for name in names), strict=True))
    assert measured == [(a, e, z, y) for a in range(2) for e in range(5) for z in range(3) for y in range(6)]
    times = [float(word) for word in scan.built.report["EchoTimes"].split()]
    echo_s = scan.t[:, 8] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    np.testing.assert_allclose(echo_s, np.array(times)[scan.labels["ECO"]], rtol=0, atol=1e-9)


@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize("step_rad", [np.pi, 2.0])
def test_bssfp_is_balanced_with_the_echo_in_the_middle(step_rad, scanner_name, kspace_of, read_back):
    values = {"n_read": 16, "n_phase": 6, "n_slab": 3, "dummy_shots": 4, "phase_step_rad": step_rad, "tr_s": 0.012}
    scan = kspace_of("bssfp_3d", values, scanner_name)
    scan.check_grid((0.22, 0.22, 0.18), (16, 6, 3))
    seq = read_back(scan.built)
    clock, pulses, phases, received = 0.0, [], [], []
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            pulses.append(clock + block.rf.delay + block.rf.center)
            phases.append(block.rf.phase_offset)
        if block.adc is not None:
            received.append(block.adc.phase_offset - phases[-1])
        clock += seq.block_durations[number]
    assert pulses[1] - pulses[0] == pytest.approx(0.006, abs=1e-9)
    np.testing.assert_allclose(np.diff(pulses[1:]), 0.012, rtol=0, atol=1e-9)
    turn = np.exp(1j * np.diff(phases[1:]))
    np.testing.assert_allclose(turn, np.exp(1j * step_rad), atol=1e-5)
    np.testing.assert_allclose(received, 0, atol=1e-9)
    echo_s = scan.t[:, 8] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    np.testing.assert_allclose(echo_s, 0.006, rtol=0, atol=1e-9)
    # from pulse to pulse the moment of each axis is zero
    for waveform in seq.waveforms_and_times()[0]:
        t, g = np.asarray(waveform, dtype=float)
        moment = np.concatenate([[0], np.cumsum(0.5 * (g[1:] + g[:-1]) * np.diff(t))])
        assert np.abs(np.interp(pulses, t, moment)).max() < 1e-3 * 16 / 0.22
