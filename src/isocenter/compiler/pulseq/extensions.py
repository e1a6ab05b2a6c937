# SPDX-License-Identifier: MIT
"""Extensions: labels, triggers, soft delays, rotations and transmit shims, attached to blocks by linked lists."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np

from isocenter.compiler.pulseq.model import ExtensionSet, Ints, SoftDelay, Trigger
from isocenter.compiler.pulseq.sections import Section, Table
from isocenter.domain.errors import SequenceError

LABELS: Final = frozenset(
    (
        *("LIN", "PAR", "ACQ", "SLC", "SEG", "REP", "AVG", "SET", "ECO", "PHS"),
        *("NAV", "REV", "SMS", "OFF", "NOISE", "REF", "IMA", "PMC", "NOPOS", "NOROT", "NOSCL", "ONCE", "TRID"),
    )
)
"""Source: Pulseq specification 1.5, section on labels. Its text writes NOSLC where its programs write NOSCL."""

_US: Final = 1e-6
_MAX_CHAIN: Final = 256
_SHORT: Final = 8  # entries of a list
_MAX_STEPS: Final = 5_000_000
_MAX_SECONDS: Final = 1e6
_LABEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")


@dataclass(slots=True)
class _Specification:
    """One ``extension NAME TYPE`` section: what each id stands for; None for a name that is not known."""

    name: str
    objects: dict[int, Any] | None


def read_extension_sets(
    sections: dict[str, Section], entries: Table, heads: list[int], definitions: dict[str, str], file_name: str
) -> tuple[tuple[ExtensionSet, ...], list[str]]:
    """The extension set of each list head, and warnings.

    Parameters
    ----------
    sections
        All sections of the file.
    entries
        ``[EXTENSIONS]``: id, type, ref, next.
    heads
        Ids of the lists that blocks ask for, each once.

    Raises
    ------
    SequenceError
        A required extension is unknown, a list runs in a circle or points nowhere, or an object is wrong.
    """
    warnings: list[str] = []
    specifications = _read_specifications(sections, warnings)
    _refuse_required(definitions, file_name)
    chain = _Chains(entries, specifications)
    sets = chain.collect_all(heads)
    for name, count in chain.ignored.items():
        warnings.append(
            f"The extension {name} is not known; it is left out in {count} kinds of block. Check that it does not matter."
        )
    if chain.has_repeated_set:
        warnings.append("A block sets the same label twice; the later entry of its list is used.")
    return sets, warnings


def _read_specifications(sections: dict[str, Section], warnings: list[str]) -> dict[int, _Specification]:
    parsers: dict[str, Callable[[Section, int, list[bytes]], Any]] = {
        "TRIGGERS": _trigger,
        "LABELSET": _label,
        "LABELINC": _label,
        "DELAYS": _soft_delay,
        "ROTATIONS": _rotation,
        "RF_SHIMS": _rf_shim,
    }
    found: dict[int, _Specification] = {}
    for section in sections.values():
        if not section.name.startswith("extension "):
            continue
        name = section.name.removeprefix("extension ")
        if section.type_id in found:
            section.refuse(section.first_line, f"the extension number {section.type_id} is already used")
        objects = _read_objects(section, parsers[name]) if name in parsers else None
        found[section.type_id] = _Specification(name, objects)
        if name in ("LABELSET", "LABELINC") and objects:
            unknown = sorted({label for label, _ in objects.values()} - LABELS)
            if unknown:
                warnings.append(f"Labels that Pulseq does not define: {', '.join(unknown[:8])}. They are carried along.")
    return found


def _read_objects(section: Section, parse: Callable[[Section, int, list[bytes]], Any]) -> dict[int, Any]:
    objects: dict[int, Any] = {}
    for line, words in section.rows():
        number = _integer(section, line, words[0])
        if number < 1 or number in objects:
            section.refuse(line, "the id must be 1 or more" if number < 1 else f"the id {number} is already used")
        objects[number] = parse(section, line, words[1:])
    return objects


def _refuse_required(definitions: dict[str, str], file_name: str) -> None:
    known = {"TRIGGERS", "LABELSET", "LABELINC", "DELAYS", "ROTATIONS", "RF_SHIMS"}
    missing = [name for name in definitions.get("RequiredExtensions", "").split() if name not in known]
    if missing:
        raise SequenceError(
            f"{file_name} requires the extension {', '.join(missing)[:200]}, which this program does not know.",
            "Use a newer version of this program, or export the sequence without this extension.",
        )


class _Chains:
    """Walks the linked lists."""

    def __init__(self, entries: Table, specifications: dict[int, _Specification]) -> None:
        self._table = entries
        self._specifications = specifications
        self._lines = entries.lines.tolist()
        self._rows = entries.values.tolist()
        self._entries: dict[int, tuple[int, int, int, int]] = {}  # made when a list holds more than labels
        self._steps = 0
        self.ignored: dict[str, int] = {}
        self.has_repeated_set = False

    def collect_all(self, heads: list[int]) -> tuple[ExtensionSet, ...]:
        """Everything that each list attaches to a block."""
        found = self._collect_labels(heads)
        return tuple([found.get(head) or self._collect_any(head) for head in heads])

    def _collect_labels(self, heads: list[int]) -> dict[int, ExtensionSet]:
        """The short lists that hold nothing but LABELSET, all at once: they are most of all lists."""
        kinds = {number: one for number, one in self._specifications.items() if one.name == "LABELSET" and one.objects}
        objects = {(number, ref): label for number, one in kinds.items() for ref, label in (one.objects or {}).items()}
        if not objects or not heads:
            return {}
        rows, length = self._follow(np.array(heads, dtype=np.int64), set(kinds))
        if self._steps + int(length.sum()) > _MAX_STEPS:
            return {}
        self._steps += int(length.sum())
        labels = [objects.get((type_id, ref)) for _, type_id, ref, _ in self._rows]
        number = {name: code for code, name in enumerate(sorted({name for name, _ in objects.values()}))}
        codes = np.array([-1 if label is None else number[label[0]] for label in labels], dtype=np.int64)
        found: dict[int, ExtensionSet] = {}
        for n in np.unique(length[length > 0]).tolist():
            members = np.flatnonzero(length == n)
            part = rows[members, :n]
            good = np.all(codes[part] >= 0, axis=1)  # others name an object that is not there
            members, part = members[good], part[good]
            for i in range(1, n):
                self.has_repeated_set |= bool(np.any(codes[part[:, :i]] == codes[part[:, i : i + 1]]))
            columns = [[labels[row] for row in part[:, i].tolist()] for i in range(n)]
            for place, chosen in zip(members.tolist(), zip(*columns, strict=True), strict=True):
                found[heads[place]] = ExtensionSet((), chosen)
        return found

    def _follow(self, heads: Ints, kinds: set[int]) -> tuple[Ints, Ints]:
        """Rows of the entries of each list, and their number; 0 for a list that is long, or has an entry of another kind."""
        ids, types, following = (np.ascontiguousarray(self._table.values[:, i], dtype=np.int64) for i in (0, 1, 3))
        if not len(ids):
            return np.zeros((len(heads), 0), dtype=np.int64), np.zeros(len(heads), dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        is_label = np.isin(types, list(kinds))
        rows, length = np.zeros((len(heads), _SHORT), dtype=np.int64), np.zeros(len(heads), dtype=np.int64)
        waiting, position = np.arange(len(heads)), heads
        for step in range(_SHORT):
            row = order[np.minimum(np.searchsorted(ids, position), len(ids) - 1)]
            good = (self._table.values[row, 0] == position) & is_label[row]
            waiting, row = waiting[good], row[good]
            rows[waiting, step] = row
            position = following[row]
            length[waiting[position == 0]] = step + 1
            waiting, position = waiting[position != 0], position[position != 0]
        return rows, length

    def _note_repeated(self, labels: list[Any]) -> None:
        if len({name for name, _ in labels}) < len(labels):
            self.has_repeated_set = True

    def _collect_any(self, head: int) -> ExtensionSet:
        if not self._entries:
            self._entries = {
                number: (index, type_id, ref, following)
                for index, (number, type_id, ref, following) in enumerate(self._rows)
            }
        found: dict[str, list[Any]] = {}
        ignored: set[str] = set()
        position, steps = head, 0
        while position:
            entry = self._entries.get(position)
            if entry is None:
                self._refuse(0, f"the entry {position} of an extension list is not in the file")
            index, type_id, ref, position = entry
            steps += 1
            if steps > _MAX_CHAIN:
                self._refuse(index, f"an extension list runs in a circle or has more than {_MAX_CHAIN} entries")
            specification = self._specifications.get(type_id)
            if specification is None:
                self._refuse(index, f"the extension number {type_id} has no 'extension NAME {type_id}' section")
            if specification.objects is None:
                ignored.add(specification.name)
            elif ref in specification.objects:
                found.setdefault(specification.name, []).append(specification.objects[ref])
            else:
                self._refuse(index, f"{specification.name} has no entry {ref}")
        self._count(head, steps, ignored)
        return self._make(head, found)

    def _count(self, head: int, steps: int, ignored: set[str]) -> None:
        self._steps += steps
        if self._steps > _MAX_STEPS:
            self._refuse(self._entries[head][0], f"the extension lists have more than {_MAX_STEPS} entries in total")
        for name in ignored:
            self.ignored[name] = self.ignored.get(name, 0) + 1

    def _refuse(self, index: int, what: str) -> NoReturn:
        section = self._table.section
        if section is None or not self._lines:
            raise SequenceError("The file uses extensions but has no section [EXTENSIONS].", "Export the sequence again.")
        section.refuse(self._lines[index], what)

    def _one(self, head: int, found: dict[str, list[Any]], name: str) -> Any:
        """The only object of a kind, or None."""
        objects = found.get(name)
        if not objects:
            return None
        if len(objects) > 1:
            self._refuse(self._entries[head][0], f"a block has two {name}; only one is allowed")
        return objects[0]

    def _make(self, head: int, found: dict[str, list[Any]]) -> ExtensionSet:
        self._note_repeated(found.get("LABELSET", []))
        return ExtensionSet(
            triggers=tuple(found.get("TRIGGERS", ())),
            label_set=tuple(found.get("LABELSET", ())),
            label_increment=tuple(found.get("LABELINC", ())),
            soft_delay=self._one(head, found, "DELAYS"),
            rotation=self._one(head, found, "ROTATIONS"),
            rf_shim=self._one(head, found, "RF_SHIMS"),
        )


def _integer(section: Section, line: int, word: bytes) -> int:
    text = word.decode("latin-1")
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        section.refuse(line, f"'{text[:40]}' is not a whole number")
    return int(text)


def _number(section: Section, line: int, word: bytes, limit: float = _MAX_SECONDS * 1e6) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:  # in this form NaN fails too
        section.refuse(line, f"'{word[:40].decode('latin-1')}' is not a number up to {limit:g}")
    return value


def _need(section: Section, line: int, words: list[bytes], count: int) -> None:
    if len(words) != count:
        section.refuse(line, f"{len(words) + 1} values where {count + 1} are needed")


def _trigger(section: Section, line: int, words: list[bytes]) -> Trigger:
    _need(section, line, words, 4)
    kind, channel = _integer(section, line, words[0]), _integer(section, line, words[1])
    delay_us, duration_us = _number(section, line, words[2]), _number(section, line, words[3])
    if kind not in (1, 2) or channel < 0 or delay_us < 0 or duration_us < 0:
        section.refuse(line, "a trigger needs type 1 or 2, and a channel and times that are not negative")
    return Trigger(is_output=kind == 1, channel=channel, delay_s=delay_us * _US, duration_s=duration_us * _US)


def _label(section: Section, line: int, words: list[bytes]) -> tuple[str, int]:
    _need(section, line, words, 2)
    value, name = _integer(section, line, words[0]), words[1].decode("latin-1")
    if not _LABEL_NAME.fullmatch(name) or abs(value) > 2**31 - 1:
        section.refuse(line, f"'{name[:40]}' {value} is not a label with a value of 32 bits")
    return ("NOSCL" if name == "NOSLC" else name), value


def _soft_delay(section: Section, line: int, words: list[bytes]) -> SoftDelay:
    if len(words) < 4:
        section.refuse(line, f"{len(words) + 1} values where 5 are needed")
    factor = _number(section, line, words[2], 1e9)
    if factor == 0:
        section.refuse(line, "the factor of a soft delay is 0")
    return SoftDelay(
        number=_integer(section, line, words[0]),
        offset_s=_number(section, line, words[1]) * _US,
        factor=factor,
        hint=b" ".join(words[3:]).decode("utf-8", "replace")[:64],
    )


def _rotation(section: Section, line: int, words: list[bytes]) -> tuple[float, float, float, float]:
    _need(section, line, words, 4)
    w, x, y, z = (_number(section, line, word, 10.0) for word in words)
    norm = math.sqrt(w * w + x * x + y * y + z * z)
    if abs(norm - 1.0) > 1e-3:
        section.refuse(line, f"the rotation has length {norm:.4g}; a quaternion of length 1 is needed")
    return (w / norm, x / norm, y / norm, z / norm)


def _rf_shim(section: Section, line: int, words: list[bytes]) -> tuple[complex, ...]:
    count = _integer(section, line, words[0]) if words else 0
    if not 1 <= count <= 128:
        section.refuse(line, "a transmit shim needs 1 to 128 channels")
    _need(section, line, words, 1 + 2 * count)
    values = [_number(section, line, word, 1e3) for word in words[1:]]
    return tuple(
        complex(magnitude * math.cos(phase), magnitude * math.sin(phase))
        for magnitude, phase in zip(values[0::2], values[1::2], strict=True)
    )
