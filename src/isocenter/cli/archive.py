# SPDX-License-Identifier: MIT
"""``isocenter reconstruct`` for a folder of many scans."""

import dataclasses
import json
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from isocenter.cli.progress import Screen

if TYPE_CHECKING:
    from isocenter.app.archive import ArchiveItem
    from isocenter.app.reconstruct import ReconOrder


def reconstruct_many(
    archive: Path, out: Path | None, order: "ReconOrder", *, cluster: str, n_workers: int, as_json: bool
) -> None:
    """Reconstruct every scan of an archive, tell of each, and sum up; exits with 1 when any could not be reconstructed."""
    from isocenter.app.archive import reconstruct_archive, run_here
    from isocenter.app.cluster import run_on

    run = run_on(cluster) if cluster else run_here(n_workers)
    with Screen(f"Reconstructing the scans in {archive}", is_quiet=as_json) as screen:

        def tell(item: "ArchiveItem", n_done: int, n_all: int) -> None:
            if item.is_done:
                screen.say(f"[{n_done}/{n_all}] {item.name}: {item.text}")
            else:
                screen.say(f"[{n_done}/{n_all}] {item.name}: NOT reconstructed. {item.text} {item.remedy}")
            screen.count(n_done, n_all)

        items = reconstruct_archive(archive, out, order, run=run, cancel=Event(), on_done=tell)
    failures = [item for item in items if not item.is_done]
    if as_json:
        summary = {
            "reconstructed": len(items) - len(failures),
            "failed": len(failures),
            "scans": [dataclasses.asdict(item) for item in items],
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(f"{len(items) - len(failures)} of {len(items)} scans reconstructed.")
        for item in failures:
            click.echo(f"  not: {item.name}: {item.text}")
    if failures:
        click.get_current_context().exit(1)
