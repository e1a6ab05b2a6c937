# SPDX-License-Identifier: MIT
"""What the head of a Pulseq file says: its version, its definitions and its rasters."""

import math
import re
from typing import Final, TypeAlias

from isocenter.compiler.pulseq.sections import Section
from isocenter.domain.errors import SequenceError

Version: TypeAlias = tuple[int, int, int]

RASTER_DEFAULTS_S: Final[dict[str, float]] = {
    "GradientRasterTime": 10e-6,
    "RadiofrequencyRasterTime": 1e-6,
    "AdcRasterTime": 100e-9,
    "BlockDurationRaster": 10e-6,
}
"""Rasters that files before 1.4 mean without saying so. Source: defaults of pypulseq 1.5.0, ``Opts``."""


def read_version(section: Section | None, file_name: str) -> Version:
    """Version of the format, from 1.2.0 to 1.5.x.

    Raises
    ------
    SequenceError
        When it is missing or one that cannot be read.
    """
    if section is None:
        raise SequenceError(
            f"{file_name} has no section [VERSION], so its columns cannot be told apart.",
            "Export the sequence again with a current program.",
        )
    found = {"major": -1, "minor": -1, "revision": 0}
    line = section.first_line
    for line, words in section.rows():
        key = words[0].decode("latin-1").lower()
        digits = re.match(rb"\d{1,4}", words[1]) if len(words) > 1 else None
        if key not in found or digits is None:
            section.refuse(line, "expected 'major', 'minor' or 'revision' and a number")
        found[key] = int(digits.group())
    version = (found["major"], found["minor"], found["revision"])
    if not (1, 2) <= version[:2] <= (1, 5):
        shown = ".".join(str(max(part, 0)) for part in version)
        section.refuse(line, f"version {shown} cannot be read, only 1.2 to 1.5", "Export the sequence as Pulseq 1.5.")
    return version


def read_definitions(section: Section | None) -> dict[str, str]:
    """Definitions as text by key; key and value may be separated by spaces or tabs."""
    definitions: dict[str, str] = {}
    if section is None:
        return definitions
    for offset, raw in enumerate(section.body.split(b"\n")):
        words = _decode(raw).strip().split(None, 1)
        if not words:
            continue
        value = words[1] if len(words) > 1 else ""
        if definitions.setdefault(words[0], value) != value:
            section.refuse(section.first_line + offset, f"'{words[0][:60]}' is defined twice with different values")
    return definitions


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_raster_s(key: str, definitions: dict[str, str], version: Version, file_name: str) -> float:
    """One of the four raster times [s].

    Raises
    ------
    SequenceError
        When a file of 1.4 or later does not define it, or the value is no length of time.
    """
    text = definitions.get(key)
    if text is None:
        if version < (1, 4, 0):
            return RASTER_DEFAULTS_S[key]
        raise SequenceError(
            f"{file_name}, section [DEFINITIONS]: {key} is missing; Pulseq {version[0]}.{version[1]} requires it.",
            f"Add a line such as '{key} {RASTER_DEFAULTS_S[key]:g}' with the raster that the sequence was made for.",
        )
    try:
        raster_s = float(text)
    except ValueError:
        raster_s = math.nan
    if not 1e-12 <= raster_s <= 1.0:  # in this form NaN fails too
        raise SequenceError(
            f"{file_name}, section [DEFINITIONS]: {key} is '{text[:40]}'; it must be a time from 1e-12 to 1 s.",
            f"Correct the line, for example '{key} {RASTER_DEFAULTS_S[key]:g}'.",
        )
    return raster_s
