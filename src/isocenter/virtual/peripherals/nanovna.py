# SPDX-License-Identifier: MIT
"""A virtual NanoVNA with a text shell, at the coil of the virtual scanner.

Source
------
Reference domain.md 1.4: echo, CR LF, prompt, 101 points, the mask of ``scan``; an unknown command gets a question mark.
"""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant

_PROMPT: Final = "ch> "
_NEWLINE: Final = "\r\n"


class VirtualNanoVna:
    """The instrument at the far end of the line.

    Parameters
    ----------
    plant, coil
        Where it is connected, and to what.
    max_points
        Of one sweep.
    sweep_s
        Time that one point takes [s].
    is_powered_by_tuner
        It is off while the tuner has the coil at the scanner.
    knows_mask
        Its firmware is new enough for the mask of ``scan``.

    Attributes
    ----------
    hangs
        It answers nothing, until ``restart``.
    hangs_after
        It hangs by itself after so many more commands; None for never.
    is_calibrated
        Its correction is on.
    """

    def __init__(
        self,
        plant: Plant,
        coil: CoilCircuit,
        *,
        max_points: int = 101,
        sweep_s: float = 0.0,
        is_powered_by_tuner: bool = False,
        knows_mask: bool = True,
        seed: int = 1,
    ) -> None:
        self._plant, self._coil = plant, coil
        self._max_points, self._sweep_s, self._knows_mask = max_points, sweep_s, knows_mask
        self._is_powered_by_tuner = is_powered_by_tuner
        self._noise = np.random.default_rng(seed)
        self._input = ""
        self._hung_at_s = 0.0
        self._frequencies = np.linspace(50e3, 900e6, max_points)
        self._values = np.zeros(max_points, dtype=np.complex128)
        self.hangs = False
        self.hangs_after: int | None = None
        self.is_calibrated = True

    @property
    def is_powered(self) -> bool:
        """Whether it is on."""
        return not self._is_powered_by_tuner or self._plant.state.analyser_connected

    def restart(self) -> None:
        """Switched off and on."""
        self.hangs, self.hangs_after, self._input = False, None, ""

    def tick(self) -> Sequence[Reply]:
        """Nothing comes unasked."""
        return ()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Characters typed by the computer."""
        if self.hangs and self._was_off_since(self._hung_at_s):
            self.restart()
        self._input += data.decode("ascii", "replace")
        replies: list[Reply] = []
        while "\r" in self._input:
            command, self._input = self._input.split("\r", 1)
            if self.hangs_after is not None:
                self.hangs_after -= 1
                if self.hangs_after < 0 and not self.hangs:
                    self.hangs, self._hung_at_s = True, time.monotonic()
            if self.is_powered and not self.hangs:
                replies += self._execute(command.strip("\n"))
        return replies

    def _was_off_since(self, since_s: float) -> bool:
        return self._is_powered_by_tuner and any(not change.state.analyser_connected for change in self._plant.log(since_s))

    def _execute(self, command: str) -> list[Reply]:
        echo = Reply(data=(command + _NEWLINE).encode())
        words = command[:48].split()[:5]
        lines, delay_s = self._run(words) if words else ([], 0.0)
        text = "".join(line + _NEWLINE for line in lines) + _PROMPT
        return [echo, Reply(data=text.encode(), delay_s=delay_s)]

    def _run(self, words: list[str]) -> tuple[list[str], float]:
        if words[0] == "scan":
            return self._scan(words[1:])
        simple = {
            "version": ["1.2.27"],
            "info": ["Board: NanoVNA-H 4", "2019-2022 Copyright", "Version: 1.2.27"],
            "cal": ["load open short thru isoln Es Er Et cal'ed " if self.is_calibrated else ""],
            "frequencies": [f"{frequency:.0f}" for frequency in self._frequencies],
            "data": [f"{value.real:f} {value.imag:f}" for value in self._values],
        }
        return simple.get(words[0], [f"{words[0]}?"]), 0.0

    def _scan(self, words: list[str]) -> tuple[list[str], float]:
        if not 2 <= len(words) <= (4 if self._knows_mask else 3) or not all(word.isdigit() for word in words):
            return ["usage: scan {start(Hz)} {stop(Hz)} [points]"], 0.0
        start, stop, n, mask = ([int(word) for word in words] + [self._max_points, 0][len(words) - 2 :])[:4]
        if not 0 < start < stop or not 2 <= n <= self._max_points:
            return ["sweep points exceeds range"], 0.0
        self._frequencies = np.floor(np.linspace(start, stop, n) + 0.5)
        self._values = self._measure()
        lines = [
            " ".join(([f"{frequency:.0f}"] if mask & 1 else []) + ([f"{value.real:f} {value.imag:f}"] if mask & 2 else []))
            for frequency, value in zip(self._frequencies, self._values, strict=True)
            if mask & 3
        ]
        return lines, n * self._sweep_s

    def _measure(self) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
        truth = self._coil.reflection(self._frequencies, self._plant.state)
        if not self.is_calibrated:
            truth = 0.05 + 0.9j * truth
        noise = self._noise.normal(0, 5e-4, (2, len(truth)))
        return np.asarray(truth + noise[0] + 1j * noise[1], dtype=np.complex128)
