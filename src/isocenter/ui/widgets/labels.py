# SPDX-License-Identifier: MIT
"""Labels: text that is cut with an ellipsis and told whole in its tooltip, and text with a state."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStyle, QWidget

GLYPHS = {"good": "●", "warning": "▲", "bad": "✕", "unknown": "?"}  # a shape for each state, beside colour and word


def cut_text(text: str, metrics: QFontMetrics, width_px: int) -> str:
    """Text cut to a width with an ellipsis, but never inside a number or its unit: ``z +0.39`` is not ``z +0…``."""
    cut = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width_px)
    if cut == text or not cut.endswith("…"):
        return cut
    kept = cut[:-1]
    if not text.startswith(kept) or text[len(kept) : len(kept) + 1].isspace():
        return cut
    head, space, _ = kept.rpartition(" ")
    word = text[len(head) + len(space) :].partition(" ")[0]
    before = head.rpartition(" ")[2]
    is_figure = any(letter.isdigit() for letter in word) or (before != "" and before[-1].isdigit())
    return f"{head} …" if space and is_figure else cut


class ElidedLabel(QLabel):
    """One line that never asks for more room than there is."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def setText(self, text: str) -> None:  # noqa: N802  Qt's name
        """Show a text; the tooltip tells all of it."""
        super().setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """As low as one line, as narrow as may be."""
        return QSize(20, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, ARG002  Qt's name
        """Text cut to the width."""
        painter = QPainter(self)
        text = cut_text(self.text(), self.fontMetrics(), self.width())
        flags = int(QStyle.visualAlignment(self.layoutDirection(), self.alignment()))
        self.style().drawItemText(painter, self.rect(), flags, self.palette(), self.isEnabled(), text, self.foregroundRole())


def styled(label: QLabel, name: str) -> QLabel:
    """The label with one of the theme's styles: title, heading, group, muted, small."""
    label.setObjectName(name)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def wrapped(style: str = "small") -> QLabel:
    """A label that breaks its lines."""
    label = styled(QLabel(), style)
    label.setWordWrap(True)
    return label


def elided(style: str = "small") -> ElidedLabel:
    """One line in one of the theme's styles."""
    label = ElidedLabel()
    label.setObjectName(style)
    return label


def set_health(widget: QWidget, health: str) -> None:
    """Colour a widget by state, if it is not so already."""
    if widget.property("health") != health:
        widget.setProperty("health", health)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def state_text(health: str, text: str) -> str:
    """Text with the shape that belongs to its state."""
    return f"{GLYPHS[health]} {text}"
