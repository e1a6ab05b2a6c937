# SPDX-License-Identifier: MIT
"""The window around all places: sidebar, banner, messages, the place itself, and the bar with Stop.

It imports widgets only, so that it is on the screen before anything else of the program is loaded.
"""

from typing import Final

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from isocenter.ui.text import translate
from isocenter.ui.widgets.bars import Banner, ScanBar, panel
from isocenter.ui.widgets.labels import styled
from isocenter.ui.widgets.messages import MessageBar
from isocenter.ui.widgets.sheet import Sheet

_SIDEBAR_PX: Final = 136
_NARROW_SIDEBAR_PX: Final = 120
_ROOMY_PX: Final = 1180


class Shell(QMainWindow):
    """Frame of the program. It knows nothing of scanners."""

    close_wanted = Signal()
    sheet_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.may_close = False
        self._sheets: list[Sheet] = []
        self._button_of: dict[QWidget, QPushButton] = {}
        self.setWindowTitle(translate("Shell", "Isocenter"))
        self.banner, self.messages, self.bar = Banner(), MessageBar(), ScanBar()
        self.places = QStackedWidget()
        self.area = QWidget()  # sheets lie in it, over the places, and leave the bar with Stop free
        root = QWidget()
        root.setObjectName("shell")
        layout = QHBoxLayout(root)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self._make_sidebar())
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addWidget(self.banner)
        self._notices = QVBoxLayout()  # what must be seen in every place and cannot be put away
        column.addLayout(self._notices)
        column.addWidget(self.messages)
        area = QVBoxLayout(self.area)
        area.setContentsMargins(0, 0, 0, 0)
        area.addWidget(self.places)
        column.addWidget(self.area, 1)
        column.addWidget(self.bar)
        layout.addLayout(column, 1)
        self.setCentralWidget(root)
        self._waiting = styled(QLabel(), "muted")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._waiting.setWordWrap(True)
        self.places.addWidget(self._waiting)
        self.show_waiting(translate("Shell", "Loading"), translate("Shell", "The scanner is being prepared."))

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """As in the drawings."""
        return QSize(1440, 840)

    def watch_paint(self, watcher: QObject) -> None:
        """Let another object see when the window is painted."""
        self.centralWidget().installEventFilter(watcher)  # type: ignore[union-attr]

    def _make_sidebar(self) -> QWidget:
        sidebar = self._sidebar = panel()
        sidebar.setFixedWidth(_SIDEBAR_PX)
        column = QVBoxLayout(sidebar)
        column.setContentsMargins(8, 12, 8, 10)
        column.setSpacing(4)
        column.addWidget(styled(QLabel(translate("Shell", "◎ Isocenter")), "heading"))
        column.addSpacing(8)
        self._place_buttons = QVBoxLayout()
        self._place_buttons.setSpacing(4)
        column.addLayout(self._place_buttons)
        column.addStretch(1)
        self.sidebar_foot = QVBoxLayout()
        column.addLayout(self.sidebar_foot)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        return sidebar

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        """A narrow screen has room for everything, too: Stop must never lie outside of it."""
        super().resizeEvent(event)
        self._sidebar.setFixedWidth(_SIDEBAR_PX if self.width() >= _ROOMY_PX else _NARROW_SIDEBAR_PX)

    # --- places -----------------------------------------------------------------------------------------------------

    def show_waiting(self, title: str, text: str) -> None:
        """Say what is going on while no place can be shown."""
        self.banner.set_texts(translate("Shell", "Isocenter"), title)
        self._waiting.setText(text)
        self.places.setCurrentWidget(self._waiting)
        self.bar.set_activity(title, text, None)

    def add_place(self, text: str, tooltip: str, place: QWidget) -> QPushButton:
        """Add a place and its button."""
        button = QPushButton(text)
        button.setObjectName("place")
        button.setCheckable(True)
        button.setToolTip(tooltip)
        self._group.addButton(button)
        self._place_buttons.addWidget(button)
        self._button_of[place] = button
        self.places.addWidget(place)
        button.clicked.connect(lambda: self.go_to(place))
        return button

    def add_place_below(self, place: QWidget, above: QWidget) -> None:
        """Add a place that is reached from another one, whose button stays marked while it is shown."""
        self._button_of[place] = self._button_of[above]
        self.places.addWidget(place)

    def add_notice(self, notice: QWidget) -> None:
        """Add something that stands over every place; it shows and hides itself."""
        self._notices.addWidget(notice)

    def go_to(self, place: QWidget) -> None:
        """Show a place."""
        had_focus = self.focusWidget()
        self.places.setCurrentWidget(place)
        self._button_of[place].setChecked(True)
        if had_focus not in self._group.buttons():  # or Qt gives the keyboard of what is hidden now to any button
            place.setFocus(Qt.FocusReason.OtherFocusReason)

    # --- sheets -----------------------------------------------------------------------------------------------------

    @property
    def sheet(self) -> Sheet | None:
        """The sheet on top."""
        return self._sheets[-1] if self._sheets else None

    def open_sheet(self, sheet: Sheet, focus: QWidget | None = None) -> None:
        """Show a sheet over the places; they cannot be used until it is closed."""
        self._sheets.append(sheet)
        sheet.closed.connect(lambda: self._on_sheet_closed(sheet))
        self.places.setEnabled(False)
        sheet.open(focus)
        self.sheet_changed.emit()

    def _on_sheet_closed(self, sheet: Sheet) -> None:
        self._sheets = [item for item in self._sheets if item is not sheet]
        self.places.setEnabled(not self._sheets)
        current = self.places.currentWidget()
        if current is not None and not self._sheets:
            current.setFocus(Qt.FocusReason.OtherFocusReason)
        self.sheet_changed.emit()

    # --- end --------------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802  Qt's name
        """Close only when all is safe; until then ask for it."""
        if not self.may_close:
            self.close_wanted.emit()
        event.setAccepted(self.may_close)
