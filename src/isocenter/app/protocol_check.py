# SPDX-License-Identifier: MIT
"""What a protocol would do, before it is started."""

import math
from dataclasses import dataclass, field

from isocenter.acquisition.prescan.looks import NO_LOOKS, LookPlan
from isocenter.domain.events import ScanFacts
from isocenter.domain.exposure import Exposure
from isocenter.domain.limits import OperatingMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolCheck:
    """What a protocol would do, computed from the compiled events.

    Attributes
    ----------
    facts
        None when it cannot be built.
    voxel_m
        Along image columns, rows and slices [m], None when it cannot be built.
    problem, remedy
        Why it cannot be played and what would fix it; empty when it can.
    warnings
        Plain sentences.
    exposures
        What patient and hardware would be exposed to, with what was played before; also when a limit refuses it.
    mode
        Operating mode that it was checked in: first level only where it is needed and a person has confirmed it.
    wait_s
        So long after this check it would pass by waiting alone [s]; infinite when waiting does not help, NaN when it is
        playable now.
    looks
        How often it is paused to look at the frequency, and how long that takes.
    needs_first_level
        True when all that speaks against it is that nobody has confirmed first level mode.
    """

    facts: ScanFacts | None
    voxel_m: tuple[float, float, float] | None = None
    problem: str = ""
    remedy: str = ""
    warnings: tuple[str, ...] = ()
    exposures: tuple[Exposure, ...] = field(default=(), compare=False)  # unknown, NaN, is not equal to itself
    mode: OperatingMode = OperatingMode.NORMAL
    wait_s: float = field(default=math.nan, compare=False)
    needs_first_level: bool = False
    looks: LookPlan = NO_LOOKS

    @property
    def is_playable(self) -> bool:
        """True when it may be started."""
        return self.facts is not None and not self.problem

    @property
    def duration_s(self) -> float:
        """How long it will take, pauses included [s]; NaN when it cannot be built."""
        return math.nan if self.facts is None else self.facts.duration_s + self.looks.extra_s
