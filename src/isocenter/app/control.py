# SPDX-License-Identifier: MIT
"""A scanner's supervisor with the lines of its hardware file, its journal, and one value that says how all of it is."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from isocenter.acquisition.control.arming import RfLimits
from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.listeners import ControlListeners
from isocenter.acquisition.control.stopping import SWITCHED
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.app.control_journal import ControlJournal
from isocenter.app.control_status import ControlStatus
from isocenter.compiler.check.patient import allowed_forward_power_w
from isocenter.devices.catalogue import line_key, make_peripherals
from isocenter.devices.roles import Peripheral, Switched
from isocenter.domain.control import OutputReport, ScannerState, StopReport
from isocenter.domain.device import DeviceLink, DeviceRole, DeviceStatus, LinkState
from isocenter.domain.errors import ConsoleError
from isocenter.domain.limits import OperatingMode, Subject
from isocenter.domain.scanner import Scanner

_NEWS_S: Final = 1.0  # a device that goes on answering the same is told no more often
_WINDOW_S: Final = 0.7  # the interlock hears no beat from then on, and the supervisor trips
_ADC_MAX_SQUARED: Final = 4095.0**2  # of the RF monitor's converter
_PEAK_MARGIN: Final = 1.25  # over the amplifier's own full power: only a fault gets there

OnChange = Callable[[ControlStatus], None]


class ScannerControl:
    """Everything around a scanner's supervisor that depends on its hardware file.

    Parameters
    ----------
    scanner
        Its ``devices`` say what hangs on which line; without any the states hold all the same.
    is_virtual
        Amplifiers that are not there need not be switched off by hand.

    Attributes
    ----------
    supervisor
        Watches and stops; the guard of the scan runner.
    folder
        Where this scanner's things are kept, None for nowhere.
    """

    def __init__(self, scanner: Scanner, *, is_virtual: bool) -> None:
        self._scanner, self._is_virtual = scanner, is_virtual
        self._journal = ControlJournal()
        self.folder: Path | None = None
        self._on_change: OnChange = lambda _: None
        self._lines: tuple[DeviceThread, ...] = ()
        self._told: dict[DeviceRole, tuple[tuple[object, ...], float]] = {}
        self._began = threading.Lock()
        self._is_begun = self._is_closed = self._has_window = False
        tell = ControlListeners(
            on_state=lambda _: self._tell(),
            on_device=self._on_device,
            on_fault=lambda _: self._tell(),
            on_stop=lambda _: self._tell(),
        )
        self.supervisor = Supervisor(
            required=[link.role for link in scanner.devices if link.is_required],
            journal=self._note,
            listeners=tell,
            segment_margin_s=math.inf,
        )

    @property
    def status(self) -> ControlStatus:
        """As it is now."""
        supervisor = self.supervisor
        is_safe = supervisor.state is ScannerState.SAFE
        missing = "" if supervisor.is_live else supervisor.missing()
        return ControlStatus(
            state=supervisor.state,
            devices=supervisor.devices or tuple(_unasked(link) for link in self._scanner.devices),
            faults=supervisor.faults,
            cause=supervisor.cause,
            why_not_ready=supervisor.why_stopped() if is_safe else missing,
            why_no_start=str(supervisor.stopped().problem) if is_safe else "",
            stop_report=self._stop_report(),
            journal=self._journal.tail,
        )

    def _stop_report(self) -> StopReport:
        """What the supervisor heard, with the amplifiers of a real scanner that nobody can switch."""
        report, roles = self.supervisor.stop_report, {link.role for link in self._scanner.devices}
        if self._is_virtual or DeviceRole.INTERLOCK in roles or not (report.outputs or report.cause):
            return report
        unknown = tuple(
            OutputReport(name=f"{name_of(role)[0].upper()}{name_of(role)[1:]}", is_verified=False, text="not monitored")
            for role in (DeviceRole.RF_AMPLIFIER, DeviceRole.GRADIENT_AMPLIFIER)
            if role not in roles
        )
        return replace(report, outputs=(*report.outputs, *unknown))

    def listen(self, on_change: OnChange) -> None:
        """From now on tell this listener, from any thread; it must not block."""
        self._on_change = on_change

    def begin(self, folder: Path | None = None) -> None:
        """Open the journal in a folder and start to watch the lines; returns at once. Again does nothing.

        Raises
        ------
        ConfigError
            The hardware file names a device that cannot be.
        """
        with self._began:
            if self._is_begun or self._is_closed:
                return
            if folder is not None:
                self._journal, self.folder = ControlJournal(folder), folder
            lines: dict[str, list[tuple[Peripheral, str, str]]] = {}
            for link, device in zip(self._scanner.devices, make_peripherals(self._scanner.devices), strict=True):
                name, address = name_of(link.role), address_of(link)
                lines.setdefault(line_key(link), []).append((device, name, address))
            supervisor = self.supervisor
            self._lines = tuple(
                DeviceThread(devices, supervisor.on_status, supervisor.may_beat) for devices in lines.values()
            )
            supervisor.connect(self._lines)
            self._is_begun = True
        self._tell()

    def line_of(self, role: DeviceRole) -> DeviceThread | None:
        """The line of a device, None where there is none."""
        return next((line for line in self._lines if role in line.roles), None)

    def feed(self) -> None:
        """The window is alive; from the first time on it has to be while power can reach the bore."""
        if not self._has_window:
            self._has_window = True
            self.supervisor.signs.watch("window", _WINDOW_S)
        self.supervisor.signs.feed("window")

    def window_closed(self) -> None:
        """There is no window any more that has to be alive."""
        self._has_window = False
        self.supervisor.signs.release("window")

    def stand_down(self) -> None:
        """Ask every device that is switched to be off, without latching anything; returns at once.

        One that does not confirm stops the scanner.
        """
        for line in self._lines:
            for role in line.roles:
                if role in SWITCHED and line.status(role).link is LinkState.CONNECTED:
                    line.call(role, _standby).add_done_callback(partial(self._stood_down, role))

    def close(self) -> None:
        """Trip what is on, let go of the lines, write what waits for the journal."""
        with self._began:
            was_begun, self._is_closed = self._is_begun, True
        if was_begun:
            self.supervisor.close()
        self._journal.close()

    def note(self, event: str, **details: object) -> None:
        """A line for the scanner's journal; returns at once."""
        self._journal.note(event, details)

    def _note(self, event: str, details: dict[str, object]) -> None:
        self._journal.note(event, details)  # whichever journal it is by then

    def _stood_down(self, role: DeviceRole, future: "Future[None]") -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, ConsoleError) and not self._is_closed:
            self.supervisor.fault("not_switched", role=role, detail=error.problem)
            if self.supervisor.state is not ScannerState.SAFE:
                self.supervisor.stop(f"the {name_of(role)} did not confirm that it is off")

    def _on_device(self, status: DeviceStatus) -> None:
        reading = status.reading
        news = (status.link, status.identity, status.problem, reading and (reading.condition, reading.text, reading.faults))
        before, at_s = self._told.get(status.role, ((), -math.inf))
        now_s = time.monotonic()
        if news != before or now_s - at_s > _NEWS_S:
            self._told[status.role] = (news, now_s)
            self._tell()

    def _tell(self) -> None:
        self._on_change(self.status)


def name_of(role: DeviceRole) -> str:
    """What people call a device."""
    return role.value.replace("_", " ").replace("rf ", "RF ").replace("sar ", "SAR ")


def address_of(link: DeviceLink) -> str:
    """Where a device is looked for, in words."""
    usb = link.usb
    return link.url or (f"USB {usb.vendor_id:04x}:{usb.product_id:04x} {usb.serial_number}".strip() if usb else "nowhere")


def rf_limits(scanner: Scanner, subject: Subject | None, mode: OperatingMode = OperatingMode.NORMAL) -> RfLimits | None:
    """What the RF monitor is told to allow for a patient; None for a scanner without one.

    Nobody known counts as a patient of unknown weight. What the monitor cannot see is limited to what it can.
    """
    link = next((link for link in scanner.devices if link.role is DeviceRole.SAR_MONITOR), None)
    if link is None:
        return None
    top_w = 0.98 * link.options.get("w_per_adc2", math.inf) * _ADC_MAX_SQUARED
    ten_s_w, six_min_w = allowed_forward_power_w(scanner, subject or Subject(), mode)
    peak_w = scanner.safety.forward_power_w * _PEAK_MARGIN
    return RfLimits(
        mean_10s_w=min(ten_s_w, top_w),
        mean_6min_w=min(six_min_w, top_w),
        peak_w=top_w if math.isnan(peak_w) else min(peak_w, top_w),
    )


def _standby(device: Switched) -> None:
    device.standby()


def _unasked(link: DeviceLink) -> DeviceStatus:
    return replace(DeviceStatus(role=link.role, name=name_of(link.role)), address=address_of(link))
