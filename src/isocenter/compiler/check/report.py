# SPDX-License-Identifier: MIT
"""What the last gate found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isocenter.domain.errors import LimitError
from isocenter.domain.events import CompiledScan
from isocenter.domain.exposure import Exposure, PlannedDose
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One change that lets a scan pass; found by trying it on what was compiled.

    Attributes
    ----------
    kind
        ``wait``: start so many seconds later. ``tr``: a TR of at least so many seconds. ``flip``: every flip angle times
        this. ``slices``: so many slices. ``ramps``: every ramp this many times as long. ``amplitude``: every gradient times
        this, the shim as it is. ``shim``: a shim below so much. ``weight``: the patient's, if it
        is at least so many kilograms. ``confirm``: a person confirms first level mode.
    advised
        The number that ``kind`` speaks of.
    text
        A clause without its full stop, such as ``lengthen TR to at least 812 ms``.
    """

    kind: str
    advised: float
    text: str


def in_one_sentence(advice: tuple[Advice, ...]) -> str:
    """All of the changes, any of which would do."""
    text = ", or ".join(one.text for one in advice)
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason to refuse a scan.

    Attributes
    ----------
    limit
        Name of the limit, such as ``x gradient amplitude``.
    requested, allowed
        In ``unit``; NaN where no number applies or the limit is unknown.
    unit
        Of both; empty for counts and fractions.
    event
        What asks for it, in words, with its segment.
    time_s
        When, counted from the start of the scan [s]; NaN for the scan as a whole.
    remedy
        The change that would fix it.
    advice
        The same as values, where it was computed; any one of them is enough for this limit.
    """

    limit: str
    requested: float
    allowed: float
    unit: str
    event: str
    time_s: float
    remedy: str
    advice: tuple[Advice, ...] = ()

    @property
    def problem(self) -> str:
        """One sentence: limit, event, time, request and what is allowed."""
        when = f" at {self.time_s:.6f} s" if math.isfinite(self.time_s) else ""
        if math.isnan(self.requested) and math.isnan(self.allowed):
            return f"{self.limit}: {self.event}{when}."
        bound = "at least" if self.requested < self.allowed else "at most"
        requested, allowed = f"{self.requested:.5g} {self.unit}".strip(), f"{self.allowed:.5g} {self.unit}".strip()
        return f"{self.limit}: {self.event}{when} asks for {requested}; it must be {bound} {allowed}."

    @property
    def severity(self) -> float:
        """How many times the limit is missed; infinite where that cannot be said."""
        if not math.isfinite(self.requested) or self.allowed == 0 or self.requested == 0:
            return math.inf
        ratio = abs(self.requested / self.allowed)
        return max(ratio, 1 / ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyReport:
    """Outcome of the last gate.

    Attributes
    ----------
    findings
        All reasons to refuse; empty when the scan may be played.
    loads
        Fraction of each limit that the scan uses, by name of the limit; 1 is the limit itself. Empty if the tables are
        so broken that nothing could be measured.
    scan
        The very scan that was looked at; None where it was refused before its tables were read.
    exposures
        What patient and hardware would be exposed to at most, with what was played before.
    mode, confirmation
        Operating mode that the scan needs, and who confirmed it; None in normal mode, and where nobody did.
    planned
        What the scan would add to a history of exposures; None where that could not be said.
    """

    findings: tuple[Finding, ...]
    loads: Mapping[str, float] = field(default_factory=dict)
    scan: CompiledScan | None = field(default=None, repr=False, compare=False)
    exposures: tuple[Exposure, ...] = field(default=(), compare=False)  # unknown, NaN, is not equal to itself
    mode: OperatingMode = OperatingMode.NORMAL
    confirmation: FirstLevelConfirmation | None = None
    planned: PlannedDose | None = field(default=None, repr=False, compare=False)

    def allows(self, scan: CompiledScan) -> bool:
        """True when this very scan was looked at, not one like it, and nothing speaks against playing it."""
        return self.scan is scan and self.is_allowed

    @property
    def is_allowed(self) -> bool:
        """True when nothing speaks against playing the scan."""
        return not self.findings

    @property
    def is_all_known(self) -> bool:
        """True when every exposure with a limit is known; else some light stays off green."""
        return all(math.isfinite(one.fraction) for one in self.exposures)

    def to_record(self) -> dict[str, Any]:
        """What a scan's record keeps of it, as JSON can hold it: mode, who confirmed it and when, all exposures."""
        confirmed = None if self.confirmation is None else {"name": self.confirmation.name, "at": self.confirmation.at}
        return {
            "mode": self.mode.value,
            "first_level_confirmed": confirmed,
            "exposures": [one.to_record() for one in self.exposures],
        }

    def raise_if_refused(self) -> None:
        """Raise LimitError for the worst finding, saying how many more there are."""
        if not self.findings:
            return
        worst = max(self.findings, key=lambda finding: finding.severity)
        more = len(self.findings) - 1
        others = f" {more} more {'limit is' if more == 1 else 'limits are'} not kept." if more else ""
        raise LimitError(worst.problem + others, worst.remedy)
