# SPDX-License-Identifier: MIT
"""Which scenario the virtual scanner plays, which ones there are, and what a trainee may see of them."""

import secrets
from concurrent.futures import Future

from PySide6.QtCore import QObject, Signal, Slot

from isocenter.app.service import Health, MessageRaised, ScenarioEntry
from isocenter.domain.errors import ConsoleError
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.exam import ExamViewModel


class ScenarioViewModel(QObject):
    """State of the choice of a scenario. Made in the window's thread.

    In an exercise the scanner plays a scenario that was drawn; its name and faults are not to be seen until ``reveal``.
    """

    changed = Signal()
    message_raised = Signal(object)  # MessageRaised
    _listed = Signal(object)  # Future
    _ended = Signal(object)  # tuple[str, bool, Future]

    def __init__(self, exam: ExamViewModel) -> None:
        super().__init__(exam)
        self._exam = exam
        self.entries: tuple[ScenarioEntry, ...] = ()
        self.selected_name = ""
        self.shows_wrong = False
        self._is_revealed = False
        self._listed.connect(self._on_listed)
        self._ended.connect(self._on_ended)
        exam.status_changed.connect(self._on_news)
        exam.exam_changed.connect(self._on_news)

    @Slot()
    def _on_news(self) -> None:
        self.changed.emit()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def is_available(self) -> bool:
        """False with a real scanner: then there is nothing to choose, and nothing is shown."""
        return self._exam.service.has_scenarios

    @property
    def is_hidden(self) -> bool:
        """True in an exercise whose answer has not been asked for."""
        return self._exam.status.is_exercise and not self._is_revealed

    @property
    def running_name(self) -> str:
        """Name of the scenario that is played; empty when it is hidden or nobody knows."""
        return "" if self.is_hidden else self._exam.status.scenario

    @property
    def running_text(self) -> str:
        """What the frame says of the virtual scanner at all times; empty when nobody knows its scenario."""
        if self._exam.status.is_restarting:
            return translate("Scenario", "starting …")
        if self.is_hidden:
            return translate("Scenario", "Exercise")
        return self._exam.status.scenario

    def entry(self, name: str) -> ScenarioEntry | None:
        """One scenario."""
        return next((entry for entry in self.entries if entry.name == name), None)

    @property
    def selected(self) -> ScenarioEntry | None:
        """The one whose description is shown."""
        return self.entry(self.selected_name)

    # --- why something cannot be done now; empty when it can ------------------------------------------------------------

    def why_not_change(self) -> str:
        """The scanner must be idle and the table empty."""
        status, exam = self._exam.status, self._exam.exam
        if status.is_restarting:
            return translate("Scenario", "The virtual scanner is being started. Wait a few seconds.")
        if status.is_running:
            return translate("Scenario", "A scan is running. Stop it or wait, end the exam, then choose.")
        if exam is not None:
            return translate("Scenario", "{0} is on the table. End the exam (F12), then choose.").format(
                exam.patient.display_name
            )
        return ""

    def why_not_choose(self) -> str:
        """The selected one must be usable as well."""
        why_not, entry = self.why_not_change(), self.selected
        if why_not:
            return why_not
        if entry is None:
            return translate("Scenario", "Select a scenario first.")
        if not entry.is_usable:
            return translate("Scenario", "The file of {0} has an error and cannot be used.").format(entry.name)
        return ""

    # --- what a person does -----------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read all files anew; the list comes with ``changed``, and the one that is played is selected."""
        self.selected_name, self.shows_wrong = self.running_name, False
        self._exam.service.scenarios().add_done_callback(self._listed.emit)

    @Slot(object)
    def _on_listed(self, done: "Future[tuple[ScenarioEntry, ...]]") -> None:
        try:
            self.entries = done.result()
        except ConsoleError as error:
            self._tell(Health.BAD, error.problem, error.remedy)
            return
        if self.selected is None:
            self.selected_name = self.entries[0].name if self.entries else ""
        self.changed.emit()

    def select(self, name: str) -> None:
        """Show another one; what is wrong with it is hidden again."""
        if name != self.selected_name:
            self.selected_name, self.shows_wrong = name, False
            self.changed.emit()

    def toggle_wrong(self) -> None:
        """Show or hide what is wrong with the selected one."""
        self.shows_wrong = not self.shows_wrong
        self.changed.emit()

    def reveal(self) -> None:
        """End the guessing: show which scenario is played and what is wrong with it."""
        self._is_revealed = True
        self.selected_name, self.shows_wrong = self._exam.status.scenario, True
        self.changed.emit()

    def choose(self) -> bool:
        """Start the virtual scanner anew with the selected scenario; False when that cannot be done now."""
        return not self.why_not_choose() and self._begin(self.selected_name, is_exercise=False)

    def draw(self) -> bool:
        """Begin an exercise: one of those in which something may be wrong, and not the one that runs now."""
        here = self._exam.status.scenario
        usable = [entry for entry in self.entries if entry.is_usable and entry.name != here]
        drawn = [entry for entry in usable if not entry.is_good_day or entry.name == _GOOD_DAY]
        if self.why_not_change() or not drawn:
            return False
        title = self._exam.service.scanner.title  # another scanner would give the answer away
        return self._begin(secrets.choice([e for e in drawn if e.magnet == title] or drawn).name, is_exercise=True)

    def _begin(self, name: str, *, is_exercise: bool) -> bool:
        try:
            future = self._exam.service.choose_scenario(name, is_exercise=is_exercise)
        except ConsoleError as error:
            self._tell(Health.WARNING, error.problem, error.remedy)
            return False
        future.add_done_callback(lambda done: self._ended.emit((name, is_exercise, done)))
        return True

    @Slot(object)
    def _on_ended(self, outcome: "tuple[str, bool, Future[None]]") -> None:
        name, is_exercise, done = outcome
        error = done.exception()
        if error is None:
            self._is_revealed, self.shows_wrong = False, False
            text = (
                translate(
                    "Scenario", "An exercise begins. Register a phantom, scan, and find out what is wrong, if anything."
                )
                if is_exercise
                else translate("Scenario", "The virtual scanner now plays {0}.").format(name)
            )
            self._tell(Health.GOOD, text, "")
        elif isinstance(error, ConsoleError):
            self._tell(Health.BAD, error.problem, error.remedy)
        else:
            raise error
        self.changed.emit()

    def _tell(self, health: Health, problem: str, remedy: str) -> None:
        self.message_raised.emit(MessageRaised(health=health, problem=problem, remedy=remedy))


_GOOD_DAY = "osii-one-brain"
"""May be drawn too: a trainee should also find out when nothing is wrong."""
