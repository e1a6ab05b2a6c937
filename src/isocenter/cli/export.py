# SPDX-License-Identifier: MIT
"""``isocenter export``."""

import json
from pathlib import Path

import click

from isocenter.cli.options import json_option, out_option


@click.command()
@click.argument("scans", nargs=-1, required=True, metavar="SCAN_FOLDER...", type=click.Path(path_type=Path))
@out_option
@click.option("--mrd", "is_mrd", is_flag=True, help="Write the raw data instead, as ISMRMRD files for other programs.")
@json_option
def command(scans: tuple[Path, ...], out: Path, is_mrd: bool, as_json: bool) -> None:
    r"""Copy the DICOM and NIfTI files of scans to another folder, such as a USB stick.

    A scan that was cut short is reconstructed from what was measured; its images say that they are incomplete.

    With --mrd it writes the raw data as ISMRMRD files that say nothing about the patient, brought to the custom of programs
    that make images by an inverse Fourier transform.

    \b
    Examples:
      isocenter export demo-out/004-t2-tse-axial --out usb
      isocenter export demo-out/004-t2-tse-axial --mrd --out for-gadgetron
    """
    from isocenter.app.export_mrd import export_mrd
    from isocenter.app.images import export_scan
    from isocenter.cli.progress import Screen

    with Screen("Exporting", is_quiet=as_json):
        written = [path for scan in scans for path in (export_mrd(scan, out) if is_mrd else export_scan(scan, out))]
    if as_json:
        click.echo(json.dumps([str(path) for path in written], indent=2))
    else:
        click.echo(f"{len(written)} files written to {out}.")
