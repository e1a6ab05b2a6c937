# SPDX-License-Identifier: MIT
"""What the pages of prescan and service share: the head, and ages that grow while somebody looks."""

from typing import Final

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from isocenter.ui.widgets.labels import elided, set_health, state_text

SPACING_PX: Final = 8
_AGE_MS: Final = 5000


class PageHead(QFrame):
    """Headline, state of the whole in one sentence, and at the right what one can do."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(14, 8, 10, 8)
        self._row.setSpacing(10)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.headline, self.outcome = elided("heading"), elided("small")
        texts.addWidget(self.headline)
        texts.addWidget(self.outcome)
        self._row.addLayout(texts, 1)

    def add(self, *buttons: QWidget) -> None:
        """Add what one can do."""
        for button in buttons:
            self._row.addWidget(button)

    def show_state(self, headline: str, outcome: tuple[str, str]) -> None:
        """Show news: headline, then health and sentence."""
        health, sentence = outcome
        self.headline.setText(headline)
        self.outcome.setText(f"… {sentence}" if health == "running" else state_text(health, sentence))
        set_health(self.outcome, health)


class Page(QWidget):
    """A place with a head; ``_on_shown`` is told when somebody begins or ends to look, ``_on_age`` from time to time."""

    def __init__(self) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(SPACING_PX)
        self.head = PageHead()
        self.column.addWidget(self.head)
        self._ages = QTimer(self)
        self._ages.setInterval(_AGE_MS)
        self._ages.timeout.connect(self._on_age)

    @Slot()
    def _on_age(self) -> None:
        """What is shown got older."""

    def _on_shown(self, *, is_shown: bool) -> None:
        """Somebody looks, or nobody does any more."""

    def showEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """Ages grow while somebody looks."""
        self._on_shown(is_shown=True)
        self._ages.start()

    def hideEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """Nobody looks."""
        self._ages.stop()
        self._on_shown(is_shown=False)
