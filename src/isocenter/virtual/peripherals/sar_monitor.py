# SPDX-License-Identifier: MIT
"""A virtual SAR monitor: frames with CRC32, running means of the plant's RF power, a relay in the blanking line, a latch.

Source
------
Reference domain.md 1.4: peak at once, mean over 10 s looked at every 10 ms, mean over 6 min, reflected share 20 %. That
``SARstop`` comes before the alarm is how an existing program expects it.
"""

import binascii
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant

_END: Final = b"\r\n\t"


class VirtualSarMonitor:
    """The box at the far end of the line.

    Parameters
    ----------
    plant
        Where the power is, and the blanking line that it cuts.
    w_per_adc2
        Its true calibration [W].
    windows_s
        Lengths of the two running means [s]; shorter ones make tests quick.
    is_peak_squared
        True: it compares the limit of the peak with squared units.
    is_real_time
        False on a scanner that plays faster than time: what a run sent is added up when it has ended, over the time that the
        run would have taken; between runs time passes as it does.
    ends_with_tab
        Frames to the computer end with CR LF TAB instead of CR LF.
    """

    def __init__(
        self,
        plant: Plant,
        *,
        w_per_adc2: float = 1e-4,
        windows_s: tuple[float, float] = (10.0, 360.0),
        is_peak_squared: bool = False,
        is_real_time: bool = True,
        ends_with_tab: bool = True,
        reflected_limit: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plant, self._w_per_adc2, self._is_peak_squared = plant, w_per_adc2, is_peak_squared
        self._tail = _END if ends_with_tab else b"\r\n"
        self._reflected_limit, self._clock = reflected_limit, clock
        self._input = b""
        self._means = [_RunningMean(window_s) for window_s in windows_s]
        self._limits = {"l10s": 0, "l6m": 0, "tran": 0}
        self._is_real_time, self._time_s, self._last_s = is_real_time, 0.0, clock()
        self._played_s, self._played_j = plant.state.played_s, plant.state.played_j
        self.is_watching = False
        self.tripped_by = ""
        self._set_relay()

    def press_reset(self) -> None:
        """Somebody presses the reset button on the box."""
        self.tripped_by = ""

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Frames from the computer."""
        self._input += data
        replies: list[Reply] = []
        while (end := self._end_of_frame()) >= 0:
            frame, self._input = self._input[:end], self._input[end + len(_END) :]
            replies += [self._frame(text) for text in self._answer(frame)]
        return replies

    def tick(self) -> Sequence[Reply]:
        """Integrate the power, and trip."""
        elapsed_s, forward_w = self._passed()
        if not self.is_watching:
            return ()
        state = self._plant.state
        adc2 = min(forward_w / self._w_per_adc2, 4095.0**2)
        for mean in self._means:
            mean.add(adc2, elapsed_s, self._time_s)
        peak = adc2 if self._is_peak_squared else adc2**0.5
        for reason, is_over in (
            ("tranlimit", peak > self._limits["tran"]),
            ("reflimit", forward_w > 0 and state.reflected_share > self._reflected_limit),
            ("10slimit", self._means[0].value > self._limits["l10s"]),
            ("6minlimit", self._means[1].value > self._limits["l6m"]),
        ):
            if is_over:
                self.is_watching, self.tripped_by = False, reason
                self._set_relay()
                return (self._frame("SARstop"), self._frame(reason))
        return ()

    def _passed(self) -> tuple[float, float]:
        """Time since it last looked [s], and the mean forward power in it [W]."""
        state, now_s = self._plant.state, self._clock()
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        ran_s, energy_j = state.played_s - self._played_s, state.played_j - self._played_j
        self._played_s, self._played_j = state.played_s, state.played_j
        forward_w = state.forward_w if state.rf_playing else 0.0
        if not self._is_real_time:
            is_over = ran_s > 0
            elapsed_s = ran_s if is_over else 0.0 if state.rf_playing else elapsed_s
            forward_w = energy_j / ran_s if is_over else 0.0
        self._time_s += elapsed_s
        return elapsed_s, forward_w

    def _end_of_frame(self) -> int:
        """The first line end at which the CRC fits; else the last one when nothing follows it: a bad frame."""
        end = -1
        while (at := self._input.find(_END, end + 1)) >= 0:
            end = at
            if at >= 4 and binascii.crc32(self._input[: at - 4]) == int.from_bytes(self._input[at - 4 : at], "big"):
                return at
        return end if self._input.endswith(_END) else -1

    def _answer(self, frame: bytes) -> tuple[str, ...]:
        if len(frame) < 5:
            return ("MTS",)
        if binascii.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
            return ("CSC",)
        text = frame[:-4].decode("ascii", "replace")
        if text == "ident":
            return ("sar2.0",)
        if text == "s":
            was_watching, self.is_watching = self.is_watching, False
            self._set_relay()
            return ("SARstop" if was_watching else "stop",)
        if text == "start":
            return self._start()
        return self._measured(text) or self._configure(text)

    def _measured(self, text: str) -> tuple[str, ...]:
        """Running means in squared units, also while it watches; nothing for another question."""
        names = ("r10sec", "r6min")
        return (str(round(self._means[names.index(text)].value)),) if text in names else ()

    def _start(self) -> tuple[str, ...]:
        if self.tripped_by:
            return (self.tripped_by,)
        self._passed()  # what was before it watched counts as nothing
        self.is_watching = True
        self._set_relay()
        return ("start",)

    def _configure(self, text: str) -> tuple[str, ...]:
        if self.is_watching:
            return ("err:samp",)
        if text == "new pat":
            for mean in self._means:
                mean.clear()
            return ()
        if text == "new pos":
            return ("npos ok",)
        for name in self._limits:
            if text.startswith(name) and text[len(name) :].isdigit():
                self._limits[name] = int(text[len(name) :])
                return ()
        return ("err:cmd",)

    @property
    def limits(self) -> dict[str, int]:
        """Limits as the box has them, by its own names."""
        return dict(self._limits)

    def _frame(self, text: str) -> Reply:
        data = text.encode("ascii")
        return Reply(data=data + binascii.crc32(data).to_bytes(4, "big") + self._tail)

    def _set_relay(self) -> None:
        self._plant.change("sar monitor", sar_monitor_blanks_rf=not self.is_watching)


class _RunningMean:
    """Mean over a window that ends now, of a power that is 0 before the first sample."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._parts: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    @property
    def value(self) -> float:
        return self._sum / self._window_s

    def add(self, power: float, duration_s: float, now_s: float) -> None:
        energy = power * min(duration_s, self._window_s)
        self._parts.append((now_s, energy))
        self._sum += energy
        while self._parts and self._parts[0][0] <= now_s - self._window_s:
            self._sum -= self._parts.popleft()[1]
        if not self._parts:
            self._sum = 0.0

    def clear(self) -> None:
        self._parts.clear()
        self._sum = 0.0
