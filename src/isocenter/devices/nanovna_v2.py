# SPDX-License-Identifier: MIT
"""NanoVNA V2 and LiteVNA: registers behind a USB serial port.

Bytes have no frames and no check, so each sweep is judged: the indices of its points must follow each other, and the wave
sent must not be zero. After anything odd, eight bytes without meaning bring the device back to the start of a command.

Source
------
NanoVNA V2 user manual UG1101, appendix II: commands 0x0d indicate (answers '2'), 0x10 read, 0x18 read FIFO, 0x20, 0x21 and
0x23 write 1, 2 and 8 bytes; registers 0x00 start, 0x10 step, 0x20 points, 0x22 values per frequency, 0x30 FIFO (written:
emptied), 0xf0 variant, 0xf1 protocol, 0xf3 and 0xf4 firmware (0xff: boot loader); 32 bytes a point, little-endian: sent 0,
returned 0 and returned 1 as pairs of int32, then the index as uint16. Register 0x26, value 3, asks for calibrated data
(author of a firmware for both, in issues 534 and 768 of NanoVNA-Saver); other firmware sends raw ratios whatever is written
there, and does not say so.
"""

import struct
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.line import Line
from isocenter.devices.roles import Reflection
from isocenter.domain.device import Condition, DeviceLink, DeviceReading, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ProtocolError, WrongState

BAUD: Final = 115_200
MAX_REFLECTION: Final = 1.5
_NOTHING: Final = bytes(8)
_POINT: Final = np.dtype([("wave", "<i4", 6), ("index", "<u2"), ("rest", "u1", 6)])
_FIFO_POINTS: Final = 64  # of 255 at most: small pieces, so that a hang is noticed soon
_IDENTITY: Final = (0xF0, 0xF1, 0xF2, 0xF3, 0xF4)
_MODE: Final = 0x26
_CALIBRATED: Final = 3
_RESTART: Final = "Switch the analyser off and on, then connect again."


class NanoVnaV2:
    """Driver of a NanoVNA V2 or LiteVNA.

    Parameters
    ----------
    link
        Options: ``max_points`` of one sweep (201); ``accept_uncalibrated``, 1 to take raw ratios.
    sweep_timeout_s
        For a whole sweep with its second attempt [s].
    """

    role = DeviceRole.NETWORK_ANALYSER

    def __init__(self, link: DeviceLink, *, sweep_timeout_s: float = 5.0) -> None:
        self._line = Line(link, "network analyser", BAUD)
        self._max_points = max(4, int(link.options.get("max_points", 201)))
        self._accepts_uncalibrated = bool(link.options.get("accept_uncalibrated", 0))
        self._sweep_timeout_s = sweep_timeout_s

    @property
    def address(self) -> str:
        """Where it is looked for, in words."""
        return self._line.address

    def open(self) -> str:
        """Open the line and ask who is there."""
        self._line.open()
        self._resynchronise(attempts=3)
        variant, protocol, hardware, major, minor = self._read_registers(_IDENTITY, 0.4)
        if (variant, protocol) != (2, 1) or major == 0xFF:
            self._line.close()
            if major == 0xFF:
                raise ConnectError("The network analyser is in its boot loader.", _RESTART)
            raise ConnectError(
                f"What answers at {self._line.address} is no NanoVNA V2 (variant {variant}, protocol {protocol}).",
                "Correct the address or the driver of the network analyser in the hardware file.",
            )
        return f"NanoVNA V2 hardware {hardware} firmware {major}.{minor}"

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    def poll(self) -> DeviceReading:
        """Whether it answers."""
        answer = self._line.exchange(b"\x0d", lambda got: len(got) >= 1, 0.4, "answer")
        if answer != b"2":
            self._line.close()
            raise _damaged(f"{answer[:8].hex(' ')} instead of 32")
        text = "answers; raw data" if self._accepts_uncalibrated else "answers; calibration not told"
        return DeviceReading(condition=Condition.READY, text=text, said="2")

    def sweep(self, start_hz: float, stop_hz: float, n_points: int = 101) -> Reflection:
        """One sweep, in parts where it has more points than asked of the device at once. At most 5 s.

        Raises
        ------
        WrongState
            The device does not know calibrated data.
        DeviceTimeout, ProtocolError
            It hangs, or its bytes cannot be right, at the second attempt too.
        """
        step_hz = round((stop_hz - start_hz) / max(1, n_points - 1))
        if n_points < 2 or start_hz <= 0 or step_hz < 1:
            raise ValueError(f"no sweep: {start_hz} to {stop_hz} Hz in {n_points} points")
        deadline_s = time.monotonic() + self._sweep_timeout_s
        frequency_hz = round(start_hz) + step_hz * np.arange(n_points, dtype=np.float64)
        parts = np.array_split(frequency_hz, -(-n_points // self._max_points))
        s11 = [self._part(int(part[0]), step_hz, len(part), deadline_s, len(parts) - n) for n, part in enumerate(parts)]
        return Reflection(frequency_hz=frequency_hz, s11=np.concatenate(s11))

    def _part(self, start_hz: int, step_hz: int, n: int, deadline_s: float, n_left: int) -> NDArray[np.complex128]:
        for attempt in (1, 2):
            left_s = deadline_s - time.monotonic()
            try:
                self._set_up(start_hz, step_hz, n)
                return self._read_points(n, max(0.1, left_s if attempt == 2 else left_s * min(0.45, 0.8 / n_left)))
            except (DeviceTimeout, ProtocolError) as error:
                if attempt == 2 or deadline_s - time.monotonic() < 0.1:
                    raise type(error)(error.problem, _RESTART) from error
            self._resynchronise(attempts=1)
        raise AssertionError("the second attempt returns or raises")

    def _set_up(self, start_hz: int, step_hz: int, n: int) -> None:
        mode = 0 if self._accepts_uncalibrated else _CALIBRATED
        self._line.drain()
        self._line.write(
            struct.pack("<BBQ", 0x23, 0x00, start_hz)
            + struct.pack("<BBQ", 0x23, 0x10, step_hz)
            + struct.pack("<BBH", 0x21, 0x20, n)
            + struct.pack("<BBH", 0x21, 0x22, 1)
            + bytes([0x20, _MODE, mode])
            + bytes([0x20, 0x30, 0])
        )
        if self._read_registers((_MODE,), 0.4)[0] != mode:
            raise WrongState(
                "The network analyser gives no calibrated data to a computer.",
                "Install a firmware that does, or set 'accept_uncalibrated' in the hardware file and take S11 as a guess.",
            )

    def _read_points(self, n: int, timeout_s: float) -> NDArray[np.complex128]:
        """The points of a sweep by their indices; a point seen twice counts with its newest value."""
        s11, seen = np.zeros(n, dtype=np.complex128), np.zeros(n, dtype=bool)
        deadline_s, n_read, last = time.monotonic() + timeout_s, 0, -1
        while not seen.all():
            if n_read >= 3 * n:
                raise _damaged(f"{n_read} points, and {n - int(seen.sum())} of {n} never")
            count = min(_FIFO_POINTS, n)
            size = count * _POINT.itemsize
            self._line.write(bytes([0x18, 0x30, count]))
            left_s = max(0.01, deadline_s - time.monotonic())
            data = self._read_exactly(size, left_s, "send its points")
            points = np.frombuffer(data, dtype=_POINT)
            indices = points["index"].astype(np.int64)
            follows = np.diff(np.concatenate(([last], indices))) % n if last >= 0 else np.diff(indices) % n
            if (indices >= n).any() or (follows != 1 % n).any():
                raise _damaged("points that do not follow each other")
            s11[indices], seen[indices] = _ratio(points["wave"]), True
            last, n_read = int(indices[-1]), n_read + count
        return s11

    def _resynchronise(self, *, attempts: int) -> None:
        for attempt in range(1, attempts + 1):
            self._line.drain()
            self._line.write(_NOTHING + b"\x0d")
            try:
                self._line.read(lambda got: got.endswith(b"2"), 0.3, "answer")
            except DeviceTimeout:
                if attempt == attempts:
                    raise
            else:
                return

    def _read_registers(self, addresses: tuple[int, ...], timeout_s: float) -> bytes:
        self._line.drain()
        self._line.write(b"".join(bytes([0x10, address]) for address in addresses))
        return self._read_exactly(len(addresses), timeout_s, "tell its registers")

    def _read_exactly(self, size: int, timeout_s: float, doing: str) -> bytes:
        data = self._line.read(lambda got: len(got) >= size, timeout_s, doing)
        if len(data) != size:
            raise _damaged(f"{len(data)} bytes instead of {size}")
        return data


def _ratio(wave: NDArray[np.int32]) -> NDArray[np.complex128]:
    """Returned over sent."""
    sent, returned = wave[:, 0] + 1j * wave[:, 1], wave[:, 2] + 1j * wave[:, 3]
    if (sent == 0).any():
        raise DeviceFault("The network analyser sends no wave.", _RESTART)
    s11 = np.asarray(returned / sent, dtype=np.complex128)
    if (largest := float(np.abs(s11).max())) > MAX_REFLECTION:
        raise _damaged(f"a reflection of {largest:.3g}")
    return s11


def _damaged(what: str) -> ProtocolError:
    return ProtocolError(f"The network analyser sent what cannot be right: {what}.", _RESTART)
