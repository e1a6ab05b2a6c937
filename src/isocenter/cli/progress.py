# SPDX-License-Identifier: MIT
"""What a command shows while it works, and Ctrl-C as Stop."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from threading import Event
from types import FrameType, TracebackType
from typing import Final, Self

import click

from isocenter.domain.scan import ScanProgress, ScanState

_STOPPING: Final = b"\nStopping: the outputs are being brought to zero. Ctrl-C again ends at once.\n"
_TICK_S: Final = 1.0
_LONG_S: Final = 8.0
_LINE_EVERY_S: Final = 10.0


class Screen:
    """Tells on standard error that work goes on: a line that is redrawn on a terminal, a new one now and then elsewhere.

    Nothing that takes less than a second shows up. Use it as a context; ``say`` and ``update`` may come from any thread.

    Parameters
    ----------
    doing
        What the command begins with, such as ``Compiling fid``; may be empty.
    is_quiet
        True when standard output belongs to JSON: then everything said goes to standard error.
    """

    _WIDTH = 30

    def __init__(self, doing: str = "", *, is_quiet: bool = False) -> None:
        self._is_quiet = is_quiet
        self._is_terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._ended = Event()
        self._doing, self._since_s, self._told_s = doing, time.monotonic(), time.monotonic()
        self._told_length = 0  # characters on a line of a terminal that is not ended yet
        self._progress: ScanProgress | None = None
        self._thread = threading.Thread(target=self._tick, name="screen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        with self._lock:
            self._end_line()

    def say(self, text: str) -> None:
        """Print a line; from now on this is what is being done."""
        with self._lock:
            self._end_line()
            click.echo(text, err=self._is_quiet)
            self._begin(text.strip().rstrip("."))

    def begin(self, doing: str) -> None:
        """Name what is being done without printing it, unless it takes long."""
        with self._lock:
            self._end_line()
            self._begin(doing)

    def update(self, progress: ScanProgress) -> None:
        """Take the newest snapshot of a scan."""
        with self._lock:
            self._progress = progress if progress.n_segments else None
            if self._is_terminal and self._progress is not None:
                self._draw(self._bar(progress))
            if progress.state in (ScanState.FINISHING, ScanState.IDLE):
                self._end_line()
                if self._progress is not None:
                    self._begin("Making images")

    def count(self, n_done: int, n_all: int) -> None:
        """Show how many of many things are done."""
        with self._lock:
            self._begin(f"{n_done} of {n_all} done")
            if self._is_terminal and n_done < n_all:
                bar = "#" * round(n_done / n_all * self._WIDTH)
                self._draw(f"  [{bar:<{self._WIDTH}}] {n_done} of {n_all}")

    def _begin(self, doing: str) -> None:
        self._doing, self._progress = doing, None
        self._since_s = self._told_s = time.monotonic()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._lock:
                self._tell()

    def _tell(self) -> None:
        now_s = time.monotonic()
        if self._progress is None and now_s - self._since_s < _TICK_S:
            return
        took_s = now_s - self._since_s
        hint = " (the first time on a computer takes longer)" if took_s >= _LONG_S else ""
        text = f"  {self._doing}: {took_s:.0f} s{hint}"
        if self._progress is not None:
            text = self._bar(self._progress)
        if self._is_terminal:
            self._draw(text)
        elif now_s - self._told_s >= _LINE_EVERY_S or (self._progress is None and self._told_s == self._since_s):
            self._told_s = now_s
            click.echo(text.rstrip(), err=True)

    def _bar(self, progress: ScanProgress) -> str:
        done = progress.segment / progress.n_segments
        bar = "#" * round(done * self._WIDTH)
        return f"  [{bar:<{self._WIDTH}}] {done:4.0%}  {progress.remaining_s:4.0f} s left of the scan"

    def _draw(self, text: str) -> None:
        click.echo(f"\r{text:<{self._told_length}}", nl=False, err=True)
        self._told_length = len(text)

    def _end_line(self) -> None:
        if self._told_length:
            click.echo(err=True)
            self._told_length = 0


@contextlib.contextmanager
def ctrl_c_stops(cancel: Event) -> Iterator[None]:
    """Within, Ctrl-C presses Stop instead of killing the program; a second one ends it at once.

    A terminal that is closed and a polite kill press Stop as well: outputs are brought to zero whoever ends the scan.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set() and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        cancel.set()
        with contextlib.suppress(OSError):  # a closed terminal takes no words
            os.write(2, _STOPPING)  # not through a stream: this may interrupt a write to it

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
