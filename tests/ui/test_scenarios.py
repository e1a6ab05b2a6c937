# SPDX-License-Identifier: MIT
"""Choosing what the virtual scanner plays: on a real virtual scanner in a process of its own, through the window."""

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from isocenter.app.service import ItemState
from isocenter.app.virtual_service import VirtualService
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ScanAborted, WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient
from isocenter.domain.scan import Protocol
from isocenter.ui.program import Program
from isocenter.ui.views.scenarios import ScenarioCard, ScenarioSheet

SMALL = 'summary = "A small block."\nscanner = "osii-one"\nlook_for = "Straight edges."\nphantom = "block"\nn_spins = 2000\n'
KNEE = 'summary = "A small knee."\nscanner = "physio-72mT"\nphantom = "knee"\nn_spins = 2000\n'
CABLE = f"{SMALL}[coil]\nis_disconnected = true\n"
WRONG = 'summary = "x"\n[coil]\nis_disconected = true\n'
START_MS = 90_000

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the user's folder is set by XDG_CONFIG_HOME, which only Linux knows"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own scenarios."""
    home = tmp_path_factory.mktemp("config")
    own = home / "isocenter" / "scenarios"
    own.mkdir(parents=True)
    for name, text in (("small-block", SMALL), ("small-cable", CABLE), ("small-knee", KNEE), ("wrong-ward", WRONG)):
        (own / f"{name}.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home))
        yield own


@pytest.fixture(scope="module")
def virtual(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualService]:
    made = VirtualService("osii-one", "small-block", tmp_path_factory.mktemp("exams"), is_prescan_at_start=False)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def trainer(qtbot, new_window, virtual: VirtualService) -> Iterator[Program]:
    """The window on that scanner, with the block in it and nobody on the table."""
    if virtual.status.scenario != "small-block" or virtual.status.is_exercise:
        virtual.choose_scenario("small-block").result(90)
    if virtual.control.is_stopped:  # by the test before, or because a busy machine kept its window from reacting
        virtual.make_ready("Test").result(20)
    shell = new_window()
    made = Program(shell, virtual)
    yield made
    virtual.stop()
    qtbot.waitUntil(lambda: not virtual.status.is_running and not virtual.status.is_restarting, timeout=START_MS)
    virtual.end_exam()
    made.detach()
    shell.may_close = True
    shell.close()
    shell.deleteLater()


def open_sheet(trainer: Program, qtbot) -> ScenarioSheet:
    trainer.shell.activateWindow()  # a window before may have taken the focus with it
    qtbot.waitUntil(trainer.shell.isActiveWindow)
    qtbot.keyClick(trainer.shell, Qt.Key.Key_F7)
    sheet = trainer.shell.sheet
    assert isinstance(sheet, ScenarioSheet)
    qtbot.waitUntil(lambda: sheet.list.count() > 20)
    return sheet


def started(trainer: Program, qtbot, scenario: str) -> None:
    qtbot.waitUntil(lambda: trainer.exam.status.scenario == scenario, timeout=START_MS)
    qtbot.waitUntil(lambda: not trainer.exam.status.is_restarting, timeout=START_MS)


def scan(trainer: Program, qtbot, protocol: Protocol) -> None:
    trainer.exam.add((protocol,))
    qtbot.waitUntil(lambda: not trainer.exam.why_not_start() and trainer.exam.items[0].check is not None, timeout=20_000)
    start_and_wait(trainer, qtbot)
    cause = trainer.exam.service.control.cause
    if cause is not None and cause.name == "window_stalled":  # a busy machine kept the window from reacting: once more
        trainer.exam.service.make_ready("Test").result(20)
        qtbot.waitUntil(lambda: not trainer.exam.why_not_start())
        start_and_wait(trainer, qtbot)
    assert trainer.exam.items[0].state is ItemState.DONE, trainer.exam.items[0].note
    qtbot.waitUntil(lambda: trainer.exam.images.newest is not None)


def start_and_wait(trainer: Program, qtbot) -> None:
    trainer.exam.start()
    ended = (ItemState.DONE, ItemState.FAILED, ItemState.STOPPED)
    qtbot.waitUntil(lambda: trainer.exam.status.is_running or trainer.exam.items[0].state in ended)
    qtbot.waitUntil(lambda: not trainer.exam.status.is_running and trainer.exam.items[0].state in ended, timeout=60_000)


def seen(trainer: Program) -> str:
    """Every text that can be read in the window now."""
    labels = [label.text() for label in trainer.shell.findChildren(QLabel) if label.isVisible()]
    buttons = [button.text() for button in trainer.shell.findChildren(QPushButton) if button.isVisible()]
    sheet = trainer.shell.sheet
    marked = []
    if isinstance(sheet, ScenarioSheet):
        lines = [sheet.list.item(row) for row in range(sheet.list.count())]
        marked = [line.text() for line in lines if line.text() != line.toolTip()]
        current = sheet.list.currentItem()
        marked.append(current.text() if current else "")
    return "\n".join([*labels, *buttons, *marked, trainer.shell.banner.virtual.toolTip()])


def test_the_frame_says_at_all_times_that_it_is_virtual_and_what_is_played(trainer, qtbot):
    badge = trainer.shell.banner.virtual
    for place in (trainer.place, trainer.scanner):
        trainer.commands.go_to(place)
        assert badge.isVisible()
        assert badge.text().splitlines() == ["◇ VIRTUAL SCANNER", "small-block"]
    trainer.exam.register_phantom()
    qtbot.waitUntil(lambda: trainer.exam.exam is not None)
    assert "small-block" in badge.text()
    assert all(card.isVisibleTo(card.parentWidget()) for card in trainer.shell.findChildren(ScenarioCard))


def test_choose_with_keys_alone_then_scan_on_the_new_scanner(trainer, qtbot, quick):
    sheet = open_sheet(trainer, qtbot)
    assert sheet.list.hasFocus()
    assert sheet.list.currentItem().text() == "● small-block (now)"
    assert "A small block." in seen(trainer)
    qtbot.keyClicks(sheet.list, "small-k")
    assert trainer.scenarios.selected_name == "small-knee"
    assert load_scanner("physio-72mT").title in sheet.detail.magnet.text()
    qtbot.keyClick(sheet.list, Qt.Key.Key_Return)
    assert trainer.shell.sheet is None
    started(trainer, qtbot, "small-knee")
    assert trainer.shell.banner.virtual.text().endswith("small-knee")
    assert trainer.shell.banner.detail.text() == load_scanner("physio-72mT").title
    assert any("now plays small-knee" in text for text in trainer.shell.messages.texts)
    trainer.commands.go_to(trainer.scanner)
    assert load_scanner("physio-72mT").title in seen(trainer)
    trainer.commands.go_to(trainer.place)
    part = trainer.exam.service.scanner.body_parts[0]
    person = Patient(patient_id="17", family_name="Sample")
    assert trainer.exam.register(person, PatientPosition.FFS, part, "L" if part == "KNEE" else "")
    scan(trainer, qtbot, quick)
    assert trainer.place.viewers.main.model.frame().max() > 200
    image = pydicom.dcmread(next(trainer.exam.items[0].folder.rglob("*.dcm")))
    assert image.SeriesDescription == "Quick localizer (simulated)"  # a person's name stands on it
    assert "Simulated on a virtual scanner: this shows nobody." in image.ImageComments


def test_what_is_wrong_is_hidden_until_asked_for_and_again_for_the_next(trainer, qtbot):
    sheet = open_sheet(trainer, qtbot)
    trainer.scenarios.select("small-cable")
    assert "cable" not in sheet.detail.wrong.text()
    assert not sheet.detail.wrong.isVisible()
    sheet.detail.wrong_button.click()
    assert sheet.detail.wrong.isVisible()
    assert "The cable of the receive coil is broken." in sheet.detail.wrong.text()
    assert "Straight edges." in sheet.detail.wrong.text()
    trainer.scenarios.select("small-block")
    assert not sheet.detail.wrong.isVisible()
    sheet.dismiss()


def test_a_file_with_an_error_is_listed_with_it_and_cannot_be_chosen(trainer, qtbot, folder):
    sheet = open_sheet(trainer, qtbot)
    lines = [sheet.list.item(row).text() for row in range(sheet.list.count())]
    assert "✕ wrong-ward (error)" in lines
    assert lines.index("Your own") < lines.index("✕ wrong-ward (error)") < lines.index("With the program")
    trainer.scenarios.select("wrong-ward")
    text = sheet.detail.error.text()
    assert sheet.detail.error.isVisible()
    for part in (str(folder / "wrong-ward.toml"), "line 3", "is_disconected", "What to do", "is_disconnected"):
        assert part in text
    assert not sheet.accept.isEnabled()
    assert "has an error" in sheet.reason.text()
    qtbot.keyClick(sheet.list, Qt.Key.Key_Return)
    assert trainer.shell.sheet is sheet
    assert trainer.exam.status.scenario == "small-block"
    assert not trainer.exam.status.is_restarting
    sheet.dismiss()


def test_refused_with_somebody_on_the_table_and_says_why(trainer, qtbot, virtual):
    trainer.exam.register(Patient(patient_id="1", family_name="Sample"), PatientPosition.HFS, "HEAD")
    qtbot.waitUntil(lambda: trainer.exam.exam is not None)
    sheet = open_sheet(trainer, qtbot)
    trainer.scenarios.select("small-cable")
    assert not sheet.accept.isEnabled()
    assert not sheet.draw.isEnabled()
    assert "SAMPLE is on the table. End the exam (F12)" in sheet.reason.text()
    with pytest.raises(WrongState, match=r"(?s)SAMPLE is on the table.*End the exam first"):
        virtual.choose_scenario("small-cable")
    sheet.dismiss()


def test_refused_while_scanning_and_stop_works_over_the_sheet(trainer, qtbot, virtual, long):
    trainer.exam.register_phantom()
    trainer.exam.add((long,))
    trainer.exam.start()
    qtbot.waitUntil(lambda: trainer.exam.status.is_running)
    sheet = open_sheet(trainer, qtbot)
    trainer.scenarios.select("small-cable")
    assert not sheet.accept.isEnabled()
    assert "A scan is running" in sheet.reason.text()
    with pytest.raises(WrongState, match=r"(?s)A scan is running.*press Stop"):
        virtual.choose_scenario("small-cable")
    trainer.shell.activateWindow()
    qtbot.waitUntil(trainer.shell.isActiveWindow)
    qtbot.keyClick(sheet.list, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not trainer.exam.status.is_running, timeout=30_000)
    assert trainer.shell.sheet is sheet
    assert virtual.status.scenario == "small-block"
    sheet.dismiss()


def test_an_exercise_hides_what_it_is_until_the_answer_is_asked_for(trainer, qtbot, monkeypatch):
    candidates = []

    def drawn_from(drawn):
        candidates.extend(entry.name for entry in drawn)
        return next(entry for entry in drawn if entry.name == "small-cable")

    monkeypatch.setattr("isocenter.ui.viewmodels.scenarios.secrets.choice", drawn_from)
    sheet = open_sheet(trainer, qtbot)
    sheet.draw.click()
    started(trainer, qtbot, "small-cable")
    assert {"broken-cable", "noisy-ward", "cold-magnet", "osii-one-brain"} <= set(candidates)
    assert not {"small-block", "wrong-ward", "ideal", "vials", "osii-mini-raw-magnet"} & set(candidates)
    assert trainer.shell.banner.virtual.text() == "◇ VIRTUAL SCANNER\nExercise"
    for place in (trainer.place, trainer.scanner):
        trainer.commands.go_to(place)
        assert "small-cable" not in seen(trainer)
        assert "on purpose" in seen(trainer)
    trainer.exam.register_phantom()
    sheet = open_sheet(trainer, qtbot)
    assert "small-cable" not in seen(trainer)
    assert sheet.reveal.isVisible()
    sheet.reveal.click()
    assert "The cable of the receive coil is broken." in sheet.detail.wrong.text()
    assert sheet.list.currentItem().text() == "● small-cable (now)"
    assert not sheet.reveal.isVisible()
    assert trainer.shell.banner.virtual.text().endswith("small-cable")
    sheet.dismiss()


def test_one_that_does_not_start_is_told_and_the_old_one_goes_on(trainer, qtbot, folder, virtual, quick):
    file = folder / "soon-wrong.toml"
    file.write_text(SMALL)
    try:
        open_sheet(trainer, qtbot)
        trainer.scenarios.select("soon-wrong")
        file.write_text(WRONG)
        trainer.shell.sheet.accept.click()
        qtbot.waitUntil(lambda: any("is_disconected" in text for text in trainer.shell.messages.texts), timeout=START_MS)
        qtbot.waitUntil(lambda: not trainer.exam.status.is_restarting)
    finally:
        file.unlink()
    assert virtual.status.scenario == "small-block"
    assert trainer.exam.why_not_change_exam() == ""
    trainer.exam.register_phantom()
    scan(trainer, qtbot, quick)


def test_nobody_can_be_registered_while_it_starts(trainer, qtbot, virtual):
    future = virtual.choose_scenario("small-cable")
    assert virtual.status.is_restarting
    with pytest.raises(WrongState, match=r"(?s)is being started.*Wait a few seconds"):
        virtual.start_exam(Patient(patient_id="1", family_name="A"), PatientPosition.HFS, "HEAD")
    with pytest.raises(WrongState, match="being started already"):
        virtual.choose_scenario("small-block")
    qtbot.waitUntil(lambda: "being started" in trainer.exam.why_not_change_exam())
    qtbot.waitUntil(lambda: not trainer.actions["exam.phantom"].isEnabled())
    assert "starting" in trainer.shell.banner.virtual.text()
    future.result(90)
    started(trainer, qtbot, "small-cable")
    qtbot.waitUntil(trainer.actions["exam.phantom"].isEnabled)
    assert virtual.exam is None


def test_closing_while_it_starts_leaves_no_process(folder, tmp_path):
    before = {child.pid for child in multiprocessing.active_children()}
    made = VirtualService("osii-one", "small-block", tmp_path)
    future = made.choose_scenario("osii-one-brain")
    made.close()
    with pytest.raises(ScanAborted, match="was not started"):
        future.result(5)
    assert {child.pid for child in multiprocessing.active_children()} == before


def test_where_the_scanner_is_not_ours_there_is_nothing_to_choose(program, qtbot, service):
    assert not program.scenarios.is_available
    assert "scanner.scenario" not in {action.id for action in program.commands.table}
    assert program.shell.findChildren(ScenarioCard) == []
    qtbot.keyClick(program.shell, Qt.Key.Key_F7)
    assert program.shell.sheet is None
    assert program.shell.banner.virtual.text() == "◇ VIRTUAL SCANNER"
    assert service.scenarios().result() == ()
    with pytest.raises(WrongState, match=r"(?s)no scenario 'ideal'.*ISOCENTER_CONSOLE=virtual"):
        service.choose_scenario("ideal")
