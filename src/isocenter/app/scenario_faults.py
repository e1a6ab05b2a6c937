# SPDX-License-Identifier: MIT
"""What is not perfect in a scenario."""

import dataclasses
from typing import Any

from isocenter.domain.scenario import Scenario


def faults(scenario: Scenario) -> dict[str, Any]:
    """Everything that is not perfect, by its key in the file."""
    perfect = Scenario()
    found: dict[str, Any] = {}
    for part in ("magnet", "gradients", "coil", "receiver", "motion", "devices"):
        one, other = getattr(scenario, part), getattr(perfect, part)
        for field in dataclasses.fields(one):
            value = getattr(one, field.name)
            if value != getattr(other, field.name):
                found[f"{part}.{field.name}"] = _plain(value)
    for name in ("interference", "n_sensors", "has_diffusion"):
        if getattr(scenario, name) != getattr(perfect, name):
            found[name] = _plain(getattr(scenario, name))
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
