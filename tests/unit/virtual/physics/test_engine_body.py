# SPDX-License-Identifier: MIT
"""Spins that move with the patient, wander, are heard by several coils, and more pulses than the memory holds."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.domain.scenario import (
    CoilFaults,
    EddyTerm,
    GradientFaults,
    MagnetFaults,
    Motion,
    MotionStep,
    ReceiverFaults,
    Scenario,
)
from isocenter.virtual.physics import bloch
from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.engine_faults import EngineFaults, Surroundings, engine_faults
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.motion import LARGEST, MotionPlan, rotation
from isocenter.virtual.physics.spins import spin_set

from .lab import LARMOR_HZ, Table, code_of, fid_run, hz_per_m_of, make_scanner, reference, sampled, tick
from .test_against_integration import random_spins, random_table

HALF_PERCENT = 0.005
SHIFT = (0.004, -0.006, 0.01)
TURN = (0.05, 0.2, -0.1)


def curved_field(position_m):
    """Fields of a magnet and a coil that differ from place to place."""
    x, y, z = np.asarray(position_m, dtype=float).T
    return Surroundings(
        offset_hz=8e3 * (x * x - y * y) + 900 * z,
        b1_scale=1 - 2 * z * z,
        sensitivity=(1 - 3 * x * x) * np.exp(2j * y),
    )


def placed(spins, position_m):
    """The same spins lying still elsewhere in that field."""
    around = curved_field(position_m)
    return replace(
        spins,
        position_m=position_m.astype(np.float32),
        offset_hz=(spins.offset_hz + around.offset_hz).astype(np.float32),
        b1_scale=(spins.b1_scale * around.b1_scale).astype(np.float32),
        weight=(spins.weight * around.sensitivity).astype(np.complex64),
    )


def moved(position_m, position=PatientPosition.HFS):
    lps = lps_from_device(position)
    return (position_m.astype(float) @ lps.T @ rotation(TURN).T + SHIFT) @ lps


@pytest.mark.parametrize("position", [PatientPosition.HFS, PatientPosition.FFP])
def test_a_patient_who_moves_once_lies_elsewhere_in_the_same_fields(position):
    spins, scanner = random_spins(np.random.default_rng(0), 40), make_scanner()
    tracks, windows, end = random_table(np.random.default_rng(1))
    plan = MotionPlan(Motion(steps=(MotionStep(start_s=100.0, shift_lps_m=SHIFT, turn_lps_rad=TURN),)), position)
    simulator = Simulator(spins, scanner, faults=EngineFaults(motion=plan, surroundings=curved_field))
    for start_s, place in ((99.9, spins.position_m), (100.0, moved(spins.position_m, position))):
        still = Simulator(placed(spins, place), scanner)
        truth = still.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
        simulator.reset()
        got = simulator.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ, start_s=start_s)
        scale = np.abs(spins.weight).sum()
        assert max(np.abs(a - b).max() for a, b in zip(got, truth, strict=True)) < 2e-4 * scale


def test_magnetisation_is_carried_along_by_a_move_between_excitation_and_echo():
    """Excited and encoded at one place, read at another: the phase of both places is in the signal."""
    spins, scanner = spin_set(np.random.default_rng(2).uniform(-0.05, 0.05, (30, 3)), t1_s=1.0, t2_s=0.3), make_scanner()
    plan = MotionPlan(Motion(steps=(MotionStep(start_s=0.06, shift_lps_m=SHIFT, turn_lps_rad=TURN),)))
    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    table.grad(0, 2e-3, 4e-3, 4e3)
    table.grad(2, 104e-3, 105e-3, -6e3)
    window = [sampled(106e-3, 1e-5, 40)]
    faults = EngineFaults(motion=plan)
    got = Simulator(spins, scanner, faults=faults).play(table.tracks(), window, end_tick=tick(0.11), lo_hz=LARMOR_HZ)[0]
    before, after = spins.position_m.astype(float), moved(spins.position_m)

    def place(time_s):
        return np.where(time_s[:, None, None] < 0.06, before, after)

    truth = reference(spins, scanner, table.tracks(), window, LARMOR_HZ, raster_s=0.5e-3, place=place)[0]
    assert np.abs(got - truth).max() < 0.01 * len(spins)
    still = Simulator(spins, scanner).play(table.tracks(), window, end_tick=tick(0.11), lo_hz=LARMOR_HZ)[0]
    assert np.abs(still - truth).max() > 0.1 * len(spins)


def test_breathing_and_restlessness_are_functions_of_time_and_seed():
    breathing = MotionPlan(Motion(breathing_lps_m=(0.0, -0.01, 0.0), breathing_period_s=4.0))
    assert breathing.pose(0.0).shift_m == pytest.approx([0, 0, 0])
    assert np.abs(breathing.pose(6.0).shift_m).max() == pytest.approx(0.01)
    assert np.abs(breathing.pose(0.5).shift_m).max() == pytest.approx(0.01 * np.sin(np.pi / 8) ** 4)
    assert not breathing.is_still
    assert MotionPlan(Motion(restless_hz=1.0)).is_still
    motion = Motion(restless_hz=2.0, restless_m=0.003)
    plan, again, other = (MotionPlan(motion, seed=seed) for seed in (5, 5, 6))
    times = np.arange(0, 400, 0.05)
    shifts = np.array([plan.pose(t).shift_m for t in times])
    backwards = np.array([again.pose(t).shift_m for t in times[::-1]])[::-1]
    assert np.array_equal(shifts, backwards)
    assert not np.array_equal(shifts, np.array([other.pose(t).shift_m for t in times]))
    moves = np.count_nonzero(np.any(np.diff(shifts, axis=0), axis=1))
    assert moves == pytest.approx(800, rel=0.15)
    assert np.sqrt((shifts**2).sum(axis=1).mean()) == pytest.approx(0.003, rel=0.1)
    size = np.linalg.norm([0.1, 0.05, 0.0])
    furthest = max(np.linalg.norm(plan.pose(t).apply(np.array([[0.1, 0.05, 0.0]])) - [0.1, 0.05, 0.0]) for t in times)
    assert furthest <= plan.reach_m(size)
    assert np.abs(shifts).max() <= LARGEST * 0.003


def wandering(n, diffusion, seed=0, **values):
    rng = np.random.default_rng(3)
    spins = spin_set(rng.uniform(-0.05, 0.05, (n, 3)), weight=1 / n, **values)
    spins = replace(spins, diffusion_m2_per_s=np.array([diffusion]))
    return Simulator(spins, make_scanner(), faults=EngineFaults(has_diffusion=True, seed=seed))


def pulsed_gradients(n_echo=1, flips=(np.pi / 2, np.pi), lobe_s=8e-3, hz_per_m=1.6e6):
    """Spin echo with a lobe on either side of the refocusing pulse."""
    table = Table()
    table.hard(1e-3, flips[0], 0.0, 25e-6)
    table.hard(21e-3, flips[1], np.pi / 2, 50e-6)
    for start in (2e-3, 22e-3):
        table.grad(1, start, start + lobe_s, hz_per_m)
    return table, [sampled(41e-3, 1e-5, n_echo)]


@pytest.mark.parametrize("diffusion", [3e-9, 15e-9])
def test_diffusion_attenuates_a_spin_echo_as_stejskal_and_tanner_say(diffusion):
    table, window = pulsed_gradients()
    spins = wandering(100_000, diffusion, t2_s=1e3)
    signal = spins.play(table.tracks(), window, end_tick=tick(0.05), lo_hz=LARMOR_HZ)[0][0]
    q = 2 * np.pi * hz_per_m_of(code_of(1.6e6)) * 8e-3
    expected = np.exp(-(q**2) * diffusion * (20e-3 - 8e-3 / 3))
    assert 0.1 < expected < 0.8
    assert np.abs(signal) == pytest.approx(expected, abs=HALF_PERCENT)


def test_diffusion_attenuates_a_stimulated_echo_over_its_storage():
    """Three 90 degree pulses: almost all of the diffusion time lies along z."""
    diffusion, lobe_s, g = 2e-9, 4e-3, 1.6e6
    table = Table()
    for at in (1e-3, 9e-3, 209e-3):
        table.hard(at, np.pi / 2, 0.0, 25e-6)
    for start in (3e-3, 211e-3):
        table.grad(0, start, start + lobe_s, g)
    table.grad(2, 20e-3, 60e-3, 5e4)  # spoils what is transverse meanwhile
    window = [sampled(217e-3, 1e-5, 1)]
    signals = [
        wandering(100_000, d, t1_s=1e3, t2_s=1e3).play(table.tracks(), window, end_tick=tick(0.22), lo_hz=LARMOR_HZ)[0][0]
        for d in (0.0, diffusion)
    ]
    q = 2 * np.pi * hz_per_m_of(code_of(g)) * lobe_s
    expected = np.exp(-(q**2) * diffusion * (208e-3 - lobe_s / 3))
    assert 0.2 < expected < 0.9
    assert abs(signals[0]) == pytest.approx(0.5, abs=0.01)
    assert abs(signals[1]) / abs(signals[0]) == pytest.approx(expected, abs=0.01)


def test_diffusion_in_a_constant_gradient_decays_with_the_cube_of_the_echo_spacing():
    diffusion, g, spacing_s = 3e-8, 1.6e6, 8e-3
    table, windows = Table(), []
    table.set_grad(0, 0.2e-3, g)
    table.hard(1e-3, np.pi / 2, 0.0, 2e-5)
    for echo in range(6):
        centre = 1e-3 + spacing_s * (echo + 0.5)
        table.hard(centre, np.pi, np.pi / 2, 50e-6)
        windows.append(sampled(centre + spacing_s / 2 - 40e-6, 5e-6, 17))
    spins = replace(
        spin_set(np.random.default_rng(0).uniform(-5e-4, 5e-4, (60_000, 3)), t2_s=1e3, weight=1 / 60_000),
        diffusion_m2_per_s=np.array([diffusion]),
    )
    echoes = []
    for is_on in (False, True):
        simulator = Simulator(spins, make_scanner(), faults=EngineFaults(has_diffusion=is_on))
        signal = simulator.play(table.tracks(), windows, end_tick=tick(0.06), lo_hz=LARMOR_HZ)
        echoes.append(np.array([np.abs(part).max() for part in signal]))
    g_rad = 2 * np.pi * hz_per_m_of(code_of(g))
    expected = np.exp(-diffusion * g_rad**2 * spacing_s**3 / 12 * np.arange(1, 7))
    assert expected[-1] < 0.5
    assert echoes[1] / echoes[0] == pytest.approx(expected, abs=0.015)


def test_diffusion_is_seeded_and_off_by_default():
    table, window = pulsed_gradients(20)

    def play(**values):
        return wandering(3000, 2e-9, **values).play(table.tracks(), window, end_tick=tick(0.05), lo_hz=LARMOR_HZ)[0]

    assert np.array_equal(play(), play())
    assert not np.array_equal(play(), play(seed=1))
    simulator = wandering(3000, 2e-9)
    first = simulator.play(table.tracks(), window, end_tick=tick(0.05), lo_hz=LARMOR_HZ)[0]
    simulator.reset()
    assert np.array_equal(first, simulator.play(table.tracks(), window, end_tick=tick(0.05), lo_hz=LARMOR_HZ)[0])
    assert not engine_faults(Scenario(), make_scanner()).has_diffusion


def test_each_coil_hears_what_it_would_hear_alone():
    rng = np.random.default_rng(4)
    spins = random_spins(rng, 600)
    weights = (rng.normal(size=(3, 600)) + 1j * rng.normal(size=(3, 600))).astype(np.complex64) / 600
    tracks, windows, end = random_table(rng)
    together = Simulator(replace(spins, weight=weights), make_scanner())
    got = together.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
    assert [part.shape for part in got] == [(3, len(window)) for window in windows]
    for channel in range(3):
        alone = Simulator(replace(spins, weight=weights[channel]), make_scanner())
        for part, truth in zip(got, alone.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ), strict=True):
            assert np.abs(part[channel] - truth).max() < 1e-6
    with pytest.raises(ValueError, match=r"weight has shape \(3, 599\)"):
        replace(spins, weight=weights[:, :599])


@pytest.mark.parametrize("n_held", [1, 3])
def test_more_pulses_than_the_memory_holds_give_the_same_signal(monkeypatch, n_held):
    rng = np.random.default_rng(6)
    spins, scanner = random_spins(rng, 500), make_scanner()
    tracks, windows, end = random_table(rng)
    truth = Simulator(spins, scanner).play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
    monkeypatch.setattr(bloch, "MOST_PULSES", n_held)
    simulator = Simulator(spins, scanner)
    for _ in range(2):
        got = simulator.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
        assert all(np.array_equal(a, b) for a, b in zip(got, truth, strict=True))
        assert len(simulator._rotations) == n_held
        simulator.reset()


EVERYTHING = Scenario(
    phantom="vials",
    n_spins=3000,
    has_diffusion=True,
    magnet=MagnetFaults(spread_hz=500.0, drift_c_per_s=0.01, has_concomitant=True),
    gradients=GradientFaults(
        delay_s=(3e-6, 0.0, -2e-6),
        scale=(1.01, 1.0, 0.99),
        nonlinearity=(0.05, 0.02, 0.0),
        eddy=(EddyTerm(channel="x", share=-0.02, time_constant_s=5e-3),),
        ripple_t_per_m=(1e-5, 0.0, 0.0),
    ),
    coil=CoilFaults(b1_fall_db=1.0, transmit_scale=0.95, compression=0.1),
    receiver=ReceiverFaults(noise=1.0),
    motion=Motion(breathing_lps_m=(0.0, 0.005, 0.0), restless_hz=20.0, restless_m=0.002),
)


def test_with_everything_wrong_the_same_seed_gives_the_same_signal_on_any_number_of_threads():
    def play(scenario, n_threads=1):
        model = BlochSignalModel(make_scanner(), scenario, n_threads=n_threads)
        runs = [model.play(replace(fid_run(n=100), start_s=0.3 * i, idle_s=0.29)) for i in range(3)]
        model.reset()
        again = [model.play(replace(fid_run(n=100), start_s=0.3 * i, idle_s=0.29)) for i in range(3)]
        assert np.array_equal(runs, again)
        return np.array(runs)

    first = play(EVERYTHING)
    assert np.isfinite(first).all()
    assert np.array_equal(first, play(EVERYTHING, n_threads=3))
    assert not np.array_equal(first, play(replace(EVERYTHING, seed=2)))
