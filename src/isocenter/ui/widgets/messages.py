# SPDX-License-Identifier: MIT
"""What the operator must read: problem and what to do, until it is put away."""

from typing import Final

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from isocenter.ui.text import translate
from isocenter.ui.widgets.labels import set_health, state_text, styled

_MOST: Final = 3
_GOOD_NEWS_MS: Final = 10_000


class MessageBar(QWidget):
    """Up to three messages, newest on top. Good news goes away by itself, nothing else does."""

    def __init__(self) -> None:
        super().__init__()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(6)
        self._frames: list[tuple[str, QFrame]] = []
        self._room = _MOST
        self.setVisible(False)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is shown, newest first."""
        return tuple(text for text, _ in self._frames)

    def show_message(self, health: str, problem: str, remedy: str) -> None:
        """Show a message; the same text is shown once."""
        text = f"{problem}\n{remedy}".strip()
        if text in self.texts:
            return
        for _, older in self._frames[self._room - 1 :]:
            older.hide()
        frame = self._frame(health, problem, remedy)
        self._layout.insertWidget(0, frame)
        self._frames.insert(0, (text, frame))
        while len(self._frames) > _MOST:
            self._put_away(self._frames[-1][1])
        self._arrange()
        if health == "good":
            QTimer.singleShot(_GOOD_NEWS_MS, frame, lambda: self._put_away(frame))

    @Slot()
    def dismiss(self) -> None:
        """Put the newest message away."""
        if self._frames:
            self._put_away(self._frames[0][1])

    def clear(self) -> None:
        """Put all away."""
        while self._frames:
            self._put_away(self._frames[0][1])

    def _put_away(self, frame: QFrame) -> None:
        kept = [(text, item) for text, item in self._frames if item is not frame]
        if len(kept) < len(self._frames):
            self._frames = kept
            self._layout.removeWidget(frame)
            frame.hide()
            frame.deleteLater()
            self._arrange()

    def set_room(self, most: int) -> None:
        """Show so many at most, the newest; the others come back when these are put away or there is more room."""
        self._room = max(1, min(most, _MOST))
        self._arrange()

    def _arrange(self) -> None:
        for _, frame in self._frames[self._room :]:
            frame.hide()  # before others are shown: a window that has grown does not shrink by itself
        for _, frame in self._frames[: self._room]:
            frame.show()
        self.setVisible(bool(self._frames))

    def _frame(self, health: str, problem: str, remedy: str) -> QFrame:
        frame = QFrame()
        frame.setObjectName("message")
        frame.setProperty("health", health)
        row = QHBoxLayout(frame)
        row.setContentsMargins(12, 8, 8, 8)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        head = styled(QLabel(state_text(health, problem)), "heading")
        head.setWordWrap(True)
        set_health(head, health)
        texts.addWidget(head)
        if remedy:
            words = styled(QLabel(translate("Messages", "What to do: {0}").format(remedy)), "small")
            words.setWordWrap(True)
            texts.addWidget(words)
        row.addLayout(texts, 1)
        button = QPushButton(translate("Messages", "OK"))
        button.setObjectName("flat")
        button.setAccessibleName(translate("Messages", "Put this message away"))
        button.clicked.connect(lambda: self._put_away(frame))
        row.addWidget(button)
        return frame
