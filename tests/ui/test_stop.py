# SPDX-License-Identifier: MIT
"""Stop works from everywhere, at once, without a question; and what it leaves is said."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog

from isocenter.app.service import ItemState


@pytest.fixture
def scanning(program, qtbot, long, quick):
    """A window whose scanner is in the middle of a scan."""
    exam = program.exam
    exam.register_phantom()
    exam.add((long, quick))
    exam.start()
    qtbot.waitUntil(lambda: exam.items[0].state is ItemState.SCANNING and exam.images.newest is not None, timeout=30_000)
    return program


def stopped(program, qtbot):
    qtbot.waitUntil(lambda: not program.exam.status.is_running, timeout=15_000)
    return program.exam.items[0].state is ItemState.STOPPED and program.exam.items[1].state is ItemState.WAITING


def test_button_stops_on_the_way_down(scanning, qtbot):
    qtbot.mousePress(scanning.shell.bar.stop, Qt.MouseButton.LeftButton)
    assert scanning.exam.is_stopping
    assert "Stopping" in scanning.shell.bar.activity.text()
    assert stopped(scanning, qtbot)
    item = scanning.exam.items[0]
    assert "readouts were measured and are kept" in item.note
    series = scanning.exam.images.of(item.item_id)
    assert series.fraction < 1
    assert not series.is_live
    scanning.exam.select(item.item_id)
    assert scanning.place.viewers.main.model.title_text().startswith("INCOMPLETE")


def test_esc_stops_while_text_is_edited_and_keeps_the_text(scanning, qtbot):
    exam = scanning.exam
    exam.select(exam.items[1].item_id)
    field = scanning.place.parameters.rows["tr_s"].input
    field.setFocus()
    qtbot.keyClicks(field, "1")
    text = field.text()
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert field.text() == text
    assert stopped(scanning, qtbot)


def test_esc_stops_while_a_list_is_open(scanning, qtbot):
    exam = scanning.exam
    exam.select(exam.items[1].item_id)
    box = scanning.place.parameters.rows["place.orientation"].input
    assert isinstance(box, QComboBox)
    box.showPopup()
    qtbot.keyClick(QApplication.activePopupWidget() or box.view(), Qt.Key.Key_Escape)
    assert exam.is_stopping
    box.hidePopup()
    assert stopped(scanning, qtbot)


def test_a_sheet_leaves_stop_free_and_esc_stops_without_closing_it(scanning, qtbot):
    program = scanning
    program.commands.choose_programme()
    sheet = program.shell.sheet
    button = program.shell.bar.stop
    assert button.isVisible()
    assert button.isEnabled()
    assert program.shell.childAt(button.mapTo(program.shell, button.rect().center())) is button
    qtbot.keyClick(sheet.buttons[0], Qt.Key.Key_Escape)
    assert program.shell.sheet is sheet
    assert stopped(program, qtbot)
    qtbot.keyClick(sheet.buttons[0], Qt.Key.Key_Escape)  # nothing runs any more: now it closes the sheet
    assert program.shell.sheet is None


def test_esc_stops_while_a_folder_is_chosen(scanning, qtbot):
    program = scanning
    from isocenter.ui.views.sheets import ExportSheet

    sheet = ExportSheet(program.shell.area, program.exam.items[:1], "X", lambda *_: None)
    program.shell.open_sheet(sheet)
    sheet._browse()
    dialog = sheet.findChild(QFileDialog)
    assert not dialog.isModal()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert program.exam.is_stopping
    assert dialog.isVisible()
    dialog.close()
    sheet.dismiss()
    assert stopped(program, qtbot)


def test_closing_the_window_during_a_scan_asks_and_keeping_keeps(scanning, qtbot):
    scanning.shell.close()
    assert scanning.shell.isVisible()
    question = scanning.shell.sheet
    assert question.keep.hasFocus() or not scanning.shell.isActiveWindow()
    question.keep.click()
    assert scanning.exam.service.status.is_running
    scanning.exam.stop()
    assert stopped(scanning, qtbot)


def test_esc_with_nothing_running_is_harmless(program, qtbot):
    qtbot.keyClick(program.shell, Qt.Key.Key_Escape)
    assert not program.exam.is_stopping
    assert program.exam.service.exam is None
