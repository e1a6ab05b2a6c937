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
@host_option
@port_option
@json_option
@click.pass_context
def command(ctx: click.Context, scanner_name: str, with_console: bool, host: str, port: int, as_json: bool) -> None:
    r"""Check this computer, its libraries, the hardware file and, with --console, the console and every device.

    Exit code 1 when something is wrong; what it is and what to do is printed.
    """
    from isocenter.app.doctor import examine
    from isocenter.app.paths import data_folder

    findings = []
    for finding in examine(scanner_name, data_folder(), with_console=with_console or bool(host), host=host, port=port):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_MARKS[finding.health]}  {finding.what}: {finding.text}")
            if finding.health in ("bad", "warning") and finding.remedy:
                click.echo(f"         What to do: {finding.remedy}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    if any(finding.health == "bad" for finding in findings):
        ctx.exit(1)
