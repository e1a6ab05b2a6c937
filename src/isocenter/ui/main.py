# SPDX-License-Identifier: MIT
"""Opens the window. It appears with an empty frame at once; scanner, sequences and pictures are loaded behind it."""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QEvent, QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QApplication

from isocenter import __version__
from isocenter.domain.errors import ConsoleError
from isocenter.ui.shell import Shell
from isocenter.ui.text import translate
from isocenter.ui.theme import apply_theme

if TYPE_CHECKING:
    from isocenter.app.service import ScannerService
    from isocenter.ui.program import Program

_log = logging.getLogger(__name__)
_IMPORTED_S: Final = time.perf_counter()
_HEARTBEAT_MS: Final = 300
BENCH: Final = "ISOCENTER_BENCH_FIRST_PAINT"
ServiceFactory = Callable[[], "ScannerService"]


class Opener(QObject):
    """Loads what the window drives in a thread of its own, once the window has been painted."""

    painted = Signal()
    opened = Signal(object)  # ScannerService
    failed = Signal(object)  # Exception
    _first_paint = Signal()

    def __init__(self, shell: Shell, factory: ServiceFactory) -> None:
        super().__init__(shell)
        self._shell, self._factory = shell, factory
        self.program: Program | None = None
        self.opened.connect(self._on_opened)
        self.failed.connect(self._on_failed)
        shell.close_wanted.connect(self._on_close_wanted)
        shell.watch_paint(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Wait for the first paint."""
        if event.type() is QEvent.Type.Paint:
            watched.removeEventFilter(self)
            QTimer.singleShot(0, self, self._on_painted)
        return False

    @Slot()
    def _on_painted(self) -> None:
        self.painted.emit()
        if os.environ.get(BENCH):
            sys.stdout.write(f"first paint after {_since_start_s() * 1e3:.0f} ms\n")
            sys.stdout.flush()
            QApplication.quit()
            return
        threading.Thread(target=self._open, name="opening", daemon=True).start()

    def _open(self) -> None:
        try:
            service = self._factory()
            import isocenter.ui.program  # noqa: F401  loaded here, so that the window need not wait for it
        except Exception as error:  # noqa: BLE001  the job boundary: the operator must learn of anything
            self.failed.emit(error)
        else:
            self.opened.emit(service)

    @Slot(object)
    def _on_opened(self, service: "ScannerService") -> None:
        from isocenter.ui.program import Program

        self._shell.close_wanted.disconnect(self._on_close_wanted)
        self.program = Program(self._shell, service)

    @Slot(object)
    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, ConsoleError):
            problem, remedy = error.problem, error.remedy
        else:
            _log.error("The scanner could not be opened", exc_info=error)
            problem = translate("Program", "The scanner could not be opened: {0}.").format(error)
            remedy = translate("Program", "Run `isocenter doctor`; it says what is missing.")
        self._shell.show_waiting(
            translate("Program", "No scanner"), translate("Program", "Close the program, mend it, start again.")
        )
        self._shell.messages.show_message("bad", problem, remedy)

    @Slot()
    def _on_close_wanted(self) -> None:
        """Nothing is driven yet, so nothing has to be made safe."""
        self._shell.may_close = True
        QApplication.quit()


class ErrorCatcher(QObject):
    """Shows what nobody expected, writes it to the log, and lets the program live on."""

    _caught = Signal(str)

    def __init__(self, shell: Shell, log_file: str) -> None:
        super().__init__(shell)
        self._shell, self._log_file = shell, log_file
        self._caught.connect(self._show)

    def install(self) -> Callable[[], None]:
        """Catch from now on; returns a function that ends it."""
        old, old_thread = sys.excepthook, threading.excepthook
        sys.excepthook = self.catch
        threading.excepthook = lambda args: self.catch(args.exc_type, args.exc_value, args.exc_traceback)

        def restore() -> None:
            sys.excepthook, threading.excepthook = old, old_thread

        return restore

    def catch(self, kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
        """Take an error from any thread."""
        if error is None or issubclass(kind, KeyboardInterrupt):
            return
        _log.error("Unexpected error", exc_info=(kind, error, traceback))
        self._caught.emit(f"{kind.__name__}: {error}")

    @Slot(str)
    def _show(self, text: str) -> None:
        problem = translate("Program", "Something unexpected went wrong ({0}).").format(text)
        remedy = translate("Program", "The program goes on. Look whether the scan still runs, or press Stop. Details: {0}.")
        self._shell.messages.show_message("bad", problem, remedy.format(self._log_file))


def main(argv: Sequence[str] | None = None, service_factory: ServiceFactory | None = None) -> int:
    """Open the window and stay until it is closed.

    Parameters
    ----------
    argv
        Options as ``--help`` lists them; none when None: then ISOCENTER_SCANNER and ISOCENTER_CONSOLE choose.
    service_factory
        Makes the service to drive, called outside the window's thread; from the options when None.

    Returns
    -------
        Exit code.
    """
    options = _parse(argv or [])
    app = QApplication.instance() or QApplication(["isocenter"])
    assert isinstance(app, QApplication)
    app.setApplicationName("isocenter")
    app.setApplicationDisplayName("Isocenter")
    app.setApplicationVersion(__version__)
    app.setQuitOnLastWindowClosed(False)  # the program ends when all is safe, not when a window is gone
    apply_theme(app)
    shell = Shell()
    log_file = _start_log()
    restore = ErrorCatcher(shell, log_file).install()
    opener = Opener(shell, service_factory or _factory(options))
    shell.resize(shell.sizeHint().boundedTo(app.primaryScreen().availableSize()))
    shell.show()
    forget_ctrl_c = _close_on_ctrl_c(shell)
    try:
        return app.exec()
    finally:
        forget_ctrl_c()
        restore()
        if opener.program is not None:
            opener.program.end()
        shell.may_close = True
        shell.close()


def _close_on_ctrl_c(shell: Shell) -> Callable[[], None]:
    """Close as with the mouse; returns a function that ends it. Python sees a signal only while it runs, so it is woken."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    old = signal.signal(signal.SIGINT, lambda _number, _frame: shell.close() and None)
    heartbeat = QTimer(shell)
    heartbeat.timeout.connect(lambda: None)
    heartbeat.start(_HEARTBEAT_MS)

    def restore() -> None:
        heartbeat.stop()
        signal.signal(signal.SIGINT, old)

    return restore


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="isocenter", description="Open Isocenter's window.")
    parser.add_argument("--scanner", help="name of a hardware file, or its path (ISOCENTER_SCANNER)")
    parser.add_argument("--console", help="virtual, hardware, HOST or HOST:PORT (ISOCENTER_CONSOLE)")
    parser.add_argument("--scenario", help="virtual console: which phantom lies in which field (ISOCENTER_SCENARIO)")
    parser.add_argument("--prescan", help="what Start measures for an exam: whole or frequency (ISOCENTER_PRESCAN)")
    return parser.parse_args(argv)


def _factory(options: argparse.Namespace) -> ServiceFactory:
    def make() -> "ScannerService":
        from isocenter.app.window import choice_from, open_service

        chosen = {
            "ISOCENTER_SCANNER": options.scanner,
            "ISOCENTER_CONSOLE": options.console,
            "ISOCENTER_SCENARIO": options.scenario,
            "ISOCENTER_PRESCAN": options.prescan,
        }
        return open_service(choice_from({**os.environ, **{key: text for key, text in chosen.items() if text}}))

    return make


def _start_log() -> str:
    """Log to a file in the user's state folder; where that cannot be written, to the terminal."""
    from platformdirs import user_log_path

    folder = Path(os.environ.get("ISOCENTER_LOG") or user_log_path("isocenter", appauthor=False))
    handler: logging.Handler
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(folder / "isocenter.log", encoding="utf-8", delay=True)
        place = str(folder / "isocenter.log")
    except OSError:
        handler, place = logging.StreamHandler(), translate("Program", "the terminal")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("isocenter").addHandler(handler)
    return place


def _since_start_s() -> float:
    """Time since this process began; where the system does not tell, since this module was imported."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        up_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return up_s - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.perf_counter() - _IMPORTED_S


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
