# SPDX-License-Identifier: MIT
"""The receive attenuator on an Arduino: gain in steps of 1 dB.

Source
------
Reference domain.md 1.4: ``1`` and five bits, the gain above the smallest one, largest bit first; 50 to 76 dB or 35 to 50 dB.
"""

from isocenter.devices.tuner_line import BitBoard
from isocenter.domain.device import Condition, DeviceLink, DeviceReading, DeviceRole
from isocenter.domain.errors import ConfigError


class I3mAttenuator:
    """Driver of the attenuator.

    Parameters
    ----------
    link
        Options: ``min_gain_db`` and ``max_gain_db``, needed; ``is_quiet``, 1 when a poll shall send nothing; and those of
        ``BitBoard``.

    Raises
    ------
    ConfigError
        The gains are missing or do not fit into five bits.
    """

    role = DeviceRole.ATTENUATOR

    def __init__(self, link: DeviceLink) -> None:
        low_db, high_db = (link.options.get(name, float("nan")) for name in ("min_gain_db", "max_gain_db"))
        if not 0 < high_db - low_db < 32:
            raise ConfigError(
                f"The gains of the attenuator in the hardware file cannot be right: {low_db:g} to {high_db:g} dB.",
                "Give its options min_gain_db and max_gain_db, such as 50 and 76, less than 32 dB apart.",
            )
        self._gains_db = tuple(low_db + n for n in range(int(high_db - low_db) + 1))
        self._board = BitBoard(link, "receive attenuator")
        self._is_quiet = bool(link.options.get("is_quiet", 0))
        self._step: int | None = None

    @property
    def address(self) -> str:
        """Where it is looked for, in words."""
        return self._board.line.address

    @property
    def gains_db(self) -> tuple[float, ...]:
        """Gains that can be set [dB], rising."""
        return self._gains_db

    def open(self) -> str:
        """Open the line. The board cannot be asked; its gain is not known until it is set."""
        self._step = None
        self._board.open()
        return "Receive attenuator (does not tell its name)"

    def close(self) -> None:
        """Let go of the line."""
        self._step = None
        self._board.line.close()

    def poll(self) -> DeviceReading:
        """Set again what was confirmed last, which changes nothing and shows that the board is alive."""
        if self._step is None:
            self._board.line.drain()  # notices a cable that is gone
            return DeviceReading(condition=Condition.UNKNOWN, text="gain not known until set", said=self._board.said)
        gain_db = self._gains_db[self._step]
        if self._is_quiet:
            self._board.line.drain()
            return DeviceReading(condition=Condition.UNKNOWN, text=f"last set: {gain_db:g} dB", said=self._board.said)
        self._set(self._step, attempts=1)
        return DeviceReading(
            condition=Condition.READY, text=f"gain {gain_db:g} dB", said=self._board.said, values={"gain_db": gain_db}
        )

    def set_gain(self, gain_db: float) -> None:
        """Set the nearest gain that exists [dB]."""
        self._set(min(range(len(self._gains_db)), key=lambda step: abs(self._gains_db[step] - gain_db)))

    def _set(self, step: int, *, attempts: int = 2) -> None:
        self._step = None  # until it has confirmed
        self._board.set(f"1{step:05b}", "set its gain", attempts=attempts)
        self._step = step
