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
@click.option(
    "--loop-back",
    "with_loop_back",
    is_flag=True,
    help="The self-test, and pulses of up to 10 % from the console's output into its own input over a cable with an "
    "attenuator: direction of the phase, gain, delay, mirror image. What is found of the direction is kept.",
)
@click.option("--cable-connected", is_flag=True, help="Answers the question that --loop-back asks.")
@click.option("--person", default="", help="Who has connected the cable; kept with the result of --loop-back.")
@host_option
@port_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, scanner_name: str, *, host: str, port: int, as_json: bool, **options: bool | str) -> None:
    r"""Check this computer, its libraries, the hardware file and, with --console, the console and every device.

    Exit code 1 when something is wrong; what it is and what to do is printed.

    \b
    Examples:
      isocenter doctor --scanner osii-one --console
      isocenter doctor --scanner osii-one --loop-back --person "A. Service"
    """
    from isocenter.app.doctor import examine
    from isocenter.app.paths import data_folder

    with_self_test = bool(options["with_self_test"] or options["with_loop_back"])
    if with_self_test and not options["nobody_inside"]:
        click.confirm("Is nobody in the scanner, and does no other program use it?", abort=True, err=True)
    cable_by = ""
    if options["with_loop_back"]:
        cable_by = _ask_for_cable(scanner_name, str(options["person"]), is_answered=bool(options["cable_connected"]))
    findings = []
    for finding in examine(
        scanner_name,
        data_folder(),
        with_console=bool(options["with_console"]) or with_self_test or bool(host),
        with_self_test=with_self_test,
        cable_by=cable_by,
        host=host,
        port=port,
    ):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_MARKS[finding.health]}  {finding.what}: {finding.text}")
            if finding.health != "good" and finding.remedy:
                click.echo(f"         What to do: {finding.remedy}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    if any(finding.health == "bad" for finding in findings):
        ctx.exit(1)


def _ask_for_cable(scanner_name: str, person: str, *, is_answered: bool) -> str:
    """Who has connected the cable, after that person has said so."""
    from isocenter.app.loop_back_report import cable_text
    from isocenter.config.hardware import load_scanner

    if not is_answered:
        click.echo(cable_text(load_scanner(scanner_name)), err=True)
        click.confirm("Is it connected so, with neither amplifier nor coil on the console?", abort=True, err=True)
    while not person.strip():
        person = click.prompt("Who has connected it", err=True)
    return person.strip()
