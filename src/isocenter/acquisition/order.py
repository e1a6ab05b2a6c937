# SPDX-License-Identifier: MIT
"""In which order the segments of a scan are played: each once, and some of them again."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.domain.events import CompiledScan

MOST_LOST: Final = 3
"""Segments of one scan whose samples may be lost; with more the link is not fit for a scan."""


PREPARED_S: Final = 2.0
"""So much of a scan is played before lines that follow a pause [s]; one repetition at least, however long it waits for the
next pulse. Its pulses bring spins with a T1 of tissue (0.2 to 0.5 s below 0.1 T) to within a few per cent of where they were
without the pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One segment that is to be played.

    Attributes
    ----------
    index
        Of the segment.
    is_wanted
        False when it is played only so that spins are where they would be, and what it measures is dropped.
    is_fresh
        It does not follow the segment before it: its start sets the clock.
    """

    index: int
    is_wanted: bool = True
    is_fresh: bool = False


class PlayOrder:
    """Which segment comes next.

    After a pause spins have had time to come back to rest, which they have not in the middle of a scan. So what was played
    before is played first, for some time, and dropped.

    Attributes
    ----------
    playing
        Index of the segment that was taken last.
    lead_s
        From the end of the last pause to the segment that holds the first readout behind it [s].
    """

    def __init__(self, scan: CompiledScan) -> None:
        self.n_segments = len(scan.segments)
        ends = np.cumsum([len(segment.readouts) for segment in scan.segments])
        self._start_s = [segment.start_s for segment in scan.segments]
        self._first = np.concatenate([[0], ends]).astype(np.int64)
        self._turns = deque(Turn(index=index, is_fresh=index == 0) for index in range(self.n_segments))
        self._lost: dict[int, bool] = {}  # by segment: whether it was played again
        self._has_pulse = [bool({"tx0_i", "tx0_q"} & segment.tracks.keys()) for segment in scan.segments]
        self.playing, self.lead_s = 0, 0.0

    @property
    def next(self) -> int | None:
        """Segment that is played next; None behind the last."""
        return self._turns[0].index if self._turns else None

    def take(self) -> Turn:
        """The next turn; from then on it counts as played."""
        turn = self._turns.popleft()
        self.playing = turn.index
        return turn

    def first_readout(self, index: int) -> int:
        """Number of a segment's first readout in the scan."""
        return int(self._first[index])

    def resume(self, first_readout: int) -> int:
        """After a pause: go on with the segment that holds this readout, or with the next where that comes first.

        Returns
        -------
            Number of the first readout that will be measured, or measured again.
        """
        following = self.next if self.next is not None else self.n_segments
        index = int(np.searchsorted(self._first, first_readout, side="right")) - 1
        index = max(min(index, following), 0)
        turns = deque(Turn(index=i, is_fresh=i == 0) for i in range(index, self.n_segments))
        if index == self.n_segments:
            turns.clear()  # nothing is left to be measured
        else:
            lead_in = self._lead_in(index)
            turns.extendleft(reversed(lead_in))
            holds = min(int(np.searchsorted(self._first, self._first[index], side="right")) - 1, self.n_segments - 1)
            self.lead_s = self._start_s[holds] - self._start_s[turns[0].index]
        self._turns = turns
        self._lost.update(dict.fromkeys((lost for lost in self._lost if lost < index), False))
        return self.first_readout(index)

    # --- samples that were lost -------------------------------------------------------------------------------------

    @property
    def lost(self) -> tuple[int, ...]:
        """Segments whose samples were lost and have not been measured again."""
        return tuple(self._lost)

    def may_lose(self, index: int) -> bool:
        """True when this segment may still be measured again."""
        return not self._lost.get(index, False) and len({*self._lost, index}) <= MOST_LOST

    def lose(self, index: int) -> None:
        """Samples of this segment were lost: it is measured again when all others are there."""
        self._lost[index] = False

    def found(self, index: int) -> None:
        """All samples of this segment are there."""
        self._lost.pop(index, None)

    def repeat_lost(self) -> None:
        """Behind the last segment: those that were lost come once more, each after the one before it."""
        for index in sorted(index for index, is_repeated in self._lost.items() if not is_repeated):
            self._lost[index] = True
            if not (self._turns and self._turns[-1].index == index - 1):
                self._turns.extend(self._lead_in(index))
            self._turns.append(Turn(index=index, is_fresh=index == 0))

    def _lead_in(self, index: int) -> list[Turn]:
        """What is played before a segment so that spins are where they would be; nothing before the first."""
        first = index
        while first > 0 and (
            self._start_s[index] - self._start_s[first] < PREPARED_S or not any(self._has_pulse[first:index])
        ):
            first -= 1
        return [Turn(index=i, is_wanted=False, is_fresh=i == first) for i in range(first, index)]

    def lines_text(self, segments: tuple[int, ...]) -> str:
        """Lines of segments in words, such as ``17 to 24 and 33 to 40``."""
        return " and ".join(f"{self._first[index] + 1} to {self._first[index + 1]}" for index in segments)
