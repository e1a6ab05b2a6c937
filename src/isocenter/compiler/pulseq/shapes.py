# SPDX-License-Identifier: MIT
"""Shapes: lists of numbers, stored plain or as run-length coded differences."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

import numpy as np

from isocenter.compiler.pulseq.model import Floats
from isocenter.compiler.pulseq.sections import Section

MAX_SHAPE_SAMPLES: Final = 10_000_000
"""10 s on a raster of 1 us."""
MAX_TOTAL_SAMPLES: Final = 40_000_000
_SHORTER: Final = "Check the shape, or export the sequence again with shorter pulses and gradients."


@dataclass(slots=True)
class Budget:
    """How many samples the file may still unfold to, so that a small file cannot fill the memory."""

    left: int = MAX_TOTAL_SAMPLES

    def spend(self, samples: int, refuse: Callable[[str, str], NoReturn]) -> None:
        """Take samples, or refuse."""
        self.left -= samples
        if self.left < 0:
            refuse(f"the shapes of the file unfold to more than {MAX_TOTAL_SAMPLES} samples", _SHORTER)


@dataclass(frozen=True, slots=True)
class StoredShape:
    """A shape as the file has it: the number of samples, and the stored values."""

    n_samples: int
    stored: Floats
    line: int


@dataclass(slots=True)
class Shapes:
    """All shapes of a file, unfolded when first asked for.

    Attributes
    ----------
    section
        ``[SHAPES]``, None if the file has none.
    is_plain_allowed
        True from version 1.4 on: as many stored values as samples means that they are the samples.
    """

    section: Section | None
    is_plain_allowed: bool
    budget: Budget = field(default_factory=Budget)
    stored: dict[int, StoredShape] = field(default_factory=dict)
    _unfolded: dict[int, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.section is not None:
            self.stored = _read_shapes(self.section)

    def __contains__(self, shape_id: int) -> bool:
        return shape_id in self.stored

    def samples(self, shape_id: int) -> Floats:
        """Samples of a shape, shape ``(n_samples,)``. The same array each time."""
        if shape_id not in self._unfolded:
            assert self.section is not None
            shape = self.stored[shape_id]
            self._unfolded[shape_id] = self._unfold(self.section, shape)
        return self._unfolded[shape_id]

    def _unfold(self, section: Section, shape: StoredShape) -> Floats:
        def refuse(what: str, remedy: str = "") -> NoReturn:
            section.refuse(shape.line, what, remedy)

        self.budget.spend(shape.n_samples, refuse)
        if self.is_plain_allowed and len(shape.stored) == shape.n_samples:
            return shape.stored
        samples = unfold(shape.stored, shape.n_samples)
        if samples is None:
            refuse(f"the {len(shape.stored)} stored values do not unfold to {shape.n_samples} samples")
        return samples


def unfold(stored: Floats, n_samples: int) -> Floats | None:
    """Samples of run-length coded differences, or None if the counts do not fit.

    Two equal values and a count k stand for the value k + 2 times in total; the sum of all is the shape.

    Source
    ------
    Pulseq specification 1.5, section on shapes.
    """
    repeats = np.ones(len(stored))
    end = 0
    for place in np.flatnonzero(stored[1:] == stored[:-1]).tolist():
        if place < end:  # a run of equal numbers inside a triple that is already read
            continue
        if place + 2 >= len(stored):
            return None
        repeats[place : place + 3] = (stored[place + 2] + 2, 0, 0)
        end = place + 3
    if np.any(repeats < 0) or np.any(repeats != np.rint(repeats)) or repeats.sum() != n_samples:
        return None
    samples: Floats = np.cumsum(np.repeat(stored, repeats.astype(np.int64)))
    return samples


def _read_shapes(section: Section) -> dict[int, StoredShape]:
    shapes: dict[int, StoredShape] = {}
    pieces = section.body.split(b"shape_id")
    if pieces[0].strip():
        section.refuse(section.first_line + 1, "a shape must start with 'shape_id'")
    line = section.first_line + pieces[0].count(b"\n")
    for piece in pieces[1:]:
        shape_id, shape = _read_shape(section, piece, line)
        if shape_id in shapes:
            section.refuse(line, f"the shape {shape_id} is already at line {shapes[shape_id].line}")
        shapes[shape_id] = shape
        line += piece.count(b"\n")
    return shapes


def _read_shape(section: Section, piece: bytes, line: int) -> tuple[int, StoredShape]:
    words = piece.split(None, 3)
    if len(words) < 3 or words[1].lower() != b"num_samples" or not (words[0].isdigit() and words[2].isdigit()):
        section.refuse(line, "a shape needs 'shape_id' and 'num_samples' with a whole number each")
    if len(words[0]) > 18 or int(words[0]) < 1:
        section.refuse(line, "the id must be 1 or more")
    if len(words[2]) > 18 or int(words[2]) > MAX_SHAPE_SAMPLES:
        section.refuse(
            line, f"{words[2][:30].decode()} samples are more than the {MAX_SHAPE_SAMPLES} that a shape may have", _SHORTER
        )
    if int(words[2]) == 0:
        section.refuse(line, "the shape has no samples")
    text = words[3] if len(words) > 3 else b""
    try:
        stored = np.fromstring(text, dtype=np.float64, sep=" ") if text.strip() else np.zeros(0)
    except ValueError:
        stored = np.zeros(0)
    if len(stored) != len(text.split()):
        section.refuse(line, f"shape {words[0].decode()} holds something that is not a number")
    if not np.all(np.isfinite(stored)) or np.any(np.abs(stored) > 1e9):
        section.refuse(line, f"shape {words[0].decode()} holds a value that is not finite or far too large")
    return int(words[0]), StoredShape(int(words[2]), stored, line)
