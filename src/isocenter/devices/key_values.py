# SPDX-License-Identifier: MIT
"""Our own line protocol: one line of ``key=value`` pairs with a CRC8 per question and per answer.

docs/line-protocol.md tells all of it; a reference controller is in docs/arduino.
"""

import re
import time
from collections.abc import Iterable
from typing import Final

from isocenter.devices.line import Line
from isocenter.domain.errors import ConnectError, DeviceTimeout, ProtocolError

BAUD: Final = 115_200
PROTOCOL: Final = "isocenter-line-1"
ANSWER_S: Final = 0.2
_STARTING_S: Final = 1.5  # an Arduino starts anew when its port is opened
_FRAME: Final = re.compile(rb"([ \"-)+-~]+)\*([0-9A-F]{2})")
_PAIR: Final = re.compile(r"([a-z][a-z0-9_]*)=([A-Za-z0-9_.,:+?-]+)")
_LARGEST: Final = 65_535
_POLYNOMIAL: Final = 0x07


def crc8(data: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1 (0x07), start 0, bits as they are; of ``123456789`` it is 0xF4."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


def frame(**pairs: object) -> bytes:
    """One line, ready to send."""
    body = " ".join(f"{key}={value}" for key, value in pairs.items()).encode("ascii")
    return body + b"*%02X\n" % crc8(body)


def parse(line: bytes) -> dict[str, str] | None:
    """Pairs of one line without its end, None when it is damaged."""
    found = _FRAME.fullmatch(line.rstrip(b"\r"))
    if not found or crc8(found[1]) != int(found[2], 16):
        return None
    pairs: dict[str, str] = {}
    for word in found[1].decode("ascii").split(" "):
        pair = _PAIR.fullmatch(word)
        if not pair or pair[1] in pairs:
            return None
        pairs[pair[1]] = pair[2]
    return pairs


class KeyValueBox:
    """A box that speaks our line protocol; an interlock and sensors may be one box. Belongs to one thread."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._number = (
            time.monotonic_ns() // 1_000_000 % _LARGEST
        )  # not that of an earlier run, whose answers may still come
        self._users: set[str] = set()
        self.about: dict[str, str] = {}
        self.said = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self._line.name

    @property
    def has(self) -> frozenset[str]:
        """Keys that it promises to tell in each reading, and ``interlock`` when it is one."""
        return frozenset(self.about.get("has", "").split(","))

    def open(self, user: str) -> str:
        """Find the box at the end of the line; returns its name. The line stays open until each user has closed it.

        Raises
        ------
        ConnectError
            The port is not there, or something else answers.
        DeviceTimeout, ProtocolError
            Nothing, or nothing that makes sense, answers within 1.8 s.
        """
        if not self._line.is_open:
            self._line.open()
        deadline_s = time.monotonic() + _STARTING_S
        while True:
            try:
                about = self.ask("hello", "answer")
                break
            except (DeviceTimeout, ProtocolError):
                if time.monotonic() > deadline_s:
                    self._line.close()  # a dead connection is not mended by asking on
                    raise
        if about.get("protocol") != PROTOCOL:
            self._line.close()
            raise ConnectError(
                f"The {self.name} speaks '{about.get('protocol', 'nothing known')}', not {PROTOCOL}.",
                "Load the firmware that belongs to this version of the program (docs/arduino), or correct the address in "
                "the hardware file.",
            )
        self.about = about
        self._users.add(user)
        return " ".join(about[key] for key in ("name", "firmware", "serial") if about.get(key, "?") != "?")

    def close(self, user: str) -> None:
        """Somebody needs the line no more."""
        self._users.discard(user)
        if not self._users:
            self._line.close()

    def ask(self, verb: str, doing: str, timeout_s: float = ANSWER_S) -> dict[str, str]:
        """One question; returns its answer, which may be a refusal (``ok=0``).

        Raises
        ------
        DeviceTimeout, ProtocolError, ConnectError
            No answer to this very question, or damaged ones only.
        """
        self._line.drain()
        return self._ask(b"", verb, doing, timeout_s)

    def trip(self, timeout_s: float) -> dict[str, str]:
        """One byte that trips, then the question whether it did; opens the line when it is closed. Errors as for ``ask``."""
        if not self._line.is_open:
            self._line.open()
        return self._ask(b"!", "trip", "confirm that it cut the outputs", timeout_s)

    def _ask(self, ahead: bytes, verb: str, doing: str, timeout_s: float) -> dict[str, str]:
        self._number = self._number % _LARGEST + 1
        number = str(self._number)
        self._line.write(ahead + frame(seq=number, do=verb))
        try:
            came = self._line.read(lambda got: _find(got, number) is not None, timeout_s, doing)
        except DeviceTimeout as error:
            lines = (error.partial or b"").split(b"\n")[:-1]
            if any(line.strip() and _is_wrong(parse(line)) for line in lines):
                raise ProtocolError(
                    f"What the {self.name} says is damaged on its way.",
                    f"Check its cable and plugs and keep it away from the amplifiers. Check the baud rate ({BAUD}).",
                ) from error
            raise
        answer, line = _find(came, number) or ({}, b"")
        self.said = line.decode("ascii", "replace").strip()
        if answer.get("ok") not in ("0", "1"):
            raise ProtocolError(
                f"The {self.name} answered '{self.said}', which does not say whether it did as it was told.",
                "Load the firmware that belongs to this version of the program (docs/arduino).",
            )
        return answer


def flag(pairs: dict[str, str], key: str, name: str) -> bool:
    """A contact or state of an answer. Raises ProtocolError when it is missing or not 0 or 1."""
    value = pairs.get(key, "missing")
    if value not in ("0", "1"):
        raise ProtocolError(
            f"The {name} does not tell '{key}' (found: {value}; allowed: 0 or 1).",
            "Load the firmware that belongs to this version of the program (docs/arduino).",
        )
    return value == "1"


def flags(pairs: dict[str, str], keys: Iterable[str], name: str) -> dict[str, bool]:
    """Several at once."""
    return {key: flag(pairs, key, name) for key in keys}


def _is_wrong(pairs: dict[str, str] | None) -> bool:
    """Damaged on the way here, or (number 0) on the way there."""
    return pairs is None or pairs.get("seq") == "0"


def _find(got: bytes, number: str) -> tuple[dict[str, str], bytes] | None:
    for line in got.split(b"\n")[:-1]:
        pairs = parse(line)
        if pairs is not None and pairs.get("seq") == number:
            return pairs, line
    return None
