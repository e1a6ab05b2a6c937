# SPDX-License-Identifier: MIT
"""What the runner needs of others and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from isocenter.devices.protocols import DeviceMessage, SafeReport
from isocenter.domain.events import Readouts
from isocenter.domain.scan import EndReason, ScanProgress
from isocenter.recon.receive import Samples


class ScanSink(Protocol):
    """Where a scan's data go, such as ``storage.ScanFolder``."""

    path: Path

    def append(self, readouts: Readouts, samples: Samples) -> None:
        """Store samples; when it returns they are safe."""
        ...

    def note(self, event: str, **details: Any) -> None:
        """Write down what happened."""
        ...

    def finish(self, reason: EndReason, note: str = "") -> None:
        """Say how the scan ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LateStart:
    """A segment that could not start in time."""

    segment: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """How a scan ended that did not fail.

    Attributes
    ----------
    n_readouts, n_expected
        Stored, and planned.
    safe
        What bringing the outputs to zero led to.
    """

    reason: EndReason
    n_readouts: int
    n_expected: int
    safe: SafeReport
    late_starts: tuple[LateStart, ...] = ()


def _ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Whom the runner tells; called in the thread that runs the scan.

    Attributes
    ----------
    on_progress
        At each change of state and after each segment.
    on_lines
        Readouts and their samples, after they are on the disk.
    on_message
        Everything that the console says, and what the runner has to say.
    """

    on_progress: Callable[[ScanProgress], None] = _ignore
    on_lines: Callable[[Readouts, Samples], None] = _ignore
    on_message: Callable[[DeviceMessage], None] = _ignore
