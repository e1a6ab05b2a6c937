# SPDX-License-Identifier: MIT
"""The one door between a person's interface (window or command line) and the scanner.

Everything that crosses it is a frozen value that survives pickling. No call waits for hardware: it returns at once, and the
outcome comes back as an event.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from isocenter.app.control_status import ControlStatus
from isocenter.app.prescan_status import PrescanChanged, PrescanControl
from isocenter.app.protocol_check import ProtocolCheck as ProtocolCheck  # noqa: PLC0414  it belongs to the door
from isocenter.app.service_status import ServiceCalibrationControl, ServiceCalibrationsChanged
from isocenter.domain.exposure import Exposure
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode
from isocenter.domain.parameters import Parameter
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scan import ScanProgress, SequenceInfo
from isocenter.domain.scanner import Scanner
from isocenter.domain.volume import Volume


class Health(StrEnum):
    """State of something that can be good, bad or unknown. Unknown is never shown as good."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


class ItemState(StrEnum):
    """State of a queue entry."""

    WAITING = "waiting"
    PREPARING = "preparing"
    SCANNING = "scanning"
    RECONSTRUCTING = "reconstructing"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """One entry of the exam's queue.

    Attributes
    ----------
    item_id
        Stable for the life of the exam.
    check
        None while it is being computed.
    note
        Why it failed or stopped, with what to do; empty otherwise.
    folder
        Where its data are, once there are any.
    first_level
        Who confirmed first level mode for it, and when; None while nobody has. Another protocol has to be confirmed anew.
    """

    item_id: str
    protocol: ScanProtocol
    state: ItemState
    check: ProtocolCheck | None = None
    progress: ScanProgress | None = None
    note: str = ""
    folder: Path | None = None
    first_level: FirstLevelConfirmation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One status light: what, how it is, and in words."""

    name: str
    health: Health
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """Everything the permanent parts of the window show.

    Attributes
    ----------
    is_virtual
        True while the virtual scanner is driven; shown on every screen.
    is_running
        True while the queue is being worked off.
    larmor_hz, larmor_age_s
        Last measured frequency and how long ago, NaN when never measured.
    remaining_s
        Of the whole queue, NaN when not known.
    scenario
        Name of the virtual scanner's scenario, empty for a real scanner or when nobody knows.
    is_exercise
        True while a trainee is to find out which scenario it is: then its name is not to be shown.
    is_restarting
        True while the virtual scanner is started anew with another scenario; nothing can begin meanwhile.
    exposures
        What was really played, in the windows that end now, against the limits of ``mode``.
    mode
        Operating mode of the scan that runs; normal while none does.
    """

    lights: tuple[Light, ...]
    is_virtual: bool
    is_running: bool
    activity: str
    larmor_hz: float
    larmor_age_s: float
    remaining_s: float
    scenario: str = ""
    is_exercise: bool = False
    is_restarting: bool = False
    exposures: tuple[Exposure, ...] = field(default=(), compare=False)
    mode: OperatingMode = OperatingMode.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioEntry:
    """One scenario of the virtual scanner, in words.

    Attributes
    ----------
    name
        As its file is called.
    own_file
        Path of the file when it is the user's own, else empty.
    summary
        What it is.
    phantom, magnet
        What lies in which scanner.
    look_for
        For a trainee who gives up: what it does to pictures.
    wrong
        Everything that is not perfect, a sentence each.
    is_good_day
        True when nothing is wrong that a good scanner would not have.
    problem, remedy
        Why it cannot be chosen and what would mend its file; empty when it can.
    """

    name: str
    own_file: str = ""
    summary: str = ""
    phantom: str = ""
    magnet: str = ""
    look_for: str = ""
    wrong: tuple[str, ...] = ()
    is_good_day: bool = True
    problem: str = ""
    remedy: str = ""

    @property
    def is_usable(self) -> bool:
        """True when it can be chosen."""
        return not self.problem


# --- events, delivered to listeners from any thread -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """The permanent parts of the window have news."""

    status: ServiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged:
    """State, a device, a fault or the report of a stop has news."""

    control: ControlStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamChanged:
    """An exam began or ended; None when nobody is on the table."""

    exam: Exam | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChanged:
    """The queue, in the order in which it runs."""

    items: tuple[QueueItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChanged:
    """New pictures of one queue entry.

    Attributes
    ----------
    exam_id, item_id
        To whom and what they belong.
    volumes
        Magnitude images, one for each stack (a three-plane localizer has three).
    fraction
        Part of k-space measured so far, 1 when final.
    """

    exam_id: str
    item_id: str
    title: str
    volumes: tuple[Volume, ...]
    fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRaised:
    """Something the operator must read.

    Attributes
    ----------
    health
        How bad.
    problem, remedy
        One sentence each.
    """

    health: Health
    problem: str
    remedy: str


ServiceEvent = (
    StatusChanged
    | ControlChanged
    | PrescanChanged
    | ServiceCalibrationsChanged
    | ExamChanged
    | QueueChanged
    | ImageChanged
    | MessageRaised
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """A named list of protocols, such as ``Brain, routine``."""

    name: str
    body_part: str
    protocols: tuple[ScanProtocol, ...] = field(default=())


class ScannerService(PrescanControl, ServiceCalibrationControl, Protocol):
    """What a window or a script can ask for. Every method returns at once."""

    @property
    def scanner(self) -> Scanner:
        """The scanner that is driven."""
        ...

    @property
    def status(self) -> ServiceStatus:
        """The newest snapshot."""
        ...

    @property
    def control(self) -> ControlStatus:
        """State, devices, faults and the last stop, as they are now."""
        ...

    def make_ready(self, person: str) -> "Future[None]":
        """A person says that the cause of a stop is gone; the future fails with a ConsoleError while it is not."""
        ...

    def feed(self) -> None:
        """The window reacts; call it from the event loop at least four times a second.

        Once it has been called, a second without it while power can reach the bore stops the scanner.
        """
        ...

    @property
    def exam(self) -> Exam | None:
        """Who is on the table, None for nobody."""
        ...

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        """The exam's queue in the order in which it runs."""
        ...

    def listen(self, listener: Callable[[ServiceEvent], None]) -> Callable[[], None]:
        """Call ``listener`` with every event, from any thread; returns a function that ends it."""
        ...

    def sequences(self) -> tuple[SequenceInfo, ...]:
        """Every sequence there is."""
        ...

    def parameters(self, sequence: str) -> tuple[Parameter, ...]:
        """Declared parameters of a sequence; none for a ``.seq`` file."""
        ...

    def programmes(self) -> tuple[Programme, ...]:
        """Named lists of protocols."""
        ...

    def check(self, protocol: ScanProtocol) -> Future[ProtocolCheck]:
        """Build, compile and check a protocol in the worker; never raises for a bad protocol, the check says why."""
        ...

    def start_exam(
        self, patient: Patient, position: PatientPosition, body_part: str, description: str = "", laterality: str = ""
    ) -> Exam:
        """Register who is on the table; a paired body part needs its side, L or R.

        Ends a running exam; refused (WrongState) while scanning.
        """
        ...

    def end_exam(self) -> None:
        """Nobody is on the table any more; what still waited in the queue is dropped. Refused while scanning."""
        ...

    def add(self, protocol: ScanProtocol) -> QueueItem:
        """Put a protocol at the end of the queue."""
        ...

    def update(self, item_id: str, protocol: ScanProtocol) -> None:
        """Change a waiting entry."""
        ...

    def remove(self, item_id: str) -> None:
        """Take a waiting entry out."""
        ...

    def move(self, item_id: str, to_index: int) -> None:
        """Move a waiting entry; the queue runs in the order shown."""
        ...

    def confirm_first_level(self, item_id: str, name: str) -> None:
        """A person takes responsibility for a waiting entry in first level controlled operating mode; it is checked anew.

        Refused (WrongState) without a name, and for an entry whose check does not ask for it.
        """
        ...

    def start(self) -> None:
        """Work off the queue from the first waiting entry. Refused (WrongState) while the scanner is stopped (SAFE)."""
        ...

    def stop(self) -> None:
        """Stop now. Needs no confirmation, never waits, may be called from any thread at any time.

        While something runs the scanner is SAFE afterwards. While nothing does, every device is asked to be off and the
        console to be at zero; SAFE only if one does not confirm.
        """
        ...

    def export(self, item_ids: tuple[str, ...], folder: Path) -> "Future[tuple[Path, ...]]":
        """Write DICOM and NIfTI files of finished entries."""
        ...

    @property
    def has_scenarios(self) -> bool:
        """True when the virtual scanner belongs to this program, so that its scenario can be chosen."""
        ...

    def scenarios(self) -> "Future[tuple[ScenarioEntry, ...]]":
        """Every scenario there is, also those that cannot be used; none for a real scanner."""
        ...

    def choose_scenario(self, name: str, *, is_exercise: bool = False) -> "Future[None]":
        """Start the virtual scanner anew with a scenario; the future fails with a ConsoleError when that did not work.

        Refused (WrongState) while a scan runs, with somebody on the table, and with a real scanner.
        """
        ...

    def close(self) -> None:
        """Stop, make safe, end all workers. May wait up to a few seconds."""
        ...
