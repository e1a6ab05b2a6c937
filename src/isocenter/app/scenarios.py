# SPDX-License-Identifier: MIT
"""The scenarios of the virtual scanner in words: what lies in them and what is wrong with them."""

import dataclasses
from pathlib import Path
from typing import Any

from isocenter.app.scenario_faults import faults
from isocenter.config.scenarios import list_scenarios, load_scenario
from isocenter.domain.scenario import Scenario
from isocenter.virtual.physics.field_table import fit_table, read_table
from isocenter.virtual.physics.scenario import find_scenario, scenario_phantom


def scenarios() -> tuple[Scenario, ...]:
    """Every scenario there is, shipped and the user's own.

    Raises
    ------
    ConfigError
        One of the files is wrong.
    """
    return tuple(load_scenario(name) for name in list_scenarios())


def overview(scenario: Scenario) -> dict[str, Any]:
    """Name, purpose and contents of a scenario as plain values that JSON can hold."""
    return {
        "name": scenario.name,
        "summary": scenario.summary,
        "look_for": scenario.look_for,
        "scanner": scenario.scanner,
        "phantom": scenario.phantom_file or scenario.phantom,
        "faults": faults(scenario),
    }


def describe(name_or_path: str) -> dict[str, Any]:
    """The same with the phantom's tissues and, where there is one, what the measured field is like.

    Raises
    ------
    ConfigError, StorageError
        There is no such scenario, or something that it names cannot be used.
    """
    scenario = find_scenario(name_or_path)
    phantom = scenario_phantom(scenario)
    entry = overview(scenario)
    entry["phantom_summary"] = phantom.summary
    entry["tissues"] = [dataclasses.asdict(tissue) | {"t2_star_s": tissue.t2_star_s} for tissue in phantom.tissues]
    if scenario.magnet.table:
        path = Path(scenario.magnet.table)
        table = read_table(path)
        entry["field"] = fit_table(table, float((table.position_m**2).sum(axis=1).max() ** 0.5), name=path.name).describe()
    return entry
