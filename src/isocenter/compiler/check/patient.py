# SPDX-License-Identifier: MIT
"""RF that a patient takes up: SAR of body, head and part, B1+rms, duty. docs/safety.md derives each number."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from isocenter.domain.exposure import Exposure, Label, Quantity
from isocenter.domain.limits import (
    SAR_SHORT_FACTOR,
    SAR_SHORT_WINDOW_S,
    SAR_WINDOW_S,
    OperatingMode,
    Region,
    Subject,
    masses_of,
    sar_limit_w_per_kg,
)
from isocenter.domain.scanner import Scanner

Mean: TypeAlias = Callable[[Quantity, float], float]
"""Mean of a quantity over a window of so many seconds: the worst one of a scan, or the one that ends now."""

WINDOWS_S: Final = (SAR_SHORT_WINDOW_S, SAR_WINDOW_S)
_CONDUCTIVITY_S_PER_M: Final = 2.0
_DENSITY_KG_PER_M3: Final = 1000.0
_NOBODY: Final = "Nobody is named who lies in the scanner."
_NO_POWER: Final = "The hardware file does not say what power the RF amplifier gives (safety.forward_power_w)."
DUTY: Final = "RF duty"
PEAK: Final = "peak B1+"
AVERAGED_SAR: Final = frozenset(region.value for region in (Region.WHOLE_BODY, Region.PARTIAL_BODY, Region.HEAD))


def rf_exposures(mean: Mean, scanner: Scanner, subject: Subject | None, mode: OperatingMode) -> list[Exposure]:
    """SAR, B1+rms, mean power and duty.

    Parameters
    ----------
    subject
        Who lies in the scanner; None when nobody said so, then SAR is unknown.

    Source
    ------
    docs/safety.md. Local SAR: a rotating field of B1+rms b, made by a linear one of root mean square sqrt(2) b, induces at
    most E = 2 pi f sqrt(2) b r / 2 at radius r of a long uniform cylinder along it; SAR = conductivity E² / density. The
    conductivity is that of the best conductor, cerebrospinal fluid: 2 S/m [M].
    """
    safety = scanner.safety
    powers_w = [safety.forward_power_w * mean(Quantity.DRIVE_S, window_s) for window_s in WINDOWS_S]
    squares_t2 = [mean(Quantity.B1_T2_S, window_s) for window_s in WINDOWS_S]
    found = []
    for window_s, power_w in zip(WINDOWS_S, powers_w, strict=True):
        found += _sar(power_w * safety.absorbed_share, window_s, scanner, subject, mode)
    limit = _limit(Region.LOCAL, subject, mode)
    e_per_t = 2 * math.pi * scanner.magnet.larmor_hz * math.sqrt(2) * scanner.magnet.bore_m / 4
    for window_s, square_t2 in zip(WINDOWS_S, squares_t2, strict=True):
        found.append(
            Exposure(
                name=Region.LOCAL.value,
                value=_CONDUCTIVITY_S_PER_M * e_per_t**2 * square_t2 / _DENSITY_KG_PER_M3,
                limit=limit * _factor(window_s),
                unit="W/kg",
                window_s=window_s,
                label=Label.MODEL,
                note="Induction in a uniform body that fills the bore; the coil's electric field is not in it.",
            )
        )
    b1_limit_t = math.nan if subject is not None and subject.is_phantom else safety.max_b1_rms_t
    for window_s, square_t2, power_w in zip(WINDOWS_S, squares_t2, powers_w, strict=True):
        found.append(_plain("B1+rms", math.sqrt(square_t2), b1_limit_t, "T", window_s))
        label, note = (Label.UNKNOWN, _NO_POWER) if math.isnan(power_w) else (Label.MODEL, "")
        found.append(_plain("forward RF power", power_w, math.nan, "W", window_s, label, note))
    found.append(_plain(DUTY, mean(Quantity.RF_ON_S, 1.0), scanner.rf.max_duty, "", 1.0))
    return found


def allowed_forward_power_w(scanner: Scanner, subject: Subject, mode: OperatingMode) -> tuple[float, float]:
    """Mean forward power over 10 s and over 6 min at which the first SAR limit is reached [W], for a power monitor.

    Infinite for a phantom. Local SAR is not in it: a monitor does not see it.
    """
    six_min_w = math.inf
    for region, mass_kg in _regions(subject):
        six_min_w = min(six_min_w, _limit(region, subject, mode) * mass_kg / scanner.safety.absorbed_share)
    six_min_w = math.inf if subject.is_phantom else six_min_w
    return SAR_SHORT_FACTOR * six_min_w, six_min_w


def measured_exposures(
    absorbed_w: tuple[float, float], scanner: Scanner, subject: Subject | None, mode: OperatingMode
) -> list[Exposure]:
    """SAR from what a power monitor measures: forward less reflected power.

    Parameters
    ----------
    absorbed_w
        Means over the last 10 s and 6 min [W]; NaN where the monitor did not answer, then SAR is unknown.
    """
    found = []
    for power_w, window_s in zip(absorbed_w, WINDOWS_S, strict=True):
        for one in _sar(power_w * scanner.safety.absorbed_share, window_s, scanner, subject, mode):
            is_known = one.label is not Label.UNKNOWN
            note = one.note if is_known or subject is None else "The power monitor did not answer."
            found.append(replace(one, label=Label.MEASURED if is_known else Label.UNKNOWN, note=note))
    return found


def _regions(subject: Subject) -> list[tuple[Region, float]]:
    """What is averaged over, with its mass [kg]."""
    masses = masses_of(subject)
    regions = [(Region.WHOLE_BODY, masses.body_kg), (Region.PARTIAL_BODY, masses.exposed_kg)]
    return [*regions, (Region.HEAD, masses.head_kg)] if masses.head_kg > 0 else regions


def _limit(region: Region, subject: Subject | None, mode: OperatingMode) -> float:
    if subject is None:
        return sar_limit_w_per_kg(region, mode)
    if subject.is_phantom:
        return math.nan
    masses = masses_of(subject)
    share = masses.exposed_kg / masses.body_kg
    return sar_limit_w_per_kg(region, mode, exposed_share=share, body_part=subject.body_part)


def _factor(window_s: float) -> float:
    return SAR_SHORT_FACTOR if window_s == SAR_SHORT_WINDOW_S else 1.0


def _sar(
    absorbed_w: float, window_s: float, scanner: Scanner, subject: Subject | None, mode: OperatingMode
) -> list[Exposure]:
    """SAR over one window, of every region that is in the coil."""
    if subject is None or math.isnan(absorbed_w):
        note = _NOBODY if subject is None else _NO_POWER
        regions = [(region, math.nan) for region in (Region.WHOLE_BODY, Region.PARTIAL_BODY, Region.HEAD)]
        label = Label.UNKNOWN
    else:
        regions, is_weighed = _regions(subject), masses_of(subject).is_weighed
        is_bound = scanner.safety.absorbed_share == 1.0 or not is_weighed
        label = Label.BOUND if is_bound else Label.MODEL
        note = "As if the patient took up all of the RF power." if scanner.safety.absorbed_share == 1.0 else ""
        if not is_weighed and not subject.is_phantom:
            note = f"No weight was given: {masses_of(subject).body_kg:g} kg is counted. {note}".strip()
    return [
        Exposure(
            name=region.value,
            value=absorbed_w / mass_kg,
            limit=_limit(region, subject, mode) * _factor(window_s),
            unit="W/kg",
            window_s=window_s,
            label=label,
            note=note,
        )
        for region, mass_kg in regions
    ]


def _plain(
    name: str, value: float, limit: float, unit: str, window_s: float, label: Label = Label.MODEL, note: str = ""
) -> Exposure:
    return Exposure(name=name, value=value, limit=limit, unit=unit, window_s=window_s, label=label, note=note)
