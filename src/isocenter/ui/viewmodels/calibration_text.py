# SPDX-License-Identifier: MIT
"""Calibrations in words: what it is, its value with spread, and how old it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from isocenter.app.prescan_status import ValueInUse
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.ui.text import translate

_LIKELY_S: Final = 10.0  # younger is "just now"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueLine:
    """One value in use, for the operator.

    Attributes
    ----------
    name, text, age
        Such as ``Frequency``, ``2.001696 MHz ± 3 Hz``, ``4 min ago``.
    health
        ``good`` while it holds, ``warning`` when it does not any more.
    why_not
        Why it does not hold, empty when it does.
    """

    name: str
    text: str
    age: str
    health: str
    why_not: str = ""


def value_line(used: ValueInUse, now_s: float) -> ValueLine:
    """A value in use, at a moment in seconds since 1970."""
    value = used.value
    return ValueLine(
        name=quantity_text(value.quantity),
        text=value_text(value),
        age=age_text(now_s - value.measured_at_s),
        health="warning" if used.why_not else "good",
        why_not=used.why_not,
    )


def quantity_text(quantity: Quantity) -> str:
    """What was calibrated."""
    names = {
        Quantity.LARMOR: translate("Calibration", "Frequency"),
        Quantity.RF_SCALE: translate("Calibration", "Transmit power"),
        Quantity.SHIM: translate("Calibration", "Shim"),
        Quantity.RECEIVE_GAIN: translate("Calibration", "Receive gain"),
        Quantity.TUNING: translate("Calibration", "Tune and match"),
        Quantity.NOISE: translate("Calibration", "Noise"),
        Quantity.GRADIENT_SCALE: translate("Calibration", "Gradient scale"),
        Quantity.GRADIENT_DELAY: translate("Calibration", "Gradient delay"),
        Quantity.GRADIENT_CURRENTS: translate("Calibration", "Gradient currents"),
        Quantity.EDDY: translate("Calibration", "Eddy currents"),
        Quantity.B0_MAP: translate("Calibration", "Field map"),
        Quantity.B1_MAP: translate("Calibration", "B1 map"),
    }
    return names.get(quantity, quantity.value)


def value_text(value: CalibrationValue) -> str:
    """Value with its spread and unit, as a person reads it."""
    shown = _SHOWN.get(value.quantity)
    if shown is not None:
        return shown(value)
    return " · ".join(_number(one) for one in value.value)


def age_text(age_s: float) -> str:
    """How long ago, in words that fit the length."""
    if not math.isfinite(age_s):
        return translate("Calibration", "never")
    if age_s < _LIKELY_S:
        return translate("Calibration", "just now")
    if age_s < 100:
        return translate("Calibration", "{0} s ago").format(round(age_s))
    if age_s < 100 * 60:
        return translate("Calibration", "{0} min ago").format(round(age_s / 60))
    if age_s < 48 * 3600:
        return translate("Calibration", "{0} h ago").format(round(age_s / 3600))
    return translate("Calibration", "{0} days ago").format(round(age_s / 86400))


def clock_text(iso: str) -> str:
    """The time of day of an ISO 8601 text; empty for empty."""
    if not iso:
        return ""
    try:
        return datetime.fromisoformat(iso).strftime("%H:%M:%S")
    except ValueError:
        return iso


def _number(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}g}".replace("-", "−") if math.isfinite(number) else translate("Calibration", "unknown")


def _spread(value: CalibrationValue, factor: float, unit: str) -> str:
    sd = value.sd[0] if value.sd else math.nan
    if not math.isfinite(sd):
        return translate("Calibration", "spread not known")
    return f"± {sd * factor:.2g} {unit}"


def _larmor(value: CalibrationValue) -> str:
    megahertz = f"{value.value[0] * 1e-6:.6f}"
    return f"{megahertz[:-3]} {megahertz[-3:]} MHz {_spread(value, 1.0, 'Hz')}"


def _percent(value: CalibrationValue) -> str:
    return translate("Calibration", "{0} % of nominal {1}").format(f"{value.value[0] * 100:.4g}", _spread(value, 100.0, "%"))


def _shim(value: CalibrationValue) -> str:
    axes = zip("xyz", value.value, strict=False)
    return ", ".join(f"{axis} {_number(one * 1e6)}" for axis, one in axes) + " µT/m"


def _decibel(value: CalibrationValue) -> str:
    return f"{_number(value.value[0])} dB"


def _tuning(value: CalibrationValue) -> str:
    names = (
        translate("Calibration", "series"),
        translate("Calibration", "tune"),
        translate("Calibration", "match"),
    )
    return ", ".join(f"{name} {one:.0f}" for name, one in zip(names, value.value, strict=False))


def _noise(value: CalibrationValue) -> str:
    for unit, factor in (("V", 1.0), ("mV", 1e3), ("µV", 1e6)):
        if abs(value.value[0]) * factor >= 1:
            return f"{_number(value.value[0] * factor)} {unit}"
    return f"{_number(value.value[0] * 1e9)} nV"


def _axes_percent(value: CalibrationValue) -> str:
    return ", ".join(f"{axis} {_number(one * 100, 4)}" for axis, one in zip("xyz", value.value, strict=False)) + " %"


def _axes_us(value: CalibrationValue) -> str:
    return ", ".join(f"{axis} {_number(one * 1e6)}" for axis, one in zip("xyz", value.value, strict=False)) + " µs"


def _hertz(value: CalibrationValue) -> str:
    return translate("Calibration", "{0} Hz over the sphere").format(f"{value.value[0]:.0f}")


def _share(value: CalibrationValue) -> str:
    return translate("Calibration", "varies by {0} %").format(_number(value.value[0] * 100))


def _constants(value: CalibrationValue) -> str:
    return translate("Calibration", "{0} numbers, in the record").format(len(value.value))


_SHOWN: Final[dict[Quantity, Callable[[CalibrationValue], str]]] = {
    Quantity.LARMOR: _larmor,
    Quantity.RF_SCALE: _percent,
    Quantity.SHIM: _shim,
    Quantity.RECEIVE_GAIN: _decibel,
    Quantity.TUNING: _tuning,
    Quantity.NOISE: _noise,
    Quantity.GRADIENT_SCALE: _axes_percent,
    Quantity.GRADIENT_DELAY: _axes_us,
    Quantity.GRADIENT_CURRENTS: _constants,
    Quantity.EDDY: _constants,
    Quantity.B0_MAP: _hertz,
    Quantity.B1_MAP: _share,
}
