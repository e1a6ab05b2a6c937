# SPDX-License-Identifier: MIT
"""What can be scanned: sequences, their parameters, and named programmes of protocols."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from isocenter.domain.errors import SequenceError
from isocenter.domain.parameters import Parameter, allowed_text, check_value, format_value, parse_text
from isocenter.domain.scan import SequenceInfo
from isocenter.domain.units import to_si
from isocenter.sequences import catalogue as framework

_QUANTITIES: Final = (
    ("s", "ms", "us"),
    ("m", "cm", "mm"),
    ("Hz", "kHz", "MHz"),
    ("T", "mT", "uT"),
    ("T/m", "mT/m"),
    ("deg", "rad"),
)
_FAMILY: Final = {unit: family for family in _QUANTITIES for unit in family}


def sequences() -> tuple[SequenceInfo, ...]:
    """Every sequence there is, shipped and the user's own."""
    return framework.list_sequences()


def is_file(sequence: str) -> bool:
    """True when a protocol's sequence is a ``.seq`` file rather than a name."""
    return sequence.endswith(".seq")


def parameters(sequence: str) -> tuple[Parameter, ...]:
    """Declared parameters of a sequence; none for a ``.seq`` file."""
    return () if is_file(sequence) else framework.parameters(sequence)


def find(sequence: str) -> SequenceInfo:
    """One sequence, or a ``.seq`` file in the same words.

    Raises
    ------
    SequenceError
        There is none of that name; names those there are.
    """
    if is_file(sequence):
        path = Path(sequence)
        if not path.is_file():
            raise SequenceError(f"There is no file '{sequence}'.", "Check the path of the .seq file.")
        return SequenceInfo(
            name=path.stem,
            title=path.name,
            summary="A Pulseq file.",
            recon="cartesian",
            is_clinical=False,
            path=str(path),
        )
    for info in sequences():
        if info.name == sequence:
            return info
    names = ", ".join(info.name for info in sequences())
    raise SequenceError(
        f"There is no sequence called '{sequence}'.", f"Use one of: {names}; or give the path of a .seq file."
    )


def describe(sequence: str) -> dict[str, Any]:
    """A sequence and its parameters as plain values that JSON can hold."""
    info = find(sequence)
    return {
        "name": info.name,
        "title": info.title,
        "summary": info.summary,
        "recon": info.recon,
        "is_clinical": info.is_clinical,
        "parameters": [_describe(parameter) for parameter in parameters(sequence)],
    }


def _describe(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind in ("number", "integer"):
        allowed = allowed_text(parameter)
    else:
        allowed = ", ".join(parameter.choices) or "on, off"
    return {
        "name": parameter.name,
        "label": parameter.label,
        "help": parameter.help,
        "group": parameter.group,
        "kind": parameter.kind,
        "unit": parameter.unit,
        "default_si": parameter.default,
        "default_text": format_value(parameter, parameter.default),
        "allowed": allowed,
    }


def parse_assignments(sequence: str, assignments: Iterable[str]) -> dict[str, float | int | str | bool]:
    """SI values from ``name=value`` texts: ``tr_s=0.5`` and ``tr_s=500ms`` are the same.

    Raises
    ------
    SequenceError
        Unknown name, or a value that is not allowed.
    """
    known = {parameter.name: parameter for parameter in parameters(sequence)}
    values: dict[str, float | int | str | bool] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            raise SequenceError(f"'{assignment}' does not set a parameter.", "Write NAME=VALUE, such as tr_s=500ms.")
        if name not in known:
            remedy = f"Use one of: {', '.join(known)}." if known else "A .seq file has no parameters; leave -p away."
            raise SequenceError(f"{sequence} has no parameter '{name}'.", remedy)
        values[name] = _value(known[name], text.strip())
    return values


def _value(parameter: Parameter, text: str) -> float | int | str | bool:
    """A number without a unit is SI, as the name says; with a unit of the same quantity it is in that unit."""
    match = re.fullmatch(r"([-+0-9.eE]+|[-+]?(?:nan|inf))\s*([A-Za-z/%]*)", text)
    if parameter.kind != "number" or match is None:
        return parse_text(parameter, text)
    unit = match[2]
    if unit and unit not in _FAMILY.get(parameter.unit, (parameter.unit,)):
        alternatives = " or ".join(_FAMILY.get(parameter.unit, (parameter.unit or "no unit",)))
        raise SequenceError(f"{parameter.label} ({parameter.name}) is not measured in '{unit}'.", f"Use {alternatives}.")
    try:
        value = to_si(float(match[1]), unit)
    except ValueError:
        return parse_text(parameter, text)  # which refuses it in the parameter's own words
    try:
        return check_value(parameter, value)
    except SequenceError as error:
        if unit or to_si(1.0, parameter.unit) == 1.0:
            raise
        # The limits are told in the unit of the form; whoever types them here without it would be refused again.
        low = error.remedy.removeprefix("Give ").split()[0]
        raise type(error)(
            error.problem, f"{error.remedy} Write the unit too, such as {parameter.name}={low}{parameter.unit}."
        ) from None
