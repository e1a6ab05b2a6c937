# SPDX-License-Identifier: MIT
"""Keeps banner, bar and messages in step with the exam."""

import math
from datetime import datetime

from PySide6.QtCore import QObject, Slot

from isocenter.app.service import MessageRaised
from isocenter.domain.patient import Exam
from isocenter.ui.shell import Shell
from isocenter.ui.text import duration_text, translate
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.registration import part_text, patient_line, position_text
from isocenter.ui.viewmodels.scenarios import ScenarioViewModel


class ShellBinding(QObject):
    """Shows an ``ExamViewModel`` in the permanent parts of the window."""

    def __init__(self, shell: Shell, exam: ExamViewModel, scenarios: ScenarioViewModel, control: ControlViewModel) -> None:
        super().__init__(shell)
        self._shell, self._exam, self._scenarios, self._control = shell, exam, scenarios, control
        control.changed.connect(self._on_control)
        exam.scanner_changed.connect(self._on_scanner)
        scenarios.changed.connect(self._on_scenario)
        scenarios.message_raised.connect(self._on_message)
        exam.exam_changed.connect(self._on_exam)
        exam.status_changed.connect(self._on_status)
        exam.queue_changed.connect(self._on_status)
        exam.editor.check_changed.connect(self._on_status)
        exam.message_raised.connect(self._on_message)
        self._on_exam(exam.exam)
        self._on_status()
        self._on_scenario()
        self._on_control()

    @Slot()
    def _on_control(self) -> None:
        health, word, meaning = self._control.state
        self._shell.bar.set_state(health, word, meaning)
        self._shell.messages.set_room(1 if self._control.is_stopped else 3)  # the banner of a stop needs room too
        self._on_status()

    @Slot()
    def _on_scanner(self) -> None:
        self._on_exam(self._exam.exam)

    @Slot()
    def _on_scenario(self) -> None:
        self._shell.banner.set_virtual(is_virtual=self._exam.status.is_virtual, scenario=self._scenarios.running_text)

    @Slot(object)
    def _on_exam(self, exam: Exam | None) -> None:
        if exam is None:
            self._shell.banner.set_texts(translate("Banner", "Nobody on the table"), self._exam.service.scanner.title)
            return
        today = datetime.now().astimezone().date()
        details = [
            patient_line(exam.patient, today),
            position_text(exam.position),
            part_text(exam.body_part, exam.laterality),
        ]
        if exam.study_description:
            details.append(exam.study_description)
        self._shell.banner.set_texts(exam.patient.display_name, " · ".join(details))

    @Slot()
    def _on_status(self) -> None:
        exam, status = self._exam, self._exam.status
        bar = self._shell.bar
        bar.set_lights(tuple((light.name, light.health.value, light.text) for light in status.lights))
        bar.set_running(is_running=status.is_running)
        if exam.is_stopping:
            bar.set_activity(translate("ScanBar", "Stopping …"), translate("ScanBar", "Outputs go to zero."), None)
            return
        if not status.is_running:
            idle = translate("ScanBar", "Idle")
            is_over = self._control.is_stopped or status.is_restarting  # made ready, it is not stopped any more
            bar.set_activity(status.activity if is_over else idle, self._idle_text(), None)
            return
        item = exam.running
        progress = item.progress if item else None
        if progress is None or progress.n_segments == 0:
            bar.set_activity(status.activity, self._queue_text(), None)
            return
        left = translate("ScanBar", "{0}: {1} left").format(status.activity, duration_text(progress.remaining_s))
        part = translate("ScanBar", "Part {0} of {1}").format(progress.segment, progress.n_segments)
        bar.set_activity(left, f"{part} · {self._queue_text()}", progress.segment / progress.n_segments)

    def _idle_text(self) -> str:
        exam = self._exam
        if exam.status.is_restarting:
            return translate("ScanBar", "This takes a few seconds.")
        if exam.exam is None:
            return translate("ScanBar", "Register a patient or a phantom.")
        why_not = exam.why_not_start()
        if not exam.waiting or why_not:
            return why_not
        return translate("ScanBar", "Ready: {0} waits. Press Start (F5).").format(exam.waiting[0].protocol.name)

    def _queue_text(self) -> str:
        exam = self._exam
        if exam.running is None:
            return translate("ScanBar", "Stop ends it; what was found so far is kept.")
        if not exam.waiting:
            return translate("ScanBar", "last of the queue")
        text = translate("ScanBar", "next: {0}").format(exam.waiting[0].protocol.name)
        if math.isfinite(exam.status.remaining_s):
            text += " · " + translate("ScanBar", "queue {0}").format(duration_text(exam.status.remaining_s))
        return text

    @Slot(object)
    def _on_message(self, message: MessageRaised) -> None:
        self._shell.messages.show_message(message.health.value, message.problem, message.remedy)
