# SPDX-License-Identifier: MIT
"""Where to scan, as declared parameters, so that the same form shows and checks it."""

import math
from dataclasses import replace
from typing import Final, cast

from isocenter.domain.geometry import Orientation
from isocenter.domain.parameters import Parameter
from isocenter.domain.scan import Prescription
from isocenter.domain.scanner import Scanner
from isocenter.ui.text import translate

PREFIX: Final = "place."
_TILT_LIMIT_RAD: Final = math.radians(60)


def prescription_parameters(scanner: Scanner) -> tuple[Parameter, ...]:
    """Orientation, centre, tilt and swap, with the ranges that the magnet leaves."""
    reach_m = scanner.magnet.imaging_diameter_m / 2
    group = translate("Prescription", "Place")
    axes = (
        ("left", translate("Prescription", "Centre, to the left"), translate("Prescription", "Negative: to the right.")),
        ("back", translate("Prescription", "Centre, to the back"), translate("Prescription", "Negative: to the front.")),
        ("head", translate("Prescription", "Centre, to the head"), translate("Prescription", "Negative: to the feet.")),
    )
    tilts = (
        ("tilt_row", translate("Prescription", "Tilt about the rows")),
        ("tilt_column", translate("Prescription", "Tilt about the columns")),
    )
    return (
        Parameter(
            name=f"{PREFIX}orientation",
            label=translate("Prescription", "Orientation"),
            help=translate("Prescription", "Of the slices."),
            group=group,
            kind="choice",
            default=Orientation.AXIAL.value,
            choices=tuple(item.value for item in Orientation),
        ),
        *(
            Parameter(
                name=f"{PREFIX}{name}",
                label=label,
                help=translate("Prescription", "Patient's own direction, from the centre of the magnet. {0}").format(text),
                group=group,
                kind="number",
                default=0.0,
                unit="mm",
                low=-reach_m,
                high=reach_m,
            )
            for name, label, text in axes
        ),
        *(
            Parameter(
                name=f"{PREFIX}{name}",
                label=label,
                help=translate("Prescription", "Turns the slices away from the standard plane."),
                group=group,
                kind="number",
                default=0.0,
                unit="deg",
                low=-_TILT_LIMIT_RAD,
                high=_TILT_LIMIT_RAD,
            )
            for name, label in tilts
        ),
        Parameter(
            name=f"{PREFIX}swap",
            label=translate("Prescription", "Swap read and phase"),
            help=translate(
                "Prescription", "Read out along image columns: moves ghosts and fold-over to the other direction."
            ),
            group=group,
            kind="switch",
            default=False,
        ),
    )


def prescription_value(wanted: Prescription, name: str) -> float | str | bool:
    """Value of one of the parameters above."""
    values: dict[str, float | str | bool] = {
        "orientation": wanted.orientation.value,
        "left": wanted.centre_lps_m[0],
        "back": wanted.centre_lps_m[1],
        "head": wanted.centre_lps_m[2],
        "tilt_row": wanted.tilt_rad[0],
        "tilt_column": wanted.tilt_rad[1],
        "swap": wanted.swap_read_phase,
    }
    return values[name.removeprefix(PREFIX)]


def with_prescription_value(wanted: Prescription, name: str, value: float | str | bool) -> Prescription:
    """The prescription with one value changed."""
    key = name.removeprefix(PREFIX)
    if key == "orientation":
        return replace(wanted, orientation=Orientation(str(value)))
    if key == "swap":
        return replace(wanted, swap_read_phase=bool(value))
    number = cast(float, value)
    if key in ("tilt_row", "tilt_column"):
        first, second = wanted.tilt_rad
        return replace(wanted, tilt_rad=(number, second) if key == "tilt_row" else (first, number))
    axis = ("left", "back", "head").index(key)
    centre = [*wanted.centre_lps_m]
    centre[axis] = number
    return replace(wanted, centre_lps_m=(centre[0], centre[1], centre[2]))
