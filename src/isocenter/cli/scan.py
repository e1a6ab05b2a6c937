# SPDX-License-Identifier: MIT
"""``isocenter scan``."""

import contextlib
import json
import math
from pathlib import Path
from threading import Event
from typing import Any

import click

from isocenter.cli.options import (
    FiniteFloat,
    host_option,
    json_option,
    out_option,
    outside_options,
    parameter_option,
    phantom_option,
    port_option,
    prescription,
    prescription_options,
    scanner_for,
    scanner_option,
    scenario_option,
    seed_option,
    spins_option,
)


@click.command()
@click.argument("sequence", metavar="SEQUENCE_OR_FILE")
@scanner_option
@out_option
@parameter_option
@prescription_options
@click.option("--virtual", is_flag=True, help="Start a virtual scanner and use it.")
@scenario_option
@phantom_option
@click.option("--noise/--no-noise", default=True, show_default=True, help="Virtual: thermal noise.")
@spins_option
@seed_option
@host_option
@port_option
@click.option("--frequency", "frequency_mhz", default=0.0, help="Use this frequency [MHz] instead of measuring it.")
@click.option("--name", default="", help="What to call the scan; the sequence's title if left away.")
@click.option("--patient-id", default="", help="Whom it belongs to; a phantom if left away.")
@click.option("--patient-name", default="", metavar="FAMILY^GIVEN", help="Name, as DICOM writes it.")
@click.option(
    "--weight", "weight_kg", type=FiniteFloat(0.3, 350), help="Of the patient [kg]; without it a light one is counted."
)
@click.option(
    "--birth-date", type=click.DateTime(["%Y-%m-%d"]), help="Of the patient, year-month-day; limits may depend on age."
)
@click.option(
    "--first-level",
    "first_level_by",
    default="",
    metavar="NAME",
    help="Who takes responsibility if the scan needs first level controlled operating mode; kept with the scan.",
)
@click.option("--body-part", default="HEAD", show_default=True, help="DICOM body part examined.")
@click.option("--side", type=click.Choice(["L", "R"]), help="Left or right, for knees and other paired parts.")
@outside_options
@json_option
def command(sequence: str, scanner_name: str, out: Path, as_json: bool, **options: Any) -> None:
    r"""Run one sequence, or any Pulseq file, and write everything to a folder. Ctrl-C is Stop.

    The frequency is measured first. What is measured is on the disk segment by segment: after a power cut,
    `isocenter reconstruct FOLDER` makes images of what there is.

    \b
    Examples:
      isocenter scan tse_3d --scanner osii-one --virtual --out head
      isocenter scan gre_3d --virtual --scenario ideal-block --position FFP --orientation coronal --out block
      isocenter scan my.seq --scanner osii-one --host 192.168.1.101 --out mine
    """
    from isocenter.app.outside import parse_outside
    from isocenter.app.paths import at_address
    from isocenter.app.scan_once import ScanOrder, scan_once
    from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
    from isocenter.cli.progress import Screen, ctrl_c_stops
    from isocenter.config.hardware import load_scanner
    from isocenter.domain.geometry import PatientPosition

    if options["virtual"]:
        scanner_name = scanner_for(scanner_name, options["scenario"])
    scanner = at_address(load_scanner(scanner_name), options["host"], options["port"])
    order = ScanOrder(
        sequence=sequence,
        assignments=options["parameters"],
        name=options["name"],
        prescription=prescription(
            options["orientation"], options["centre"], options["tilt"], swap_read_phase=options["swap_read_phase"]
        ),
        position=PatientPosition(options["position"]),
        patient_id=options["patient_id"],
        patient_name=options["patient_name"],
        body_part=options["body_part"],
        side=options["side"] or "",
        larmor_hz=options["frequency_mhz"] * 1e6,
        weight_kg=math.nan if options["weight_kg"] is None else options["weight_kg"],
        birth_date=options["birth_date"].date() if options["birth_date"] else None,
        first_level_by=options["first_level_by"],
    )
    outside = parse_outside(options["outside"], options["outside_config"]) if options["outside"] else None
    cancel = Event()
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(Screen(f"Checking {sequence}", is_quiet=as_json))
        order.check(scanner)
        stack.enter_context(ctrl_c_stops(cancel))
        if options["virtual"]:
            setup = VirtualSetup(
                scenario=options["scenario"],
                phantom=options["phantom"],
                position=order.position,
                n_spins=options["spins"],
                has_noise=options["noise"],
                seed=options["seed"],
            )
            screen.begin("Starting the virtual scanner")
            scanner = stack.enter_context(virtual_scanner(scanner, setup))
            screen.begin("Connecting")
        outcome, second = scan_once(
            order,
            scanner,
            out,
            is_virtual=options["virtual"],
            cancel=cancel,
            say=screen.say,
            on_progress=screen.update,
            outside=outside,
        )
    images = outcome.images
    if as_json:
        summary: dict[str, Any] = {
            "folder": str(outcome.folder),
            "reason": outcome.reason.value,
            "readouts": outcome.result.n_readouts,
            "expected": outcome.result.n_expected,
            "dicom": [str(path) for path in images.dicom] if images else [],
            "nifti": [str(path) for path in images.nifti] if images else [],
            "note": outcome.note,
        }
        if second is not None:
            summary["outside"] = {"files": [str(path) for path in second.files], "note": second.note}
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(f"{outcome.reason.value.capitalize()}. Everything is in {outcome.folder}.")
        if images is not None and images.dicom:
            click.echo(f"  {len(images.dicom)} DICOM files, {len(images.nifti)} NIfTI, {images.sheet}")
        for note in filter(None, (outcome.note, second.note if second is not None else "")):
            click.echo(f"  {note}")
    if cancel.is_set():
        raise click.Abort
