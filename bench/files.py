# SPDX-License-Identifier: MIT
"""Sequences that several benchmarks share."""

import functools

from isocenter import sequences
from isocenter.config import load_scanner


@functools.cache
def tse_file(scanner_name: str = "osii-one") -> bytes:
    """3D TSE 128 x 128 x 32 with an echo train of 8, as Pulseq text."""
    scanner = load_scanner(scanner_name)
    return sequences.build("tse_3d", tse_parameters(), scanner).seq


def tse_parameters() -> dict[str, float | int | str | bool]:
    """Parameters of that scan; names as `isocenter sequences tse_3d` lists them."""
    return {"matrix_x": 128, "matrix_y": 128, "matrix_z": 32, "echo_train_length": 8}
