# SPDX-License-Identifier: MIT
"""What boxes make of a run before the spins feel it; without boxes and faults of the board it stays as it is, to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.domain.events import GRADIENT_CHANNELS, Track
from isocenter.domain.scenario import DeviceFaults, MagnetFaults, Scenario
from isocenter.virtual.console.playback import Playback
from isocenter.virtual.peripherals.boxes import VirtualBoxes
from isocenter.virtual.physics.plant_model import PlantSignalModel

SCANNER = load_scanner("osii-one")


class Spins:
    """Keeps what reaches the spins."""

    larmor_hz = SCANNER.magnet.larmor_hz

    def play(self, playback):
        self.playback = playback
        return []

    def set_receive(self, *, coil, gain_db):
        self.receive = coil, gain_db


def _run() -> Playback:
    def track(*values):
        return Track(np.array([0, 100, 200]), np.array(values, dtype=np.int32))

    tracks = {"tx0_i": track(0, 20_000, 0), "tx0_q": track(0, -10_000, 0)}
    tracks |= dict(zip(GRADIENT_CHANNELS, (track(0, 1000, 0), track(0, -3000, 0), track(5, 5, 0)), strict=True))
    none = np.zeros(0, np.int64)
    return Playback(
        tracks=tracks,
        lo_ticks=none,
        lo_hz=np.zeros(0),
        lo_reset_ticks=none,
        windows=(),
        end_tick=400,
        clock_hz=122.88e6,
        start_s=10.0,
        idle_s=0.0,
    )


def _played(scenario: Scenario, boxes: VirtualBoxes | None) -> tuple[Spins, Playback, PlantSignalModel]:
    spins, run = Spins(), _run()
    model = PlantSignalModel(spins, SCANNER, scenario, boxes)
    model.play(run)
    return spins, run, model


def test_without_boxes_the_same_tracks_go_to_the_same_simulator() -> None:
    spins, run, _ = _played(Scenario(), None)
    assert set(spins.playback.tracks) == set(run.tracks)
    assert all(spins.playback.tracks[name] is run.tracks[name] for name in run.tracks)
    assert not hasattr(spins, "receive")


def test_a_board_with_gain_and_offset_is_felt() -> None:
    faults = DeviceFaults(board_gain=(1.1, 1.0, 0.9), board_offset=(0.0, 0.01, 0.0))
    spins, run, _ = _played(Scenario(devices=faults), None)
    x, y, z = (spins.playback.tracks[name].values for name in GRADIENT_CHANNELS)
    assert list(x) == [0, 1100, 0]
    assert list(y) == [328, -2672, 328]
    assert list(z) == [4, 4, 0]
    assert spins.playback.tracks["tx0_i"] is run.tracks["tx0_i"]


@pytest.fixture
def boxes():
    with VirtualBoxes(SCANNER.magnet.larmor_hz) as made:
        yield made


def test_amplifiers_that_are_off_give_nothing_and_those_that_are_on_give_all(boxes) -> None:
    spins, run, model = _played(Scenario(), boxes)
    assert not any(np.any(track.values) for track in spins.playback.tracks.values())
    assert boxes.plant.state.rf_playing is False
    on = {"rf_amplifier_on": True, "gradient_amplifier_on": True, "interlock_blanks_rf": False}
    boxes.plant.change("test", **on, interlock_parks_gradients=False, sar_monitor_blanks_rf=False)
    model.play(run)
    assert all(spins.playback.tracks[name] is run.tracks[name] for name in run.tracks)
    assert spins.receive == (1.0, 0.0)
    state = boxes.plant.state
    assert state.rf_playing
    assert not state.gradients_zero
    # a quarter of the run at (20 000^2 + 10 000^2) of 32 767^2
    full_w = state.forward_w / (0.25 * (20_000**2 + 10_000**2) / 32_767**2)
    assert full_w in (pytest.approx(100.0), pytest.approx(SCANNER.safety.forward_power_w))
    model.ended(True)
    assert (boxes.plant.state.rf_playing, boxes.plant.state.gradients_zero, boxes.plant.state.forward_w) == (
        False,
        True,
        0.0,
    )


def test_the_sensor_of_the_magnet_follows_its_drift(boxes) -> None:
    _played(Scenario(magnet=MagnetFaults(temperature_c=20.0, drift_c_per_s=0.05)), boxes)
    assert boxes.plant.state.magnet_c == pytest.approx(20.5)


def test_a_scenario_may_begin_with_a_coil_out_of_tune(boxes) -> None:
    devices = DeviceFaults(coil_load_share=0.03)
    boxes.plant.change("test", rf_amplifier_on=True, interlock_blanks_rf=False, sar_monitor_blanks_rf=False)
    spins, run, _ = _played(replace(Scenario(), devices=devices), boxes)
    share = 1.0 - boxes.plant.state.reflected_share
    assert 0.5 < share < 0.8
    factor = spins.playback.tracks["tx0_i"].values[1] / run.tracks["tx0_i"].values[1]
    assert factor == pytest.approx(np.sqrt(share), rel=2e-3)
    assert spins.receive[0] == pytest.approx(factor, rel=1e-3)
