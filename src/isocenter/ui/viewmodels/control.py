# SPDX-License-Identifier: MIT
"""The scanner under control, in words: its state, what stopped it, what was verified, and the way out."""

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QObject, Signal, Slot

from isocenter.app.control_status import ControlStatus
from isocenter.app.service import ControlChanged, Health, MessageRaised, ServiceEvent
from isocenter.domain.control import Fault, FaultAction, OutputReport, ScannerState
from isocenter.domain.device import Condition, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.errors import ConsoleError
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.calibration_text import age_text
from isocenter.ui.viewmodels.exam import ExamViewModel

_STALE_S: Final = 3.0  # an answer older than this is told as old, whatever the line says
_AMPLIFIERS: Final = (DeviceRole.RF_AMPLIFIER, DeviceRole.GRADIENT_AMPLIFIER)
_MUST_GO_FIRST: Final = ("emergency_stop", "door_open", "device_lost")
"""Faults that no button clears: somebody has to walk there first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One device for the operator.

    Attributes
    ----------
    link_health, link_text
        Whether it answers.
    health, text
        What it says of itself; unknown as soon as it does not answer.
    identity, answered, said
        What it called itself, when it answered last, its own words.
    problem, remedy
        Why the link is lost and what to do.
    values
        What it measures, in one line.
    """

    name: str
    link_health: str
    link_text: str
    health: str
    text: str
    identity: str
    answered: str
    said: str
    address: str
    values: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine:
    """One output after a stop: verified or not, in words."""

    health: str
    text: str


class ControlViewModel(QObject):
    """Made in the window's thread."""

    changed = Signal()
    message_raised = Signal(object)
    _answered = Signal(object)  # Future

    def __init__(self, exam: ExamViewModel) -> None:
        super().__init__(exam)
        self._exam = exam
        self.status: ControlStatus = exam.service.control
        self.is_making_ready = False
        self._person = ""
        exam.delivered.connect(self._on_events)
        exam.scanner_changed.connect(self._ask)
        exam.status_changed.connect(self.changed)
        self._answered.connect(self._on_answer)

    @Slot(object)
    def _on_events(self, events: tuple[ServiceEvent, ...]) -> None:
        if any(isinstance(event, ControlChanged) for event in events):
            self._ask()

    @Slot()
    def _ask(self) -> None:
        self.status = self._exam.service.control
        self.changed.emit()

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> tuple[str, str, str]:
        """Health, word and meaning of the scanner's state."""
        if self.status.state is ScannerState.READY:
            health, meaning = self._ready()
            return health, translate("Control", "READY"), meaning
        return {
            ScannerState.OFF: (
                "unknown",
                translate("Control", "OFF"),
                translate("Control", "Not everything answers. Nothing is known."),
            ),
            ScannerState.ARMED: (
                "warning",
                translate("Control", "ARMED"),
                translate("Control", "Amplifiers are on. Nothing is being played."),
            ),
            ScannerState.SCANNING: (
                "warning",
                translate("Control", "SCANNING"),
                translate("Control", "A part of a scan is being played."),
            ),
            ScannerState.SAFE: (
                "bad",
                translate("Control", "STOPPED"),
                translate("Control", "Everything was told to switch off. Only a person leads out of it."),
            ),
        }[self.status.state]

    def _ready(self) -> tuple[str, str]:
        """Nothing is claimed of an amplifier that has not said so itself."""
        if not self.status.is_monitored:
            if self._exam.status.is_virtual:
                return "good", translate("Control", "The virtual console is at zero. Nothing real is driven.")
            text = translate("Control", "The console is at zero. Nobody watches the amplifiers: look at them yourself.")
            return "unknown", text
        amplifiers = [device for device in self.status.devices if device.role in _AMPLIFIERS]
        unsure = ", ".join(device.name for device in amplifiers if device.condition is not Condition.STANDBY)
        if unsure:
            text = translate("Control", "The console was seen at zero. Nobody has confirmed that these are off: {0}.")
            return "unknown", text.format(unsure)
        return "good", translate("Control", "Amplifiers are in standby; the console's outputs were seen at zero.")

    @property
    def is_stopped(self) -> bool:
        """True while the banner of a stop is shown."""
        return self.status.is_stopped

    @property
    def headline(self) -> str:
        """What stopped the scanner."""
        cause = self.status.cause
        if cause is None:
            return translate("Control", "by the operator.")
        return cause.problem

    @property
    def remedy(self) -> str:
        """What to do before it can be made ready."""
        cause = self.status.cause
        if cause is None:
            return translate("Control", "Look after the patient. When all is well, press Make ready.")
        return cause.remedy

    @property
    def outputs(self) -> tuple[OutputLine, ...]:
        """What was verified and what was not, one line for each output."""
        return tuple(_output_line(output) for output in self.status.stop_report.outputs)

    @property
    def verdict(self) -> tuple[str, str]:
        """Health and sentence about all outputs together; never good while anything is open."""
        report = self.status.stop_report
        if not report.outputs:
            return "unknown", translate("Control", "Waiting for the devices to confirm. Until then nothing is certain.")
        unsure = ", ".join(output.name for output in report.outputs if not output.is_verified)
        if unsure:
            text = translate("Control", "Not confirmed: {0}. Switch these off by hand and look after the patient.")
            return "bad", text.format(unsure)
        if not self.status.is_monitored and self._exam.status.is_virtual:
            return "good", translate("Control", "The virtual console is at zero. Nothing real is driven.")
        if not self.status.is_monitored:
            text = translate("Control", "The console is at zero. No amplifier is watched here: switch them off by hand.")
            return "warning", text
        return "good", translate("Control", "Every output confirmed that it is off or at zero.")

    # --- make ready -------------------------------------------------------------------------------------------------

    @property
    def person(self) -> str:
        """Who answers: said before in this program, or the exam's operator."""
        return self._person or (self._exam.exam.operator if self._exam.exam else "")

    @person.setter
    def person(self, name: str) -> None:
        self._person = name.strip()

    def why_not_make_ready(self) -> str:
        """Why it cannot be made ready now; empty when it can."""
        if not self.status.is_stopped:
            return translate("Control", "The scanner is not stopped.")
        if self.is_making_ready:
            return translate("Control", "The devices are being asked.")
        if self._exam.status.is_running:
            return translate("Control", "The scan is still being ended. Wait a moment.")
        fault = next((fault for fault in self.status.faults if _must_go_first(fault)), None)
        return f"{fault.problem} {fault.remedy}" if fault is not None else ""

    def make_ready(self, person: str) -> bool:
        """A person says that the cause is gone; False while no name was given. The outcome comes as a message."""
        if not person.strip():
            return False
        self.person = person
        self.is_making_ready = True
        self.changed.emit()
        self._exam.service.make_ready(self._person).add_done_callback(self._answered.emit)
        return True

    @Slot(object)
    def _on_answer(self, done: "Future[None]") -> None:
        self.is_making_ready = False
        error = None if done.cancelled() else done.exception()
        self._ask()
        if isinstance(error, ConsoleError):
            self.message_raised.emit(MessageRaised(health=Health.BAD, problem=error.problem, remedy=error.remedy))
        elif error is not None:
            raise error

    # --- devices, faults, journal -----------------------------------------------------------------------------------

    @property
    def devices(self) -> tuple[DeviceLine, ...]:
        """Every box on a line."""
        now_s = time.monotonic()
        return tuple(_device_line(device, now_s) for device in self.status.devices)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong now."""
        return self.status.faults

    @property
    def journal(self) -> tuple[str, ...]:
        """Newest first."""
        return tuple(reversed(self.status.journal))


def fault_health(fault: Fault) -> str:
    """How bad a fault is."""
    return "warning" if fault.action in (FaultAction.WARN, FaultAction.PAUSE) else "bad"


def action_text(action: FaultAction) -> str:
    """What the program did by itself."""
    return {
        FaultAction.TRIP: translate("Control", "everything was switched off"),
        FaultAction.END: translate("Control", "the scan ends after this part"),
        FaultAction.PAUSE: translate("Control", "the scan waits"),
        FaultAction.BLOCK: translate("Control", "no clinical scan starts"),
        FaultAction.WARN: translate("Control", "to know"),
    }[action]


def _must_go_first(fault: Fault) -> bool:
    return fault.action is FaultAction.TRIP and fault.name in _MUST_GO_FIRST


def _output_line(output: OutputReport) -> OutputLine:
    name = f"{output.name[:1].upper()}{output.name[1:]}"
    took = ""
    if math.isfinite(output.took_s):
        took = translate("Control", " · after {0} s").format(f"{output.took_s:.2f}")
    if output.is_verified:
        return OutputLine(health="good", text=f"{name}: {output.text}{took}")
    return OutputLine(health="bad", text=translate("Control", "{0}: not confirmed, {1}").format(name, output.text))


def _device_line(device: DeviceStatus, now_s: float) -> DeviceLine:
    link_health, link_text = {
        LinkState.NEVER: ("unknown", translate("Control", "not asked yet")),
        LinkState.CONNECTED: ("good", translate("Control", "connected")),
        LinkState.LOST: ("bad", translate("Control", "not connected")),
    }[device.link]
    age_s = now_s - device.answered_s
    is_silent = device.link is LinkState.CONNECTED and not age_s < _STALE_S
    if is_silent:
        link_health, link_text = "warning", translate("Control", "silent")
    condition = device.condition if link_health == "good" else Condition.UNKNOWN
    health, word = {
        Condition.UNKNOWN: ("unknown", translate("Control", "not known")),
        Condition.READY: ("good", translate("Control", "ready")),
        Condition.STANDBY: ("good", translate("Control", "standby")),
        Condition.FAULT: ("bad", translate("Control", "fault")),
    }[condition]
    reading = device.reading if link_health == "good" else None
    answered = translate("Control", "never")
    if math.isfinite(device.answered_s):
        answered = translate("Control", "{0} s ago").format(round(age_s)) if is_silent and age_s < 100 else age_text(age_s)
    return DeviceLine(
        name=f"{device.name[:1].upper()}{device.name[1:]}",
        link_health=link_health,
        link_text=link_text,
        health=health,
        text=_words(word, reading.text if reading else ""),
        identity=device.identity or translate("Control", "has not said"),
        answered=answered,
        said=reading.said if reading else "",
        address=device.address,
        values=" · ".join(_measured(name, value) for name, value in reading.values.items()) if reading else "",
        problem=device.problem,
        remedy=device.remedy,
    )


def _words(word: str, text: str) -> str:
    """State and the device's sentence, without saying the same twice."""
    if not text or text.lower().startswith(word.lower()):
        return text or word
    return f"{word}: {text}"


_FLAGS: Final = ("emergency_stop", "door_open")
_UNITS: Final = {"c": "°C", "w": "W", "v": "V", "a": "A", "db": "dB", "s": "s", "hz": "Hz"}


def _measured(name: str, value: float) -> str:
    if name in _FLAGS and value in (0.0, 1.0):
        answer = translate("Control", "yes") if value else translate("Control", "no")
        return f"{name.replace('_', ' ')}: {answer}"
    words, _, unit = name.rpartition("_")
    shown = _UNITS.get(unit)
    if shown is None or not words:
        words, shown = name, ""
    number = f"{value:.4g}" if math.isfinite(value) else translate("Control", "unknown")
    return f"{words.replace('_', ' ')} {number} {shown}".strip()
