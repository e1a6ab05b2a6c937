# SPDX-License-Identifier: MIT
"""The signal model behind the virtual console: fields, noise, phases from run to run."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.config.scenarios import list_scenarios
from isocenter.domain.errors import ConfigError
from isocenter.domain.scenario import MagnetFaults, ReceiverFaults
from isocenter.virtual.console.playback import Playback, RxWindow, SignalModel
from isocenter.virtual.physics.magnet import b0_offset_hz, receive_sensitivity, transmit_scale
from isocenter.virtual.physics.model import BlochSignalModel, scenario_spins
from isocenter.virtual.physics.receive_chain import NOISE_PER_SQRT_HZ
from isocenter.virtual.physics.scenario import find_scenario

from .lab import CLOCK_HZ, LARMOR_HZ, Table, make_scanner, sampled, tick

SMALL = {"n_spins": 4000}


def fid(lo_hz=LARMOR_HZ, idle_s=0.0, decimation=1024, n=600, flip=np.pi / 2, start_s=2e-3, reset_ticks=(50,)):
    table = Table()
    table.hard(1e-3, flip, 0.0, 25e-6)
    ticks = sampled(start_s, decimation / CLOCK_HZ, n)
    window = RxWindow(
        tick=int(ticks[0]), stop_tick=int(ticks[-1]) + 1, decimation=decimation, sample_ticks=ticks.astype(float)
    )
    return Playback(
        tracks=table.tracks(),
        lo_ticks=np.array([0, 40]),
        lo_hz=np.array([0.0, lo_hz]),
        lo_reset_ticks=np.array(reset_ticks, dtype=np.int64),
        windows=(window,),
        end_tick=int(ticks[-1]) + tick(1e-3),
        clock_hz=CLOCK_HZ,
        start_s=0.0,
        idle_s=idle_s,
    )


def test_a_head_fills_a_fifth_of_the_receiver_and_rings_at_the_true_frequency():
    model: SignalModel = BlochSignalModel(make_scanner(), replace(find_scenario("osii-one-brain"), n_spins=20000))
    signal = model.play(fid())[0]
    assert 0.1 < np.abs(signal[:10]).mean() < 0.3
    spectrum = np.abs(np.fft.fft(signal, 8192))
    peak = np.fft.fftfreq(8192, 1024 / CLOCK_HZ)[np.argmax(spectrum)]
    assert peak == pytest.approx(1700.0, abs=60.0)


def test_noise_has_the_level_of_its_bandwidth_and_a_seed():
    scenario = replace(find_scenario("uniform"), receiver=ReceiverFaults(noise=1.0), **SMALL)
    model = BlochSignalModel(make_scanner(), scenario)
    for decimation in (512, 2048):
        silent = fid(flip=0.0, decimation=decimation, n=4000)
        noise = model.play(silent)[0]
        expected = NOISE_PER_SQRT_HZ * np.sqrt(CLOCK_HZ / decimation)
        assert noise.real.std() == pytest.approx(expected, rel=0.05)
        assert noise.imag.std() == pytest.approx(expected, rel=0.05)
    first = BlochSignalModel(make_scanner(), scenario).play(fid(n=50))[0]
    model.reset()
    assert np.array_equal(first, model.play(fid(n=50))[0])
    quiet = BlochSignalModel(make_scanner(), replace(scenario, receiver=ReceiverFaults())).play(fid(n=50, flip=0.0))[0]
    assert np.array_equal(quiet, np.zeros(50))


def test_spins_relax_between_runs():
    model = BlochSignalModel(make_scanner(), replace(find_scenario("uniform"), **SMALL))
    first = np.abs(model.play(fid(n=1))[0][0])
    model.play(fid(n=1, idle_s=10.0))
    soon = np.abs(model.play(fid(n=1, idle_s=0.15))[0][0])
    # T1 is 150 ms; the run itself adds its own length.
    assert soon / first == pytest.approx(1 - np.exp(-0.15 / 0.15), abs=0.02)


def test_the_phase_of_a_signal_is_the_same_in_every_run():
    model = BlochSignalModel(
        make_scanner(), replace(find_scenario("uniform"), magnet=MagnetFaults(frequency_offset_hz=300.0), **SMALL)
    )
    phases = [np.angle(model.play(fid(n=1, idle_s=3.0 + 0.1 * i))[0][0]) for i in range(3)]
    assert phases == pytest.approx([phases[0]] * 3, abs=1e-3)


def test_magnetisation_left_over_sees_the_oscillators_jump():
    """A run without a pulse after one with: the lab's phase goes on, the oscillator's starts again."""
    model = BlochSignalModel(make_scanner(), replace(find_scenario("uniform"), **SMALL))
    first = fid(n=1)
    before = model.play(first)[0][0]
    after = model.play(fid(n=1, flip=0.0, start_s=0.5e-3))[0][0]
    start = int(first.windows[0].sample_ticks[0])
    passed = first.end_tick - start + 50  # ticks from the first sample to the reset of the second run
    oscillator = LARMOR_HZ * (passed + start - 50) / CLOCK_HZ  # its phase since the reset of the first run
    assert np.angle(after / before * np.exp(-2j * np.pi * oscillator)) == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("reset_ticks", [(), (50,)], ids=["runs on", "starts again"])
@pytest.mark.parametrize("moved_hz", [0.0, 1730.0])
def test_what_outlives_a_pause_keeps_its_phase_in_the_lab(reset_ticks, moved_hz):
    """The oscillator runs on through the pause at the frequency it had, then at another, or is set back to zero."""
    model = BlochSignalModel(make_scanner(), replace(find_scenario("uniform"), **SMALL))
    first, idle_s = fid(lo_hz=LARMOR_HZ + 410.0, n=1), 3.7e-3
    second = fid(lo_hz=LARMOR_HZ + 410.0 + moved_hz, n=1, flip=0.0, start_s=0.5e-3, idle_s=idle_s, reset_ticks=reset_ticks)
    before, after = (model.play(each)[0][0] for each in (first, second))
    start, again = (int(each.windows[0].sample_ticks[0]) / CLOCK_HZ for each in (first, second))
    end = first.end_tick / CLOCK_HZ
    lab = LARMOR_HZ * (end - start + idle_s + again)
    at_first, at_second = (float(each.lo_hz[-1]) for each in (first, second))
    oscillator = at_first * (end - start + idle_s) + at_second * again
    if reset_ticks:
        oscillator = at_second * (again - 50 / CLOCK_HZ) - at_first * (start - 50 / CLOCK_HZ)
    assert np.abs(after) > 0.5 * np.abs(before)
    assert np.angle(after / before * np.exp(-2j * np.pi * (lab - oscillator))) == pytest.approx(0.0, abs=5e-3)


def test_gradients_held_in_the_idle_time_dephase():
    model = BlochSignalModel(make_scanner(), replace(find_scenario("uniform"), **SMALL))
    table = Table()
    table.set_grad(0, 0.0, 2e4)
    shimmed = replace(fid(n=1, flip=0.0, start_s=1e-4, idle_s=5e-3))
    shimmed = replace(shimmed, tracks=table.tracks())
    model.play(fid(n=1))
    held = np.abs(model.play(shimmed)[0][0])
    model.reset()
    model.play(fid(n=1))
    free = np.abs(model.play(fid(n=1, flip=0.0, start_s=1e-4, idle_s=5e-3))[0][0])
    assert held < 0.05 * free


def test_field_maps_are_what_they_claim():
    rng = np.random.default_rng(0)
    surface = rng.normal(size=(20000, 3))
    surface *= 0.1 / np.linalg.norm(surface, axis=1, keepdims=True)
    field = b0_offset_hz(surface, peak_to_peak_hz=300.0, radius_m=0.1, seed=1)
    assert np.ptp(field) == pytest.approx(300.0, rel=0.03)
    place, step = rng.uniform(-0.05, 0.05, (200, 3)), 1e-3
    around = sum(
        b0_offset_hz(place + sign * step * np.eye(3)[axis], peak_to_peak_hz=300.0, radius_m=0.1, seed=1)
        for axis in range(3)
        for sign in (1, -1)
    )
    centre = b0_offset_hz(place, peak_to_peak_hz=300.0, radius_m=0.1, seed=1)
    assert np.abs(around - 6 * centre).max() < 1e-9 * 300  # Laplace
    assert not b0_offset_hz(place, peak_to_peak_hz=0.0, radius_m=0.1, seed=1).any()
    assert np.array_equal(transmit_scale(place, strength=0.0, radius_m=0.1), np.ones(200))
    assert np.abs(receive_sensitivity(place, strength=0.05, radius_m=0.1) - 1).max() < 0.1


@pytest.mark.parametrize("name", list_scenarios())
def test_every_scenario_makes_spins(name):
    spins = scenario_spins(replace(find_scenario(name), n_spins=2000), make_scanner())
    assert 1900 < len(spins) < 2100
    assert np.isfinite(spins.offset_hz).all()
    if name.startswith("ideal"):
        assert not spins.offset_hz.any()


def test_an_unknown_scenario_is_refused_with_a_list():
    with pytest.raises(ConfigError, match=r"'lunar'.*\n.*osii-one-brain"):
        find_scenario("lunar")
