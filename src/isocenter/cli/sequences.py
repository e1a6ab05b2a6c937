# SPDX-License-Identifier: MIT
"""``isocenter sequences``."""

import json
from typing import Any

import click


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def command(name: str | None, as_json: bool) -> None:
    r"""List the sequences, or explain the parameters of the one called NAME.

    \b
    Examples:
      isocenter sequences
      isocenter sequences tse_3d
      isocenter sequences --json

    A parameter is set with -p in `scan` and `compile`, in the unit its name carries or with a unit
    of its own: -p tr_s=0.5 and -p tr_s=500ms are the same.
    """
    from isocenter.app import catalogue

    if name is None:
        entries = [catalogue.describe(info.name) for info in catalogue.sequences()]
    else:
        entries = [catalogue.describe(name)]
    if as_json:
        click.echo(json.dumps(entries if name is None else entries[0], indent=2))
    elif name is None:
        for entry in entries:
            click.echo(f"{entry['name']:<16} {entry['title']}. {entry['summary']}")
        click.echo("\nParameters of one: isocenter sequences NAME")
    else:
        _explain(entries[0])


def _explain(entry: dict[str, Any]) -> None:
    click.echo(f"{entry['name']}: {entry['title']}\n{entry['summary']}\n")
    for item in entry["parameters"]:
        unit = f" {item['unit']}" if item["unit"] else ""
        click.echo(f"  {item['name']:<22} {item['label']}: {item['default_text']}{unit}  (allowed: {item['allowed']})")
        click.echo(f"  {'':<22} {item['help']}")
