# SPDX-License-Identifier: MIT
"""Exposure of patient and hardware by a scan, with what was played before: shown, compared with limits, and mended."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from isocenter.compiler.check.advice import Advisor
from isocenter.compiler.check.dose import Windows, plan_dose
from isocenter.compiler.check.patient import AVERAGED_SAR, DUTY, PEAK, rf_exposures
from isocenter.compiler.check.pns import HEART, NERVE, stimulation_exposures
from isocenter.compiler.check.remedies import Fixer
from isocenter.compiler.check.report import Finding, SafetyReport
from isocenter.compiler.check.rf import Transmission
from isocenter.compiler.check.thermal import gradient_exposures, gradient_exposures_now
from isocenter.compiler.check.timeline import Timeline
from isocenter.domain.errors import LimitError
from isocenter.domain.events import TX_FULL_SCALE, CompiledScan
from isocenter.domain.exposure import Exposure, Label, PlannedDose
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, Subject, weight_problem
from isocenter.domain.scanner import Scanner

_SLACK: Final = 1.0001


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """In what a scan would be played.

    Attributes
    ----------
    subject
        Who lies in the scanner; None when nobody said so.
    history, starts_s
        What was played before, and when the scan would start, on the history's clock [s]; NaN for as soon as that has ended.
    confirmation
        Of first level mode.
    """

    subject: Subject | None = None
    history: ExposureHistory = field(default_factory=lambda: ExposureHistory(clock=""))
    starts_s: float = math.nan
    confirmation: FirstLevelConfirmation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What came of it: reasons to refuse, all exposures, the mode that is needed, what the scan would add."""

    findings: tuple[Finding, ...]
    exposures: tuple[Exposure, ...]
    mode: OperatingMode
    planned: PlannedDose


def assess(
    scan: CompiledScan,
    timeline: Timeline,
    pulses: Transmission,
    scanner: Scanner,
    loads: Mapping[str, float],
    situation: Situation,
) -> Assessment:
    """Exposures of a scan that is well formed, and findings for all that are too high.

    Parameters
    ----------
    loads
        Of ``check_rf`` and ``check_gradients``; what is too high there is not told twice.
    """
    history, subject = situation.history, _believed(situation.subject)
    end_s = float((history.start_s + history.length_s).max(initial=-math.inf))
    starts_s = situation.starts_s if math.isfinite(situation.starts_s) else max(end_s, 0.0)
    windows = Windows(planned=plan_dose(scan, timeline, pulses), history=history, starts_s=starts_s)

    def in_mode(mode: OperatingMode) -> tuple[Exposure, ...]:
        rf = (_peak(scan, pulses), *rf_exposures(windows.mean, scanner, subject, mode))
        return (*rf, *stimulation_exposures(scan, timeline, scanner, loads, subject, mode))

    hardware = tuple(gradient_exposures(windows, scanner, loads))
    exposures, mode = in_mode(OperatingMode.NORMAL), OperatingMode.NORMAL
    normal_findings = _over(exposures)
    may_pass = False
    if normal_findings:
        first = in_mode(OperatingMode.FIRST_LEVEL)
        may_pass = not _over(first)
        if situation.confirmation is not None:
            exposures, mode = first, OperatingMode.FIRST_LEVEL
    fixer = Fixer(
        scanner=scanner,
        subject=subject,
        mode=mode,
        loads=loads,
        advisor=Advisor(scan=scan, timeline=timeline, pulses=pulses, windows=windows),
    )
    told = {DUTY: "RF duty in one second", PEAK: "RF amplitude"} | {
        f"{letter} gradient RMS": f"{letter} gradient RMS in one second" for letter in "xyz"
    }
    over = [one for one in (*_over(exposures), *_over(hardware)) if loads.get(told.get(one.name, ""), 0.0) <= _SLACK]
    findings = [
        *_weight(situation.subject),
        *_unknown(exposures, scanner, subject),
        *fixer.findings(over, may_pass=may_pass),
    ]
    return Assessment(findings=tuple(findings), exposures=(*exposures, *hardware), mode=mode, planned=windows.planned)


def live_exposures(
    history: ExposureHistory, now_s: float, scanner: Scanner, subject: Subject | None, mode: OperatingMode
) -> tuple[Exposure, ...]:
    """What the windows that end now hold of what was really played; segments that were not played are not in it.

    Parameters
    ----------
    now_s
        On the history's clock [s]. A segment that is still playing counts as far as it is.
    """
    rf = rf_exposures(lambda quantity, window_s: history.mean(quantity, window_s, now_s), scanner, _believed(subject), mode)
    return (*rf, *gradient_exposures_now(history, now_s, scanner))


def predicted_exposures(
    report: SafetyReport, scanner: Scanner, subject: Subject | None, history: ExposureHistory, starts_s: float
) -> tuple[Exposure, ...]:
    """Exposures of a scan that was checked, as if it started at another time or after something else: in milliseconds.

    Parameters
    ----------
    report
        Of a scan whose tables could be read.
    starts_s
        On the history's clock [s].
    """
    if report.planned is None:
        raise ValueError("the tables of this scan could not be read, so nothing can be predicted")
    windows = Windows(planned=report.planned, history=history, starts_s=starts_s)
    rf = rf_exposures(windows.mean, scanner, _believed(subject), report.mode)
    same = tuple(one for one in report.exposures if one.name in (PEAK, NERVE, HEART))
    return (*rf, *same, *gradient_exposures(windows, scanner, report.loads))


def raise_if_over(exposures: tuple[Exposure, ...]) -> None:
    """Raise LimitError for what is most above its limit; for the last moment before a scan starts."""
    if over := _over(exposures):
        worst = max(over, key=lambda one: one.fraction)
        value, limit, unit = worst.shown
        raise LimitError(
            f"With what was played until now, {worst.title} would be {value:.4g}; at most {limit:.4g} {unit} are allowed.",
            "Prepare the scan again: it then says how long to wait, or what to change.",
        )


def _believed(subject: Subject | None) -> Subject | None:
    """The subject; a weight that cannot be counts as none."""
    return replace(subject, weight_kg=math.nan) if subject is not None and weight_problem(subject) else subject


def _peak(scan: CompiledScan, pulses: Transmission) -> Exposure:
    value_t = float(pulses.magnitude.max(initial=0)) * scan.tx_t_per_code
    limit_t = TX_FULL_SCALE * scan.tx_t_per_code
    return Exposure(name=PEAK, value=value_t, limit=limit_t, unit="T", window_s=0.0, label=Label.MODEL)


def _over(exposures: tuple[Exposure, ...]) -> list[Exposure]:
    """Those that are known to be above their limits."""
    return [one for one in exposures if one.value > one.limit * _SLACK]


def _weight(subject: Subject | None) -> Iterator[Finding]:
    problem = "" if subject is None else weight_problem(subject)
    if problem:
        yield _unanswerable(
            "patient's weight", problem.rstrip("."), "Correct the weight, or leave it empty if it is not known."
        )


def _unknown(exposures: tuple[Exposure, ...], scanner: Scanner, subject: Subject | None) -> Iterator[Finding]:
    """A person is not scanned while nothing at all can be said about SAR."""
    is_person = subject is not None and not subject.is_phantom
    if is_person and any(one.label is Label.UNKNOWN for one in exposures if one.name in AVERAGED_SAR):
        event = f"the power of the RF amplifier of scanner {scanner.name} is unknown, so the SAR of a person is"
        remedy = "Give safety.forward_power_w, the amplifier's largest output, in the scanner's hardware file."
        yield _unanswerable("unknown SAR", event, remedy)


def _unanswerable(limit: str, event: str, remedy: str) -> Finding:
    nan = math.nan
    return Finding(limit=limit, requested=nan, allowed=nan, unit="", event=event, time_s=nan, remedy=remedy)
