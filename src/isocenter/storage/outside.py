# SPDX-License-Identifier: MIT
"""An outside reconstruction over the MRD streaming protocol (FIRE, Gadgetron): lines go out while a scan runs, images come.

Nothing here may ever disturb a scan. Lines are handed over without waiting; two threads of its own talk to the server; every
call on the socket has a deadline; whatever goes wrong ends the link, is said once, and nothing else happens.
"""

import queue
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.storage.mrd_wire import (
    MAX_IMAGE_BYTES,
    MessageId,
    MrdImage,
    pack_close,
    pack_config,
    pack_header,
    pack_lines,
    read_message,
)

_PIECE_BYTES: Final = 2**20
_POLL_S: Final = 0.25
_MAX_WAITING_BYTES: Final = 2**29
_MAX_TEXTS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideAddress:
    """Where an outside reconstruction is, and which one is wanted.

    Attributes
    ----------
    config
        Name of a configuration that the server has, or a configuration as XML.
    connect_s, stall_s, finish_s
        How long to wait for the link, for the server to take a piece, and for all images after the last line [s].
    """

    host: str
    port: int
    config: str = "default"
    connect_s: float = 5.0
    stall_s: float = 20.0
    finish_s: float = 120.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideAnswer:
    """What came back.

    Attributes
    ----------
    texts
        What the server said.
    problem, remedy
        Empty when all went well; else there may be images all the same.
    """

    images: tuple[MrdImage, ...]
    texts: tuple[str, ...]
    problem: str = ""
    remedy: str = ""


@dataclass(slots=True)
class _State:
    """Shared by the threads."""

    images: list[MrdImage] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    problem: str = ""
    remedy: str = ""
    image_bytes: int = 0


class OutsideLink:
    """One measurement sent to a server. Methods never raise for what the server does; ``finish`` says what happened."""

    def __init__(self, address: OutsideAddress, header_xml: bytes) -> None:
        self._address = address
        self._start = pack_config(address.config) + pack_header(header_xml)
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._state = _State()
        self._ended, self._is_done = threading.Event(), threading.Event()
        self._closed_at_s = float("inf")
        self._thread = threading.Thread(target=self._work, name="outside-reconstruction", daemon=True)
        self._thread.start()

    def send(
        self,
        heads: NDArray[Any],
        samples: Sequence[NDArray[np.float32]],
        trajectories: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        """Hand over lines as a file has them; returns at once."""
        if self._ended.is_set():
            return
        content = b"".join(pack_lines(heads, samples, trajectories))
        with self._lock:
            self._waiting_bytes += len(content)
            is_too_slow = self._waiting_bytes > _MAX_WAITING_BYTES
        if is_too_slow:
            self._fail("takes the lines more slowly than they are measured", "Send the scan again when it has ended.")
            return
        self._queue.put(content)

    def finish(self, cancel: threading.Event | None = None) -> OutsideAnswer:
        """Say that this was all, wait for the images until the deadline or until ``cancel``, and close the link."""
        self._queue.put(None)
        until_s = time.monotonic() + self._address.connect_s + self._address.finish_s + 2 * self._address.stall_s
        while self._thread.is_alive() and time.monotonic() < until_s:
            if cancel is not None and cancel.is_set():
                self._fail("was not waited for", "Send the scan again when there is time.")
            self._thread.join(_POLL_S)
        if self._thread.is_alive():
            self._fail("is still taking lines", "Send the scan again, and wait for it longer.")
        return self._answer()

    def abort(self) -> OutsideAnswer:
        """Close the link without waiting for images; what came so far is kept."""
        self._ended.set()
        self._queue.put(None)
        self._thread.join(self._address.connect_s + self._address.stall_s)
        return self._answer()

    @property
    def n_images(self) -> int:
        """Images that came so far."""
        return len(self._state.images)

    def _answer(self) -> OutsideAnswer:
        self._ended.set()
        state = self._state
        return OutsideAnswer(
            images=tuple(state.images), texts=tuple(state.texts), problem=state.problem, remedy=state.remedy
        )

    def _fail(self, what: str, remedy: str = "Check the server, then send the scan again.") -> None:
        with self._lock:
            if not self._state.problem and not self._ended.is_set():
                self._state.problem = f"The outside reconstruction at {self._address} {what}."
                self._state.remedy = remedy
        self._ended.set()

    # --- in the thread of the link ----------------------------------------------------------------------------------

    def _work(self) -> None:
        address = self._address
        try:
            link = socket.create_connection((address.host, address.port), timeout=address.connect_s)
        except OSError as error:
            self._fail(f"does not answer ({error.strerror or error})", "Check its address and that its server runs.")
            return
        with link:
            receiver = threading.Thread(target=self._receive, args=(link,), name="outside-images", daemon=True)
            receiver.start()
            self._send_all(link)
            self._closed_at_s = time.monotonic()
            receiver.join(address.finish_s + _POLL_S)
            if not self._is_done.is_set():  # says nothing when something else was said before
                self._fail(f"sent no end within {address.finish_s:g} s", "Wait for it longer, or look at its server.")
            self._ended.set()
            _shut(link)
            receiver.join(address.stall_s)

    def _send_all(self, link: socket.socket) -> None:
        try:
            self._send_pieces(link, self._start)
            while not self._ended.is_set() and not self._is_done.is_set():
                try:
                    content = self._queue.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if content is None:
                    self._send_pieces(link, pack_close())
                    return
                self._send_pieces(link, content)
                with self._lock:
                    self._waiting_bytes -= len(content)
        except TimeoutError:
            self._fail(f"took nothing for {self._address.stall_s:g} s")
        except OSError as error:
            self._is_done.wait(_POLL_S)  # it may have said so just before
            if not self._is_done.is_set():
                self._fail(f"ended the link ({error.strerror or error})")

    def _send_pieces(self, link: socket.socket, content: bytes) -> None:
        view = memoryview(content)
        for start in range(0, len(view), _PIECE_BYTES):
            link.settimeout(self._address.stall_s)
            link.sendall(view[start : start + _PIECE_BYTES])

    def _receive(self, link: socket.socket) -> None:
        reader = link.dup()
        with reader:
            try:
                self._receive_all(_Reader(reader, self))
            except StorageError as error:
                self._fail(error.problem.removeprefix("The outside reconstruction ").rstrip("."), error.remedy)
            except EOFError:
                self._fail("ended the link before it had said that it was done")
            except _OverError:
                return
            except TimeoutError:
                self._fail("fell silent in the middle of a message")
            except (OSError, MemoryError) as error:
                self._fail(f"ended the link ({error})")

    def _receive_all(self, reader: "_Reader") -> None:
        while not self._ended.is_set():
            message = read_message(reader.read)
            if message.kind is MessageId.CLOSE:
                self._is_done.set()
                return
            if message.kind is MessageId.TEXT and len(self._state.texts) < _MAX_TEXTS:
                self._state.texts.append(message.text)
            if message.image is not None:
                self._state.image_bytes += message.image.data.nbytes
                if self._state.image_bytes > MAX_IMAGE_BYTES:
                    self._fail("sends more images than a scan can have")
                    return
                self._state.images.append(message.image)

    @property
    def is_over(self) -> bool:
        """True when nothing more should be waited for."""
        return self._ended.is_set() or time.monotonic() > self._closed_at_s + self._address.finish_s

    @property
    def stall_s(self) -> float:
        """How long the middle of a message may take to come [s]."""
        return self._address.stall_s


class _OverError(Exception):
    """Nobody waits any more."""


class _Reader:
    """Reads exactly so many bytes. Between messages it waits as long as the link lives; within one, a deadline runs."""

    def __init__(self, link: socket.socket, owner: OutsideLink) -> None:
        self._link, self._owner = link, owner

    def read(self, n_bytes: int) -> bytes:
        parts: list[bytes] = []
        left, last_s = n_bytes, time.monotonic()
        is_start = n_bytes == 2  # only the number of a message has two bytes
        while left:
            self._link.settimeout(_POLL_S)
            try:
                part = self._link.recv(min(left, _PIECE_BYTES))
            except TimeoutError:
                is_waiting = is_start and left == n_bytes
                if self._owner.is_over:
                    raise _OverError from None
                if not is_waiting and time.monotonic() - last_s > self._owner.stall_s:
                    raise
                continue
            if not part:
                raise EOFError
            parts.append(part)
            left, last_s = left - len(part), time.monotonic()
        return b"".join(parts)


def _shut(link: socket.socket) -> None:
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was faster
        return
