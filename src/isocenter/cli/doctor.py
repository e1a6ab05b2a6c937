# SPDX-License-Identifier: MIT
"""``isocenter doctor``."""

import dataclasses
import json

import click

from isocenter.cli.options import host_option, json_option, port_option, scanner_option

_MARKS = {"good": "ok     ", "warning": "CAUTION", "bad": "PROBLEM", "unknown": "unknown"}


@click.command()
@scanner_option
@click.option(
    "--console/--no-console",
    "with_console",
    default=False,
    help="Also ask the scanner's console and its devices; nothing is switched on.",
)
@click.option(
    "--self-test",
    "with_self_test",
    is_flag=True,
    help="Also try the scanner with nobody inside: half an ampere on the gradients, a pulse of 1 % while the amplifier is "
    "blanked, the interlock, the disk.",
)
@click.option("--nobody-inside", is_flag=True, help="Answers the question that --self-test asks.")
@host_option
@port_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    scanner_name: str,
    *,
    with_console: bool,
    with_self_test: bool,
    nobody_inside: bool,
    host: str,
    port: int,
    as_json: bool,
) -> None:
    r"""Check this computer, its libraries, the hardware file and, with --console, the console and every device.

    Exit code 1 when something is wrong; what it is and what to do is printed.
    """
    from isocenter.app.doctor import examine
    from isocenter.app.paths import data_folder

    if with_self_test and not nobody_inside:
        click.confirm("Is nobody in the scanner, and does no other program use it?", abort=True, err=True)
    findings = []
    for finding in examine(
        scanner_name,
        data_folder(),
        with_console=with_console or with_self_test or bool(host),
        with_self_test=with_self_test,
        host=host,
        port=port,
    ):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_MARKS[finding.health]}  {finding.what}: {finding.text}")
            if finding.health in ("bad", "warning") and finding.remedy:
                click.echo(f"         What to do: {finding.remedy}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    if any(finding.health == "bad" for finding in findings):
        ctx.exit(1)
