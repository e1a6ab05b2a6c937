# SPDX-License-Identifier: MIT
"""``isocenter reconstruct``."""

import json
from pathlib import Path
from typing import Any

import click

from isocenter.cli.options import Folder, json_option, outside_options


@click.command()
@click.argument("source", metavar="[PATH]", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=Folder(), help="Folder for images; a scan's own if left away.")
@click.option("--variable", default="", help="Variable of a MATLAB or NumPy file that holds k-space.")
@click.option("--matrix", default="", metavar="ROWSxCOLS", help="Zero-fill to this many pixels, such as 256x256.")
@click.option(
    "--filter",
    "window",
    type=click.Choice(["none", "hann", "tukey", "fermi", "gauss"]),
    default="none",
    show_default=True,
    help="Window over k-space: less ringing and noise for some blur.",
)
@click.option(
    "--axes",
    default="",
    metavar="A,B[,C]",
    help="Plain arrays: encoded axes, counted from 0; the last two are rows and columns.",
)
@click.option(
    "--channel-axis", type=click.IntRange(0, 9), default=None, help="Plain arrays: axis of the receive channels, from 0."
)
@click.option(
    "--sensors",
    default="",
    metavar="NAME[,NAME]",
    help="Plain arrays: variables of the same file with what sensors of interference heard; it is taken out of the coil's.",
)
@click.option(
    "--inverse", is_flag=True, help="Plain arrays: transform with the opposite sign (turns images by 180 degrees)."
)
@click.option("--pipeline", type=click.Path(path_type=Path), default=None, help="File with the steps to use.")
@click.option(
    "--write-pipeline",
    type=click.Path(path_type=Path),
    default=None,
    help="Write the steps to this file and do nothing else.",
)
@click.option(
    "--field-map",
    type=click.Path(path_type=Path),
    default=None,
    metavar="SCAN",
    help="Scan of the sequence b0_map: undo the distortion by the uneven main field.",
)
@click.option(
    "--gradient-map",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="File of `isocenter gradients`: undo the distortion by bent gradients.",
)
@click.option("--keep", default="", metavar="STEP[,STEP]", help="Also keep what these steps leave, as .npy and .png.")
@click.option("--steps", "list_steps", is_flag=True, help="Explain every step that a pipeline may have.")
@click.option("--workers", type=click.IntRange(0, 256), default=0, help="Many scans: processes; 0 for one a processor.")
@click.option("--cluster", default="", metavar="SCHEDULER", help="Many scans: use the Dask cluster of this scheduler.")
@outside_options
@json_option
def command(
    source: Path | None,
    out: Path | None,
    write_pipeline: Path | None,
    list_steps: bool,
    as_json: bool,
    workers: int,
    cluster: str,
    outside: str,
    outside_config: str,
    **order: Any,
) -> None:
    r"""Make images from raw data: a scan's folder, a folder of many scans, or k-space from elsewhere.

    A scan that was killed reconstructs from what was measured. From elsewhere it takes ISMRMRD files, MATLAB files (5 and
    7.3), Tecmag files (.tnt) and NumPy files (.npy, .npz); axes and k-space centre of plain arrays are found in the data, or
    named with --axes and --channel-axis. Written then: magnitude as .npy (slices x rows x columns), .nii.gz and a contact
    sheet. What is known to be wrong in files of other consoles is put right, and said.

    The steps from data to images are the sequence's own; --write-pipeline gives them as a file, which you may change and use
    with --pipeline. The steps that were used stand in pipeline.toml beside the images.

    \b
    Examples:
      isocenter reconstruct demo-out/004-t2-tse-axial
      isocenter reconstruct fse_kspace.mat --variable kspace --matrix 256x256 --out fse
      isocenter reconstruct ward.mat --variable coil --sensors loop_1,loop_2 --out ward
      isocenter reconstruct demo-out/004-t2-tse-axial --write-pipeline mine.toml
      isocenter reconstruct demo-out/004-t2-tse-axial --pipeline mine.toml --keep sort,transform --out mine
      isocenter reconstruct demo-out/004-t2-tse-axial --field-map demo-out/003-field-map
      isocenter reconstruct demo-out/004-t2-tse-axial --outside 10.0.0.7:9002 --outside-config simplefft
      isocenter reconstruct archive --workers 4 --json
    """
    from isocenter.app.archive import find_archive
    from isocenter.app.images import is_scan_folder
    from isocenter.app.outside import outside_report, parse_outside
    from isocenter.app.reconstruct import ReconOrder, all_steps_text, reconstruct_path, write_pipeline_of
    from isocenter.cli.archive import reconstruct_many
    from isocenter.cli.progress import Screen

    if list_steps:
        click.echo(all_steps_text())
        return
    if source is None:
        raise click.UsageError("Missing argument 'PATH': the folder of a scan, or a file with k-space.")
    if write_pipeline is not None:
        click.echo(write_pipeline_of(source, write_pipeline, ReconOrder(**order)))
        return
    if source.is_dir() and find_archive(source) and not is_scan_folder(source):
        if outside:
            raise click.UsageError("--outside takes one scan at a time.")
        reconstruct_many(source, out, ReconOrder(**order), cluster=cluster, n_workers=workers, as_json=as_json)
        return
    address = parse_outside(outside, outside_config) if outside else None
    with Screen("Reconstructing", is_quiet=as_json) as screen:
        result = reconstruct_path(source, out, ReconOrder(**order))
        if address is not None:
            screen.begin(f"Waiting for the images of {address}")
            result["outside"] = outside_report(source, address)
    _tell(result, as_json=as_json)


def _tell(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(result["text"])
    for path in result["files"]:
        click.echo(f"  {path}")
    for warning in result.get("warnings", ()):
        click.echo(f"  Note: {warning}")
    if "outside" in result:
        click.echo(f"  {result['outside']['note']}")
        for path in result["outside"]["files"]:
            click.echo(f"  {path}")
