# SPDX-License-Identifier: MIT
"""Registers and FIFO on scripted bytes: what shifts, repeats or is missing is never taken for a measurement."""

import struct
import time

import numpy as np
import pytest
from scripted_far_end import Scripted

from isocenter.devices.nanovna_v2 import NanoVnaV2
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ProtocolError, WrongState
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import Reply, VirtualLine
from isocenter.virtual.peripherals.nanovna_v2 import VirtualNanoVnaV2
from isocenter.virtual.peripherals.plant import Plant


def point(index: int, s11: complex = 0.25 - 0.5j) -> bytes:
    """By hand, after UG1101 appendix II: six int32 and the index; sent 1000 + 0i."""
    return (
        struct.pack("<iiiiii", 1000, 0, round(1000 * s11.real), round(1000 * s11.imag), 7, 7)
        + struct.pack("<H", index)
        + bytes(6)
    )


class Device(Scripted):
    """Registers by hand; ``fifo`` says what comes out of the FIFO, and how often it was asked."""

    def __init__(self, fifo: object = None) -> None:
        super().__init__(self._answer)
        self.registers = {0xF0: 2, 0xF1: 1, 0xF2: 3, 0xF3: 2, 0xF4: 5, 0x26: 0}
        self.fifo = fifo or (lambda count, _: b"".join(point(n) for n in range(count)))
        self.n_reads = 0
        self._left = b""

    def _answer(self, data: bytes) -> list[bytes | Reply]:
        self._left += data
        replies: list[bytes | Reply] = []
        lengths = {0x10: 2, 0x18: 3, 0x20: 3, 0x21: 4, 0x23: 10}
        while self._left and len(self._left) >= (size := lengths.get(self._left[0], 1)):
            command, self._left = self._left[:size], self._left[size:]
            if command[0] == 0x0D:
                replies.append(b"2")
            elif command[0] == 0x10:
                replies.append(bytes([self.registers.get(command[1], 0)]))
            elif command[0] == 0x20:
                self.registers[command[1]] = command[2]
            elif command[0] == 0x18:
                self.n_reads += 1
                replies.append(self.fifo(command[2], self.n_reads))
        return replies


def link(url: str, **options: float) -> DeviceLink:
    return DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver="nanovna-v2", url=url, options=options)


def opened(url: str, **options: float) -> NanoVnaV2:
    analyser = NanoVnaV2(link(url, **options), sweep_timeout_s=0.6)
    analyser.open()
    return analyser


def test_the_bytes_of_a_sweep_are_those_of_the_manual() -> None:
    far = Device()
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        far.heard = b""
        reflection = analyser.sweep(1.9e6, 2.1e6, 5)
        assert far.heard == bytes.fromhex(
            "23 00 e0fd1c0000000000  23 10 50c3000000000000  21 20 0500  21 22 0100  20 26 03  20 30 00  10 26  18 30 05"
        )
        np.testing.assert_array_equal(reflection.frequency_hz, [1.9e6, 1.95e6, 2e6, 2.05e6, 2.1e6])
        np.testing.assert_allclose(reflection.s11, 0.25 - 0.5j)
        analyser.close()


def test_it_is_recognised_or_refused() -> None:
    far = Device()
    with VirtualLine(far, "pty") as line:
        assert NanoVnaV2(link(line.url)).open() == "NanoVNA V2 hardware 3 firmware 2.5"
        far.registers[0xF0] = 9
        with pytest.raises(ConnectError, match=r"no NanoVNA V2 \(variant 9"):
            NanoVnaV2(link(line.url)).open()
        far.registers |= {0xF0: 2, 0xF3: 0xFF}
        with pytest.raises(ConnectError, match=r"boot loader.*\n.*off and on"):
            NanoVnaV2(link(line.url)).open()


def test_half_a_command_of_somebody_before_does_not_matter() -> None:
    far = Device()
    far._left = bytes([0x23, 0x00, 1])
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        assert len(analyser.sweep(1.9e6, 2.1e6, 5).s11) == 5
        analyser.close()


@pytest.mark.parametrize(
    ("fifo", "what"),
    [
        (lambda count, _: b"".join(point(n + 1) for n in range(count)), "follow each other"),  # index 5 of 5
        (lambda count, _: b"".join(point(2 * n % 5) for n in range(count)), "follow each other"),
        (lambda count, _: (b"\x00" + b"".join(point(n) for n in range(count)))[: 32 * count], "cannot be right"),  # shifted
        (lambda count, _: b"".join(point(n) for n in range(count)) + b"\x00", "161 bytes instead of 160"),
        (lambda count, _: b"".join(point(n, 4 + 3j) for n in range(count)), "a reflection of 5"),
    ],
)
def test_what_cannot_be_a_sweep_is_refused(fifo: object, what: str) -> None:
    far = Device(fifo)
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(ProtocolError, match=what):
            analyser.sweep(1.9e6, 2.1e6, 5)
        assert far.n_reads == 2
        analyser.close()


def test_a_shifted_sweep_is_measured_again() -> None:
    good = lambda count: b"".join(point(n) for n in range(count))  # noqa: E731
    far = Device(lambda count, n: (b"\x07" + good(count))[: 32 * count] if n == 1 else good(count))
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        np.testing.assert_allclose(analyser.sweep(1.9e6, 2.1e6, 5).s11, 0.25 - 0.5j)
        analyser.close()


def test_no_wave_is_a_fault_of_the_device() -> None:
    far = Device(lambda count, _: b"".join(bytes(24) + struct.pack("<H", n) + bytes(6) for n in range(count)))
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(DeviceFault, match="sends no wave"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        analyser.close()


def test_a_fifo_that_stays_empty_is_a_timeout() -> None:
    far = Device(lambda _count, _n: b"")
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        begin_s = time.monotonic()
        with pytest.raises(DeviceTimeout, match=r"did not send its points.*\n.*off and on"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        assert time.monotonic() - begin_s < 0.9
        analyser.close()


def test_a_firmware_without_calibrated_data_is_told_unless_raw_is_wanted() -> None:
    plant = Plant()
    plant.change("test", capacitors=(1, 6, 6), analyser_connected=True)
    far = VirtualNanoVnaV2(plant, CoilCircuit())
    far.knows_calibrated = False
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(WrongState, match=r"no calibrated data.*\n.*firmware"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        analyser.close()
        careless = opened(line.url, accept_uncalibrated=1)
        assert "raw" in careless.poll().text
        assert len(careless.sweep(1.9e6, 2.1e6, 5).s11) == 5
        careless.close()


def test_long_sweeps_come_in_pieces_and_parts_and_are_true() -> None:
    plant, coil = Plant(), CoilCircuit()
    plant.change("test", capacitors=(1, 6, 6), analyser_connected=True)
    with VirtualLine(VirtualNanoVnaV2(plant, coil), "pty") as line:
        analyser = NanoVnaV2(link(line.url))
        analyser.open()
        reflection = analyser.sweep(1e6, 4e6, 301)
        np.testing.assert_allclose(reflection.s11, coil.reflection(reflection.frequency_hz, plant.state), atol=4e-3)
        analyser.close()
