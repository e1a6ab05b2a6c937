# SPDX-License-Identifier: MIT
"""What actions do when they need the window as well as the exam: sheets, places, and the end."""

import threading
from datetime import date, datetime

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QApplication, QWidget

from isocenter.ui.action import Action
from isocenter.ui.shell import Shell
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.pane import PaneViewModel
from isocenter.ui.viewmodels.prescan import PrescanViewModel
from isocenter.ui.viewmodels.scenarios import ScenarioViewModel
from isocenter.ui.viewmodels.service import ServiceViewModel
from isocenter.ui.views.exposure import ExposureSheet, FirstLevelSheet
from isocenter.ui.views.prescan import FrequencyOnlySheet, SkipSheet
from isocenter.ui.views.registration import RegistrationSheet
from isocenter.ui.views.scenarios import ScenarioSheet
from isocenter.ui.views.service_sheets import ConfirmPhantomSheet, HistorySheet
from isocenter.ui.views.sheets import ChoiceSheet, ExplainSheet, ExportSheet, KeysSheet, QuestionSheet
from isocenter.ui.views.stopped import ReadySheet


def _today() -> date:
    return datetime.now().astimezone().date()


class Commands(QObject):
    """Made in the window's thread."""

    _service_closed = Signal()

    def __init__(self, shell: Shell, exam: ExamViewModel) -> None:
        super().__init__(shell)
        self.shell, self.exam = shell, exam
        self.scenarios = ScenarioViewModel(exam)
        self.control = ControlViewModel(exam)
        self.prescan = PrescanViewModel(exam, self.control)
        self.service = ServiceViewModel(exam, self.control)
        self.table: tuple[Action, ...] = ()
        self.is_closing = False
        self._service_closed.connect(self._on_service_closed)
        shell.close_wanted.connect(self.quit)
        shell.bar.stop_pressed.connect(self.stop)

    # --- exam -------------------------------------------------------------------------------------------------------

    def register(self) -> None:
        """Open the form of a patient."""

        def ask() -> None:
            parts = self.exam.service.scanner.body_parts
            sheet = RegistrationSheet(self.shell.area, parts, self.exam.register, _today)
            self.shell.open_sheet(sheet, sheet.inputs["patient_id"])

        self._after_question(ask)

    def phantom(self) -> None:
        """Begin an exam of a phantom."""
        self._after_question(lambda: self.exam.register_phantom() and None)

    def end_exam(self) -> None:
        """End the exam; ask when scans wait."""
        self._after_question(self.exam.end_exam)

    def _after_question(self, run: object) -> None:
        """Do it at once, or after a question when scans that wait would be dropped."""
        assert callable(run)
        if not self.exam.waiting or self.exam.exam is None:
            run()
            return
        name = self.exam.exam.patient.display_name
        text = translate(
            "Exam", "{0} scans of {1} still wait and will be dropped. Images that were measured are kept."
        ).format(len(self.exam.waiting), name)
        answer, keep = translate("Exam", "End exam"), translate("Exam", "Keep the exam")
        sheet = QuestionSheet(translate("Exam", "End this exam?"), text, self.shell.area, answer, run, keep=keep)
        self.shell.open_sheet(sheet, sheet.keep)

    def export(self) -> None:
        """Choose what goes where."""
        if self.exam.exam is not None:
            name = self.exam.exam.patient.display_name
            sheet = ExportSheet(self.shell.area, self.exam.exportable, name, self.exam.export)
            self.shell.open_sheet(sheet, sheet.folder)

    # --- queue ------------------------------------------------------------------------------------------------------

    def choose_programme(self) -> None:
        """Pick a programme."""
        here = self.exam.service.scanner.body_parts
        suits, others = translate("Queue", "For this scanner"), translate("Queue", "Others")
        found = [(suits if item.body_part in (*here, "PHANTOM") else others, item) for item in self.exam.programmes()]
        found.sort(key=lambda pair: pair[0] != suits)
        choices = [
            (
                group,
                translate("Queue", "{0} · {1} scans").format(item.name, len(item.protocols)),
                "\n".join(protocol.name for protocol in item.protocols),
                lambda item=item: self.exam.add(item.protocols),
            )
            for group, item in found
        ]
        self._choose(translate("Queue", "Add a programme"), choices)

    def choose_sequence(self) -> None:
        """Pick a single sequence."""
        clinical, service = translate("Queue", "Imaging"), translate("Queue", "Research and service")
        infos = sorted(self.exam.sequences(), key=lambda info: not info.is_clinical)
        choices = [
            (
                clinical if info.is_clinical else service,
                f"{info.title} · {info.name}",
                info.summary,
                lambda info=info: self.exam.add_sequence(info),
            )
            for info in infos
        ]
        self._choose(translate("Queue", "Add a single sequence"), choices)

    def _choose(self, title: str, choices: list) -> None:  # type: ignore[type-arg]
        sheet = ChoiceSheet(title, self.shell.area, choices)
        self.shell.open_sheet(sheet, sheet.buttons[0] if sheet.buttons else None)

    def why_not_exposure(self) -> str:
        """There must be somebody on the table."""
        return "" if self.exam.exam else translate("Exposure", "Nobody is on the table.")

    def show_exposure(self) -> None:
        """List all exposures."""
        sheet = ExposureSheet(self.shell.area, self.exam)
        self.shell.open_sheet(sheet, sheet.close_button)

    def confirm_first_level(self) -> None:
        """Ask who takes responsibility for the selected scan."""
        if self.exam.selected is not None:
            sheet = FirstLevelSheet(self.shell.area, self.exam, self.control, self.exam.selected)
            self.shell.open_sheet(sheet, sheet.person)

    # --- pictures ---------------------------------------------------------------------------------------------------

    def explain(self, pane: PaneViewModel) -> None:
        """Tell what was done to a picture."""
        sheet = ExplainSheet(self.shell.area, pane.title_text(), pane.done_to_it())
        self.shell.open_sheet(sheet, sheet.close_button)

    # --- scanner ----------------------------------------------------------------------------------------------------

    def choose_scenario(self) -> None:
        """Pick what the virtual scanner plays."""
        sheet = ScenarioSheet(self.shell.area, self.scenarios)
        self.shell.open_sheet(sheet, sheet.list)

    def make_ready(self) -> None:
        """Ask who says that the cause of a stop is gone."""
        sheet = ReadySheet(self.shell.area, self.control)
        self.shell.open_sheet(sheet, sheet.first)

    def skip_step(self, step: str = "") -> None:
        """Ask who goes on without a step of the prescan, and why."""
        failed = self.prescan.failed_step()
        name = step or (failed.name if failed else "")
        if name:
            sheet = SkipSheet(self.shell.area, self.prescan, name)
            self.shell.open_sheet(sheet, sheet.reason)

    def only_frequency(self) -> None:
        """Ask who leaves out the prescan but for its frequency."""
        sheet = FrequencyOnlySheet(self.shell.area, self.prescan)
        self.shell.open_sheet(sheet, sheet.person)

    def confirm_phantom(self) -> None:
        """Ask what lies in the magnet, before service calibrations."""
        sheet = ConfirmPhantomSheet(self.shell.area, self.service)
        self.shell.open_sheet(sheet, sheet.empty)

    def show_calibration_history(self) -> None:
        """List earlier values of the selected service calibration."""
        sheet = HistorySheet(self.shell.area, self.service)
        self.shell.open_sheet(sheet, sheet.list)

    # --- program ----------------------------------------------------------------------------------------------------

    @Slot()
    def stop(self) -> None:
        """Stop now."""
        self.exam.stop()

    def show_keys(self) -> None:
        """List every action with its key."""
        if isinstance(self.shell.sheet, KeysSheet):
            self.shell.sheet.dismiss()
            return
        groups = {
            "scan": translate("Keys", "Scan"),
            "prescan": translate("Keys", "Prescan"),
            "control": translate("Keys", "After a stop"),
            "exam": translate("Keys", "Exam"),
            "queue": translate("Keys", "Queue"),
            "protocol": translate("Keys", "Protocol"),
            "scanner": translate("Keys", "Virtual scanner"),
            "service": translate("Keys", "Service calibrations"),
            "view": translate("Keys", "Pictures"),
            "program": translate("Keys", "Program"),
        }
        sheet = KeysSheet(self.shell.area, self.table, groups)
        self.shell.open_sheet(sheet, sheet.close_button)

    def go_to(self, place: QWidget) -> None:
        """Show a place."""
        self.shell.go_to(place)

    @Slot()
    def quit(self) -> None:
        """Close the program; ask while a scan runs or scans wait."""
        if self.is_closing or isinstance(self.shell.sheet, QuestionSheet):
            return
        if self.exam.status.is_running:
            sheet = QuestionSheet(
                translate("Program", "A scan is running"),
                translate("Program", "Closing stops it. What was measured until then is kept."),
                self.shell.area,
                translate("Program", "Stop and close"),
                self._close,
                keep=translate("Program", "Keep scanning"),
            )
            self.shell.open_sheet(sheet, sheet.keep)
        else:
            self._after_question(self._close)

    def _close(self) -> None:
        """Make all safe outside the window's thread, then close."""
        self.is_closing = True
        self.exam.stop()
        self.exam.detach()
        self.shell.show_waiting(
            translate("Program", "Closing"),
            translate("Program", "All outputs are brought to zero. This takes a few seconds."),
        )
        threading.Thread(target=self._close_service, name="closing").start()

    def _close_service(self) -> None:
        try:
            self.exam.service.close()
        finally:
            self._service_closed.emit()

    @Slot()
    def _on_service_closed(self) -> None:
        self.shell.may_close = True
        self.shell.close()
        QApplication.quit()
