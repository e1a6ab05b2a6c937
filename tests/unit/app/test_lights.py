# SPDX-License-Identifier: MIT
"""Lights are good only for what was really asked."""

from isocenter.app.lights import disk_light, frequency_light, link_light, unmonitored_lights
from isocenter.app.service import Health
from isocenter.devices.protocols import ConsoleIdentity
from isocenter.domain.scanner import Calibration


def test_a_console_that_nobody_asked_is_unknown() -> None:
    assert link_light(None, "").health is Health.UNKNOWN


def test_a_problem_outweighs_a_link_that_answers() -> None:
    identity = ConsoleIdentity(family="MaRCoS", version="1.0.5", kind="hardware")
    assert link_light(identity, "").health is Health.GOOD
    light = link_light(identity, "The console has not confirmed that every output is at zero.")
    assert (light.health, light.text) == (Health.BAD, "The console has not confirmed that every output is at zero.")


def test_amplifiers_without_a_wire_are_unknown_on_a_real_scanner() -> None:
    assert {light.health for light in unmonitored_lights(is_virtual=False)} == {Health.UNKNOWN}


def test_a_frequency_from_the_hardware_file_is_not_a_measured_one() -> None:
    assert frequency_light(Calibration(larmor_hz=2e6)).health is Health.UNKNOWN
    measured = Calibration(larmor_hz=2e6, measured_at="2026-01-01T09:30:00+00:00")
    assert frequency_light(measured).text == "2.000000 MHz at 09:30"


def test_a_data_folder_that_does_not_exist_yet_is_judged_by_where_it_will_be(tmp_path) -> None:
    assert disk_light(tmp_path / "not" / "yet").health in (Health.GOOD, Health.WARNING)
