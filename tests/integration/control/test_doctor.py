# SPDX-License-Identifier: MIT
"""The doctor asks every box over its line, switches nothing, and calls unknown what it does not know."""

from dataclasses import replace

from isocenter.app.doctor_devices import board_finding, device_findings
from isocenter.app.service import Health
from isocenter.config.hardware import load_scanner
from isocenter.devices.protocols import SafeReport
from isocenter.domain.device import DeviceRole
from isocenter.virtual.peripherals.boxes import VirtualBoxes


def test_every_box_is_shown_with_name_answer_and_words_and_nothing_is_switched() -> None:
    scanner = load_scanner("osii-one")
    with VirtualBoxes(scanner.magnet.larmor_hz) as boxes:
        before = boxes.plant.state
        boxes.line(DeviceRole.SAR_MONITOR).fail(deaf=True, mute=True)
        boxes.line(DeviceRole.ATTENUATOR).cut()
        optional = tuple(replace(link, is_required=link.role is not DeviceRole.ATTENUATOR) for link in boxes.links)
        found = {finding.what: finding for finding in device_findings(replace(scanner, devices=optional))}
        assert boxes.plant.state == before
    assert len(found) == len(DeviceRole)
    interlock = found["Interlock"]
    assert interlock.health is Health.GOOD
    for word in ("socket://127.0.0.1:", "virtual-interlock 1.0", "standby", "answered at", "it said 'seq="):
        assert word in interlock.text
    assert "temperature_magnet_c 25" in found["Sensors"].text
    assert found["SAR monitor"].health is Health.BAD
    assert "Check its power and the cable" in found["SAR monitor"].remedy
    assert found["Attenuator"].health is Health.WARNING
    assert found["Tuner"].health is Health.UNKNOWN
    assert "answered" not in found["Tuner"].text, "it has said nothing"


def test_what_nobody_watches_is_unknown() -> None:
    found = list(device_findings(load_scanner("osii-one")))
    assert [finding.what for finding in found] == ["RF amplifier", "Gradient amplifier"]
    assert {finding.health for finding in found} == {Health.UNKNOWN}


def test_the_board_is_judged_only_by_what_was_read() -> None:
    scanner = load_scanner("osii-one")
    assert board_finding(scanner, SafeReport(verified=True)).health is Health.UNKNOWN
    assert board_finding(scanner, SafeReport(verified=True, zero_currents_share=(0.0, 0.01, -0.019))).health is Health.GOOD
    wrong = board_finding(scanner, SafeReport(verified=True, zero_currents_share=(0.0, 0.01, -0.03)))
    assert wrong.health is Health.BAD
    assert "z -3.0 %" in wrong.text
    silent = board_finding(scanner, SafeReport(verified=True, zero_currents_share=(0.0, 0.01, -2.0)))
    assert silent.health is Health.BAD
    assert "does not answer: its converter reads x +0.0 %, y +1.0 %, z -200.0 %" in silent.text
    assert "power" in silent.remedy
    assert "alibrate" not in silent.remedy
    assert board_finding(load_scanner("physio-72mT"), SafeReport(verified=True)) is None
