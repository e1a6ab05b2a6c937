# SPDX-License-Identifier: MIT
"""``isocenter reconstruct``."""

import json
from pathlib import Path

import click

from isocenter.cli.options import json_option


@click.command()
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for images; a scan's own if left away."
)
@click.option("--variable", default="", help="Variable of a MATLAB or NumPy file that holds k-space.")
@click.option("--matrix", default="", metavar="ROWSxCOLS", help="Zero-fill to this many pixels, such as 256x256.")
@click.option(
    "--filter",
    "window",
    type=click.Choice(["none", "hann", "tukey", "fermi"]),
    default="none",
    show_default=True,
    help="Window over k-space: less ringing and noise for some blur.",
)
@json_option
def command(source: Path, out: Path | None, variable: str, matrix: str, window: str, as_json: bool) -> None:
    r"""Make images from raw data: a scan's folder, or k-space from elsewhere.

    A scan that was killed reconstructs from what was measured. From elsewhere it takes ISMRMRD files, MATLAB files (5 and
    7.3) and NumPy files; the k-space centre is found in the data.

    \b
    Examples:
      isocenter reconstruct demo-out/004-t2-tse-axial
      isocenter reconstruct fse_kspace.mat --variable kspace --matrix 256x256 --out fse
    """
    from isocenter.app.reconstruct import reconstruct_path

    result = reconstruct_path(source, out=out, variable=variable, matrix=matrix, window=window)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(result["text"])
    for path in result["files"]:
        click.echo(f"  {path}")
