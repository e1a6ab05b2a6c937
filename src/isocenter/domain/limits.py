# SPDX-License-Identifier: MIT
"""What a patient may be exposed to, and what a hardware file says about exposure. docs/safety.md explains each number.

Every number of a standard stands here once, with its source. Those marked [M] are from general knowledge, not read in the
standard itself: whoever puts a scanner into service confirms them.
"""

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from isocenter.domain.patient import Exam


class OperatingMode(StrEnum):
    """How far a scan may go. IEC 60601-2-33's second level is not offered."""

    NORMAL = "normal"
    """Nobody is expected to feel stress."""
    FIRST_LEVEL = "first level"
    """Somebody may: a person decides that it is worth it, and the patient is watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLevelConfirmation:
    """A person takes responsibility for a scan in first level controlled operating mode.

    Attributes
    ----------
    name
        Who; never empty.
    at
        When, ISO 8601 with time zone.
    """

    name: str
    at: str

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.at.strip():
            raise ValueError("a confirmation needs the name of a person and a time")


class Region(StrEnum):
    """Over what part of a body SAR is averaged."""

    WHOLE_BODY = "whole-body SAR"
    HEAD = "head SAR"
    PARTIAL_BODY = "partial-body SAR"
    LOCAL = "local SAR"


SAR_WINDOW_S: Final = 360.0
SAR_SHORT_WINDOW_S: Final = 10.0
SAR_SHORT_FACTOR: Final = 2.0
"""Over any 10 s twice the limit of 6 min. Source: reference domain.md 4.1, JIS Z4951:2017."""

NERVE_SHARE: Final = {OperatingMode.NORMAL: 0.8, OperatingMode.FIRST_LEVEL: 1.0}
"""Share of the threshold of nerve stimulation. Source: IEC 60601-2-33 [M], reference domain.md 4.1."""

_EXTREMITIES: Final = frozenset({"ANKLE", "ELBOW", "EXTREMITY", "FOOT", "HAND", "KNEE", "WRIST"})
_HEAD_PARTS: Final = frozenset({"BRAIN", "CSPINE", "HEAD", "JAW", "NECK", "SKULL"})


def sar_limit_w_per_kg(region: Region, mode: OperatingMode, *, exposed_share: float = 0.0, body_part: str = "") -> float:
    """Limit of SAR over 6 minutes [W/kg].

    Parameters
    ----------
    exposed_share
        Exposed over total mass of the patient, for ``PARTIAL_BODY``.
    body_part
        For ``LOCAL``: extremities may take more than head and trunk.

    Source
    ------
    IEC 60601-2-33 as in reference domain.md 4.1; the local ones [M].
    """
    first = mode is OperatingMode.FIRST_LEVEL
    if region is Region.WHOLE_BODY:
        return 4.0 if first else 2.0
    if region is Region.HEAD:
        return 3.2
    if region is Region.PARTIAL_BODY:
        return 10.0 - (6.0 if first else 8.0) * min(max(exposed_share, 0.0), 1.0)
    return (20.0 if first else 10.0) * (2.0 if body_part in _EXTREMITIES else 1.0)


def nerve_threshold_t_per_s(duration_s: float) -> float:
    """dB/dt at which a nerve answers to one stretch of change of this effective duration [T/s].

    Source: IEC 60601-2-33 [M], reference domain.md 4.1: 20 (1 + 0.36 ms / t).
    """
    return 20.0 * (1.0 + 0.36e-3 / duration_s)


def heart_threshold_t_per_s(duration_s: float) -> float:
    """dB/dt that must stay below the threshold of the heart [T/s]. Source: as above [M], 20 / (1 - exp(-t / 3 ms))."""
    return 20.0 / -math.expm1(-duration_s / 3e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who or what lies in the scanner, as far as limits depend on it.

    Attributes
    ----------
    body_part
        DICOM defined term of what lies in the coil; empty when not known.
    weight_kg, height_m
        NaN when not known.
    age_years
        None when not known.
    is_phantom
        A test object: limits that protect people do not apply.
    """

    body_part: str = ""
    weight_kg: float = math.nan
    height_m: float = math.nan
    age_years: int | None = None
    is_phantom: bool = False


def subject_of(exam: Exam, on: date) -> Subject:
    """The subject of an exam on a day."""
    patient = exam.patient
    return Subject(
        body_part=exam.body_part,
        weight_kg=patient.weight_kg,
        height_m=patient.height_m,
        age_years=patient.age_years(on),
        is_phantom=patient.is_phantom,
    )


# From an age on: the lightest that is counted on when no weight was given, and the heaviest that is believed [kg]. About
# half of the third percentile and twice the 97th of growth charts [M]; a lighter baby must be weighed.
_WEIGHT_BY_AGE: Final = (
    (0, 2.0, 25.0),
    (2, 6.0, 40.0),
    (5, 9.0, 70.0),
    (8, 12.0, 130.0),
    (12, 18.0, 250.0),
    (16, 28.0, 350.0),
)
_LIGHTEST_KG, _HEAVIEST_KG = 0.3, 350.0
_LARGEST_BMI: Final = 90.0


def weight_problem(subject: Subject) -> str:
    """What cannot be right about the weight that was given, as one sentence; empty when it may be, and when none was given.

    Only what is too heavy is compared with age and height: too light a number makes limits stricter, never laxer.
    """
    weight_kg = subject.weight_kg
    if math.isnan(weight_kg) or subject.is_phantom:
        return ""
    if not _LIGHTEST_KG <= weight_kg <= _HEAVIEST_KG:
        return f"A weight of {weight_kg:g} kg cannot be; it must be {_LIGHTEST_KG:g} to {_HEAVIEST_KG:g} kg."
    heaviest_kg = _HEAVIEST_KG if subject.age_years is None else _by_age(subject.age_years)[1]
    if weight_kg > heaviest_kg:
        return f"A weight of {weight_kg:g} kg cannot be at {subject.age_years} years."
    if subject.height_m > 0 and weight_kg / subject.height_m**2 > _LARGEST_BMI:
        return f"A weight of {weight_kg:g} kg cannot be at a height of {subject.height_m:g} m."
    return ""


def _by_age(age_years: int) -> tuple[float, float]:
    for since, lightest_kg, heaviest_kg in reversed(_WEIGHT_BY_AGE):
        if age_years >= since:
            return lightest_kg, heaviest_kg
    return _WEIGHT_BY_AGE[0][1:]


# Smallest share of the body's mass that a coil around this part exposes. Source: segment masses of anatomy tables (hand
# 0.6 %, foot 1.4 %, shank 4.5 %, thigh 10 to 14 %, trunk 50 %) [M], taken lower and for a short coil.
_EXPOSED_SHARE: Final = {
    **dict.fromkeys(("HAND", "WRIST", "EXTREMITY", ""), 0.004),
    **dict.fromkeys(("ELBOW",), 0.006),
    **dict.fromkeys(("FOOT", "ANKLE"), 0.01),
    **dict.fromkeys(("KNEE", "BREAST", "SHOULDER"), 0.015),
    **dict.fromkeys(("ABDOMEN", "LSPINE", "PELVIS", "CHEST"), 0.08),
}
_HEAD_SHARE: Final = 0.06
_HEAD_MOST_KG: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Masses:
    """What takes up RF energy, never more than it is.

    Attributes
    ----------
    body_kg, head_kg, exposed_kg
        Whole body; head, 0 when no head is in the coil; what lies in the coil.
    is_weighed
        False when no weight was given, and the lightest person of that age is counted on.
    """

    body_kg: float
    head_kg: float
    exposed_kg: float
    is_weighed: bool


def masses_of(subject: Subject) -> Masses:
    """Masses that SAR is averaged over, for a plausible or an unknown weight.

    A head is counted as 6 % of the body and at most 4 kg: adults' are 7 % or 4 to 5 kg, children's more [M].
    """
    is_weighed = not math.isnan(subject.weight_kg)
    lightest_kg = _by_age(subject.age_years)[0] if subject.age_years is not None else _WEIGHT_BY_AGE[0][1]
    body_kg = subject.weight_kg if is_weighed else lightest_kg
    head_kg = min(_HEAD_SHARE * body_kg, _HEAD_MOST_KG)
    part = subject.body_part
    has_head = part in _HEAD_PARTS or part not in _EXPOSED_SHARE or part == ""
    exposed_kg = head_kg if part in _HEAD_PARTS else _EXPOSED_SHARE.get(part, 0.004) * body_kg
    return Masses(body_kg=body_kg, head_kg=head_kg if has_head else 0.0, exposed_kg=exposed_kg, is_weighed=is_weighed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientSafety:
    """``[safety]`` of a hardware file: what must be known to say what a patient takes up.

    Attributes
    ----------
    forward_power_w
        Power that the RF amplifier gives at a TX amplitude of 1, or would give if it were as linear as at small ones,
        whichever is more [W]. NaN when unknown.
    absorbed_share
        Share of it that can end in the patient, at most; 1, all of it, makes SAR an upper bound.
    max_b1_rms_t
        B1+rms that the site allows over 10 s and 6 min [T]; NaN for no such limit.
    nerve_radius_m
        Farthest from the isocenter that a gradient reaches tissue with full strength [m]; NaN for half the bore.
    """

    forward_power_w: float = math.nan
    absorbed_share: float = 1.0
    max_b1_rms_t: float = math.nan
    nerve_radius_m: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientThermal:
    """``[gradients.x.thermal]``: amplifier and coil of one channel. Each may be NaN, unknown.

    Attributes
    ----------
    a_per_t_per_m
        Current in the coil per gradient [A/(T/m)].
    max_a
        Largest current of the amplifier, shim included [A].
    max_rms_a
        Largest root mean square of the current over any minute [A].
    resistance_ohm
        Of coil and cable [ohm].
    supply_v
        Supply of a linear output stage [V]; NaN for a switching one.
    max_stage_w
        Largest mean over a second of what the linear stage turns into heat [W].
    rise_k_per_w
        Final rise of the coil's temperature per power in it [K/W].
    time_constant_s
        With which it gets there [s].
    max_rise_k
        Largest rise allowed [K].
    """

    a_per_t_per_m: float = math.nan
    max_a: float = math.nan
    max_rms_a: float = math.nan
    resistance_ohm: float = math.nan
    supply_v: float = math.nan
    max_stage_w: float = math.nan
    rise_k_per_w: float = math.nan
    time_constant_s: float = math.nan
    max_rise_k: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class NerveModel:
    """``[gradients.x.nerve]``: constants of the SAFE model of one channel, from whoever measured them for this coil.

    Stimulation is ``g_scale / stimulation_limit * (a1 |L1 s| + a2 L2 |s| + a3 |L3 s|)`` with s the slew rate and L a
    low-pass of first order; 1 is the limit of first level mode. Channels add as the root of the sum of their squares.

    Attributes
    ----------
    tau1_s, tau2_s, tau3_s
        Time constants of the low-passes [s].
    a1, a2, a3
        Weights, together 1.
    stimulation_limit_t_per_m_s
        Slew rate that stands for the limit [T/m/s].
    g_scale
        Share of the gradient that counts.

    Source
    ------
    Hebrank and Gebhardt, SAFE model, Proc. ISMRM 8 (2000) 2007.
    """

    tau1_s: float
    tau2_s: float
    tau3_s: float
    a1: float
    a2: float
    a3: float
    stimulation_limit_t_per_m_s: float
    g_scale: float
