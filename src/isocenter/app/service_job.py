# SPDX-License-Identifier: MIT
"""Runs one service calibration at a time, waits for a person's decision, and keeps every value and refusal."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from isocenter.acquisition.prescan.contract import Bench, Step, StepResult, Verdict
from isocenter.acquisition.prescan.snapshot import judge
from isocenter.app.prescan_job import is_recent
from isocenter.app.prescan_status import StepState, ValueInUse
from isocenter.app.service_status import HistoryEntry, ServiceConfirmation, ServiceRow, phantom_text
from isocenter.app.service_trend import with_trend
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.errors import ConsoleError, ScanAborted, WrongState
from isocenter.domain.scanner import Scanner
from isocenter.storage.calibration_lines import CalibrationEntry
from isocenter.storage.calibrations import CalibrationStore

_log = logging.getLogger(__name__)

QUANTITIES: Final[Mapping[str, tuple[Quantity, ...]]] = {
    "gradient_currents": (Quantity.GRADIENT_CURRENTS,),
    "flip_check": (Quantity.FLIP_CHECK,),
    "gradient_scale": (Quantity.GRADIENT_SCALE,),
    "gradient_delay": (Quantity.GRADIENT_DELAY,),
    "shim_by_map": (Quantity.SHIM,),
    "eddy_currents": (Quantity.EDDY, Quantity.EDDY_B0),
    "b0_map": (Quantity.B0_MAP,),
    "b1_map": (Quantity.B1_MAP,),
}
"""What each step measures. Source: docs/calibration.md."""
USED: Final = frozenset(
    {Quantity.GRADIENT_CURRENTS, Quantity.GRADIENT_SCALE, Quantity.GRADIENT_DELAY, Quantity.SHIM},
)
"""What scans use; the rest is kept."""
CHECKS: Final = frozenset({"flip_check"})
"""What is kept at once, for later comparison: there is nothing to decide."""
_BUILDS_ON: Final = {"gradient_scale": "gradient_currents", "shim_by_map": "gradient_scale"}
_ONE_MEASUREMENT_S: Final = 10.0


class ServiceJob:
    """Calibrations, how far they are, and their history. Any thread may ask; one measures.

    Parameters
    ----------
    steps
        In order; only their names, titles and what they need are used here.
    store
        Keeps what was accepted and what was refused.
    since_s
        Nothing that was measured before is used or shown [s since 1970].
    tell
        Told each time that something changed.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        store: CalibrationStore,
        scanner: Scanner,
        *,
        since_s: float,
        tell: Callable[[], None],
    ) -> None:
        self._store, self._scanner, self._since_s, self._tell = store, scanner, since_s, tell
        self._lock = threading.Lock()
        self._rows = {
            step.name: ServiceRow(
                name=step.name,
                title=step.title,
                quantities=QUANTITIES.get(step.name, ()),
                is_used=bool(USED.intersection(QUANTITIES.get(step.name, ()))),
                is_check=step.name in CHECKS,
                state=StepState.WAITING,
                result=StepResult(step=step.name, title=step.title),
            )
            for step in steps
        }

    # --- what there is ----------------------------------------------------------------------------------------------

    def rows(self, *, now_s: float, temperature_c: float, coil: str) -> tuple[ServiceRow, ...]:
        """All of them, judged under these conditions.

        Raises
        ------
        StorageError
            The history cannot be read.
        """
        newest = {
            name: next((entry for entry in entries if entry.is_newest), None) for name, entries in self._histories().items()
        }
        here = {"now_s": now_s, "temperature_c": temperature_c, "coil": coil}
        with self._lock:
            rows = tuple(self._rows.values())
        return tuple(
            replace(
                row,
                values=tuple(self._in_use(value, here) for value in _values(newest[row.name])),
                why_again=self._why_again(row.name, newest),
            )
            for row in rows
        )

    def row(self, name: str) -> ServiceRow:
        """One, without its values.

        Raises
        ------
        WrongState
            There is none of this name.
        """
        with self._lock:
            if name in self._rows:
                return self._rows[name]
        raise WrongState(f"There is no service calibration '{name}'.", f"Choose one of {', '.join(self._rows)}.")

    @property
    def pending(self) -> ServiceRow | None:
        """The one that waits for a decision."""
        with self._lock:
            return next((row for row in self._rows.values() if row.is_pending), None)

    @property
    def running_title(self) -> str:
        """Of the one that is measured, empty while none is."""
        with self._lock:
            return next((row.title for row in self._rows.values() if row.state is StepState.RUNNING), "")

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """Newest first; values that were measured together are one entry.

        Raises
        ------
        WrongState, StorageError
        """
        self.row(name)
        return tuple(reversed(self._histories()[name]))

    # --- measuring --------------------------------------------------------------------------------------------------

    def run(self, bench: Bench, step: Step, confirmation: ServiceConfirmation) -> None:
        """Measure; what may be believed waits for a decision, what may not is recorded.

        Raises
        ------
        ConsoleError
            It was stopped, or could not be measured or recorded.
        """
        self.begin(step.name)
        try:
            result = self._measured(bench, step)
        except ConsoleError:
            self._change(step.name, state=StepState.STOPPED)
            raise
        values = tuple(
            replace(value, raw=self._relative(value.raw), phantom=phantom_text(confirmation.phantom))
            for value in result.values
        )
        if result.verdict is Verdict.FAIL:
            values = ()
        result = replace(result, values=values)
        is_pending = bool(values) and result.verdict in (Verdict.PASS, Verdict.WARN)
        if is_pending and step.name in CHECKS:
            result, is_pending = self._kept(result, confirmation), False
        self._change(step.name, state=StepState.ENDED, result=result, is_pending=is_pending)
        if result.verdict is Verdict.FAIL:
            self._refuse(step.name, result.text, bench.now_s(), confirmation)

    def _kept(self, result: StepResult, confirmation: ServiceConfirmation) -> StepResult:
        """Keep what a check found; its result with what became of it since the first like it."""
        earlier = [value for entry in self._histories()[result.step] for value in entry.values]
        for value in result.values:
            self._store.accept(value, by=confirmation.person)
        return with_trend(result, earlier)

    def begin(self, name: str) -> None:
        """From now on it is being measured."""
        row = self.row(name)
        self._change(name, state=StepState.RUNNING, result=StepResult(step=name, title=row.title), is_pending=False)

    def stopped(self, name: str) -> None:
        """It could not be measured."""
        self._change(name, state=StepState.STOPPED)

    def _measured(self, bench: Bench, step: Step) -> StepResult:
        if bench.cancel.is_set():
            raise ScanAborted(
                "The calibration was stopped. The old value stays in use.", "Measure again when you are ready."
            )
        if reason := step.why_skip(bench):
            return StepResult(step=step.name, title=step.title, verdict=Verdict.SKIPPED, text=f"Not measured: {reason}.")

        def tell(result: StepResult) -> None:
            self._change(step.name, state=StepState.RUNNING, result=replace(result, verdict=None, values=()))

        return step.run(bench, tell)

    # --- what a person decides --------------------------------------------------------------------------------------

    def accept(self, name: str, person: str) -> tuple[CalibrationValue, ...]:
        """Keep what waits for a decision; returns it.

        Raises
        ------
        WrongState, StorageError
        """
        row = self._decided(name)
        for value in row.result.values:
            self._store.accept(value, by=person)
        self._change(name, is_pending=False)
        return row.result.values

    def keep_old(self, name: str, now_s: float, confirmation: ServiceConfirmation) -> None:
        """Record that it was not taken into use. Errors as for ``accept``."""
        row = self._decided(name)
        self._refuse(name, f"not taken into use by {confirmation.person}: {row.result.text}", now_s, confirmation)
        self._change(name, is_pending=False, result=replace(row.result, values=()))

    def give_up(self, now_s: float, confirmation: ServiceConfirmation | None) -> None:
        """Whoever could decide has gone: nothing is taken into use, and what was shown is of another exam."""
        pending = self.pending
        if pending is not None and confirmation is not None:
            try:
                self._refuse(pending.name, f"nobody took it into use: {pending.result.text}", now_s, confirmation)
            except ConsoleError:
                _log.exception("It was not recorded that %s was not taken into use", pending.name)
        with self._lock:
            self._rows = {
                name: replace(
                    row,
                    state=StepState.WAITING,
                    result=StepResult(step=name, title=row.title),
                    is_pending=False,
                )
                for name, row in self._rows.items()
            }
        self._tell()

    def go_back(self, name: str, number: int, person: str) -> tuple[CalibrationValue, ...]:
        """Keep an older value anew; it keeps its age.

        Raises
        ------
        WrongState, StorageError
        """
        if not person.strip():
            raise WrongState("Nobody has said who goes back to the older value.", "Give your name, then repeat.")
        if self.row(name).is_check:
            raise WrongState("This is a check; nothing of it is in use.", "Measure it again.")
        entry = next((entry for entry in self._histories()[name] if entry.number == number and entry.values), None)
        if entry is None:
            raise WrongState("There is no such value in the history.", "Choose one of those that are listed.")
        if entry.is_newest:
            raise WrongState("This value is the newest already.", "Choose an older one.")
        for value in entry.values:
            if why_not := self._why_not(value):
                raise WrongState(f"The value cannot be used: {why_not}.", "Choose another one, or measure again.")
        for value in entry.values:
            self._store.accept(value, by=f"{person.strip()}, going back")
        self._tell()
        return entry.values

    # --- inside -----------------------------------------------------------------------------------------------------

    def _decided(self, name: str) -> ServiceRow:
        row = self.row(name)
        if not row.is_pending:
            raise WrongState(f"{row.title} has no new value to decide on.", "Measure it first.")
        return row

    def _why_not(self, value: CalibrationValue) -> str:
        here = {"now_s": value.measured_at_s, "temperature_c": value.temperature_c, "subject": value.subject}
        coil = self._scanner.receiver.coil_name
        return judge(self._scanner, (value,), value.quantity, **here, coil=coil).why_not

    def _in_use(self, value: CalibrationValue, here: Mapping[str, object]) -> ValueInUse:
        used = judge(self._scanner, (value,), value.quantity, **here, subject=value.subject)
        return ValueInUse(value=value, why_not=used.why_not)

    def _why_again(self, name: str, newest: Mapping[str, HistoryEntry | None]) -> str:
        mine, base = newest[name], newest.get(_BUILDS_ON.get(name, ""))
        if mine is None or base is None or mine.number > base.number:
            return ""
        return f"{self._rows[_BUILDS_ON[name]].title} changed since, on which it builds"

    def _histories(self) -> dict[str, list[HistoryEntry]]:
        """Of each calibration, oldest first."""
        found: dict[str, list[HistoryEntry]] = {name: [] for name in self._rows}
        owner = {quantity: name for name in self._rows for quantity in QUANTITIES.get(name, ())}
        values = iter(self._store.values())  # the same in the same order, and these know whose age is unknown
        for number, entry in enumerate(self._store.history()):
            content = entry.content
            value = next(values, None) if isinstance(content, CalibrationValue) else None
            name = owner.get(content.quantity, "")
            if not name or not self._is_service(content):
                continue
            if value is not None:
                if is_recent(value, self._since_s):
                    _add(found[name], number, entry, value)
            elif isinstance(content, RefusedCalibration) and content.refused_at_s >= self._since_s:
                found[name].append(
                    HistoryEntry(number=number, written_at_s=entry.written.wall_s, by=entry.by, refused=content.reason)
                )
        return {name: _marked(entries) for name, entries in found.items()}

    @staticmethod
    def _is_service(content: CalibrationValue | RefusedCalibration) -> bool:
        """A shim is also found by the prescan, for one exam."""
        if content.quantity is not Quantity.SHIM:
            return True
        return not content.subject if isinstance(content, CalibrationValue) else content.subject.startswith(_PHANTOM)

    def _refuse(self, name: str, reason: str, now_s: float, confirmation: ServiceConfirmation) -> None:
        for quantity in QUANTITIES.get(name, ())[:1]:
            refused = RefusedCalibration(
                quantity=quantity,
                reason=reason,
                refused_at_s=now_s,
                coil=self._scanner.receiver.coil_name,
                subject=f"{_PHANTOM}{phantom_text(confirmation.phantom)}",
            )
            self._store.refuse(refused, by=confirmation.person)

    def _relative(self, raw: str) -> str:
        """A folder of data as it is kept: relative to the data folder, so that this can be moved."""
        folder = self._store.path.parent.parent
        return Path(raw).relative_to(folder).as_posix() if raw and Path(raw).is_relative_to(folder) else raw

    def _change(self, name: str, **changes: object) -> None:
        with self._lock:
            self._rows[name] = replace(self._rows[name], **changes)  # type: ignore[arg-type]
        self._tell()


_PHANTOM: Final = "phantom "


def _marked(entries: list[HistoryEntry]) -> list[HistoryEntry]:
    """The last value that was accepted is the newest."""
    last = max((index for index, entry in enumerate(entries) if entry.values), default=-1)
    return [replace(entry, is_newest=index == last) for index, entry in enumerate(entries)]


def _values(entry: HistoryEntry | None) -> tuple[CalibrationValue, ...]:
    return () if entry is None else entry.values


def _add(entries: list[HistoryEntry], number: int, entry: CalibrationEntry, value: CalibrationValue) -> None:
    """Values of one measurement are written at once, one quantity after the other."""
    last = entries[-1] if entries else None
    if (
        last is not None
        and last.values
        and last.values[0].raw == value.raw
        and all(other.quantity is not value.quantity for other in last.values)
        and abs(entry.written.wall_s - last.written_at_s) < _ONE_MEASUREMENT_S
    ):
        entries[-1] = replace(last, number=number, values=(*last.values, value))
    else:
        entries.append(HistoryEntry(number=number, written_at_s=entry.written.wall_s, by=entry.by, values=(value,)))
