# SPDX-License-Identifier: MIT
"""Opening, what goes wrong while opening, what nobody expected, and closing."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from isocenter.domain.errors import ConfigError
from isocenter.ui import main as window
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell


class Unclosed:
    """The shared service, protected from being closed by a window."""

    def __init__(self, service):
        self._service, self.closed_in = service, None

    def __getattr__(self, name):
        return getattr(self._service, name)

    def close(self):
        self.closed_in = threading.current_thread().name


def shell_of(app) -> Shell | None:
    return next((widget for widget in app.topLevelWidgets() if isinstance(widget, Shell) and widget.isVisible()), None)


def when(is_so, act):
    """Poll from the event loop until something is so, then act once."""
    timer = QTimer()
    timer.setInterval(10)

    def look():
        if is_so():
            timer.stop()
            act()

    timer.timeout.connect(look)
    timer.start()
    return timer


def test_window_opens_drives_the_service_and_closes_it_outside_its_thread(qapp, service):
    kept, made_in, seen = Unclosed(service), [], []

    def factory():
        made_in.append(threading.current_thread().name)
        return kept

    def act():
        shell = shell_of(qapp)
        seen.append((shell.banner.name.text(), shell.banner.virtual.isVisible()))
        shell.close()

    timer = when(lambda: shell_of(qapp) is not None and shell_of(qapp).places.count() > 1, act)
    assert window.main([], factory) == 0
    assert timer.isActive() is False
    assert made_in == ["opening"]
    assert kept.closed_in == "closing"
    assert seen == [("Nobody on the table", True)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConfigError("There is no hardware file 'x'.", "Use osii-one."),
            ("There is no hardware file 'x'.", "Use osii-one."),
        ),
        (RuntimeError("boom"), ("could not be opened: boom", "isocenter doctor")),
    ],
)
def test_a_scanner_that_cannot_be_opened_is_told_and_the_window_stays_until_closed(qapp, error, words):
    def factory():
        raise error

    texts = []

    def act():
        texts.extend(shell_of(qapp).messages.texts)
        shell_of(qapp).close()

    timer = when(lambda: shell_of(qapp) is not None and bool(shell_of(qapp).messages.texts), act)
    assert window.main([], factory) == 0
    assert timer.isActive() is False
    for part in words:
        assert part in texts[0]


def test_an_unexpected_error_is_logged_and_shown_and_the_program_lives_on(qapp, qtbot, tmp_path):
    shell = Shell()
    qtbot.addWidget(shell)
    shell.may_close = True
    restore = window.ErrorCatcher(shell, str(tmp_path / "log")).install()
    try:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        qtbot.waitUntil(lambda: bool(shell.messages.texts))
        sys.excepthook(ValueError, ValueError("odd"), None)
        qtbot.waitUntil(lambda: len(shell.messages.texts) == 2)
    finally:
        restore()
    assert "ZeroDivisionError" in shell.messages.texts[1]
    assert "ValueError: odd" in shell.messages.texts[0]
    assert "press Stop" in shell.messages.texts[0]
    assert str(tmp_path / "log") in shell.messages.texts[0]


def test_messages_stay_until_put_away_and_are_not_repeated(program):
    messages = program.shell.messages
    for number in range(5):
        messages.show_message("bad", f"Problem {number}.", "Do this.")
    messages.show_message("bad", "Problem 4.", "Do this.")
    assert len(messages.texts) == 3
    assert messages.texts[0].startswith("Problem 4.")
    messages.dismiss()
    assert messages.texts[0].startswith("Problem 3.")
    messages.clear()
    assert messages.texts == ()
    assert not messages.isVisible()


def test_closing_with_waiting_scans_asks(program, quick):
    program.exam.register_phantom()
    program.exam.add((quick,))
    program.shell.close()
    assert program.shell.isVisible()
    assert "1 scans of PHANTOM" in program.shell.sheet.findChildren(type(program.shell.banner.virtual))[1].text()
    program.shell.sheet.keep.click()
    assert program.shell.isVisible()


def test_shell_shows_before_anything_heavy_is_imported():
    """What the shell imports is what a person waits for: no numpy, no plotting, no scanner."""
    code = (
        "import sys, isocenter.ui.main; "
        "heavy = {'numpy', 'scipy', 'pyqtgraph', 'pypulseq', 'h5py', 'pydantic', 'numba', 'isocenter.app'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr


def test_first_paint_is_reported(tmp_path):
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", window.BENCH: "1", "ISOCENTER_LOG": str(tmp_path)}
    command = Path(sys.executable).with_name("isocenter")
    text = subprocess.run([command], capture_output=True, text=True, timeout=300, env=environment, check=True).stdout
    assert re.fullmatch(r"first paint after \d+ ms\n", text)


def test_program_is_made_of_the_window_it_is_given(program, qapp):
    assert isinstance(program, Program)
    assert QApplication.instance() is qapp
    assert program.shell.places.currentWidget() is program.place
