# SPDX-License-Identifier: MIT
"""The self-test on a virtual scanner's wires: what is broken is named, what nobody can tell is unknown."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from isocenter.app.self_test import (
    Heard,
    disk_rate,
    hear,
    judge_blanking,
    judge_currents,
    judge_pulse,
    judge_rate,
    self_test,
    time_to_blank,
)
from isocenter.app.service import Health
from isocenter.cli.doctor import command
from isocenter.config.hardware import load_scanner
from isocenter.domain.device import DeviceRole
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.peripherals.boxes import VirtualBoxes
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.plant_model import PlantSignalModel
from isocenter.virtual.physics.scenario import find_scenario


def placed(scanner, server, boxes=None):
    host, port = server.address
    links = boxes.links if boxes else ()
    return replace(scanner, console=replace(scanner.console, host=host, port=port), devices=links)


def run(scanner, folder):
    return {finding.what: finding for finding in self_test(scanner, folder)}


def test_a_console_that_hears_itself_with_a_good_board_and_controller_passes(tmp_path):
    scanner = load_scanner("osii-one")
    with VirtualBoxes(scanner.magnet.larmor_hz) as boxes, VirtualConsoleServer(board=scanner.gradients.board) as server:
        found = run(placed(scanner, server, boxes), tmp_path / "data")
        state, codes = boxes.plant.state, list(server.machine.cores.codes)
        log = boxes.plant.log()
    assert found["Weak RF pulse"].health is Health.GOOD, found["Weak RF pulse"]
    assert "heard at" in found["Weak RF pulse"].text
    assert found["Gradient currents"].health is Health.GOOD, found["Gradient currents"]
    assert "x +0.50 and -0.50 A" in found["Gradient currents"].text
    assert found["Time to blank"].health in (Health.GOOD, Health.WARNING), found["Time to blank"]
    assert "Console after the self-test" not in found
    assert not any(codes), "every gradient is at zero afterwards"
    assert state.interlock_blanks_rf
    assert not any(change.state.rf_amplifier_on or change.state.gradient_amplifier_on for change in log[1:][-3:])
    assert list((tmp_path / "data").iterdir()) == []


def test_a_board_that_gives_too_little_is_named_and_a_silent_receiver_is_unknown(tmp_path):
    scanner = load_scanner("osii-one")
    scenario = replace(find_scenario("ideal-block"), n_spins=200)
    with VirtualBoxes(scanner.magnet.larmor_hz) as boxes:
        model = PlantSignalModel(BlochSignalModel(scanner, scenario), scanner, scenario, boxes)
        with VirtualConsoleServer(signal_model=model, board=scanner.gradients.board) as server:
            server.on_end = model.ended
            server.machine.cores.set_board((1.0, 0.1, 1.0), (0.0, 0.0, 0.0))
            found = run(placed(scanner, server, boxes), tmp_path)
    assert found["Gradient currents"].health is Health.BAD
    assert "y +0.05 and -0.05 A" in found["Gradient currents"].text
    assert found["Weak RF pulse"].health is Health.UNKNOWN, "the amplifier is off, as it should be"


def test_a_scanner_without_the_parts_is_unknown_and_one_that_does_not_answer_is_bad(tmp_path):
    scanner = load_scanner("physio-72mT")
    with VirtualConsoleServer(board=scanner.gradients.board) as server:
        there = placed(scanner, server)
        found = run(there, tmp_path)
    assert found["Gradient currents"].health is Health.UNKNOWN
    assert "cannot be read" in found["Gradient currents"].text
    assert found["Time to blank"].health is Health.UNKNOWN
    assert run(there, tmp_path)["Console"].health is Health.BAD


def test_nothing_is_tried_before_a_person_has_said_that_nobody_is_inside(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCENTER_DATA", str(tmp_path / "data"))
    asked = CliRunner().invoke(command, ["--self-test"], input="n\n")
    assert asked.exit_code == 1
    assert "Is nobody in the scanner" in asked.output
    assert "Disk speed" not in asked.output
    assert not (tmp_path / "data").exists()


def test_a_controller_that_tripped_is_left_as_it_is():
    scanner = load_scanner("osii-one")
    with VirtualBoxes(scanner.magnet.larmor_hz) as boxes:
        boxes.plant.change("person", emergency_stop=True)
        finding = time_to_blank(replace(scanner, devices=boxes.links))
        assert (finding.health, boxes.plant.state.interlock_blanks_rf) == (Health.UNKNOWN, True)
        boxes.line(DeviceRole.INTERLOCK).fail(deaf=True, mute=True)
        assert time_to_blank(replace(scanner, devices=boxes.links)).health is Health.BAD


@pytest.mark.parametrize(
    ("took_s", "health"), [(0.004, Health.GOOD), (0.02, Health.WARNING), (0.11, Health.BAD), (0.01, Health.WARNING)]
)
def test_ten_milliseconds_are_good_and_a_tenth_of_a_second_is_too_late(took_s, health):
    assert judge_blanking(took_s).health is health


@pytest.mark.parametrize(("rate", "health"), [(1e8, Health.GOOD), (1e7, Health.WARNING), (1e6, Health.BAD)])
def test_a_slow_disk_is_told(rate, health):
    assert judge_rate(rate).health is health


def test_a_folder_that_cannot_be_written_is_bad(tmp_path):
    (tmp_path / "file").write_text("")
    finding = disk_rate(tmp_path / "file")
    assert finding.health is Health.BAD
    assert "ISOCENTER_DATA" in finding.remedy


@pytest.mark.parametrize(
    ("seen", "health"),
    [
        (0.5, Health.GOOD),
        (0.5 + 0.019 * 6.25, Health.GOOD),
        (0.5 + 0.03 * 6.25, Health.WARNING),
        (0.5 + 0.06 * 6.25, Health.BAD),
        (-0.5, Health.BAD),
        (0.0, Health.UNKNOWN),
    ],
)
def test_currents_are_judged_by_full_scale(seen, health):
    assert judge_currents(((seen, -seen),) * 3, 6.25).health is health


def test_a_pulse_is_judged_by_the_noise_beside_it():
    random = np.random.default_rng(7)
    noise = (random.normal(size=2000) + 1j * random.normal(size=2000)).astype(np.complex64) * 1e-3
    assert hear(noise, 0.5).snr < 5
    pulse = noise.copy()
    pulse[1000:] += 0.002j
    heard = hear(pulse, 0.5)
    assert heard.level == pytest.approx(0.002, rel=0.05)
    assert judge_pulse(heard).health is Health.GOOD
    assert judge_pulse(hear(noise, 0.5)).health is Health.UNKNOWN
    assert judge_pulse(Heard(level=0.5, peak=0.99, snr=1000.0)).health is Health.WARNING
