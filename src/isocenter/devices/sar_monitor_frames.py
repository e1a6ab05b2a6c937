# SPDX-License-Identifier: MIT
"""Frames of the open SAR monitor: printable text, its CRC32, a line end.

The four bytes of the CRC may have any value, so a line end inside them ends nothing, and only a CRC that fits tells where a
frame begins. What cannot be read may have been an alarm; it is counted, never skipped in silence.

Source
------
Reference domain.md 1.4. The CRC is the usual one (reflected, polynomial 0xEDB88320), big-endian: the monitor answers to
``ident 04 4e 78 b2``. To the monitor a frame ends with CR LF TAB; from it with CR LF, and a TAB may follow.
"""

import re
import zlib
from typing import Final

_END: Final = b"\r\n"
_CRC_BYTES: Final = 4
_MAX_FRAME: Final = 256
_PRINTABLE: Final = re.compile(rb"[ -~]+\Z")
_IDENTITY: Final = re.compile(rb"sar\d+\.\d+[ -~]*\Z")  # whether a CRC follows the identity is not known, so either will do


def encode_frame(text: str) -> bytes:
    """Text as it goes to the monitor."""
    data = text.encode("ascii")
    return data + zlib.crc32(data).to_bytes(_CRC_BYTES, "big") + _END + b"\t"


class FrameReader:
    """Cuts a stream of bytes into the texts of frames.

    Attributes
    ----------
    has_lost
        Something came that is no frame; set to False by whoever has taken notice.
    """

    def __init__(self) -> None:
        self._pending = b""
        self.has_lost = False

    def feed(self, data: bytes) -> list[str]:
        """Texts of the frames that are complete now, in order."""
        self._pending += data
        texts: list[str] = []
        search_from = 0
        while (end := self._pending.find(_END, search_from)) >= 0:
            start = _start_of_frame(self._pending, end)
            if start is None:
                search_from = end + 1
                continue
            self._note_lost(self._pending[:start])
            text = self._pending[start:end]
            texts.append((text if _IDENTITY.match(text) else text[:-_CRC_BYTES]).decode("ascii"))
            self._pending, search_from = self._pending[end + len(_END) :], 0
        if len(self._pending) > _MAX_FRAME:
            self._note_lost(self._pending[:-_MAX_FRAME])
            self._pending = self._pending[-_MAX_FRAME:]
        return texts

    def give_up(self) -> None:
        """What has come of a frame will not be completed any more."""
        self._note_lost(self._pending)
        self._pending = b""

    def _note_lost(self, data: bytes) -> None:
        self.has_lost = self.has_lost or bool(data.strip(b"\t\x00"))


def _start_of_frame(data: bytes, end: int) -> int | None:
    """Where the frame begins that ends at ``end``; None when no CRC fits."""
    body = end - _CRC_BYTES
    crc = data[body:end] if body > 0 else b""
    for start in range(max(0, end - _MAX_FRAME), end):
        if start < body and _PRINTABLE.match(data[start:body]) and zlib.crc32(data[start:body]).to_bytes(4, "big") == crc:
            return start
        if (start == 0 or not 32 <= data[start - 1] <= 126) and _IDENTITY.match(data[start:end]):
            return start
    return None
