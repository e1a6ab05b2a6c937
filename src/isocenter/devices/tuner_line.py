# SPDX-License-Identifier: MIT
"""Boards with an Arduino that take a string of 0 and 1 and answer with a line: the relay tuner, the attenuator.

What the line says depends on the board's program, and the one program known to speak with them takes any line for a yes.
Here a line counts when it is the same bits again or an OK; another board's words count only where the hardware file says
so. The board tells nothing unasked and has no question: a setting is confirmed when it is made, and made again at each poll.

Source
------
Reference domain.md 1.3 and 1.4: ``>OK;`` of the same workshop's bridge; no line end behind the bits. An Arduino starts anew
when its port is opened, and hears nothing meanwhile; the known program waits one second.
"""

import contextlib
import re
from typing import Final

from isocenter.devices.line import Line
from isocenter.domain.device import DeviceLink
from isocenter.domain.errors import DeviceFault, DeviceTimeout, ProtocolError

BAUD: Final = 115_200
_ATTEMPT_S: Final = 0.22
_LINE: Final = re.compile(r"[^\r\n]+(?=[\r\n])|>[^;\r\n]*;")
_BITS: Final = re.compile(r"[01]+\Z")
_NO: Final = re.compile(r"err|fail|nack|invalid|wrong|unknown", re.IGNORECASE)


class BitBoard:
    """One board.

    Parameters
    ----------
    link
        Options: ``boot_s``, how long the board starts after its port is opened [s] (1); ``any_answer``, 1 when every line is
        a yes that is no error.
    name
        What people call it.
    """

    def __init__(self, link: DeviceLink, name: str) -> None:
        self.line = Line(link, name, BAUD)
        self._name = name
        self._boot_s = float(link.options.get("boot_s", 1.0))
        self._takes_any_answer = bool(link.options.get("any_answer", 0))
        self.said = ""

    def open(self) -> None:
        """Open the line and let the board start. Nothing is sent."""
        self.line.open()
        self.said = ""
        with contextlib.suppress(DeviceTimeout):  # it need not say anything
            self.line.read(lambda _: False, self._boot_s, "start")

    def set(self, bits: str, doing: str, *, attempts: int = 2) -> None:
        """Send bits, again if need be, until the board has confirmed them.

        Raises
        ------
        DeviceTimeout
            No answer.
        DeviceFault
            It refuses.
        ProtocolError
            It answers something else.
        """
        for _ in range(attempts - 1):
            with contextlib.suppress(DeviceTimeout):
                return self._try(bits, doing)
        return self._try(bits, doing)

    def _try(self, bits: str, doing: str) -> None:
        self.line.drain()
        self.line.write(bits.encode("ascii"))

        def is_confirmed(received: bytes) -> bool:
            return any(self._confirms(answer.strip(), bits) for answer in _LINE.findall(received.decode("ascii", "replace")))

        self.line.read(is_confirmed, _ATTEMPT_S, doing)

    def _confirms(self, answer: str, bits: str) -> bool:
        self.said = answer
        if answer == bits or re.match(r">?OK;?\Z", answer):
            return True
        if _BITS.match(answer):
            return False  # an earlier setting, confirmed late; ours may still come
        if _NO.search(answer):
            raise DeviceFault(
                f"The {self._name} refused: it said '{answer[:40]}'.",
                f"Switch the {self._name} off and on, then retry.",
            )
        if self._takes_any_answer:
            return True
        raise ProtocolError(
            f"The {self._name} answered '{answer[:40]}', which confirms nothing.",
            "Check its address and baud rate. If its program answers like that, set 'any_answer' in the hardware file.",
        )
