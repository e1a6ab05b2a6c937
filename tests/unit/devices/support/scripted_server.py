# SPDX-License-Identifier: MIT
"""A MaRCoS server of a few lines whose every byte a test decides; its normal answers have the form of the captured ones."""

import contextlib
import socket
import threading

import msgpack

VERSION = 0x010005
ORDER = ("halt_and_reset", "ctrl", "direct", "regrd", "regstatus", "mar_mem", "read_rx", "run_seq", "are_you_real")


class Close(Exception):
    """Raised by a handler: drop the connection."""


class Calm:
    """Answers as an idle console does, and keeps what it was told.

    Attributes
    ----------
    directs
        Every immediate write, (buffer, value).
    runs
        Words of every run.
    run_rx
        Samples that a run returns, as (i, q) lists of unsigned numbers; None for none.
    override
        By command: a value, or a function of the argument, instead of the normal result.
    messages
        By command: messages of its reply.
    """

    def __init__(self, kind="hardware"):
        self.kind, self.version = kind, VERSION
        self.directs, self.runs, self.log = [], [], []
        self.run_rx = None
        self.fifo = []  # what read_rx returns next
        self.override, self.messages = {}, {}

    def __call__(self, request):
        _, index, _, _, commands = request
        results, messages = {}, {}
        for name in ORDER:
            if name in commands:
                self.log.append(name)
                results[name] = self._result(name, commands[name])
                for kind, texts in self.messages.get(name, {}).items():
                    messages.setdefault(kind, []).extend(texts)
                if results[name] == 0 and name in ("run_seq", "read_rx"):
                    messages.setdefault("warnings", []).append("no RX data received")
        ordered = {k: messages[k] for k in ("errors", "warnings", "infos") if k in messages}
        return msgpack.packb([128, index + 1, 0, self.version, results, ordered])

    def _result(self, name, argument):
        if name == "direct":
            self.directs.append((argument >> 24, argument & 0xFFFF))
        if name == "run_seq":
            self.runs.append(argument)
        if name in self.override:
            value = self.override[name]
            return value(argument) if callable(value) else value
        if name == "run_seq":
            return rx_map(self.run_rx)
        if name == "read_rx":
            return rx_map(self.fifo.pop(0)) if self.fifo else 0
        return {"halt_and_reset": True, "regstatus": [0, 0, 0, 0, 0, 0xFFFFFF, 0], "are_you_real": self.kind}.get(name, 0)


def rx_map(rx):
    return {"rx0_i": list(rx[0]), "rx0_q": list(rx[1])} if rx is not None else 0


class ScriptedServer:
    """Serves one client at a time with ``handler(request) -> bytes``; a context manager.

    A handler may raise Close. ``raw`` replaces everything: it gets the socket as soon as a client connects.
    """

    def __init__(self, handler=None, raw=None):
        self.handler, self._raw = handler, raw
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.n_connections = 0
        self._client = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def drop(self):
        """Cut the link to the client of the moment."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                self._client, _ = self._listener.accept()
                self.n_connections += 1
                with self._client, contextlib.suppress(Close, OSError):
                    if self._raw is not None:
                        self._raw(self._client)
                    else:
                        self._talk(self._client)

    def _talk(self, client):
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 26)
        while data := client.recv(1 << 16):
            unpacker.feed(data)
            for request in unpacker:
                reply = self.handler(request)
                if reply:
                    client.sendall(reply)
