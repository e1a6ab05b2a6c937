# SPDX-License-Identifier: MIT
"""Options that several commands share, and how their text is read."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from isocenter.domain.geometry import Orientation, PatientPosition
from isocenter.domain.scan import Prescription

F = TypeVar("F", bound=Callable[..., Any])

scanner_option = click.option(
    "--scanner", "scanner_name", default="osii-one", show_default=True, help="Name of a hardware file, or its path."
)
parameter_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter, such as tr_s=500ms; `isocenter sequences NAME` lists them. May be given many times.",
)


class Folder(click.Path):
    """A folder to write to, which need not exist; an empty name is no folder."""

    name = "folder"

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Path of a folder."""
        if not str(value).strip():
            self.fail("the name of the folder is empty.", param, ctx)
        return super().convert(value, param, ctx)


class FiniteFloat(click.FloatRange):
    """A number in a range; click's own lets NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A float."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number in the range {self._describe_range()}.", param, ctx)
        return number


out_option = click.option("--out", "out", type=Folder(), required=True, help="Folder for everything written.")
spins_option = click.option(
    "--spins",
    type=click.IntRange(0, 5_000_000),
    default=0,
    help="Virtual scanner: spins to simulate; 0 leaves it to the scenario.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="Virtual scanner: makes everything random repeatable; 0 leaves it to the scenario.",
)
scenario_option = click.option(
    "--scenario",
    default="osii-one-brain",
    show_default=True,
    metavar="NAME_OR_FILE",
    help="Virtual scanner: which phantom lies in which field; `isocenter scenarios` lists them.",
)
phantom_option = click.option(
    "--phantom",
    default="",
    help="Virtual scanner: another phantom than the scenario's, such as head, knee, block, acr, vials.",
)
host_option = click.option("--host", default="", help="Console at another address than the hardware file's.")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Console at another port than the hardware file's."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def scanner_for(scanner_name: str, scenario: str) -> str:
    """The scanner that was asked for; when none was, the one that the scenario is meant for."""
    asked = click.get_current_context().get_parameter_source("scanner_name")
    if asked is not click.core.ParameterSource.DEFAULT:
        return scanner_name
    from isocenter.app.virtual_scanner import scanner_of

    return scanner_of(scenario, scanner_name)


def outside_options(function: F) -> F:
    """Options that name a reconstruction outside of this program."""
    for option in (
        click.option(
            "--outside-config",
            default="default",
            show_default=True,
            help="Outside reconstruction: name of a configuration that its server has, such as simplefft.",
        ),
        click.option(
            "--outside",
            default="",
            metavar="HOST[:PORT]",
            help="Also send the lines to this MRD streaming server (FIRE, Gadgetron) for a second series. Nothing about the "
            "patient is sent.",
        ),
    ):
        function = option(function)
    return function


def prescription_options(function: F) -> F:
    """Options that say where to scan."""
    for option in (
        click.option("--swap-read-phase", is_flag=True, help="Read out along image columns instead of rows."),
        click.option(
            "--tilt",
            default="0,0",
            metavar="A,B",
            callback=numbers(2),
            help="Tilt about the image rows, then about its columns [degrees].",
        ),
        click.option(
            "--centre",
            default="0,0,0",
            metavar="L,P,S",
            callback=numbers(3),
            help="Centre of the field of view in patient axes, relative to isocenter [mm].",
        ),
        click.option(
            "--orientation",
            type=click.Choice([item.value for item in Orientation]),
            default="axial",
            show_default=True,
            help="Of the slices or the slab.",
        ),
        click.option(
            "--position",
            type=click.Choice([item.value for item in PatientPosition]),
            default="HFS",
            show_default=True,
            help="How the patient lies: head (H) or feet (F) first; supine, prone, right or left side down.",
        ),
    ):
        function = option(function)
    return function


def prescription(
    orientation: str, centre: tuple[float, ...], tilt: tuple[float, ...], *, swap_read_phase: bool
) -> Prescription:
    """Prescription from command line values in mm and degrees."""
    return Prescription(
        orientation=Orientation(orientation),
        centre_lps_m=(centre[0] * 1e-3, centre[1] * 1e-3, centre[2] * 1e-3),
        tilt_rad=(math.radians(tilt[0]), math.radians(tilt[1])),
        swap_read_phase=swap_read_phase,
    )


def numbers(count: int) -> Callable[[click.Context, click.Parameter, str], tuple[float, ...]]:
    """Callback of an option that takes so many numbers, separated by commas."""

    def convert(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[float, ...]:
        try:
            found = tuple(float(part) for part in text.split(","))
        except ValueError:
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            raise click.BadParameter(f"give {count} numbers separated by commas, not '{text}'.", ctx, parameter)
        return found

    return convert
