# SPDX-License-Identifier: MIT
"""``isocenter gradients``."""

import json
from pathlib import Path

import click

from isocenter.cli.options import json_option


@click.command()
@click.argument("scan", metavar="SCAN_FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="File to write (.toml)."
)
@click.option(
    "--phantom",
    default="grid",
    show_default=True,
    help="The lattice that was scanned: grid, or a file that describes another one (docs/corrections.md).",
)
@json_option
def command(scan: Path, out: Path, phantom: str, as_json: bool) -> None:
    r"""Measure how the gradient coils bend, from a scan of a lattice phantom.

    Lay the phantom into the isocenter and scan it with the sequence gradient_map. The balls are found in the images and
    compared with where they are; what an uneven main field moves cancels between the two directions of reading. The file
    that is written puts images of this scanner right: isocenter reconstruct SCAN --gradient-map FILE.

    \b
    Examples:
      isocenter scan gradient_map --virtual --scenario warm-gradients --out lattice
      isocenter gradients lattice --out coils.toml
      isocenter reconstruct demo-out/004-t2-tse-axial --gradient-map coils.toml --out straight
    """
    from isocenter.app.gradients import measure_gradients
    from isocenter.cli.progress import Screen

    with Screen("Measuring", is_quiet=as_json):
        result = measure_gradients(scan, out, phantom)
    click.echo(json.dumps(result, indent=2) if as_json else result["text"])
