# SPDX-License-Identifier: MIT
"""Parameters declared once: name, label, unit, range and help give the form, the validation and the documentation.

A sequence declares a frozen dataclass whose fields are made with ``number``, ``integer``, ``choice`` or ``switch``. Values
are SI; ``unit`` is what a person sees.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from isocenter.domain.errors import SequenceError
from isocenter.domain.units import from_si, to_si

_KEY = "isocenter.parameter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared parameter.

    Attributes
    ----------
    name, label, help, group
        Field name; text on the form; one sentence; heading under which the form shows it.
    kind
        ``number``, ``integer``, ``choice`` or ``switch``.
    default
        SI value.
    unit
        Display unit, a key of ``units.SI_PER_UNIT``.
    low, high
        Allowed range, SI, inclusive.
    choices
        Allowed values of a choice.
    """

    name: str
    label: str
    help: str
    group: str
    kind: str
    default: float | int | str | bool
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def number(default: float, label: str, *, unit: str, low: float, high: float, help: str, group: str = "Sequence") -> Any:  # noqa: A002
    """Declare a number. ``default``, ``low`` and ``high`` are SI; ``unit`` is for display."""
    return _declare(label=label, help=help, group=group, kind="number", default=default, unit=unit, low=low, high=high)


def integer(default: int, label: str, *, low: int, high: int, help: str, group: str = "Sequence") -> Any:  # noqa: A002
    """Declare a whole number."""
    return _declare(label=label, help=help, group=group, kind="integer", default=default, low=low, high=high)


def choice(default: str, label: str, *, choices: tuple[str, ...], help: str, group: str = "Sequence") -> Any:  # noqa: A002
    """Declare a choice between words."""
    return _declare(label=label, help=help, group=group, kind="choice", default=default, choices=choices)


def switch(default: bool, label: str, *, help: str, group: str = "Sequence") -> Any:  # noqa: A002
    """Declare something that is on or off."""
    return _declare(label=label, help=help, group=group, kind="switch", default=default)


def _declare(**info: Any) -> Any:
    return dataclasses.field(default=info["default"], metadata={_KEY: info})


def parameters_of(declaration: type) -> tuple[Parameter, ...]:
    """All declared parameters of a dataclass, in order."""
    return tuple(
        Parameter(name=item.name, **item.metadata[_KEY]) for item in dataclasses.fields(declaration) if _KEY in item.metadata
    )


def make_parameters(declaration: type, values: Mapping[str, object]) -> Any:
    """Instance of a declaration from SI values, checked.

    Raises
    ------
    SequenceError
        Unknown name, wrong kind, or out of range; names the parameter, what was given and what is allowed.
    """
    known = {parameter.name: parameter for parameter in parameters_of(declaration)}
    for name in values:
        if name not in known:
            raise SequenceError(f"There is no parameter '{name}'.", f"Use one of: {', '.join(known)}.")
    return declaration(**{name: check_value(known[name], value) for name, value in values.items()})


def check_value(parameter: Parameter, value: object) -> float | int | str | bool:
    """The value in the parameter's own type, or SequenceError with what is allowed."""
    if parameter.kind == "switch":
        if isinstance(value, bool):
            return value
        raise _refuse(parameter, value, "on or off")
    if parameter.kind == "choice":
        if isinstance(value, str) and value in parameter.choices:
            return value
        raise _refuse(parameter, value, f"one of {', '.join(parameter.choices)}")
    allowed = allowed_text(parameter)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(parameter, value, allowed)
    if parameter.kind == "integer" and value != int(value):
        raise _refuse(parameter, value, f"a whole number, {allowed}")
    slack = 1e-9 * max(abs(parameter.low), abs(parameter.high), 1e-12) if math.isfinite(parameter.high) else 0.0
    if not parameter.low - slack <= value <= parameter.high + slack:  # in this form NaN fails too
        raise _refuse(parameter, value, allowed)
    return int(value) if parameter.kind == "integer" else float(value)


def allowed_text(parameter: Parameter) -> str:
    """The allowed range in display units, such as ``10 to 5000 ms``."""
    low, high = from_si(parameter.low, parameter.unit), from_si(parameter.high, parameter.unit)
    return f"{low:g} to {high:g} {parameter.unit}".strip()


def parse_text(parameter: Parameter, text: str) -> float | int | str | bool:
    """Value from what a person typed, in display units (a unit may follow), checked.

    Raises
    ------
    SequenceError
        When the text is not a value of this parameter; never guesses.
    """
    text = text.strip()
    if parameter.kind == "switch":
        words = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}
        return check_value(parameter, words.get(text.lower(), text))
    if parameter.kind == "choice":
        return check_value(parameter, text)
    number_text = text.removesuffix(parameter.unit).strip() if parameter.unit else text
    try:
        value = float(number_text)
    except ValueError:
        raise _refuse(parameter, text, allowed_text(parameter)) from None
    if parameter.kind == "integer":
        return check_value(parameter, int(value) if value.is_integer() else value)
    return check_value(parameter, to_si(value, parameter.unit))


def format_value(parameter: Parameter, value: object) -> str:
    """SI value as text in display units, without the unit, such as ``15``."""
    if parameter.kind == "switch":
        return "on" if value else "off"
    if parameter.kind == "number":
        return f"{from_si(cast(float, value), parameter.unit):.6g}"
    return str(value)


def _refuse(parameter: Parameter, value: object, allowed: str) -> SequenceError:
    shown: object = value
    if parameter.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        shown = f"{from_si(value, parameter.unit):g} {parameter.unit}".strip()
    return SequenceError(f"{parameter.label} ({parameter.name}) cannot be {shown}.", f"Give {allowed}.")
