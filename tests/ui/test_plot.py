# SPDX-License-Identifier: MIT
"""The plot of a step: ticks that can be read, no lost peak, and a picture for whatever arrives."""

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage

from isocenter.app.prescan_status import Curve, Plot
from isocenter.ui import theme
from isocenter.ui.widgets.plot import PlotView, decimated, finite_range, nice_ticks, tick_text


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0.0, 10.0, 5, (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)),
        (-0.31, 0.29, 4, (-0.2, 0.0, 0.2)),
        (2.9, 3.3, 4, (2.9, 3.0, 3.1, 3.2, 3.3)),
        (1.0, 1.0, 4, ()),
        (0.0, float("inf"), 4, ()),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, most, ticks):
    assert nice_ticks(low, high, most) == ticks


@pytest.mark.parametrize("seed", range(20))
def test_there_are_never_many_ticks_and_all_are_within(seed):
    random = np.random.default_rng(seed)
    low = float(random.normal() * 10.0 ** random.integers(-6, 7))
    high = low + float(10 ** random.uniform(-3, 6))
    ticks = nice_ticks(low, high, 6)
    assert 1 <= len(ticks) <= 8
    assert all(low - 1e-6 * (high - low) <= tick <= high + 1e-6 * (high - low) for tick in ticks)


def test_numbers_have_the_places_that_their_step_needs():
    assert tick_text(2.9, 0.1) == "2.9"
    assert tick_text(-40, 10) == "−40"
    assert tick_text(0.0, 0.05) == "0.00"
    assert tick_text(2e6, 1e5) == "2e+06"


def test_a_single_peak_survives_decimation():
    y = np.zeros(100_000)
    y[54_321] = 7.0
    x = np.arange(100_000, dtype=np.float64)
    fewer_x, fewer_y = decimated(x, y, 200)
    assert len(fewer_x) <= 1000
    assert fewer_y.max() == 7.0
    assert fewer_x[fewer_y.argmax()] == 54_321
    assert np.all(np.diff(fewer_x) > 0)


def test_what_goes_back_and_forth_is_not_decimated():
    x = np.concatenate([np.arange(3000.0), np.arange(3000.0)])
    assert len(decimated(x, x, 10)[0]) == 6000


def test_a_range_is_never_empty():
    assert finite_range([np.full(3, 5.0)]) == pytest.approx((4.75, 5.25))
    assert finite_range([np.array([np.nan, 1.0, 3.0])]) == (1.0, 3.0)
    assert np.isnan(finite_range([np.zeros(0)])[0])


def drawn(qtbot, plot, empty=""):
    view = PlotView()
    qtbot.addWidget(view)
    view.resize(300, 160)
    view.set_plot(plot, empty)
    view.show()
    return view, view.grab().toImage()


def count(image: QImage, colour: str) -> int:
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4).astype(int)
    wanted = QColor(colour)
    gap = np.abs(pixels[..., :3] - [wanted.blue(), wanted.green(), wanted.red()]).sum(axis=2)
    return int(np.count_nonzero(gap < 40))


def test_curves_points_and_marks_are_seen(qtbot):
    x = np.linspace(0.0, 6.0, 50)
    line = Curve(label="fit", x=x, y=np.sin(x))
    points = Curve(label="measured", x=x[::5], y=np.sin(x[::5]), is_points=True)
    plot = Plot(title="Series", x_label="amplitude, %", y_label="mV", curves=(line, points), marks={"90°": 1.57})
    view, image = drawn(qtbot, plot)
    assert count(image, theme.ACCENT) > 100
    assert count(image, "#7aa2ff") > 60
    assert count(image, theme.TEXT) > 20  # the mark
    assert "90° 1.57" in view.accessibleName()
    assert "Series: mV over amplitude, %" in view.accessibleName()


@pytest.mark.parametrize(
    "curves",
    [
        (),
        (Curve(label="", x=np.zeros(0), y=np.zeros(0)),),
        (Curve(label="", x=np.full(4, np.nan), y=np.full(4, np.nan)),),
    ],
)
def test_nothing_to_show_says_so(qtbot, curves):
    _, empty = drawn(qtbot, Plot(title="", x_label="x", y_label="y", curves=curves), "measuring …")
    assert count(empty, theme.ACCENT) == 0
    assert count(empty, theme.MUTED) > 10


@pytest.mark.parametrize("n", [1, 2])
def test_one_point_and_infinite_points_do_not_stop_the_picture(qtbot, n):
    y = np.array([*[np.inf, 1.0, np.nan][:n], 2.0])
    curve = Curve(label="", x=np.arange(len(y), dtype=np.float64), y=y)
    _, image = drawn(qtbot, Plot(title="", x_label="x", y_label="y", curves=(curve,)))
    assert count(image, theme.ACCENT) > 3
