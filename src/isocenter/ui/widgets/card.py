# SPDX-License-Identifier: MIT
"""One entry of the queue, painted."""

from typing import Final

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from isocenter.ui import theme
from isocenter.ui.viewmodels.queue_model import ROW_ROLE, QueueRow
from isocenter.ui.widgets.labels import cut_text

_HEIGHT_PX: Final = 74
_TONES: Final = {
    "muted": theme.MUTED,
    "accent": theme.ACCENT,
    "good": theme.GOOD,
    "warning": theme.WARNING,
    "bad": theme.BAD,
}


class CardDelegate(QStyledItemDelegate):
    """Name, state in words with shape and colour, detail, and a bar while it is measured."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802, ARG002
        """All cards are equally high."""
        return QSize(120, _HEIGHT_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        """Paint a card."""
        row = index.data(ROW_ROLE)
        if not isinstance(row, QueueRow):
            return
        state = option.state
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        has_focus = bool(state & QStyle.StateFlag.State_HasFocus)
        card = option.rect.adjusted(1, 3, -3, -3)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        border = theme.ACCENT if is_selected else theme.BORDER
        painter.setPen(QPen(QColor(border), 2 if has_focus else 1))
        painter.setBrush(QColor(theme.ACCENT_DARK if is_selected else theme.RAISED))
        painter.drawRoundedRect(card, 7, 7)
        inner = card.adjusted(11, 4, -11, -4)
        line = QRect(inner.left(), inner.top(), inner.width(), 20)
        number = f"{row.number}  "
        self._text(painter, line, number, theme.TEXT, is_bold=True)
        width = painter.fontMetrics().horizontalAdvance(number)
        name = painter.fontMetrics().elidedText(row.name, Qt.TextElideMode.ElideMiddle, line.width() - width)
        self._text(painter, line.adjusted(width, 0, 0, 0), name, theme.TEXT, is_bold=True)  # long names differ at the end
        second = line.translated(0, 20)
        self._text(painter, second, row.state, _TONES[row.tone])
        if row.progress is None:
            self._text(painter, line.translated(0, 40), row.detail, theme.MUTED)
        else:
            self._bar(painter, QRect(inner.left(), inner.bottom() - 9, inner.width(), 7), row.progress)
        painter.restore()

    @staticmethod
    def _text(painter: QPainter, box: QRect, text: str, colour: str, *, is_bold: bool = False) -> None:
        font = QFont(painter.font())
        font.setPixelSize(theme.FONT_PX if is_bold else theme.SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold if is_bold else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(QColor(colour))
        cut = cut_text(text, painter.fontMetrics(), box.width())
        painter.drawText(box, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), cut)

    @staticmethod
    def _bar(painter: QPainter, box: QRect, fraction: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.BORDER))
        painter.drawRoundedRect(box, 3, 3)
        painter.setBrush(QColor(theme.ACCENT))
        filled = QRect(box.left(), box.top(), max(round(box.width() * min(fraction, 1.0)), 6), box.height())
        painter.drawRoundedRect(filled, 3, 3)
