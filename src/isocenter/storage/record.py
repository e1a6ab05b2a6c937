# SPDX-License-Identifier: MIT
"""What ``scan.json`` says: everything about a scan that is not a sample, readable without the program."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from isocenter.domain.calibration import UsedCalibration
from isocenter.domain.events import CompiledScan, Encoding, ScanFacts
from isocenter.domain.geometry import Placement
from isocenter.domain.patient import Exam
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scan import EndReason, Protocol
from isocenter.domain.scanner import Calibration, Scanner
from isocenter.storage.journal import now_iso

FORMAT: Final = "isocenter scan 1"

_VERSIONED: Final = ("isocenter", "numpy", "h5py", "ismrmrd", "pypulseq")


def program_versions() -> dict[str, str]:
    """Versions of the program and of what it stands on."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """What the app knows of a scan before it starts.

    Attributes
    ----------
    protocol
        What was asked.
    parameters
        SI value of every parameter of the sequence, defaults included.
    placement, calibration, scanner
        As the scan used them.
    exam
        Who was on the table, None for nobody (a service scan).
    series_number
        Number of the scan in its exam, from 1.
    recon
        What the data become: ``cartesian``, ``spectrum`` or ``noise``.
    console
        What answered at the console's address, such as ``MaRCoS 1.0.5 (virtual)``.
    pipeline
        Steps of reconstruction that the sequence declared; empty for the usual ones.
    calibration_values
        What ``calibration`` was made of: each measured value with its age, and why others did not hold.
    frequency_only
        ``person`` who left out the rest of the prescan, and ``at`` when; empty for nobody.
    safety
        What the last gate said just before the scan: operating mode, who confirmed it, exposures.
    """

    protocol: Protocol
    parameters: Mapping[str, float | int | str | bool]
    placement: Placement
    calibration: Calibration
    scanner: Scanner
    exam: Exam | None = None
    series_number: int = 1
    recon: str = "cartesian"
    console: str = ""
    pipeline: tuple[StepOrder, ...] = ()
    calibration_values: tuple[UsedCalibration, ...] = ()
    frequency_only: Mapping[str, str] = field(default_factory=dict)
    safety: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSummary:
    """What ``scan.json`` keeps of the compiled scan.

    Attributes
    ----------
    n_expected
        Readouts that the whole scan has.
    labels
        Names of the labels that the sequence sets.
    """

    scanner_name: str
    clock_hz: float
    lo_hz: float
    n_expected: int
    n_segments: int
    encoding: Encoding | None
    facts: ScanFacts
    definitions: dict[str, str]
    labels: tuple[str, ...]
    warnings: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEnd:
    """How and when a scan ended, and what it left.

    Attributes
    ----------
    note
        Why, when it was cut short; and what a person who reads its images should know of how it went.
    """

    reason: EndReason
    at: str
    n_readouts: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRecord:
    """The whole of ``scan.json``.

    Attributes
    ----------
    started_at
        ISO 8601 with time zone.
    device_from_logical, lps_from_device
        The two matrices that carry the sequence's axes into the patient, written out for whoever reads the file by eye.
    end
        None while the scan runs, and after a crash.
    """

    request: ScanRequest
    compiled: CompiledSummary
    started_at: str
    device_from_logical: tuple[tuple[float, ...], ...]
    lps_from_device: tuple[tuple[float, ...], ...]
    format: str = FORMAT
    versions: dict[str, str] = field(default_factory=program_versions)
    end: ScanEnd | None = None


def make_record(request: ScanRequest, scan: CompiledScan, started_at: str = "") -> ScanRecord:
    """Record of a scan that is about to start."""
    from isocenter.domain.geometry import lps_from_device

    return ScanRecord(
        request=request,
        compiled=CompiledSummary(
            scanner_name=scan.scanner_name,
            clock_hz=scan.clock_hz,
            lo_hz=scan.lo_hz,
            n_expected=len(scan.readouts),
            n_segments=len(scan.segments),
            encoding=scan.encoding,
            facts=scan.facts,
            definitions=dict(scan.definitions),
            labels=tuple(scan.readouts.labels),
            warnings=scan.warnings,
            signature=scan.signature,
        ),
        started_at=started_at or now_iso(),
        device_from_logical=tuple(map(tuple, request.placement.device_from_logical.tolist())),
        lps_from_device=tuple(map(tuple, lps_from_device(request.placement.position).tolist())),
    )


def folder_name(record: ScanRecord) -> str:
    """Name for the scan's folder: number and protocol, safe on every file system, nothing about the patient."""
    words = re.sub(r"[^\w]+", "-", record.request.protocol.name, flags=re.ASCII).strip("-").lower()
    return f"{record.request.series_number:03d}-{words[:60] or 'scan'}"
