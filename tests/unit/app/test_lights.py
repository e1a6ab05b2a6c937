# SPDX-License-Identifier: MIT
"""Lights are good only for what was really asked."""

from isocenter.app.lights import device_lights, disk_light, frequency_light, link_light
from isocenter.app.service import Health, Light
from isocenter.devices.protocols import ConsoleIdentity
from isocenter.domain.device import Condition, DeviceReading, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.scanner import Calibration


def test_a_console_that_nobody_asked_is_unknown() -> None:
    assert link_light(None, "").health is Health.UNKNOWN


def test_a_problem_outweighs_a_link_that_answers() -> None:
    identity = ConsoleIdentity(family="MaRCoS", version="1.0.5", kind="hardware")
    assert link_light(identity, "").health is Health.GOOD
    light = link_light(identity, "The console has not confirmed that every output is at zero.")
    assert (light.health, light.text) == (Health.BAD, "The console has not confirmed that every output is at zero.")


def test_amplifiers_without_a_wire_are_unknown_on_a_real_scanner() -> None:
    assert {light.health for light in device_lights((), is_virtual=False)} == {Health.UNKNOWN}


def _amplifier(**values) -> Light:
    status = DeviceStatus(role=DeviceRole.RF_AMPLIFIER, name="RF amplifier", **values)
    return device_lights((status,), is_virtual=True)[0]


def test_an_amplifier_on_a_wire_is_what_it_says_and_never_good_without_an_answer() -> None:
    def reading(condition: Condition) -> DeviceReading:
        return DeviceReading(condition=condition, text="as it says", said="ok")

    connected = {"link": LinkState.CONNECTED}
    assert _amplifier(**connected, reading=reading(Condition.STANDBY)).health is Health.GOOD
    assert _amplifier(**connected, reading=reading(Condition.FAULT)).health is Health.BAD
    assert _amplifier(**connected, reading=reading(Condition.UNKNOWN)).health is Health.UNKNOWN
    assert _amplifier().health is Health.UNKNOWN
    lost = _amplifier(link=LinkState.LOST, problem="The line is gone.")
    assert (lost.health, lost.text) == (Health.BAD, "The line is gone.")


def test_on_a_virtual_scanner_with_devices_one_that_is_not_there_is_not_called_simulated() -> None:
    sensors = DeviceStatus(role=DeviceRole.SENSORS, name="sensors")
    assert {light.health for light in device_lights((sensors,), is_virtual=True)} == {Health.UNKNOWN}


def test_a_frequency_from_the_hardware_file_is_not_a_measured_one() -> None:
    assert frequency_light(Calibration(larmor_hz=2e6)).health is Health.UNKNOWN
    measured = Calibration(larmor_hz=2e6, measured_at="2026-01-01T09:30:00+00:00")
    assert frequency_light(measured).text == "2.000000 MHz at 09:30"


def test_a_data_folder_that_does_not_exist_yet_is_judged_by_where_it_will_be(tmp_path) -> None:
    assert disk_light(tmp_path / "not" / "yet").health in (Health.GOOD, Health.WARNING)
