# SPDX-License-Identifier: MIT
"""``isocenter demo``."""

import json
import time
from pathlib import Path
from threading import Event

import click

from isocenter.cli.options import Folder, json_option, scanner_option, scenario_option, seed_option, spins_option


@click.command()
@scanner_option
@click.option(
    "--out",
    type=Folder(),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for everything written.",
)
@scenario_option
@spins_option
@seed_option
@json_option
def command(scanner_name: str, out: Path, scenario: str, spins: int, seed: int, as_json: bool) -> None:
    r"""Scan a head on a virtual scanner: prescan frequency, three-plane localizer, 3D TSE.

    The virtual scanner runs beside this program and is driven over the network like a real one. Written below --out: for
    each scan its raw data (ISMRMRD), sequence, journal, DICOM, NIfTI and contact sheet. Ctrl-C is Stop.
    """
    from isocenter.app.demo import run_demo
    from isocenter.app.virtual_scanner import VirtualSetup
    from isocenter.cli.progress import Screen, ctrl_c_stops
    from isocenter.config.hardware import load_scanner

    scanner = load_scanner(scanner_name)
    cancel, start_s = Event(), time.monotonic()
    with Screen(is_quiet=as_json) as screen, ctrl_c_stops(cancel):
        setup = VirtualSetup(scenario=scenario, n_spins=spins, seed=seed)
        result = run_demo(scanner, setup, out, cancel=cancel, say=screen.say, on_progress=screen.update)
    images = [outcome.images for outcome in result.outcomes if outcome.images is not None]
    if as_json:
        files = {
            "larmor_hz": result.larmor_hz,
            "scans": [str(outcome.folder) for outcome in result.outcomes],
            "dicom": [str(path) for item in images for path in item.dicom],
            "nifti": [str(path) for item in images for path in item.nifti],
            "sheet": str(result.sheet),
        }
        click.echo(json.dumps(files, indent=2))
        return
    click.echo(f"\nDone in {time.monotonic() - start_s:.0f} s. In {out}:")
    for outcome, item in zip(result.outcomes, images, strict=False):
        click.echo(f"  {outcome.folder.name}/  raw.h5 (ISMRMRD), {len(item.dicom)} DICOM files, {len(item.nifti)} NIfTI")
    click.echo(f"  {result.sheet}  all slices of the last scan at a glance")
