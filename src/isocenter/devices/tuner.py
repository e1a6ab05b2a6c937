# SPDX-License-Identifier: MIT
"""The relay tuner RFAutoMaTE: fifteen capacitors, and the coil to the scanner or to the network analyser.

Source
------
Reference domain.md 1.4 and marge.md 1c: five bits each for series, tune and match, largest capacitor first, 0 is in; then
``10`` for the scanner, which also switches the analyser off, and ``01`` for the analyser. Another version of the program
that speaks with it sends ``11`` and ``00``. An older board takes 32 characters, filled with 0.
"""

from typing import Final

from isocenter.devices.tuner_line import BitBoard
from isocenter.domain.device import Condition, DeviceLink, DeviceReading, DeviceRole

_SWITCH: Final = {0: ("10", "01"), 1: ("11", "00")}  # to the scanner, to the analyser


class RelayTuner:
    """Driver of the relay tuner.

    Parameters
    ----------
    link
        Options: ``switch_code`` 0 for ``10``/``01``, 1 for ``11``/``00``; ``frame_length``, 17 or 32; ``is_quiet``, 1 when a
        poll shall send nothing, so that its state is not known between settings; and those of ``BitBoard``.
    """

    role = DeviceRole.TUNER

    def __init__(self, link: DeviceLink) -> None:
        self._board = BitBoard(link, "coil tuner")
        self._switch = _SWITCH[1 if link.options.get("switch_code", 0) else 0]
        self._length = int(link.options.get("frame_length", 17))
        self._is_quiet = bool(link.options.get("is_quiet", 0))
        self._codes = (0, 0, 0)
        self._is_analysed = False
        self._is_known = False

    @property
    def address(self) -> str:
        """Where it is looked for, in words."""
        return self._board.line.address

    def open(self) -> str:
        """Open the line. The board cannot be asked; its relays are not known until something is set."""
        self._is_known = self._is_analysed = False
        self._board.open()
        return "RFAutoMaTE (does not tell its name)"

    def close(self) -> None:
        """Let go of the line."""
        self._is_known = False
        self._board.line.close()

    def poll(self) -> DeviceReading:
        """Set again what was confirmed last, which changes nothing and shows that the board is alive."""
        if not self._is_known:
            self._board.line.drain()  # notices a cable that is gone
            return DeviceReading(condition=Condition.UNKNOWN, text="relays not known until set", said=self._board.said)
        where = "network analyser" if self._is_analysed else "scanner"
        text = f"coil at the {where}, capacitors {'/'.join(map(str, self._codes))}"
        if self._is_quiet:
            self._board.line.drain()
            return DeviceReading(condition=Condition.UNKNOWN, text=f"last set: {text}", said=self._board.said)
        self._set(self._codes, self._is_analysed, attempts=1)
        return DeviceReading(condition=Condition.READY, text=text, said=self._board.said)

    def set_capacitors(self, series: int, tune: int, match: int) -> None:
        """Switch capacitors in: bit 0 is the largest, 1 is in; five bits each."""
        if not all(0 <= code < 32 for code in (series, tune, match)):
            raise ValueError(f"capacitor codes have five bits: {series}, {tune}, {match}")
        self._set((series, tune, match), self._is_analysed)

    def connect_analyser(self, is_connected: bool) -> None:
        """The coil to the network analyser (True) or to the scanner (False)."""
        self._set(self._codes, is_connected)

    def _set(self, codes: tuple[int, int, int], is_analysed: bool, *, attempts: int = 2) -> None:
        self._is_known = False  # until it has confirmed
        relays = "".join("0" if code >> bit & 1 else "1" for code in codes for bit in range(5))
        self._board.set((relays + self._switch[is_analysed]).ljust(self._length, "0"), "set its relays", attempts=attempts)
        self._codes, self._is_analysed, self._is_known = codes, is_analysed, True
