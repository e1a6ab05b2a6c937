# SPDX-License-Identifier: MIT
"""The prescan in words: each step with its verdict, and what a person can do now."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PySide6.QtCore import Slot

from isocenter.app.prescan_status import Plot, PrescanChanged, PrescanStatus, StepState, StepStatus, Verdict
from isocenter.domain.calibration import Quantity
from isocenter.ui.text import duration_text, translate
from isocenter.ui.viewmodels.calibration_text import ValueLine, clock_text, value_line
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.page import PageViewModel

_KEPT_ONLY: Final = (Quantity.FLIP_CHECK, Quantity.B0_MAP, Quantity.B1_MAP)  # no scan uses them


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCard:
    """One step as its card shows it.

    Attributes
    ----------
    number, name, title
        From one; stable name; for people.
    glyph, word, health
        The verdict by shape, word and colour.
    text, remedy
        What was found; what to do next.
    plots
        Newest state.
    empty
        What stands where a plot would be.
    may_retry, may_skip
        What is offered beside the step.
    """

    number: int
    name: str
    title: str
    glyph: str
    word: str
    health: str
    text: str
    remedy: str
    plots: tuple[Plot, ...]
    empty: str
    may_retry: bool
    may_skip: bool


class PrescanViewModel(PageViewModel):
    """Made in the window's thread."""

    NEWS = PrescanChanged

    def __init__(self, exam: ExamViewModel, control: ControlViewModel) -> None:
        super().__init__(exam, control)
        self.status: PrescanStatus = exam.service.prescan
        exam.status_changed.connect(self.changed)

    @Slot()
    def refresh(self) -> None:
        """Ask how things are."""
        self.status = self._exam.service.prescan
        self.changed.emit()

    # --- what is shown ----------------------------------------------------------------------------------------------

    @property
    def cards(self) -> tuple[StepCard, ...]:
        """All steps in order."""
        is_free = not self._why_not()
        return tuple(self._card(number, step, is_free=is_free) for number, step in enumerate(self.status.steps, 1))

    @property
    def values(self) -> tuple[ValueLine, ...]:
        """What scans use now, with its age."""
        now_s = time.time()
        return tuple(value_line(used, now_s) for used in self.status.values if used.value.quantity not in _KEPT_ONLY)

    @property
    def headline(self) -> str:
        """Who is on the table, when it began, how long it took."""
        status, exam = self.status, self._exam.exam
        parts = [exam.patient.display_name] if exam else [translate("Prescan", "Nobody on the table")]
        if status.started_at:
            parts.append(translate("Prescan", "started {0}").format(clock_text(status.started_at)))
            parts.append(duration_text(_between_s(status.started_at, status.ended_at)))
        return " · ".join(parts)

    @property
    def outcome(self) -> tuple[str, str]:
        """State of the prescan as a whole: health, and one sentence."""
        status = self.status
        if (current := status.current) is not None:
            number = status.steps.index(current) + 1
            return "running", translate("Prescan", "{0} of {1}: {2}").format(number, len(status.steps), current.result.title)
        if status.problem:
            return (
                "warning" if self._was_stopped or status.is_frequency_only else "bad",
                f"{status.problem} {translate('Prescan', 'What to do: {0}').format(status.remedy)}",
            )
        if failed := status.failed:
            names = ", ".join(step.result.title for step in failed)
            return "bad", translate("Prescan", "Not good enough: {0}. Values found earlier stay in use.").format(names)
        if status.is_done:
            if any(step.result.verdict is Verdict.WARN or step.skipped_by for step in status.steps):
                return "warning", translate("Prescan", "Ready to scan; read what is marked.")
            return "good", translate("Prescan", "Ready to scan.")
        if status.is_frequency_only:
            words = translate("Prescan", "Start measures the frequency only in this exam, as {0} asked.")
            words = words.format(status.frequency_only_by)
        else:
            words = translate("Prescan", "Not measured yet. Start does it before the first scan, or press Run prescan.")
        return ("warning", words) if status.is_frequency_only else ("unknown", self._why_not() or words)

    @property
    def _was_stopped(self) -> bool:
        return any(step.state is StepState.STOPPED for step in self.status.steps)

    @property
    def short(self) -> tuple[str, str]:
        """The same in a few words, for the top of the queue."""
        health, sentence = self.outcome
        if self.status.is_frequency_only and health == "warning":
            return health, translate("Prescan", "▲ frequency only")
        if self._was_stopped:
            return health, translate("Prescan", "■ stopped")
        texts = {
            "running": f"… {sentence}",
            "good": translate("Prescan", "✓ done"),
            "warning": translate("Prescan", "▲ done, look at it"),
            "bad": translate("Prescan", "✕ not good enough"),
        }
        return health, texts.get(health, translate("Prescan", "○ not run yet"))

    def _card(self, number: int, step: StepStatus, *, is_free: bool) -> StepCard:
        glyph, word, health = _verdict(step)
        result = step.result
        text = result.text
        if step.skipped_by:
            said = translate("Prescan", "Left out by {0}: {1}").format(step.skipped_by, step.skip_reason)
            text = f"{text} {said}".strip()
        is_over = step.state in (StepState.ENDED, StepState.STOPPED)
        is_failed = step.state is StepState.ENDED and result.verdict is Verdict.FAIL
        empty = translate("Prescan", "measuring …") if step.state is StepState.RUNNING else ""
        return StepCard(
            number=number,
            name=step.name,
            title=result.title,
            glyph=glyph,
            word=word,
            health=health,
            text=text,
            remedy=result.remedy,
            plots=result.plots,
            empty=empty,
            may_retry=is_over and is_free,
            may_skip=is_failed and not step.skipped_by and is_free,
        )

    # --- what a person can do ----------------------------------------------------------------------------------------

    def _why_not(self) -> str:
        if self._exam.exam is None:
            return translate("Prescan", "Register a patient or a phantom first.")
        return self._exam.why_not_change_exam() or self._control.status.why_no_start

    def why_not_run(self) -> str:
        """Why the prescan cannot begin now; empty when it can."""
        return self._why_not()

    def why_not_retry(self) -> str:
        """There must be a step that did not end well."""
        return self._why_not() or ("" if self.status.failed else translate("Prescan", "No step failed."))

    def why_not_skip(self) -> str:
        """There must be a step that failed."""
        return self._why_not() or ("" if self._failed() else translate("Prescan", "No step failed."))

    def why_not_only_frequency(self) -> str:
        """There must be an exam, and something that would be measured besides."""
        if self._exam.exam is None:
            return translate("Prescan", "Register a patient or a phantom first.")
        if self.status.is_frequency_only:
            return translate("Prescan", "Only the frequency is measured already.")
        return translate("Prescan", "Everything is measured already.") if self.status.is_done else ""

    def only_frequency(self, person: str) -> bool:
        """Nothing but the frequency in this exam; ends a prescan that runs, soon. False when that was refused."""
        if not self._try(lambda: self._exam.service.measure_only_frequency(person)):
            return False
        self._control.person = person
        return True

    def run(self) -> None:
        """Everything that does not hold, in order."""
        self._try(self._exam.service.run_prescan)

    def retry(self, step: str = "") -> None:
        """One step again; the first that did not end well when none is named."""
        name = step or next((failed.name for failed in self.status.failed), "")
        if name:
            self._try(lambda: self._exam.service.retry_prescan(name))

    def failed_step(self) -> StepStatus | None:
        """The first step that a person may leave out."""
        failed = self._failed()
        return failed[0] if failed else None

    def skip(self, step: str, reason: str, person: str) -> bool:
        """Leave out a step that failed; False when that was refused, with a message."""
        if not self._try(lambda: self._exam.service.skip_prescan(step, reason, person)):
            return False
        self._control.person = person
        return True

    def _failed(self) -> tuple[StepStatus, ...]:
        return tuple(step for step in self.status.failed if step.state is StepState.ENDED)

    def _try(self, call: Callable[[], object]) -> bool:
        is_done = super()._try(call)
        if is_done:
            self.refresh()
        return is_done


def _verdict(step: StepStatus) -> tuple[str, str, str]:
    """Shape, word, colour."""
    if step.skipped_by:
        return "▲", translate("Prescan", "left out"), "warning"
    if step.state is StepState.RUNNING:
        return "…", translate("Prescan", "running"), "running"
    if step.state is StepState.STOPPED:
        return "■", translate("Prescan", "stopped"), "warning"
    if step.state is StepState.WAITING or step.result.verdict is None:
        return "○", translate("Prescan", "waiting"), "unknown"
    return {
        Verdict.PASS: ("✓", translate("Prescan", "pass"), "good"),
        Verdict.WARN: ("▲", translate("Prescan", "look at it"), "warning"),
        Verdict.FAIL: ("✕", translate("Prescan", "fail"), "bad"),
        Verdict.SKIPPED: ("–", translate("Prescan", "not needed"), "unknown"),
    }[step.result.verdict]


def _between_s(start: str, end: str) -> float:
    try:
        began = datetime.fromisoformat(start)
        ended = datetime.fromisoformat(end) if end else datetime.now(began.tzinfo)
        return max((ended - began).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return float("nan")
