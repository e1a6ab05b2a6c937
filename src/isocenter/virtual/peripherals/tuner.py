# SPDX-License-Identifier: MIT
"""A virtual relay tuner: seventeen characters of 0 and 1, and relays that do it.

Source
------
Reference domain.md 1.4: series, tune and match, five each, 0 is in; then ``10`` for the scanner or ``01`` for the analyser.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant

_PATIENCE_S: Final = 0.05  # half a setting is forgotten then


class VirtualTuner:
    """The board at the far end of the line.

    Parameters
    ----------
    plant
        Whose relays it switches.
    answers
        What its program says: ``>OK;``, the same bits, or words of its own.
    length
        Characters of a setting, 17 or 32.

    Attributes
    ----------
    is_stuck
        Its relays do not move, and it says so.
    n_settings
        So many have been made.
    """

    def __init__(
        self,
        plant: Plant,
        *,
        answers: Literal["ok", "echo", "words"] = "ok",
        length: int = 17,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plant, self._answers, self._length, self._clock = plant, answers, length, clock
        self._input, self._heard_s = "", clock()
        self.is_stuck = False
        self.n_settings = 0

    def tick(self) -> Sequence[Reply]:
        """Forget half a setting."""
        if self._input and self._clock() - self._heard_s > _PATIENCE_S:
            self._input = ""
        return ()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Characters of a setting."""
        self._heard_s = self._clock()
        self._input += "".join(char for char in data.decode("ascii", "replace") if char in "01")
        replies: list[Reply] = []
        while len(self._input) >= self._length:
            bits, self._input = self._input[: self._length], self._input[self._length :]
            replies.append(Reply(data=self._switch(bits).encode() + b"\r\n"))
        return replies

    def _switch(self, bits: str) -> str:
        switch = bits[15:17]
        if self.is_stuck or switch not in ("10", "01"):
            return ">ERR;"
        series, tune, match = (
            sum(1 << place for place, char in enumerate(bits[at : at + 5]) if char == "0") for at in (0, 5, 10)
        )
        self._plant.change("tuner", capacitors=(series, tune, match), analyser_connected=switch == "01")
        self.n_settings += 1
        return {"ok": ">OK;", "echo": bits, "words": "Relays switched"}[self._answers]
