# SPDX-License-Identifier: MIT
"""Exposure of patient and hardware by a scan, with what was played before: shown, compared with limits, and mended."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from isocenter.compiler.check.advice import Advisor, longer_ramps, smallest
from isocenter.compiler.check.dose import Windows, plan_dose
from isocenter.compiler.check.patient import DUTY, rf_exposures
from isocenter.compiler.check.pns import HEART, NERVE, stimulation_exposures
from isocenter.compiler.check.report import Advice, Finding, SafetyReport, in_one_sentence
from isocenter.compiler.check.rf import Transmission
from isocenter.compiler.check.thermal import gradient_exposures, gradient_exposures_now
from isocenter.compiler.check.timeline import Timeline
from isocenter.domain.errors import LimitError
from isocenter.domain.events import TX_FULL_SCALE, CompiledScan
from isocenter.domain.exposure import Exposure, Label, PlannedDose
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, Region, Subject, masses_of, weight_problem
from isocenter.domain.scanner import Scanner

_AVERAGED_SAR: Final = frozenset(region.value for region in (Region.WHOLE_BODY, Region.PARTIAL_BODY, Region.HEAD))
_SLACK: Final = 1.0001
PEAK: Final = "peak B1+"


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
    fixer = _Fixer(
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
    if is_person and any(one.label is Label.UNKNOWN for one in exposures if one.name in _AVERAGED_SAR):
        event = f"the power of the RF amplifier of scanner {scanner.name} is unknown, so the SAR of a person is"
        remedy = "Give safety.forward_power_w, the amplifier's largest output, in the scanner's hardware file."
        yield _unanswerable("unknown SAR", event, remedy)


def _unanswerable(limit: str, event: str, remedy: str) -> Finding:
    nan = math.nan
    return Finding(limit=limit, requested=nan, allowed=nan, unit="", event=event, time_s=nan, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fixer:
    """Finds what would help against exposures that are too high."""

    scanner: Scanner
    subject: Subject | None
    mode: OperatingMode
    loads: Mapping[str, float]
    advisor: Advisor

    def findings(self, over: list[Exposure], *, may_pass: bool) -> list[Finding]:
        """One for each exposure; advice is for all of a kind at once, so that following it is enough."""
        rf = [one for one in over if one.name in _AVERAGED_SAR | {Region.LOCAL.value, "B1+rms", DUTY}]
        nerves = [one for one in over if one.name in (NERVE, HEART)]
        others = [one for one in over if one not in rf and one not in nerves]
        found = []
        kinds: tuple[tuple[list[Exposure], Callable[[list[Exposure]], tuple[Advice, ...]]], ...] = (
            (rf, self._rf),
            (nerves, self._nerves),
            (others, self._heat),
        )
        for group, advise in kinds:
            advice = advise(group) if group else ()
            if group is not others and may_pass and self.mode is OperatingMode.NORMAL:
                text = "let a person who is responsible confirm the first level controlled operating mode"
                advice = (*advice, Advice(kind="confirm", advised=math.nan, text=text))
            found += [self._finding(one, advice) for one in group]
        return found

    def _rf(self, over: list[Exposure]) -> tuple[Advice, ...]:
        wanted = {one.title for one in over}

        def worst(windows: Windows) -> float:
            exposures = rf_exposures(windows.mean, self.scanner, self.subject, self.mode)
            return max(one.value / one.limit for one in exposures if one.title in wanted)

        known = self._weight(wanted) if all(one.name in _AVERAGED_SAR for one in over) else ()
        return (*known, *self.advisor.for_rf(worst, is_flip_enough=not any(one.name == DUTY for one in over)))

    def _weight(self, wanted: set[str]) -> tuple[Advice, ...]:
        """From which weight on the scan would pass, where none was given."""
        subject, windows = self.subject, self.advisor.windows
        if subject is None or subject.is_phantom or not math.isnan(subject.weight_kg):
            return ()

        def passes(weight_kg: float) -> bool:
            weighed = replace(subject, weight_kg=weight_kg)
            exposures = rf_exposures(windows.mean, self.scanner, weighed, self.mode)
            return all(one.value <= one.limit for one in exposures if one.title in wanted)

        weight_kg = smallest(passes, 0.0, 150.0, 1.0)
        if weight_kg is None:
            return ()
        # The number itself stays out of the words: people would type it.
        text = f"enter the patient's weight: none was given, so only {masses_of(subject).body_kg:g} kg are counted"
        return (Advice(kind="weight", advised=weight_kg, text=text),)

    def _heat(self, over: list[Exposure]) -> tuple[Advice, ...]:
        peaks = [one for one in over if one.name.endswith("gradient current")]
        if peaks:
            return self._lower_peaks(peaks)
        wanted = {one.title for one in over}

        def worst(windows: Windows) -> float:
            exposures = gradient_exposures(windows, self.scanner, self.loads)
            return max(one.value / one.limit for one in exposures if one.title in wanted)

        return self.advisor.for_heat(worst)

    def _lower_peaks(self, over: list[Exposure]) -> tuple[Advice, ...]:
        """By how much gradients must come down while the shim stays as it is."""
        factors = []
        for one in over:
            channel = "xyz".index(one.name[0])
            thermal = self.scanner.gradients.axes[channel].thermal
            assert thermal is not None
            shim_a = self.advisor.windows.planned.shim_t_per_m[channel] * thermal.a_per_t_per_m
            if one.limit <= shim_a:
                most_t_per_m = one.limit / thermal.a_per_t_per_m
                text = f"repeat the shim: that of {one.name[0]} alone must stay below {most_t_per_m * 1e3:.3g} mT/m"
                return (Advice(kind="shim", advised=most_t_per_m, text=text),)
            factors.append((one.limit - shim_a) / (one.value - shim_a))
        factor = max(math.floor(99.9 * min(factors)), 1) / 100
        text = f"enlarge field of view and voxels {1 / factor:.2f} times, since the shim takes current as well"
        return (Advice(kind="amplitude", advised=factor, text=text),)

    def _nerves(self, over: list[Exposure]) -> tuple[Advice, ...]:
        now = max(one.fraction for one in over)
        scan, timeline = self.advisor.scan, self.advisor.timeline

        def fraction_if(longer: float) -> float:
            loads = {name: load / longer if name.endswith("slew") else load for name, load in self.loads.items()}
            exposures = stimulation_exposures(scan, timeline, self.scanner, loads, self.subject, self.mode, slower=longer)
            return max(one.fraction for one in exposures)

        return longer_ramps(fraction_if, now)

    def _finding(self, one: Exposure, advice: tuple[Advice, ...]) -> Finding:
        requested, allowed, unit = one.shown
        stated = {Label.BOUND: "the worst case of ", Label.MODEL: ""}.get(one.label, "")
        event = f"{stated}the scan with what was played before"
        remedy = in_one_sentence(advice) if advice else "Choose another sequence; no single change of this one is enough."
        return Finding(
            limit=one.title,
            requested=requested,
            allowed=allowed,
            unit=unit,
            event=event,
            time_s=math.nan,
            remedy=remedy,
            advice=advice,
        )
