# SPDX-License-Identifier: MIT
"""``isocenter compile``."""

import json
from pathlib import Path

import click

from isocenter.cli.options import (
    json_option,
    out_option,
    parameter_option,
    prescription,
    prescription_options,
    scanner_option,
)


@click.command()
@click.argument("sequence", metavar="SEQUENCE_OR_FILE")
@scanner_option
@out_option
@parameter_option
@prescription_options
@json_option
def command(
    sequence: str,
    scanner_name: str,
    out: Path,
    parameters: tuple[str, ...],
    position: str,
    orientation: str,
    centre: tuple[float, ...],
    tilt: tuple[float, ...],
    swap_read_phase: bool,
    as_json: bool,
) -> None:
    r"""Compile a sequence, or any Pulseq file, into the console's words; nothing is played.

    The scan passes the same last gate as before playing: what a scanner may not do is refused here.

    \b
    Written to --out:
      segment-NNN.words   program of each segment, little-endian uint32
      events.npz          what the words must do, for NumPy
      sequence.seq        the Pulseq text that was compiled
      compiled.json       times, sizes, pin_cycle_offset, what one code is

    \b
    In events.npz, for each channel NAME three arrays of equal length, in order of segment, then time:
      NAME_ticks          int64, periods of the console's clock from the start of the segment
      NAME_values         int32, holds from that tick on; before its first, a channel is 0 in each segment
      NAME_segment        int32, index of the segment

    \b
    NAME is one of:
      tx0_i tx0_q         RF envelope, -32767 to 32767
      grad_vx _vy _vz     grad_vx, grad_vy, grad_vz: signed codes of the gradient DACs
      rx0_rate rx0_en     decimation of the receiver; 1 while it takes samples
      rx1_rate rx1_en     the same of the second receiver, for a sensor of interference
      tx_gate rx_gate     RF amplifier unblanked; receiver connected
      trig_out leds       trigger output; eight digital outputs

    \b
    And: segment_end_ticks, segment_start_s (one value a segment), clock_hz, lo_hz.
    A value with tick t is at the pin in cycle t + pin_cycle_offset of the run of its segment's words.

    \b
    Examples:
      isocenter compile tse_3d --scanner osii-one --out build -p echo_train_length=8
      isocenter compile my.seq --scanner physio-72mT --out build --orientation coronal
    """
    from isocenter.app.catalogue import parse_assignments
    from isocenter.app.compile_files import write_compiled
    from isocenter.app.prepare import prepare
    from isocenter.cli.progress import Screen
    from isocenter.config.hardware import load_scanner
    from isocenter.domain.geometry import PatientPosition
    from isocenter.domain.scan import Protocol
    from isocenter.domain.scanner import nominal_calibration

    scanner = load_scanner(scanner_name)
    protocol = Protocol(
        name=sequence,
        sequence=sequence,
        parameters=parse_assignments(sequence, parameters),
        prescription=prescription(orientation, centre, tilt, swap_read_phase=swap_read_phase),
    )
    with Screen(f"Compiling {sequence}", is_quiet=as_json):
        prepared = prepare(protocol, scanner, nominal_calibration(scanner), PatientPosition(position))
        summary = write_compiled(prepared, scanner, out)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    words = sum(item["words"] for item in summary["segments"])
    click.echo(
        f"{summary['sequence']} on {scanner.title}: {summary['duration_s']:.1f} s, {summary['readouts']} readouts, "
        f"{len(summary['segments'])} segments, {words} words. Written to {out}."
    )
    for warning in summary["warnings"]:
        click.echo(f"Note: {warning}")
