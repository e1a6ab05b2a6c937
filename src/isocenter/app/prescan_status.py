# SPDX-License-Identifier: MIT
"""The prescan as one value for screens and scripts, and what can be asked of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from isocenter.acquisition.prescan.contract import Curve, Plot, StepResult, Verdict
from isocenter.domain.calibration import CalibrationValue

__all__ = [
    "Curve",
    "Plot",
    "PrescanChanged",
    "PrescanControl",
    "PrescanStatus",
    "StepResult",
    "StepState",
    "StepStatus",
    "ValueInUse",
    "Verdict",
]


class StepState(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    STOPPED = "stopped"
    """Somebody pressed Stop while it ran, or it could not be played; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """One step of the prescan.

    Attributes
    ----------
    state
        How far it is.
    result
        What it found, or has found so far; without a verdict and plots while it waits.
    skipped_by, skip_reason
        Who left out a step that failed, and why; empty when nobody did.
    """

    state: StepState
    result: StepResult
    skipped_by: str = ""
    skip_reason: str = ""

    @property
    def name(self) -> str:
        """Stable name, such as ``fine_frequency``."""
        return self.result.step

    @property
    def is_settled(self) -> bool:
        """True when scans may follow: it passed, was not needed, or a person left it out."""
        return self.state is StepState.ENDED and (self.result.verdict is not Verdict.FAIL or bool(self.skipped_by))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueInUse:
    """A calibration that scans use, or would use if it still held.

    Attributes
    ----------
    why_not
        Why it does not hold any more, in words; empty while it holds.
    """

    value: CalibrationValue
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescanStatus:
    """The prescan as the window shows it.

    Attributes
    ----------
    steps
        In the order in which they run.
    values
        Newest value of each quantity.
    is_running
        True while a step is being measured.
    started_at, ended_at
        Of the last run, ISO 8601; empty for never, or not yet.
    problem, remedy
        What ended the last run early; empty when nothing did.
    is_frequency_only
        True when Start measures nothing but the frequency in this exam, because somebody asked for that.
    frequency_only_by
        Who did; empty for nobody.
    """

    steps: tuple[StepStatus, ...] = ()
    values: tuple[ValueInUse, ...] = ()
    is_running: bool = False
    started_at: str = ""
    ended_at: str = ""
    problem: str = ""
    remedy: str = ""
    is_frequency_only: bool = False
    frequency_only_by: str = ""

    @property
    def current(self) -> StepStatus | None:
        """The step that is being measured."""
        return next((step for step in self.steps if step.state is StepState.RUNNING), None)

    @property
    def failed(self) -> tuple[StepStatus, ...]:
        """Steps that need a person: measured, not good enough, and nobody left them out."""
        return tuple(
            step
            for step in self.steps
            if step.state is StepState.STOPPED or (step.state is StepState.ENDED and not step.is_settled)
        )

    @property
    def is_done(self) -> bool:
        """True when every step is settled."""
        return bool(self.steps) and all(step.is_settled for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescanChanged:
    """A step has news, or a value was taken into use."""

    prescan: PrescanStatus


class PrescanControl(Protocol):
    """What can be asked of the prescan. Every method returns at once; news come as ``PrescanChanged``."""

    @property
    def prescan(self) -> PrescanStatus:
        """As it is now."""
        ...

    def run_prescan(self) -> None:
        """Measure all steps again that do not hold any more, in order.

        Raises
        ------
        WrongState
            Nobody is on the table, something runs, or the scanner is stopped.
        """
        ...

    def retry_prescan(self, step: str) -> None:
        """Measure one step again, whether or not its value holds, and those after it that did not end well.

        Errors as for ``run_prescan``.
        """
        ...

    def skip_prescan(self, step: str, reason: str, person: str) -> None:
        """A person goes on without a step that failed; name and reason are recorded.

        Raises
        ------
        WrongState
            The step did not fail, nothing can be scanned without it, or no name or reason was given.
        """
        ...

    def measure_only_frequency(self, person: str) -> None:
        """Until the prescan is run or the exam ends, Start measures the frequency only; ends a prescan that runs, soon.

        The name is recorded in the scanner's journal and with every scan that is made so.

        Raises
        ------
        WrongState
            Nobody is on the table, or nobody was named.
        """
        ...
