# SPDX-License-Identifier: MIT
"""Is the process of a virtual scanner of our own alive? It beats over the pipe through which it told its address.

A console that is simulated may compute longer than a segment lasts, so nobody can tell by the clock that it will never
answer. A process that was stopped or has died can be told: then it is ended for good, which breaks its lines at once, so
that a scan ends as it does with any console that is lost.
"""

import contextlib
import multiprocessing.process
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

BEAT_S: Final = 0.2
_LOOK_S: Final = 0.1
_STOPPED_LOOKS: Final = 6
"""So many looks in a row without a beat of a process that the system says is stopped."""
_SILENT_LOOKS: Final = 300
"""The same of one that runs, as far as anybody knows: a computer that is short of memory may keep it waiting for long."""
_NAMED_S: Final = 0.5
_GONE_S: Final = 10.0  # by then the thread that watches has seen what the system says already
_STOPPED: Final = "T"
_GONE: Final = ("T", "X", "Z")
_running: dict[tuple[str, int], "VirtualProcess"] = {}


def process_at(host: str, port: int) -> "VirtualProcess | None":
    """The virtual scanner that this program has started and whose console listens there; None where it has not."""
    return _running.get((host, port))


def beat(theirs: Connection, is_ended: threading.Event) -> None:
    """In the process itself, in a thread of its own: say again and again that it is alive."""
    with contextlib.suppress(OSError):  # nobody listens any more
        while not is_ended.wait(BEAT_S):
            theirs.send(None)


class VirtualProcess:
    """Watches one process in a thread of its own from ``begin`` to ``end``.

    Looks are counted, not seconds: while this program itself was stopped nobody looked.

    Parameters
    ----------
    process, ours
        The process, and our end of the pipe over which it beats.
    address
        Host and port of its console.
    """

    def __init__(self, process: multiprocessing.process.BaseProcess, ours: Connection, address: tuple[str, int]) -> None:
        self._process, self._ours, self._address = process, ours, address
        self._is_lost, self._is_ending = threading.Event(), threading.Event()
        self._listeners: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        self._problem = ""
        self._thread = threading.Thread(target=self._watch, name="virtual scanner watch", daemon=True)

    def begin(self) -> None:
        """Watch from now on."""
        _running[self._address] = self
        self._thread.start()

    def end(self) -> None:
        """Watch no more; afterwards the pipe is the caller's again."""
        _running.pop(self._address, None)
        self._is_ending.set()
        self._thread.join()

    def listen(self, on_lost: Callable[[str], None]) -> None:
        """Tell this listener, from the watching thread, when the process is lost; at once when it is already."""
        with self._lock:
            self._listeners.append(on_lost)
            problem = self._problem
        if problem:
            on_lost(problem)

    def forget(self, on_lost: Callable[[str], None]) -> None:
        """Tell it no more."""
        with self._lock, contextlib.suppress(ValueError):
            self._listeners.remove(on_lost)

    def why_lost(self) -> str:
        """That the process is lost, in words, after a moment in which that may come out; empty when it lives."""
        began_s = time.monotonic()
        while not self._is_lost.wait(_LOOK_S):
            if time.monotonic() - began_s > (_GONE_S if _state(self._process.pid) in _GONE else _NAMED_S):
                return ""
        return "The virtual scanner's process does not answer."

    def _watch(self) -> None:
        n_silent = 0
        while not self._is_ending.is_set():
            try:
                is_silent = not self._ours.poll(_LOOK_S)
                if not is_silent:
                    self._ours.recv()
            except (EOFError, OSError):
                self._lose("it has ended")
                return
            n_silent = n_silent + 1 if is_silent else 0
            if n_silent >= _STOPPED_LOOKS and _state(self._process.pid) == _STOPPED:
                self._lose("it was stopped")
                return
            if n_silent >= _SILENT_LOOKS:
                self._lose(f"nothing was heard of it for {_SILENT_LOOKS * _LOOK_S:.0f} s")
                return

    def _lose(self, detail: str) -> None:
        with self._lock:
            self._problem, listeners = detail, tuple(self._listeners)
        for tell in listeners:
            tell(detail)
        self._is_lost.set()
        self._process.kill()


def _state(pid: int | None) -> str:
    """One letter, as the system calls it; empty where it does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
