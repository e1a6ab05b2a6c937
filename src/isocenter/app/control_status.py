# SPDX-License-Identifier: MIT
"""The scanner under control, as one value for screens and scripts."""

from dataclasses import dataclass, field

from isocenter.domain.control import Fault, ScannerState, StopReport
from isocenter.domain.device import DeviceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlStatus:
    """The scanner under control, as every screen shows it.

    Attributes
    ----------
    state
        OFF, READY, ARMED, SCANNING or SAFE.
    devices
        Every box on a line; empty when the hardware file names none: then nobody watches the amplifiers.
    faults
        What is wrong now, in the order in which it was seen.
    cause
        What stopped the scanner; None when a person did, or when it is not stopped.
    why_not_ready
        What keeps it from READY, for the operator; empty when nothing does.
    why_no_start
        Why Start is refused now; empty when it is not.
    stop_report
        What the last stop achieved so far; without outputs while nothing is known.
    journal
        The newest entries of the scanner's journal, oldest first, one line each.
    """

    state: ScannerState = ScannerState.OFF
    devices: tuple[DeviceStatus, ...] = ()
    faults: tuple[Fault, ...] = ()
    cause: Fault | None = None
    why_not_ready: str = ""
    why_no_start: str = ""
    stop_report: StopReport = field(default_factory=lambda: StopReport(cause=""))
    journal: tuple[str, ...] = ()

    @property
    def is_stopped(self) -> bool:
        """True while only a person can make it ready again."""
        return self.state is ScannerState.SAFE

    @property
    def is_monitored(self) -> bool:
        """True when at least one device is watched."""
        return bool(self.devices)
