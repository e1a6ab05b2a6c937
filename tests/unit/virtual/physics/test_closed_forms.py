# SPDX-License-Identifier: MIT
"""The engine against what textbooks say, within half a percent."""

import numpy as np
import pytest

from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.spins import spin_set

from .lab import LARMOR_HZ, Table, code_of, hz_per_m_of, make_scanner, sampled, seconds, tick

HALF_PERCENT = 0.005
SHORT_S = 50e-6  # a 180 degree pulse of this length needs the lab's full 10 kHz


def line_of_spins(n=400, length_m=0.1, **values):
    """Spins along x at even, jittered places: enough to be spoiled."""
    rng = np.random.default_rng(5)
    x = (np.arange(n) + rng.random(n)) / n * length_m - length_m / 2
    return spin_set(np.stack([x, 0 * x, 0 * x], 1), weight=1 / n, **values)


def one_spin(x_m=0.0, **values):
    return spin_set(np.array([[x_m, 0.0, 0.0]]), **values)


def run(spins, table, windows, end_s, **values):
    simulator = Simulator(spins, make_scanner(), larmor_hz=LARMOR_HZ + values.pop("offset_hz", 0.0))
    return simulator.play(table.tracks(), windows, end_tick=tick(end_s), lo_hz=LARMOR_HZ, **values)


def test_fid_has_the_right_amplitude_decay_frequency_and_phase():
    table, times = Table(), sampled(2e-3, 20e-6, 3000)
    table.hard(1e-3, np.pi / 2, duration_s=25e-6)
    signal = run(one_spin(t1_s=0.3, t2_s=0.05, weight=0.4), table, [times], 0.07, offset_hz=120.0)[0]
    t = seconds(times) - 1e-3
    # Omega along +x turns +z to -y; off resonance the middle of a 90 degree pulse lies at 2/pi of its length from the end.
    effective = t - 12.5e-6 + 25e-6 * 2 / np.pi
    expected = -0.4j * np.exp(-t / 0.05 + 2j * np.pi * 120 * effective)
    assert np.abs(signal - expected).max() < HALF_PERCENT * 0.4


def test_t2_prime_spread_decays_as_its_distribution_says():
    quantile = (np.arange(20000) + 0.5) / 20000
    offset = np.tan(np.pi * (quantile - 0.5)) / (2 * np.pi * 0.02)
    spins = spin_set(np.zeros((20000, 3)), t2_s=0.1, weight=1 / 20000, offset_hz=np.clip(offset, -4000, 4000))
    table, times = Table(), sampled(2e-3, 1e-4, 300)
    table.hard(1e-3, np.pi / 2, duration_s=25e-6)
    signal = run(spins, table, [times], 0.04)[0]
    t = seconds(times) - 1e-3
    assert np.abs(np.abs(signal) - np.exp(-t / 0.1 - t / 0.02)).max() < HALF_PERCENT


def test_spin_echo_refocuses_offsets_at_te():
    spins = line_of_spins(t1_s=0.5, t2_s=0.08, offset_hz=np.random.default_rng(0).normal(size=400) * 60)
    table, times = Table(), sampled(11e-3, 10e-6, 2000)
    table.hard(1e-3, np.pi / 2, duration_s=25e-6)
    table.hard(11e-3 - SHORT_S, np.pi, np.pi / 2, SHORT_S)  # middle of the 90 to middle of the 180: 9.975 ms
    signal = run(spins, table, [times], 0.04)[0]
    peak = int(np.argmax(np.abs(signal) * np.exp(seconds(times) / 0.08)))  # T2 alone would pull the maximum forward
    te = 2 * (10e-3 - SHORT_S / 2 - SHORT_S / 2)
    assert seconds(times[peak]) == pytest.approx(1e-3 + te, abs=3e-5)
    assert np.abs(signal[peak]) == pytest.approx(np.exp(-te / 0.08), rel=HALF_PERCENT)
    assert np.angle(signal[peak]) == pytest.approx(-np.pi / 2, abs=0.02)  # the 180 about y leaves -y where it is


def test_cpmg_decays_with_t2_even_where_pulses_are_wrong():
    offset = np.random.default_rng(0).normal(size=400) * 100
    table, windows = Table(), []
    table.hard(1e-3, np.pi / 2, duration_s=25e-6)
    for echo in range(16):
        centre = 1e-3 + 10e-3 * (echo + 0.5)
        table.hard(centre, np.pi, np.pi / 2, SHORT_S)
        windows.append(sampled(centre + 5e-3, 10e-6, 1))
    signal = np.concatenate(run(line_of_spins(t1_s=1.0, t2_s=0.1, offset_hz=offset), table, windows, 0.2))
    expected = np.exp(-10e-3 * np.arange(1, 17) / 0.1)
    assert np.abs(np.abs(signal) - expected).max() < HALF_PERCENT


@pytest.mark.parametrize("ti", [0.02, 0.1, 0.35])
def test_inversion_recovery(ti):
    table, times = Table(), sampled(1e-3 + ti + 1e-3, 1e-5, 1)
    table.hard(1e-3, np.pi, 0.0, SHORT_S)
    table.hard(1e-3 + ti, np.pi / 2, 0.0, 25e-6)
    signal = run(one_spin(t1_s=0.3, t2_s=0.2), table, [times], 1.0)[0]
    expected = -1j * (1 - 2 * np.exp(-ti / 0.3)) * np.exp(-1e-3 / 0.2)
    assert abs(signal[0] - expected) < HALF_PERCENT


def test_spoiled_gradient_echo_reaches_the_ernst_steady_state():
    tr, flip, t1 = 0.02, np.deg2rad(20), 0.3
    table, windows = Table(), []
    for shot in range(150):
        at = 1e-3 + shot * tr
        phase = np.deg2rad(117.0) * shot * (shot + 1) / 2
        table.hard(at, flip, phase, 20e-6)
        table.grad(0, at + 4e-3, at + 14e-3, 4e4)
        windows.append(sampled(at + 2e-3, 1e-5, 1))
    # T2 well below TR, where the formula holds exactly and leftover coherences do not matter.
    signal = np.abs(np.concatenate(run(line_of_spins(t1_s=t1, t2_s=0.004), table, windows, 3.1)))[-20:].mean()
    e1 = np.exp(-tr / t1)
    expected = np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-2e-3 / 0.004)
    assert signal == pytest.approx(expected, rel=HALF_PERCENT)


@pytest.mark.parametrize("offset_per_tr", [0.0, 0.25, 0.5])
def test_balanced_steady_state_on_and_off_resonance(offset_per_tr):
    tr, flip, t1, t2 = 0.01, np.deg2rad(50), 0.3, 0.1
    table, windows = Table(), []
    for shot in range(300):
        table.hard(1e-3 + shot * tr, flip, np.pi * shot, 4e-6 * 10)
        windows.append(sampled(1e-3 + shot * tr + tr / 2, 1e-5, 1))
    spins = one_spin(t1_s=t1, t2_s=t2, offset_hz=offset_per_tr / tr)
    signal = np.abs(np.concatenate(run(spins, table, windows, 3.1)))[-1]
    # Steady state of M -> R_x(flip) E(TR) M with alternating phase: the offset turns by 2 pi offset + pi each TR.
    e1, e2 = np.exp(-tr / t1), np.exp(-tr / t2)
    turn = 2 * np.pi * offset_per_tr + np.pi
    c, s = np.cos(turn), np.sin(turn)
    precess = np.array([[e2 * c, -e2 * s, 0], [e2 * s, e2 * c, 0], [0, 0, e1]])
    rotate = np.array([[1, 0, 0], [0, np.cos(flip), -np.sin(flip)], [0, np.sin(flip), np.cos(flip)]])
    after = np.linalg.solve(np.eye(3) - rotate @ precess, rotate @ [0, 0, 1 - e1])
    expected = np.hypot(after[0], after[1]) * np.exp(-tr / 2 / t2)
    assert signal == pytest.approx(expected, rel=HALF_PERCENT)
    if offset_per_tr == 0.0:
        half = (1 - e1) * np.sin(flip) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2) * np.exp(-tr / 2 / t2)
        assert signal == pytest.approx(half, rel=HALF_PERCENT)


@pytest.mark.parametrize("degrees", [90, 60, 35])
def test_stimulated_echo(degrees):
    flip, tau, mixing = np.deg2rad(degrees), 10e-3, 40e-3
    t1, t2 = 0.4, 0.08
    table = Table()
    for at in (1e-3, 1e-3 + tau, 1e-3 + tau + mixing):
        table.hard(at, flip, 0.0, 20e-6)
    for start in (2e-3, 1e-3 + tau + mixing + 1e-3):
        table.grad(0, start, start + 4e-3, 6e4)  # the same moment before and after storage selects the stimulated echo
    table.grad(1, 1e-3 + tau + 2e-3, 1e-3 + tau + 9e-3, 1e5)
    # 24 and 70 turns over 50 and 101 spins: no unwanted path adds up on this grid.
    x, y = np.meshgrid((np.arange(50) + 0.5) / 500 - 0.05, (np.arange(101) + 0.5) / 1010 - 0.05, indexing="ij")
    spins = spin_set(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1), t1_s=t1, t2_s=t2, weight=1 / x.size)
    signal = run(spins, table, [sampled(1e-3 + 2 * tau + mixing, 1e-5, 1)], 0.1)[0]
    expected = 0.5 * np.sin(flip) ** 3 * np.exp(-mixing / t1 - 2 * tau / t2)
    # Longitudinal regrowth gives nothing here: it is dephased by the last gradient.
    assert np.abs(signal[0]) == pytest.approx(expected, rel=HALF_PERCENT, abs=1e-4)


def test_a_positive_gradient_and_coordinate_give_a_positive_frequency():
    table, times = Table(), sampled(3e-3, 10e-6, 200)
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    table.grad(0, 2e-3, 6e-3, 1e5)
    signal = run(one_spin(x_m=0.03), table, [times], 7e-3)[0]
    measured = np.angle(signal[1:] * signal[:-1].conj()).mean() / (2 * np.pi * (seconds(times[1]) - seconds(times[0])))
    assert measured == pytest.approx(hz_per_m_of(code_of(1e5)) * 0.03, rel=1e-4)


def test_a_magnet_above_the_oscillator_gives_a_positive_frequency():
    table, times = Table(), sampled(3e-3, 10e-6, 200)
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    signal = run(one_spin(), table, [times], 7e-3, offset_hz=1700.0)[0]
    measured = np.angle(signal[1:] * signal[:-1].conj()).mean() / (2 * np.pi * (seconds(times[1]) - seconds(times[0])))
    assert measured == pytest.approx(1700.0, rel=1e-3)


def test_a_pulse_offset_by_plus_f_excites_where_the_gradient_gives_plus_f():
    table, step, n = Table(), 10e-6, 400
    t = (np.arange(n) + 0.5) * step
    envelope = np.sinc(2000.0 * (t - t.mean())) * np.hamming(n)
    envelope = envelope * 0.25 / (envelope.sum() * step) * np.exp(2j * np.pi * 6000.0 * (t - t.mean()))
    table.set_grad(0, 0.5e-3, 2e5)
    end = table.pulse(1e-3, step, envelope)
    table.set_grad(0, end, 0.0)
    window = [sampled(end + 1e-4, 1e-5, 1)]
    excited = [np.abs(run(one_spin(x_m=place), table, window, 0.01)[0][0]) for place in (0.03, -0.03, 0.0)]
    assert excited[0] > 0.95
    assert max(excited[1:]) < 0.01


def test_refocusing_turns_k_around():
    table, times = Table(), sampled(8e-3, 5e-6, 800)
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    table.grad(0, 2e-3, 4e-3, 1e5)
    table.hard(6e-3, np.pi, np.pi / 2, SHORT_S)
    table.grad(0, 7e-3, 12e-3, 1e5)
    signal = np.abs(run(line_of_spins(), table, [times], 0.013)[0])
    assert seconds(times[np.argmax(signal)]) == pytest.approx(9e-3, abs=1e-5)
    assert signal.max() == pytest.approx(1.0, rel=HALF_PERCENT)


def test_state_persists_between_runs_and_relaxes_in_the_pause():
    spins = one_spin(t1_s=0.25, t2_s=0.03)
    simulator = Simulator(spins, make_scanner())
    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    simulator.play(table.tracks(), [], end_tick=tick(2e-3), lo_hz=LARMOR_HZ)
    second = simulator.play(table.tracks(), [sampled(2e-3, 1e-5, 1)], end_tick=tick(3e-3), lo_hz=LARMOR_HZ, idle_s=0.2)[0]
    waited = 0.2 + 2e-3
    assert np.abs(second[0]) == pytest.approx((1 - np.exp(-waited / 0.25)) * np.exp(-1e-3 / 0.03), rel=HALF_PERCENT)
    simulator.reset()
    fresh = simulator.play(table.tracks(), [sampled(2e-3, 1e-5, 1)], end_tick=tick(3e-3), lo_hz=LARMOR_HZ)[0]
    assert np.abs(fresh[0]) == pytest.approx(np.exp(-1e-3 / 0.03), rel=HALF_PERCENT)


def test_two_runs_give_what_one_does():
    spins = line_of_spins(n=50, t1_s=0.2, t2_s=0.1, offset_hz=20.0)
    one, first, second = Table(), Table(), Table()
    for table, shift in ((one, 0.0), (first, 0.0)):
        table.hard(1e-3 + shift, 1.0, 0.3, 25e-6)
        table.grad(0, 2e-3, 3e-3, 2e3)
    one.hard(21e-3, 1.3, 1.0, 25e-6)
    second.hard(1e-3, 1.3, 1.0, 25e-6)
    whole = run(spins, one, [sampled(22e-3, 1e-5, 50)], 0.03)[0]
    simulator = Simulator(spins, make_scanner())
    simulator.play(first.tracks(), [], end_tick=tick(5e-3), lo_hz=LARMOR_HZ)
    parts = simulator.play(second.tracks(), [sampled(2e-3, 1e-5, 50)], end_tick=tick(10e-3), lo_hz=LARMOR_HZ, idle_s=15e-3)[
        0
    ]
    assert np.abs(whole - parts).max() < 1e-4
