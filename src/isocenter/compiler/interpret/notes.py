# SPDX-License-Identifier: MIT
"""What the operator should know of a scan before it starts."""

from collections.abc import Mapping

import numpy as np

from isocenter.compiler.interpret.encoding import image_rows
from isocenter.domain.events import Encoding, Readouts, Segment


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
