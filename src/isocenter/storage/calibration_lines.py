# SPDX-License-Identifier: MIT
"""One calibration, one line: plain JSON that carries its own checksum, so that a damaged one is never taken for whole.

::

    {"at": "2026-11-22T12:00:00.000Z", "at_s": 1795348800.0, "boot": "…", "steady_s": 5021.4, "by": "…",
     "accepted": {…}, "crc32": "89abcdef"}

The checksum is of the line's bytes without itself. Instead of ``accepted`` there may be ``refused``.
"""

import json
import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from isocenter.domain.calibration import CalibrationValue, RefusedCalibration
from isocenter.domain.errors import StorageError
from isocenter.storage.values import from_plain, to_plain

_TAIL: Final = len(', "crc32": "00000000"}')
_KINDS: Final[dict[str, type[CalibrationValue] | type[RefusedCalibration]]] = {
    "accepted": CalibrationValue,
    "refused": RefusedCalibration,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment on both clocks of a computer.

    Attributes
    ----------
    wall_s
        Seconds since 1970, UTC, as the computer believed.
    boot, steady_s
        A clock that nobody can set [s], and from which start it counts.
    """

    wall_s: float
    boot: str
    steady_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationEntry:
    """One line of the history.

    Attributes
    ----------
    content
        The value that was accepted, or what was refused and why.
    written
        When it was written down.
    by
        The person or the step that it comes from.
    """

    content: CalibrationValue | RefusedCalibration
    written: Moment
    by: str = ""


def encode_entry(entry: CalibrationEntry) -> bytes:
    """The line, with its end."""
    content, written = entry.content, entry.written
    kind = "accepted" if isinstance(content, CalibrationValue) else "refused"
    plain = {
        "at": utc_text(written.wall_s),
        "at_s": written.wall_s,
        "boot": written.boot,
        "steady_s": written.steady_s,
        "by": entry.by,
        kind: to_plain(content),
    }
    body = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    return body[:-1] + f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode()


def decode_entry(line: bytes) -> CalibrationEntry:
    """What a line says.

    Raises
    ------
    StorageError
        It is damaged, or of a kind that this program does not know.
    """
    body = line[:-_TAIL] + b"}"
    if line[-_TAIL:] != f', "crc32": "{zlib.crc32(body):08x}"}}'.encode():
        raise StorageError("The line is damaged.", "Restore the file from a copy if the value is missed.")
    try:
        plain = json.loads(body)
        kind = next(name for name in _KINDS if name in plain)
        written = Moment(wall_s=float(plain["at_s"]), boot=str(plain["boot"]), steady_s=float(plain["steady_s"]))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise StorageError(
            "The line was written by a newer program, which knows more.", "Update this program to read it."
        ) from error
    content: CalibrationValue | RefusedCalibration = from_plain(_KINDS[kind], plain[kind], kind)
    return CalibrationEntry(content=content, written=written, by=str(plain.get("by", "")))


def utc_text(time_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, whatever the computer's time zone; empty for unknown."""
    if math.isnan(time_s):
        return ""
    return datetime.fromtimestamp(time_s, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
