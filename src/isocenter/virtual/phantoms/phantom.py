# SPDX-License-Identifier: MIT
"""What a phantom is: a table of tissues, and a function of the place in the patient (LPS, metres) that says which is there.

Label 0 is air, 1, 2 ... are the tissues in turn. So a phantom has no resolution of its own: spins and the truth that
images are compared with come from the same function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isocenter.virtual.phantoms.solids import Labels, Part, Places, Triple, paint
from isocenter.virtual.phantoms.tissue import Tissue


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """An object to scan.

    Attributes
    ----------
    name, summary
        For people.
    tissues
        Those that it is made of; label 1 is the first.
    label
        Labels of places, ``(n, 3)`` LPS [m] to ``(n,)``.
    low_m, high_m
        Corners of a box around it, LPS [m].
    """

    name: str
    summary: str
    tissues: tuple[Tissue, ...]
    label: Callable[[Places], Labels]
    low_m: Triple
    high_m: Triple


def painted(
    name: str, summary: str, tissues: tuple[Tissue, ...], parts: Sequence[Part], low_m: Triple, high_m: Triple
) -> Phantom:
    """Phantom of solids painted one over the other."""
    fixed = tuple(parts)
    return Phantom(
        name=name,
        summary=summary,
        tissues=tissues,
        label=lambda places: paint(places, fixed),
        low_m=low_m,
        high_m=high_m,
    )


def centred(name: str, summary: str, tissues: tuple[Tissue, ...], parts: Sequence[Part], size_m: Triple) -> Phantom:
    """The same in a box of a size about the isocenter."""
    half = (size_m[0] / 2, size_m[1] / 2, size_m[2] / 2)
    return painted(name, summary, tissues, parts, (-half[0], -half[1], -half[2]), half)
