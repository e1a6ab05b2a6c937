# SPDX-License-Identifier: MIT
"""The last gate: what was compiled, against what the scanner may do. Nothing is sent that has not passed it."""

import math
from collections.abc import Iterator
from typing import Final

from isocenter.compiler.check.exposure import Situation, assess
from isocenter.compiler.check.gradients import check_gradients
from isocenter.compiler.check.order import check_order
from isocenter.compiler.check.receive import check_ends, check_gates, check_windows
from isocenter.compiler.check.report import Finding, SafetyReport
from isocenter.compiler.check.rf import check_rf, transmission
from isocenter.compiler.check.timeline import GRADIENT_FULL_SCALE, build_timeline, fault
from isocenter.domain.events import GRADIENT_CHANNELS, TX_FULL_SCALE, CompiledScan
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, Subject
from isocenter.domain.scanner import Calibration, Scanner, as_measured

_SPAN_MARGIN: Final = 1.1
_MAX_POINTS: Final = 2_700_000
"""Changes of one segment: at most 8 388 600 words, up to three words each. Source: reference marcos.md 14.3."""
_PREPARE_AGAIN: Final = "Prepare the scan again, so that it is compiled for this scanner and this prescan."


def check_scan(
    scan: CompiledScan,
    scanner: Scanner,
    calibration: Calibration,
    *,
    subject: Subject | None = None,
    history: ExposureHistory | None = None,
    starts_s: float = math.nan,
    confirmation: FirstLevelConfirmation | None = None,
) -> SafetyReport:
    """Everything that speaks against playing a compiled scan; ``raise_if_refused`` makes an error of it.

    Looks at the compiled tables only: RF magnitude, length and duty; gradient amplitude with shim, slew and RMS; blanking
    and dead time; outputs at the end of each segment; receive windows and buffers; the carrier; and whether the scan was
    compiled for this scanner and calibration. A limit that the scanner does not know refuses the scan. Then, for patient and
    hardware, what builds up over seconds and minutes: SAR, B1+rms, duty, heat of gradients, stimulation of nerves.

    Parameters
    ----------
    subject
        Who lies in the scanner. None, nobody is named: SAR is unknown and refuses nothing.
    history, starts_s
        What was played before, and when this scan would start, on the history's clock [s]; NaN for at once.
    confirmation
        A person takes responsibility for first level mode, if the scan needs it.

    Costs about 0.15 s for a scan of 700 000 points.

    Source
    ------
    reference marcos.md 14, domain.md 4.3.
    """
    unknown = list(_unknown_limits(scanner, calibration))
    if unknown:
        return SafetyReport(findings=tuple(unknown))
    scanner = as_measured(scanner, calibration)
    timeline, malformed = build_timeline(scan, scanner)
    if timeline is None:
        return SafetyReport(findings=tuple(malformed))
    pulses = transmission(timeline)
    rf_findings, rf_loads = check_rf(scan, timeline, pulses, scanner.rf)
    gradient_findings, gradient_loads = check_gradients(scan, timeline, scanner)
    findings = [
        *_identity(scan, scanner, calibration),
        *_carrier(scan, scanner),
        *_sizes(scan),
        *rf_findings,
        *gradient_findings,
        *check_gates(timeline, pulses, scanner.rf),
        *check_windows(scan, timeline),
        *check_ends(scan, timeline),
        *check_order(scan, timeline),
    ]
    situation = Situation(
        subject=subject,
        history=ExposureHistory(clock="") if history is None else history,
        starts_s=starts_s,
        confirmation=confirmation,
    )
    assessment = assess(scan, timeline, pulses, scanner, rf_loads | gradient_loads, situation)
    return SafetyReport(
        findings=(*findings, *assessment.findings),
        loads=rf_loads | gradient_loads,
        scan=scan,
        exposures=assessment.exposures,
        mode=assessment.mode,
        confirmation=confirmation if assessment.mode is OperatingMode.FIRST_LEVEL else None,
        planned=assessment.planned,
    )


def _unknown_limits(scanner: Scanner, calibration: Calibration) -> Iterator[Finding]:
    rf, gradients, magnet = scanner.rf, scanner.gradients, scanner.magnet
    positive = {
        "rf.full_scale": rf.full_scale_t,
        "rf.max_pulse": rf.max_pulse_s,
        "rf.max_duty": rf.max_duty,
        "gradients.update_interval": gradients.update_interval_s,
        "magnet.larmor": magnet.larmor_hz,
        "magnet.search_span": magnet.search_span_hz,
        "console.clock": scanner.console.clock_hz,
        "calibration larmor": calibration.larmor_hz,
        "calibration rf_scale": calibration.rf_scale,
    }
    for name, axis in zip("xyz", gradients.axes, strict=True):
        positive |= {
            f"gradients.{name}.full_scale": abs(axis.full_scale_t_per_m),
            f"gradients.{name}.max": axis.max_t_per_m,
            f"gradients.{name}.max_slew": axis.max_slew_t_per_m_s,
            f"gradients.{name}.max_rms": axis.max_rms_t_per_m,
        }
    others = {"rf.warmup": rf.warmup_s, "rf.hold": rf.hold_s, "rf.dead_time": rf.dead_time_s}
    positive |= {
        f"calibration gradient_scale {name}": value for name, value in zip("xyz", calibration.gradient_scale, strict=True)
    }
    others |= {
        f"calibration gradient_delay {name}": abs(value)
        for name, value in zip("xyz", calibration.gradient_delay_s, strict=True)
    }
    others |= {f"calibration shim {name}": abs(value) for name, value in zip("xyz", calibration.shim_t_per_m, strict=True)}
    for key, value in {**positive, **others}.items():
        is_known = math.isfinite(value) and (value > 0 or (key in others and value >= 0))
        if not is_known:
            yield Finding(
                limit="unknown limit",
                requested=math.nan,
                allowed=math.nan,
                unit="",
                event=f"{key} of scanner {scanner.name} is {value}, so nothing can be checked against it",
                time_s=math.nan,
                remedy=f"Give {key} a value with its source in the scanner's hardware file.",
            )


def _identity(scan: CompiledScan, scanner: Scanner, calibration: Calibration) -> Iterator[Finding]:
    """The scan must have been compiled for this scanner and this calibration: its codes mean nothing elsewhere."""
    if scan.scanner_name != scanner.name:
        yield _stale(
            "compiled for another scanner", f"the scan is for '{scan.scanner_name}', the scanner is '{scanner.name}'"
        )
    if not math.isclose(scan.clock_hz, scanner.console.clock_hz, rel_tol=1e-9):
        yield _stale(
            "console clock", f"the scan counts at {scan.clock_hz:.6g} Hz, the console at {scanner.console.clock_hz:.6g} Hz"
        )
    if not abs(scan.lo_hz - calibration.larmor_hz) <= 1e-3:
        yield _stale(
            "carrier frequency of the prescan",
            f"the scan is for {scan.lo_hz * 1e-6:.6f} MHz, the prescan says {calibration.larmor_hz * 1e-6:.6f} MHz",
        )
    tx_t_per_code = scanner.rf.full_scale_t * calibration.rf_scale / TX_FULL_SCALE
    if not math.isclose(scan.tx_t_per_code, tx_t_per_code, rel_tol=1e-3):
        yield _stale(
            "RF calibration", f"a code of the scan is {scan.tx_t_per_code:.5g} T, of the scanner {tx_t_per_code:.5g} T"
        )
    full = GRADIENT_FULL_SCALE[scanner.gradients.board]
    for number, (name, axis) in enumerate(zip(GRADIENT_CHANNELS, scanner.gradients.axes, strict=True)):
        per_code = axis.full_scale_t_per_m / full
        if not math.isclose(scan.gradient_t_per_m_per_code[number], per_code, rel_tol=1e-3):
            yield _stale("gradient calibration", f"a code of {name} is not what it is on scanner {scanner.name}")
        wanted = calibration.shim_t_per_m[number] / per_code
        wrong = [segment.index for segment in scan.segments if not abs(segment.shim_codes[number] - wanted) <= 1.5]
        if wrong:
            yield _stale("shim", f"segment {wrong[0]} was compiled with another shim of {name} than this prescan's")


def _stale(limit: str, event: str) -> Finding:
    return Finding(
        limit=limit, requested=math.nan, allowed=math.nan, unit="", event=event, time_s=math.nan, remedy=_PREPARE_AGAIN
    )


def _carrier(scan: CompiledScan, scanner: Scanner) -> Iterator[Finding]:
    magnet = scanner.magnet
    if not 0 <= scan.lo_hz < scan.clock_hz / 2:
        yield Finding(
            limit="carrier frequency",
            requested=scan.lo_hz / 1e6,
            allowed=scan.clock_hz / 2e6,
            unit="MHz",
            event="the local oscillator",
            time_s=math.nan,
            remedy="Repeat the frequency prescan.",
        )
    elif not abs(scan.lo_hz - magnet.larmor_hz) <= magnet.search_span_hz * _SPAN_MARGIN:
        yield Finding(
            limit="carrier frequency",
            requested=abs(scan.lo_hz - magnet.larmor_hz) / 1e3,
            allowed=magnet.search_span_hz * _SPAN_MARGIN / 1e3,
            unit="kHz from the magnet's frequency",
            event=f"the local oscillator at {scan.lo_hz / 1e6:.6g} MHz",
            time_s=math.nan,
            remedy="Repeat the frequency prescan, or correct magnet.larmor in the hardware file.",
        )


def _sizes(scan: CompiledScan) -> Iterator[Finding]:
    for segment in scan.segments:
        points = sum(len(track.ticks) for track in segment.tracks.values())
        if points > _MAX_POINTS:
            yield Finding(
                limit="events in a segment",
                requested=float(points),
                allowed=float(_MAX_POINTS),
                unit="",
                event=f"segment {segment.index}",
                time_s=segment.start_s,
                remedy="Use fewer or shorter shaped pulses between two excitations.",
            )
            return
    if not scan.segments:
        yield fault("segments", "the scan has no segments")
