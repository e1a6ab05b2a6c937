# SPDX-License-Identifier: MIT
"""One scanner while it is used: its link, its calibration, and scans from compiled events to image files."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from isocenter.acquisition.clipping import CLIPPED
from isocenter.acquisition.clock import Pace
from isocenter.acquisition.contracts import Listeners, ScanResult, ScanSink
from isocenter.acquisition.control.guard import ScanGuard
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.app.aside import Aside, RoomForMore
from isocenter.app.aside_bench import RunStep, take_into_use
from isocenter.app.computer_watch import ComputerWatch
from isocenter.app.control import rf_limits
from isocenter.app.drift import History, MagnetDrift, drift_of
from isocenter.app.exposures import ExposureLog, Exposures, Playing, subject_for
from isocenter.app.images import ImageFiles, make_images
from isocenter.app.link import ScannerLink
from isocenter.app.live import LivePictures, VolumesListener
from isocenter.app.measured_power import WatchedSink
from isocenter.app.pipelines import skipped_text
from isocenter.app.prepare import PreparedScan, prepare
from isocenter.app.service import Health
from isocenter.compiler.check.exposure import Situation
from isocenter.devices.protocols import ConsoleIdentity, DeviceMessage, Severity
from isocenter.domain.calibration import UsedCalibration
from isocenter.domain.errors import (
    DicomError,
    ReconError,
    ScanAborted,
    StorageError,
    WrongState,
)
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.limits import FirstLevelConfirmation
from isocenter.domain.patient import Exam
from isocenter.domain.scan import EndReason, ScanProgress
from isocenter.domain.scanner import Calibration, Scanner, as_measured, nominal_calibration
from isocenter.recon.receive import Samples
from isocenter.storage.record import ScanRequest
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import find_scans

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


def _all(*tellers: LinesListener) -> LinesListener:
    def tell(readouts: Readouts, samples: Samples) -> None:
        for one in tellers:
            one(readouts, samples)

    return tell


def _teller(on_message: MessageListener | None, supervisor: Supervisor) -> Callable[[DeviceMessage], None]:
    def tell(message: DeviceMessage) -> None:
        if CLIPPED in message.original:
            supervisor.fault("receiver_clipped", detail=message.original)
        if on_message is not None and message.severity is not Severity.INFO:
            health = Health.BAD if message.severity is Severity.ERROR else Health.WARNING
            on_message(health, f"{message.text} (The console said: {message.original})", "")

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


class ScannerSession(ScannerLink):
    """A scanner in use. Scans run in the caller's thread; the console is called in the hardware thread only.

    Parameters
    ----------
    scanner, is_virtual, pace, segment_margin_s
        As for ``ScannerLink``.

    Attributes
    ----------
    watch
        Looks at disk, clock, battery and temperature.
    exposures
        What was played on this scanner; kept in memory only unless it has a folder.
    prepare_aside, run_beside
        How a measurement in the pause of a scan is prepared, and how its step is run and what it found taken into use.
    frequency_history
        What was ever measured of this magnet's frequency.
    frequency_only
        Who left out the rest of the prescan, and when; empty for nobody.
    """

    def __init__(
        self, scanner: Scanner, *, is_virtual: bool, pace: Pace = "wall", segment_margin_s: float | None = None
    ) -> None:
        super().__init__(scanner, is_virtual=is_virtual, pace=pace, segment_margin_s=segment_margin_s)
        self.calibration: Calibration = nominal_calibration(scanner)
        self._measured_at_s = float("-inf")
        self.watch = ComputerWatch(self.supervisor, scanner)
        self.exposures = Exposures(scanner, pace)
        self._is_prescan = False
        self.prepare_aside: Callable[..., PreparedScan] = prepare
        self.run_beside: RunStep = take_into_use(self.set_frequency)
        self.used_calibrations: Callable[[], tuple[UsedCalibration, ...]] = tuple  # nothing is known of them here
        self.frequency_history: History = tuple
        self.frequency_only: Callable[[], Mapping[str, str]] = dict

    def forget_frequency(self) -> None:
        """The console was connected anew: whatever happened meanwhile, the frequency is measured again."""
        self._measured_at_s = float("-inf")

    # --- calibration ------------------------------------------------------------------------------------------------

    @property
    def calibration_age_s(self) -> float:
        """Time since the frequency was measured [s], infinite when it never was."""
        return time.monotonic() - self._measured_at_s

    def needs_frequency(self) -> bool:
        """True when the frequency was never measured here, too long ago to trust, or has moved since."""
        return self.has_fault("frequency_jump") or not self.calibration_age_s < _FREQUENCY_LASTS_S

    def set_frequency(self, larmor_hz: float) -> Calibration:
        """Take a measured frequency into use, from now on."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self.calibration = replace(self.calibration, larmor_hz=larmor_hz, measured_at=now)
        self._measured_at_s = time.monotonic()
        self.watch.frequency_measured()
        self.supervisor.clear("console_restarted")
        return self.calibration

    @property
    def drift(self) -> MagnetDrift:
        """What to expect of the magnet, by its history."""
        return drift_of(self.scanner.magnet, self.frequency_history)

    @contextlib.contextmanager
    def prescanning(self) -> Iterator[None]:
        """Scans within may also run while a fault blocks clinical ones: they are how it is mended."""
        self._is_prescan = True
        try:
            yield
        finally:
            self._is_prescan = False

    # --- exposures --------------------------------------------------------------------------------------------------

    @property
    def exposure_log(self) -> ExposureLog:
        """What was played on the scanner that is connected, real or virtual."""
        return self.exposures.of(is_virtual=self.is_virtual)

    def situation(self, exam: Exam | None, confirmation: FirstLevelConfirmation | None = None) -> Situation:
        """In what a scan of this exam would be played now, for ``prepare``.

        Raises
        ------
        StorageError
            What was played before is not known.
        """
        return self.exposure_log.situation(subject_for(exam), confirmation)

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
            raise WrongState(self.latch, "Look after the patient, see to the cause, then press Make ready.")
        self._runner.require_playable(prepared.scan, prepared.safety)  # before a folder is made for it
        identity = self.connect()
        subject = subject_for(exam)
        if subject is not None and prepared.subject is not None and prepared.subject.is_phantom != subject.is_phantom:
            raise WrongState("The scan was checked for somebody else.", "Prepare it again for who is on the table.")
        limits = rf_limits(self.scanner, subject, prepared.safety.mode)
        is_clinical = not self._is_prescan

        def look() -> None:
            self.watch.look(parent, at_frequency=is_clinical)

        guard = ScanGuard(self.supervisor, limits, look, is_clinical=is_clinical, on_zero=self.judge_currents)
        self._require_ready(guard, cancel)
        self._runner.guard = guard
        measured = as_measured(self.scanner, prepared.calibration)
        with self.exposure_log.scan(prepared.safety, measured, subject) as playing:
            request = self.request(prepared, exam, parent, identity, playing)
            folder = ScanFolder.create(parent, request, prepared.scan, prepared.seq)
            self._note_mode(prepared, exam, folder.path)
            if tap is not None:
                tap.begin(request, prepared.scan)
            room = RoomForMore(self.exposure_log, prepared, measured, subject, playing)
            listeners = Listeners(on_segment=room.before_segment, on_message=_teller(on_message, self.supervisor))
            if is_clinical:
                aside = Aside(session=self, outer=prepared, exam=exam, parent=parent, playing=playing, limits=limits)
                listeners = aside.follow(guard, folder, listeners, on_message or (lambda *_: None))
            if on_progress is not None:
                listeners = replace(listeners, on_progress=on_progress)
            with LivePictures(prepared, on_volumes) as live:
                listeners = replace(listeners, on_lines=_all(listeners.on_lines, live.add, *([tap.add] if tap else [])))
                result = self._play(prepared, WatchedSink(folder, self.control, playing), cancel, listeners)
            if result.reason is EndReason.COMPLETED:
                playing.completed()
        return folder.path, result

    def _note_mode(self, prepared: PreparedScan, exam: Exam | None, folder: Path) -> None:
        """Who took responsibility for what: in the scanner's journal as well as with the scan."""
        confirmed = prepared.safety.confirmation
        if confirmed is not None:
            self.control.note(
                "first_level_scan",
                person=confirmed.name,
                confirmed_at=confirmed.at,
                protocol=prepared.protocol.name,
                exam=exam.exam_id if exam else "",
                folder=folder.name,
            )

    def request(
        self, prepared: PreparedScan, exam: Exam | None, parent: Path, identity: ConsoleIdentity, playing: Playing
    ) -> ScanRequest:
        """What the record of a scan says of it."""
        return ScanRequest(
            protocol=prepared.protocol,
            parameters=dict(prepared.protocol.parameters),
            placement=prepared.placement,
            calibration=prepared.calibration,
            scanner=self.scanner,
            exam=exam,
            series_number=len(find_scans(parent)) + 1 if parent.is_dir() else 1,
            recon=prepared.info.recon,
            pipeline=prepared.info.pipeline,
            calibration_values=() if self._is_prescan else self.used_calibrations(),
            frequency_only={} if self._is_prescan else self.frequency_only(),
            console=f"{identity.family} {identity.version} ({identity.kind})",
            safety=playing.safety.to_record(),
        )

    def _play(self, prepared: PreparedScan, folder: ScanSink, cancel: Event, listeners: Listeners) -> ScanResult:
        """Run a scan; whatever comes of it, the console is seen at zero afterwards or latched."""
        result: ScanResult | None = None
        try:
            result = self._runner.run(prepared.scan, folder, cancel, listeners, safety=prepared.safety)
        finally:
            if result is None:  # whatever went wrong, faults of the program included
                self.identity = None  # the next scan starts with a fresh link
                self._latch_unless_safe()
        if not result.safe.verified:
            self._latch_unless_safe()
        return result

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
