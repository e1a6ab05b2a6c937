# SPDX-License-Identifier: MIT
"""NanoVNA with a text shell (the first one, -H, -H4, -F): reflection as calibrated at the device.

The shell echoes each command, answers in lines and ends with its prompt. An answer counts only behind the echo of its own
question, so one that comes late is not taken for the next. The device is known to hang; the line is then tried anew, a few
times, and no more: switching it off and on is somebody else's to do.

Source
------
Reference domain.md 1.4: prompt ``ch> ``, CR, at most 48 characters and 4 arguments, 101 points; the command ``scan`` with a
mask (1 frequency, 2 S11); a command that it does not know comes back with a question mark. ``cal`` alone lists what is
calibrated, with ``cal'ed`` when the correction is on.
"""

import re
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.line import Line
from isocenter.devices.roles import Reflection
from isocenter.domain.device import Condition, DeviceLink, DeviceReading, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ProtocolError, WrongState

BAUD: Final = 115_200
MAX_REFLECTION: Final = 1.5  # an analyser with a poor calibration may say a little more than 1
_PROMPT: Final = re.compile(rb"(?:^|[\r\n])ch> \Z")
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?\Z")
_FREQUENCY: Final = re.compile(r"\d+\Z")
_CALIBRATE: Final = (
    "Calibrate the analyser with OPEN, SHORT and LOAD at the end of its cable, save that to slot 0, then retry."
)
_RESTART: Final = "Switch the analyser off and on, then connect again."


class NanoVna:
    """Driver of a NanoVNA with a text shell.

    Parameters
    ----------
    link
        Options: ``max_points`` of one sweep of the device (101); ``accept_uncalibrated``, 1 to measure without its
        calibration.
    sweep_timeout_s
        For a whole sweep with its second attempt [s].
    """

    role = DeviceRole.NETWORK_ANALYSER

    def __init__(self, link: DeviceLink, *, sweep_timeout_s: float = 5.0) -> None:
        self._line = Line(link, "network analyser", BAUD)
        self._max_points = max(4, int(link.options.get("max_points", 101)))
        self._accepts_uncalibrated = bool(link.options.get("accept_uncalibrated", 0))
        self._sweep_timeout_s = sweep_timeout_s
        self._has_mask = True
        self._was_calibrated = False

    @property
    def address(self) -> str:
        """Where it is looked for, in words."""
        return self._line.address

    def open(self) -> str:
        """Open the line, find the prompt and ask who is there."""
        deadline_s = time.monotonic() + 1.9
        self._line.open()
        self._find_prompt(attempts=3, timeout_s=0.25)
        self._has_mask, self._was_calibrated = True, False
        board = next((line for line in self._ask("info", 0.4) if "board" in line.lower()), "")
        version = self._ask("version", max(0.1, min(0.4, deadline_s - time.monotonic())))
        if not version or version[0].endswith("?"):
            self._line.close()
            raise ConnectError(
                f"What answers at {self._line.address} is no network analyser with a text shell.",
                "Correct the address or the driver of the network analyser in the hardware file.",
            )
        return f"{board.split(':', 1)[-1].strip() or 'NanoVNA'} {version[0]}"

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    def poll(self) -> DeviceReading:
        """Whether it answers, and whether it is calibrated."""
        version = " ".join(self._ask("version", 0.24))  # as little as possible: some firmware hangs when asked for long
        self._was_calibrated = self._was_calibrated or self._accepts_uncalibrated or self._is_calibrated(0.24)
        if self._was_calibrated:
            return DeviceReading(condition=Condition.READY, text="answers", said=version)
        return DeviceReading(condition=Condition.FAULT, text="answers, but is not calibrated", said=version)

    def sweep(self, start_hz: float, stop_hz: float, n_points: int = 101) -> Reflection:
        """One sweep, in parts where it has more points than the device can do at once. At most 5 s.

        Raises
        ------
        WrongState
            The device is not calibrated.
        DeviceTimeout, ProtocolError
            It hangs, or its lines are damaged, at the second attempt too.
        """
        wanted_hz = np.round(np.linspace(start_hz, stop_hz, n_points))
        if n_points < 2 or not 0 < start_hz < stop_hz or wanted_hz[1] <= wanted_hz[0]:
            raise ValueError(f"no sweep: {start_hz} to {stop_hz} Hz in {n_points} points")
        deadline_s = time.monotonic() + self._sweep_timeout_s
        if not self._accepts_uncalibrated and not self._is_calibrated(0.4):
            self._was_calibrated = False
            raise WrongState("The network analyser is not calibrated.", _CALIBRATE)
        parts = np.array_split(wanted_hz, -(-n_points // self._max_points))
        measured = [self._part(part, deadline_s, len(parts) - n) for n, part in enumerate(parts)]
        return Reflection(
            frequency_hz=np.concatenate([frequency for frequency, _ in measured]),
            s11=np.concatenate([s11 for _, s11 in measured]),
        )

    def _part(
        self, wanted_hz: NDArray[np.float64], deadline_s: float, n_left: int
    ) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        """One part, and once more when it fails."""
        for attempt in (1, 2):
            left_s = deadline_s - time.monotonic()
            try:
                return self._scan(wanted_hz, max(0.1, left_s if attempt == 2 else left_s * min(0.45, 0.8 / n_left)))
            except (DeviceTimeout, ProtocolError) as error:
                if attempt == 2 or deadline_s - time.monotonic() < 0.1:
                    raise type(error)(error.problem, _RESTART) from error
            self._recover()
        raise AssertionError("the second attempt returns or raises")

    def _recover(self) -> None:
        """After a hang or nonsense: find the prompt, if need be on a line opened anew."""
        try:
            self._find_prompt(attempts=1, timeout_s=0.25)
        except DeviceTimeout:
            self._line.open()
            try:
                self._find_prompt(attempts=1, timeout_s=0.25)
            except DeviceTimeout as error:
                raise DeviceTimeout(error.problem, _RESTART) from error

    def _scan(self, wanted_hz: NDArray[np.float64], timeout_s: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        command = f"scan {wanted_hz[0]:.0f} {wanted_hz[-1]:.0f} {len(wanted_hz)}"
        if self._has_mask:
            lines = self._ask(f"{command} 3", timeout_s)
            self._has_mask = not _is_refused(lines)
        if not self._has_mask:
            refused = self._ask(command, timeout_s)
            if _is_refused(refused):
                raise DeviceFault(
                    f"The network analyser cannot sweep for a computer: it said '{' '.join(refused)}'.",
                    "Install a firmware on it that knows the command 'scan'.",
                )
            frequencies, values = self._ask("frequencies", 0.5), self._ask("data 0", 1.0)
            lines = [f"{a.strip()} {b.strip()}" for a, b in zip(frequencies, values, strict=False)]
        return _parse(lines, wanted_hz)

    def _is_calibrated(self, timeout_s: float) -> bool:
        return "cal'ed" in " ".join(self._ask("cal", timeout_s))

    def _find_prompt(self, *, attempts: int, timeout_s: float) -> None:
        for attempt in range(1, attempts + 1):
            try:
                self._line.exchange(b"\r", lambda got: _PROMPT.search(got) is not None, timeout_s, "show its prompt")
            except DeviceTimeout:
                if attempt == attempts:
                    raise
            else:
                return

    def _ask(self, command: str, timeout_s: float) -> list[str]:
        """Lines of the answer between the echo and the prompt."""
        echo = re.compile(re.escape(command.encode("ascii")) + rb"[\r\n]")

        def is_complete(received: bytes) -> bool:
            begin = echo.search(received)
            return begin is not None and _PROMPT.search(received, begin.end() - 1) is not None

        received = self._line.exchange(f"{command}\r".encode("ascii"), is_complete, timeout_s, f"answer '{command}'")
        begin = echo.search(received)
        if begin is None:
            raise AssertionError("is_complete has found it")
        answer = received[begin.end() :].decode("ascii", "replace")
        return [line.strip() for line in answer.replace("\r", "\n").split("\n")[:-1] if line.strip()]


def _is_refused(lines: list[str]) -> bool:
    return bool(lines) and (lines[0].rstrip().endswith("?") or lines[0].lower().startswith("usage"))


def _parse(lines: list[str], wanted_hz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Numbers of a sweep, every one checked: count, form, frequency, size."""
    if len(lines) != len(wanted_hz):
        raise _damaged(f"{len(lines)} lines instead of {len(wanted_hz)}")
    words = [line.split() for line in lines]
    for line, parts in zip(lines, words, strict=True):
        if len(parts) != 3 or not _FREQUENCY.match(parts[0]) or not all(_NUMBER.match(part) for part in parts[1:]):
            raise _damaged(f"'{line[:40]}'")
    numbers = np.array(words, dtype=np.float64)
    step_hz = wanted_hz[1] - wanted_hz[0]
    off = np.abs(numbers[:, 0] - wanted_hz) > max(1.0, 0.5 * step_hz)
    if off.any() or (np.diff(numbers[:, 0]) <= 0).any():
        raise _damaged(f"{numbers[off.argmax(), 0]:.0f} Hz where {wanted_hz[off.argmax()]:.0f} Hz was asked")
    s11 = numbers[:, 1] + 1j * numbers[:, 2]
    if (largest := float(np.abs(s11).max())) > MAX_REFLECTION:
        raise _damaged(f"a reflection of {largest:.3g}")
    return numbers[:, 0].copy(), s11


def _damaged(what: str) -> ProtocolError:
    return ProtocolError(f"The network analyser sent what cannot be right: {what}.", _RESTART)
