# SPDX-License-Identifier: MIT
"""What the operator should know of a scan before it starts."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from isocenter.compiler.interpret.encoding import image_rows
from isocenter.compiler.interpret.shots import Recovery
from isocenter.domain.control import SEGMENT_MARGIN_S, STOP_WITHIN_S, WATCH_TICK_S
from isocenter.domain.events import Encoding, Readouts, Segment

TOLD_ERROR: Final = 0.05
"""Shots that are this much brighter than others may be seen in an image."""


def scan_notes(
    readouts: Readouts, segments: tuple[Segment, ...], encoding: Encoding | None, definitions: Mapping[str, str]
) -> list[str]:
    """Plain sentences, none when there is nothing to say."""
    found = []
    for name, meaning in (("NOPOS", "position"), ("NOROT", "orientation"), ("NOSCL", "size")):
        if np.any(readouts.label(name)):
            found.append(f"The sequence asks that the prescribed {meaning} is ignored ({name}); it is applied all the same.")
    repeated = sum(segment.n_dummy_shots for segment in segments)
    if repeated:
        found.append(
            f"The repetition time leaves no room for pauses, so {repeated} shots are played again without reception."
        )
    return found + _label_notes(readouts, encoding, definitions)


def pause_notes(segments: tuple[Segment, ...], recovered: Recovery | None, clock_hz: float) -> list[str]:
    """What the pauses between segments leave, and parts that are too long to be stopped in good time."""
    found = []
    if recovered is not None and recovered.residual_share > TOLD_ERROR:
        found.append(
            f"The repetition time leaves no room for the console's pauses: {recovered.pause_s * 1e3:.0f} ms of extra rest "
            f"make the shots after each up to {recovered.residual_share * 100:.0f} % brighter. A longer TR avoids it."
        )
    longest_s = max((segment.end_tick for segment in segments), default=0) / clock_hz
    if longest_s > STOP_WITHIN_S - SEGMENT_MARGIN_S - WATCH_TICK_S:
        found.append(
            f"Parts of this scan take {longest_s:.1f} s without rest. A console that hangs in one is noticed only behind "
            "it, so the red button is what stops within a second."
        )
    return found


def _label_notes(readouts: Readouts, encoding: Encoding | None, definitions: Mapping[str, str]) -> list[str]:
    """Labels that disagree with the gradients or with the sequence's own word for its size."""
    rows = image_rows(readouts)
    lin, par = readouts.label("LIN")[rows], readouts.label("PAR")[rows]
    if encoding is None:
        # A number that only counts spokes or echoes is no claim of a grid; the definition Matrix makes it one,
        # unless Trajectory names another way through k-space.
        claims_a_grid = "Matrix" in definitions and "Trajectory" not in definitions
        if claims_a_grid and len(rows) and (lin.max() > 0 or par.max() > 0):
            return [
                "The gradients do not follow the labels LIN and PAR on a Cartesian grid, so the FFT will give no image of "
                "this scan; the data are kept."
            ]
        return []
    found = []
    for name, values, position in (("LIN", lin, 1), ("PAR", par, 2)):
        size = _size(definitions, position)
        if size and values.max(initial=0) >= size and not (position == 2 and not np.any(encoding.step_par_per_m)):
            found.append(
                f"The sequence labels lines up to {name} = {values.max()}, but its definition Matrix says {size}: the image "
                f"is made larger to hold them."
            )
    return found


def _size(definitions: Mapping[str, str], position: int) -> int:
    """Entry of the definition Matrix, 0 when it says nothing that makes sense."""
    try:
        return int(float(definitions.get("Matrix", "").split()[position]))
    except (ValueError, IndexError, OverflowError):
        return 0
