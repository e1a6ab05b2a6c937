# SPDX-License-Identifier: MIT
"""The near end of a virtual device: a pseudo-terminal or a TCP port, and everything that can happen to a cable.

A thread per line. The device's own time goes on whatever happens to its line.
"""

import contextlib
import os
import random
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

_TICK_S: Final = 0.02
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Bytes that a device sends.

    Attributes
    ----------
    delay_s
        After the moment that it decided to [s]. Replies stay in order all the same, as on a wire.
    """

    data: bytes
    delay_s: float = 0.0


class VirtualDevice(Protocol):
    """What hangs at the far end. Called by its line's thread only; it may be read by others."""

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Bytes have come, in pieces of any size; what it answers."""
        ...

    def tick(self) -> Sequence[Reply]:
        """Called at least every 20 ms or so, whatever becomes of the line; what it says unasked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What is wrong with a line. Applies to bytes from the moment that it is set.

    Attributes
    ----------
    deaf
        Nothing reaches the device.
    mute
        Nothing of what it says comes back. With ``deaf``: the device is switched off, as seen from here.
    garbled
        One byte in so many on the way back is wrong; 0 for none, 1 for every byte.
    halved
        The second half of each answer is lost.
    slow_s
        Time between two bytes on the way back [s].
    delay_s
        Each answer comes so much later [s].
    """

    deaf: bool = False
    mute: bool = False
    garbled: int = 0
    halved: bool = False
    slow_s: float = 0.0
    delay_s: float = 0.0


class VirtualLine:
    """Serves one virtual device.

    Parameters
    ----------
    device
        Who answers.
    via
        A pseudo-terminal (not on Windows) or a TCP port.
    host, port
        Where to listen with ``tcp``; port 0 takes a free one.
    seed
        Chooses which bytes are garbled.

    Attributes
    ----------
    received
        The newest bytes that reached the device, with the time on ``time.monotonic``, for tests.
    """

    def __init__(
        self,
        device: VirtualDevice,
        via: Literal["pty", "tcp"] = "tcp",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 1,
    ) -> None:
        self._device, self._via = device, via
        self._end: _Pty | _Tcp = _Pty() if via == "pty" else _Tcp(host, port)
        self._random = random.Random(seed)  # noqa: S311 - which bytes are garbled is no secret
        self._faults = LineFaults()
        self._stalled_until_s = float("-inf")
        self._wanted = True  # False: the cable is cut
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.received: deque[tuple[float, bytes]] = deque(maxlen=2000)

    @property
    def url(self) -> str:
        """What a driver opens: a port's name or ``socket://host:port``; the same after ``cut`` and ``restore``."""
        return self._end.url

    @property
    def faults(self) -> LineFaults:
        """What is wrong with the line now."""
        return self._faults

    def start(self) -> Self:
        """Open the line and serve it."""
        self._end.open()
        self._thread = threading.Thread(target=self._serve, name=f"virtual line {self.url}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close it and end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)
        self._end.close()
        self._end.forget()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def fail(self, **changes: Any) -> None:
        """Switch faults on and off, by the names of ``LineFaults``; the others stay as they are."""
        self._faults = replace(self._faults, **changes)

    def heal(self) -> None:
        """Nothing is wrong with the line any more; a cut one is plugged in again."""
        self._faults, self._stalled_until_s = LineFaults(), float("-inf")
        self.restore()

    def stall(self, duration_s: float = float("inf")) -> None:
        """Nothing passes either way for so long; then what was under way arrives, late."""
        with self._lock:
            self._stalled_until_s = time.monotonic() + duration_s

    def cut(self) -> None:
        """The cable is pulled out: connection closed, terminal hung up. Returns when that is done."""
        with self._lock:
            self._wanted = False
            self._end.close()
            self._outgoing.clear()

    def restore(self) -> None:
        """The cable is plugged in again."""
        with self._lock:
            self._wanted = True
            self._end.open()

    def _serve(self) -> None:
        next_tick_s = time.monotonic()
        while not self._stopping.is_set():
            with self._lock:
                watched = self._end.readable()
            now_s = time.monotonic()
            if self._is_stalled() or not watched:
                self._stopping.wait(max(0.0, next_tick_s - now_s))
            else:
                self._wait(watched, max(0.0, self._until(next_tick_s) - now_s))
                self._exchange()
            if time.monotonic() >= next_tick_s:
                self._queue(self._device.tick())
                next_tick_s = time.monotonic() + _TICK_S

    def _until(self, next_tick_s: float) -> float:
        return min(next_tick_s, self._outgoing[0][0]) if self._outgoing else next_tick_s

    def _wait(self, watched: Sequence[int], timeout_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            try:
                for fd in watched:
                    selector.register(fd, selectors.EVENT_READ)
                selector.select(timeout_s)
            except (OSError, ValueError):
                return  # cut meanwhile

    def _exchange(self) -> None:
        data = b""
        with self._lock:
            if not self._is_stalled():  # again: it may have begun since it was waited for
                data = self._end.read()
            if data and not self._faults.deaf:
                self.received.append((time.monotonic(), data))
        if data and not self._faults.deaf:
            self._queue(self._device.feed(data))
        with self._lock:
            while self._outgoing and self._outgoing[0][0] <= time.monotonic() and not self._is_stalled():
                self._end.write(self._outgoing.popleft()[1])

    def _is_stalled(self) -> bool:
        return time.monotonic() < self._stalled_until_s

    def _queue(self, replies: Sequence[Reply]) -> None:
        faults = self._faults
        for reply in replies:
            data = reply.data[: len(reply.data) // 2] if faults.halved else reply.data
            if faults.mute or not data or not self._wanted:
                continue
            if faults.garbled:
                data = bytes(
                    byte ^ (1 << self._random.randrange(8)) if self._random.randrange(faults.garbled) == 0 else byte
                    for byte in data
                )
            earliest_s = self._outgoing[-1][0] if self._outgoing else float("-inf")
            due_s = max(earliest_s, time.monotonic() + reply.delay_s + faults.delay_s)
            if faults.slow_s:
                self._outgoing.extend((due_s + (n + 1) * faults.slow_s, data[n : n + 1]) for n in range(len(data)))
            else:
                self._outgoing.append((due_s, data))


class _Pty:
    """A pseudo-terminal under a name that stays the same when it is cut and made anew."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="isocenter-line-"))
        self._master = self._slave = -1

    @property
    def url(self) -> str:
        return str(self._folder / "port")

    def open(self) -> None:
        import pty  # both do not exist on Windows
        import tty

        if self._master >= 0:
            return
        self._master, self._slave = pty.openpty()  # the slave is kept, else the master reads errors until a client comes
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link = self._folder / "port"
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))

    def close(self) -> None:
        for fd in (self._slave, self._master):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1
        (self._folder / "port").unlink(missing_ok=True)

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def readable(self) -> list[int]:
        return [self._master] if self._master >= 0 else []

    def read(self) -> bytes:
        try:
            return os.read(self._master, _CHUNK) if self._master >= 0 else b""
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody reads and the buffer is full: a wire loses it too
            if self._master >= 0:
                os.write(self._master, data)


class _Tcp:
    """A port for one client at a time; a new one takes the place of the old, as with a serial server."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port), backlog=4)
        self._address = self._listener.getsockname()
        self._listener.setblocking(False)
        self._client: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"socket://{self._address[0]}:{self._address[1]}"

    def open(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(self._address[:2], backlog=4)
            self._listener.setblocking(False)

    def close(self) -> None:
        self._drop()
        self._listener.close()

    def forget(self) -> None:
        """Nothing is left behind."""

    def readable(self) -> list[int]:
        if self._listener.fileno() < 0:
            return []
        return [self._listener.fileno(), *([self._client.fileno()] if self._client else [])]

    def read(self) -> bytes:
        with contextlib.suppress(OSError):  # nobody knocks
            client, _ = self._listener.accept()
            self._drop()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
        if self._client is None:
            return b""
        try:
            data = self._client.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def write(self, data: bytes) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.sendall(data)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
