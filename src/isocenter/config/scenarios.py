# SPDX-License-Identifier: MIT
"""Scenario files to ``domain.scenario.Scenario``, and the tables of tissues of label maps.

docs/virtual-scanner.md tells how such a file is written.
"""

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from isocenter.config.files import find_file, list_names, read_toml
from isocenter.config.problems import Kind, explain
from isocenter.config.scenario_schema import ScenarioFile, TissueFile, TissueTable
from isocenter.domain.scenario import (
    CoilFaults,
    DeviceEvent,
    DeviceFaults,
    EddyTerm,
    GradientFaults,
    Interference,
    MagnetFaults,
    Motion,
    MotionStep,
    ReceiverFaults,
    Scenario,
)

_MANUAL: Final = "docs/virtual-scanner.md"
_SCENARIO: Final = Kind(model=ScenarioFile, manual=_MANUAL)
_TISSUES: Final = Kind(model=TissueFile, manual=_MANUAL)


def list_scenarios() -> tuple[str, ...]:
    """Names of all scenario files found, the user's and the shipped ones, sorted. They are not read."""
    return list_names("scenarios")


def load_scenario(name_or_path: str | Path) -> Scenario:
    """The scenario that a file describes. Files that it names become absolute, counted from its own folder.

    Parameters
    ----------
    name_or_path
        A name such as ``noisy-ward``, looked for in the user's folder, then among the shipped ones; or the path of a file.

    Raises
    ------
    ConfigError
        When there is no such file or something in it is wrong; names file, line, key, what was found, what is allowed.
    """
    path = find_file("scenarios", name_or_path, "scenario called")
    choose = "Choose a scenario file (.toml), or one of: " + ", ".join(list_scenarios()) + "."
    text, raw = read_toml(path, noun="scenario file", choose=choose, manual=_MANUAL)
    try:
        file = ScenarioFile.model_validate(raw)
    except ValidationError as error:
        raise explain(path, text, error.errors(), _SCENARIO) from None
    return _scenario(path, file)


def load_tissues(path: Path) -> tuple[TissueTable, ...]:
    """Rows of a table of tissues, by label.

    Raises
    ------
    ConfigError
        As for a scenario.
    """
    choose = f"Put the table of tissues beside the label map, as {path.name}."
    text, raw = read_toml(path, noun="table of tissues", choose=choose, manual=_MANUAL)
    try:
        file = TissueFile.model_validate(raw)
    except ValidationError as error:
        raise explain(path, text, error.errors(), _TISSUES) from None
    return tuple(sorted(file.tissue, key=lambda row: row.label))


def _scenario(path: Path, file: ScenarioFile) -> Scenario:
    values: dict[str, Any] = {name: getattr(file, name) for name in type(file).model_fields}
    tables = ("magnet", "gradients", "motion", "devices")
    magnet, gradients, motion, devices = (getattr(file, name).model_dump() for name in tables)
    devices["events"] = tuple(DeviceEvent(**(event | {"role": str(event["role"])})) for event in devices["events"])
    magnet["table"] = _beside(path, file.magnet.table)
    gradients["eddy"] = tuple(EddyTerm(**term) for term in gradients["eddy"])
    motion["steps"] = tuple(MotionStep(**step) for step in motion["steps"])
    values |= {
        "name": path.stem,
        "phantom_file": _beside(path, file.phantom_file),
        "magnet": MagnetFaults(**magnet),
        "gradients": GradientFaults(**gradients),
        "coil": CoilFaults(**file.coil.model_dump()),
        "receiver": ReceiverFaults(**file.receiver.model_dump()),
        "interference": tuple(Interference(**source.model_dump()) for source in file.interference),
        "motion": Motion(**motion),
        "devices": DeviceFaults(**devices),
    }
    return Scenario(**values)


def _beside(path: Path, name: str) -> str:
    return str((path.parent / name).resolve()) if name else ""
