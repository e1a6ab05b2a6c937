# SPDX-License-Identifier: MIT
"""The queue: what runs, in this order."""

import math

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from isocenter.app.service import Programme
from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import duration_text, translate
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.widgets.card import CardDelegate
from isocenter.ui.widgets.labels import styled


class _CardList(QListView):
    """Cards; the selected one stays in sight when the room changes, as under the banner of a stop."""

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        super().resizeEvent(event)
        if self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())


class QueuePanel(QFrame):
    """Cards, and what can be done with them. Empty, it offers the programmes."""

    def __init__(self, exam: ExamViewModel, actions: ActionSet) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._exam = exam
        self._is_syncing = False
        self.first_button = ActionButton(actions["queue.programme"], shows_key=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        head = QHBoxLayout()
        head.addWidget(styled(QLabel(translate("Queue", "Exam queue")), "heading"))
        head.addStretch(1)
        self._left = styled(QLabel(), "muted")
        head.addWidget(self._left)
        column.addLayout(head)
        self.top = QVBoxLayout()
        column.addLayout(self.top)
        self.list = self._make_list()
        self._pages = QStackedWidget()
        self._pages.addWidget(self._make_empty())
        self._pages.addWidget(self.list)
        column.addWidget(self._pages, 1)
        for names in (("queue.up", "queue.down", "queue.remove"), ("queue.repeat", "exam.export")):
            row = QHBoxLayout()
            row.setSpacing(6)
            for name in names:
                row.addWidget(ActionButton(actions[name], shows_key=False))
            column.addLayout(row)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.first_button)
        row.addWidget(ActionButton(actions["queue.sequence"], shows_key=False))
        column.addLayout(row)
        column.addWidget(ActionButton(actions["scan.start"], "primary"))
        exam.queue_changed.connect(self._sync)
        exam.selection_changed.connect(self._sync)
        exam.status_changed.connect(self._sync)
        self._sync()

    def _make_list(self) -> QListView:
        view = _CardList()
        view.setModel(self._exam.queue)
        view.setItemDelegate(CardDelegate(view))
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setAccessibleName(translate("Queue", "Exam queue"))
        view.selectionModel().currentChanged.connect(self._on_current)
        return view

    def _make_empty(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        hint = styled(
            QLabel(translate("Queue", "Nothing waits yet. Pick a programme: it adds all scans of an exam.")), "muted"
        )
        hint.setWordWrap(True)
        column.addWidget(hint)
        for programme in self._exam.programmes():
            button = programme_button(programme)
            button.clicked.connect(lambda _checked=False, programme=programme: self._exam.add(programme.protocols))
            column.addWidget(button)
        column.addStretch(1)
        return page

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._is_syncing and current.isValid():
            self._exam.select(self._exam.queue.item_id_at(current.row()))

    @Slot()
    def _sync(self) -> None:
        self._pages.setCurrentIndex(1 if self._exam.items else 0)
        self._left.setText(self._left_text())
        index = self._exam.queue.index(self._exam.queue.row_of_item(self._exam.selected_id))
        if index.isValid() and not self.list.selectionModel().isSelected(index):
            self._is_syncing = True
            self.list.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
            self.list.scrollTo(index)
            self._is_syncing = False

    def _left_text(self) -> str:
        if not self._exam.items:
            return ""
        left_s = self._exam.status.remaining_s
        if math.isnan(left_s):
            return translate("Queue", "time not known yet")
        if not self._exam.waiting and not self._exam.status.is_running:
            return translate("Queue", "nothing waits")
        return translate("Queue", "{0} left").format(duration_text(left_s))


def programme_button(programme: Programme) -> QPushButton:
    """Button that stands for a programme, with what is in it."""
    button = QPushButton(translate("Queue", "+  {0} · {1} scans").format(programme.name, len(programme.protocols)))
    button.setObjectName("row")
    button.setToolTip("\n".join(protocol.name for protocol in programme.protocols))
    return button
