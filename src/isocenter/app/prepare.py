# SPDX-License-Identifier: MIT
"""From a protocol to a compiled, checked scan. Pure: everything it needs is an argument, so it runs in any process."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isocenter.acquisition.prescan.looks import drift_rate_hz_per_s, plan_looks
from isocenter.app import catalogue
from isocenter.app.protocol_check import ProtocolCheck
from isocenter.compiler.check import SafetyReport, check_scan
from isocenter.compiler.check.exposure import Situation
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.domain.errors import ConsoleError, LimitError, SequenceError
from isocenter.domain.events import CompiledScan, Encoding
from isocenter.domain.geometry import PatientPosition, Placement, place
from isocenter.domain.limits import Subject
from isocenter.domain.scan import Prescription, Protocol, SequenceInfo
from isocenter.domain.scanner import Calibration, Scanner
from isocenter.sequences.build import build as build_sequence

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedScan:
    """A protocol that may be played: built, compiled, and let through the last gate.

    Attributes
    ----------
    seq
        The Pulseq text that was compiled.
    report
        What the sequence itself reports, such as its effective echo time; text or numbers by name.
    subject
        For whom it was checked; None for nobody in particular.
    """

    protocol: Protocol
    info: SequenceInfo
    seq: bytes
    scan: CompiledScan
    placement: Placement
    calibration: Calibration
    safety: SafetyReport
    report: dict[str, str | float]
    subject: Subject | None = None


def prepare(
    protocol: Protocol,
    scanner: Scanner,
    calibration: Calibration,
    position: PatientPosition,
    situation: Situation | None = None,
) -> PreparedScan:
    """Build, compile and check a protocol.

    Parameters
    ----------
    situation
        Who lies in the scanner, what was played before, who confirmed first level mode; None at the desk.

    Raises
    ------
    SequenceError, LimitError, CompileError
        It cannot be played; the message says why and what would fix it.
    """
    prepared = _compile(protocol, scanner, calibration, position, situation or Situation())
    prepared.safety.raise_if_refused()
    return prepared


def _compile(
    protocol: Protocol, scanner: Scanner, calibration: Calibration, position: PatientPosition, situation: Situation
) -> PreparedScan:
    """A scan with what the last gate says of it."""
    info = catalogue.find(protocol.sequence)
    seq, report, notes = _sequence_text(protocol, scanner, calibration)
    wanted = protocol.prescription
    _check_prescription(wanted, scanner)
    placement = place(wanted.orientation, position, wanted.centre_lps_m, wanted.tilt_rad, wanted.swap_read_phase)
    scan = compile_scan(read_pulseq(seq, name=info.name), scanner, calibration, placement)
    scan = replace(scan, warnings=(*notes, *scan.warnings))
    safety = check_scan(
        scan,
        scanner,
        calibration,
        subject=situation.subject,
        history=situation.history,
        starts_s=situation.starts_s,
        confirmation=situation.confirmation,
    )
    return PreparedScan(
        protocol=protocol,
        info=info,
        seq=seq,
        scan=scan,
        placement=placement,
        calibration=calibration,
        safety=safety,
        report=report,
        subject=situation.subject,
    )


def check(
    protocol: Protocol,
    scanner: Scanner,
    calibration: Calibration,
    position: PatientPosition,
    situation: Situation | None = None,
    drift_hz_per_s: float | None = None,
) -> ProtocolCheck:
    """What a protocol would do; a protocol that cannot be played is an answer here, not an error.

    Parameters
    ----------
    drift_hz_per_s
        Fastest drift of the magnet, for how often its frequency is looked at; None for a usual one.
    """
    try:
        prepared = _compile(protocol, scanner, calibration, position, situation or Situation())
    except ConsoleError as error:
        return ProtocolCheck(facts=None, problem=error.problem, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001  the job boundary: a researcher's sequence may raise anything
        _log.exception("Preparing %s failed", protocol.sequence)
        return ProtocolCheck(
            facts=None,
            problem=f"The sequence {protocol.sequence} failed with {type(error).__name__}: {error}.",
            remedy="Change the parameter you changed last, or mend the sequence; the log has the details.",
        )
    if not prepared.safety.is_allowed:
        return _refused(prepared.safety)
    return ProtocolCheck(
        facts=prepared.scan.facts,
        voxel_m=voxel_size_m(prepared.scan.encoding),
        warnings=prepared.scan.warnings,
        exposures=prepared.safety.exposures,
        mode=prepared.safety.mode,
        looks=plan_looks(prepared.scan, _usual_drift(scanner) if drift_hz_per_s is None else drift_hz_per_s),
    )


def _usual_drift(scanner: Scanner) -> float:
    return drift_rate_hz_per_s((), scanner.magnet.drift_hz_per_c)


def _refused(safety: SafetyReport) -> ProtocolCheck:
    """What the gate says, and whether time or a person could change it."""
    try:
        safety.raise_if_refused()
    except LimitError as error:
        problem, remedy = error.problem, error.remedy
    options = [{advice.kind: advice.advised for advice in finding.advice} for finding in safety.findings]
    return ProtocolCheck(
        facts=None,
        problem=problem,
        remedy=remedy,
        exposures=safety.exposures,
        mode=safety.mode,
        wait_s=max(kinds.get("wait", math.inf) for kinds in options),
        needs_first_level=all("confirm" in kinds for kinds in options),
    )


def voxel_size_m(encoding: Encoding | None) -> tuple[float, float, float] | None:
    """Voxel along read, phase and slice [m], from the compiled k-space steps; None if the scan makes no image."""
    if encoding is None:
        return None
    sizes = []
    for step, count in (
        (encoding.step_read_per_m, encoding.n_samples),
        (encoding.step_lin_per_m, encoding.n_lin),
        (encoding.step_par_per_m, encoding.n_par),
    ):
        extent_per_m = float(np.linalg.norm(step)) * count
        sizes.append(1 / extent_per_m if extent_per_m > 0 else encoding.slice_thickness_m)
    return sizes[0], sizes[1], sizes[2]


def _check_prescription(wanted: Prescription, scanner: Scanner) -> None:
    distance_m, reach_m = math.hypot(*wanted.centre_lps_m), scanner.magnet.bore_m / 2
    if not distance_m <= reach_m:
        raise SequenceError(
            f"The centre of the field of view is {distance_m * 1e3:.4g} mm from isocenter, outside the bore.",
            f"Move it to within {reach_m * 1e3:.0f} mm of isocenter, and the patient's region of interest with it.",
        )
    for tilt_rad in wanted.tilt_rad:
        if not abs(tilt_rad) <= math.pi / 2:
            raise SequenceError(
                f"A tilt of {math.degrees(tilt_rad):.4g}° turns the slab over.",
                "Tilt by at most 90°, or choose another orientation.",
            )


def _sequence_text(
    protocol: Protocol, scanner: Scanner, calibration: Calibration
) -> tuple[bytes, dict[str, str | float], tuple[str, ...]]:
    """Pulseq text, what the sequence reports, and how it differs from what was asked for."""
    if not catalogue.is_file(protocol.sequence):
        built = build_sequence(protocol.sequence, protocol.parameters, scanner, calibration)
        return built.seq, dict(built.report), built.notes
    if protocol.parameters:
        raise SequenceError(
            "A .seq file has no parameters.", "Leave the parameters away, or use one of the named sequences."
        )
    try:
        return Path(protocol.sequence).read_bytes(), {}, ()
    except OSError as error:
        raise SequenceError(
            f"The file '{protocol.sequence}' cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from None
