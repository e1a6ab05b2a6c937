# SPDX-License-Identifier: MIT
"""The scenarios as a person chooses among them: in words, those with a broken file too."""

from pathlib import Path

from isocenter.app.fault_words import fault_sentences, is_good_day
from isocenter.app.service import ScenarioEntry
from isocenter.config.files import find_file
from isocenter.config.hardware import load_scanner
from isocenter.config.paths import user_dir
from isocenter.config.scenarios import list_scenarios
from isocenter.domain.errors import ConfigError, ConsoleError
from isocenter.domain.scanner import Scanner


def scenario_entries(scanner: Scanner) -> tuple[ScenarioEntry, ...]:
    """Every scenario, shipped and the user's own; takes half a second.

    Parameters
    ----------
    scanner
        Stays when a scenario is for any.
    """
    return tuple(_entry(name, scanner) for name in list_scenarios())


def _entry(name: str, scanner: Scanner) -> ScenarioEntry:
    from isocenter.virtual.physics.scenario import find_scenario, scenario_phantom

    path = find_file("scenarios", name, "scenario called")
    own_file = str(path) if path.parent == user_dir("scenarios") else ""
    try:
        scenario = find_scenario(name)
        phantom = scenario_phantom(scenario)
        _require_file(scenario.magnet.table)
        magnet = (load_scanner(scenario.scanner) if scenario.scanner else scanner).title
    except ConsoleError as error:
        return ScenarioEntry(name=name, own_file=own_file, problem=error.problem, remedy=error.remedy)
    return ScenarioEntry(
        name=name,
        own_file=own_file,
        summary=scenario.summary,
        phantom=phantom.summary,
        magnet=magnet,
        look_for=scenario.look_for,
        wrong=fault_sentences(scenario),
        is_good_day=is_good_day(scenario),
    )


def _require_file(name: str) -> None:
    if name and not Path(name).is_file():
        raise ConfigError(f"The field table {name} does not exist.", "Correct magnet.table, or put the file there.")
