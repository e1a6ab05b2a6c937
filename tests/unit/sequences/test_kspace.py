# SPDX-License-Identifier: MIT
"""Each sample lands where its labels say, at the echo time that is reported. k-space is computed by pypulseq."""

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.sequences.build import build
from isocenter.sequences.ordering import ORDERS

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")


TSE_SIZES = [((16, 13, 3), 4), ((17, 12, 4), 5), ((24, 8, 1), 8), ((16, 1, 4), 3), ((16, 7, 2), 1)]
TSE_CASES = [("osii-one", order, *size) for order in ORDERS for size in TSE_SIZES]
TSE_CASES += [(scanner, "linear", *size) for scanner in SCANNERS[1:] for size in TSE_SIZES[:2]]


@pytest.mark.parametrize(("scanner", "order", "n", "etl"), TSE_CASES)
def test_tse_every_line_once_at_its_place_and_time(scanner, order, n, etl, kspace_of):
    fov = (0.2, 0.16, 0.1)
    values = {
        **dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m"), fov, strict=True)),
        **dict(zip(("n_read", "n_phase", "n_slab"), n, strict=True)),
        "echo_train_length": etl,
        "order": order,
        "averages": 2,
        "dummy_shots": 1,
    }
    scan = kspace_of("tse_3d", values, scanner)
    scan.check_grid(fov, n)
    measured = list(zip(scan.labels["AVG"].tolist(), scan.labels["PAR"].tolist(), scan.labels["LIN"].tolist(), strict=True))
    assert sorted(measured) == [(a, z, y) for a in range(2) for z in range(n[2]) for y in range(n[1])]

    report = scan.built.report
    excited = np.array(scan.excited_s)
    shot = np.searchsorted(excited, scan.t[:, 0]) - 1
    echo_s = scan.t[:, n[0] // 2] - excited[shot]
    spacing_s = report["EchoSpacing"]
    np.testing.assert_allclose(echo_s / spacing_s, np.round(echo_s / spacing_s), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.round(echo_s / spacing_s) - 1, scan.labels["SEG"])
    centre = scan.labels["LIN"] == n[1] // 2
    np.testing.assert_allclose(echo_s[centre], report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.diff(excited), report["RepetitionTime"], rtol=0, atol=1e-9)
    # CPMG: the first refocusing pulse at half the spacing, the others a spacing apart
    first = np.searchsorted(scan.refocused_s, excited)
    np.testing.assert_allclose(np.array(scan.refocused_s)[first] - excited, spacing_s / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", ["linear", "centre-out", "reversed"])
@pytest.mark.parametrize("shots", [1, 3])
def test_tse_reference_train_has_every_echo_of_a_shot_without_phase_encoding(order, shots, kspace_of):
    values = {"n_read": 16, "n_phase": 10, "n_slab": 4, "echo_train_length": 5, "order": order, "averages": 2}
    without = kspace_of("tse_3d", values | {"reference_shots": 0}, "osii-one")
    scan = kspace_of("tse_3d", values | {"reference_shots": shots}, "osii-one")
    assert scan.reference_k.shape[1] == 5 * shots
    assert np.abs(scan.reference_k[1:]).max() < 0.01
    np.testing.assert_allclose(scan.reference_k[0], np.broadcast_to(scan.k[0, 0], scan.reference_k[0].shape), atol=0.01)
    assert scan.reference_labels["SEG"].tolist() == [0, 1, 2, 3, 4] * shots
    assert (scan.reference_labels["NAV"] == 1).all()
    # right after the dummies, each at the times of the echoes that it stands for, at the cost of one TR each
    assert scan.reference_t[-1, 0] < scan.t[0, 0]
    shot = np.searchsorted(scan.excited_s, scan.reference_t[:, 0]) - 1
    assert (shot == 2 + np.repeat(np.arange(shots), 5)).all()
    echo_s = scan.reference_t[:, 8] - np.array(scan.excited_s)[shot]
    np.testing.assert_allclose(echo_s, 0.012 * (1 + scan.reference_labels["SEG"]), atol=1e-6)
    longer_s = scan.built.report["TotalDuration"] - without.built.report["TotalDuration"]
    assert longer_s == pytest.approx(0.5 * shots, abs=1e-6)
    # the picture's lines know nothing of it
    for name in ("NAV", "REF"):
        assert not scan.labels[name].any()
    np.testing.assert_array_equal(scan.labels["LIN"], without.labels["LIN"])


@pytest.mark.parametrize("values", [{"echo_train_length": 1}, {"order": "every echo"}, {"readout_shift_s": 2e-4}])
def test_tse_without_a_use_for_a_reference_train_has_none(values, kspace_of):
    scan = kspace_of("tse_3d", values | {"n_read": 16, "n_phase": 10, "n_slab": 2}, "osii-one")
    assert scan.reference_k.shape[1] == 0


@pytest.mark.parametrize(("order", "te_s"), [("linear", 0.05), ("centre-out", 0.01), ("reversed", 0.08)])
def test_tse_effective_echo_time_follows_the_order(order, te_s):
    values = {"n_phase": 64, "echo_train_length": 8, "echo_spacing_s": 0.01, "order": order}
    assert build("tse_3d", values, load_scanner("osii-one")).report["EffectiveEchoTime"] == pytest.approx(te_s)


def test_tse_gradient_moment_between_refocusing_pulses_is_the_same(read_back):
    """k between the 180s must return to the same point (CPMG), whatever line is measured."""
    built = build("tse_3d", {"n_phase": 12, "n_slab": 4, "n_read": 16, "echo_train_length": 4}, load_scanner("osii-one"))
    seq = read_back(built)
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


def test_tse_is_cpmg_and_turns_with_the_averages(read_back):
    built = build(
        "tse_3d",
        {"n_phase": 4, "n_slab": 1, "echo_train_length": 4, "averages": 2, "dummy_shots": 0, "reference_shots": 0},
        load_scanner("osii-one"),
    )
    seq = read_back(built)
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
def test_gre_every_line_once_at_its_place_and_time(scanner, n, elliptical, kspace_of):
    fov = (0.2, 0.16, 0.12)
    values = {
        **dict(zip(("fov_read_m", "fov_phase_m", "fov_slab_m"), fov, strict=True)),
        **dict(zip(("n_read", "n_phase", "n_slab"), n, strict=True)),
        "elliptical": elliptical,
        "averages": 2,
        "dummy_shots": 3,
    }
    scan = kspace_of("gre_3d", values, scanner)
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


def test_gre_receiver_follows_the_spoiling_phase(read_back):
    seq = read_back(build("gre_3d", {"n_phase": 10, "n_slab": 9, "dummy_shots": 2}, load_scanner("osii-one")))
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
def test_spin_echo_slices_lines_and_times(scanner, slices, n, kspace_of):
    values = {
        "n_read": n[0],
        "n_phase": n[1],
        "slices": slices,
        "averages": 2,
        "fov_read_m": 0.2,
        "fov_phase_m": 0.15,
        "te_s": 0.03,
    }
    scan = kspace_of("spin_echo_2d", values, scanner)
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


def test_spin_echo_excites_each_slice_at_its_place_with_its_phase(read_back):
    values = {"slices": 3, "thickness_m": 0.006, "gap_m": 0.004, "n_phase": 2, "dummy_shots": 0}
    seq = read_back(build("spin_echo_2d", values, load_scanner("osii-one")))
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


def test_localizer_takes_less_than_20_s_and_reaches_the_centre_first(kspace_of):
    scan = kspace_of("localizer", {}, "osii-one")
    scan.check_grid((0.24, 0.24, 0.24), (64, 64, 10))
    assert scan.built.report["TotalDuration"] < 20
    assert scan.built.report["EffectiveEchoTime"] == pytest.approx(0.010)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_frequency_echo_is_at_the_centre_sample_without_gradient(scanner, read_back):
    built = build("frequency", {}, load_scanner(scanner))
    seq = read_back(built)
    (gx, gy, gz), *_ = seq.waveforms_and_times()
    _, _, excited, refocused, t = seq.calculate_kspace()
    t = t.reshape(2, -1)
    np.testing.assert_allclose(t[:, 512] - excited, built.report["EffectiveEchoTime"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.array(refocused) - excited, built.report["EffectiveEchoTime"] / 2, rtol=0, atol=1e-9)
    for window in t:
        for times, values in (gx, gy, gz):
            assert np.abs(np.interp(window, times, values)).max() == 0


@pytest.mark.parametrize("scanner", SCANNERS)
def test_fid_starts_after_the_dead_time(scanner, read_back):
    hardware = load_scanner(scanner)
    seq = read_back(build("fid", {}, hardware))
    _, _, excited, _, t = seq.calculate_kspace()
    first = t.reshape(2, -1)[:, 0]
    assert (first - excited - 50e-6 >= hardware.rf.dead_time_s).all()


def test_noise_is_marked_and_has_no_pulse(read_back):
    seq = read_back(build("noise", {"windows": 3, "n_samples": 128}, load_scanner("osii-one")))
    labels = seq.evaluate_labels(evolution="adc")
    assert labels["NOISE"].tolist() == [1, 1, 1]
    assert labels["REP"].tolist() == [0, 1, 2]
    assert not seq.rf_library.data


@pytest.mark.parametrize("scanner", SCANNERS)
def test_noise_is_heard_after_a_spoiler_that_leaves_nothing_of_a_signal_before(scanner, read_back):
    hardware = load_scanner(scanner)
    seq = read_back(build("noise", {"windows": 2, "n_samples": 128}, hardware))
    kspace_per_m, _, _, _, sample_s = seq.calculate_kspace()
    cycles = np.abs(kspace_per_m) * hardware.magnet.bore_m
    assert (cycles > 200).all(), cycles.min()  # over the bore, along each axis
    for times, values in seq.waveforms_and_times()[0][:3]:
        assert np.abs(np.interp(sample_s, times, values)).max() == 0
    silent = read_back(build("noise", {"windows": 2, "n_samples": 128, "spoiler_s": 0.0}, hardware))
    assert not silent.grad_library.data
