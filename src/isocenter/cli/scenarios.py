# SPDX-License-Identifier: MIT
"""``isocenter scenarios``."""

import json
from typing import Any

import click


@click.command()
@click.argument("name", required=False, metavar="[NAME_OR_FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def command(name: str | None, as_json: bool) -> None:
    r"""List the scenarios of the virtual scanner, or explain the one called NAME.

    A scenario says what lies in the scanner and everything that is wrong with it.

    \b
    Examples:
      isocenter scenarios
      isocenter scenarios noisy-ward
      isocenter scan tse_3d --virtual --scenario noisy-ward --out noisy
    """
    from isocenter.app import scenarios

    if name is None:
        entries = [scenarios.overview(scenario) for scenario in scenarios.scenarios()]
    else:
        entries = [scenarios.describe(name)]
    if as_json:
        click.echo(json.dumps(entries if name is None else entries[0], indent=2))
    elif name is None:
        for entry in entries:
            click.echo(f"{entry['name']:<22} {entry['summary']}")
        click.echo("\nMore about one: isocenter scenarios NAME")
    else:
        _explain(entries[0])


def _explain(entry: dict[str, Any]) -> None:
    click.echo(f"{entry['name']}: {entry['summary']}")
    if entry["look_for"]:
        click.echo(f"Look for: {entry['look_for']}")
    click.echo(f"\nScanner: {entry['scanner'] or 'any'}\nPhantom: {entry['phantom']}. {entry['phantom_summary']}")
    click.echo(f"  {'':<18} {'T1':>9} {'T2':>9} {'T2*':>9} {'density':>8}")
    for tissue in entry["tissues"]:
        times = " ".join(f"{tissue[key] * 1e3:>6.4g} ms" for key in ("t1_s", "t2_s", "t2_star_s"))
        click.echo(f"  {tissue['name']:<18} {times} {tissue['density']:>8.2f}")
    if "field" in entry:
        click.echo(f"Field: {entry['field']}")
    click.echo("Faults:" if entry["faults"] else "Faults: none")
    for key, value in entry["faults"].items():
        for item in value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]:
            text = ", ".join(f"{name} {part}" for name, part in item.items()) if isinstance(item, dict) else item
            click.echo(f"  {key:<26} {text}")
