# SPDX-License-Identifier: MIT
"""Every shipped scenario plays, and does what it is there for."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.config.scenarios import list_scenarios
from isocenter.domain.errors import ConfigError
from isocenter.virtual.physics.fields import ScannerFields
from isocenter.virtual.physics.model import BlochSignalModel, scenario_body
from isocenter.virtual.physics.scenario import find_scenario

from .test_model import fid

DECIMATION = 1024


def played(name, **changes):
    """What all channels hear of a free induction decay, and the scenario."""
    scenario = replace(find_scenario(name), n_spins=2000, **changes)
    scanner = load_scanner(scenario.scanner or "osii-one")
    model = BlochSignalModel(scanner, scenario, n_threads=1)
    window = fid(lo_hz=scanner.magnet.larmor_hz, n=200, decimation=DECIMATION)
    return model.play_channels(window)[0], scenario


@pytest.mark.parametrize("name", list_scenarios())
def test_each_plays_a_free_induction_decay(name):
    signal, scenario = played(name)
    assert signal.shape[0] >= 1 + scenario.n_sensors
    assert signal.shape[1] == 200
    assert np.isfinite(signal).all()
    assert np.abs(signal[0]).max() > 0
    again, _ = played(name)
    assert np.array_equal(signal, again)


def test_a_broken_cable_hears_only_noise():
    whole, _ = played("osii-one-brain")
    broken, _ = played("broken-cable")
    assert np.abs(whole[0, :5]).mean() > 0.1
    assert np.abs(broken[0]).max() < 1e-3


def test_the_sensors_of_a_noisy_ward_hear_the_room_but_not_the_head():
    signal, scenario = played("noisy-ward")
    sensors = signal[1 : 1 + scenario.n_sensors]
    assert len(sensors) == 3
    assert np.abs(signal[0, :5]).mean() > 0.1
    assert 3e-4 < np.abs(sensors).mean() < 0.05


def test_coils_come_first_each_with_its_own_view_then_the_sensors():
    signal, _ = played("four-coils", n_sensors=1)
    assert signal.shape[0] == 5
    level = np.abs(signal[:, :5]).mean(axis=1)
    assert (level[:4] > 0.02).all()
    assert level[4] < 1e-3
    noise = np.cov(signal[:4, :] - signal[:4].mean(axis=1, keepdims=True))
    assert np.linalg.matrix_rank(noise, tol=1e-9) == 4
    one, _ = played("osii-one-brain")
    assert np.linalg.norm(level[:4]) == pytest.approx(np.abs(one[0, :5]).mean(), rel=0.4)


def test_clipping_reaches_the_end_of_the_converter():
    signal, _ = played("clipping")
    loud, _ = played("clipping", receiver=replace(find_scenario("clipping").receiver, adc_bits=0))
    assert np.abs(loud[0]).max() > 1.5
    assert np.abs(signal[0]).max() < 0.9 * np.abs(loud[0]).max()


def test_a_weak_amplifier_turns_less():
    strong, _ = played("osii-one-brain")
    weak, _ = played("compressed-rfpa")
    assert np.abs(weak[0, :5]).mean() != pytest.approx(np.abs(strong[0, :5]).mean(), rel=1e-3)


def test_the_raw_magnet_spreads_over_ten_kilohertz():
    scenario = replace(find_scenario("osii-mini-raw-magnet"), n_spins=3000)
    scanner = load_scanner(scenario.scanner)
    body = scenario_body(scenario, scanner)
    fields = ScannerFields(scenario, scanner)
    offset = fields.offset_hz(body.position_m)
    inside = np.linalg.norm(body.position_m, axis=1) < scanner.magnet.imaging_diameter_m / 2
    assert fields.measured is not None
    assert fields.measured.spread_hz == pytest.approx(8985e-6 * scanner.magnet.larmor_hz, rel=0.02)
    assert 9_000 < np.ptp(offset[inside]) < 18_000
    assert np.abs(offset).max() < 30_000
    short, _ = played("osii-mini-raw-magnet")
    assert np.abs(short[0, 30:60]).mean() < 0.2 * np.abs(played("ideal-box")[0][0, 30:60]).mean()


def test_a_knee_and_large_objects_fit_their_scanners():
    for name in list_scenarios():
        scenario = replace(find_scenario(name), n_spins=2000)
        scanner = load_scanner(scenario.scanner or "osii-one")
        body = scenario_body(scenario, scanner)
        assert np.hypot(body.position_m[:, 0], body.position_m[:, 1]).max() < scanner.magnet.bore_m / 2


def test_a_scenario_whose_phantom_is_not_there_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('summary = "x"\nphantom = "hart"\n')
    with pytest.raises(ConfigError, match=r"(?s)no phantom called 'hart'.*head"):
        find_scenario(path)


@pytest.mark.parametrize("offset_hz", [30_000.0, -30_000.0])
def test_phase_stays_true_far_off_resonance(offset_hz):
    """30 kHz for 100 ms are 3000 turns; single precision of a frequency would leave 0.02 rad."""
    from isocenter.virtual.physics.bloch import Simulator
    from isocenter.virtual.physics.spins import spin_set

    from .lab import LARMOR_HZ, Table, make_scanner, sampled, tick

    table = Table()
    table.hard(1e-3, np.pi / 2, 0.0, 2e-6)
    ticks = sampled(2e-3, 1e-5, 9800)
    spins = spin_set(np.zeros((1, 3)), offset_hz=offset_hz)
    simulator = Simulator(spins, make_scanner())
    signal = simulator.play(table.tracks(), [ticks], end_tick=int(ticks[-1]) + tick(1e-3), lo_hz=LARMOR_HZ)[0]
    signal = np.squeeze(signal)
    expected = signal[0] * np.exp(2j * np.pi * offset_hz * (ticks - ticks[0]) / 122.88e6)
    assert np.abs(np.angle(signal * expected.conj())).max() < 5e-3
