# SPDX-License-Identifier: MIT
"""What a scenario file and a table of tissues may say. Keys are those of ``domain.scenario``, in SI, the unit in the name.

A key that is left out keeps the default of ``domain.scenario``: that fault is off. Ranges catch a wrong unit or a slipped
digit.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, Strict, StringConstraints, model_validator

from isocenter.config.schema import Table, brief
from isocenter.domain.device import DeviceRole
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.harmonics import harmonic_key
from isocenter.domain.scenario import DeviceEventKind, InterferenceKind

Text = Annotated[str, Strict(), StringConstraints(max_length=400, strip_whitespace=True)]
Name = Annotated[str, Strict(), StringConstraints(max_length=64, strip_whitespace=True)]
NonEmpty = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]
Switch = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
Three = tuple[Number, Number, Number]


def between(low: float, high: float, unit: str = "") -> AfterValidator:
    """Validator: a number, or each of several, lies in a range."""

    def check(value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:  # in this form NaN fails too
                raise ValueError(f"found {brief(number)}; allowed is {low:.9g} to {high:.9g} {unit}".rstrip())
        return value

    return AfterValidator(check)


def _harmonics(values: dict[str, float]) -> dict[str, float]:
    for name, value in values.items():
        harmonic_key(name)
        if not abs(value) <= 1e5:
            raise ValueError(f"found {name} = {brief(value)}; allowed is -100000 to 100000 Hz")
    return values


class MagnetTable(Table):
    """``[magnet]``."""

    frequency_offset_hz: Annotated[Number, between(-2e5, 2e5, "Hz")] = 0.0
    spread_hz: Annotated[Number, between(0, 1e5, "Hz")] = 0.0
    harmonics_hz: Annotated[dict[str, Number], AfterValidator(_harmonics)] = Field(default_factory=dict)
    table: Text = ""
    temperature_c: Annotated[Number, between(-20, 60, "degrees C")] = 25.0
    drift_c_per_s: Annotated[Number, between(-1, 1, "K/s")] = 0.0
    drift_settling_s: Annotated[Number, between(0, 1e6, "s")] = 0.0
    jump_c: Annotated[Number, between(-10, 10, "K")] = 0.0
    jump_s: Annotated[Number, between(0, 1e6, "s")] = 0.0
    has_concomitant: Switch = False
    field_axis: Literal["x", "y", "z"] = "x"


class EddyTable(Table):
    """``[[gradients.eddy]]``."""

    channel: Literal["x", "y", "z"]
    share: Annotated[Number, between(-0.5, 0.5)]
    time_constant_s: Annotated[Number, between(1e-6, 10, "s")]
    is_b0: Switch = False


class GradientsTable(Table):
    """``[gradients]``; lists are for the channels x, y, z."""

    delay_s: Annotated[Three, between(-1e-3, 1e-3, "s")] = (0.0, 0.0, 0.0)
    scale: Annotated[Three, between(-2, 2)] = (1.0, 1.0, 1.0)
    nonlinearity: Annotated[Three, between(-0.5, 0.5)] = (0.0, 0.0, 0.0)
    eddy: tuple[EddyTable, ...] = ()
    ripple_t_per_m: Annotated[Three, between(0, 0.01, "T/m")] = (0.0, 0.0, 0.0)
    ripple_hz: Annotated[Number, between(0, 1e6, "Hz")] = 50.0


class CoilTable(Table):
    """``[coil]``. More compression than 0.33 would give less output for more input."""

    b1_fall_db: Annotated[Number, between(0, 20, "dB")] = 0.0
    transmit_scale: Annotated[Number, between(0, 3)] = 1.0
    compression: Annotated[Number, between(0, 0.33)] = 0.0
    ring_down_s: Annotated[Number, between(0, 0.01, "s")] = 0.0
    ring_down_level: Annotated[Number, between(0, 100)] = 0.0
    is_disconnected: Switch = False
    n_receive: Annotated[Whole, between(1, 32)] = 1


class ReceiverTable(Table):
    """``[receiver]``."""

    noise: Annotated[Number, between(0, 1000)] = 0.0
    gain_db: Annotated[Number, between(-60, 60, "dB")] = 0.0
    adc_bits: Annotated[Whole, between(0, 24)] = 0
    dropouts_hz: Annotated[Number, between(0, 1000, "per second")] = 0.0
    sensor_leak: Annotated[Number, between(0, 1)] = 0.0


class InterferenceTable(Table):
    """``[[interference]]``."""

    kind: InterferenceKind
    level: Annotated[Number, between(0, 10)]
    frequency_hz: Annotated[Number, between(-1e6, 1e6, "Hz")] = 0.0
    width_hz: Annotated[Number, between(0, 1e6, "Hz")] = 0.0
    modulation_hz: Annotated[Number, between(0, 1e5, "Hz")] = 0.0


class StepTable(Table):
    """``[[motion.steps]]``; lists are along L, P, S."""

    start_s: Annotated[Number, between(0, 1e5, "s")]
    shift_lps_m: Annotated[Three, between(-0.5, 0.5, "m")] = (0.0, 0.0, 0.0)
    turn_lps_rad: Annotated[Three, between(-math.pi, math.pi, "rad")] = (0.0, 0.0, 0.0)


def _in_order(steps: tuple[StepTable, ...]) -> tuple[StepTable, ...]:
    times = [step.start_s for step in steps]
    if times != sorted(times):
        raise ValueError(f"found start_s {', '.join(f'{t:g}' for t in times)}; allowed are steps in order of time")
    return steps


class MotionTable(Table):
    """``[motion]``."""

    steps: Annotated[tuple[StepTable, ...], AfterValidator(_in_order)] = ()
    breathing_lps_m: Annotated[Three, between(-0.1, 0.1, "m")] = (0.0, 0.0, 0.0)
    breathing_period_s: Annotated[Number, between(0.5, 60, "s")] = 4.0
    restless_hz: Annotated[Number, between(0, 100, "per second")] = 0.0
    restless_m: Annotated[Number, between(0, 0.1, "m")] = 0.0


class DeviceEventTable(Table):
    """``[[devices.events]]``."""

    kind: DeviceEventKind
    start_s: Annotated[Number, between(0, 1e5, "s")]
    lasts_s: Annotated[Number, between(0, 1e5, "s")] = 0.0
    role: DeviceRole | Literal[""] = ""

    @model_validator(mode="after")
    def _has_role(self) -> Self:
        if self.kind.value.startswith("line-") and not self.role:
            raise ValueError(f"found no role for {self.kind.value}; allowed are " + ", ".join(DeviceRole))
        return self


class DevicesTable(Table):
    """``[devices]``; lists are for the channels x, y, z."""

    is_connected: Switch = False
    coil_load_share: Annotated[Number, between(-0.2, 0.2)] = 0.0
    board_gain: Annotated[Three, between(0.5, 1.5)] = (1.0, 1.0, 1.0)
    board_offset: Annotated[Three, between(-0.2, 0.2)] = (0.0, 0.0, 0.0)
    events: tuple[DeviceEventTable, ...] = ()


class ScenarioFile(Table):
    """A whole scenario file."""

    summary: NonEmpty
    look_for: Text = ""
    scanner: Name = ""
    phantom: Name = "head"
    phantom_file: Text = ""
    position: PatientPosition = PatientPosition.HFS
    n_spins: Annotated[Whole, between(100, 20_000_000)] = 200_000
    has_t2_prime: Switch = True
    has_chemical_shift: Switch = True
    has_diffusion: Switch = False
    magnet: MagnetTable = MagnetTable()
    gradients: GradientsTable = GradientsTable()
    coil: CoilTable = CoilTable()
    receiver: ReceiverTable = ReceiverTable()
    interference: tuple[InterferenceTable, ...] = ()
    n_sensors: Annotated[Whole, between(0, 12)] = 0
    motion: MotionTable = MotionTable()
    devices: DevicesTable = DevicesTable()
    seed: Annotated[Whole, between(0, 2**32 - 1)] = 1


class TissueTable(Table):
    """``[[tissue]]``: one label of a label map."""

    label: Annotated[Whole, between(1, 32_000)]
    name: Annotated[str, Strict(), StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
    t1_s: Annotated[Number, between(1e-4, 20, "s")]
    t2_s: Annotated[Number, between(1e-5, 20, "s")]
    t2_prime_s: Annotated[Number, between(1e-4, 100, "s")] = 0.2
    density: Annotated[Number, between(0, 2)] = 1.0
    shift_ppm: Annotated[Number, between(-20, 20, "ppm")] = 0.0
    diffusion_m2_per_s: Annotated[Number, between(0, 1e-7, "m2/s")] = 0.0
    source: Text = "assumed"


def _once(rows: tuple[TissueTable, ...]) -> tuple[TissueTable, ...]:
    labels = [row.label for row in rows]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"found label {twice[0]} twice; allowed is one [[tissue]] for each label")
    for row in rows:
        if row.t2_s > row.t1_s:
            raise ValueError(f"found t2_s {row.t2_s:g} longer than t1_s {row.t1_s:g} for label {row.label}")
    return rows


class TissueFile(Table):
    """A table of tissues beside a label map."""

    tissue: Annotated[tuple[TissueTable, ...], Field(min_length=1), AfterValidator(_once)]
