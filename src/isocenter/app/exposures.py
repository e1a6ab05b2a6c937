# SPDX-License-Identifier: MIT
"""What was really played on a scanner: written down before it is played, added to every check, shown live.

docs/safety.md, section "Across scans", says why it is the scanner's and not the patient's, and what its clock is.
"""

import contextlib
import math
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from isocenter.acquisition.clock import Pace
from isocenter.compiler.check.exposure import Situation, live_exposures, predicted_exposures, raise_if_over
from isocenter.compiler.check.patient import AVERAGED_SAR
from isocenter.compiler.check.report import SafetyReport
from isocenter.domain.errors import ConsoleError, LimitError, StorageError, WrongState
from isocenter.domain.exposure import Exposure, Label
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, Subject, subject_of
from isocenter.domain.patient import Exam
from isocenter.domain.scanner import Calibration, Scanner, as_measured
from isocenter.storage.dose_file import LARGEST_BYTES, DoseFile, Stamp, damaged
from isocenter.storage.journal import now_iso

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def subject_for(exam: Exam | None) -> Subject | None:
    """Who lies in the scanner today; None when nobody is named, as in a service scan.

    Then SAR is unknown and shown so, limits of nerves and hardware hold, and an RF monitor is set as for a person of unknown
    weight. A phantom is only what was registered as one.
    """
    return None if exam is None else subject_of(exam, datetime.now().astimezone().date())


def confirmed_by(name: str) -> FirstLevelConfirmation:
    """A person takes responsibility for first level mode, now.

    Raises
    ------
    WrongState
        Nobody was named.
    """
    if not name.strip():
        raise WrongState("Nobody has said who confirms first level mode.", "Give the name of the person who is responsible.")
    return FirstLevelConfirmation(name=name.strip(), at=now_iso())


class SteadyClock(Protocol):
    """A clock that nobody can set."""

    name: str

    def now_s(self) -> float:
        """The time [s]; never goes back."""
        ...

    def pass_to(self, time_s: float) -> None:
        """What was played until then has been played."""
        ...


def steady_name() -> str:
    """Name of the computer's steady clock: one for all programs until the computer restarts, where that can be told."""
    try:
        return f"boot {_BOOT_ID.read_text().strip()}"
    except OSError:
        return f"process {uuid.uuid4()}"


class RealClock:
    """The computer's steady clock, for everything that is as fast as time."""

    def __init__(self) -> None:
        self.name = steady_name()

    def now_s(self) -> float:
        """Seconds on it."""
        return time.monotonic()

    def pass_to(self, time_s: float) -> None:
        """It knows by itself."""


class TrainingClock:
    """Time on a virtual scanner that plays faster than time: it runs as time does, and jumps over what was played."""

    def __init__(self) -> None:
        self.name = steady_name()
        self._lead_s = 0.0

    def now_s(self) -> float:
        """Seconds on it."""
        return time.monotonic() + self._lead_s

    def pass_to(self, time_s: float) -> None:
        """Jump there, unless that is past."""
        self._lead_s = max(self._lead_s, time_s - time.monotonic())


class ExposureLog:
    """History of one scanner, in memory and in a file. Any thread may look; one scan at a time adds to it.

    Parameters
    ----------
    scanner
        Its limits.
    clock
        Steady.
    path
        Where the history is kept; None for a scanner that ends with this program.
    """

    def __init__(self, scanner: Scanner, clock: SteadyClock, path: Path | None = None) -> None:
        self.clock, self._scanner = clock, scanner
        self._file = None if path is None else DoseFile(path)
        self._history = ExposureHistory(clock=clock.name)
        self._stamp: Stamp | None = None
        self._lock = threading.RLock()
        self._is_scanning = False
        self.mode = OperatingMode.NORMAL

    @property
    def history(self) -> ExposureHistory:
        """All that was played, also by other programs until now.

        Raises
        ------
        StorageError
            Nobody knows: the file is damaged or cannot be read.
        """
        with self._lock:
            if self._file is not None and not self._is_scanning:
                self._read(self._file)
            return self._history

    def situation(self, subject: Subject | None, confirmation: FirstLevelConfirmation | None = None) -> Situation:
        """In what a scan would be played that starts now, or as soon as what is playing ends.

        Raises
        ------
        StorageError
            What was played before is not known.
        """
        history = self.history
        return Situation(subject=subject, history=history, starts_s=self._next_s(history), confirmation=confirmation)

    def live(self, subject: Subject | None, calibration: Calibration) -> tuple[Exposure, ...]:
        """What the windows that end now hold, against the limits of the mode that is scanned in.

        Parameters
        ----------
        calibration
            In use now: what was played is shown as it is on the scanner as it was measured.
        """
        scanner = as_measured(self._scanner, calibration)
        return live_exposures(self._history, self.clock.now_s(), scanner, subject, self.mode)

    @contextlib.contextmanager
    def scan(self, safety: SafetyReport, scanner: Scanner, subject: Subject | None) -> Iterator["Playing"]:
        """Within, a scan may be played; what it is given wants to be told of each segment.

        Parameters
        ----------
        safety
            Of the last gate.
        scanner
            As it is now calibrated.

        Raises
        ------
        LimitError
            With what was played until now, the scan would exceed a limit.
        WrongState
            Another program is scanning.
        StorageError
            What was played before is not known, or nothing can be written down.
        """
        with contextlib.ExitStack() as stack:
            if self._file is not None:
                stack.enter_context(self._file.held())
            history = self.history
            self._shorten()
            playing = Playing(self, safety, scanner, subject)
            playing.check(self._next_s(history))
            with self._lock:
                self._is_scanning, self.mode = True, safety.mode
            try:
                yield playing
            finally:
                with self._lock:
                    self._is_scanning, self.mode = False, OperatingMode.NORMAL
                    with contextlib.suppress(StorageError):  # then it is read anew, and says what is wrong
                        self._stamp = None if self._file is None else self._file.stamp

    def add(self, safety: SafetyReport, segment: int, at_s: float) -> None:
        """Write down that a segment will be played; when it returns, no crash can make it forgotten.

        Raises
        ------
        StorageError
            It cannot be written, so it must not be played.
        """
        assert safety.planned is not None
        dose = self._history.dose(safety.planned, segment, at_s)
        if self._file is not None:
            self._file.append(dose.to_record())
        with self._lock:
            self._history = self._history.with_dose(dose)

    @property
    def known(self) -> ExposureHistory:
        """What this program knows of, without looking at the file."""
        return self._history

    def _next_s(self, history: ExposureHistory) -> float:
        return max(self.clock.now_s(), float((history.start_s + history.length_s).max(initial=-math.inf)))

    def _read(self, file: DoseFile) -> None:
        stamp = file.stamp
        if stamp == self._stamp or (stamp is None and len(self._history.start_s)):  # a file that is gone undoes nothing
            return
        records = file.read()
        try:
            self._history = ExposureHistory.from_records(records, self.clock.name, self.clock.now_s())
        except StorageError as error:
            raise damaged(file.path, error.problem.partition("(")[2].partition(")")[0]) from None
        self._stamp = stamp
        if any(record["clock"] != self.clock.name for record in records):  # from now on it is known how long ago that was
            with contextlib.suppress(ConsoleError), file.held():
                if file.stamp == stamp:
                    file.rewrite(self._history.to_records())
                    self._stamp = file.stamp

    def _shorten(self) -> None:
        """While the file is held: leave out what no window reaches any more, and bring back a file that is gone."""
        if self._file is None:
            return
        stamp = self._file.stamp
        is_gone = stamp is None and len(self._history.start_s) > 0
        if is_gone or (stamp is not None and stamp[1] > LARGEST_BYTES):
            self._file.rewrite(self._history.to_records())


class Playing:
    """One scan on its way into the history.

    Attributes
    ----------
    safety
        What is computed for it, with what was played until its start.
    scanner, subject
        As it was measured, and who lies in it.
    """

    def __init__(self, log: ExposureLog, safety: SafetyReport, scanner: Scanner, subject: Subject | None) -> None:
        self._log, self._safety, self.scanner, self.subject = log, safety, scanner, subject
        self._played_until_s = -math.inf
        self.safety = safety

    def check(self, starts_s: float) -> None:
        """Look once more at the limits, with what was played until now; ``safety`` then says what came of it.

        Raises
        ------
        LimitError
            One would be exceeded, or a person's SAR is not known.
        """
        exposures = predicted_exposures(self._safety, self.scanner, self.subject, self._log.known, starts_s)
        raise_if_over(exposures)
        is_person = self.subject is not None and not self.subject.is_phantom
        if is_person and any(one.label is Label.UNKNOWN for one in exposures if one.name in AVERAGED_SAR):
            raise LimitError(
                f"The power of the RF amplifier of scanner {self.scanner.name} is unknown, so the SAR of a person is.",
                "Give safety.forward_power_w, the amplifier's largest output, in the scanner's hardware file.",
            )
        self.safety = replace(self._safety, exposures=exposures)

    def before_segment(self, index: int, in_s: float) -> None:
        """A segment starts in so many seconds, and the one before it has been played.

        Raises
        ------
        LimitError, StorageError
            It must not be played.
        """
        self._log.clock.pass_to(self._played_until_s)
        at_s = self._log.clock.now_s() + in_s
        planned = self._safety.planned
        assert planned is not None
        if index == 0:
            self.check(max(at_s, self._log.situation(self.subject).starts_s))
        self._log.add(self._safety, index, at_s)
        self._played_until_s = at_s + float(planned.segment_end_s[index] - planned.segment_start_s[index])

    def completed(self) -> None:
        """The last segment has been played, too."""
        self._log.clock.pass_to(self._played_until_s)


class Exposures:
    """Logs of one scanner: a real one and a virtual one of the same name have nothing in common.

    Parameters
    ----------
    scanner
        Its name and limits.
    pace
        ``none`` for a virtual scanner that plays faster than time.

    Attributes
    ----------
    folder
        Where histories are kept; None keeps them in memory only. Set it before the first use.
    """

    def __init__(self, scanner: Scanner, pace: Pace, folder: Path | None = None) -> None:
        self._scanner, self._pace, self.folder = scanner, pace, folder
        self._logs: dict[bool, ExposureLog] = {}
        self._lock = threading.Lock()

    def of(self, *, is_virtual: bool) -> ExposureLog:
        """History of the real scanner, or of the virtual one."""
        with self._lock:
            if is_virtual not in self._logs:
                path = None if self.folder is None else self.folder / file_name(self._scanner.name, is_virtual=is_virtual)
                clock: SteadyClock = TrainingClock() if is_virtual and self._pace == "none" else RealClock()
                self._logs[is_virtual] = ExposureLog(self._scanner, clock, path)
            return self._logs[is_virtual]


def file_name(scanner_name: str, *, is_virtual: bool) -> str:
    """Name of the file that keeps what was played on a scanner."""
    return f"exposures-{'virtual-' if is_virtual else ''}{re.sub(r'[^A-Za-z0-9._-]+', '-', scanner_name)}.jsonl"


def exposure_text(one: Exposure) -> str:
    """One exposure in words, such as ``head SAR in 6 min: 0.31 of 3.2 W/kg, 10 % (bound)``."""
    if one.label is Label.UNKNOWN or math.isnan(one.value):
        return f"{one.title}: unknown. {one.note}".strip()
    value, limit, unit = one.shown
    if math.isnan(limit):
        return f"{one.title}: {value:.3g} {unit} ({one.label}), no limit".replace("  ", " ")
    return f"{one.title}: {value:.3g} of {limit:.3g} {unit}, {_percent(one.fraction)} ({one.label})"


def _percent(fraction: float) -> str:
    if 0 < fraction < 0.01:
        return "under 1 %"
    return f"{round(fraction * 100) if fraction <= 1 else math.floor(fraction * 100) + 1} %"  # above 1 never reads as 100 %
