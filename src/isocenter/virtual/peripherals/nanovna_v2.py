# SPDX-License-Identifier: MIT
"""A virtual NanoVNA V2: registers, and a FIFO of points that never ends.

Source
------
NanoVNA V2 user manual UG1101, appendix II: commands, registers, form of a point. Points follow each other for ever;
writing the FIFO's register empties it and begins at the first point.
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant

_LENGTHS: Final = {0x00: 1, 0x0D: 1, 0x10: 2, 0x11: 2, 0x12: 2, 0x18: 3, 0x20: 3, 0x21: 4, 0x22: 6, 0x23: 10}
_SENT: Final = 0.31 - 0.22j  # of full scale, at the reference receiver


class VirtualNanoVnaV2:
    """The instrument at the far end of the line.

    Attributes
    ----------
    hangs
        It answers nothing.
    knows_calibrated
        Its firmware sends calibrated data when asked, and keeps no other mode.
    """

    def __init__(self, plant: Plant, coil: CoilCircuit, *, point_s: float = 0.0, seed: int = 1) -> None:
        self._plant, self._coil, self._point_s = plant, coil, point_s
        self._noise = np.random.default_rng(seed)
        self._registers = bytearray(256)
        self._registers[0xF0:0xF5] = bytes([2, 1, 2, 2, 2])
        self._input = b""
        self._index = 0
        self.hangs = False
        self.knows_calibrated = True

    def set_register(self, address: int, value: int) -> None:
        """What it is, for tests of other variants."""
        self._registers[address] = value

    def tick(self) -> Sequence[Reply]:
        """Nothing comes unasked."""
        return ()

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Commands in pieces."""
        if self.hangs:
            return ()
        self._input += data
        replies: list[Reply] = []
        while self._input and len(self._input) >= (length := _LENGTHS.get(self._input[0], 1)):
            command, self._input = self._input[:length], self._input[length:]
            replies += self._execute(command)
        return replies

    def _execute(self, command: bytes) -> list[Reply]:
        code = command[0]
        if code == 0x0D:
            return [Reply(data=b"2")]
        if code in (0x10, 0x11, 0x12):
            size = 1 << (code - 0x10)
            return [Reply(data=bytes(self._registers[command[1] : command[1] + size]))]
        if code == 0x18:
            data = b"".join(self._point() for _ in range(command[2])) if command[1] == 0x30 else b""
            return [Reply(data=data, delay_s=command[2] * self._point_s)]
        if code in (0x20, 0x21, 0x22, 0x23):
            self._write(command[1], command[2:])
        return []

    def _write(self, address: int, data: bytes) -> None:
        if address == 0x30:
            self._index = 0
        elif address != 0x26 or self.knows_calibrated or data[0] < 3:
            self._registers[address : address + len(data)] = data

    def _point(self) -> bytes:
        start, step, points = (self._number(*where) for where in ((0x00, "<Q"), (0x10, "<Q"), (0x20, "<H")))
        index = self._index % max(1, points)
        self._index += 1
        frequency_hz = np.array([start + index * step], dtype=np.float64)
        s11 = complex(self._coil.reflection(frequency_hz, self._plant.state)[0])
        s11 += complex(*self._noise.normal(0, 5e-4, 2))
        if self._registers[0x26] != 3:
            s11 = 0.05 + 0.9j * s11  # raw: with the errors of its bridge
        waves = (_SENT, _SENT * s11, 0j)
        numbers = [round(part * 2**27) for wave in waves for part in (wave.real, wave.imag)]
        return struct.pack("<6iH6x", *numbers, index)

    def _number(self, address: int, form: str) -> int:
        return int(struct.unpack_from(form, self._registers, address)[0])
