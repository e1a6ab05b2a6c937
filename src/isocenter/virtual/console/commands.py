# SPDX-License-Identifier: MIT
"""The commands of marcos_server 1.0.5, in its order, with its answers. Source: reference marcos.md 2 and 3."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.isa import MEMORY_BYTES, SERVER_VERSION
from isocenter.virtual.console.machine import Machine
from isocenter.virtual.console.runs import Run
from isocenter.virtual.console.wire import Reply, Request, RequestRefused, pack, pack_samples

_EMERGENCY_STOP, _CLOSE_SERVER = 1, 2
_NOT_UNDERSTOOD = "not all client commands were understood"
_MAX_TEST_NET = 10_000_000  # the original goes on until its memory is full
_NO_DATA = "no RX data received"
_Fifos = list[tuple[NDArray[np.int32], NDArray[np.int32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """What the commands need of the world outside the console.

    Attributes
    ----------
    run_seq
        Plays a program to its end, in its own time; returns the run and what was read.
    start_clock
        Virtual time of a run that starts now, and the pause before it [s].
    signals_of
        Asks the physics for the signals of a run that was started by hand.
    """

    run_seq: Callable[[NDArray[np.uint32]], tuple[Run, _Fifos]]
    start_clock: Callable[[], tuple[float, float]]
    signals_of: Callable[[Run], Sequence[NDArray[np.complex64]]]


def _version_text(version: int) -> str:
    return f"{version >> 16}.{version >> 8 & 0xFF}.{version & 0xFF}"


def check_version(version: int, reply: Reply) -> None:
    """Say how far the client's version is from the server's."""
    client, server = _version_text(version), _version_text(SERVER_VERSION)
    if version >> 16 != SERVER_VERSION >> 16:
        reply.errors.append(f"Client version {client} significantly different from server version {server}")
    elif version >> 8 != SERVER_VERSION >> 8:
        reply.warnings.append(f"Client version {client} different from server version {server}")
    elif version != SERVER_VERSION:
        reply.infos.append(f"Client version {client} differs slightly from server version {server}")


class Commands:
    """Executes one request on the machine."""

    def __init__(self, machine: Machine, kind: str, player: Player) -> None:
        self._machine, self._kind, self._player = machine, kind, player
        self._table: tuple[tuple[str, Callable[[Any, Request, Reply], bytes]], ...] = (
            ("halt_and_reset", lambda *_: pack(machine.halt_and_reset())),
            ("read_mem", lambda *_: pack(0)),
            ("fpga_clk", self._fpga_clk),
            ("ctrl", self._ctrl),
            ("direct", self._direct),
            ("regrd", lambda value, request, _: pack(machine.read(request.uint(value)))),
            ("regstatus", lambda *_: pack([machine.read(index) for index in range(4, 11)])),
            ("mar_mem", self._mar_mem),
            ("acq_rlim", self._acq_rlim),
            ("read_rx", self._read_rx),
            ("run_seq", self._run_seq),
            ("test_net", self._test_net),
            ("test_bus", self._test_bus),
            ("are_you_real", lambda *_: pack(self._kind)),
        )

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        reply = Reply(index=request.index)
        check_version(request.version, reply)
        if request.packet_type == _EMERGENCY_STOP:
            reply.packet_type = 129
            reply.errors.append("Emergency stop not yet implemented!")
            reply.warnings.append("Tried to carry out emergency stop!")
            return reply
        if request.packet_type == _CLOSE_SERVER:
            reply.infos.append("Shutting down server.")
            return reply
        reply.has_stray_map = request.packet_type != 0
        request.open_commands()
        reply.n_commands = request.n_commands
        if not reply.n_commands:
            reply.errors.append("no commands present or incorrectly formatted request")
            return reply
        for name, execute in self._table:
            argument = request.argument(name)
            if argument is not None:
                reply.results.append((name, execute(argument, request, reply)))
        if len(reply.results) != reply.n_commands:
            reply.errors.append(_NOT_UNDERSTOOD)
        return reply

    def _fpga_clk(self, value: Any, request: Request, reply: Reply) -> bytes:
        if len(request.array(value)) == 3:
            self._machine.access(3)
            return pack(0)
        reply.errors.append("you only provided some FPGA clock control words; check you're providing all 3")
        return pack(-1)

    def _ctrl(self, value: Any, request: Request, _reply: Reply) -> bytes:
        word = request.uint(value)
        start_s, idle_s = self._player.start_clock() if self._machine.starts_with(word) else (0.0, 0.0)
        self._machine.write_ctrl(word, start_s, idle_s, self._player.signals_of)
        return pack(0)

    def _direct(self, value: Any, request: Request, _reply: Reply) -> bytes:
        self._machine.direct(request.uint(value))
        return pack(0)

    def _mar_mem(self, value: Any, request: Request, reply: Reply) -> bytes:
        data = request.blob(value)
        if len(data) > MEMORY_BYTES:
            reply.errors.append(
                f"too much mar mem data: {len(data)} bytes > {MEMORY_BYTES} -- streaming not yet implemented"
            )
            return pack(-1)
        self._machine.memory.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        reply.infos.append(f"mar mem data bytes copied: {len(data)}")
        return pack(0)

    def _acq_rlim(self, value: Any, request: Request, reply: Reply) -> bytes:
        if 1000 <= request.uint(value) <= 10_000_000:
            return pack(0)
        reply.errors.append("acquisition retry limit outside the range [1000, 10,000,000]; check your settings")
        return pack(-1)

    @staticmethod
    def _samples(received: _Fifos, reply: Reply) -> bytes:
        packed = pack_samples(received)
        if packed is None:
            reply.warnings.append(_NO_DATA)
        return packed or pack(0)

    def _read_rx(self, _value: Any, _request: Request, reply: Reply) -> bytes:
        return self._samples(self._machine.read_fifos(), reply)

    def _run_seq(self, value: Any, request: Request, reply: Reply) -> bytes:
        data = request.blob(value)
        words = np.frombuffer(data, dtype="<u4", count=len(data) // 4).copy()  # numba compiles again for what is read-only
        run, received = self._player.run_seq(words)
        reply.errors += run.messages["errors"]
        reply.warnings += run.messages["warnings"]
        return self._samples(received, reply)

    @staticmethod
    def _test_net(value: Any, request: Request, _reply: Reply) -> bytes:
        n = request.uint(value)
        if n > _MAX_TEST_NET:
            raise RequestRefused(f"test_net of {n}")
        return pack({"array1": [1.01 * k for k in range(n)], "array2": [1.01 * (k + 10) for k in range(n)]})

    def _test_bus(self, value: Any, request: Request, _reply: Reply) -> bytes:
        n = request.uint(value)
        return pack([0, round(n * 0.131), round(n * 0.1585)])  # as long as on the hardware [us]
