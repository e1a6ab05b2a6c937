# SPDX-License-Identifier: MIT
"""All calibrations that a scanner ever had, accepted and refused: a file that is only ever added to.

A line is on the disk before ``accept`` returns. A line that a crash cut short, or that was damaged later, is left where it
is, told as damaged and never used; the next begins on a line of its own. Several programs may use one file at a time.

A value's age is only known as long as the computer's clock was not set back since it was written. Each line therefore tells
the time on a clock that cannot be set too. Values from before such a moment keep their place in the history, but come with
an unknown time: what holds for some minutes only then does not hold any more.
"""

import csv
import io
import math
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.errors import StorageError
from isocenter.storage.calibration_lines import CalibrationEntry, Moment, decode_entry, encode_entry, utc_text
from isocenter.storage.files import plain_words, sync_folder, write_atomic

FOLDER: Final = "calibrations"
LOCK_TIMEOUT_S: Final = 5.0
_TOLERANCE_S: Final = 2.0
"""By which a clock that is kept right over the network may go back without being told [s]."""
_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESS: Final = uuid.uuid4().hex  # where a computer does not number its starts, a program knows only its own time


def now_on_both_clocks() -> Moment:
    """Now, by the computer's clock and by the one that counts from its start, sleep included."""
    try:
        boot = _BOOT_FILE.read_text(encoding="ascii").strip()
    except OSError:
        return Moment(wall_s=time.time(), boot=_PROCESS, steady_s=time.monotonic())
    return Moment(wall_s=time.time(), boot=boot, steady_s=time.clock_gettime(time.CLOCK_BOOTTIME))


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedLine:
    """A line that cannot be used: its number from 1, and why."""

    number: int
    problem: str


class CalibrationStore:
    """The history of one scanner's calibrations. Any thread may call anything.

    Parameters
    ----------
    folder
        The data folder; the file is ``calibrations/<scanner>.jsonl`` in it and is made with the first line.
    scanner_name
        Whose.
    now
        Both clocks.
    lock_timeout_s
        How long to wait for another program that is writing [s].
    """

    def __init__(
        self,
        folder: Path,
        scanner_name: str,
        *,
        now: Callable[[], Moment] = now_on_both_clocks,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        if not re.fullmatch(r"[\w.-]+", scanner_name) or scanner_name.startswith("."):
            raise ValueError(f"{scanner_name!r} cannot be the name of a file")
        self.path = folder / FOLDER / f"{scanner_name}.jsonl"
        self._now, self._lock_timeout_s = now, lock_timeout_s
        self._lock = threading.RLock()
        self._forget()

    # --- writing ----------------------------------------------------------------------------------------------------

    def accept(self, value: CalibrationValue, *, by: str = "") -> None:
        """Keep a value that was accepted; it replaces older ones for the same coil and subject.

        Parameters
        ----------
        by
            The step or the person that it comes from.

        Raises
        ------
        StorageError
            It cannot be written; then nothing of it stays.
        """
        self._append(CalibrationEntry(content=value, written=self._now(), by=by))

    def refuse(self, refused: RefusedCalibration, *, by: str = "") -> None:
        """Keep that a calibration was not believed; what was in use stays in use. Raises as ``accept``."""
        self._append(CalibrationEntry(content=refused, written=self._now(), by=by))

    def _append(self, entry: CalibrationEntry) -> None:
        line = encode_entry(entry)
        with self._lock, plain_words("keep the calibration", self.path):
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            try:
                with _alone(handle, self._lock_timeout_s, self.path):
                    _add(handle, line)
            finally:
                os.close(handle)
            if is_new:
                sync_folder(self.path.parent)

    # --- reading ----------------------------------------------------------------------------------------------------

    def history(self, quantity: Quantity | None = None) -> tuple[CalibrationEntry, ...]:
        """Everything that was ever written, of one quantity or of all, oldest first, with the times as written."""
        with self._lock:
            self._read()
            return tuple(entry for entry in self._entries if quantity in (None, entry.content.quantity))

    @property
    def damaged(self) -> tuple[DamagedLine, ...]:
        """Lines that cannot be used."""
        with self._lock:
            self._read()
            return tuple(self._damaged)

    def values(self, quantity: Quantity | None = None) -> tuple[CalibrationValue, ...]:
        """Accepted values in the order in which they were written, oldest first.

        Those from before the clock was set back have NaN for their time. ``acquisition.prescan.snapshot`` takes this.

        Raises
        ------
        StorageError
            The file is there and cannot be read.
        """
        with self._lock:
            self._read()
            n_unknown = self._n_of_unknown_age()
            return tuple(
                replace(entry.content, measured_at_s=float("nan")) if index < n_unknown else entry.content
                for index, entry in enumerate(self._entries)
                if isinstance(entry.content, CalibrationValue) and quantity in (None, entry.content.quantity)
            )

    def latest(self, quantity: Quantity, *, coil: str = "", subject: str = "") -> CalibrationValue | None:
        """The newest accepted value for a coil and subject, whether it still holds or not; None when there never was one.

        The newest is the one written last: times may lie.
        """
        fitting = (value for value in reversed(self.values(quantity)) if not value.why_not_for(coil=coil, subject=subject))
        return next(fitting, None)

    def export(self, path: Path, *, with_subjects: bool = False) -> int:
        """Write the whole history as a table for a spreadsheet (CSV); returns its rows.

        Parameters
        ----------
        with_subjects
            Also who was on the table, and the folders of the data. Left out unless asked for: the table may leave the house.
        """
        entries = self.history()
        text = io.StringIO()
        table = csv.writer(text)
        names = ["written_utc", "quantity", "result", "value", "sd", "measured_utc", "temperature_c", "coil", "by", "reason"]
        table.writerow(names + (["subject", "raw"] if with_subjects else []))
        for entry in entries:
            row = _row(entry)
            content = entry.content
            table.writerow([_harmless(cell) for cell in row + ([content.subject, content.raw] if with_subjects else [])])
        write_atomic(path, text.getvalue().encode())
        return len(entries)

    def _forget(self) -> None:
        self._entries: list[CalibrationEntry] = []
        self._damaged: list[DamagedLine] = []
        self._n_read = self._n_lines = self._n_eras = 0
        self._file_id: tuple[int, int] | None = None

    def _read(self) -> None:
        """Take in what was added since, by this program or another; everything anew when the file is another one."""
        try:
            with plain_words("read the calibrations", self.path), self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                file_id = (about.st_dev, about.st_ino)
                if file_id != self._file_id or about.st_size < self._n_read:
                    self._forget()
                    self._file_id = file_id
                file.seek(self._n_read)
                added = file.read()
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                self._forget()
                return
            raise
        whole = added[: added.rfind(b"\n") + 1]  # the rest is being written, or was never finished
        self._n_read += len(whole)
        for line in whole.split(b"\n")[:-1]:
            self._take(line)

    def _take(self, line: bytes) -> None:
        self._n_lines += 1
        if not line:
            return
        try:
            entry = decode_entry(line)
        except StorageError as error:
            self._damaged.append(DamagedLine(number=self._n_lines, problem=error.problem))
            return
        if self._entries and _was_set_back(self._entries[-1].written, entry.written):
            self._n_eras = len(self._entries)
        self._entries.append(entry)

    def _n_of_unknown_age(self) -> int:
        """So many entries, from the oldest on, are from before the clock was last set back."""
        if self._entries and _was_set_back(self._entries[-1].written, self._now()):
            return len(self._entries)
        return self._n_eras


def _was_set_back(earlier: Moment, later: Moment) -> bool:
    if earlier.boot == later.boot:
        return later.wall_s - earlier.wall_s < later.steady_s - earlier.steady_s - _TOLERANCE_S
    return later.wall_s < earlier.wall_s - _TOLERANCE_S


def _add(handle: int, line: bytes) -> None:
    """Add a line and wait for the disk; nothing of it stays when that fails."""
    size = os.fstat(handle).st_size
    if size > 0:
        os.lseek(handle, size - 1, os.SEEK_SET)
        if os.read(handle, 1) != b"\n":
            line = b"\n" + line  # a crash left half a line, which stays as it is, on its own
    try:
        rest = line
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


@contextmanager
def _alone(handle: int, timeout_s: float, path: Path) -> Iterator[None]:
    """While no other program writes. The lock ends with the program that holds it, however that ends."""
    if sys.platform == "win32":  # there is no such lock; what two programs write at one moment is told as damaged
        yield
        return
    import fcntl

    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise StorageError(
                    f"Another program has been writing the calibrations in {path} for {timeout_s:g} s.",
                    "Close other windows of this program, then repeat the calibration.",
                ) from None
            time.sleep(0.002)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _row(entry: CalibrationEntry) -> list[str]:
    content = entry.content
    if isinstance(content, CalibrationValue):
        result, sd, at_s, reason = "accepted", content.sd, content.measured_at_s, ""
    else:
        result, sd, at_s, reason = "refused", (), content.refused_at_s, content.reason
    return [
        utc_text(entry.written.wall_s),
        content.quantity.value,
        result,
        _numbers(content.value),
        _numbers(sd),
        utc_text(at_s),
        _numbers((content.temperature_c,)),
        content.coil,
        entry.by,
        reason,
    ]


def _numbers(values: Sequence[float]) -> str:
    return " ".join("" if math.isnan(value) else repr(value) for value in values)


def _harmless(cell: str) -> str:
    """A spreadsheet takes text that begins like this for a formula; numbers may."""
    if not cell or cell[0] not in "=+-@\t\r" or re.fullmatch(r"[-+0-9.eE ]+", cell):
        return cell
    return "'" + cell
