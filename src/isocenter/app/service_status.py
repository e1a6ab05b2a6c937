# SPDX-License-Identifier: MIT
"""Service calibrations as one value for screens and scripts, and what can be asked of them."""

import math
from dataclasses import dataclass, field
from typing import Protocol

from isocenter.acquisition.prescan.contract import StepResult
from isocenter.acquisition.prescan.service import ServicePhantom
from isocenter.app.prescan_status import StepState, ValueInUse
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.units import signed

__all__ = [
    "HistoryEntry",
    "ServiceCalibrationControl",
    "ServiceCalibrationStatus",
    "ServiceCalibrationsChanged",
    "ServiceConfirmation",
    "ServicePhantom",
    "ServiceRow",
    "phantom_text",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfirmation:
    """A person's word that nobody lies in the magnet, and what does.

    Attributes
    ----------
    person
        Who said so.
    at
        When, ISO 8601.
    exam_id
        The exam of a phantom that it belongs to; it ends with it.
    """

    person: str
    phantom: ServicePhantom
    at: str
    exam_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """One service calibration.

    Attributes
    ----------
    name, title
        Stable name, such as ``gradient_delay``; for people.
    quantities
        What it measures; none for a mere check.
    is_used
        True when scans use its value, False when it is only kept.
    values
        Newest of each quantity, whether it holds or not; empty while it was never measured.
    why_again
        Why it should be measured again although it holds, in words; empty when nothing speaks for it.
    why_never
        Why it cannot be measured on this scanner, in words; empty when it can.
    is_check
        True when what is measured is only kept: nobody decides, and no scan uses it.
    state, result
        What it did since the program started.
    is_pending
        True while a person has to say whether the new values are taken into use.
    """

    name: str
    title: str
    quantities: tuple[Quantity, ...]
    is_used: bool
    state: StepState
    result: StepResult
    values: tuple[ValueInUse, ...] = ()
    why_again: str = ""
    why_never: str = ""
    is_check: bool = False
    is_pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCalibrationStatus:
    """All service calibrations, in the order in which one builds on the other.

    Attributes
    ----------
    confirmation
        None while nobody has said what lies in the magnet: then nothing is measured.
    why_not_measure
        Why nothing can be measured now, in words; empty when it can.
    problem, remedy
        What ended the last measurement before it could judge, or what could not be taken into use; empty when nothing.
    """

    rows: tuple[ServiceRow, ...] = ()
    confirmation: ServiceConfirmation | None = None
    why_not_measure: str = ""
    problem: str = ""
    remedy: str = ""

    def row(self, name: str) -> ServiceRow | None:
        """One calibration by its name."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def current(self) -> ServiceRow | None:
        """The one that is being measured."""
        return next((row for row in self.rows if row.state is StepState.RUNNING), None)

    @property
    def pending(self) -> ServiceRow | None:
        """The one that waits for a person's decision."""
        return next((row for row in self.rows if row.is_pending), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One moment in the history of a calibration.

    Attributes
    ----------
    number
        Names it: its place in the file, from 0.
    written_at_s
        When it was taken into use or refused [s since 1970].
    by
        The person or step.
    values
        What was accepted; empty for a refusal.
    refused
        Why it was refused or not taken into use; empty when it was.
    is_newest
        True for the one that is in use, if it holds.
    """

    number: int
    written_at_s: float = math.nan
    by: str = ""
    values: tuple[CalibrationValue, ...] = field(default=())
    refused: str = ""
    is_newest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCalibrationsChanged:
    """A calibration has news, or somebody confirmed what lies in the magnet."""

    service: ServiceCalibrationStatus


class ServiceCalibrationControl(Protocol):
    """What can be asked of service calibrations. Methods return at once; news come as ``ServiceCalibrationsChanged``."""

    @property
    def service_calibrations(self) -> ServiceCalibrationStatus:
        """As they are now."""
        ...

    def confirm_service(self, person: str, phantom: ServicePhantom, *, is_empty: bool) -> ServiceConfirmation:
        """A person says that no patient lies in the magnet, but this phantom. Begins an exam of it unless one runs.

        Raises
        ------
        WrongState
            Nobody said so, a patient is on the table, something runs, or the phantom cannot be.
        """
        ...

    def measure_service(self, name: str) -> None:
        """Measure one calibration; nothing is taken into use by this.

        Raises
        ------
        WrongState
            Nobody confirmed, something runs, a decision is due, or the scanner is stopped.
        """
        ...

    def accept_service(self, name: str) -> None:
        """Take what was measured into use.

        Raises
        ------
        WrongState
            There is nothing to decide, or something runs.
        StorageError
            It cannot be kept; then it is not used either.
        """
        ...

    def keep_service(self, name: str) -> None:
        """Leave the old value in use; what was measured is recorded as not taken. Errors as for ``accept_service``."""
        ...

    def service_history(self, name: str) -> tuple[HistoryEntry, ...]:
        """What was ever accepted and refused, newest first.

        Raises
        ------
        StorageError
            It cannot be read.
        """
        ...

    def go_back_service(self, name: str, number: int, person: str) -> None:
        """Take an older value into use again. It keeps its age.

        Raises
        ------
        WrongState
            There is no such value, it cannot be used on this scanner, something runs, or nobody gave a name.
        StorageError
            It cannot be kept; then it is not used either.
        """
        ...


def phantom_text(phantom: ServicePhantom) -> str:
    """The phantom and its place, for records: ``ball 140 mm: 140 mm wide, centre at +16 -8 +24 mm (device X Y Z)``."""
    centre = " ".join(f"{signed(1e3 * value)}" for value in phantom.centre_device_m)
    return f"{phantom.name}: {1e3 * phantom.diameter_m:.0f} mm wide, centre at {centre} mm (device X Y Z)"
