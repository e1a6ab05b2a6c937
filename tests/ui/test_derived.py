# SPDX-License-Identifier: MIT
"""A scan whose pipeline gives a second series: told apart, side by side, and how it was made."""

import sys
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from isocenter.app.service import ItemState
from isocenter.app.virtual_service import VirtualService
from isocenter.config.paths import shipped_dir
from isocenter.domain.scan import Protocol
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell
from isocenter.ui.views.sheets import ExplainSheet

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the user's folder is set by XDG_CONFIG_HOME, which only Linux knows"
)
PIPELINE = """
TITLE = "GRE, denoised"
PIPELINE = (
    *("receive", "interference", "drift", "whiten", "average", "sort", "partial_fourier", "filter", "oversampling"),
    *("zero_fill", "transform", "combine", "denoise", "output"),
)
"""
NAME = "T1 GRE axial with a name that is a good deal longer than any pane is wide"
WARD = """
summary = "A block, a sensor, and a tone that both hear."
scanner = "osii-one"
phantom = "block"
n_spins = 2000
n_sensors = 1
[magnet]
frequency_offset_hz = 900.0
spread_hz = 300.0
[receiver]
noise = 0.5
[[interference]]
kind = "tone"
level = 1e-3
frequency_hz = 4300.0
"""


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualService]:
    """A virtual scanner whose interference a sensor hears too, and a sequence of the user's that denoises."""
    home = tmp_path_factory.mktemp("config")
    own = home / "isocenter"
    for kind, file, text in (
        ("scenarios", "tone.toml", WARD),
        ("sequences", "gre_denoised.py", (shipped_dir("sequences") / "gre_3d.py").read_text(encoding="utf-8") + PIPELINE),
    ):
        (own / kind).mkdir(parents=True)
        (own / kind / file).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home))
        made = VirtualService("osii-one", "tone", tmp_path_factory.mktemp("exams"), is_prescan_at_start=False)
        try:
            yield made
        finally:
            made.close()


def make_window(service: VirtualService) -> Program:
    shell = Shell()
    shell.resize(1366, 768)
    shell.show()
    return Program(shell, service)


@pytest.fixture
def scanned(qtbot, ward: VirtualService) -> Iterator[Program]:
    """The window with such a scan done."""
    made = make_window(ward)
    try:
        exam = made.exam
        exam.register_phantom()
        exam.add((Protocol(name=NAME, sequence="gre_denoised", parameters={"n_read": 32, "n_phase": 24, "n_slab": 4}),))
        qtbot.waitUntil(lambda: exam.items[0].check is not None)
        assert exam.items[0].check.is_playable, exam.items[0].check.problem
        exam.start()
        ended = (ItemState.DONE, ItemState.FAILED, ItemState.STOPPED)
        qtbot.waitUntil(lambda: exam.items[0].state in ended and not exam.status.is_running)
        assert exam.items[0].state is ItemState.DONE, exam.items[0].note
        yield made
    finally:
        ward.stop()
        ward.end_exam()
        made.detach()
        made.shell.may_close = True
        made.shell.close()
        made.shell.deleteLater()


def test_original_and_derived_are_told_apart_compared_and_explained(scanned, qtbot):
    viewers, shell = scanned.place.viewers, scanned.shell
    main, derived = viewers.main.model, viewers.derived.model
    assert [volume.label for volume in main.volumes] == ["", "denoised"]
    assert main.title_text() == f"{NAME} · original"
    main.scroll(3)  # past the last slice of the original
    assert main.title_text() == f"{NAME} · denoised"
    metrics = viewers.main.fontMetrics()
    width = viewers.main.width() - 24
    cut = main.title().fitted(width, metrics.horizontalAdvance)
    assert cut.endswith("… · denoised")
    assert metrics.horizontalAdvance(cut) <= width

    qtbot.keyClick(shell, Qt.Key.Key_F9)
    assert [pane for pane in viewers.panes if pane.isVisible()] == [viewers.main, viewers.derived]
    assert viewers.main.width() == pytest.approx(viewers.derived.width(), abs=8)
    assert [main.title().label, derived.title().label] == ["original", "denoised"]
    assert main.position == derived.position == 1  # the slice that was seen
    derived.scroll(2)
    derived.zoom_by(1.5)
    derived.drag_window(0.1, 0.1)
    assert (main.position, main.zoom, main.window) == (3, 1.5, derived.window)
    assert main.frame().std() != derived.frame().std()

    qtbot.keyClick(shell, Qt.Key.Key_I, Qt.KeyboardModifier.ControlModifier)
    assert isinstance(shell.sheet, ExplainSheet)
    texts = [label.text() for label in shell.sheet.findChildren(QLabel)]
    assert texts.index("Before and after") < texts.index("interference") < texts.index("All steps in order")
    assert any(text.startswith("rms at the edge of k-space: ") and " before, " in text for text in texts)
    shell.sheet.dismiss()

    qtbot.keyClick(shell, Qt.Key.Key_F9)
    assert [pane for pane in viewers.panes if pane.isVisible()] == [*viewers.planes.values(), viewers.main]
    assert len(main.volumes) == 2
    qtbot.keyClick(shell, Qt.Key.Key_F9)
    qtbot.keyClick(shell, Qt.Key.Key_F11)
    assert [pane for pane in viewers.panes if pane.isVisible()] == [viewers.main]
    scanned.exam.end_exam()
    qtbot.waitUntil(lambda: main.series is None)
    assert derived.series is None
    assert not viewers.is_comparing


def test_nothing_to_compare_nor_to_explain_says_why(program):
    actions = program.window_actions
    assert not actions["view.compare"].isEnabled()
    assert "no derived series" in actions["view.compare"].toolTip()
    assert not actions["view.explain"].isEnabled()
    assert "no picture yet" in actions["view.explain"].toolTip()
    program.place.viewers.toggle_compare()
    assert not program.place.viewers.is_comparing
