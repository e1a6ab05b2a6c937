# SPDX-License-Identifier: MIT
"""Calibrations in words: what it is, its value with spread, and how old it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from isocenter.app.prescan_status import ValueInUse
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.units import GAMMA_HZ_PER_T
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
        Quantity.EDDY_B0: translate("Calibration", "Field shift by eddy currents"),
        Quantity.B0_MAP: translate("Calibration", "Field map"),
        Quantity.B1_MAP: translate("Calibration", "B1 map"),
        Quantity.FLIP_CHECK: translate("Calibration", "Flip angle check"),
        Quantity.TX_PHASE_SIGN: translate("Calibration", "Direction of the transmit phase"),
    }
    return names.get(quantity, quantity.value)


def value_text(value: CalibrationValue) -> str:
    """Value with its spread and unit, as a person reads it."""
    shown = _SHOWN.get(value.quantity)
    if shown is not None:
        return shown(value)
    return " · ".join(_number(one) for one in value.value)


def spread_text(value: CalibrationValue) -> str:
    """How well a value is known, the worst of its channels."""
    factor, unit = _SPREAD.get(value.quantity, (math.nan, ""))
    known = (
        value.sd if value.quantity not in _TERMS else value.sd[::2]
    )  # of the amplitudes; terms that are not there have none
    worst = max((abs(sd) for sd in known if math.isfinite(sd)), default=math.nan)
    if value.quantity not in _TERMS and not all(math.isfinite(sd) for sd in known):
        worst = math.nan
    if not math.isfinite(worst * factor):
        return translate("Calibration", "spread not known")
    return f"± {worst * factor:.2g} {unit}"


def temperature_text(temperature_c: float) -> str:
    """Of the magnet."""
    if not math.isfinite(temperature_c):
        return translate("Calibration", "temperature not known")
    return f"{temperature_c:.1f} °C".replace("-", "−")


def holds_text(value: CalibrationValue) -> str:
    """For how long, and while what stays, a value holds."""
    parts = []
    if math.isfinite(value.holds_s):
        parts.append(translate("Calibration", "for {0} min").format(f"{value.holds_s / 60:.0f}"))
    if math.isfinite(value.holds_c):
        parts.append(translate("Calibration", "within {0} °C").format(f"{value.holds_c:.2g}"))
    return ", ".join(parts) or translate("Calibration", "until measured again")


def date_text(time_s: float) -> str:
    """Day and time on this computer's clock."""
    if not math.isfinite(time_s):
        return translate("Calibration", "time not known")
    return datetime.fromtimestamp(time_s, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")


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


def _signed(number: float) -> str:
    """Two decimals; nothing is negative that rounds to zero."""
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")


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


def _flip(value: CalibrationValue) -> str:
    turned, strength = (_number(number * 100) for number in value.value)
    return translate("Calibration", "pulses turn {0} % of what is asked; full power gives {1} %").format(turned, strength)


def _sign(value: CalibrationValue) -> str:
    if value.value[0] < 0:
        return translate("Calibration", "the other way round")
    return translate("Calibration", "as designed")


def _currents(value: CalibrationValue) -> str:
    """What is asked for instead of the wanted current, of each channel: more or less of it, and so much at zero."""
    fits = tuple(zip("xyz", value.value[0::4], value.value[1::4], strict=False))
    gains = ", ".join(f"{axis} {_signed((gain - 1) * 100)}" for axis, _, gain in fits)
    zeros = ", ".join(f"{axis} {_signed(zero * 100)}" for axis, zero, _ in fits)
    return translate("Calibration", "gain {0} %; zero {1} % of full scale").format(gains, zeros)


def _terms(value: CalibrationValue, factor: float, unit: str) -> str:
    """Exponentials of channels x, y, z: amplitude and time constant in turn."""
    per_channel, words = len(value.value) // 3, []
    for number, axis in enumerate("xyz"):
        part = value.value[number * per_channel : (number + 1) * per_channel]
        terms = [
            translate("Calibration", "{0} {1} for {2} ms").format(_number(share * factor), unit, _number(tau_s * 1e3))
            for share, tau_s in zip(part[0::2], part[1::2], strict=False)
            if share != 0 or tau_s != 0
        ]
        words.append(f"{axis} " + (" + ".join(terms) or translate("Calibration", "none")))
    return "; ".join(words)


def _eddy(value: CalibrationValue) -> str:
    return _terms(value, 100.0, "%")


def _eddy_b0(value: CalibrationValue) -> str:
    return _terms(value, _HZ_PER_MT_PER_M, _SHIFT_UNIT)


_SHIFT_UNIT: Final = "Hz per mT/m"
_HZ_PER_MT_PER_M: Final = GAMMA_HZ_PER_T * 1e-3  # a shift over a gradient is a length [m]
_TERMS: Final = (Quantity.EDDY, Quantity.EDDY_B0)
_SPREAD: Final[dict[Quantity, tuple[float, str]]] = {
    Quantity.LARMOR: (1.0, "Hz"),
    Quantity.RF_SCALE: (100.0, "%"),
    Quantity.SHIM: (1e6, "µT/m"),
    Quantity.GRADIENT_SCALE: (100.0, "%"),
    Quantity.GRADIENT_DELAY: (1e6, "µs"),
    Quantity.GRADIENT_CURRENTS: (100.0, "%"),
    Quantity.EDDY: (100.0, "%"),
    Quantity.EDDY_B0: (_HZ_PER_MT_PER_M, _SHIFT_UNIT),
    Quantity.B0_MAP: (1.0, "Hz"),
    Quantity.B1_MAP: (100.0, "%"),
}
"""What a spread is multiplied with to be shown, and its unit then."""
_SHOWN: Final[dict[Quantity, Callable[[CalibrationValue], str]]] = {
    Quantity.LARMOR: _larmor,
    Quantity.RF_SCALE: _percent,
    Quantity.SHIM: _shim,
    Quantity.RECEIVE_GAIN: _decibel,
    Quantity.TUNING: _tuning,
    Quantity.NOISE: _noise,
    Quantity.GRADIENT_SCALE: _axes_percent,
    Quantity.GRADIENT_DELAY: _axes_us,
    Quantity.GRADIENT_CURRENTS: _currents,
    Quantity.EDDY: _eddy,
    Quantity.EDDY_B0: _eddy_b0,
    Quantity.B0_MAP: _hertz,
    Quantity.B1_MAP: _share,
    Quantity.FLIP_CHECK: _flip,
    Quantity.TX_PHASE_SIGN: _sign,
}
