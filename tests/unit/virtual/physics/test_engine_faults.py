# SPDX-License-Identifier: MIT
"""Each fault of gradients, magnet and transmitter alone, against an independent integration on a fine raster."""

import numpy as np
import pytest

from isocenter.domain.events import TX_FULL_SCALE, Track
from isocenter.domain.scenario import EddyTerm, GradientFaults, MagnetFaults, Scenario
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.drift import Drift, magnet_drift, temperature_c
from isocenter.virtual.physics.engine_faults import EngineFaults, engine_faults
from isocenter.virtual.physics.engine_fields import Concomitant, along_device, axis_along, effective_position_m
from isocenter.virtual.physics.spins import spin_set
from isocenter.virtual.physics.waveforms import Transmitter

from .lab import CLOCK_HZ, LARMOR_HZ, RF_FULL_HZ, Table, hz_per_m_of, make_scanner, reference, sampled, tick
from .test_against_integration import random_spins, random_table

TURNED = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
ONE_PERCENT = 0.01


def both(faults, rng, *, spins=None, scanner=None, larmor_hz=LARMOR_HZ + 300.0, **how):
    """Engine and integration on a random sequence; signals of all windows over the sum of the spins."""
    spins = spins or random_spins(rng, 10)
    scanner = scanner or make_scanner(channel_from_device=TURNED)
    tracks, windows, end = random_table(rng)
    simulator = Simulator(spins, scanner, larmor_hz=larmor_hz, faults=faults)
    got = simulator.play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ, start_s=how.pop("start_s", 0.0))
    perfect = Simulator(spins, scanner, larmor_hz=larmor_hz).play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
    truth = reference(spins, scanner, tracks, windows, LARMOR_HZ, larmor_hz, **how)
    scale = np.abs(spins.weight).sum()
    return (np.concatenate(part) / scale for part in (got, truth, perfect))


def steps_of(track):
    codes = track.values.astype(float)
    return track.ticks / CLOCK_HZ, np.diff(np.concatenate([[0.0], codes])) * hz_per_m_of(1)


@pytest.mark.parametrize("seed", range(2))
def test_eddy_currents(seed):
    rng = np.random.default_rng(seed)
    terms = (
        EddyTerm(channel="x", share=-0.05, time_constant_s=0.4e-3),
        EddyTerm(channel="x", share=0.02, time_constant_s=5e-3),
        EddyTerm(channel="z", share=-0.03, time_constant_s=1.5e-3),
        EddyTerm(channel="y", share=0.1, time_constant_s=2e-3, is_b0=True),
    )
    tracks = random_table(np.random.default_rng(seed + 100))[0]
    spins = random_spins(rng, 10)

    def more_hz(time_s, _, position):
        out = np.zeros((len(time_s), len(position)))
        for term in terms:
            at_s, step = steps_of(tracks[f"grad_v{term.channel}"])
            passed = time_s[:, None] - at_s
            left = (np.where(passed > 0, np.exp(-np.maximum(passed, 0) / term.time_constant_s), 0.0) * step).sum(axis=1)
            out += term.share * left[:, None] * (0.1 if term.is_b0 else position[:, "xyz".index(term.channel)])
        return out

    faults = EngineFaults(gradients=GradientFaults(eddy=terms))
    got, truth, perfect = both(faults, np.random.default_rng(seed + 100), spins=spins, raster_s=8e-6, more_hz=more_hz)
    assert np.abs(got - truth).max() < ONE_PERCENT / 2
    assert np.abs(perfect - truth).max() > 0.1


def test_eddy_currents_live_on_in_the_next_run():
    terms = (EddyTerm(channel="x", share=-0.1, time_constant_s=8e-3),)
    faults = EngineFaults(gradients=GradientFaults(eddy=terms, delay_s=(40e-6, 0.0, 0.0)))
    spins, scanner = random_spins(np.random.default_rng(1), 20), make_scanner()
    whole = Table()
    whole.grad(0, 1e-3, 3.98e-3, 2e5)  # with its delay it ends behind the end of the first run
    whole.hard(5e-3, np.pi / 2, 0.0, 25e-6)
    whole.set_grad(0, 6e-3, 0.0)
    windows = [sampled(5.2e-3, 1e-5, 100)]
    truth = Simulator(spins, scanner, faults=faults).play(whole.tracks(), windows, end_tick=tick(7e-3), lo_hz=LARMOR_HZ)[0]
    first, second = Table(), Table()
    first.grad(0, 1e-3, 3.98e-3, 2e5)
    second.hard(0.5e-3, np.pi / 2, 0.0, 25e-6)
    simulator = Simulator(spins, scanner, faults=faults)
    shift = tick(4.5e-3)
    for _ in range(2):
        simulator.play(first.tracks(), [], end_tick=tick(4e-3), lo_hz=LARMOR_HZ)
        tracks, later = second.tracks(), [windows[0] - shift]
        got = simulator.play(tracks, later, end_tick=tick(2.5e-3), lo_hz=LARMOR_HZ, idle_s=shift / CLOCK_HZ - 4e-3)[0]
        assert np.abs(got - truth).max() < 2e-4
        simulator.reset()
    perfect = Simulator(spins, scanner).play(whole.tracks(), windows, end_tick=tick(7e-3), lo_hz=LARMOR_HZ)[0]
    assert np.abs(perfect - truth).max() > 0.05


@pytest.mark.parametrize("ripple_hz", [50.0, 900.0])
def test_ripple_runs_on_in_virtual_time(ripple_hz):
    start_s, amplitude = 12.3456, (3e-3, 0.0, 1e-3)

    def more_hz(time_s, _, position):
        wave = np.sin(2 * np.pi * ripple_hz * (start_s + time_s))
        return wave[:, None] * (position @ (np.array(amplitude) * GAMMA_HZ_PER_T))

    faults = EngineFaults(gradients=GradientFaults(ripple_t_per_m=amplitude, ripple_hz=ripple_hz))
    got, truth, perfect = both(faults, np.random.default_rng(5), raster_s=10e-6, more_hz=more_hz, start_s=start_s)
    assert np.abs(got - truth).max() < ONE_PERCENT / 2
    assert np.abs(perfect - truth).max() > 0.1


def test_delay_and_scale_of_each_channel():
    faults = EngineFaults(gradients=GradientFaults(delay_s=(30e-6, 0.0, -5e-6), scale=(1.03, 1.0, 0.9)))
    spins, scanner = random_spins(np.random.default_rng(2), 20), make_scanner()
    tracks, windows, end = random_table(np.random.default_rng(3))
    got = Simulator(spins, scanner, faults=faults).play(tracks, windows, end_tick=end, lo_hz=LARMOR_HZ)
    moved = dict(tracks)
    for name, delay_s, scale in (("grad_vx", 30e-6, 1.03), ("grad_vz", -5e-6, 0.9)):
        moved[name] = Track(
            tracks[name].ticks + round(delay_s * CLOCK_HZ), np.rint(tracks[name].values * scale).astype(np.int32)
        )
    truth = reference(spins, scanner, moved, windows, LARMOR_HZ)
    assert max(np.abs(a - b).max() for a, b in zip(got, truth, strict=True)) < 4e-3


@pytest.mark.parametrize("field_axis", ["x", "y", "z"])
def test_concomitant_fields(field_axis):
    """The formula as it stands in books, in device axes, against the engine's moments in channel axes."""
    larmor_hz, rng = 0.4e6, np.random.default_rng(7)  # a weak field, so that it matters
    spins = random_spins(rng, 10)
    device = spins.position_m.astype(float)
    b = "xyz".index(field_axis)

    def more_hz(_, gradient, __):
        g = gradient @ TURNED  # device = channel_from_device.T @ channel
        gx, gy, gz = (g[:, (b + step) % 3, None] for step in (1, 2, 0))
        x, y, z = (device[:, (b + step) % 3] for step in (1, 2, 0))
        bx, by = gx * z - gz * x / 2, gy * z - gz * y / 2
        return (bx**2 + by**2) / (2 * larmor_hz)

    axis = axis_along(field_axis, TURNED)
    faults = EngineFaults(concomitant=Concomitant(axis=axis, larmor_hz=larmor_hz))
    got, truth, perfect = both(faults, rng, spins=spins, more_hz=more_hz)
    assert np.abs(got - truth).max() < ONE_PERCENT / 2
    assert np.abs(perfect - truth).max() > 0.1


def test_the_concomitant_field_of_10_millitesla_per_metre_at_10_centimetres():
    field = Concomitant(axis=2, larmor_hz=46e-3 * GAMMA_HZ_PER_T)
    rate = field.products(np.array([[10e-3 * GAMMA_HZ_PER_T, 0.0, 0.0]]))
    assert float((rate @ field.functions_m2(np.array([[0.0, 0.0, 0.1]])))[0, 0]) == pytest.approx(463, rel=2e-3)


def test_a_still_spin_feels_no_concomitant_field_that_is_off():
    faults = engine_faults(Scenario(magnet=MagnetFaults(field_axis="y")), make_scanner())
    assert faults.concomitant is None
    assert faults.motion is None


@pytest.mark.parametrize("settling_s", [0.0, 4e-3])
def test_drift(settling_s):
    """A thousand times faster than any magnet, so that it is seen within milliseconds, in pulses as well."""
    start_s, drift = 2e-3, Drift(rate_hz_per_s=4e4, settling_s=settling_s)

    def more_hz(time_s, _, position):
        t = start_s + time_s
        offset = 4e4 * t if not settling_s else 4e4 * settling_s * (1 - np.exp(-t / settling_s))
        return np.repeat(offset[:, None], len(position), axis=1)

    rng = np.random.default_rng(9)
    got, truth, perfect = both(EngineFaults(drift=drift), rng, raster_s=8e-6, more_hz=more_hz, start_s=start_s)
    assert np.abs(got - truth).max() < ONE_PERCENT
    assert np.abs(perfect - truth).max() > 0.1


def test_drift_goes_on_in_the_pause_between_runs():
    drift = Drift(rate_hz_per_s=-30.0, settling_s=100.0)
    spins, scanner = spin_set(np.zeros((1, 3)), t2_s=20.0), make_scanner()
    simulator = Simulator(spins, scanner, faults=EngineFaults(drift=drift))
    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
    window = [sampled(2e-3, 1e-5, 1)]
    first = simulator.play(table.tracks(), window, end_tick=tick(5e-3), lo_hz=LARMOR_HZ, start_s=50.0)[0][0]
    later = simulator.play({}, window, end_tick=tick(5e-3), lo_hz=LARMOR_HZ, start_s=51.005, idle_s=1.0)[0][0]
    time = np.linspace(50.002, 51.007, 200001)
    offset = -30.0 * 100.0 * (1 - np.exp(-time / 100.0))
    turns = np.sum((offset[1:] + offset[:-1]) / 2 * np.diff(time))
    assert np.angle(later / first * np.exp(-2j * np.pi * turns)) == pytest.approx(0.0, abs=5e-3)
    assert abs(later) == pytest.approx(abs(first) * np.exp(-1.005 / 20.0), rel=1e-3)


def test_drift_of_a_magnet_follows_its_temperature():
    faults = MagnetFaults(temperature_c=20.0, drift_c_per_s=0.01, drift_settling_s=60.0)
    drift = magnet_drift(make_scanner().magnet, faults)
    for time_s in (0.0, 5.0, 300.0):
        change = temperature_c(faults, time_s) - 20.0
        assert drift.offset_hz(time_s) == pytest.approx(-2000.0 * change)
    assert temperature_c(faults, 1e6) == pytest.approx(20.6)


def test_a_jump_of_the_temperature_moves_the_frequency_at_once_and_for_good():
    faults = MagnetFaults(temperature_c=20.0, drift_c_per_s=0.01, jump_c=-0.4, jump_s=30.0)
    drift = magnet_drift(make_scanner().magnet, faults)
    assert temperature_c(faults, 29.9) == pytest.approx(20.299)
    assert temperature_c(faults, 30.0) == pytest.approx(19.9)
    for start_s, length_s in ((0.0, 10.0), (29.0, 2.0), (40.0, 3.0), (31.0, -2.0)):
        time = np.linspace(start_s, start_s + length_s, 400_001)
        offset = np.array([-2000.0 * (0.01 * t - 0.4 * (t >= 30.0)) for t in time])
        turns = np.sum((offset[1:] + offset[:-1]) / 2 * np.diff(time))
        assert drift.turns(start_s, np.array([length_s]))[0] == pytest.approx(turns, abs=0.01)


def test_bent_gradients():
    rng = np.random.default_rng(11)
    spins, scanner = random_spins(rng, 12), make_scanner(channel_from_device=TURNED)
    share = (0.1, 0.0, 0.25)
    x, y, z = (spins.position_m.astype(float) @ TURNED.T).T
    effective = np.stack(
        [x - 0.1 / 0.03 * (x**3 - 1.5 * x * (y**2 + z**2)), y, z - 0.25 / 0.03 * (z**3 - 1.5 * z * (x**2 + y**2))], 1
    )
    faults = EngineFaults(gradients=GradientFaults(nonlinearity=share))
    got, truth, perfect = both(
        faults, rng, spins=spins, scanner=scanner, place=lambda t: np.broadcast_to(effective, (len(t), 12, 3))
    )
    assert np.abs(got - truth).max() < 3e-3
    assert np.abs(perfect - truth).max() > 0.1


def test_a_bent_gradient_solves_laplace_and_falls_as_said():
    place, step = np.random.default_rng(0).uniform(-0.08, 0.08, (50, 3)), 1e-3
    share = (0.2, 0.1, 0.05)

    def at(p):
        return effective_position_m(p, share, 0.1)

    around = sum(at(place + sign * step * np.eye(3)[axis]) for axis in range(3) for sign in (1, -1))
    assert np.abs(around - 6 * at(place)).max() < 1e-12
    slope = np.diff(at(np.array([[0.1 - step, 0, 0], [0.1 + step, 0, 0]]))[:, 0])[0] / (2 * step)
    assert slope == pytest.approx(0.8, abs=1e-3)
    assert along_device((1.0, 2.0, 3.0), TURNED) == (3.0, 1.0, 2.0)


def test_a_transmitter_that_is_weak_and_compresses():
    transmitter = Transmitter(scale=0.9, compression=0.2)

    def rf_of(hz):
        a = np.abs(hz) / RF_FULL_HZ
        return hz * 0.9 * (1 - 0.2 * a**2)

    got, truth, perfect = both(EngineFaults(transmitter=transmitter), np.random.default_rng(13), rf_of=rf_of)
    assert np.abs(got - truth).max() < 3e-3
    assert np.abs(perfect - truth).max() > 0.03
    full = transmitter.of(np.array([1j * TX_FULL_SCALE, 0.5 * TX_FULL_SCALE]))
    assert full / TX_FULL_SCALE == pytest.approx([0.72j, 0.5 * 0.9 * 0.95])


def test_gradients_are_the_steps_of_the_converter():
    """A gradient below half a code is none; what is played is the code, not what was asked for."""
    code_hz = hz_per_m_of(1)
    spins, window = spin_set(np.array([[0.1, 0, 0]])), [sampled(40e-3, 1e-5, 1)]

    def turned(hz_per_m):
        table = Table()
        table.hard(1e-3, np.pi / 2, 0.0, 25e-6)
        table.grad(0, 2e-3, 38e-3, hz_per_m)
        signal = Simulator(spins, make_scanner()).play(table.tracks(), window, end_tick=tick(41e-3), lo_hz=LARMOR_HZ)
        return np.angle(1j * signal[0][0]) / (2 * np.pi)

    assert turned(0.4 * code_hz) == pytest.approx(0.0, abs=1e-5)
    assert turned(1.4 * code_hz) == pytest.approx(code_hz * 0.1 * 36e-3, abs=1e-5)
