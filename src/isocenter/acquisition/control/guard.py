# SPDX-License-Identifier: MIT
"""One scan as the supervisor guards it: what it may, what is looked at between its segments, what its faults mean."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event
from typing import Final

from isocenter.acquisition.contracts import Resume
from isocenter.acquisition.control.arming import RfLimits
from isocenter.acquisition.control.pauses import PauseMeter
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.devices.protocols import SafeReport
from isocenter.domain.control import FaultAction
from isocenter.domain.errors import DeviceError, SamplesLost, WrongState

Relock = Callable[[Event, bool], Resume | None]
"""Looks whether the frequency must be measured anew, and does; the second argument says that all is measured."""
_OVER_WITH_THE_SCAN: Final = (FaultAction.END, FaultAction.WARN)


class ScanGuard:
    """The ``Guard`` of one scan.

    Parameters
    ----------
    supervisor
        Switches, watches and stops.
    limits
        For the RF monitor.
    look
        Called before the scan and before each segment: looks at disk, clock and whatever else needs no device, and tells
        the supervisor of faults.
    is_clinical
        False for a prescan, which may run while something blocks clinical scans.
    on_zero
        Told what bringing the console's outputs to zero led to, before the supervisor is.

    Attributes
    ----------
    relock
        Called between the segments of a clinical scan; None for a scan whose frequency nobody follows.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        limits: RfLimits | None,
        look: Callable[[], None],
        *,
        is_clinical: bool = True,
        on_zero: Callable[[SafeReport], None] = lambda _: None,
    ) -> None:
        self._supervisor, self._limits, self._look, self._is_clinical = supervisor, limits, look, is_clinical
        self._on_zero = on_zero
        self.relock: Relock | None = None
        self._pauses = PauseMeter()

    def require(self) -> None:
        """Raise WrongState when this scan may not begin now; the problem says why.

        What ended an earlier scan, or was only told, is forgotten: it is seen again if it is still there.
        """
        supervisor = self._supervisor
        for fault in supervisor.faults:
            if fault.role is None and fault.action in _OVER_WITH_THE_SCAN:
                supervisor.clear(fault.name)
        self._look()
        supervisor.require_ready()
        refusals = [FaultAction.END, *([FaultAction.BLOCK, FaultAction.PAUSE] if self._is_clinical else [])]
        for fault in supervisor.faults:
            if fault.action in refusals:
                raise WrongState(f"{fault.problem} {fault.detail}".strip(), fault.remedy)

    def arm(self, cancel: Event) -> None:
        """Switch on what the scan needs."""
        self.require()
        self._supervisor.arm(cancel, self._limits)

    def before_segment(self, cancel: Event) -> Resume | None:
        """Look, measure the frequency anew where it has moved, then wait while the scan still has to pause."""
        self._pauses.is_ready()
        self._look()
        self._supervisor.before_segment(cancel, may_pause=False)
        resume = None if self.relock is None else self.relock(cancel, False)
        self._supervisor.before_segment(cancel, may_pause=self._is_clinical)
        return resume

    def after_last(self, cancel: Event) -> Resume | None:
        """All is measured, but some of it perhaps at a wrong frequency."""
        return None if self.relock is None else self.relock(cancel, True)

    def segment(self, duration_s: float) -> AbstractContextManager[None]:
        """Around a segment while it is being played."""
        self._pauses.asked(duration_s)
        return self._supervisor.segment(duration_s)

    def console_failed(self, error: DeviceError) -> None:
        """Cut the amplifiers; lost samples alone end the scan and nothing more: what was played was right."""
        if isinstance(error, SamplesLost):
            self._supervisor.fault("lines_lost", detail=error.problem)
        else:
            self._supervisor.console_failed(error)

    def program_failed(self) -> None:
        """Cut the amplifiers."""
        self._supervisor.program_failed()

    def console_stopped(self, safe: SafeReport) -> None:
        """Tell what bringing the console's outputs to zero led to."""
        self._on_zero(safe)
        self._supervisor.console_stopped(safe)

    def disarm(self) -> None:
        """Everything back to standby; the journal tells what the link to the console needed between segments."""
        self._supervisor.disarm()
        if (need := self._pauses.need()) is not None:
            self._supervisor.journal("pauses", need.record())

    def why_stopped(self) -> str:
        """Who or what stopped the scan, in words."""
        return self._supervisor.why_stopped()


class AsideGuard(ScanGuard):
    """For a short measurement in the pause of a scan: what that scan has switched on stays on and is watched on."""

    def require(self) -> None:
        """The scan around it was allowed to begin."""

    def arm(self, cancel: Event) -> None:
        """Nothing is switched; raise ScanAborted when the scanner was stopped."""
        self._supervisor.before_segment(cancel, may_pause=False)

    def disarm(self) -> None:
        """The scan around it goes on."""
