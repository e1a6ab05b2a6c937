# SPDX-License-Identifier: MIT
"""State of the scanner as a whole, what can go wrong with it, and what a stop achieved."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from isocenter.domain.device import DeviceRole

STOP_WITHIN_S: Final = 1.0
"""Whatever fails during a scan, outputs are at zero and amplifiers off within this time [s]."""
SEGMENT_MARGIN_S: Final = 0.25
"""A segment may take so much longer than it should, the exchanges around it included, before the amplifiers are cut [s]."""
WATCH_TICK_S: Final = 0.05
"""Who watches looks so often [s]."""
TRIP_RESERVE_S: Final = 0.2
"""For the lines to the amplifiers, a question that is asked on them, and a computer that is busy [s]."""
LONGEST_PART_S: Final = STOP_WITHIN_S - SEGMENT_MARGIN_S - WATCH_TICK_S - TRIP_RESERVE_S
"""From the start of one segment to the start of the next, at most [s].

A console is silent while it plays. One that hangs right after it has answered is missed when the next segment is overdue:
behind the pause, the segment and its margin.
"""


class ScannerState(StrEnum):
    """What the scanner may do now."""

    OFF = "off"
    """Not connected; nothing is known."""
    READY = "ready"
    """Every device that is needed answers; outputs were seen at zero; amplifiers are in standby."""
    ARMED = "armed"
    """Amplifiers are on, the heartbeat runs; nothing is being played."""
    SCANNING = "scanning"
    """A segment is being played."""
    SAFE = "safe"
    """Stopped and latched: only a person leads out of it, after the cause has gone."""


class FaultAction(StrEnum):
    """What the program does by itself when a fault is seen."""

    TRIP = "trip"
    """Cut the amplifiers over their own lines at once, end the scan, zero everything, latch SAFE."""
    END = "end"
    """End the scan after the segment that is being played; keep what was measured. Not latched."""
    PAUSE = "pause"
    """Wait between two segments until it is mended, then go on."""
    BLOCK = "block"
    """No clinical scan is started until it is mended; one that runs goes on."""
    WARN = "warn"
    """Tell the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the fault matrix, as it happened.

    Attributes
    ----------
    name
        Of the row, such as ``emergency_stop``.
    action
        What the program did by itself.
    problem, remedy
        What happened, and what the operator does next.
    role
        The device that reported it; None for the console and the computer.
    at_s
        When it was seen, on the steady clock.
    detail
        The device's own words.
    """

    name: str
    action: FaultAction
    problem: str
    remedy: str
    role: DeviceRole | None = None
    at_s: float = float("nan")
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """One output after a stop.

    Attributes
    ----------
    name
        ``RF amplifier``, ``Gradient amplifier``, ``Interlock``, ``Console`` ...
    is_verified
        True only when the device itself confirmed that it is off, or at zero.
    text
        In words.
    took_s
        From the stop until it confirmed [s]; NaN when it never did.
    """

    name: str
    is_verified: bool
    text: str
    took_s: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What a stop achieved.

    Attributes
    ----------
    cause
        ``operator`` or the name of a fault.
    outputs
        One for each thing that can put power into the bore.
    """

    cause: str
    outputs: tuple[OutputReport, ...] = field(default=())

    @property
    def is_verified(self) -> bool:
        """True when every output confirmed."""
        return bool(self.outputs) and all(output.is_verified for output in self.outputs)

    @property
    def text(self) -> str:
        """For the operator: what is certain, and what is not."""
        sure = [output.name for output in self.outputs if output.is_verified]
        unsure = [output for output in self.outputs if not output.is_verified]
        said = f"Off or at zero, as confirmed: {', '.join(sure)}." if sure else ""
        if unsure:
            names = ", ".join(output.name for output in unsure)
            said += f" Not confirmed: {names}. Switch these off by hand and look after the patient."
        return said.strip()
