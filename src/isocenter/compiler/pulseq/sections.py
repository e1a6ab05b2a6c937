# SPDX-License-Identifier: MIT
"""The text of a Pulseq file cut into sections, and tables of numbers read from them with their line numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.pulseq.model import Floats, Ints
from isocenter.domain.errors import SequenceError

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""A scan of four hours with 2.6 million blocks is 100 MB of text; more than this is not a sequence."""
_MAX_SECTIONS: Final = 100
_EXPORT_AGAIN: Final = "Export the sequence again with the program that made it, or use another file."

_COMMENT = re.compile(rb"#[^\n]*")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(rb"\d{1,18}")
_LINE_BREAK: Final = 10
_FIRST_TEXT_BYTE: Final = 9  # a tab; a binary Pulseq file starts with 0x01 "pulseq" 0x02
_KNOWN: Final = frozenset(
    ["VERSION", "DEFINITIONS", "BLOCKS", "RF", "GRADIENTS", "TRAP", "ADC", "DELAYS", "EXTENSIONS", "SHAPES", "SIGNATURE"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section: everything between its heading and the next one.

    Attributes
    ----------
    file_name
        Name of the file, for messages.
    name
        Text in brackets, or ``extension NAME`` for the specification of an extension.
    type_id
        The extension's type number, 0 for other sections.
    body
        Text after the heading, comments blanked, so that line numbers stay.
    first_line
        Number of the heading's line, counted from 1.
    """

    file_name: str
    name: str
    type_id: int
    body: bytes
    first_line: int

    def refuse(self, line: int, what: str, remedy: str = "") -> NoReturn:
        """Raise SequenceError that names file, section and line."""
        title = self.name if self.name.startswith("extension") else f"[{self.name}]"
        raise SequenceError(
            f"{self.file_name}, line {line}, section {title}: {what}.",
            remedy or f"Correct line {line} in a text editor, or export the sequence again.",
        )

    def rows(self) -> Iterator[tuple[int, list[bytes]]]:
        """Line number and words of each line that is not empty."""
        for offset, line in enumerate(self.body.split(b"\n")):
            if words := line.split():
                yield self.first_line + offset, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers of one section.

    Attributes
    ----------
    section
        Where they come from; None for a section that the file does not have.
    values
        float64 or int64, shape ``(n_rows, n_columns)``.
    lines
        Line number of each row, shape ``(n_rows,)``.
    letters
        Last column where that is a letter, shape ``(n_rows,)``, else empty.
    """

    section: Section | None
    values: NDArray[Any]
    lines: Ints
    letters: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, dtype="U1"))

    def __len__(self) -> int:
        return len(self.values)

    def column(self, index: int) -> Floats:
        """One column as float64."""
        return np.ascontiguousarray(self.values[:, index], dtype=np.float64)

    def integers(self, index: int, what: str) -> Ints:
        """One column of whole numbers as int64, or SequenceError naming the line."""
        column = self.values[:, index]
        if column.dtype != np.int64:
            self.require((column == np.rint(column)) & (np.abs(column) < 2.0**53), f"{what} is not a whole number")
        return column.astype(np.int64)

    def require(self, good: NDArray[np.bool_] | np.bool_, what: str, remedy: str = "") -> None:
        """Refuse the first row where ``good`` is False; ``what`` may hold ``{line}``."""
        if not np.all(good):
            assert self.section is not None
            self.section.refuse(int(self.lines[int(np.argmin(good))]), what, remedy)

    def rows_of(self, wanted: Ints, asker: "Table", what: str) -> Ints:
        """Rows in which the ids stand, -1 for id 0; unknown ids are refused at the asking row's line."""
        if not np.any(wanted):
            return np.full(wanted.shape, -1, dtype=np.int64)
        ids = self.values[:, 0].astype(np.int64)
        largest = int(ids.max(initial=0))
        if largest > 4 * len(ids) + 100_000:  # sparse ids: search instead of a table by id
            order = np.argsort(ids, kind="stable")
            rows = order[np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)]
            rows = np.where(ids[rows] == wanted, rows, -1)
        else:
            row_of_id = np.full(largest + 2, -1, dtype=np.int64)
            row_of_id[ids] = np.arange(len(ids))
            rows = row_of_id[np.minimum(wanted, largest + 1)]
        good = (wanted == 0) | (rows >= 0)
        if not np.all(good):
            asker.require(good, f"{what} {int(wanted[int(np.argmin(good))])} is not in the file")
        return np.where(wanted == 0, -1, rows)


def split_sections(data: bytes, file_name: str) -> dict[str, Section]:
    """Sections by name, in the order of the file.

    Raises
    ------
    SequenceError
        When it is no text, too long, or a section comes twice or is unknown.
    """
    _require_text(data, file_name)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = b"".join((b"\n", data.removeprefix(b"\xef\xbb\xbf"), b"\n"))
    starts = _headings(data, file_name)
    sections: dict[str, Section] = {}
    line, counted = 0, 0
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        line += data.count(b"\n", counted, start)
        counted = start
        section = _section(data, start, end, line, file_name)
        if section.name in sections:
            section.refuse(line, f"this section is already at line {sections[section.name].first_line}", _EXPORT_AGAIN)
        sections[section.name] = section
    return sections


def _require_text(data: bytes, file_name: str) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise SequenceError(
            f"{file_name} is {len(data) / 2**20:.0f} MiB long; a sequence may have {MAX_FILE_BYTES / 2**20:.0f} MiB.",
            "Split the sequence into shorter ones, or check that this is the right file.",
        )
    if data.startswith(b"\x01pulseq"):
        raise SequenceError(f"{file_name} is a binary Pulseq file.", "Export the sequence as text (.seq).")
    if len(data) and np.frombuffer(data, dtype=np.uint8).min() < _FIRST_TEXT_BYTE:
        raise SequenceError(f"{file_name} is not a text file, so it is no Pulseq sequence.", "Choose a .seq file.")


def _headings(data: bytes, file_name: str) -> list[int]:
    """Positions of all headings, each at the start of a line."""
    text = np.frombuffer(data, dtype=np.uint8)
    brackets = np.flatnonzero(text == ord("["))
    found: list[int] = brackets[text[brackets - 1] == _LINE_BREAK].tolist()
    position = data.find(b"\nextension")
    while position >= 0 and len(found) <= _MAX_SECTIONS:
        found.append(position + 1)
        position = data.find(b"\nextension", position + 1)
    if len(found) > _MAX_SECTIONS:
        raise SequenceError(f"{file_name} has more than {_MAX_SECTIONS} sections.", _EXPORT_AGAIN)
    if not found:
        raise SequenceError(f"{file_name} is not a Pulseq file: it has no section such as [BLOCKS].", "Choose a .seq file.")
    return sorted(found)


def _section(data: bytes, start: int, end: int, line: int, file_name: str) -> Section:
    heading_end = data.index(b"\n", start)
    heading = _COMMENT.sub(b"", data[start:heading_end]).decode("latin-1").strip()
    body = data[heading_end:end]
    if b"#" in body:  # copying a long section takes its time
        body = _COMMENT.sub(b"", body)
    if heading.startswith("["):
        section = Section(file_name=file_name, name=heading.strip("[] \t").upper(), type_id=0, body=body, first_line=line)
        if section.name not in _KNOWN or not heading.endswith("]"):
            section.refuse(line, "this section is not part of Pulseq 1.2 to 1.5", _EXPORT_AGAIN)
        return section
    words = heading.split()
    section = Section(file_name=file_name, name="extension", type_id=0, body=body, first_line=line)
    if len(words) != 3 or not words[2].isascii() or not words[2].isdigit() or len(words[2]) > 9:
        section.refuse(line, "the heading must be 'extension NAME NUMBER'")
    return Section(file_name=file_name, name=f"extension {words[1]}", type_id=int(words[2]), body=body, first_line=line)


def read_table(section: Section | None, columns: tuple[int, ...], *, integer: bool = False, letter: bool = False) -> Table:
    """Numbers of a section, one row a line.

    Parameters
    ----------
    section
        None gives a table without rows.
    columns
        Allowed numbers of columns, the letter not counted; the most usual one first.
    integer
        Read as int64; else float64.
    letter
        The last word of each line is one letter.

    Raises
    ------
    SequenceError
        Naming the line: wrong number of columns, not a number, not finite, the same id twice, an id below 1.
    """
    dtype = np.int64 if integer else np.float64
    if section is None:
        return Table(section=None, values=np.zeros((0, columns[0]), dtype=dtype), lines=np.zeros(0, dtype=np.int64))
    body = section.body if section.body.endswith(b"\n") else section.body + b"\n"
    if integer:
        return _read_integers(section, body, columns)
    starts, counts = _words_of_lines(body)
    lines = np.flatnonzero(counts) + section.first_line
    counts = counts[counts > 0]
    width = _width(section, counts, lines, tuple(n + letter for n in columns))
    letters = np.zeros(0, dtype="U1")
    if letter and len(lines):
        body, letters = _take_letters(section, body, starts[width - 1 :: width], lines)
    values = _floats(section, body, len(starts)).reshape(len(lines), width)
    table = Table(section=section, values=values[:, : width - letter] if letter else values, lines=lines, letters=letters)
    table.require(np.isfinite(table.values).all(axis=1), "a value is not finite")
    _check_ids(table)
    return table


def _read_integers(section: Section, body: bytes, columns: tuple[int, ...]) -> Table:
    """Table of whole numbers without a sign."""
    from isocenter.compiler.pulseq.numbers import read_integers

    text = np.frombuffer(body, dtype=np.uint8)
    values, counts, is_sound = read_integers(text, int(np.count_nonzero(text == _LINE_BREAK)))
    rows = np.flatnonzero(counts)
    lines = rows + section.first_line
    width = _width(section, counts[rows], lines, columns)
    if not is_sound:
        _refuse_bad_word(section, np.int64)
    table = Table(section=section, values=values.reshape(len(lines), width), lines=lines)
    _check_ids(table)
    return table


def _words_of_lines(body: bytes) -> tuple[Ints, Ints]:
    """Start of each word, and number of words of each line. The text ends with a line break."""
    text = np.frombuffer(b"\n" + body, dtype=np.uint8)
    blank = text <= 32
    starts = np.flatnonzero(blank[:-1] & ~blank[1:])
    ends_of_lines = np.flatnonzero(text[1:] == 10)
    return starts, np.diff(np.searchsorted(starts, ends_of_lines), prepend=0)


def _width(section: Section, counts: Ints, lines: Ints, allowed: tuple[int, ...]) -> int:
    if not len(counts):
        return allowed[0]
    width = int(counts[0]) if counts[0] in allowed else allowed[0]
    if np.any(counts != width):
        bad = int(np.argmax(counts != width))
        section.refuse(int(lines[bad]), f"{int(counts[bad])} values where {width} are needed")
    return width


def _take_letters(section: Section, body: bytes, places: Ints, lines: Ints) -> tuple[bytes, NDArray[np.str_]]:
    """Replace the letter at the end of each line by a zero; the letters."""
    text = np.frombuffer(body, dtype=np.uint8).copy()
    characters = text[places]
    is_letter = ((characters | 32) >= ord("a")) & ((characters | 32) <= ord("z")) & (text[places + 1] <= 32)
    if not np.all(is_letter):
        section.refuse(int(lines[int(np.argmin(is_letter))]), "the last value must be one letter")
    letters = np.array([chr(code | 32) for code in characters.tolist()], dtype="U1")
    text[places] = ord("0")
    return text.tobytes(), letters


def _floats(section: Section, body: bytes, expected: int) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.fromstring(body, dtype=np.float64, sep=" ") if expected else np.zeros(0)
    except ValueError:
        values = np.zeros(0)
    if len(values) != expected:
        _refuse_bad_word(section, np.float64)
    return values


def _refuse_bad_word(section: Section, dtype: type) -> NoReturn:
    pattern, kind = (_INTEGER, "a whole number without a sign") if dtype is np.int64 else (_NUMBER, "a number")
    line = section.first_line
    for line, words in section.rows():
        for word in words:
            if not pattern.fullmatch(word) or len(word) > 100:
                section.refuse(line, f"'{word[:40].decode('latin-1')}' is not {kind}")
    section.refuse(line, "the numbers cannot be read")


def _check_ids(table: Table) -> None:
    ids = table.integers(0, "the id")
    table.require(ids > 0, "the id must be 1 or more")
    if np.all(ids[1:] > ids[:-1]):
        return
    order = np.argsort(ids, kind="stable")
    is_twice = np.zeros(len(ids), dtype=bool)
    is_twice[order[1:]] = ids[order[1:]] == ids[order[:-1]]
    if np.any(is_twice):
        row = int(np.argmax(is_twice))
        first = int(table.lines[int(np.argmax(ids == ids[row]))])
        table.require(~is_twice, f"the id {ids[row]} is already used at line {first}")
