# SPDX-License-Identifier: MIT
"""One run of a program, and how fast the server sees and moves things while it lasts."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.decoder import Outputs
from isocenter.virtual.console.playback import Playback
from isocenter.virtual.console.receiver import Stretch
from isocenter.virtual.console.timing import ENDLESS, Decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTiming:
    """How long the server's accesses take [ticks]; what it sees of a run depends on them.

    Attributes
    ----------
    access_ticks
        One register read or write.
    request_ticks
        From one request to the next: the network.
    refill_word_ticks
        Copying one more word of a long program.
    pop_ticks
        Popping one complex sample.
    """

    access_ticks: int
    request_ticks: int
    refill_word_ticks: float
    pop_ticks: float


HARDWARE_BUS: Final = BusTiming(access_ticks=16, request_ticks=2500, refill_word_ticks=20.5, pop_ticks=33.0)
"""Reference marcos.md 3 and 4: 131 ns a read, 158 ns a write; a request takes at least 20 us."""
SIMULATOR_BUS: Final = BusTiming(access_ticks=6, request_ticks=0, refill_word_ticks=2.5, pop_ticks=13.0)
"""The HDL simulator: it only moves when the bus does. From the captures of regstatus during a manual run."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run between its start and its end."""

    decoded: Decoded
    outputs: Outputs
    playback: Playback
    stretches: tuple[list[Stretch], list[Stretch]]
    messages: dict[str, list[str]]
    words: NDArray[np.uint32]
    origin: int = 0

    @property
    def is_endless(self) -> bool:
        """True when the program has no FINISH that it could reach."""
        return self.decoded.status == ENDLESS


@dataclass(slots=True, kw_only=True)
class ManualRun:
    """A run started by a write to CTRL: nobody empties the FIFOs but the client."""

    run: Run
    streams: list[list[NDArray[np.complex128]]]
    _n_taken: list[int] = field(default_factory=lambda: [0, 0])

    def arrived(self, tick: int) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Samples that came out of each decimator since the last call, up to ``tick``."""
        found = []
        for index, (stretches, stream) in enumerate(zip(self.run.stretches, self.streams, strict=True)):
            ticks = np.concatenate([np.zeros(0, np.int64), *(each.emit_ticks for each in stretches)])
            samples = np.concatenate([np.zeros(0, np.complex128), *stream])
            first, last = self._n_taken[index], int(np.searchsorted(ticks, tick, side="right"))
            new = samples[first:last]
            found.append((new.real.astype(np.int32), new.imag.astype(np.int32)))
            self._n_taken[index] = max(first, last)
        return found
