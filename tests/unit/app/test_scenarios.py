# SPDX-License-Identifier: MIT
"""What a person changes of a scenario wins, what he leaves alone is the scenario's own."""

import pytest

from isocenter.app.scenario_faults import faults
from isocenter.app.scenarios import describe, scenarios
from isocenter.app.virtual_scanner import VirtualSetup, scanner_of, scenario_of
from isocenter.app.window import choice_from
from isocenter.config.scenarios import list_scenarios, load_scenario
from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scenario import Scenario


def test_what_is_not_said_is_the_scenarios_own():
    assert scenario_of(VirtualSetup(scenario="knee-72mT")) == load_scenario("knee-72mT")
    assert scenario_of(VirtualSetup()).name == "osii-one-brain"


def test_what_is_said_wins():
    setup = VirtualSetup(
        scenario="knee-72mT", phantom="block", position=PatientPosition.HFP, n_spins=700, has_noise=False, seed=9
    )
    scenario = scenario_of(setup)
    assert (scenario.phantom, scenario.position, scenario.n_spins) == ("block", PatientPosition.HFP, 700)
    assert (scenario.receiver.noise, scenario.seed) == (0.0, 9)
    assert scenario.magnet == load_scenario("knee-72mT").magnet


def test_a_phantom_by_name_replaces_a_label_map(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('summary = "x"\nphantom_file = "none.nii"\n')
    scenario = scenario_of(VirtualSetup(scenario=str(path), phantom="head"))
    assert (scenario.phantom, scenario.phantom_file) == ("head", "")


def test_an_unknown_phantom_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match=r"(?s)no phantom called 'hart'.*head"):
        scenario_of(VirtualSetup(phantom="hart"))


def test_the_scanner_follows_the_scenario_unless_one_is_named():
    assert scanner_of("knee-72mT", "osii-one") == "physio-72mT"
    assert scanner_of("ideal", "osii-one") == "osii-one"
    assert choice_from({"ISOCENTER_SCENARIO": "knee-72mT"}).scanner == "physio-72mT"
    assert choice_from({"ISOCENTER_SCENARIO": "knee-72mT", "ISOCENTER_SCANNER": "osii-mini"}).scanner == "osii-mini"
    assert choice_from({"ISOCENTER_SCENARIO": "knee-72mT", "ISOCENTER_CONSOLE": "hardware"}).scanner == "osii-one"


def test_faults_are_what_differs_from_perfect():
    assert faults(Scenario()) == {}
    assert faults(load_scenario("cold-magnet"))["magnet.drift_c_per_s"] == 0.002
    assert faults(load_scenario("noisy-ward"))["n_sensors"] == 3
    assert [scenario.name for scenario in scenarios()] == list(list_scenarios())
    assert "8985 ppm" in describe("osii-mini-raw-magnet")["field"]
