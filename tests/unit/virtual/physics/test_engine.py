# SPDX-License-Identifier: MIT
"""How the engine goes about it: slice profiles, equal pulses, threads, samples in odd places."""

import numpy as np
import pytest

from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.physics import sampling
from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.pulses import find_pulses
from isocenter.virtual.physics.sampling import TOLERANCE, Shapes
from isocenter.virtual.physics.spins import BLOCK, block_layout, spin_set
from isocenter.virtual.physics.waveforms import waveforms

from .lab import CLOCK_HZ, LARMOR_HZ, Table, make_scanner, reference, sampled, tick


def sinc_pulse(table, at, flip=np.pi / 2, phase=0.0, n=200, step=10e-6):
    t = (np.arange(n) - (n - 1) / 2) * step
    envelope = np.sinc(2500.0 * t) * np.hamming(n)
    return table.pulse(at, step, envelope / (envelope.sum() * step) * flip / (2 * np.pi), phase)


def test_slice_profile_of_a_shaped_pulse():
    table = Table()
    table.set_grad(2, 0.5e-3, 3e5)
    end = sinc_pulse(table, 1e-3)
    table.set_grad(2, end, -3e5)
    table.set_grad(2, end + 1e-3, 0.0)
    z = np.linspace(-0.01, 0.01, 41)
    places = np.stack([0 * z, 0 * z, z], 1)
    scanner, window = make_scanner(), [sampled(end + 1.2e-3, 1e-5, 1)]
    for place in places[::5]:
        spins = spin_set(place[None], t1_s=0.3, t2_s=0.1)
        got = Simulator(spins, scanner).play(table.tracks(), window, end_tick=tick(end + 2e-3), lo_hz=LARMOR_HZ)[0]
        truth = reference(spins, scanner, table.tracks(), window, LARMOR_HZ)[0]
        assert abs(got[0] - truth[0]) < 0.01


def test_rf_spoiled_pulses_count_as_one():
    table = Table()
    for shot in range(40):
        sinc_pulse(table, 1e-3 + 5e-3 * shot, 0.3, np.deg2rad(117) * shot * (shot + 1) / 2)
    found = find_pulses(waveforms(table.tracks(), make_scanner(), tick(1.0)))
    assert len(found.pulses) == 1
    assert len(found.index) == 40
    steps = np.diff(found.phase_turns)[:3]
    assert np.angle(np.exp(2j * np.pi * (steps - np.deg2rad(117) * np.arange(1, 4) / (2 * np.pi)))) == pytest.approx(
        0, abs=1e-3
    )


def test_pulses_whose_gradient_differs_by_a_code_keep_their_moment():
    rng = np.random.default_rng(1)
    spins, scanner = spin_set(rng.uniform(-0.1, 0.1, (8, 3)), t2_s=0.1, weight=1 / 8), make_scanner()
    table = Table()
    table.set_grad(0, 0.5e-3, 1e5)
    for shot in range(12):
        end = sinc_pulse(table, 1e-3 + 4e-3 * shot, 0.5, 0.3 * shot, n=40, step=50e-6)
        at = tick(1e-3 + 4e-3 * shot + 1e-3)
        table.gradient[0][at] = table.gradient[0][tick(0.5e-3)] + int(rng.integers(-2, 3))
    table.set_grad(0, end, 0.0)
    windows, tracks = [sampled(end + 1e-4, 1e-5, 30)], table.tracks()
    assert len(find_pulses(waveforms(tracks, scanner, tick(1.0))).pulses) < 12
    got = Simulator(spins, scanner).play(tracks, windows, end_tick=tick(0.06), lo_hz=LARMOR_HZ)[0]
    truth = reference(spins, scanner, tracks, windows, LARMOR_HZ)[0]
    assert np.abs(got - truth).max() < 5e-3


def ramped_path(n=300):
    """A readout with its ramps: k along x, time, from the first sample."""
    gradient = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / 20, 0, 1) * 5e4
    time_s = np.arange(n) * 12e-6
    k = np.cumsum(gradient) * 12e-6
    return np.stack([k - k[0], 0 * k, 0 * k, time_s], 1)


@pytest.mark.parametrize("half_m", [0.003, 0.01, 0.03])
def test_a_few_samples_say_all_about_a_block(half_m, monkeypatch):
    monkeypatch.setattr(sampling, "FEWEST_BLOCKS", 1)
    path, half = ramped_path(), np.array([[half_m, half_m, half_m, 40.0]])
    shapes = Shapes()
    number = shapes.find(path, half)
    arrays = shapes.arrays(np.array([number]), half)
    n, node = int(arrays.n[0]), arrays.node
    assert n < 0.2 * len(path)
    rng = np.random.default_rng(0)
    spins = rng.uniform(-1, 1, (200, 4)) * half
    waves = np.exp(2j * np.pi * spins @ path.T)
    assert np.abs(waves[:, node] @ arrays.matrix.reshape(n, -1) - waves).max() < 2 * TOLERANCE


def test_skeletons_are_shared_by_like_readouts_and_fit_the_blocks_they_are_used_for(monkeypatch):
    monkeypatch.setattr(sampling, "FEWEST_BLOCKS", 1)
    path, half = ramped_path(), np.array([[0.01] * 3 + [40.0], [0.002] * 3 + [10.0], [0.03] * 3 + [40.0]])
    shapes = Shapes()
    first = shapes.find(path, half)
    assert shapes.find(path + 1e-4, half) == first
    bent = path.copy()
    bent[:, 0] += 0.5 * np.exp(-path[:, 3] / 2e-3)  # what an eddy current does
    assert shapes.find(bent, half) == first
    other = shapes.find(path * [2.0, 1, 1, 1], half)
    nothing = shapes.find(path[:8], half)
    assert (other, nothing) == (first + 1, -1)
    arrays = shapes.arrays(np.array([first]), half)
    assert len(set(arrays.of_block[0])) == 3
    assert arrays.n[arrays.of_block[0, 1]] < arrays.n[arrays.of_block[0, 0]] < arrays.n[arrays.of_block[0, 2]]
    grown = shapes.arrays(np.array([first]), half * 1.3)
    assert grown.of_block[0, 2] == -1  # the largest block fits no skeleton any more: all samples are computed
    assert grown.of_block[0, 1] >= 0


def test_a_readout_from_skeletons_is_that_of_all_samples(monkeypatch):
    rng = np.random.default_rng(8)
    n = 20_000
    spins = spin_set(
        rng.uniform(-0.1, 0.1, (n, 3)),
        t2_s=0.07,
        weight=np.exp(1j * rng.uniform(0, 1, n)) / n,
        offset_hz=rng.normal(size=n) * 50,
    )
    table, windows = Table(), []
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    for axis in range(3):
        for i in range(8):  # steps all over the readouts
            table.set_grad(axis, 1.2e-3 + 0.4e-3 * i + 0.1e-3 * axis, rng.uniform(-1e4, 1e4))
    windows = [sampled(1.1e-3, 6e-6, 700), sampled(5.5e-3, 20e-6, 100)]
    results = []
    for fewest in (1, 10**6):
        monkeypatch.setattr(sampling, "FEWEST_BLOCKS", fewest)
        simulator = Simulator(spins, make_scanner())
        results.append(simulator.play(table.tracks(), windows, end_tick=tick(8e-3), lo_hz=LARMOR_HZ))
    for got, truth in zip(*results, strict=True):
        assert np.abs(got - truth).max() < TOLERANCE
        assert np.linalg.norm(got - truth) < 2e-3 * np.linalg.norm(truth)


def test_blocks_hold_neighbours_of_one_tissue():
    rng = np.random.default_rng(0)
    spins = spin_set(rng.uniform(-0.1, 0.1, (40_000, 3)), t2_s=rng.choice([0.05, 0.1], 40_000), weight=1.0)
    layout = block_layout(np.vstack([spins.position_m.T, spins.offset_hz]), spins.tissue, len(spins.t1_s))
    block = layout.slot // BLOCK
    assert len(np.unique(layout.slot)) == 40_000
    assert all(len(set(spins.tissue[block == b])) == 1 for b in range(layout.n_blocks))
    width = [np.ptp(spins.position_m[block == b], axis=0) for b in range(layout.n_blocks)]
    assert np.median(np.max(width, axis=1)) < 0.06  # a cube of 256 of these has edges of 47 mm


def test_results_do_not_depend_on_threads_or_repetition():
    rng = np.random.default_rng(0)
    spins = spin_set(rng.uniform(-0.1, 0.1, (5000, 3)), t1_s=0.3, t2_s=rng.choice([0.05, 0.1], 5000), weight=1 / 5000)
    table = Table()
    table.hard(1e-3, 1.2, 0.0, 25e-6)
    table.grad(1, 2e-3, 6e-3, 5e4)
    windows = [sampled(2.5e-3, 5e-6, 300)]
    results = []
    for threads in (1, 2, 3):
        simulator = Simulator(spins, make_scanner(), n_threads=threads)
        results.append(simulator.play(table.tracks(), windows, end_tick=tick(7e-3), lo_hz=LARMOR_HZ)[0])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_samples_in_a_pulse_before_the_run_or_behind_it_are_silent():
    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 100e-6)
    ticks = np.array([-500, tick(1e-3), tick(1.2e-3), tick(9e-3)])
    spins = spin_set(np.zeros((1, 3)))
    signal = Simulator(spins, make_scanner()).play(table.tracks(), [ticks], end_tick=tick(5e-3), lo_hz=LARMOR_HZ)[0]
    assert np.array_equal(np.abs(signal) > 0.5, [False, False, True, False])


def test_a_run_without_anything_plays():
    simulator = Simulator(spin_set(np.zeros((1, 3)), t1_s=1.0), make_scanner())
    assert simulator.play({}, [], end_tick=1000, lo_hz=LARMOR_HZ) == []
    silent = simulator.play({}, [np.arange(40) * 100], end_tick=CLOCK_HZ // 1000, lo_hz=LARMOR_HZ)[0]
    assert np.array_equal(silent, np.zeros(40))
    assert len(simulator.play({}, [np.zeros(0, np.int64)], end_tick=1000, lo_hz=LARMOR_HZ)[0]) == 0


def test_gradient_delay_and_board_scale_are_the_scanners():
    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    table.grad(0, 2e-3, 3e-3, 2e4)
    window = [sampled(2.5e-3, 1e-5, 1)]
    spins = spin_set(np.array([[0.01, 0, 0]]))

    def turn(**values):
        simulator = Simulator(spins, make_scanner(**values))
        return np.angle(1j * simulator.play(table.tracks(), window, end_tick=tick(4e-3), lo_hz=LARMOR_HZ)[0][0])

    plain = turn()
    assert plain == pytest.approx(2 * np.pi * 2e4 * 0.01 * 0.5e-3, rel=1e-3)
    assert turn(delay_s=100e-6) == pytest.approx(plain * 0.8, rel=1e-3)
    assert turn(board=GradientBoard.GPA_FHDO) == pytest.approx(
        (plain * 131071 / 32767 + np.pi) % (2 * np.pi) - np.pi, abs=1e-3
    )


def test_spins_are_checked():
    with pytest.raises(ValueError, match="at least one spin"):
        spin_set(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="must be positive"):
        spin_set(np.zeros((2, 3)), t2_s=0.0)


def test_blocks_follow_the_readouts_and_a_reset_forgets_that():
    """Spins go into other blocks after a change of direction; neither that nor the way back changes the signal."""
    rng = np.random.default_rng(12)
    n = 6000
    spins = spin_set(rng.uniform(-0.1, 0.1, (n, 3)), t1_s=0.4, t2_s=0.2, weight=1 / n, offset_hz=rng.normal(size=n) * 20)

    def shot(axis):
        table = Table()
        table.hard(1e-3, 0.6, 0.3 * axis, 25e-6)
        table.grad(axis, 2e-3, 7e-3, 1.5e4)
        return table.tracks(), [sampled(2.2e-3, 20e-6, 200)]

    def scan(simulator):
        runs = [simulator.play(*shot(axis), end_tick=tick(10e-3), lo_hz=LARMOR_HZ)[0] for axis in (0, 0, 2, 2, 2, 2, 0)]
        return np.array(runs), simulator._body.weights

    simulator = Simulator(spins, make_scanner())
    first, weights = scan(simulator)
    assert weights[2] > 10 * weights[0]  # the last shot alone did not bring it back
    fixed = Simulator(spins, make_scanner())
    fixed._arrange = lambda weights: None
    assert np.abs(first - scan(fixed)[0]).max() < TOLERANCE
    simulator.reset()
    assert np.array_equal(scan(simulator)[0], first)
