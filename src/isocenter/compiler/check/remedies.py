# SPDX-License-Identifier: MIT
"""From exposures that are too high to findings with the changes that would help."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from isocenter.compiler.check.advice import Advisor, longer_ramps, smallest
from isocenter.compiler.check.dose import Windows
from isocenter.compiler.check.patient import AVERAGED_SAR, DUTY, rf_exposures
from isocenter.compiler.check.pns import HEART, NERVE, stimulation_exposures
from isocenter.compiler.check.report import Advice, Finding, in_one_sentence
from isocenter.compiler.check.thermal import gradient_exposures
from isocenter.domain.exposure import Exposure, Label
from isocenter.domain.limits import OperatingMode, Region, Subject, masses_of
from isocenter.domain.scanner import Scanner


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixer:
    """Finds what would help against exposures that are too high."""

    scanner: Scanner
    subject: Subject | None
    mode: OperatingMode
    loads: Mapping[str, float]
    advisor: Advisor

    def findings(self, over: list[Exposure], *, may_pass: bool) -> list[Finding]:
        """One for each exposure; advice is for all of a kind at once, so that following it is enough."""
        rf = [one for one in over if one.name in AVERAGED_SAR | {Region.LOCAL.value, "B1+rms", DUTY}]
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

        known = self._weight(wanted) if all(one.name in AVERAGED_SAR for one in over) else ()
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
