# SPDX-License-Identifier: MIT
"""From what pydantic and the TOML parser say to one sentence with file, line, key, what was found and what is allowed."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel

from isocenter.config.schema import HardwareFile
from isocenter.domain.errors import ConfigError

_DERIVED = re.compile(r"^(b_?0|field|field_strength)(_m?t)?$", re.IGNORECASE)


def line_of(text: str, location: Sequence[str]) -> int | None:
    """Line on which a dotted key, or failing that the nearest table around it, stands; counted from 1."""
    table: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    rows: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[?)\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1]:  # one of several tables of that name
                rows[table] = rows.get(table, -1) + 1
                table = (*table, str(rows[table]))
            here = table
        else:
            key = re.match(r"\s*[\"']?([A-Za-z0-9_.\-]+)[\"']?\s*=", line)
            if not key:
                continue
            here = (*table, *key[1].split("."))
        depth = len(here)
        if tuple(location[:depth]) == here and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None


def where(path: Path, text: str, location: Sequence[str]) -> str:
    """``file, line 12, key 'magnet.larmor_hz'``."""
    line = line_of(text, location)
    at = f", line {line}" if line else ""
    dotted = ".".join(str(int(part) + 1) if part.isdigit() else part for part in location)  # people count from 1
    return f"{path}{at}, key '{dotted}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    model
        What such a file may say.
    manual
        The page about it.
    """

    model: type[BaseModel]
    manual: str


HARDWARE: Final = Kind(model=HardwareFile, manual="docs/hardware-files.md")


def explain(path: Path, text: str, errors: Sequence[Mapping[str, Any]], kind: Kind = HARDWARE) -> ConfigError:
    """The ConfigError for what a validation found; it tells the first problem in full and counts the rest."""
    # A misspelt key makes two findings, an unknown key and a missing one: the unknown one says more.
    first = min(errors, key=lambda error: (error["type"] != "extra_forbidden", errors.index(error)))
    location = [str(part) for part in first["loc"]]
    found, remedy = _sentence(first, location, kind)
    more = len(errors) - 1
    rest = f" There {'is 1 more problem' if more == 1 else f'are {more} more problems'} in this file." if more else ""
    return ConfigError(f"{where(path, text, location)}: {found}.{rest}", remedy)


def _sentence(error: Mapping[str, Any], location: list[str], kind: Kind) -> tuple[str, str]:
    problem, found = error["type"], error["input"]
    if problem == "extra_forbidden":
        return _unknown_key(location, kind)
    if problem == "missing":
        return "this key is missing", _example(location, kind)
    if problem == "value_error":
        return str(error["ctx"]["error"]), "Correct the value. Values are in the unit that the key's name ends in."
    allowed = _allowed(error, location, kind)
    return f"found {_short(found)}; allowed is {allowed}", _example(location, kind)


def _allowed(error: Mapping[str, Any], location: list[str], kind: Kind) -> str:
    context = error.get("ctx", {})
    named = {
        "float_type": "a number, without quotes and unit",
        "int_type": "a whole number",
        "string_type": "text in quotes",
        "string_too_short": f"text of at least {context.get('min_length')} characters",
        "string_too_long": f"text of at most {context.get('max_length')} characters",
        "enum": str(context.get("expected")),
        "literal_error": str(context.get("expected")),
        "model_type": "a number with its origin",
        "tuple_type": "a list",
        "bool_type": "true or false",
        "dict_type": "a table",
    }
    if error["type"] == "model_type" and _model_at(location, kind) is not None and "value" not in _keys(location, kind):
        return "a table"
    return named.get(error["type"], str(error["msg"]))


def _unknown_key(location: list[str], kind: Kind) -> tuple[str, str]:
    key, allowed = location[-1], _keys(location[:-1], kind)
    if kind is HARDWARE and _DERIVED.match(key):
        return (
            "the field strength is not typed",
            "Delete this key. The field follows from magnet.larmor_hz, so that the two can never disagree.",
        )
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    stem = [name for name in allowed if name.rsplit("_", 1)[0] == key.rsplit("_", 1)[0]]
    guess = (stem or near)[:1]
    hint = f"Did you mean '{guess[0]}'? " if guess else ""
    return "there is no such key", f"{hint}Allowed here: {', '.join(allowed)}."


def _example(location: list[str], kind: Kind) -> str:
    fields = _keys(location, kind)
    name = location[-1] if location else ""
    if kind is HARDWARE and name in {"evidence", "source", "value"}:
        return 'Each number is written { value = ..., evidence = "measured", "specified" or "assumed", source = "..." }.'
    if "value" in fields:
        return f'Write it as {name} = {{ value = ..., evidence = "assumed", source = "where it comes from" }}.'
    if fields:
        return f"Give the table [{'.'.join(location)}] with the keys {', '.join(fields)}."
    return f"Give the key {name}; {kind.manual} shows each key with an example."


def _model_at(location: Iterable[str], kind: Kind) -> type[BaseModel] | None:
    model: type[BaseModel] | None = kind.model
    for part in location:
        if part.isdigit():  # one row of several has the model of the others
            continue
        field = model.model_fields.get(part) if model else None
        if field is None:
            return None
        shape = field.annotation
        candidates = [shape, *get_args(shape)]
        model = next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)
    return model


def _keys(location: Iterable[str], kind: Kind) -> list[str]:
    model = _model_at(location, kind)
    return list(model.model_fields) if model else []


def _short(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
