# SPDX-License-Identifier: MIT
"""Service calibrations in words: each with its value, what was measured just now, and what a person can do."""

import time
from dataclasses import dataclass

from PySide6.QtCore import Slot

from isocenter.app.prescan_status import Plot, StepState
from isocenter.app.service_status import (
    HistoryEntry,
    ServiceCalibrationsChanged,
    ServiceCalibrationStatus,
    ServicePhantom,
    ServiceRow,
    phantom_text,
)
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.calibration_text import clock_text
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.page import PageViewModel
from isocenter.ui.viewmodels.service_text import (
    HistoryLine,
    conditions_of,
    history_line,
    holds_of,
    old_value,
    purpose_of,
    state_of,
    value_of,
    verdict_of,
    with_spread,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationLine:
    """One calibration in the list.

    Attributes
    ----------
    health, state
        Colour, and the word that belongs to it.
    value, detail
        Value with its spread; age, temperature and coil.
    holds
        For how long it holds, or why it does not, and what it is good for.
    why_not_measure
        Why it cannot be measured now; empty when it can.
    """

    name: str
    title: str
    health: str
    state: str
    value: str
    detail: str
    holds: str
    why_not_measure: str
    is_selected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationDetail:
    """The selected calibration in full.

    Attributes
    ----------
    glyph, word, health
        The verdict of the last measurement by shape, word and colour.
    text, remedy
        What was found; what to do next.
    new, old
        What waits for a decision, and what is in use now; in words.
    empty
        What stands where a plot would be.
    """

    title: str
    glyph: str
    word: str
    health: str
    text: str
    remedy: str
    new: str
    old: str
    plots: tuple[Plot, ...]
    empty: str


class ServiceViewModel(PageViewModel):
    """Made in the window's thread."""

    NEWS = ServiceCalibrationsChanged

    def __init__(self, exam: ExamViewModel, control: ControlViewModel) -> None:
        super().__init__(exam, control)
        self.phantom = ServicePhantom()
        self.status: ServiceCalibrationStatus = exam.service.service_calibrations
        self._selected, self._is_shown, self._was_running = "", False, False
        exam.status_changed.connect(self._on_status)

    @Slot()
    def _on_status(self) -> None:
        is_running = self._exam.status.is_running
        if is_running != self._was_running:
            self._was_running = is_running
            self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Ask how things are."""
        self.status = self._exam.service.service_calibrations
        running = self.status.current or self.status.pending
        if running is not None:
            self._selected = running.name
        self.changed.emit()

    def set_shown(self, is_shown: bool) -> None:
        """The place is seen, or not any more: its keys only work while it is."""
        self._is_shown = is_shown
        self.refresh()

    # --- what is shown ----------------------------------------------------------------------------------------------

    @property
    def selected(self) -> ServiceRow | None:
        """The calibration that is shown in full; the first when none was selected."""
        rows = self.status.rows
        return self.status.row(self._selected) or (rows[0] if rows else None)

    def select(self, name: str) -> None:
        """Show another one in full; while one is measured or waits for a decision it is that one."""
        if self.status.current is None and self.status.pending is None and name != self._selected:
            self._selected = name
            self.changed.emit()

    @property
    def lines(self) -> tuple[CalibrationLine, ...]:
        """All of them, in the order in which one builds on the other."""
        now_s, selected = time.time(), self.selected
        return tuple(self._line(row, now_s, is_selected=row is selected) for row in self.status.rows)

    @property
    def detail(self) -> CalibrationDetail | None:
        """The selected one."""
        row = self.selected
        if row is None:
            return None
        glyph, word, health = verdict_of(row)
        result = row.result
        text, remedy = result.text, result.remedy
        if row.state is StepState.STOPPED:
            text, remedy = self.status.problem or text, self.status.remedy
        new = ""
        if row.is_pending:
            new = " · ".join(with_spread(value) for value in result.values)
        return CalibrationDetail(
            title=row.title,
            glyph=glyph,
            word=word,
            health=health,
            text=text,
            remedy=remedy,
            new=new,
            old=old_value(row),
            plots=result.plots,
            empty=translate("Service", "measuring …") if row.state is StepState.RUNNING else purpose_of(row.name),
        )

    @property
    def headline(self) -> str:
        """What lies in the magnet, and who said so."""
        confirmation = self.status.confirmation
        if confirmation is None:
            return translate("Service", "Nobody has said what lies in the magnet")
        return translate("Service", "{0} · confirmed by {1} at {2}").format(
            phantom_text(confirmation.phantom), confirmation.person, clock_text(confirmation.at)
        )

    @property
    def outcome(self) -> tuple[str, str]:
        """Where it stands: health, and one sentence with what to do."""
        status = self.status
        if (current := status.current) is not None:
            return "running", translate("Service", "Measuring: {0}").format(current.title)
        if (pending := status.pending) is not None:
            return "warning", translate("Service", "{0}: say whether the new value is taken into use.").format(pending.title)
        if status.problem:
            return "bad", f"{status.problem} {translate('Service', 'What to do: {0}').format(status.remedy)}"
        if status.confirmation is None:
            return "unknown", self._control.status.why_no_start or self.why_not_confirm() or translate(
                "Service", "Lay the phantom into the coil and see that nobody is in the magnet; then press Phantom …"
            )
        if why_not := self._why_not():
            return "unknown", why_not
        return "good", translate("Service", "Ready to measure. Choose a calibration, from the top to the bottom.")

    def history(self) -> tuple[HistoryLine, ...]:
        """Of the selected calibration, newest first; none, with a message, when it cannot be read."""
        row = self.selected
        found: list[HistoryEntry] = []
        if row is not None:
            self._try(lambda: found.extend(self._exam.service.service_history(row.name)))
        is_check = row is not None and row.is_check
        return tuple(history_line(entry, is_check=is_check) for entry in found)

    def _line(self, row: ServiceRow, now_s: float, *, is_selected: bool) -> CalibrationLine:
        health, state = state_of(row)
        return CalibrationLine(
            name=row.name,
            title=row.title,
            health=health,
            state=state,
            value=value_of(row),
            detail=conditions_of(row, now_s),
            holds=holds_of(row),
            why_not_measure=row.why_never or self._why_not() or self._why_other(row),
            is_selected=is_selected,
        )

    # --- what a person can do ---------------------------------------------------------------------------------------

    def _why_not_here(self) -> str:
        return "" if self._is_shown else translate("Service", "Open the Service page first.")

    def _why_not(self) -> str:
        """Why nothing can be measured."""
        if self._exam.status.is_restarting:
            return self._exam.why_not_change_exam()
        return self._control.status.why_no_start or self.status.why_not_measure

    def _why_other(self, row: ServiceRow) -> str:
        pending = self.status.pending
        if pending is None or pending.name == row.name:
            return ""
        return translate("Service", "{0} waits for a decision.").format(pending.title)

    def why_not_confirm(self) -> str:
        """Not beside a patient, nor while something runs."""
        if why_not := self._why_not_here() or self._exam.why_not_change_exam():
            return why_not
        exam = self._exam.exam
        if exam is not None and not exam.patient.is_phantom:
            return translate("Service", "End the exam first: {0} is on the table.").format(exam.patient.display_name)
        return ""

    def why_not_measure(self) -> str:
        """Of the selected one."""
        row = self.selected
        if row is None:
            return self._why_not_here() or translate("Service", "There is no calibration.")
        return self._why_not_here() or row.why_never or self._why_not() or self._why_other(row)

    def why_not_decide(self) -> str:
        """Something must wait for a decision."""
        if why_not := self._why_not_here():
            return why_not
        if self.status.pending is None:
            return translate("Service", "No new value waits.")
        return self._exam.why_not_change_exam()

    def why_not_history(self) -> str:
        """Something must be selected that has values."""
        row = self.selected
        if row is None:
            return self._why_not_here() or translate("Service", "There is no calibration.")
        return self._why_not_here()

    def why_not_go_back(self) -> str:
        """Not while something runs or waits."""
        if self.status.pending is not None:
            return translate("Service", "A new value waits for a decision.")
        return self._exam.why_not_change_exam()

    def confirm(self, person: str, phantom: ServicePhantom, *, is_empty: bool) -> bool:
        """A person says what lies in the magnet; False when that was refused, with a message."""
        if not self._try(lambda: self._exam.service.confirm_service(person, phantom, is_empty=is_empty)):
            return False
        self._control.person, self.phantom = person, phantom
        return True

    def measure(self, name: str = "") -> None:
        """Measure one; the selected one when none is named."""
        if name:
            self.select(name)
        row = self.status.row(name) or self.selected
        if row is not None:
            self._try(lambda: self._exam.service.measure_service(row.name))

    def accept(self) -> None:
        """The new value is taken into use."""
        if (pending := self.status.pending) is not None:
            self._try(lambda: self._exam.service.accept_service(pending.name))

    def keep(self) -> None:
        """The old value stays in use."""
        if (pending := self.status.pending) is not None:
            self._try(lambda: self._exam.service.keep_service(pending.name))

    def go_back(self, number: int, person: str) -> bool:
        """Take an older value; False when that was refused, with a message."""
        row = self.selected
        if row is None or not self._try(lambda: self._exam.service.go_back_service(row.name, number, person)):
            return False
        self._control.person = person
        return True
