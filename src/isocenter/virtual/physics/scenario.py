# SPDX-License-Identifier: MIT
"""Scenarios by name, and what lies in them."""

from pathlib import Path

from isocenter.config.scenarios import load_scenario
from isocenter.domain.scenario import Scenario
from isocenter.virtual.phantoms.catalogue import find_phantom
from isocenter.virtual.phantoms.label_map import load_label_map
from isocenter.virtual.phantoms.phantom import Phantom


def find_scenario(name_or_path: str | Path) -> Scenario:
    """Scenario of a name or in a file, whose phantom is there as well.

    Raises
    ------
    ConfigError
        There is none of that name, its file is wrong, or its phantom is not there.
    """
    scenario = load_scenario(name_or_path)
    if not scenario.phantom_file:
        find_phantom(scenario.phantom)
    return scenario


def scenario_phantom(scenario: Scenario) -> Phantom:
    """What lies in a scenario: its label map if it has one, else its phantom.

    Raises
    ------
    ConfigError
        There is no phantom of that name, or the label map or its table of tissues cannot be used.
    """
    return load_label_map(Path(scenario.phantom_file)) if scenario.phantom_file else find_phantom(scenario.phantom)
