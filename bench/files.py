# SPDX-License-Identifier: MIT
"""Sequences that several benchmarks share."""

import functools

from isocenter.config.hardware import load_scanner
from isocenter.sequences.build import build


@functools.cache
def tse_file(scanner_name: str = "osii-one") -> bytes:
    """3D TSE 128 x 128 x 32 with an echo train of 8, as Pulseq text."""
    scanner = load_scanner(scanner_name)
    return build("tse_3d", tse_parameters(), scanner).seq


def tse_parameters() -> dict[str, float | int | str | bool]:
    """Parameters of that scan; names as `isocenter sequences tse_3d` lists them."""
    return {"n_read": 128, "n_phase": 128, "n_slab": 32, "echo_train_length": 8}
