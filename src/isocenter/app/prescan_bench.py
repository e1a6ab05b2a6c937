# SPDX-License-Identifier: MIT
"""What a step of the prescan works with: the scanner in use, its devices each in its own thread, and the stored values."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Final, cast

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.app.coil_settings import CoilSettings
from isocenter.app.prepare import PreparedScan
from isocenter.app.session import ScannerSession
from isocenter.devices.roles import Attenuator, NetworkAnalyser, Reflection, Tuner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.currents import BoardCurrents
from isocenter.domain.device import DeviceReading, DeviceRole
from isocenter.domain.errors import DeviceTimeout
from isocenter.domain.patient import Exam
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol as ScanProtocol
from isocenter.domain.scanner import Calibration, Scanner
from isocenter.storage.stored import read_raw

Prepare = Callable[[ScanProtocol, Calibration], PreparedScan]
_CALL_S: Final = 12.0  # the longest that a role allows itself, and what waits before it on the line


class _Remote:
    """A device that is used in the thread of its line; waits for the answer."""

    def __init__(self, line: DeviceThread, role: DeviceRole) -> None:
        self._line, self.role = line, role

    def open(self) -> str:
        """Lines are opened by their threads; says who is there."""
        return self._line.status(self.role).identity

    def close(self) -> None:
        """Lines are closed by their threads."""

    def poll(self) -> DeviceReading:
        """As the device says."""
        reading: DeviceReading = self._call(lambda device: device.poll())
        return reading

    def _call(self, work: Callable[[Any], Any]) -> Any:
        future = self._line.call(self.role, work)
        try:
            return future.result(_CALL_S)
        except TimeoutError:
            future.cancel()
            name = self._line.status(self.role).name
            raise DeviceTimeout(
                f"The {name} did not answer within {_CALL_S:g} s.",
                f"Check its power and its cable on the Scanner page: {name}.",
            ) from None


class _RemoteTuner(_Remote):
    """Keeps in mind whether its relays are known, and the coil is at the scanner."""

    def __init__(self, line: DeviceThread, role: DeviceRole, coil: CoilSettings) -> None:
        super().__init__(line, role)
        self._coil = coil

    def set_capacitors(self, series: int, tune: int, match: int) -> None:
        """As ``Tuner``."""
        was_in_doubt, self._coil.is_in_doubt = self._coil.is_in_doubt, True
        self._call(lambda device: device.set_capacitors(series, tune, match))
        self._coil.is_in_doubt = was_in_doubt

    def connect_analyser(self, is_connected: bool) -> None:
        """As ``Tuner``."""
        self._coil.is_in_doubt = True
        self._call(lambda device: device.connect_analyser(is_connected))
        self._coil.is_in_doubt = is_connected


class _RemoteAnalyser(_Remote):
    def sweep(self, start_hz: float, stop_hz: float, n_points: int = 101) -> Reflection:
        """As ``NetworkAnalyser``."""
        found: Reflection = self._call(lambda device: device.sweep(start_hz, stop_hz, n_points))
        return found


class _RemoteAttenuator(_Remote):
    """Keeps in mind whether its gain is known."""

    def __init__(self, line: DeviceThread, role: DeviceRole, coil: CoilSettings) -> None:
        super().__init__(line, role)
        self._coil = coil

    @property
    def gains_db(self) -> tuple[float, ...]:
        """As ``Attenuator``."""
        return cast(tuple[float, ...], self._call(lambda device: device.gains_db))

    def set_gain(self, gain_db: float) -> None:
        """As ``Attenuator``."""
        self._coil.is_gain_in_doubt = True
        self._call(lambda device: device.set_gain(gain_db))
        self._coil.is_gain_in_doubt = False


class SessionBench:
    """``Bench`` on a session. Belongs to the thread that runs the prescan.

    Parameters
    ----------
    prepare
        Builds, compiles and checks a protocol; may do so in another process.
    parent
        Where the scans of the prescan are kept.
    newest
        Newest value of a quantity, whether it holds or not.
    """

    def __init__(
        self,
        session: ScannerSession,
        exam: Exam,
        parent: Path,
        *,
        cancel: Event,
        prepare: Prepare,
        newest: Callable[[Quantity], CalibrationValue | None],
    ) -> None:
        self._session, self._newest, self._exam, self._parent = session, newest, exam, parent
        self._cancel, self._prepare = cancel, prepare

    @property
    def scanner(self) -> Scanner:
        """The scanner."""
        return self._session.scanner

    @property
    def calibration(self) -> Calibration:
        """In use now."""
        return self._session.calibration

    @property
    def cancel(self) -> Event:
        """Set when somebody presses Stop."""
        return self._cancel

    @property
    def temperature_c(self) -> float:
        """Of the magnet, NaN where there is no sensor."""
        return magnet_temperature_c(self._session)

    @property
    def subject(self) -> str:
        """Identifier of the exam."""
        return self._exam.exam_id

    @property
    def tuner(self) -> Tuner | None:
        """The coil's relays, None where there are none."""
        line = self._session.control.line_of(DeviceRole.TUNER)
        return None if line is None else cast("Tuner", _RemoteTuner(line, DeviceRole.TUNER, self._session.coil))

    @property
    def analyser(self) -> NetworkAnalyser | None:
        """The network analyser, None where there is none."""
        line = self._session.control.line_of(DeviceRole.NETWORK_ANALYSER)
        return None if line is None else cast("NetworkAnalyser", _RemoteAnalyser(line, DeviceRole.NETWORK_ANALYSER))

    @property
    def attenuator(self) -> Attenuator | None:
        """The receiver's attenuator, None where there is none."""
        line = self._session.control.line_of(DeviceRole.ATTENUATOR)
        return (
            None if line is None else cast("Attenuator", _RemoteAttenuator(line, DeviceRole.ATTENUATOR, self._session.coil))
        )

    @property
    def calibrate_currents(self) -> Callable[[], BoardCurrents] | None:
        """Calibrates the gradient board's currents; None for a board that cannot be read, and beside a patient."""
        session, cancel = self._session, self._cancel
        if session.why_no_currents or not self._exam.patient.is_phantom:
            return None

        def calibrate() -> BoardCurrents:
            session.require_not_stopped(cancel)
            return session.calibrate_currents(cancel)

        return calibrate

    def held(self, quantity: str) -> CalibrationValue | None:
        """The value in use, if it still holds under the present conditions."""
        coil = self.scanner.receiver.coil_name
        value = self._newest(Quantity(quantity))
        if value is None:
            return None
        reason = value.why_not(now_s=self.now_s(), temperature_c=self.temperature_c, coil=coil, subject=self.subject)
        return None if reason else value

    def measure(self, protocol: ScanProtocol, calibration: Calibration | None = None) -> tuple[RawScan, Path]:
        """Prepare, check and play a scan; its data and their folder. Errors as for ``Bench``."""
        session = self._session
        session.require_not_stopped(self._cancel)
        prepared = self._prepare(protocol, calibration or session.calibration)
        session.require_not_stopped(self._cancel)
        with session.prescanning():
            path, _ = session.measure(prepared, self._exam, self._parent, cancel=self._cancel)
        session.require_not_stopped(self._cancel)
        return read_raw(path, _kind(prepared)), path

    def now_s(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()


def _kind(prepared: PreparedScan) -> str:
    return "noise" if prepared.info.recon == "noise" else "imaging"


def magnet_temperature_c(session: ScannerSession) -> float:
    """Of the magnet, NaN where no sensor says so now."""
    for status in session.supervisor.devices:
        if status.reading is not None and "temperature_magnet_c" in status.reading.values:
            return status.reading.values["temperature_magnet_c"]
    return math.nan
