# SPDX-License-Identifier: MIT
"""A small plot: axes with units, a few curves, and vertical marks. Drawn anew in a millisecond or two."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from isocenter.app.prescan_status import Curve, Plot
from isocenter.ui import theme
from isocenter.ui.text import translate

CURVE_COLOURS: Final = (theme.ACCENT, "#7aa2ff", "#d8a0ff", theme.WARNING, theme.TEXT)
_MARGIN_PX: Final = 6
_TEXT_PX: Final = 12
_POINT_PX: Final = 2.6
_MARK_DASH: Final = (4.0, 3.0)

Floats = NDArray[np.float64]


def nice_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Round numbers between two bounds, at most ``most`` of them, steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low or most < 1:
        return ()
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12 - math.floor(math.log10(step))) for index in range(first, last + 1))


def tick_text(value: float, step: float) -> str:
    """A tick's number with as many places as its step needs; a true minus sign."""
    if value != 0 and (abs(value) >= 1e5 or abs(step) < 1e-4):
        text = f"{value:.3g}"
    else:
        text = f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    return text.replace("-", "−")


def decimated(x: Floats, y: Floats, n_columns: int) -> tuple[Floats, Floats]:
    """At most about four points for each column of pixels, lowest and highest among them: no peak is lost.

    ``x`` must rise; otherwise all points are kept.
    """
    if len(x) <= 4 * n_columns or n_columns < 1 or np.any(np.diff(x) < 0):
        return x, y
    size = math.ceil(len(x) / (2 * n_columns))
    n_blocks = math.ceil(len(x) / size)
    padded = np.pad(y, (0, n_blocks * size - len(y)), mode="edge").reshape(n_blocks, size)
    filled = np.where(np.isfinite(padded), padded, np.nanmean(y[np.isfinite(y)]) if np.any(np.isfinite(y)) else 0.0)
    pairs = np.sort(np.stack([filled.argmin(axis=1), filled.argmax(axis=1)]), axis=0)
    picks = np.unique(np.minimum(pairs + np.arange(n_blocks) * size, len(x) - 1))
    return x[picks], y[picks]


def finite_range(parts: Sequence[Floats]) -> tuple[float, float]:
    """Lowest and highest finite number, widened when they are the same; NaN when there is none."""
    numbers = np.concatenate([np.asarray(part, np.float64).ravel() for part in parts]) if parts else np.zeros(0)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return math.nan, math.nan
    low, high = float(numbers.min()), float(numbers.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = abs(high) * 0.05 or 0.5
        return low - half, high + half
    return low, high


class PlotView(QWidget):
    """Shows a ``Plot``; empty, it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 90)
        self._plot: Plot | None = None
        self._empty = ""
        self.set_plot(None)

    @property
    def plot(self) -> Plot | None:
        """What is shown."""
        return self._plot

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Small; it takes what room there is."""
        return QSize(200, 96)

    def set_plot(self, plot: Plot | None, empty: str = "") -> None:
        """Show a plot, or a few words where there is none."""
        if plot is self._plot and empty == self._empty and plot is not None:
            return
        self._plot, self._empty = plot, empty
        self.setAccessibleName(described(plot) if plot is not None else empty)
        self.setToolTip(plot.title if plot is not None else "")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, ARG002  Qt's name
        """Axes, curves, marks."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(_TEXT_PX)
        painter.setFont(font)
        plot = self._plot
        x_range = finite_range([curve.x for curve in plot.curves]) if plot else (math.nan, math.nan)
        y_range = finite_range([curve.y for curve in plot.curves]) if plot else (math.nan, math.nan)
        if plot is None or not math.isfinite(x_range[0]) or not math.isfinite(y_range[0]):
            painter.setPen(QColor(theme.MUTED))
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self._empty)
            return
        room = 0.06 * (y_range[1] - y_range[0])
        _Drawing(painter, QRectF(self.rect()), plot, x_range, (y_range[0] - room, y_range[1] + room)).draw()


class _Drawing:
    """One drawing of a plot."""

    def __init__(
        self,
        painter: QPainter,
        rect: QRectF,
        plot: Plot,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        self._painter, self._plot, self._x, self._y = painter, plot, x_range, y_range
        metrics = painter.fontMetrics()
        line = metrics.height()
        head = line + 2  # unit of the y axis and names of the curves
        self._y_ticks = nice_ticks(*y_range, max(3, int((rect.height() - 3 * line) / (2.0 * line))))
        step = self._y_ticks[1] - self._y_ticks[0] if len(self._y_ticks) > 1 else 1.0
        self._y_texts = [tick_text(value, step) for value in self._y_ticks]
        left = max((metrics.horizontalAdvance(text) for text in self._y_texts), default=0) + _MARGIN_PX + 2
        self._area = rect.adjusted(left, head + 2, -_MARGIN_PX - 6, -2 * line - 4)
        self._x_ticks = nice_ticks(*x_range, max(2, int(self._area.width() / 62)))
        self._line, self._rect = line, rect

    def draw(self) -> None:
        self._draw_axes()
        self._painter.save()
        self._painter.setClipRect(self._area.adjusted(-4, -4, 4, 4))
        for number, curve in enumerate(self._plot.curves):
            self._draw_curve(curve, QColor(CURVE_COLOURS[number % len(CURVE_COLOURS)]))
        self._painter.restore()
        self._draw_marks()
        self._draw_names()

    def _at(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        area = self._area
        across = area.left() + (x - self._x[0]) / (self._x[1] - self._x[0]) * area.width()
        down = area.bottom() - (y - self._y[0]) / (self._y[1] - self._y[0]) * area.height()
        return across, down

    def _draw_axes(self) -> None:
        painter, area = self._painter, self._area
        grid = QColor(theme.BORDER)
        grid.setAlpha(110)
        across, _ = self._at(np.array(self._x_ticks, dtype=np.float64), np.zeros(len(self._x_ticks)))
        _, down = self._at(np.zeros(len(self._y_ticks)), np.array(self._y_ticks, dtype=np.float64))
        step = self._x_ticks[1] - self._x_ticks[0] if len(self._x_ticks) > 1 else 1.0
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # straight lines are sharper without
        for tick, place in zip(self._x_ticks, across, strict=True):
            painter.setPen(QPen(grid, 1))
            painter.drawLine(QPointF(place, area.top()), QPointF(place, area.bottom()))
            painter.setPen(QColor(theme.MUTED))
            box = QRectF(place - 40, area.bottom() + 3, 80, self._line)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop), tick_text(tick, step))
        for text, place in zip(self._y_texts, down, strict=True):
            painter.setPen(QPen(grid, 1))
            painter.drawLine(QPointF(area.left(), place), QPointF(area.right(), place))
            painter.setPen(QColor(theme.MUTED))
            box = QRectF(self._rect.left(), place - self._line / 2, area.left() - self._rect.left() - 4, self._line)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), text)
        painter.setPen(QPen(QColor(theme.MUTED), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        below = QRectF(area.left(), area.bottom() + self._line + 2, area.width(), self._line)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignHCenter), self._plot.x_label)

    def _draw_names(self) -> None:
        """The y axis's unit at the left, names of the curves in their colours at the right, as many as there is room for."""
        painter, metrics = self._painter, self._painter.fontMetrics()
        top = QRectF(self._rect.left() + 2, self._rect.top(), self._rect.width() - 8, self._line)
        painter.setPen(QColor(theme.MUTED))
        painter.drawText(top, int(Qt.AlignmentFlag.AlignLeft), self._plot.y_label)
        right, stop = top.right(), top.left() + metrics.horizontalAdvance(self._plot.y_label) + 12
        if len(self._plot.curves) < 2:
            return
        for number, curve in reversed(list(enumerate(self._plot.curves))):
            width = metrics.horizontalAdvance(curve.label)
            if not curve.label or right - width < stop:
                continue
            painter.setPen(QColor(CURVE_COLOURS[number % len(CURVE_COLOURS)]))
            painter.drawText(QPointF(right - width, top.top() + metrics.ascent()), curve.label)
            right -= width + 12

    def _draw_curve(self, curve: Curve, colour: QColor) -> None:
        x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
        if not curve.is_points:
            x, y = decimated(x, y, int(self._area.width()))
        across, down = self._at(x, y)
        is_good = np.isfinite(across) & np.isfinite(down)
        points = [QPointF(*pair) for pair in zip(across[is_good].tolist(), down[is_good].tolist(), strict=True)]
        if curve.is_points or len(points) == 1:
            self._painter.setPen(Qt.PenStyle.NoPen)
            self._painter.setBrush(colour)
            for point in points:
                self._painter.drawEllipse(point, _POINT_PX, _POINT_PX)
        else:
            self._painter.setBrush(Qt.BrushStyle.NoBrush)
            self._painter.setPen(QPen(colour, 1.3))
            self._painter.drawPolyline(QPolygonF(points))

    def _draw_marks(self) -> None:
        painter, metrics, area = self._painter, self._painter.fontMetrics(), self._area
        taken: list[QRectF] = []
        for name, value in self._plot.marks.items():
            if not self._x[0] <= value <= self._x[1]:
                continue
            place = float(self._at(np.array([value]), np.zeros(1))[0][0])
            pen = QPen(QColor(theme.TEXT), 1)
            pen.setDashPattern(list(_MARK_DASH))
            painter.setPen(pen)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.drawLine(QPointF(place, area.top()), QPointF(place, area.bottom()))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            width = metrics.horizontalAdvance(name)
            left = place + 4 if place + 4 + width <= area.right() + 4 else place - 4 - width
            box = QRectF(left, area.top(), width, self._line)
            while any(box.intersects(other) for other in taken) and box.bottom() + self._line < area.bottom():
                box.translate(0, self._line)
            taken.append(box)
            ground = QColor(theme.PANEL)
            ground.setAlpha(200)
            painter.fillRect(box, ground)
            painter.setPen(QColor(theme.TEXT))
            painter.drawText(box, int(Qt.AlignmentFlag.AlignLeft), name)


def described(plot: Plot) -> str:
    """The plot in words, for those who hear the screen."""
    text = translate("Plot", "{0}: {1} over {2}").format(plot.title, plot.y_label, plot.x_label)
    marks = ", ".join(f"{name} {value:.6g}" for name, value in plot.marks.items())
    return f"{text}; {marks}" if marks else text
