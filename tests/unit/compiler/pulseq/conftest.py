# SPDX-License-Identifier: MIT
"""A small Pulseq file of version 1.5.1 in which tests exchange sections."""

import pytest

SECTIONS = {
    "VERSION": "major 1\nminor 5\nrevision 1",
    "DEFINITIONS": (
        "AdcRasterTime 1e-07\nBlockDurationRaster 1e-05\nGradientRasterTime 1e-05\nRadiofrequencyRasterTime 1e-06"
    ),
    "BLOCKS": "1 50 1 0 0 0 0 0\n2 100 0 1 2 3 0 0\n3 100 0 0 0 0 1 1",
    "RF": "1 1000 1 2 3 50 100 0 0 0 0.5 e",
    "GRADIENTS": "1 2000 0 0 4 0 10\n2 3000 0 1500 5 6 900",
    "TRAP": "3 -4000 100 200 100 20",
    "ADC": "1 64 10000 20 0 0 100 0.25 0",
    "EXTENSIONS": "1 1 1 2\n2 2 1 0",
    "extension LABELSET 1": "1 5 LIN",
    "extension LABELINC 2": "1 1 LIN",
    "SHAPES": (
        "shape_id 1\nnum_samples 2\n1\n1\n\nshape_id 2\nnum_samples 2\n0\n0\n\nshape_id 3\nnum_samples 2\n0\n100\n\n"
        "shape_id 4\nnum_samples 4\n0.25\n0.75\n0.75\n0.25\n\nshape_id 5\nnum_samples 3\n0\n1\n0.5\n\n"
        "shape_id 6\nnum_samples 3\n0\n5\n10\n"
    ),
}


def _text(**changes):
    """The file's bytes; a keyword replaces a section, None leaves it out, spaces in names are written as two underscores."""
    sections = {**SECTIONS, **{name.replace("__", " "): body for name, body in changes.items()}}
    lines = ["# Pulseq sequence file"]
    for name, body in sections.items():
        if body is not None:
            lines += [name if name.startswith("extension") else f"[{name}]", body, ""]
    return "\n".join(lines).encode()


@pytest.fixture
def make_seq():
    return _text
