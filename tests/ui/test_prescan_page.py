# SPDX-License-Identifier: MIT
"""The Prescan place: verdicts by shape, word and colour, what can be done, and the values in use."""

import time

import numpy as np
import pytest
from PySide6.QtCore import Qt

from isocenter.app.prescan_status import (
    Curve,
    Plot,
    PrescanStatus,
    StepResult,
    StepState,
    StepStatus,
    ValueInUse,
    Verdict,
)
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.ui.viewmodels.calibration_text import age_text, value_line
from isocenter.ui.views.prescan import FrequencyOnlySheet, SkipSheet

PLOT = Plot(
    title="Series",
    x_label="amplitude, %",
    y_label="mV",
    curves=(Curve(label="measured", x=np.arange(9.0), y=np.sin(np.arange(9.0)), is_points=True),),
)
TITLES = (
    "Noise",
    "Tune and match",
    "Coarse frequency",
    "Fine frequency",
    "Receive gain",
    "Transmit power",
    "Linear shim",
    "Final frequency",
)


def step(title, state=StepState.ENDED, verdict=None, **changes):
    result = {"text": "", "remedy": "", "plots": ()} | {
        key: changes.pop(key) for key in ("text", "remedy", "plots") if key in changes
    }
    name = title.lower().replace(" ", "_")
    return StepStatus(state=state, result=StepResult(step=name, title=title, verdict=verdict, **result), **changes)


def value(quantity, *numbers, sd=(), age_s=0.0, **changes):
    return CalibrationValue(
        quantity=quantity, value=numbers, sd=sd, measured_at_s=time.time() - age_s, holds_s=900.0, **changes
    )


MIXED = PrescanStatus(
    steps=(
        step("Noise", verdict=Verdict.WARN, text="1.4 × thermal; one line at +3.1 kHz.", remedy="Unplug the charger."),
        step("Tune and match", verdict=Verdict.SKIPPED, text="There is no tuner."),
        step("Fine frequency", verdict=Verdict.PASS, text="2.001 696 MHz ± 3 Hz", plots=(PLOT, PLOT)),
        step("Transmit power", verdict=Verdict.FAIL, text="The series is flat.", remedy="Switch the amplifier on."),
        step("Linear shim", StepState.WAITING),
    ),
    started_at="2026-11-22T09:31:07+00:00",
    ended_at="2026-11-22T09:32:19+00:00",
)


@pytest.fixture
def prescan(program, qtbot):
    """Shows given values on the Prescan place, with somebody on the table."""
    program.exam.register_phantom()
    qtbot.wait(100)
    program.commands.go_to(program.prescan)
    model = program.commands.prescan

    def show(status):
        model.status = status
        model.changed.emit()
        return program.prescan.views

    show.model = model
    return show


def test_every_verdict_has_a_shape_a_word_and_a_colour(prescan):
    views = prescan(MIXED)
    shown = [(view.verdict.text(), view.verdict.property("health")) for view in views[:5]]
    assert shown == [
        ("▲ look at it", "warning"),
        ("– not needed", "unknown"),
        ("✓ pass", "good"),
        ("✕ fail", "bad"),
        ("○ waiting", "unknown"),
    ]
    assert views[0].remedy.text() == "What to do: Unplug the charger."
    assert views[3].text.text() == "The series is flat."


def test_running_stopped_and_left_out_are_told_apart(prescan):
    views = prescan(
        PrescanStatus(
            steps=(
                step("Noise", StepState.RUNNING),
                step("Fine frequency", StepState.STOPPED),
                step("Transmit power", verdict=Verdict.FAIL, skipped_by="A. Person", skip_reason="dry phantom"),
            ),
            is_running=True,
        )
    )
    assert [view.verdict.text() for view in views[:3]] == ["… running", "■ stopped", "▲ left out"]
    assert "Left out by A. Person: dry phantom" in views[2].text.text()
    assert not views[2].skip.isVisible()


def test_retry_and_leaving_out_are_offered_where_they_make_sense(prescan):
    views = prescan(MIXED)
    assert [view.retry.isVisible() for view in views[:5]] == [True, True, True, True, False]
    assert [view.skip.isVisible() for view in views[:5]] == [False, False, False, True, False]
    assert views[2].more.isVisible()
    assert views[2].more.text() == "Plot 1 of 2 ▸"
    views[2].more.click()
    assert views[2].more.text() == "Plot 2 of 2 ▸"
    assert views[2].plot.plot is PLOT


def test_the_headline_says_where_it_stands(prescan):
    model = prescan.model
    prescan(MIXED)
    assert "1:12 min" in model.headline
    assert "09:31:07" in model.headline
    assert model.outcome == ("bad", "Not good enough: Transmit power. Values found earlier stay in use.")
    prescan(PrescanStatus(steps=(step("Noise", StepState.RUNNING), step("Shim", StepState.WAITING)), is_running=True))
    assert model.outcome == ("running", "1 of 2: Noise")
    prescan(PrescanStatus(steps=(step("Noise", verdict=Verdict.WARN),)))
    assert model.outcome[0] == "warning"
    prescan(PrescanStatus(steps=(step("Noise", verdict=Verdict.PASS),)))
    assert model.outcome == ("good", "Ready to scan.")
    prescan(PrescanStatus(steps=(step("Noise", StepState.STOPPED),), problem="Stopped.", remedy="Press Run prescan."))
    assert model.outcome == ("warning", "Stopped. What to do: Press Run prescan.")
    assert model.short == ("warning", "■ stopped")


def test_nobody_on_the_table_says_so(program):
    assert program.commands.prescan.why_not_run() == "Register a patient or a phantom first."
    assert not program.actions["prescan.run"].isEnabled()


def test_leaving_out_asks_for_reason_and_name(program, prescan, qtbot):
    views = prescan(MIXED)
    views[3].skip.click()
    sheet = program.shell.sheet
    assert isinstance(sheet, SkipSheet)
    assert not sheet.accept.isEnabled()
    qtbot.keyClicks(sheet.reason, "dry phantom")
    assert not sheet.accept.isEnabled()
    qtbot.keyClicks(sheet.person, "A. Person")
    assert sheet.accept.isEnabled()
    sheet.accept.click()  # the real job has no such failure: it is refused in words, and the sheet stays
    qtbot.waitUntil(lambda: bool(program.shell.messages.texts))
    assert program.shell.sheet is sheet
    sheet.dismiss()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (value(Quantity.LARMOR, 2.001696e6, sd=(3.2,)), "2.001 696 MHz ± 3.2 Hz"),
        (value(Quantity.LARMOR, 2.001696e6), "2.001 696 MHz spread not known"),
        (value(Quantity.RF_SCALE, 0.972, sd=(0.004,)), "97.2 % of nominal ± 0.4 %"),
        (value(Quantity.SHIM, -12e-6, 9e-6, 0.0, sd=(1e-6,) * 3), "x −12, y 9, z 0 µT/m"),
        (value(Quantity.RECEIVE_GAIN, 20.0, sd=(0.0,)), "20 dB"),
        (value(Quantity.TUNING, 4, 17, 9), "series 4, tune 17, match 9"),
        (value(Quantity.NOISE, 1.24e-6, sd=(1e-9,)), "1.24 µV"),
        (value(Quantity.GRADIENT_DELAY, 1e-6, 2e-6, float("nan")), "x 1, y 2, z unknown µs"),
    ],
)
def test_values_are_told_with_unit_and_spread(given, text):
    assert value_line(ValueInUse(value=given), time.time()).text == text


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (2, "just now"),
        (42, "42 s ago"),
        (240, "4 min ago"),
        (7300, "2 h ago"),
        (400_000, "5 days ago"),
        (float("nan"), "never"),
    ],
)
def test_ages_in_words(age_s, text):
    assert age_text(age_s) == text


def test_a_value_that_does_not_hold_is_marked_with_why(prescan, program):
    used = (
        ValueInUse(value=value(Quantity.LARMOR, 2e6, sd=(3.0,), age_s=300)),
        ValueInUse(value=value(Quantity.SHIM, 0, 0, 0, age_s=3000), why_not="measured with somebody else"),
    )
    prescan(PrescanStatus(values=used))
    cells = program.prescan._cells
    assert cells[0].accessibleName() == "Frequency: 2.000 000 MHz ± 3 Hz, 5 min ago"
    assert cells[1].accessibleName().endswith("50 min ago · measured with somebody else")
    assert cells[1]._head.property("health") == "warning"


@pytest.mark.parametrize(("width", "columns"), [(1366, 4), (1920, 4)])
def test_eight_steps_fit_into_the_window(program, prescan, qtbot, width, columns):
    long_text = "1.4 × thermal noise, lines at " + ", ".join(f"{n * 0.05:.2f} kHz" for n in range(9))
    program.shell.resize(width, 768)
    prescan(PrescanStatus(steps=tuple(step(title, verdict=Verdict.PASS, text=long_text, plots=(PLOT,)) for title in TITLES)))
    qtbot.wait(60)
    views = program.prescan.views
    assert len({view.x() for view in views}) == columns
    assert all(view.width() > 200 for view in views)
    assert program.shell.width() == width
    assert all(view.plot.height() >= 90 for view in views)


def names(service):
    return [one.name for one in service.prescan.steps]


def test_one_press_measures_takes_into_use_and_shows_it(program, prescan, qtbot):
    service = program.exam.service
    program.commands.prescan.refresh()
    assert program.actions["prescan.run"].isEnabled()
    program.actions["prescan.run"].trigger()
    assert service.status.is_running
    qtbot.waitUntil(lambda: not service.status.is_running, timeout=100_000)
    assert service.prescan.is_done  # measured, or not needed since an earlier value holds
    qtbot.waitUntil(program.prescan.views[0].retry.isVisible)
    frequency = next(view for view, one in zip(program.prescan.views, names(service), strict=False) if "frequency" in one)
    frequency.retry.click()
    qtbot.waitUntil(lambda: service.prescan.current is not None, timeout=30_000)
    qtbot.waitUntil(lambda: not program.actions["prescan.run"].isEnabled())
    qtbot.waitUntil(lambda: not program.exam.status.is_running, timeout=100_000)
    qtbot.waitUntil(lambda: not program.commands.prescan.status.is_running)
    states = {one.name: (one.result.verdict, one.result.text) for one in service.prescan.steps}
    assert service.prescan.is_done, states
    larmor = next(used.value for used in service.prescan.values if used.value.quantity is Quantity.LARMOR)
    assert service._session.calibration.larmor_hz == larmor.value[0]
    assert any(card.plots for card in program.commands.prescan.cards)
    assert program.commands.prescan.outcome[0] in ("good", "warning")


def test_stop_ends_a_prescan_like_a_scan(program, prescan, qtbot):
    service = program.exam.service
    name = service.prescan.steps[-1].name
    service.retry_prescan(name)
    qtbot.waitUntil(lambda: service.prescan.current is not None, timeout=30_000)
    program.exam.stop()
    qtbot.waitUntil(lambda: not service.status.is_running, timeout=30_000)
    assert not service.prescan.is_done
    assert [one.name for one in service.prescan.failed] or service.prescan.problem


def test_the_queue_says_how_the_prescan_stands_and_leads_there_and_back(program, prescan, qtbot):
    from PySide6.QtWidgets import QPushButton

    program.commands.go_to(program.place)
    way = program.place.queue.top.itemAt(0).widget()
    assert isinstance(way, QPushButton)
    for status, text, health in (
        (PrescanStatus(), "○ not run yet", "unknown"),
        (PrescanStatus(steps=(step("Noise", verdict=Verdict.PASS),)), "✓ done", "good"),
        (PrescanStatus(steps=(step("Noise", verdict=Verdict.WARN),)), "▲ done, look at it", "warning"),
        (MIXED, "✕ not good enough", "bad"),
    ):
        prescan(status)
        assert way.text() == f"Prescan   {text}"
        assert way.property("health") == health
    way.click()
    assert program.shell.places.currentWidget() is program.prescan
    assert not program.prescan.go_on.isVisible()
    prescan(PrescanStatus(steps=(step("Noise", verdict=Verdict.PASS),)))
    assert program.prescan.go_on.isVisible()
    program.prescan.go_on.click()
    assert program.shell.places.currentWidget() is program.place


def test_frequency_only_is_one_key_says_so_and_is_for_this_exam(program, prescan, qtbot):
    model, action = prescan.model, program.actions["prescan.frequency"]
    assert action.isEnabled()
    qtbot.keyClick(program.prescan, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: isinstance(program.shell.sheet, FrequencyOnlySheet))
    sheet = program.shell.sheet
    assert not model.status.is_frequency_only, "nobody has said who"
    assert sheet.accept.isEnabled() == bool(sheet.person.text())
    sheet.person.setText("A. Person")
    sheet.accept.click()
    qtbot.waitUntil(lambda: model.status.is_frequency_only)
    assert model.outcome == ("warning", "Start measures the frequency only in this exam, as A. Person asked.")
    assert model.short == ("warning", "▲ frequency only")
    assert not action.isEnabled()
    program.exam.register_phantom()
    qtbot.waitUntil(lambda: not model.status.is_frequency_only)
    assert action.isEnabled()
