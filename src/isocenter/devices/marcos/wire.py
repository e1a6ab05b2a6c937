# SPDX-License-Identifier: MIT
"""The wire to a MaRCoS server: one MessagePack request, one reply, each with a deadline.

Source
------
reference marcos.md 2. The stream has no framing, so after anything unexpected it cannot be trusted and is closed.
"""

import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from isocenter.domain.errors import ConnectError, DeviceTimeout, ProtocolError

CLIENT_VERSION: Final = (1, 0, 5)
MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
COMMANDS: Final = frozenset(
    {"halt_and_reset", "ctrl", "direct", "regrd", "regstatus", "mar_mem", "read_rx", "run_seq", "are_you_real"}
)
"""Commands that this driver sends. A request that mixes known and unknown ones would corrupt the stream."""

_REQUEST, _REPLY = 0, 128
_ARRAY_OF_6 = 0x96
_CHUNK_BYTES = 1 << 18
_POLL_S = 0.05
_MAX_ITEMS = 4096
_REPLY_GRACE_S = 3.0  # closing in the middle of a large reply kills the server (SIGPIPE), so one that has begun may end
_RECONNECT = "Check the console's address in the hardware file and restart its server, then try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: results by command, messages by kind (errors, warnings, infos), and the server's version."""

    results: dict[str, Any]
    messages: dict[str, list[str]]
    version: tuple[int, int, int]


class MarcosWire:
    """A TCP connection to one server. Not for use from several threads."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._index = 0

    @property
    def address(self) -> str:
        """Host and port as text."""
        return f"{self._host}:{self._port}"

    @property
    def is_open(self) -> bool:
        """True while there is a connection that is in step."""
        return self._socket is not None

    def connect(self, timeout_s: float) -> None:
        """Open the connection.

        Raises
        ------
        ConnectError
            When nothing accepts it in time.
        """
        self.close()
        try:
            self._socket = socket.create_connection((self._host, self._port), timeout=timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, UnicodeError) as error:
            self.close()
            raise ConnectError(
                f"No console answers at {self.address} ({_reason(error)}).",
                "Check that the console is switched on and connected and that its server runs, and check host and port "
                "in the hardware file.",
            ) from error

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(
        self,
        commands: Mapping[str, Any],
        timeout_s: float,
        *,
        deadline: Callable[[], float] | None = None,
        max_samples: int = 0,
    ) -> Reply:
        """Send commands and return the reply to them.

        Parameters
        ----------
        commands
            Argument by command; the server executes them in its own order.
        timeout_s
            Longest time for the whole exchange [s].
        deadline
            Asked again and again while waiting: when to give up, on the clock of ``time.monotonic``. Replaces ``timeout_s``.
        max_samples
            Most numbers that one list of the reply may hold, beyond a few thousand.

        Raises
        ------
        DeviceTimeout, ProtocolError, ConnectError
            After each of them the connection is closed.
        """
        give_up = time.monotonic() + timeout_s
        until = deadline if deadline is not None else lambda: give_up
        request = self._pack(commands)
        is_in_step = False
        try:
            self._send(request, until)
            reply = self._check(self._receive(until, max_samples + _MAX_ITEMS), commands)
            is_in_step = True
        except OSError as error:
            raise ConnectError(f"The link to the console at {self.address} broke: {_reason(error)}.", _RECONNECT) from error
        finally:
            if not is_in_step:  # whatever happened, Ctrl-C included: the next reply would answer another question
                self.close()
        return reply

    def _pack(self, commands: Mapping[str, Any]) -> bytes:
        if not commands or not COMMANDS.issuperset(commands):
            raise ValueError(f"commands {sorted(commands)}: must be one or more of {sorted(COMMANDS)}")
        self._index = (self._index + 1) % 2**32
        major, minor, debug = CLIENT_VERSION
        packed: bytes = msgpack.packb([_REQUEST, self._index, 0, major << 16 | minor << 8 | debug, dict(commands)])
        if len(packed) > MAX_REQUEST_BYTES:
            raise ValueError(f"request of {len(packed)} bytes: the server takes {MAX_REQUEST_BYTES}")
        return packed

    def _send(self, request: bytes, until: Callable[[], float]) -> None:
        link = self._connected()
        if select.select([link], [], [], 0)[0]:  # an idle server is silent: this is its farewell, or rubbish
            if link.recv(1) == b"":
                raise ConnectError(f"The console at {self.address} closed the connection.", _RECONNECT)
            raise ProtocolError(f"The console at {self.address} sent data without being asked.", _RECONNECT)
        view = memoryview(request)
        while view:
            link.settimeout(self._patience(until))
            try:
                view = view[link.send(view) :]
            except TimeoutError:
                continue

    def _receive(self, until: Callable[[], float], max_items: int) -> Any:
        link = self._connected()
        limit = 64 * 1024 + 4 * 9 * max_items
        unpacker = msgpack.Unpacker(max_buffer_size=limit, max_array_len=max_items, max_map_len=64, max_ext_len=0)
        received, grace_end = 0, 0.0
        while True:
            link.settimeout(self._patience(until, grace_end))
            try:
                chunk = link.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            if not chunk:
                what = "in the middle of a reply" if received else "instead of replying"
                raise ConnectError(f"The console at {self.address} closed the connection {what}.", _RECONNECT)
            if not received:
                if chunk[0] != _ARRAY_OF_6:
                    raise self._nonsense(f"it begins with {chunk[:12]!r}")
                grace_end = time.monotonic() + _REPLY_GRACE_S
            received += len(chunk)
            try:
                unpacker.feed(chunk)
                reply = unpacker.unpack()
            except msgpack.OutOfData:
                continue
            except (ValueError, msgpack.UnpackException) as error:
                raise self._nonsense(f"{type(error).__name__} after {received} bytes") from error
            if unpacker.tell() != received:
                raise self._nonsense(f"{received - unpacker.tell()} bytes follow the reply")
            return reply

    def _patience(self, until: Callable[[], float], grace_end: float = 0.0) -> float:
        left = max(until(), grace_end) - time.monotonic()
        if left <= 0:
            raise DeviceTimeout(
                f"The console at {self.address} did not answer in time.",
                "Check its network cable and that no other program uses it; restart its server if it stays silent.",
            )
        return min(left, _POLL_S)

    def _check(self, reply: Any, commands: Mapping[str, Any]) -> Reply:
        kinds = {"errors", "warnings", "infos"}
        match reply:
            case [int(), int() as index, int(), int() as version, dict() as results, dict() as messages]:
                pass
            case _:
                raise self._nonsense("it is not an array of the right six things")
        if reply[0] != _REPLY or index != (self._index + 1) % 2**32:
            raise self._nonsense(f"it is reply {index} of type {reply[0]}, not {self._index + 1} of type {_REPLY}")
        if not all(
            kind in kinds and isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for kind, texts in messages.items()
        ):
            raise self._nonsense("its messages are no lists of text")
        if set(results) != set(commands):
            said = "; ".join(text for texts in messages.values() for text in texts)
            raise self._nonsense(f"it answers {sorted(map(str, results))} to {sorted(commands)} and says {said!r}")
        return Reply(results=results, messages=messages, version=(version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ConnectError(f"There is no connection to the console at {self.address}.", "Connect to the console first.")
        return self._socket

    def _nonsense(self, detail: str) -> ProtocolError:
        return ProtocolError(
            f"The answer from {self.address} is not that of a MaRCoS server: {detail}.",
            "Check host and port in the hardware file. If they are right, restart the console's server.",
        )


def _reason(error: Exception) -> str:
    """What the system says, without its number."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
