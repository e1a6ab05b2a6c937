# SPDX-License-Identifier: MIT
"""Runs the steps of the prescan in order, takes into use what may be believed, and keeps every value and refusal.

Runs in the thread of the queue, one thing at a time: a prescan and a scan never meet. What a step could not trust changes
nothing; the value found earlier stays.
"""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from isocenter.acquisition.prescan.contract import Bench, Step
from isocenter.app.prescan_start import FREQUENCY_STEPS, OnlyFrequency, remaining_s
from isocenter.app.prescan_status import PrescanStatus, StepResult, StepState, StepStatus, ValueInUse, Verdict
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.errors import ConsoleError, ScanAborted, WrongState
from isocenter.storage.calibrations import CalibrationStore

_log = logging.getLogger(__name__)

_QUANTITY: Final = {
    "noise": Quantity.NOISE,
    "tune": Quantity.TUNING,
    "coarse_frequency": Quantity.LARMOR,
    "fine_frequency": Quantity.LARMOR,
    "final_frequency": Quantity.LARMOR,
    "recentre": Quantity.LARMOR,
    "receive_gain": Quantity.RECEIVE_GAIN,
    "transmit_power": Quantity.RF_SCALE,
    "linear_shim": Quantity.SHIM,
}

Take = Callable[[Sequence[CalibrationValue]], None]


class PrescanJob:
    """Steps, how far they are, and the values in use. Any thread may ask; one runs.

    Parameters
    ----------
    steps
        In order.
    store
        Keeps what was accepted and what was refused.
    since_s
        Nothing that was measured before is used, whatever it says of itself [s since 1970].
    take
        Takes accepted values into use.
    tell
        Told each time that something changed.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        store: CalibrationStore,
        *,
        since_s: float,
        take: Take,
        tell: Callable[[], None],
    ) -> None:
        self._steps = {step.name: step for step in steps}
        self._store, self._since_s, self._take, self._tell = store, since_s, take, tell
        self._lock = threading.Lock()
        self._status = PrescanStatus(steps=tuple(_waiting(step) for step in steps))
        self._values: tuple[CalibrationValue, ...] = ()
        self._wanted: list[str] = []

    # --- what there is ----------------------------------------------------------------------------------------------

    def status(self, *, now_s: float, temperature_c: float, coil: str, subject: str) -> PrescanStatus:
        """As it is now; the arguments say under which conditions values have to hold."""
        used = tuple(
            ValueInUse(
                value=value, why_not=value.why_not(now_s=now_s, temperature_c=temperature_c, coil=coil, subject=subject)
            )
            for value in self._values
        )
        return replace(self._status, values=used)

    @property
    def running_title(self) -> str:
        """For the bar below, such as ``Prescan 2 of 8: Tune and match``; empty while no step is measured."""
        current = self._status.current
        if current is None:
            return ""
        steps = self._status.steps
        text = f"Prescan {steps.index(current) + 1} of {len(steps)}: {current.result.title}"
        left_s = remaining_s([step for step in steps if step.name in self._wanted])
        return f"{text}, ~{max(5 * round(left_s / 5), 5)} s" if len(self._wanted) > 1 and left_s > 0 else text

    @property
    def current_step(self) -> str:
        """Name of the step that is being measured, empty for none."""
        current = self._status.current
        return "" if current is None else current.name

    def load(self, *, coil: str, subject: str) -> None:
        """Read the newest values for a coil and a subject from the store.

        Raises
        ------
        StorageError
            They cannot be read.
        """
        found = (self._store.latest(quantity, coil=coil, subject=subject) for quantity in Quantity)
        self._values = tuple(value for value in found if value is not None and is_recent(value, self._since_s))

    @property
    def values(self) -> tuple[CalibrationValue, ...]:
        """Newest of each quantity, whether it holds or not."""
        return self._values

    def newest(self, quantity: Quantity) -> CalibrationValue | None:
        """Newest value of a quantity, whether it holds or not."""
        return next((value for value in self._values if value.quantity is quantity), None)

    @property
    def steps(self) -> tuple[StepStatus, ...]:
        """In order."""
        return self._status.steps

    def failed(self, error: ConsoleError) -> None:
        """Something ended the prescan before a step could."""
        self._end_early(error)
        self._tell()

    def forget(self) -> None:
        """Somebody else is on the table: nothing was measured yet."""
        with self._lock:
            self._status = PrescanStatus(steps=tuple(_waiting(step) for step in self._steps.values()))
        self._tell()

    # --- what a person decides ----------------------------------------------------------------------------------------

    def leave_out(self, name: str, reason: str, person: str, now_s: float) -> None:
        """A person goes on without a step that failed.

        Raises
        ------
        WrongState
            The step did not fail, or no name or reason was given.
        StorageError
            It cannot be recorded.
        """
        step = self._find(name)
        if not reason.strip() or not person.strip():
            raise WrongState(
                f"{step.result.title} can only be left out with a name and a reason.", "Write both, then press again."
            )
        if step.state is not StepState.ENDED or step.result.verdict is not Verdict.FAIL or step.skipped_by:
            raise WrongState(f"{step.result.title} did not fail.", "Only a step that failed can be left out.")
        if name in FREQUENCY_STEPS:
            raise WrongState("Nothing can be scanned without the frequency.", step.result.remedy or "Measure it again.")
        self._refuse(step.result, now_s, f"left out by {person.strip()}: {reason.strip()}", by=person.strip())
        self._put(replace(step, skipped_by=person.strip(), skip_reason=reason.strip()))

    def why_not_retry(self, name: str) -> str:
        """Empty when there is such a step."""
        return "" if name in self._steps else f"There is no step '{name}' on this scanner."

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Names of the steps that have not ended well."""
        return tuple(step.name for step in self._status.steps if not step.is_settled)

    # --- running ----------------------------------------------------------------------------------------------------

    def run(
        self, bench: Bench, names: Sequence[str], *, forced: str = "", may_go_on: Callable[[], None] = lambda: None
    ) -> bool:
        """Run steps in order until one fails; True when all of them are settled.

        Parameters
        ----------
        names
            Which steps; all that there are when empty.
        forced
            A step that is measured even if its value still holds.
        may_go_on
            Called before each step; raises ScanAborted when the rest is not wanted any more.
        """
        wanted = [name for name in self._steps if name in names or not names]
        with self._lock:
            steps = tuple(_waiting(self._steps[step.name]) if step.name in wanted else step for step in self._status.steps)
            self._wanted = [name for name in wanted if name == forced or not self._steps[name].why_skip(bench)]
            self._status = replace(
                self._status, steps=steps, is_running=True, started_at=_now(), ended_at="", problem="", remedy=""
            )
        self._tell()
        try:
            return self._run_all(bench, wanted, forced, may_go_on)
        finally:
            with self._lock:
                steps = tuple(
                    replace(step, state=StepState.STOPPED) if step.state is StepState.RUNNING else step
                    for step in self._status.steps
                )
                self._status = replace(self._status, steps=steps, is_running=False, ended_at=_now())
            self._tell()

    def run_beside(self, bench: Bench, step: Step) -> StepResult:
        """Run a step that is not one of those shown, such as the frequency before a scan; keeps what it found.

        Raises
        ------
        ScanAborted
            Stopped.
        ConsoleError
            It could not be measured or stored.
        """
        if reason := step.why_skip(bench):
            return StepResult(step=step.name, title=step.title, verdict=Verdict.SKIPPED, text=_sentence(reason))
        result = step.run(bench, lambda _: None)
        self._keep(result, bench)
        self._tell()
        return result

    def history(self, quantity: Quantity) -> tuple[CalibrationValue, ...]:
        """Every value of a quantity that may be used and whose age is known, oldest first."""
        return tuple(value for value in self._store.values(quantity) if value.measured_at_s >= self._since_s)

    def _run_all(self, bench: Bench, names: Sequence[str], forced: str, may_go_on: Callable[[], None]) -> bool:
        for name in names:
            try:
                may_go_on()
                result = self._run_one(bench, self._steps[name], is_forced=name == forced)
                self._keep(result, bench)
            except ScanAborted as aborted:
                self._end_early(aborted if isinstance(aborted, OnlyFrequency) else _stopped())
                return False
            except ConsoleError as error:
                self._end_early(error)
                failed = replace(self._find(name).result, verdict=Verdict.FAIL, text=error.problem, remedy=error.remedy)
                self._put(StepStatus(state=StepState.ENDED, result=replace(failed, values=())))
                return False
            self._put(StepStatus(state=StepState.ENDED, result=result))
            if result.verdict is Verdict.FAIL:
                return False
        return True

    def _run_one(self, bench: Bench, step: Step, *, is_forced: bool) -> StepResult:
        if bench.cancel.is_set():
            raise _stopped()
        if not is_forced and (reason := step.why_skip(bench)):
            return StepResult(step=step.name, title=step.title, verdict=Verdict.SKIPPED, text=_sentence(reason))
        empty = StepResult(step=step.name, title=step.title)
        self._put(StepStatus(state=StepState.RUNNING, result=empty))

        def tell(result: StepResult) -> None:
            self._put(StepStatus(state=StepState.RUNNING, result=replace(result, verdict=None)))

        return step.run(bench, tell)

    def _keep(self, result: StepResult, bench: Bench) -> None:
        """Store, then take into use; what could not be stored is not used."""
        if result.verdict is Verdict.FAIL:
            self._refuse(result, bench.now_s(), result.text, by=result.step, bench=bench)
        elif result.verdict in (Verdict.PASS, Verdict.WARN) and result.values:
            for value in result.values:
                self._store.accept(replace(value, raw=self._relative(value.raw)), by=result.step)
            self.load(coil=bench.scanner.receiver.coil_name, subject=bench.subject)
            self._take(result.values)

    def _refuse(self, result: StepResult, now_s: float, reason: str, *, by: str, bench: Bench | None = None) -> None:
        quantity = _QUANTITY.get(result.step)
        if quantity is None:
            return
        refused = RefusedCalibration(quantity=quantity, reason=reason, refused_at_s=now_s)
        if bench is not None:
            coil = bench.scanner.receiver.coil_name
            refused = replace(refused, coil=coil, subject=bench.subject, temperature_c=bench.temperature_c)
        self._store.refuse(refused, by=by)

    def _relative(self, raw: str) -> str:
        """A folder of data as it is kept: relative to the data folder, so that this can be moved."""
        folder = self._store.path.parent.parent
        return Path(raw).relative_to(folder).as_posix() if raw and Path(raw).is_relative_to(folder) else raw

    def _end_early(self, error: ConsoleError) -> None:
        with self._lock:
            self._status = replace(self._status, problem=error.problem, remedy=error.remedy)

    def _find(self, name: str) -> StepStatus:
        for step in self._status.steps:
            if step.name == name:
                return step
        raise WrongState(self.why_not_retry(name), "Choose one of the steps that are shown.")

    def _put(self, step: StepStatus) -> None:
        with self._lock:
            steps = tuple(step if other.name == step.name else other for other in self._status.steps)
            self._status = replace(self._status, steps=steps)
        self._tell()


def is_recent(value: CalibrationValue, since_s: float) -> bool:
    """Whether it was measured since [s since 1970]; one of unknown age counts only where all times do."""
    return since_s == -math.inf or value.measured_at_s >= since_s


def _stopped() -> ScanAborted:
    return ScanAborted(
        "The prescan was stopped. What it found until then stays in use.",
        "When the scanner is ready again, press Run prescan; only what is missing is measured.",
    )


def _waiting(step: Step) -> StepStatus:
    return StepStatus(state=StepState.WAITING, result=StepResult(step=step.name, title=step.title))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
