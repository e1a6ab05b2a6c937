# SPDX-License-Identifier: MIT
"""One scan from the command line: prescan, sequence, images."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from threading import Event

from isocenter.acquisition.prescan.looks import plan_looks
from isocenter.app.catalogue import find, parse_assignments
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.exposures import confirmed_by, exposure_text, subject_for
from isocenter.app.files import no_empty_folder
from isocenter.app.kept_values import use_kept
from isocenter.app.outside import OutsideOutcome, OutsideTap
from isocenter.app.paths import data_folder
from isocenter.app.prepare import prepare
from isocenter.app.prescan import find_frequency
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.app.stop_words import stops_told
from isocenter.compiler.check.exposure import Situation
from isocenter.compiler.check.report import SafetyReport
from isocenter.domain.errors import SequenceError
from isocenter.domain.exposure import Label
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import FirstLevelConfirmation
from isocenter.domain.patient import Exam, Patient
from isocenter.domain.scan import EndReason, Prescription, Protocol, ScanProgress
from isocenter.domain.scanner import Scanner, nominal_calibration
from isocenter.storage.outside import OutsideAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOrder:
    """What the command line asked for.

    Attributes
    ----------
    assignments
        ``name=value`` texts.
    patient_name
        ``Family^Given``.
    weight_kg, birth_date
        Of the patient; NaN and None when not known.
    first_level_by
        Who takes responsibility for first level mode, should the scan need it; empty for nobody.
    larmor_hz
        Frequency to use instead of measuring it [Hz], 0 to measure.
    """

    sequence: str
    assignments: tuple[str, ...]
    name: str
    prescription: Prescription
    position: PatientPosition
    patient_id: str
    patient_name: str
    body_part: str
    side: str
    larmor_hz: float
    weight_kg: float = math.nan
    birth_date: date | None = None
    first_level_by: str = ""

    @property
    def confirmation(self) -> FirstLevelConfirmation | None:
        """Of first level mode; None when nobody was named."""
        return confirmed_by(self.first_level_by) if self.first_level_by else None

    @property
    def protocol(self) -> Protocol:
        """The order as an entry of a queue."""
        return Protocol(
            name=self.name or find(self.sequence).title,
            sequence=self.sequence,
            parameters=parse_assignments(self.sequence, self.assignments),
            prescription=self.prescription,
        )

    @property
    def patient(self) -> Patient:
        """Whom it belongs to."""
        is_person = self.patient_id or self.patient_name or self.birth_date or not math.isnan(self.weight_kg)
        if not is_person:
            return phantom_patient()
        family, _, given = self.patient_name.partition("^")
        return Patient(
            patient_id=self.patient_id,
            family_name=family,
            given_name=given,
            birth_date=self.birth_date,
            weight_kg=self.weight_kg,
        )

    def check(self, scanner: Scanner) -> None:
        """Refuse what cannot be played before anything is started.

        Raises
        ------
        ConsoleError
            What is wrong with the patient, the parameters or the sequence.
        """
        exam = new_exam(self.patient, self.position, self.body_part, laterality=self.side)
        calibration = nominal_calibration(scanner)
        if self.larmor_hz:
            calibration = replace(calibration, larmor_hz=self._sound_frequency(scanner))
        situation = Situation(subject=subject_for(exam), confirmation=self.confirmation)
        prepare(self.protocol, scanner, calibration, self.position, situation)

    def _sound_frequency(self, scanner: Scanner) -> float:
        if not 0 < self.larmor_hz < float("inf"):
            raise SequenceError(
                f"{self.larmor_hz * 1e-6:g} MHz is no frequency.",
                f"Give one near {scanner.magnet.larmor_hz * 1e-6:.4g} MHz, or leave it away and it is measured.",
            )
        return self.larmor_hz


def _tell_exposures(safety: SafetyReport, exam: Exam, say: Callable[[str], None]) -> None:
    if exam.patient.is_phantom:
        say("Exposure, with what was played before. No patient was named: limits that protect people do not hold.")
    else:
        say(f"Exposure, with what was played before ({safety.mode} mode):")
    for one in safety.exposures:
        if one.label is Label.UNKNOWN or not math.isnan(one.limit):
            say(f"  {exposure_text(one)}")
    if safety.confirmation is not None:
        say(f"First level mode was confirmed by {safety.confirmation.name}.")


def scan_once(
    order: ScanOrder,
    scanner: Scanner,
    out: Path,
    *,
    is_virtual: bool,
    cancel: Event,
    say: Callable[[str], None],
    on_progress: Callable[[ScanProgress], None],
    outside: OutsideAddress | None = None,
) -> tuple[ScanOutcome, OutsideOutcome | None]:
    """Connect, find the frequency, scan, make images; everything is written below ``out``.

    With ``outside`` the lines go there while they are measured, and its images come beside ours; whatever it does, the scan
    and our images are as without it.

    Raises
    ------
    ConsoleError
        Something went wrong; what was measured until then is kept.
    """
    exam = new_exam(order.patient, order.position, order.body_part, laterality=order.side)
    session = ScannerSession(scanner, is_virtual=is_virtual, pace="none" if is_virtual else "wall")
    with contextlib.ExitStack() as stack:
        stack.enter_context(no_empty_folder(out))
        stack.callback(session.close)
        session.exposures.folder = None if is_virtual else data_folder()  # a scanner of our own ends with us
        session.control.begin(None if is_virtual else data_folder())
        stack.enter_context(session.stopped_by(cancel))
        stack.enter_context(stops_told(session.control, say))
        identity = session.connect()
        say(f"Connected to {identity.kind} {identity.family} {identity.version} of {scanner.title}")
        use_kept(session, data_folder(), exam.exam_id, now_s=time.time(), say=say)
        if order.larmor_hz:
            session.set_frequency(order.larmor_hz)
        else:
            say("Prescan: finding the frequency")
            found = find_frequency(session, exam, out, cancel=cancel)
            say(f"  {found.larmor_hz * 1e-6:.6f} MHz, signal-to-noise ratio {found.snr:.0f}")
        session.require_not_stopped(cancel)
        protocol = order.protocol
        situation = session.situation(exam, order.confirmation)
        prepared = prepare(protocol, session.scanner, session.calibration, exam.position, situation)
        _tell_exposures(prepared.safety, exam, say)
        for warning in prepared.scan.warnings:
            say(f"Note: {warning}")
        looks = plan_looks(prepared.scan, session.drift.rate_hz_per_s)
        say(f"Scanning {protocol.name}, {prepared.scan.facts.duration_s + looks.extra_s:.1f} s. {looks.text}".rstrip())
        tap = OutsideTap(outside) if outside is not None else None
        if tap is not None:
            stack.callback(tap.abort)
        outcome = session.scan(
            prepared,
            exam,
            out,
            cancel=cancel,
            on_progress=on_progress,
            on_message=lambda _health, problem, remedy: say(f"Note: {problem} {remedy}"),
            tap=tap,
        )
        if session.latch:
            say(session.control.status.stop_report.text)
        if tap is None or outcome.reason is not EndReason.COMPLETED:
            return outcome, None
        say(f"Waiting for the images of {outside}")
        return outcome, tap.finish(outcome.folder, cancel)
