# SPDX-License-Identifier: MIT
"""A dialog inside the window: it covers the place behind it, never the bar with Stop."""

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from isocenter.ui.text import translate
from isocenter.ui.widgets.labels import styled


class Sheet(QWidget):
    """Centred card over a dimmed place. ``body`` takes the content, ``add_button`` the answers."""

    closed = Signal()

    def __init__(self, title: str, over: QWidget, width_px: int = 560) -> None:
        super().__init__(over)
        self._over = over
        card = QFrame()
        card.setObjectName("sheet")
        card.setMaximumWidth(width_px)
        card.setMinimumWidth(min(width_px, 360))
        layout = QVBoxLayout(card)
        layout.setContentsMargins(22, 18, 22, 18)
        layout.setSpacing(12)
        heading = styled(QLabel(title), "title")
        heading.setWordWrap(True)
        layout.addWidget(heading)
        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(0, 0, 6, 0)
        self.body.setSpacing(10)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._content, self._scroll = content, scroll
        layout.addWidget(scroll, 1)
        self._buttons = QHBoxLayout()
        self._buttons.addStretch(1)
        layout.addLayout(self._buttons)
        self._card = card
        card.setParent(self)
        over.installEventFilter(self)
        self.setGeometry(over.rect())

    def add_button(self, button: QPushButton) -> QPushButton:
        """Add an answer at the right end."""
        self._buttons.addWidget(button)
        return button

    def add_cancel(self, text: str = "") -> QPushButton:
        """Add the answer that changes nothing."""
        button = QPushButton(text or translate("Sheet", "Cancel"))
        button.clicked.connect(self.dismiss)
        return self.add_button(button)

    def dismiss(self) -> None:
        """Close without an answer."""
        self._over.removeEventFilter(self)
        self.hide()
        self.closed.emit()
        self.deleteLater()

    def open(self, focus: QWidget | None = None) -> None:
        """Show it, with the keyboard in ``focus``."""
        self.show()
        self.raise_()
        self.place()
        (focus or self).setFocus(Qt.FocusReason.OtherFocusReason)

    def place(self) -> None:
        """Centre the card; it is as high as its content, at most as high as the place."""
        self.setGeometry(self._over.rect())
        width = min(self._card.maximumWidth(), self.width() - 24)
        self._card.setFixedWidth(max(width, 200))
        wanted = self._content.sizeHint().height()
        if self._content.hasHeightForWidth():
            wanted = self._content.heightForWidth(self._card.width() - 60)
        rest = self._card.sizeHint().height() - self._scroll.sizeHint().height()
        height = min(wanted + rest + 8, self.height() - 24)
        self._card.setGeometry(
            (self.width() - self._card.width()) // 2, max((self.height() - height) // 2, 12), self._card.width(), height
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  Qt's name
        """Page through what does not fit, whatever has the keyboard."""
        bar = self._scroll.verticalScrollBar()
        pages = {Qt.Key.Key_PageDown: 1, Qt.Key.Key_PageUp: -1}.get(Qt.Key(event.key()))
        if pages is None:
            super().keyPressEvent(event)
        else:
            bar.setValue(bar.value() + pages * bar.pageStep())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Follow the size of the place."""
        if watched is self._over and event.type() is QEvent.Type.Resize:
            self.place()
        return False

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, ARG002  Qt's name
        """Dim what is behind."""
        QPainter(self).fillRect(self.rect(), QColor(0, 0, 0, 150))
