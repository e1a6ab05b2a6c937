# SPDX-License-Identifier: MIT
"""The engine against an independent integration in double precision, on sequences that nobody designed."""

import numpy as np
import pytest

from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.spins import spin_set

from .lab import LARMOR_HZ, Table, make_scanner, reference, sampled, tick


def random_spins(rng, n):
    return spin_set(
        rng.uniform(-0.1, 0.1, (n, 3)),
        t1_s=rng.choice([0.09, 0.3, 1.5], n),
        t2_s=0.07,
        weight=(rng.uniform(0.2, 1, n) * np.exp(1j * rng.uniform(0, 1, n))) / n,
        offset_hz=rng.normal(size=n) * 150,
        b1_scale=rng.uniform(0.8, 1.2, n),
    )


def random_table(rng):
    """Pulses of random shape with gradients on, random steps on three channels, windows over anything."""
    table, windows, at = Table(), [], 1e-3
    for _ in range(4):
        n = int(rng.integers(1, 30))
        step = rng.choice([4e-6, 20e-6, 37e-6])
        envelope = rng.normal(size=n) + 1j * rng.normal(size=n)
        envelope *= rng.uniform(0.1, 0.6) / (n * step) / np.abs(envelope).mean()
        table.set_grad(int(rng.integers(3)), at - 1e-4, rng.uniform(-2e5, 2e5))
        table.set_grad(int(rng.integers(3)), at + n * step / 3, rng.uniform(-2e5, 2e5))
        at = table.pulse(at, step, envelope)
        for axis in range(3):
            for _ in range(5):
                table.set_grad(axis, at + rng.uniform(1e-5, 2e-3), rng.uniform(-1e5, 1e5))
        windows.append(sampled(at + rng.uniform(1e-5, 4e-4), rng.choice([5e-6, 13e-6]), int(rng.integers(20, 150))))
        at += 3e-3
    for axis in range(3):
        table.set_grad(axis, at, 0.0)
    return table.tracks(), windows, tick(at + 1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_random_sequence(seed):
    rng = np.random.default_rng(seed)
    permutation = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    spins, scanner = random_spins(rng, 12), make_scanner(channel_from_device=permutation)
    tracks, windows, end = random_table(rng)
    simulator = Simulator(spins, scanner, larmor_hz=LARMOR_HZ + 700.0)
    got = simulator.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
    expected = reference(spins, scanner, tracks, windows, LARMOR_HZ, LARMOR_HZ + 700.0)
    scale = np.abs(spins.weight).sum()
    for signal, truth in zip(got, expected, strict=True):
        assert np.abs(signal - truth).max() < 2e-3 * scale


def test_error_of_a_long_readout_is_below_a_ten_thousandth():
    rng = np.random.default_rng(3)
    spins, scanner = random_spins(rng, 16), make_scanner()
    table = Table()
    table.pulse(1e-3, 10e-6, [5e3] * 5)
    for i in range(20):
        table.set_grad(0, 1.5e-3 + i * 10e-6, 9e4 * (i + 0.5) / 20)
    table.set_grad(0, 1.7e-3, 9e4)
    for i in range(20):
        table.set_grad(0, 5e-3 + i * 10e-6, 9e4 * (19.5 - i) / 20)
    table.set_grad(0, 5.2e-3, 0.0)
    windows = [sampled(1.55e-3, 6.25e-6, 580)]
    tracks = table.tracks()
    got = Simulator(spins, scanner).play(tracks, windows, end_tick=tick(6e-3), lo_hz=LARMOR_HZ)[0]
    truth = reference(spins, scanner, tracks, windows, LARMOR_HZ)[0]
    assert np.abs(got - truth).max() < 1e-4 * np.abs(spins.weight).sum()
