# SPDX-License-Identifier: MIT
"""The table of actions: every one has a key and a tooltip of its own, and does something."""

import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QPushButton

from isocenter.ui.views.registration import RegistrationSheet
from isocenter.ui.views.sheets import ChoiceSheet, ExportSheet, KeysSheet, QuestionSheet


def test_ids_and_keys_are_unique_and_everything_is_explained(program):
    table = program.commands.table
    ids = [action.id for action in table]
    keys = [action.shortcut for action in table if action.shortcut]
    assert len(set(ids)) == len(ids)
    assert len(set(keys)) == len(keys)
    for action in table:
        assert re.fullmatch(r"[a-z]+\.[a-z]+", action.id)
        assert action.text
        assert len(action.tooltip) > 5
        assert not QKeySequence(action.shortcut).isEmpty(), action.id


def trigger(program, action_id):
    found = program.actions if action_id in {item.id for item in program.actions.table} else program.window_actions
    assert found[action_id].isEnabled(), action_id
    found[action_id].trigger()


def test_with_nobody_on_the_table_only_registering_is_possible(program):
    enabled = {action.id for action in program.actions.table if action.enabled_when}
    assert enabled == {"scan.stop", "exam.register", "exam.phantom"}
    assert "Register a patient" in program.actions["queue.programme"].toolTip()


def test_sheets_open_from_their_actions_and_lock_the_others(program, qtbot):
    trigger(program, "exam.phantom")
    qtbot.waitUntil(lambda: program.exam.exam is not None)
    for action_id, kind in (
        ("exam.register", RegistrationSheet),
        ("queue.programme", ChoiceSheet),
        ("queue.sequence", ChoiceSheet),
        ("program.keys", KeysSheet),
    ):
        trigger(program, action_id)
        assert isinstance(program.shell.sheet, kind), action_id
        assert program.shell.sheet.isEnabled()
        assert all(button.isEnabled() for button in program.shell.sheet.findChildren(QPushButton))
        assert not program.actions["exam.phantom"].isEnabled()
        assert program.actions["scan.stop"].isEnabled()
        program.shell.sheet.dismiss()
        assert program.actions["exam.phantom"].isEnabled()


def test_queue_actions_move_remove_restore_and_repeat(program, qtbot):
    exam = program.exam
    trigger(program, "exam.phantom")
    trigger(program, "queue.sequence")
    program.shell.sheet.buttons[0].click()
    trigger(program, "queue.sequence")
    program.shell.sheet.buttons[1].click()
    qtbot.waitUntil(lambda: len(exam.items) == 2)
    names = [item.protocol.name for item in exam.items]
    assert exam.selected_id == exam.items[1].item_id

    def order():
        qtbot.wait(60)
        return [item.protocol.name for item in exam.items]

    trigger(program, "queue.up")
    assert order() == names[::-1]
    trigger(program, "queue.down")
    assert order() == names
    trigger(program, "queue.remove")
    assert order() == names[:1]
    trigger(program, "queue.restore")
    assert order() == names
    trigger(program, "queue.repeat")
    assert order() == [*names, names[1]]
    exam.editor.set_text(exam.editor.fields[1].parameter.name, "10")
    trigger(program, "protocol.reset")
    assert not exam.editor.is_changed


def test_picture_and_place_actions(program):
    pane = program.place.viewers.active.model
    trigger(program, "exam.phantom")
    trigger(program, "view.larger")
    assert pane.zoom > 1
    trigger(program, "view.smaller")
    trigger(program, "view.larger")
    trigger(program, "view.reset")
    assert pane.zoom == 1
    trigger(program, "view.next")
    trigger(program, "view.previous")
    trigger(program, "view.single")
    trigger(program, "view.single")
    trigger(program, "program.scanner")
    assert program.shell.places.currentWidget() is program.scanner
    trigger(program, "program.exam")
    assert program.shell.places.currentWidget() is program.place


def test_ending_an_exam_asks_only_while_scans_wait(program, qtbot, quick):
    trigger(program, "exam.phantom")
    qtbot.waitUntil(lambda: program.exam.exam is not None)
    program.exam.add((quick,))
    trigger(program, "exam.end")
    question = program.shell.sheet
    assert isinstance(question, QuestionSheet)
    question.keep.click()
    assert program.exam.service.exam is not None
    program.exam.remove()
    trigger(program, "exam.end")
    assert program.shell.sheet is None
    assert program.exam.service.exam is None


def test_registering_starts_empty_every_time_and_reads_back(program, qtbot):
    trigger(program, "exam.register")
    sheet = program.shell.sheet
    sheet.accept.click()
    assert program.shell.sheet is sheet  # refused: the fields say why
    assert sheet.inputs["patient_id"].property("refused") == "true"
    qtbot.keyClicks(sheet.inputs["patient_id"], "17")
    qtbot.keyClicks(sheet.inputs["family_name"], "Sample")
    qtbot.keyClick(sheet.inputs["family_name"], Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: program.exam.exam is not None)
    assert program.shell.sheet is None
    assert program.shell.banner.name.text() == "SAMPLE"
    assert "ID 17" in program.shell.banner.detail.text()
    trigger(program, "exam.register")
    assert all(line.text() == "" for line in program.shell.sheet.inputs.values())
    program.shell.sheet.dismiss()


def test_every_action_is_in_the_list_of_keys(program):
    from PySide6.QtWidgets import QLabel

    trigger(program, "program.keys")
    texts = {label.text() for label in program.shell.sheet.findChildren(QLabel)}
    assert {action.text for action in program.commands.table} <= texts
    assert {action.shortcut for action in program.commands.table} <= texts
    program.shell.sheet.dismiss()


def test_the_keyboard_is_where_the_next_step_is(program, qtbot):
    for _ in range(2):
        qtbot.keyClick(program.shell, Qt.Key.Key_F10)
        qtbot.waitUntil(lambda: program.exam.exam is not None)
        assert program.place.queue.first_button.hasFocus()
        trigger(program, "exam.end")
        qtbot.waitUntil(lambda: program.exam.exam is None)
        assert program.place._register.hasFocus()


def test_a_long_sheet_is_paged_through_with_keys(program, qtbot):
    trigger(program, "program.keys")
    sheet = program.shell.sheet
    bar = sheet._scroll.verticalScrollBar()
    assert bar.maximum() > 0
    qtbot.keyClick(sheet.close_button, Qt.Key.Key_PageDown)
    assert bar.value() > 0
    qtbot.keyClick(sheet.close_button, Qt.Key.Key_PageUp)
    assert bar.value() == 0
    sheet.dismiss()


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_nothing_is_cut_off_at(program, qtbot, size, quick):
    trigger(program, "exam.phantom")
    program.exam.add((quick,))
    program.shell.resize(*size)
    qtbot.wait(50)
    assert program.shell.size().width() == size[0]
    assert program.shell.size().height() == size[1]
    assert program.shell.minimumSizeHint().width() <= 1366
    assert program.shell.minimumSizeHint().height() <= 768
    for button in program.shell.findChildren(QPushButton):
        if button.isVisible():
            needed = button.fontMetrics().horizontalAdvance(button.text())
            assert needed <= button.width() - 6, button.text()


def test_export_sheet_wants_a_folder_and_a_scan(qtbot, program):
    from pathlib import Path

    taken = []
    sheet = ExportSheet(program.shell.area, (), "SAMPLE", lambda ids, folder: taken.append((ids, folder)))
    assert not sheet.accept.isEnabled()
    sheet.folder.setText(str(Path("somewhere")))
    assert not sheet.accept.isEnabled()
    sheet.dismiss()
    assert taken == []
