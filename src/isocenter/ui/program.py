# SPDX-License-Identifier: MIT
"""Fills the shell with its places once there is a scanner to drive."""

from typing import Final

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication

from isocenter.app.service import ScannerService
from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.actions import control_actions, exam_actions, virtual_actions, window_actions
from isocenter.ui.binding import ShellBinding
from isocenter.ui.commands import Commands
from isocenter.ui.service_actions import service_actions
from isocenter.ui.shell import Shell
from isocenter.ui.stop_key import StopKey
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.views.exam import ExamPlace
from isocenter.ui.views.exposure import ExposureLight
from isocenter.ui.views.prescan import PrescanButton, PrescanPlace
from isocenter.ui.views.scanner import ScannerPlace
from isocenter.ui.views.service import ServicePlace
from isocenter.ui.views.stopped import StopBanner

_FEED_MS: Final = 150  # the scanner stops when the window has not reacted for a second


class Program(QObject):
    """Everything behind the shell. Made in the window's thread."""

    def __init__(self, shell: Shell, service: ScannerService) -> None:
        super().__init__(shell)
        self.shell = shell
        self.exam = ExamViewModel(service, self)
        self.commands = Commands(shell, self.exam)
        self.scenarios = self.commands.scenarios
        table = (*exam_actions(self.commands), *control_actions(self.commands), *virtual_actions(self.commands))
        self.actions = ActionSet(table, shell, lambda: shell.sheet is not None)
        self.exam.exam_changed.connect(self.actions.refresh)  # before the place puts the keyboard on one of its buttons
        self.place = ExamPlace(self.exam, self.scenarios, self.actions)
        self.prescan = PrescanPlace(self.commands.prescan, self.actions)
        self.prescan.skip_wanted.connect(self.commands.skip_step)
        self.service_actions = ActionSet(
            service_actions(self.commands, lambda: self.commands.go_to(self.service)), shell, lambda: shell.sheet is not None
        )
        self.service = ServicePlace(self.commands.service, self.service_actions)
        self.scanner = ScannerPlace(self.exam, self.scenarios, self.commands.control, self.actions, self.service_actions)
        self.window_actions = ActionSet(
            window_actions(self.commands, self.place, self.prescan, self.scanner), shell, lambda: shell.sheet is not None
        )
        self.commands.table = (*self.actions.table, *self.service_actions.table, *self.window_actions.table)
        self._add_places()
        self._link_places()
        self.exposure = ExposureLight(self.exam)
        shell.banner.buttons.addWidget(self.exposure)
        self._end = ActionButton(self.actions["exam.end"])
        shell.banner.buttons.addWidget(self._end)
        self.exam.exam_changed.connect(self._on_exam)
        self._on_exam()
        for name in ("view.compare", "view.explain"):
            self.place.parameters.add_picture_button(ActionButton(self.window_actions[name], shows_key=False))
        shell.sidebar_foot.addWidget(ActionButton(self.window_actions["program.keys"], "place"))
        self.stopped = StopBanner(self.commands.control, self.actions)
        shell.add_notice(self.stopped)
        self.binding = ShellBinding(shell, self.exam, self.scenarios, self.commands.control)
        self._connect_actions()
        self._feed = QTimer(self)
        self._feed.setInterval(_FEED_MS)
        self._feed.timeout.connect(service.feed)
        self._feed.start()
        self._stop_key = StopKey(shell, self.exam)
        app = QApplication.instance()
        assert app is not None  # there is a window
        app.installEventFilter(self._stop_key)
        shell.go_to(self.place)
        self.place.focus_first()

    def _add_places(self) -> None:
        self.shell.add_place(
            translate("Program", "Exam"), translate("Program", "Queue, pictures and parameters (Ctrl+1)"), self.place
        )
        self.shell.add_place(
            translate("Program", "Prescan"),
            translate("Program", "Steps of the prescan, and the values in use (Ctrl+2)"),
            self.prescan,
        )
        self.shell.add_place(
            translate("Program", "Scanner"),
            translate("Program", "State of the scanner, its devices and values (Ctrl+3)"),
            self.scanner,
        )
        self.shell.add_place_below(self.service, self.scanner)

    def _link_places(self) -> None:
        """Ways from the exam to its prescan and back."""
        way = PrescanButton(self.commands.prescan)
        way.clicked.connect(lambda: self.commands.go_to(self.prescan))
        self.place.queue.top.addWidget(way)
        self.prescan.go_on.clicked.connect(lambda: self.commands.go_to(self.place))
        self.service.back.clicked.connect(lambda: self.commands.go_to(self.scanner))

    def _connect_actions(self) -> None:
        exam, commands = self.exam, self.commands
        for source in (commands.control, commands.prescan, commands.service):
            source.message_raised.connect(exam.message_raised)
        for signal in (
            exam.queue_changed,
            exam.status_changed,
            exam.selection_changed,
            exam.editor.field_changed,
            exam.editor.check_changed,
            commands.control.changed,
            commands.prescan.changed,
            self.shell.sheet_changed,
        ):
            signal.connect(self.actions.refresh)
        for signal in (commands.service.changed, exam.status_changed, self.shell.sheet_changed):
            signal.connect(self.service_actions.refresh)
        self.place.viewers.changed.connect(self.window_actions.refresh)
        self.shell.sheet_changed.connect(self.window_actions.refresh)

    @Slot()
    def _on_exam(self) -> None:
        self._end.setVisible(self.exam.exam is not None)

    def detach(self) -> None:
        """Take no more keys and events."""
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self._stop_key)
        self._feed.stop()
        self.exam.detach()

    def end(self) -> None:
        """Let go of everything once the window's loop has ended, however it ended."""
        self.detach()
        if not self.commands.is_closing:
            self.exam.service.close()
