# SPDX-License-Identifier: MIT
"""A far end that answers what a test says, when it says, on a real line."""

import threading
from collections.abc import Callable, Sequence

from isocenter.virtual.peripherals.lines import Reply


class Scripted:
    """Answers each piece of input through a function; ``say`` speaks unasked."""

    def __init__(self, answer: Callable[[bytes], Sequence[bytes | Reply]] = lambda _: ()) -> None:
        self.answer = answer
        self.heard = b""
        self._unasked: list[Reply] = []
        self._lock = threading.Lock()
        self.said_all = threading.Event()

    def say(self, *data: bytes) -> None:
        """Send at the next tick; returns when it is on the line."""
        with self._lock:
            self._unasked += [Reply(data=piece) for piece in data]
            self.said_all.clear()
        assert self.said_all.wait(5)

    def feed(self, data: bytes) -> Sequence[Reply]:
        self.heard += data
        return [piece if isinstance(piece, Reply) else Reply(data=piece) for piece in self.answer(data)]

    def tick(self) -> Sequence[Reply]:
        with self._lock:
            replies, self._unasked = self._unasked, []
            if not replies:
                self.said_all.set()
            return replies
