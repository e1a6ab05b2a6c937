# SPDX-License-Identifier: MIT
"""One scanner while it is used: its link, its calibration, and scans from compiled events to image files."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from isocenter.acquisition.clock import Pace
from isocenter.acquisition.contracts import Listeners, ScanResult
from isocenter.acquisition.hardware import HardwareThread
from isocenter.acquisition.runner import ScanRunner
from isocenter.app.images import ImageFiles, make_images
from isocenter.app.live import LivePictures, VolumesListener
from isocenter.app.pipelines import skipped_text
from isocenter.app.prepare import PreparedScan
from isocenter.app.service import Health
from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.devices.protocols import Console, ConsoleIdentity, DeviceMessage, Severity
from isocenter.domain.errors import (
    ConfigError,
    ConsoleError,
    DicomError,
    ReconError,
    ScanAborted,
    StorageError,
    WrongState,
)
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.patient import Exam
from isocenter.domain.scan import EndReason, ScanProgress
from isocenter.domain.scanner import Calibration, Scanner, nominal_calibration
from isocenter.recon.receive import Samples
from isocenter.storage.record import ScanRequest
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import find_scans

_OPEN_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 5.0
_SAFE_TIMEOUT_S = 10.0
_GRACE_S = 10.0
_SIMULATED_GRACE_S = 130.0  # longer than the driver waits, whose words say more
_NOT_CONFIRMED = "The console has not confirmed that every output is at zero."
_NO_IMAGE = (
    "No image was made: the labels LIN and PAR of the sequence do not agree with its gradients, or it is not Cartesian. "
    "What was measured is kept, with its spectrum."
)
_FREQUENCY_LASTS_S = 15 * 60.0  # a permanent magnet drifts with its temperature

MessageListener = Callable[[Health, str, str], None]
ProgressListener = Callable[[ScanProgress], None]
LinesListener = Callable[[Readouts, Samples], None]


class LinesTap(Protocol):
    """Takes a scan's lines as they are measured, such as ``OutsideTap``. Both methods return at once and never raise."""

    def begin(self, request: ScanRequest, scan: CompiledScan) -> None:
        """A scan is about to start."""
        ...

    def add(self, readouts: Readouts, samples: Samples) -> None:
        """These lines are on the disk."""
        ...


def _both(first: LinesListener, second: LinesListener) -> LinesListener:
    def tell(readouts: Readouts, samples: Samples) -> None:
        first(readouts, samples)
        second(readouts, samples)

    return tell


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome:
    """What a scan left.

    Attributes
    ----------
    reason
        Completed, or stopped by a person.
    folder
        The scan's folder.
    images
        None when nothing was measured, or no image could be made; ``note`` says why.
    note
        For the operator, empty when all is well.
    """

    reason: EndReason
    folder: Path
    result: ScanResult
    images: ImageFiles | None
    note: str = ""


def make_console(scanner: Scanner) -> Console:
    """The driver for a scanner's console: the one place that knows families of consoles."""
    if scanner.console.family == "marcos":
        return MarcosConsole(scanner.console, scanner.gradients)
    raise ConfigError(f"There is no driver for consoles of the family '{scanner.console.family}'.", "Use family = 'marcos'.")


class ScannerSession:
    """A scanner in use. Scans run in the caller's thread; the console is called in the hardware thread only.

    Parameters
    ----------
    scanner
        With the address of its console, real or virtual.
    is_virtual
        True when no real amplifiers hang on it.
    pace
        ``none`` for a virtual scanner that plays faster than time.
    """

    def __init__(self, scanner: Scanner, *, is_virtual: bool, pace: Pace = "wall") -> None:
        self.scanner, self.is_virtual = scanner, is_virtual
        self.identity: ConsoleIdentity | None = None
        self.link_problem = ""
        self.calibration: Calibration = nominal_calibration(scanner)
        self._measured_at_s = float("-inf")
        self._console = make_console(scanner)
        self._hardware = HardwareThread()
        self._runner = ScanRunner(self._console, self._hardware, scanner.name, pace=pace)
        self._is_closed = False
        self.latch = ""  # why nothing may be played until the outputs were seen at zero; nothing re-arms itself

    # --- link -------------------------------------------------------------------------------------------------------

    def connect(self) -> ConsoleIdentity:
        """Open the link if it is not open.

        Raises
        ------
        DeviceError
            Nothing answers, or the wrong thing does.
        """
        if self.identity is not None:
            return self.identity
        try:
            identity = self._hardware.call(self._console.open, timeout_s=_OPEN_TIMEOUT_S, doing="answer")
            if identity.is_real and self.is_virtual:
                raise ConfigError(
                    "A real console answers where the virtual scanner should be.",
                    "Check address and port, then start again.",
                )
        except ConsoleError as error:
            self.link_problem = error.problem
            raise
        self.identity, self.link_problem = identity, ""
        self.is_virtual = not identity.is_real
        self._runner.grace_s = _GRACE_S if identity.is_real else _SIMULATED_GRACE_S
        return identity

    def request_safe(self) -> None:
        """Bring all outputs to zero as soon as the hardware thread is free; returns at once."""
        if self.identity is not None or self.latch:
            self._hardware.submit(self._make_safe)

    def wait_until_safe(self, timeout_s: float) -> bool:
        """Wait for what ``request_safe`` asked for; True when the outputs were seen at zero.

        Raises
        ------
        DeviceTimeout
            The hardware thread was busy all the time.
        """
        self._hardware.call(lambda: None, timeout_s=timeout_s, doing="bring the outputs to zero")
        return not self.latch

    def _make_safe(self) -> None:
        """In the hardware thread: zero everything; a latch opens, or closes, with whether that was verified."""
        self.latch = "" if self._console.make_safe().verified else _NOT_CONFIRMED

    def _latch_unless_safe(self) -> None:
        try:
            safe = self._hardware.call(self._console.make_safe, timeout_s=_SAFE_TIMEOUT_S, doing="bring the outputs to zero")
            verified = safe.verified
        except ConsoleError:
            verified = False
        if not verified:
            self.latch = _NOT_CONFIRMED

    def close(self) -> None:
        """Zero the outputs, drop the link, end the thread. Once is enough, twice does no harm."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._hardware.call(self._console.close, timeout_s=_CLOSE_TIMEOUT_S, doing="close the link")
        except ConsoleError as error:
            self.link_problem = error.problem
        self.identity = None
        self._hardware.close()

    # --- calibration ------------------------------------------------------------------------------------------------

    @property
    def calibration_age_s(self) -> float:
        """Time since the frequency was measured [s], infinite when it never was."""
        return time.monotonic() - self._measured_at_s

    def needs_frequency(self) -> bool:
        """True when the frequency was never measured here, or too long ago to trust."""
        return not self.calibration_age_s < _FREQUENCY_LASTS_S

    def set_frequency(self, larmor_hz: float) -> Calibration:
        """Take a measured frequency into use, from now on."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self.calibration = replace(self.calibration, larmor_hz=larmor_hz, measured_at=now)
        self._measured_at_s = time.monotonic()
        return self.calibration

    # --- scans ------------------------------------------------------------------------------------------------------

    def measure(
        self,
        prepared: PreparedScan,
        exam: Exam | None,
        parent: Path,
        *,
        cancel: Event,
        on_progress: ProgressListener | None = None,
        on_volumes: VolumesListener | None = None,
        on_message: MessageListener | None = None,
        tap: LinesTap | None = None,
    ) -> tuple[Path, ScanResult]:
        """Play a prepared scan into a folder of its own in ``parent``; ``tap`` gets its lines as they come.

        Raises
        ------
        ConsoleError
            The scan failed; the problem says how much is kept, and where.
        """
        if self.latch:
            raise WrongState(self.latch, "Look after the patient, switch the amplifiers off, then press Stop once more.")
        self._runner.require_playable(prepared.scan, prepared.safety)  # before a folder is made for it
        identity = self.connect()
        request = ScanRequest(
            protocol=prepared.protocol,
            parameters=dict(prepared.protocol.parameters),
            placement=prepared.placement,
            calibration=prepared.calibration,
            scanner=self.scanner,
            exam=exam,
            series_number=len(find_scans(parent)) + 1 if parent.is_dir() else 1,
            recon=prepared.info.recon,
            pipeline=prepared.info.pipeline,
            console=f"{identity.family} {identity.version} ({identity.kind})",
        )
        folder = ScanFolder.create(parent, request, prepared.scan, prepared.seq)
        if tap is not None:
            tap.begin(request, prepared.scan)

        def tell(message: DeviceMessage) -> None:
            if on_message is not None and message.severity is not Severity.INFO:
                health = Health.BAD if message.severity is Severity.ERROR else Health.WARNING
                on_message(health, message.text, f"The console said: {message.original}")

        with LivePictures(prepared, on_volumes) as live:
            listeners = Listeners(on_lines=live.add if tap is None else _both(live.add, tap.add), on_message=tell)
            if on_progress is not None:
                listeners = replace(listeners, on_progress=on_progress)
            result: ScanResult | None = None
            try:
                result = self._runner.run(prepared.scan, folder, cancel, listeners, safety=prepared.safety)
            finally:
                if result is None:  # whatever went wrong, faults of the program included
                    self.identity = None  # the next scan starts with a fresh link
                    self._latch_unless_safe()
        if not result.safe.verified:
            self._latch_unless_safe()
        return folder.path, result

    def scan(
        self,
        prepared: PreparedScan,
        exam: Exam | None,
        parent: Path,
        *,
        cancel: Event,
        on_progress: ProgressListener | None = None,
        on_volumes: VolumesListener | None = None,
        on_message: MessageListener | None = None,
        tap: LinesTap | None = None,
    ) -> ScanOutcome:
        """Play a scan and make its images, also when it was stopped early. Parameters as for ``measure``.

        Raises
        ------
        ConsoleError
            The scan failed; what was measured is kept.
        """
        path, result = self.measure(
            prepared,
            exam,
            parent,
            cancel=cancel,
            on_progress=on_progress,
            on_volumes=on_volumes,
            on_message=on_message,
            tap=tap,
        )
        if result.n_readouts == 0:
            return ScanOutcome(reason=result.reason, folder=path, result=result, images=None, note="Nothing was measured.")
        images, note = None, ""
        try:
            images = make_images(path)
            note = skipped_text(images.volumes)
        except ReconError as error:
            note = f"{error.problem} {error.remedy}"
        except (StorageError, DicomError) as error:
            raise type(error)(
                f"{error.problem} All {result.n_readouts} measured readouts are kept in {path}.",
                f"{error.remedy} Then make the images with `isocenter reconstruct {path}`.",
            ) from error
        if images is not None and on_volumes is not None and images.volumes:
            on_volumes(
                images.volumes, 1.0 if result.reason is EndReason.COMPLETED else result.n_readouts / result.n_expected
            )
        if (
            images is not None
            and not images.volumes
            and prepared.info.recon == "cartesian"
            and prepared.scan.encoding is None
        ):
            note = _NO_IMAGE
        if result.reason is not EndReason.COMPLETED:
            note = f"Stopped: {result.n_readouts} of {result.n_expected} readouts were measured and are kept. {note}".strip()
        return ScanOutcome(reason=result.reason, folder=path, result=result, images=images, note=note)

    def require_not_stopped(self, cancel: Event) -> None:
        """Raise ScanAborted when Stop was pressed."""
        if cancel.is_set():
            raise ScanAborted("Stopped.", "Press Start to go on.")
