# SPDX-License-Identifier: MIT
"""Service calibrations in words."""

import math
from dataclasses import dataclass

from isocenter.app.prescan_status import StepState, Verdict
from isocenter.app.service_status import HistoryEntry, ServiceRow
from isocenter.domain.calibration import CalibrationValue
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.calibration_text import (
    age_text,
    date_text,
    holds_text,
    spread_text,
    temperature_text,
    value_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One moment of a history: what, and whether one can go back to it."""

    number: int
    health: str
    text: str
    detail: str
    why_not: str


def state_of(row: ServiceRow) -> tuple[str, str]:
    """Colour and word of what is in use."""
    if row.why_never:
        return "unknown", translate("Service", "not on this scanner")
    if row.is_check:
        return _checked(row)
    if not row.values:
        return "unknown", translate("Service", "never measured")
    if any(used.why_not for used in row.values):
        return "warning", translate("Service", "does not hold")
    if row.why_again:
        return "warning", translate("Service", "measure again")
    return "good", translate("Service", "in use") if row.is_used else translate("Service", "kept")


def _checked(row: ServiceRow) -> tuple[str, str]:
    """Of a check, which has no value."""
    if row.result.verdict is None or row.state is not StepState.ENDED:
        return "unknown", translate("Service", "checked before") if row.values else translate("Service", "not checked yet")
    health = {Verdict.PASS: "good", Verdict.WARN: "warning", Verdict.FAIL: "bad"}.get(row.result.verdict, "unknown")
    return health, translate("Service", "checked")


def value_of(row: ServiceRow) -> str:
    """Value with its spread, or why there is none."""
    if row.values and not (row.is_check and row.result.text):
        return " · ".join(with_spread(used.value) for used in row.values)
    if row.why_never:
        return f"{row.why_never[:1].upper()}{row.why_never[1:]}."
    if row.is_check:
        return row.result.text or translate("Service", "a check: nothing goes into use")
    if row.is_used:
        return translate("Service", "scans use what the hardware file says")
    return translate("Service", "not known")


def with_spread(value: CalibrationValue) -> str:
    """Value and how well it is known."""
    text = value_text(value)
    return text if "±" in text else f"{text} {spread_text(value)}"


def conditions_of(row: ServiceRow, now_s: float) -> str:
    """Age, temperature and coil."""
    if not row.values:
        return ""
    value = row.values[0].value
    age = age_text(now_s - value.measured_at_s)
    if math.isnan(value.measured_at_s):  # the clock was set back since
        age = translate("Service", "age not known")
    coil = translate("Service", "coil {0}").format(value.coil) if value.coil else translate("Service", "any coil")
    return f"{age} · {temperature_text(value.temperature_c)} · {coil}"


def holds_of(row: ServiceRow) -> str:
    """Until when it is good, or why it is not."""
    if not row.values:
        return ""
    why_not = next((used.why_not for used in row.values if used.why_not), "") or row.why_again
    if why_not:
        return f"{why_not[:1].upper()}{why_not[1:]}"
    return translate("Service", "good {0}").format(holds_text(row.values[0].value))


def old_value(row: ServiceRow) -> str:
    """What is in use until somebody decides otherwise."""
    if row.is_check:
        return ""
    words = value_of(row) if row.values else translate("Service", "never measured; {0}").format(value_of(row))
    return words if row.is_used or not row.values else translate("Service", "{0} (kept, not used by scans)").format(words)


def verdict_of(row: ServiceRow) -> tuple[str, str, str]:
    """Shape, word, colour."""
    if row.state is StepState.RUNNING:
        return "…", translate("Service", "measuring"), "running"
    if row.state is StepState.STOPPED:
        return "■", translate("Service", "stopped"), "warning"
    if row.state is StepState.WAITING or row.result.verdict is None:
        return "○", translate("Service", "not measured yet"), "unknown"
    return {
        Verdict.PASS: ("✓", translate("Service", "pass"), "good"),
        Verdict.WARN: ("▲", translate("Service", "look at it"), "warning"),
        Verdict.FAIL: ("✕", translate("Service", "refused; the old value stays"), "bad"),
        Verdict.SKIPPED: ("–", translate("Service", "not needed"), "unknown"),
    }[row.result.verdict]


def purpose_of(name: str) -> str:
    """What a calibration is good for, where its plot will be."""
    return {
        "gradient_currents": translate(
            "Service", "Drives each channel of the gradient board and reads back what flows. No phantom is needed."
        ),
        "flip_check": translate(
            "Service", "Compares a pulse with one of twice the angle. Run the prescan with the phantom before it."
        ),
        "gradient_scale": translate(
            "Service", "Size and direction of images. The phantom lies off the centre, differently along X, Y and Z."
        ),
        "gradient_delay": translate("Service", "When gradients really begin. Wrong, it makes ghosts and blurs spirals."),
        "shim_by_map": translate("Service", "Takes the linear part of the main field's unevenness away."),
        "eddy_currents": translate("Service", "What stays behind when a gradient is switched off."),
        "b0_map": translate("Service", "How even the main field is over the phantom."),
        "b1_map": translate("Service", "How even the transmitted field is over the phantom."),
    }.get(name, "")


def history_line(entry: HistoryEntry, *, is_check: bool = False) -> HistoryLine:
    """One moment of a history in words; one cannot go back to what a check found."""
    when = date_text(entry.written_at_s)
    if not entry.values:
        return HistoryLine(
            number=entry.number,
            health="bad",
            text=translate("Service", "{0} · not used · {1}").format(when, entry.by),
            detail=f"{entry.refused[:1].upper()}{entry.refused[1:]}",
            why_not=translate("Service", "This was not taken into use; one cannot go back to it."),
        )
    value = entry.values[0]
    words = " · ".join(with_spread(one) for one in entry.values)
    why_not = translate("Service", "This is the newest value already.") if entry.is_newest else ""
    if is_check:
        why_not = translate("Service", "This is a check: nothing of it goes into use.")
    parts = [
        translate("Service", "measured {0}").format(date_text(value.measured_at_s)),
        temperature_text(value.temperature_c),
        value.phantom,
        translate("Service", "data: {0}").format(value.raw) if value.raw else "",
    ]
    return HistoryLine(
        number=entry.number,
        health="good" if entry.is_newest else "unknown",
        text=f"{when} · {words} · {entry.by}",
        detail="\n".join(part for part in parts if part),
        why_not=why_not,
    )
