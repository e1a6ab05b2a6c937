# SPDX-License-Identifier: MIT
"""Each sample lands where its labels say, at the echo time that is reported. k-space is computed by pypulseq."""

import itertools

import numpy as np
import pypulseq as pp
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


def read(built, tmp_path):
    path = tmp_path / "a.seq"
    path.write_bytes(built.seq)
    seq = pp.Sequence()
    seq.read(str(path))
    return seq


class Scan:
    """k-space, times and labels of every readout of a built sequence."""

    def __init__(self, name, values, scanner, tmp_path):
        self.built = build(name, values, load_scanner(scanner))
        seq = read(self.built, tmp_path)
        k, _, self.excited_s, self.refocused_s, t = seq.calculate_kspace()
        self.labels = {key: np.asarray(value) for key, value in seq.evaluate_labels(evolution="adc").items()}
        count = len(self.labels[next(iter(self.labels))])
        self.k = k.reshape(3, count, -1)
        self.t = t.reshape(count, -1)

    def check_grid(self, fov, matrix):
        n = np.array(matrix)
        wanted = np.zeros_like(self.k)
        wanted[0] = (np.arange(n[0]) - n[0] // 2) / fov[0]
        wanted[1] = ((self.labels["LIN"] - n[1] // 2) / fov[1])[:, None]
        if "PAR" in self.labels:
            wanted[2] = ((self.labels["PAR"] - n[2] // 2) / fov[2])[:, None]
        # amplitudes are written with six digits
        np.testing.assert_allclose(self.k, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max() + 0.01)


TSE_SIZES = [((16, 13, 3), 4), ((17, 12, 4), 5), ((24, 8, 1), 8), ((16, 1, 4), 3), ((16, 7, 2), 1)]
TSE_CASES = [("osii-one", order, *size) for order in ORDERS for size in TSE_SIZES]
TSE_CASES += [(scanner, "linear", *size) for scanner in SCANNERS[1:] for size in TSE_SIZES[:2]]


@pytest.mark.parametrize(("scanner", "order", "n", "etl"), TSE_CASES)
def test_tse_every_line_once_at_its_place_and_time(scanner, order, n, etl, tmp_path):
    fov = (0.2, 0.16, 0.1)
    values = {
        **dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m"), fov, strict=True)),
        **dict(zip(("n_read", "n_phase", "n_slab"), n, strict=True)),
        "echo_train_length": etl,
        "order": order,
        "averages": 2,
        "dummy_shots": 1,
    }
    scan = Scan("tse_3d", values, scanner, tmp_path)
    scan.check_grid(fov, n)
    measured = list(zip(scan.labels["AVG"].tolist(), scan.labels["PAR"].tolist(), scan.labels["LIN"].tolist(), strict=True))
    assert sorted(measured) == [(a, z, y) for a in range(2) for z in range(n[2]) for y in range(n[1])]

    report = scan.built.report
    excited = np.array(scan.excited_s)
    shot = np.searchsorted(excited, scan.t[:, 0]) - 1
    echo_s = scan.t[:, n[0] // 2] - excited[shot]
    spacing_s = report["EchoSpacing"]
    np.testing.assert_allclose(echo_s / spacing_s, np.round(echo_s / spacing_s), rtol=0, atol=1e-6)
    centre = scan.labels["LIN"] == n[1] // 2
    np.testing.assert_allclose(echo_s[centre], report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.diff(excited), report["RepetitionTime"], rtol=0, atol=1e-9)
    # CPMG: the first refocusing pulse at half the spacing, the others a spacing apart
    first = np.searchsorted(scan.refocused_s, excited)
    np.testing.assert_allclose(np.array(scan.refocused_s)[first] - excited, spacing_s / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("order", "te_s"), [("linear", 0.05), ("centre-out", 0.01), ("reversed", 0.08)])
def test_tse_effective_echo_time_follows_the_order(order, te_s):
    values = {"n_phase": 64, "echo_train_length": 8, "echo_spacing_s": 0.01, "order": order}
    assert build("tse_3d", values, load_scanner("osii-one")).report["EffectiveEchoTime"] == pytest.approx(te_s)


def test_tse_gradient_moment_between_refocusing_pulses_is_the_same(tmp_path):
    """k between the 180s must return to the same point (CPMG), whatever line is measured."""
    built = build("tse_3d", {"n_phase": 12, "n_slab": 4, "n_read": 16, "echo_train_length": 4}, load_scanner("osii-one"))
    seq = read(built, tmp_path)
    (gx, gy, gz), *_ = seq.waveforms_and_times()
    *_, refocused_s, _ = seq.calculate_kspace()
    moments = []
    for wave in (gx, gy, gz):
        t, g = np.asarray(wave[0]), np.asarray(wave[1])
        area = np.concatenate([[0.0], np.cumsum(np.diff(t) * (g[1:] + g[:-1]) / 2)])
        moments.append(np.diff(np.interp(refocused_s, t, area)))
    moments = np.array(moments)
    inside = np.arange(moments.shape[1]) % 4 != 3  # the fourth step crosses into the next shot
    assert np.ptp(moments[:, inside], axis=1).max() < 0.02
    assert abs(moments[1, inside]).max() < 0.02


def test_tse_is_cpmg_and_turns_with_the_averages(tmp_path):
    built = build(
        "tse_3d",
        {"n_phase": 4, "n_slab": 1, "echo_train_length": 4, "averages": 2, "dummy_shots": 0},
        load_scanner("osii-one"),
    )
    seq = read(built, tmp_path)
    phases = {"excitation": [], "refocusing": [], "adc": []}
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            phases[block.rf.use].append(block.rf.phase_offset)
        if block.adc is not None:
            phases["adc"].append(block.adc.phase_offset)
    np.testing.assert_allclose(phases["excitation"], [0, np.pi], atol=1e-5)
    np.testing.assert_allclose(phases["refocusing"], [np.pi / 2] * 8, atol=1e-5)
    np.testing.assert_allclose(phases["adc"], [0] * 4 + [np.pi] * 4, atol=1e-5)


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("n", [(16, 12, 5), (17, 9, 4), (16, 1, 1)])
@pytest.mark.parametrize("elliptical", [False, True])
def test_gre_every_line_once_at_its_place_and_time(scanner, n, elliptical, tmp_path):
    fov = (0.2, 0.16, 0.12)
    values = {
        **dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m"), fov, strict=True)),
        **dict(zip(("n_read", "n_phase", "n_slab"), n, strict=True)),
        "elliptical": elliptical,
        "averages": 2,
        "dummy_shots": 3,
    }
    scan = Scan("gre_3d", values, scanner, tmp_path)
    scan.check_grid(fov, n)
    measured = sorted(
        zip(scan.labels["AVG"].tolist(), scan.labels["PAR"].tolist(), scan.labels["LIN"].tolist(), strict=True)
    )
    assert len(set(measured)) == len(measured)
    if not elliptical:
        assert len(measured) == 2 * n[1] * n[2]
    assert (1, n[2] // 2, n[1] // 2) in measured
    excited = np.array(scan.excited_s)
    echo_s = scan.t[:, n[0] // 2] - excited[np.searchsorted(excited, scan.t[:, 0]) - 1]
    np.testing.assert_allclose(echo_s, scan.built.report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.diff(excited), scan.built.report["RepetitionTime"], rtol=0, atol=1e-9)


def test_gre_receiver_follows_the_spoiling_phase(tmp_path):
    seq = read(build("gre_3d", {"n_phase": 10, "n_slab": 9, "dummy_shots": 2}, load_scanner("osii-one")), tmp_path)
    pulses, receivers = [], []
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            pulses.append(block.rf.phase_offset)
        if block.adc is not None:
            receivers.append(block.adc.phase_offset)
    count = np.arange(len(pulses))
    wanted = np.deg2rad(117.0 * count * (count + 1) / 2)
    np.testing.assert_allclose(np.exp(1j * np.array(pulses)), np.exp(1j * wanted), atol=2e-5)
    np.testing.assert_allclose(receivers, pulses[2:], atol=1e-9)


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize(("slices", "n"), [(1, (16, 8)), (4, (17, 9)), (5, (16, 4))])
def test_spin_echo_slices_lines_and_times(scanner, slices, n, tmp_path):
    values = {
        "n_read": n[0],
        "n_phase": n[1],
        "slices": slices,
        "averages": 2,
        "fov_read_m": 0.2,
        "fov_phase_m": 0.15,
        "te_s": 0.03,
    }
    scan = Scan("spin_echo_2d", values, scanner, tmp_path)
    scan.check_grid((0.2, 0.15), n)
    assert np.abs(scan.k[2]).max() < 0.02  # slice gradient refocused, crushers cancel
    measured = sorted(
        zip(scan.labels["AVG"].tolist(), scan.labels["LIN"].tolist(), scan.labels["SLC"].tolist(), strict=True)
    )
    assert measured == [(a, y, s) for a in range(2) for y in range(n[1]) for s in range(slices)]
    excited = np.array(scan.excited_s)
    echo_s = scan.t[:, n[0] // 2] - excited[np.searchsorted(excited, scan.t[:, 0]) - 1]
    np.testing.assert_allclose(echo_s, 0.03, rtol=0, atol=1e-9)
    order = [*range(0, slices, 2), *range(1, slices, 2)]
    assert scan.labels["SLC"][:slices].tolist() == order
    np.testing.assert_allclose(excited[slices:] - excited[:-slices], scan.built.report["RepetitionTime"], rtol=0, atol=1e-9)


def test_spin_echo_excites_each_slice_at_its_place_with_its_phase(tmp_path):
    values = {"slices": 3, "thickness_m": 0.006, "gap_m": 0.004, "n_phase": 2, "dummy_shots": 0}
    seq = read(build("spin_echo_2d", values, load_scanner("osii-one")), tmp_path)
    slice_of_block, seen = {0: 0, 1: 2, 2: 1}, {"excitation": [], "refocusing": []}
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            seen[block.rf.use].append((block.rf.freq_offset / block.gz.amplitude, block.rf))
    for use, phase in (("excitation", 0.0), ("refocusing", np.pi / 2)):
        for index, (position_m, rf) in enumerate(seen[use][:3]):
            assert position_m == pytest.approx((slice_of_block[index] - 1) * 0.010, abs=1e-7)
            at_centre = rf.phase_offset + 2 * np.pi * rf.freq_offset * rf.center
            assert np.angle(np.exp(1j * (at_centre - phase))) == pytest.approx(0, abs=2e-3)


def test_localizer_takes_less_than_20_s_and_reaches_the_centre_first(tmp_path):
    scan = Scan("localizer", {}, "osii-one", tmp_path)
    scan.check_grid((0.24, 0.24, 0.24), (64, 64, 10))
    assert scan.built.report["TotalDuration"] < 20
    assert scan.built.report["EffectiveEchoTime"] == pytest.approx(0.010)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_frequency_echo_is_at_the_centre_sample_without_gradient(scanner, tmp_path):
    built = build("frequency", {}, load_scanner(scanner))
    seq = read(built, tmp_path)
    (gx, gy, gz), *_ = seq.waveforms_and_times()
    _, _, excited, refocused, t = seq.calculate_kspace()
    t = t.reshape(2, -1)
    np.testing.assert_allclose(t[:, 512] - excited, built.report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.array(refocused) - excited, built.report["EffectiveEchoTime"] / 2, rtol=0, atol=1e-9)
    assert gx.shape[1] == gy.shape[1] == 0
    for window in t:
        assert np.abs(np.interp(window, gz[0], gz[1])).max() == 0


@pytest.mark.parametrize("scanner", SCANNERS)
def test_fid_starts_after_the_dead_time(scanner, tmp_path):
    hardware = load_scanner(scanner)
    seq = read(build("fid", {}, hardware), tmp_path)
    _, _, excited, _, t = seq.calculate_kspace()
    first = t.reshape(2, -1)[:, 0]
    assert (first - excited - 50e-6 >= hardware.rf.dead_time_s).all()


def test_noise_is_marked_and_has_no_pulse(tmp_path):
    seq = read(build("noise", {"windows": 3, "n_samples": 128}, load_scanner("osii-one")), tmp_path)
    labels = seq.evaluate_labels(evolution="adc")
    assert labels["NOISE"].tolist() == [1, 1, 1]
    assert labels["REP"].tolist() == [0, 1, 2]
    assert not seq.rf_library.data
    assert not seq.grad_library.data


def lines_of(scan):
    names = ("AVG", "SET", "PAR", "LIN")
    columns = [scan.labels.get(name, np.zeros_like(scan.labels["LIN"])).tolist() for name in names]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "partial", "first"), [((16, 12, 6), (0.7, 0.55), (3, 2)), ((16, 9, 1), (0.55, 1.0), (4, 0))])
def test_tse_partial_fourier_leaves_the_first_lines_out(order, n, partial, first, tmp_path):
    fov = (0.2, 0.16, 0.1)
    values = dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m", "n_read", "n_phase", "n_slab"), (*fov, *n), strict=True))
    values |= {"partial_phase": partial[0], "partial_slab": partial[1], "echo_train_length": 4, "order": order}
    scan = Scan("tse_3d", values, "osii-one", tmp_path)
    scan.check_grid(fov, n)
    assert sorted(lines_of(scan)) == [(0, 0, z, y) for z in range(first[1], n[2]) for y in range(first[0], n[1])]
    echo_s = scan.t[:, n[0] // 2] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    centre = scan.labels["LIN"] == n[1] // 2
    np.testing.assert_allclose(echo_s[centre], scan.built.report["EffectiveEchoTime"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_tse_ellipse_saves_time_and_keeps_the_centre_and_the_bands(order, tmp_path):
    fov, n = (0.2, 0.16, 0.1), (16, 16, 12)
    values = dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m", "n_read", "n_phase", "n_slab"), (*fov, *n), strict=True))
    values |= {"echo_train_length": 4, "order": order, "dummy_shots": 0}
    full_s = build("tse_3d", values, load_scanner("osii-one")).report["TotalDuration"]
    scan = Scan("tse_3d", values | {"elliptical": True}, "osii-one", tmp_path)
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


def test_tse_inversion_comes_ti_before_each_excitation(tmp_path):
    values = {"ti_s": 0.15, "n_phase": 8, "n_slab": 1, "echo_train_length": 4, "dummy_shots": 1}
    scanner = load_scanner("osii-one")
    built = build("tse_3d", values, scanner)
    seq = read(built, tmp_path)
    clock, centres = 0.0, {"inversion": [], "excitation": []}
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None and block.rf.use in centres:
            centres[block.rf.use].append(clock + block.rf.delay + block.rf.center)
        clock += seq.block_durations[number]
    assert len(centres["inversion"]) == 3
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
    assert nav.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0] * 2 + [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert (r.label("LIN")[nav == 1] == 8).all()
    assert scan.evolution_s == pytest.approx(scan.evolution_s[0], abs=1e-9)  # on the spin echo as every other
    assert scan.encoding.n_lin == 16
    assert len(scan.trajectory_per_m) == 32
    assert scan.facts.echo_train_length == 4
    assert built.report["TotalDuration"] == pytest.approx(9 * 0.5, abs=0.01)


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
def test_field_maps_measure_each_line_twice_a_step_apart(name, values, step_s, scanner_name, tmp_path):
    small = {"n_read": 16, "n_phase": 8, "n_slab": 3, "echo_train_length": 4}
    if name == "gre_3d" or "method" in values:
        del small["echo_train_length"]
    scan = Scan(name, small | values, scanner_name, tmp_path)
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


def test_gre_partial_fourier_and_ellipse_together(tmp_path):
    values = {"n_read": 16, "n_phase": 12, "n_slab": 8, "partial_phase": 0.6, "partial_slab": 0.75, "elliptical": True}
    scan = Scan("gre_3d", values, "osii-one", tmp_path)
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
def test_epi_lines_lie_on_one_grid_in_both_directions(n, shots, scanner_name, tmp_path):
    values = {"n_read": n[0], "n_phase": n[1], "shots": shots, "slices": 2, "dummy_shots": 1, "averages": 2, "te_s": 0.05}
    scan = Scan("epi_2d", values, scanner_name, tmp_path)
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
def test_t2_map_measures_each_line_at_every_echo(scanner_name, tmp_path):
    values = {"n_read": 16, "n_phase": 6, "n_slab": 3, "echo_train_length": 5, "elliptical": False, "averages": 2}
    scan = Scan("t2_map", values, scanner_name, tmp_path)
    scan.check_grid((0.22, 0.22, 0.18), (16, 6, 3))
    names = ("AVG", "ECO", "PAR", "LIN")
    measured = sorted(zip(*(scan.labels[name].tolist() for name in names), strict=True))
    assert measured == [(a, e, z, y) for a in range(2) for e in range(5) for z in range(3) for y in range(6)]
    times = [float(word) for word in scan.built.report["EchoTimes"].split()]
    echo_s = scan.t[:, 8] - np.array(scan.excited_s)[np.searchsorted(scan.excited_s, scan.t[:, 0]) - 1]
    np.testing.assert_allclose(echo_s, np.array(times)[scan.labels["ECO"]], rtol=0, atol=1e-9)


@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize("step_rad", [np.pi, 2.0])
def test_bssfp_is_balanced_with_the_echo_in_the_middle(step_rad, scanner_name, tmp_path):
    values = {"n_read": 16, "n_phase": 6, "n_slab": 3, "dummy_shots": 4, "phase_step_rad": step_rad, "tr_s": 0.012}
    scan = Scan("bssfp_3d", values, scanner_name, tmp_path)
    scan.check_grid((0.22, 0.22, 0.18), (16, 6, 3))
    seq = read(scan.built, tmp_path)
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
