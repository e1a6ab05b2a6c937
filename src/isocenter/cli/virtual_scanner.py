# SPDX-License-Identifier: MIT
"""``isocenter virtual-scanner``."""

import json
import threading

import click

from isocenter.cli.options import (
    FiniteFloat,
    json_option,
    phantom_option,
    scanner_for,
    scanner_option,
    scenario_option,
    seed_option,
    spins_option,
)
from isocenter.domain.geometry import PatientPosition


@click.command()
@scanner_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine only."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=11111, show_default=True, help="Port to listen on; 0 picks a free one."
)
@scenario_option
@phantom_option
@click.option(
    "--position",
    type=click.Choice([item.value for item in PatientPosition]),
    help="How it lies; as the scenario says if left away.",
)
@spins_option
@click.option("--noise/--no-noise", default=True, show_default=True, help="Thermal noise of the receive chain.")
@seed_option
@click.option(
    "--time-scale",
    type=FiniteFloat(0, 1000),
    default=1.0,
    show_default=True,
    help="1 plays like a real scanner, 0 as fast as it can.",
)
@click.option("--devices", is_flag=True, help="Also amplifiers, interlock and all other boxes, on lines of their own.")
@json_option
def command(
    scanner_name: str,
    host: str,
    port: int,
    scenario: str,
    phantom: str,
    position: str | None,
    spins: int,
    noise: bool,
    seed: int,
    time_scale: float,
    devices: bool,
    as_json: bool,
) -> None:
    r"""Serve a virtual scanner that speaks the MaRCoS protocol; any client can use it. Ctrl-C ends it.

    It decodes the console's words and plays them through a Bloch simulation of a phantom in an imperfect magnet.

    \b
    Examples:
      isocenter virtual-scanner
      isocenter scan fid --scanner osii-one --host 127.0.0.1 --port 11111 --out fid
    """
    from isocenter.app.virtual_scanner import VirtualSetup, serve
    from isocenter.config.hardware import load_scanner

    setup = VirtualSetup(
        scenario=scenario,
        phantom=phantom,
        position=PatientPosition(position) if position else None,
        n_spins=spins,
        has_noise=noise,
        seed=seed,
        time_scale=time_scale,
        has_devices=devices,
    )
    scanner = load_scanner(scanner_for(scanner_name, scenario))
    with serve(scanner, setup, host, port) as served:
        address, actual_port = served.host, served.port
        try:  # from the first word on: whoever reads it may answer with Ctrl-C at once
            if as_json:
                urls = {link.role.value: link.url for link in served.devices}
                click.echo(json.dumps({"host": address, "port": actual_port, "devices": urls}))
            else:
                click.echo(f"The virtual scanner listens on {address}, port {actual_port}. Ctrl-C ends it.")
                for link in served.devices:
                    click.echo(f'  [devices.{link.role}]  driver = "{link.driver}"  url = "{link.url}"')
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Ended.", err=True)
