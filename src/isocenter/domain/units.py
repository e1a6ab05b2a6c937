# SPDX-License-Identifier: MIT
"""Physical constants, and the conversion between SI and what a person reads.

Everything inside the program is SI and says so in its name; conversion happens here and at the edges only.
"""

import math
from typing import Final

GAMMA_HZ_PER_T: Final = 42.57638543e6
"""Gyromagnetic ratio of the proton in water over 2 pi [Hz/T].

Source: CODATA 2022, "shielded proton gyromag. ratio in MHz/T" (H2O, sphere, 25 degrees C), 42.576 385 43(17). The shielded
value is the right one here, since what a scanner measures is the water in a patient.
"""

GAMMA_RAD_PER_S_T: Final = 2 * math.pi * GAMMA_HZ_PER_T
"""The same in angular units [rad/(s T)]."""

# What one displayed unit is in SI. The display unit of a parameter is one of these names.
SI_PER_UNIT: Final[dict[str, float]] = {
    "": 1.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "m": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "Hz": 1.0,
    "kHz": 1e3,
    "MHz": 1e6,
    "T": 1.0,
    "mT": 1e-3,
    "uT": 1e-6,
    "T/m": 1.0,
    "mT/m": 1e-3,
    "T/m/s": 1.0,
    "deg": math.pi / 180,
    "rad": 1.0,
    "kg": 1.0,
    "%": 1e-2,
}


def to_si(value: float, unit: str) -> float:
    """Value given in a display unit, in SI."""
    return value * SI_PER_UNIT[unit]


def from_si(value_si: float, unit: str) -> float:
    """SI value in a display unit."""
    return value_si / SI_PER_UNIT[unit]


def b0_t_from_larmor(larmor_hz: float) -> float:
    """Main field [T] at which water protons precess at ``larmor_hz`` [Hz]."""
    return larmor_hz / GAMMA_HZ_PER_T


def show(value_si: float, unit: str, digits: int = 3) -> str:
    """SI value as text with its display unit, such as ``2.13 MHz``."""
    text = f"{from_si(value_si, unit):.{digits}g}"
    if "e" in text:
        text = f"{from_si(value_si, unit):.0f}" if abs(from_si(value_si, unit)) >= 1 else text
    return f"{text} {unit}".strip()


def signed(value: float, digits: int = 0, *, significant: bool = False) -> str:
    """Figure with its sign, as people read it: ``+3.7``, ``−0.4``, and without a sign where rounding leaves zero.

    Parameters
    ----------
    digits
        Behind the point; significant ones if ``significant``.
    """
    text = plain(value, digits, significant=significant)
    return f"+{text}" if value > 0 and _is_something(text) else text


def plain(value: float, digits: int = 0, *, significant: bool = False) -> str:
    """The same with a sign only where it is negative: never ``-0.0``."""
    text = f"{abs(value):.{digits}{'g' if significant else 'f'}}"
    return f"−{text}" if value < 0 and _is_something(text) else text


def _is_something(text: str) -> bool:
    return any(letter in "123456789" for letter in text.partition("e")[0]) or text == "inf"
