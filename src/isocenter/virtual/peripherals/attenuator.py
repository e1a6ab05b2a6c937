# SPDX-License-Identifier: MIT
"""A virtual receive attenuator: ``1`` and five bits.

Source
------
Reference domain.md 1.4.
"""

from collections.abc import Sequence

from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant


class VirtualAttenuator:
    """The board at the far end of the line.

    Parameters
    ----------
    plant
        Whose gain it sets.
    min_gain_db, max_gain_db
        What its parts can do [dB].

    Attributes
    ----------
    is_stuck
        It cannot, and says so.
    """

    def __init__(self, plant: Plant, *, min_gain_db: float = 50.0, max_gain_db: float = 76.0) -> None:
        self._plant, self._min_gain_db, self._max_gain_db = plant, min_gain_db, max_gain_db
        self._input = ""
        self.is_stuck = False
        plant.change("attenuator", attenuator_db=min_gain_db)  # all switches open after power-up

    def tick(self) -> Sequence[Reply]:
        """Nothing comes unasked."""
        return ()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Characters of a setting."""
        self._input += "".join(char for char in data.decode("ascii", "replace") if char in "01")
        replies: list[Reply] = []
        while len(self._input) >= 6:
            bits, self._input = self._input[:6], self._input[6:]
            gain_db = self._min_gain_db + int(bits[1:], 2)
            if bits[0] != "1" or gain_db > self._max_gain_db or self.is_stuck:
                replies.append(Reply(data=b">ERR;\r\n"))
            else:
                self._plant.change("attenuator", attenuator_db=gain_db)
                replies.append(Reply(data=b">OK;\r\n"))
        return replies
