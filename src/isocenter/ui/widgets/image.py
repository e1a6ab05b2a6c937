# SPDX-License-Identifier: MIT
"""A picture in true proportions, with what must be read on it. Painted by hand: 1 to 2 ms a frame, no plotting library."""

from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from isocenter.ui import theme
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.pane import PaneViewModel

_MARGIN_PX: Final = 8
_LINE_PX: Final = 20
_NARROW_PX: Final = 290
_WHEEL_STEP: Final = 120


class ImagePane(QWidget):
    """Shows a ``PaneViewModel``. Wheel scrolls slices, Ctrl+wheel zooms, right drag windows, left drag moves."""

    activated = Signal()
    enlarge_wanted = Signal()

    def __init__(self, model: PaneViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.is_active = False
        self._drag_from: QPointF | None = None
        self._wheel = 0
        self._image: QImage | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 120)
        self.setAccessibleName(model.hint)
        self.setToolTip(
            translate("Viewer", "Wheel: slices · Ctrl+wheel: zoom · right drag: window · drag: move · double click: enlarge")
        )
        model.changed.connect(self._on_changed)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Large."""
        return QSize(480, 400)

    def _on_changed(self) -> None:
        self._image = None
        self.setAccessibleDescription(f"{self.model.title_text()} {self.model.slice_text()}")
        self.update()

    # --- painting ---------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, ARG002  Qt's name
        """Picture, letters, texts."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.BLACK))
        if self.model.series is None:
            self._paint_hint(painter)
        else:
            self._paint_picture(painter)
            self._paint_texts(painter)
        if self.hasFocus() or self.is_active:
            painter.setPen(QPen(QColor(theme.ACCENT), 2 if self.hasFocus() else 1))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    def picture_rect(self) -> QRectF:
        """Where the picture lies, in pixels of the pane: true proportions, whole unless zoomed."""
        frame = self._frame()
        if frame is None:
            return QRectF()
        height_m, width_m = self.model.pixel_m()
        rows_m, columns_m = frame.height() * height_m, frame.width() * width_m
        scale = min(self.width() / columns_m, self.height() / rows_m) * self.model.zoom
        size_x, size_y = columns_m * scale, rows_m * scale
        pan_x, pan_y = self.model.pan_px
        return QRectF((self.width() - size_x) / 2 + pan_x, (self.height() - size_y) / 2 + pan_y, size_x, size_y)

    def _frame(self) -> QImage | None:
        if self._image is None:
            grey = self.model.frame()
            if grey is None:
                return None
            rows, columns = grey.shape
            self._image = QImage(grey.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8).copy()
        return self._image

    def _paint_picture(self, painter: QPainter) -> None:
        frame = self._frame()
        if frame is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self.picture_rect(), frame)

    def _paint_hint(self, painter: QPainter) -> None:
        painter.setPen(QColor(theme.MUTED))
        painter.drawText(
            self.rect().adjusted(24, 24, -24, -24),
            int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap),
            self.model.hint,
        )

    def _paint_texts(self, painter: QPainter) -> None:
        model, series = self.model, self.model.series
        assert series is not None  # the caller looked
        is_partial = series.is_live or series.fraction < 1
        half = (self.width() - 3 * _MARGIN_PX) / 2
        top = _MARGIN_PX
        bottom = self.height() - _MARGIN_PX - _LINE_PX
        colour = theme.ACCENT if series.is_live else theme.WARNING if is_partial else theme.TEXT
        width = 2 * half + _MARGIN_PX
        title = model.title().fitted(width - 8, painter.fontMetrics().horizontalAdvance)
        self._text(painter, QRectF(_MARGIN_PX, top, width, _LINE_PX), title, colour)
        self._text(painter, QRectF(_MARGIN_PX, top + _LINE_PX + 2, 2 * half + _MARGIN_PX, _LINE_PX), series.patient_name)
        right = Qt.AlignmentFlag.AlignRight
        is_narrow = self.width() < _NARROW_PX  # then the place of the slice matters more than its window
        place = QRectF(_MARGIN_PX, bottom, 2 * half + _MARGIN_PX, _LINE_PX)
        if not is_narrow:
            self._text(painter, QRectF(_MARGIN_PX, bottom, half, _LINE_PX), model.window_text())
            place = QRectF(2 * _MARGIN_PX + half, bottom, half, _LINE_PX)
        self._text(painter, place, model.slice_text(), align=right)
        self._paint_letters(painter)

    def _paint_letters(self, painter: QPainter) -> None:
        font = QFont(painter.font())
        font.setPixelSize(16)
        font.setBold(True)
        painter.setFont(font)
        letters = self.model.letters()
        middle_y, middle_x, box = (self.height() - 24) / 2, (self.width() - 40) / 2, (40.0, 24.0)
        centre = Qt.AlignmentFlag.AlignHCenter
        self._text(painter, QRectF(_MARGIN_PX, middle_y, *box), letters.left)
        self._text(
            painter,
            QRectF(self.width() - _MARGIN_PX - box[0], middle_y, *box),
            letters.right,
            align=Qt.AlignmentFlag.AlignRight,
        )
        below_texts = _MARGIN_PX + 2 * _LINE_PX + 6
        self._text(painter, QRectF(middle_x, below_texts, *box), letters.top, align=centre)
        self._text(painter, QRectF(middle_x, self.height() - _MARGIN_PX - _LINE_PX - 28, *box), letters.bottom, align=centre)

    @staticmethod
    def _text(
        painter: QPainter,
        box: QRectF,
        text: str,
        colour: str = theme.TEXT,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    ) -> None:
        """Text on a dark ground of its own, so that it can be read on a white picture too."""
        if not text:
            return
        metrics = painter.fontMetrics()
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(box.width()) - 8)
        width = metrics.horizontalAdvance(text) + 8
        left = box.left()
        if align == Qt.AlignmentFlag.AlignRight:
            left = box.right() - width
        elif align == Qt.AlignmentFlag.AlignHCenter:
            left = box.center().x() - width / 2
        ground = QRectF(left, box.top(), width, box.height())
        painter.fillRect(ground, QColor(0, 0, 0, 190))
        painter.setPen(QColor(colour))
        painter.drawText(ground, int(Qt.AlignmentFlag.AlignCenter), text)

    # --- mouse and keys ---------------------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802  Qt's name
        """Slices, or with Ctrl the size."""
        delta = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.model.zoom_by(1.15 ** (delta / _WHEEL_STEP))
        else:
            self._wheel += delta
            steps, self._wheel = (
                int(self._wheel / _WHEEL_STEP),
                int(self._wheel - int(self._wheel / _WHEEL_STEP) * _WHEEL_STEP),
            )
            self.model.scroll(-steps)
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802  Qt's name
        """Begin a drag."""
        self._drag_from = event.position()
        self.activated.emit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802  Qt's name
        """Window with the right button, move with the left."""
        if self._drag_from is None:
            return
        moved = event.position() - self._drag_from
        self._drag_from = event.position()
        if event.buttons() & Qt.MouseButton.RightButton:
            self.model.drag_window(moved.x() / max(self.width(), 1), moved.y() / max(self.height(), 1))
        elif event.buttons() & Qt.MouseButton.LeftButton:
            self.model.pan_by(moved.x(), moved.y())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802, ARG002  Qt's name
        """End a drag."""
        self._drag_from = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802  Qt's name
        """Enlarge."""
        if event.button() is Qt.MouseButton.LeftButton:
            self.enlarge_wanted.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  Qt's name
        """Arrows scroll; Home shows all again."""
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        found = steps.get(Qt.Key(event.key()))
        if found is not None:
            self.model.scroll(found)
        elif event.key() == Qt.Key.Key_Home:
            self.model.reset_view()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """The keyboard is here now."""
        self.activated.emit()
        self.update()

    def focusOutEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """The keyboard is elsewhere now."""
        self.update()
