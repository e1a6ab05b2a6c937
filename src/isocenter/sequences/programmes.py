# SPDX-License-Identifier: MIT
"""Programmes: what a technologist picks, a list of protocols in the order in which they are run.

They are written in ``programmes.toml`` next to the sequences; a user's own file lies over the shipped one by name.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isocenter.config.paths import search_dirs
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import Orientation
from isocenter.domain.parameters import check_value, parse_text
from isocenter.domain.scan import Prescription, Protocol
from isocenter.sequences.catalogue import parameters

_FILE = "programmes.toml"
_KEYS = {"name", "sequence", "orientation", "swap_read_phase", "parameters"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """A named list of protocols.

    Attributes
    ----------
    name
        Such as ``Brain, routine``.
    summary
        One sentence for the person who picks it.
    body_part
        DICOM body part, such as ``HEAD``.
    protocols
        In the order in which they are run.
    """

    name: str
    summary: str
    body_part: str
    protocols: tuple[Protocol, ...]


def load_programmes() -> tuple[Programme, ...]:
    """All programmes, in the order of their files, the user's first.

    Raises
    ------
    SequenceError
        When a file is wrong: names file, programme, protocol and parameter, and what is allowed.
    """
    found: dict[str, Programme] = {}
    for folder in search_dirs("sequences"):
        path = folder / _FILE
        if path.is_file():
            for name, table in _read(path).items():
                found.setdefault(name, _programme(f"{path}, programme '{name}'", name, table))
    return tuple(found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SequenceError(f"{path} cannot be read: {error}.", "Correct the file at that place.") from None


def _programme(where: str, name: str, table: Any) -> Programme:
    if not isinstance(table, dict):
        raise SequenceError(f"{where} is not a table.", "Write it as a table with summary, body_part and protocols.")
    for key, kind, what in (("summary", str, "text"), ("body_part", str, "text"), ("protocols", list, "a list of tables")):
        if not isinstance(table.get(key), kind):
            raise SequenceError(f"{where}: '{key}' is missing or not {what}.", f"Give {key} as {what}.")
    entries = [_protocol(where, entry) for entry in table["protocols"]]
    return Programme(name=name, summary=table["summary"], body_part=table["body_part"], protocols=tuple(entries))


def _protocol(where: str, entry: Any) -> Protocol:
    if not isinstance(entry, dict) or not {"name", "sequence"} <= entry.keys() or not entry.keys() <= _KEYS:
        raise SequenceError(
            f"{where}: a protocol is {entry!r}.", f"Give name and sequence; allowed besides are {', '.join(sorted(_KEYS))}."
        )
    here = f"{where}, protocol '{entry['name']}'"
    allowed = ", ".join(Orientation)
    if entry.get("orientation", "axial") not in list(Orientation):
        raise SequenceError(f"{here}: there is no orientation '{entry['orientation']}'.", f"Use one of: {allowed}.")
    try:
        values = _values(str(entry["sequence"]), entry.get("parameters", {}))
    except SequenceError as error:
        raise SequenceError(f"{here}: {error.problem}", error.remedy) from None
    prescription = Prescription(
        orientation=Orientation(entry.get("orientation", "axial")), swap_read_phase=bool(entry.get("swap_read_phase", False))
    )
    return Protocol(name=str(entry["name"]), sequence=str(entry["sequence"]), parameters=values, prescription=prescription)


def _values(sequence: str, given: dict[str, Any]) -> dict[str, float | int | str | bool]:
    """SI values: a number is SI as it stands, text such as ``15 ms`` is in the parameter's display unit."""
    known = {item.name: item for item in parameters(sequence)}
    values: dict[str, float | int | str | bool] = {}
    for name, value in given.items():
        if name not in known:
            raise SequenceError(f"There is no parameter '{name}'.", f"Use one of: {', '.join(known)}.")
        item = known[name]
        is_text = isinstance(value, str) and item.kind in {"number", "integer"}
        values[name] = parse_text(item, value) if is_text else check_value(item, value)
    return values
