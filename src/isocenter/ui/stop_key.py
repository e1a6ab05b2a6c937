# SPDX-License-Identifier: MIT
"""Esc is Stop, whatever has the keyboard: a text field, a list that is open, a dialog."""

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication

from isocenter.ui.shell import Shell
from isocenter.ui.viewmodels.exam import ExamViewModel


class StopKey(QObject):
    """Sees every key of the program before any widget does."""

    def __init__(self, shell: Shell, exam: ExamViewModel) -> None:
        super().__init__(shell)
        self._shell, self._exam = shell, exam

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, ARG002  Qt's name
        """Stop on Esc. While nothing runs, Esc also means what it means to the widget, and closes a sheet."""
        if event.type() is not QEvent.Type.KeyPress or not isinstance(event, QKeyEvent) or event.key() != Qt.Key.Key_Escape:
            return False
        is_running = self._exam.status.is_running
        if not event.isAutoRepeat():
            self._exam.stop()
        if is_running:
            return True  # a dialog must not vanish because somebody stopped the scan
        sheet = self._shell.sheet
        if sheet is not None and QApplication.activePopupWidget() is None and QApplication.activeModalWidget() is None:
            sheet.dismiss()
            return True
        return False
