# SPDX-License-Identifier: MIT
"""The bytes on the wire: requests as the server's parser takes them, replies as it writes them (reference marcos.md 2).

A wrong type does not stop the server: the value reads as zero, everything looked up after it is absent, the reply is sent,
and the connection is closed. ``Node`` does the same.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.isa import MAX_REQUEST_BYTES, MAX_REQUEST_NODES, SERVER_VERSION

_MAX_UINT32: Final = 0xFFFFFFFF
_UNPACKER_BYTES: Final = 2 * MAX_REQUEST_BYTES
_HEAD_BYTES: Final = 256


class RequestRefused(ValueError):
    """Bytes that make the server drop the connection without a reply: no MessagePack, or too much of it."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A map with its keys in order and as often as they came."""

    items: list[tuple[Any, Any]]


def _count(node: Any) -> int:
    """Nodes of a message; anything that the server's parser does not know is refused."""
    if isinstance(node, _Pairs):
        return 1 + sum(_count(key) + _count(value) for key, value in node.items)
    if isinstance(node, list):
        return 1 + sum(_count(child) for child in node)
    if node is None or isinstance(node, (bool, int, float, str, bytes)):
        return 1
    raise RequestRefused(f"a node of type {type(node).__name__}")


class RequestReader:
    """Cuts a stream of bytes into requests."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="surrogateescape",
            strict_map_key=False,
            object_pairs_hook=lambda pairs: _Pairs(list(pairs)),
            max_buffer_size=_UNPACKER_BYTES,
            max_bin_len=MAX_REQUEST_BYTES,
            max_str_len=MAX_REQUEST_BYTES,
            max_array_len=MAX_REQUEST_NODES,
            max_map_len=MAX_REQUEST_NODES,
        )
        self._n_fed = 0
        self._start = 0  # of the request that is being received
        self._head = bytearray()  # its first bytes

    def feed(self, data: bytes) -> None:
        """Add what the socket gave."""
        self._n_fed += len(data)
        self._head += data[: _HEAD_BYTES - len(self._head)]
        self._unpacker.feed(data)

    def next(self) -> tuple[Any] | None:
        """The next request in a tuple of one, None while it is not complete.

        Raises
        ------
        RequestRefused
            When it is no MessagePack, or more than 32 MiB or 8192 nodes of it.
        """
        if self._n_fed == self._start:
            return None
        try:
            node = self._unpacker.unpack()
            n_bytes, n_nodes = self._unpacker.tell() - self._start, _count(node)
        except msgpack.OutOfData:
            n_bytes, n_nodes = max(self._n_fed - self._start, self._declared()), 0
            if n_bytes <= MAX_REQUEST_BYTES:
                return None
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise RequestRefused(str(error)) from error
        if n_bytes > MAX_REQUEST_BYTES or n_nodes > MAX_REQUEST_NODES:
            raise RequestRefused(f"{n_bytes} bytes and {n_nodes} nodes")
        self._start = self._unpacker.tell()
        self._head.clear()  # the head of a request glued to this one is not seen; only its early refusal needs it
        return (node,)

    def _declared(self) -> int:
        """Length that the data announce whose header was the last thing read, if it stood in the head."""
        stop = self._unpacker.tell() - self._start
        header = self._head[max(0, stop - 5) : stop]
        is_long = len(header) == 5 and header[0] in (0xC6, 0xDB)  # bin 32, str 32
        return int.from_bytes(header[1:], "big") if is_long else 0


class Request:
    """One request, read with the server's leniency.

    Attributes
    ----------
    has_failed
        True once something had the wrong type: the connection is closed after the reply.
    """

    def __init__(self, node: Any) -> None:
        self.has_failed = False
        self._node = node
        self.packet_type = self._element(0)
        self.index = self._element(1)
        self.version = self._element(3)
        self._items: list[tuple[Any, Any]] = []

    def open_commands(self) -> None:
        """Look at the map of commands; the server does so only when it is going to carry them out."""
        data = self._child(4)
        if isinstance(data, _Pairs):
            self._items = data.items
        else:
            self.has_failed = True

    def _child(self, position: int) -> Any:
        if self.has_failed:
            return None
        if not isinstance(self._node, list) or position >= len(self._node):
            self.has_failed = True
            return None
        return self._node[position]

    def _element(self, position: int) -> int:
        return self.uint(self._child(position))

    @property
    def n_commands(self) -> int:
        """Entries in the map of commands."""
        return len(self._items)

    def argument(self, command: str) -> Any:
        """Argument of a command, None when it is absent, nil, there twice, or looked up after a failure."""
        if self.has_failed:
            return None
        found = [value for key, value in self._items if key == command]
        if len(found) > 1:
            self.has_failed = True
            return None
        return found[0] if found else None

    def uint(self, value: Any) -> int:
        """An unsigned 32-bit number; zero and a failure when it is none."""
        if not self.has_failed and type(value) is int and 0 <= value <= _MAX_UINT32:
            return value
        self.has_failed = True
        return 0

    def blob(self, value: Any) -> bytes:
        """Binary data; empty and a failure when it is none."""
        if not self.has_failed and isinstance(value, bytes):
            return value
        self.has_failed = True
        return b""

    def array(self, value: Any) -> list[int]:
        """Array of unsigned numbers; empty and a failure when it is none."""
        if self.has_failed or not isinstance(value, list):
            self.has_failed = True
            return []
        return [self.uint(each) for each in value]


def pack(value: Any) -> bytes:
    """MessagePack of a value in its shortest form."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def pack_samples(receivers: list[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> bytes | None:
    """The map of received samples, each an unsigned number; None when there is none at all."""
    entries: dict[str, list[int]] = {}
    for index, (real, imag) in enumerate(receivers):
        if len(real):
            entries[f"rx{index}_i"] = real.view(np.uint32).tolist()
            entries[f"rx{index}_q"] = imag.view(np.uint32).tolist()
    return pack(entries) if entries else None


@dataclass(slots=True, kw_only=True)
class Reply:
    """What goes back. ``results`` holds encoded values by command, in the order in which they are written."""

    index: int
    packet_type: int = 128
    results: list[tuple[str, bytes]] = field(default_factory=list)
    n_commands: int = 0
    has_stray_map: bool = False
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        """The bytes, as wrong as the server's own where commands were not understood or the packet type was unknown."""
        packer = msgpack.Packer(autoreset=False)
        packer.pack_array_header(6)
        for value in (self.packet_type, (self.index + 1) & _MAX_UINT32, 0, SERVER_VERSION):
            packer.pack(value)
        if self.has_stray_map:
            packer.pack({})
        packer.pack_map_header(self.n_commands)
        parts = [packer.bytes(), *(pack(name) + value for name, value in self.results)]
        if len(self.results) != self.n_commands:
            parts += [pack(f"UNKNOWN{number}") + pack(-1) for number in range(self.n_commands, 0, -1)]
        named = {"errors": self.errors, "warnings": self.warnings, "infos": self.infos}
        parts.append(pack({name: texts for name, texts in named.items() if texts}))
        return b"".join(parts)
