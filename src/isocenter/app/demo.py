# SPDX-License-Identifier: MIT
"""A whole exam on the virtual scanner: prescan, three-plane localizer, 3D TSE of the head."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.prescan import find_frequency
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.app.virtual_scanner import VirtualSetup, scenario_of, virtual_scanner
from isocenter.domain.geometry import Orientation
from isocenter.domain.patient import Exam
from isocenter.domain.scan import Prescription, Protocol, ScanProgress
from isocenter.domain.scanner import Scanner

SHEET: Final = "contact-sheet.png"
_T2: Final[dict[str, float | int | str | bool]] = {
    "fov_read_m": 0.24,
    "fov_phase_m": 0.22,
    "fov_slab_m": 0.22,
    "n_read": 120,
    "n_phase": 96,
    "n_slab": 30,
    "tr_s": 2.0,
    "echo_train_length": 16,
}


def demo_protocols() -> tuple[Protocol, ...]:
    """Localizer in three planes, then the head in thin slices."""
    localizer = tuple(
        Protocol(
            name=f"Localizer {orientation.value}",
            sequence="localizer",
            prescription=Prescription(orientation=orientation),
        )
        for orientation in Orientation
    )
    return (*localizer, Protocol(name="T2 TSE axial", sequence="tse_3d", parameters=_T2))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo did.

    Attributes
    ----------
    larmor_hz
        Frequency that the prescan found [Hz].
    sheet
        Contact sheet of the last scan.
    """

    exam: Exam
    larmor_hz: float
    outcomes: tuple[ScanOutcome, ...]
    sheet: Path | None


def run_demo(
    scanner: Scanner,
    setup: VirtualSetup,
    out: Path,
    *,
    cancel: Event,
    say: Callable[[str], None],
    on_progress: Callable[[ScanProgress], None],
) -> DemoResult:
    """Scan a head on a virtual scanner of our own; everything is written below ``out``.

    Raises
    ------
    ConsoleError
        Something went wrong; what was measured until then is kept.
    """
    exam = new_exam(phantom_patient(), scenario_of(setup).position, "HEAD", "Isocenter demo")
    outcomes: list[ScanOutcome] = []
    say("Starting the virtual scanner")
    with virtual_scanner(scanner, setup) as placed:
        session = ScannerSession(placed, is_virtual=True, pace="none")
        with contextlib.closing(session), session.stopped_by(cancel):
            identity = session.connect()
            say(f"Connected to {identity.kind} {identity.family} {identity.version} of {scanner.title}")
            say("Prescan: finding the frequency")
            found = find_frequency(session, exam, out, cancel=cancel)
            say(f"  {found.larmor_hz * 1e-6:.6f} MHz, signal-to-noise ratio {found.snr:.0f}")
            for protocol in demo_protocols():
                prepared = prepare(protocol, placed, session.calibration, exam.position)
                session.require_not_stopped(cancel)
                say(f"Scanning {protocol.name}, {prepared.scan.facts.duration_s:.0f} s on a real scanner")
                outcomes.append(session.scan(prepared, exam, out, cancel=cancel, on_progress=on_progress))
                session.require_not_stopped(cancel)
    last = outcomes[-1].images
    sheet = None
    if last is not None and last.sheet is not None:
        sheet = Path(shutil.copy(last.sheet, out / SHEET))
    return DemoResult(exam=exam, larmor_hz=found.larmor_hz, outcomes=tuple(outcomes), sheet=sheet)
