# SPDX-License-Identifier: MIT
"""The open SAR monitor: it watches RF power and cuts the amplifier's blanking by itself.

It says unasked when a limit was passed, and has no question for its state. So the driver knows only what was confirmed since
the line was opened: before the first confirmed ``start`` or stop, and after anything that could not be read, the state is
unknown. ``ident`` shows that the box is alive and comes behind whatever it had to say before.

Source
------
Reference domain.md 1.4. Assumed, since no source says it: ``ident`` is answered in every state and changes none; the box
handles frames in order and complains of those that it does not take (``err:``, ``MTS`` too short, ``CSC`` wrong CRC); so
an answered ``ident`` behind the limits, without a complaint before it, shows that they were taken.
"""

import math
from enum import Enum
from typing import Final

from isocenter.devices.line import Line
from isocenter.devices.sar_monitor_frames import FrameReader, encode_frame
from isocenter.domain.device import Condition, DeviceFaultName, DeviceLink, DeviceReading, DeviceRole
from isocenter.domain.errors import ConfigError, DeviceError, DeviceFault, DeviceTimeout, ProtocolError, WrongState

BAUD: Final = 112_500
ADC_MAX: Final = 4095
ALARMS: Final = {
    "tranlimit": (DeviceFaultName.SAR_PEAK, "the peak of the RF power was too high"),
    "reflimit": (DeviceFaultName.REFLECTED, "too much RF power came back from the coil"),
    "10slimit": (DeviceFaultName.SAR_10S, "the RF power over 10 s was too high"),
    "6minlimit": (DeviceFaultName.SAR_6MIN, "the RF power over 6 min was too high"),
}
_STOPPED: Final = ("SARstop", "stop")
_COMPLAINTS: Final = ("MTS", "CSC")
_RESET: Final = "Find the cause, press the reset button on the SAR monitor, then clear the fault here."


class _State(Enum):
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    WATCHING = "watching"
    TRIPPED = "tripped"


class OvguSarMonitor:
    """Driver of the monitor that calls itself ``sar2.0``.

    Parameters
    ----------
    link
        Options: ``w_per_adc2``, forward power for one squared unit of its converter [W], as calibrated at this scanner;
        needed. ``peak_limit_power``: 1 when the box takes the limit of the peak in units of its converter, 2 when in squared
        units. Sources disagree; 1 is the default because, where it is wrong, the box trips at the first pulse, and the other
        way round it would never trip. ``tells_while_watching``: 1 when somebody has seen that the box answers ``r10sec`` and
        ``r6min`` while it watches, and goes on watching; then each poll tells its means.

    Raises
    ------
    ConfigError
        The calibration is missing or cannot be right.
    """

    role = DeviceRole.SAR_MONITOR

    def __init__(self, link: DeviceLink) -> None:
        self._line = Line(link, "SAR monitor", BAUD)
        self._w_per_adc2 = float(link.options.get("w_per_adc2", math.nan))
        self._peak_limit_power = float(link.options.get("peak_limit_power", 1.0))
        self._tells_while_watching = bool(link.options.get("tells_while_watching", 0))
        if not 0 < self._w_per_adc2 < math.inf:
            raise ConfigError(
                "The hardware file gives no calibration of the SAR monitor.",
                "Measure the power for a known reading and give it as 'w_per_adc2' in the options of the SAR monitor.",
            )
        if self._peak_limit_power not in (1.0, 2.0):
            raise ConfigError(
                f"The option 'peak_limit_power' of the SAR monitor is {self._peak_limit_power:g}.", "Make it 1 or 2."
            )
        self._frames = FrameReader()
        self._state = _State.UNKNOWN
        self._faults: tuple[DeviceFaultName, ...] = ()
        self._said = ""
        self._complaint = ""
        self._has_limits = False
        self._numbers: list[float] = []

    @property
    def address(self) -> str:
        """Where it is looked for, in words."""
        return self._line.address

    def open(self) -> str:
        """Open the line and ask who is there. What it was doing goes on, and is unknown; a trip stays a trip."""
        self._line.open()
        self._frames = FrameReader()
        self._forget()
        identity = self._identify(timeout_s=0.5, attempts=3)
        self._frames.has_lost = False  # half a message from before we listened
        return identity

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()
        self._forget()

    def poll(self) -> DeviceReading:
        """What is known of it, after it has shown that it is alive."""
        was_watching, means_w = self._state is _State.WATCHING, (math.nan, math.nan)
        if was_watching and self._tells_while_watching:
            means_w = self._ask_means(timeout_s=0.2)
        else:
            self._identify(timeout_s=0.2, attempts=1)  # whoever watches it asks again, and has a second in all
        if was_watching and self._state is _State.STOPPED:  # by itself: it says why right behind, before it answers again
            self._identify(timeout_s=0.2, attempts=1)
        return self._reading(means_w)

    def mean_power_w(self) -> tuple[float, float]:
        """Mean forward power of the last 10 s and 6 min in which it watched [W]; NaN while it cannot be asked."""
        self._listen()
        is_watching = self._state is _State.WATCHING
        if self._state is _State.UNKNOWN or (is_watching and not self._tells_while_watching):
            return math.nan, math.nan
        complaint, self._complaint = self._complaint, ""
        means_w = self._ask_means(timeout_s=0.22)
        if not is_watching:
            self._complaint = complaint  # a box that does not know the question is none the worse for it
        return means_w

    def enable(self) -> None:
        """Start watching: only from then on can the amplifier be unblanked.

        Raises
        ------
        WrongState
            It has tripped, or has no limits yet.
        """
        self._listen()
        if self._state is _State.TRIPPED:
            raise WrongState(f"The SAR monitor has tripped: {self._why()}.", _RESET)
        if not self._has_limits:
            raise WrongState(
                "The SAR monitor has no limits for this patient yet.", "Register the patient's weight, then retry."
            )
        self._state = _State.UNKNOWN
        self._command("start", ("start",), timeout_s=2.0, attempts=1, doing="start watching")
        if self._state is _State.TRIPPED:
            raise DeviceFault(f"The SAR monitor tripped at once: {self._why()}.", _RESET)
        if self._state is not _State.WATCHING:
            raise DeviceFault(f"The SAR monitor does not keep watching; it said '{self._said}'.", _RESET)

    def standby(self) -> None:
        """Stop watching: the amplifier stays blanked."""
        self._listen()
        self._stop(timeout_s=0.22)

    def trip(self) -> None:
        """Stop at once; confirmed within 0.3 s or raises."""
        self._stop(timeout_s=0.14)

    def clear_fault(self) -> None:
        """Forget what tripped it; then it wants limits anew. The box's own latch needs its button. At most 1 s."""
        self._listen()
        self._faults, self._has_limits = (), False
        self._state = _State.UNKNOWN
        self._stop(timeout_s=0.22)
        self.new_patient()

    def new_patient(self) -> None:
        """Let the box forget the power of the patient before. Not while it watches."""
        self._require_stopped("a new patient")
        self._send_and_confirm("new pat")

    def set_limits(self, *, mean_10s_w: float, mean_6min_w: float, peak_w: float) -> None:
        """Limits of forward power for this patient [W], rounded down to what the box can tell. At most 1 s.

        A box of which nothing is known is stopped first.

        Raises
        ------
        WrongState
            It watches, or has tripped.
        ConfigError
            A limit is below what the box can tell, or above what it can see, so that it would never trip.
        """
        self._require_stopped("new limits")
        peak = self._adc2(peak_w, "peak")
        texts = (
            f"l10s{math.floor(self._adc2(mean_10s_w, '10 s'))}",
            f"l6m{math.floor(self._adc2(mean_6min_w, '6 min'))}",
            f"tran{math.floor(peak if self._peak_limit_power == 2 else math.sqrt(peak))}",
        )
        self._has_limits = False
        self._send_and_confirm(*texts)
        self._has_limits = True

    def _forget(self) -> None:
        """What was known of the box, but for a trip: its latch stays, whatever becomes of the line."""
        self._state = _State.TRIPPED if self._state is _State.TRIPPED else _State.UNKNOWN
        self._has_limits, self._complaint = False, ""

    def _adc2(self, limit_w: float, window: str) -> float:
        adc2 = limit_w / self._w_per_adc2
        if not 1 <= adc2 <= ADC_MAX**2:
            raise ConfigError(
                f"The SAR monitor cannot watch a limit of {limit_w:g} W ({window}): it tells {self._w_per_adc2:.3g} to "
                f"{self._w_per_adc2 * ADC_MAX**2:.3g} W apart.",
                "Correct 'w_per_adc2' in the hardware file, or change the attenuator before the monitor and calibrate anew.",
            )
        return adc2

    def _require_stopped(self, what: str) -> None:
        self._listen()
        if self._state is _State.UNKNOWN:
            self._stop(timeout_s=0.22)
        if self._state is _State.TRIPPED:
            raise WrongState(f"The SAR monitor has tripped: {self._why()}.", _RESET)
        if self._state is not _State.STOPPED:
            raise WrongState(f"The SAR monitor is watching, so it takes no {what}.", "End the scan, then retry.")

    def _send_and_confirm(self, *texts: str) -> None:
        for attempt in (1, 2):
            self._complaint = ""
            for text in texts:
                self._line.write(encode_frame(text))
            self._identify(timeout_s=0.22, attempts=1)
            if not self._complaint:
                return
            if attempt == 2:
                raise self._refused(", ".join(texts))

    def _stop(self, timeout_s: float) -> None:
        try:
            self._command("s", _STOPPED, timeout_s=timeout_s, attempts=2, doing="stop")
        except DeviceError:
            if self._state is not _State.TRIPPED:
                self._state = _State.UNKNOWN
            raise

    def _command(self, text: str, wanted: tuple[str, ...], *, timeout_s: float, attempts: int, doing: str) -> None:
        for attempt in range(1, attempts + 1):
            self._complaint = ""
            self._line.write(encode_frame(text))  # first thing on the line: a trip must not wait for what came in
            try:
                said = self._await(wanted, timeout_s, doing)
            except DeviceTimeout:
                if attempt == attempts:
                    raise
                continue
            if said in wanted or self._state is _State.TRIPPED:
                return
            if attempt == attempts:
                raise self._refused(text)

    def _identify(self, *, timeout_s: float, attempts: int) -> str:
        said = ""
        for attempt in range(1, attempts + 1):
            self._listen()
            self._line.write(encode_frame("ident"))
            try:
                said = self._await(("sar",), timeout_s, "say who it is", is_prefix=True)
            except DeviceTimeout:
                if attempt == attempts:
                    raise
                continue
            break
        if not said.startswith("sar2.0"):
            self._line.close()
            raise ProtocolError(
                f"What answers at {self._line.address} as SAR monitor calls itself '{said}', not sar2.0.",
                "Correct the address of the SAR monitor in the hardware file.",
            )
        return said

    def _ask_means(self, timeout_s: float) -> tuple[float, float]:
        """Both means in one breath: what answers between the questions and the box's name is what was asked."""
        self._listen()
        self._numbers.clear()
        for text in ("r10sec", "r6min", "ident"):
            self._line.write(encode_frame(text))
        self._await(("sar",), timeout_s, "say what it measured", is_prefix=True)
        if len(self._numbers) != 2 or self._complaint:
            return math.nan, math.nan
        ten_s, six_min = self._numbers
        return ten_s * self._w_per_adc2, six_min * self._w_per_adc2

    def _await(self, wanted: tuple[str, ...], timeout_s: float, doing: str, *, is_prefix: bool = False) -> str:
        """The answer: one that is wanted, or, to a command, an alarm or a complaint."""
        answer, n_seen = "", 0

        def is_complete(received: bytes) -> bool:
            nonlocal answer, n_seen
            for text in self._frames.feed(received[n_seen:]):
                self._note(text, is_asked=text in wanted)
                is_final = text.startswith(wanted) if is_prefix else text in wanted or self._is_end(text)
                answer = answer or (text if is_final else "")
            n_seen = len(received)
            return bool(answer)

        try:
            self._line.read(is_complete, timeout_s, doing)
        except DeviceTimeout:
            self._frames.give_up()
            self._notice_loss()
            raise
        self._notice_loss()
        return answer

    def _is_end(self, text: str) -> bool:
        return text in ALARMS or text in _COMPLAINTS or text.startswith("err:")

    def _listen(self) -> None:
        """Take in what it said unasked."""
        for text in self._frames.feed(self._line.drain()):
            self._note(text, is_asked=False)
        self._notice_loss()

    def _notice_loss(self) -> None:
        if self._frames.has_lost and self._state is not _State.TRIPPED:
            self._state, self._said = _State.UNKNOWN, "(a message that could not be read)"
        self._frames.has_lost = False

    def _note(self, text: str, *, is_asked: bool) -> None:
        self._said = text
        if text.isascii() and text.isdigit():
            self._numbers.append(float(text))
        if text in ALARMS:
            self._state = _State.TRIPPED
            self._faults = tuple(dict.fromkeys((*self._faults, ALARMS[text][0])))
        elif self._is_end(text):
            self._complaint = text
            self._state = self._state if self._state in (_State.TRIPPED, _State.STOPPED) else _State.UNKNOWN
        elif text in _STOPPED and self._state is not _State.TRIPPED:
            self._state = _State.STOPPED
        elif text == "start" and self._state is not _State.TRIPPED:
            self._state = _State.WATCHING if is_asked else _State.UNKNOWN  # unasked: late, or somebody else's

    def _refused(self, text: str) -> DeviceFault:
        return DeviceFault(
            f"The SAR monitor did not take '{text}' and said '{self._complaint}'.",
            "Press the reset button on the SAR monitor, then retry. If it says so again, switch it off and on.",
        )

    def _why(self) -> str:
        return ", ".join(words for name, words in ALARMS.values() if name in self._faults) or "cause unknown"

    def _reading(self, means_w: tuple[float, float]) -> DeviceReading:
        condition, text = {
            _State.UNKNOWN: (Condition.UNKNOWN, "alive; whether it watches is not known"),
            _State.STOPPED: (Condition.STANDBY, "stopped, RF blanked"),
            _State.WATCHING: (Condition.READY, "watching"),
            _State.TRIPPED: (Condition.FAULT, f"tripped: {self._why()}"),
        }[self._state]
        if self._complaint and self._state is not _State.TRIPPED:
            condition, text = Condition.FAULT, f"complains: {self._complaint}"
        names = ("forward_mean_10s_w", "forward_mean_6min_w")
        values = {name: mean_w for name, mean_w in zip(names, means_w, strict=True) if not math.isnan(mean_w)}
        return DeviceReading(condition=condition, text=text, said=self._said, faults=tuple(self._faults), values=values)
