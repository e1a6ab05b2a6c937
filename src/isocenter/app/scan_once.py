# SPDX-License-Identifier: MIT
"""One scan from the command line: prescan, sequence, images."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from isocenter.app.catalogue import find, parse_assignments
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.files import no_empty_folder
from isocenter.app.outside import OutsideOutcome, OutsideTap
from isocenter.app.prepare import prepare
from isocenter.app.prescan import find_frequency
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient
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
        if not self.patient_id and not self.patient_name:
            return phantom_patient()
        family, _, given = self.patient_name.partition("^")
        return Patient(patient_id=self.patient_id, family_name=family, given_name=given)

    def check(self, scanner: Scanner) -> None:
        """Refuse what cannot be played before anything is started.

        Raises
        ------
        ConsoleError
            What is wrong with the patient, the parameters or the sequence.
        """
        new_exam(self.patient, self.position, self.body_part, laterality=self.side)
        calibration = nominal_calibration(scanner)
        if self.larmor_hz:
            calibration = replace(calibration, larmor_hz=self._sound_frequency(scanner))
        prepare(self.protocol, scanner, calibration, self.position)

    def _sound_frequency(self, scanner: Scanner) -> float:
        if not 0 < self.larmor_hz < float("inf"):
            raise SequenceError(
                f"{self.larmor_hz * 1e-6:g} MHz is no frequency.",
                f"Give one near {scanner.magnet.larmor_hz * 1e-6:.4g} MHz, or leave it away and it is measured.",
            )
        return self.larmor_hz


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
        identity = session.connect()
        say(f"Connected to {identity.kind} {identity.family} {identity.version} of {scanner.title}")
        if order.larmor_hz:
            session.set_frequency(order.larmor_hz)
        else:
            say("Prescan: finding the frequency")
            found = find_frequency(session, exam, out, cancel=cancel)
            say(f"  {found.larmor_hz * 1e-6:.6f} MHz, signal-to-noise ratio {found.snr:.0f}")
        session.require_not_stopped(cancel)
        protocol = order.protocol
        prepared = prepare(protocol, scanner, session.calibration, exam.position)
        for warning in prepared.scan.warnings:
            say(f"Note: {warning}")
        say(f"Scanning {protocol.name}, {prepared.scan.facts.duration_s:.1f} s")
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
        if tap is None or outcome.reason is not EndReason.COMPLETED:
            return outcome, None
        say(f"Waiting for the images of {outside}")
        return outcome, tap.finish(outcome.folder, cancel)
