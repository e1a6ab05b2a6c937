# SPDX-License-Identifier: MIT
"""A progress line for a scan, and Ctrl-C as Stop."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from threading import Event
from types import FrameType

import click

from isocenter.domain.scan import ScanProgress, ScanState


class ScanBar:
    """Draws a scan's progress on a terminal; quiet when the output is not one."""

    _WIDTH = 30

    def __init__(self) -> None:
        self._is_open = False
        self._is_terminal = sys.stderr.isatty()

    def update(self, progress: ScanProgress) -> None:
        """Show the newest snapshot."""
        if not self._is_terminal or not progress.n_segments:
            return
        done = progress.segment / progress.n_segments
        bar = "#" * round(done * self._WIDTH)
        click.echo(
            f"\r  [{bar:<{self._WIDTH}}] {done:4.0%}  {progress.remaining_s:4.0f} s left of the scan ", nl=False, err=True
        )
        self._is_open = True
        if progress.state in (ScanState.FINISHING, ScanState.IDLE):
            self.close()

    def close(self) -> None:
        """End the line."""
        if self._is_open:
            click.echo(err=True)
            self._is_open = False


@contextlib.contextmanager
def ctrl_c_stops(cancel: Event) -> Iterator[None]:
    """Within, Ctrl-C presses Stop instead of killing the program; a second one kills."""

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            signal.default_int_handler(number, frame)
        cancel.set()
        click.echo("\nStopping: the outputs are being brought to zero.", err=True)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
