# SPDX-License-Identifier: MIT
"""The device's side of our line protocol (docs/line-protocol.md), written from that page and not from the driver."""

from collections.abc import Callable, Sequence
from typing import Final

from isocenter.virtual.peripherals.lines import Reply

_LONGEST: Final = 120
_TRIP: Final = ord("!")


def checksum(text: bytes) -> int:
    """CRC-8/SMBUS, by long division of the message and eight zero bits."""
    remainder = int.from_bytes(text, "big") << 8
    for shift in range(remainder.bit_length() - 9, -1, -1):
        if remainder >> (shift + 8) & 1:
            remainder ^= 0x107 << shift
    return remainder


class KeyValueTalker:
    """Cuts bytes into questions and answers them.

    Parameters
    ----------
    obey
        Gets a verb; gives the pairs of the answer, ``ok`` among them.
    trip
        Called for the byte that trips.
    answer_s
        From a question to its answer [s].
    """

    def __init__(
        self, obey: Callable[[str], dict[str, object]], trip: Callable[[], None] | None = None, *, answer_s: float = 0.002
    ) -> None:
        self._obey, self._trip, self._answer_s = obey, trip, answer_s
        self._line = bytearray()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Answers to what is complete now."""
        replies = []
        for byte in data:
            if byte == _TRIP and self._trip is not None:
                self._trip()
                self._line.clear()
            elif byte == ord("\n"):
                if self._line.strip():
                    replies.append(Reply(data=self._answer(bytes(self._line)), delay_s=self._answer_s))
                self._line.clear()
            elif len(self._line) <= _LONGEST:
                self._line.append(byte)
        return replies

    def _answer(self, line: bytes) -> bytes:
        body, star, given = line.rstrip(b"\r").rpartition(b"*")
        if not star or given != b"%02X" % checksum(body) or len(line) > _LONGEST:
            return _written({"seq": 0, "ok": 0, "why": "damaged"})
        pairs = dict(word.partition("=")[::2] for word in body.decode("ascii", "replace").split(" "))
        if not pairs.get("seq") or not pairs.get("do"):
            return _written({"seq": 0, "ok": 0, "why": "damaged"})
        return _written({"seq": pairs["seq"]} | self._obey(pairs["do"]))


def _written(pairs: dict[str, object]) -> bytes:
    body = " ".join(f"{key}={value}" for key, value in pairs.items()).encode("ascii")
    return b"%s*%02X\r\n" % (body, checksum(body))
