# SPDX-License-Identifier: MIT
"""Exposure of patient and hardware in words: how much, of which limit, and how well that is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from isocenter.domain.exposure import Exposure, Label
from isocenter.domain.limits import OperatingMode
from isocenter.ui.text import translate

_SMALL: Final = 0.001  # nobody needs more places
_NEAR: Final = 0.8  # of a limit, from which it is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLine:
    """One exposure for the operator.

    Attributes
    ----------
    name
        With its window, such as ``head SAR in 6 min``.
    text
        Such as ``at most 0.021 of 3.2 W/kg``.
    share
        Such as ``1 %`` of the limit; empty where there is no limit.
    label
        How it is known, in one word.
    health
        ``good``, ``warning``, ``bad``, ``unknown``; ``none`` where there is no limit to compare with.
    note
        Why it is unknown or only a bound.
    """

    name: str
    text: str
    share: str
    label: str
    health: str
    note: str


def exposure_line(one: Exposure) -> ExposureLine:
    """An exposure in words."""
    value, limit, unit = one.shown
    unit = {"uT": "µT"}.get(unit, unit)
    has_limit = math.isfinite(limit)
    if one.label is Label.UNKNOWN or math.isnan(value):
        text = translate("Exposure", "not known")
        if has_limit:
            text = translate("Exposure", "not known; limit {0}").format(f"{limit:.3g} {unit}".strip())
    else:
        number = _number(value, is_bound=one.label is Label.BOUND)
        text = translate("Exposure", "{0} of {1}").format(number, f"{limit:.3g} {unit}".strip())
        if not has_limit:
            text = f"{number} {unit}".strip()
        if one.label is Label.BOUND:
            text = translate("Exposure", "at most {0}").format(text)
    is_shared = has_limit and math.isfinite(one.fraction)
    return ExposureLine(
        name=one.title,
        text=text,
        share=f"{one.fraction * 100:.0f} %" if is_shared else "",
        label=label_text(one.label),
        health=exposure_health(one),
        note=one.note,
    )


def label_text(label: Label) -> str:
    """How an exposure is known."""
    return {
        Label.MEASURED: translate("Exposure", "measured"),
        Label.MODEL: translate("Exposure", "model"),
        Label.BOUND: translate("Exposure", "bound"),
        Label.UNKNOWN: translate("Exposure", "unknown"),
    }[label]


def exposure_health(one: Exposure) -> str:
    """How an exposure stands to its limit. What is not known is never good."""
    if math.isnan(one.fraction):
        return "unknown"
    if math.isnan(one.limit):
        return "none"
    if not one.is_within:
        return "bad"
    return "warning" if one.fraction >= _NEAR else "good"


def worst(exposures: Sequence[Exposure]) -> Exposure | None:
    """The one that is nearest to its limit, of those that are known and have one."""
    known = [one for one in exposures if math.isfinite(one.fraction) and math.isfinite(one.limit)]
    return max(known, key=lambda one: one.fraction, default=None)


def summary(exposures: Sequence[Exposure]) -> tuple[str, str]:
    """Health and sentence about all of them: the one nearest to its limit, and how many nobody knows."""
    if not exposures:
        return "unknown", translate("Exposure", "Exposure is not known.")
    nearest = worst(exposures)
    unknown = [one for one in exposures if math.isnan(one.fraction)]
    parts = []
    if nearest is not None:
        line = exposure_line(nearest)
        parts.append(
            translate("Exposure", "{0}: {1} ({2}, {3})").format(_capital(line.name), line.text, line.share, line.label)
        )
    if unknown:
        parts.append(translate("Exposure", "Not known: {0} of {1}").format(len(unknown), len(exposures)))
    order = ("none", "good", "unknown", "warning", "bad")
    health = max((exposure_health(one) for one in exposures), key=order.index)
    return ("unknown" if health == "none" else health), "\n".join(parts)


def mode_text(mode: OperatingMode) -> str:
    """Operating mode in words."""
    if mode is OperatingMode.NORMAL:
        return translate("Exposure", "normal mode")
    return translate("Exposure", "first level controlled mode")


def _number(value: float, *, is_bound: bool) -> str:
    if 0 < value < _SMALL:
        return f"{_SMALL:g}" if is_bound else translate("Exposure", "less than {0}").format(f"{_SMALL:g}")
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
