# SPDX-License-Identifier: MIT
"""Pipelines as files that a person can read, edit and run again.

::

    [[step]]
    name = "filter"
    kind = "tukey"
    fraction = "50 %"      # a number is SI, text is in the unit that `isocenter reconstruct --steps` shows
    required = false       # the image is made without it when it fails
"""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from isocenter.domain.errors import ReconError, SequenceError
from isocenter.domain.parameters import Parameter, allowed_text, parameters_of, parse_text
from isocenter.domain.pipeline import StepOrder
from isocenter.recon.pipeline import check_pipeline, orders_of
from isocenter.recon.steps import STEPS

_HEAD: Final = """# A reconstruction pipeline of Isocenter: steps in the order in which they are done.
# `isocenter reconstruct SCAN --pipeline THIS_FILE` runs it; `isocenter reconstruct --steps` explains every step.
# A number is in SI units; text such as "50 %" is in the unit that is named beside it.
"""
_LARGEST_BYTES: Final = 1 << 20


def read_pipeline(path: Path) -> tuple[StepOrder, ...]:
    """The pipeline of a file, checked.

    Raises
    ------
    ReconError
        It cannot be read, or asks for what there is not; names file, step, and what is allowed.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ReconError(f"{path} is no pipeline: it is too large.", "Give a file that --write-pipeline has written.")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReconError(f"{path} cannot be read: {reason}.", "Correct the file at that place.") from None
    entries = table.pop("step", None)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries) or table:
        strange = f" but {', '.join(sorted(table))}" if table else ""
        raise ReconError(
            f"{path} is no pipeline: it holds no list of tables 'step' alone{strange}.",
            "Begin each step with a line [[step]]; --write-pipeline writes an example.",
        )
    orders = tuple(_order(path, number, entry) for number, entry in enumerate(entries, start=1))
    check_pipeline(orders, str(path))
    return orders


def _order(path: Path, number: int, entry: dict[str, Any]) -> StepOrder:
    values = dict(entry)
    name, required = values.pop("name", None), values.pop("required", None)
    if not isinstance(name, str) or name not in STEPS:
        raise ReconError(f"{path}, step {number}: there is no step {name!r}.", f"Set name to one of: {', '.join(STEPS)}.")
    where = f"{path}, step {number} '{name}'"
    if required is not None and not isinstance(required, bool):
        raise ReconError(f"{where}: required is {required!r}.", "Set it to true or false, or leave it away.")
    known = {item.name: item for item in parameters_of(STEPS[name].parameters)}
    parameters: dict[str, float | int | str | bool] = {}
    for key, value in values.items():
        item = known.get(key)
        is_text = item is not None and isinstance(value, str) and item.kind in {"number", "integer"}
        try:
            parameters[key] = parse_text(item, value) if is_text and item is not None else value
        except SequenceError as error:
            raise ReconError(f"{where}: {error.problem}", error.remedy) from None
    return StepOrder(step=name, parameters=parameters, is_required=required)


def pipeline_text(orders: Iterable[StepOrder]) -> str:
    """The pipeline as TOML that ``read_pipeline`` takes, every parameter written out and explained."""
    parts = [_HEAD]
    for order in orders_of(check_pipeline(orders)):
        step = STEPS[order.step]
        lines = [f"# {step.title}: {step.help}", "[[step]]", f"name = {json.dumps(order.step)}"]
        if order.is_required != step.is_required:
            lines.append(f"required = {json.dumps(order.is_required)}")
        lines += [f"{p.name} = {_toml(order.parameters[p.name])}  # {_explained(p)}" for p in parameters_of(step.parameters)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def steps_text() -> str:
    """Every step with its parameters, for people."""
    lines = []
    for step in STEPS.values():
        kind = "required" if step.is_required else "optional"
        change = f"{step.takes} -> {step.gives}" if step.takes is not step.gives else str(step.takes)
        lines += [f"{step.name}  ({kind}; {change})", f"    {step.title}. {step.help}"]
        lines += [f"    - {item.name}: {_explained(item)}" for item in parameters_of(step.parameters)]
        lines.append("")
    return "\n".join(lines)


def _explained(item: Parameter) -> str:
    allowed = {"choice": " | ".join(item.choices), "switch": "true | false"}.get(item.kind) or allowed_text(item)
    return f"{item.label} ({allowed}). {item.help}"


def _toml(value: float | int | str | bool) -> str:
    return json.dumps(value)
