# SPDX-License-Identifier: MIT
"""``isocenter calibrate``."""

import contextlib
import json
import tempfile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from isocenter.cli.options import (
    FiniteFloat,
    host_option,
    json_option,
    numbers,
    port_option,
    scanner_for,
    scanner_option,
    seed_option,
    spins_option,
)

if TYPE_CHECKING:
    from isocenter.app.service_once import Decide
    from isocenter.cli.progress import Screen


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@scanner_option
@click.option("--person", default="", help="Who looked into the magnet; kept with every value.")
@click.option("--no-patient", is_flag=True, help="This person has looked: no patient is in the magnet.")
@click.option("--phantom", default="ball 140 mm", show_default=True, help="What is written on the phantom that lies there.")
@click.option(
    "--diameter", "diameter_mm", type=FiniteFloat(20, 1000), default=140, show_default=True, help="Of its inside [mm]."
)
@click.option(
    "--centre",
    "centre_mm",
    default="0,0,0",
    metavar="X,Y,Z",
    callback=numbers(3),
    help="Where its centre lies, device axes from the isocenter [mm]: +X right of somebody who looks in, +Y up, +Z out.",
)
@click.option("--accept", is_flag=True, help="Take what passed into use without asking; what only warns is left.")
@click.option("--virtual", is_flag=True, help="Start a virtual scanner and use it; nothing is kept.")
@click.option(
    "--scenario",
    default="service-ball",
    show_default=True,
    metavar="NAME_OR_FILE",
    help="Virtual: what lies in which field.",
)
@spins_option
@seed_option
@host_option
@port_option
@json_option
def command(names: tuple[str, ...], scanner_name: str, as_json: bool, **options: Any) -> None:
    r"""Measure the scanner itself with a phantom, or list what is kept.

    Without a name every service calibration is listed, with its value and age. With names they are measured in this order;
    a person says that only the phantom lies in the magnet, and decides on each new value. What cannot be trusted is refused,
    and the old value stays. Ctrl-C is Stop.

    \b
    Examples:
      isocenter calibrate --scanner osii-one
      isocenter calibrate gradient_scale --virtual --person "A. Service" --no-patient --centre 16,-8,24
      isocenter calibrate gradient_currents --scanner osii-one --person "A. Service" --no-patient
    """
    from isocenter.app.paths import at_address, data_folder
    from isocenter.app.service_once import check_names, kept_calibrations, kept_text
    from isocenter.config.hardware import load_scanner

    check_names(names)
    if options["virtual"]:
        scanner_name = scanner_for(scanner_name, options["scenario"])
    scanner = at_address(load_scanner(scanner_name), options["host"], options["port"])
    if not names:
        kept = kept_calibrations(scanner, data_folder())
        click.echo(json.dumps(kept, indent=2) if as_json else "\n".join(kept_text(one) for one in kept))
        return
    found = _measure(names, scanner, as_json=as_json, **options)
    if as_json:
        click.echo(json.dumps(found, indent=2))


def _measure(names: tuple[str, ...], scanner: Any, *, as_json: bool, **options: Any) -> list[dict[str, Any]]:
    from isocenter.app.paths import data_folder
    from isocenter.app.service_calibrations import check_word
    from isocenter.app.service_once import ServiceOrder, calibrate_once
    from isocenter.app.service_status import ServicePhantom
    from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
    from isocenter.cli.progress import Screen, ctrl_c_stops

    x_m, y_m, z_m = (each * 1e-3 for each in options["centre_mm"])
    order = ServiceOrder(
        names=names,
        person=options["person"],
        phantom=ServicePhantom(
            name=options["phantom"], diameter_m=options["diameter_mm"] * 1e-3, centre_device_m=(x_m, y_m, z_m)
        ),
        is_empty=options["no_patient"],
    )
    check_word(order.person, order.phantom, scanner.magnet, is_empty=order.is_empty)  # before anything is started
    cancel = Event()
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(Screen("Connecting", is_quiet=as_json))
        stack.enter_context(ctrl_c_stops(cancel))
        folder = data_folder()
        if options["virtual"]:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            setup = VirtualSetup(
                scenario=options["scenario"], n_spins=options["spins"], seed=options["seed"], has_devices=True
            )
            screen.begin("Starting the virtual scanner")
            scanner = stack.enter_context(virtual_scanner(scanner, setup))
            screen.begin("Connecting")
        decide = _decider(screen, is_asked=not (options["accept"] or as_json), is_accepted=options["accept"])
        return calibrate_once(
            order, scanner, folder, is_virtual=options["virtual"], cancel=cancel, say=screen.say, decide=decide
        )


def _decider(screen: "Screen", *, is_asked: bool, is_accepted: bool) -> "Decide":
    """Who decides on new values: a person at the terminal, or ``--accept`` for what passed."""
    from isocenter.app.service_status import ServiceRow

    def decide(row: ServiceRow) -> bool:
        is_taken = row.result.verdict == "pass" and is_accepted
        if is_asked:
            is_taken = click.confirm("Take this value into use?", default=False)
        screen.say("  Taken into use." if is_taken else "  Not taken into use: the old value stays.")
        return is_taken

    return decide
