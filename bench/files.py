# SPDX-License-Identifier: MIT
"""Sequences that several benchmarks share."""

import functools
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import pypulseq

from isocenter.config.hardware import load_scanner
from isocenter.sequences.build import build

TSE: Mapping[str, float | int | str | bool] = {"n_read": 128, "n_phase": 128, "n_slab": 32, "echo_train_length": 8}
"""3D TSE 128 x 128 x 32 with an echo train of 8; names as `isocenter sequences tse_3d` lists them."""


@functools.cache
def tse_file(scanner_name: str = "osii-one") -> bytes:
    """That scan as Pulseq text."""
    return build("tse_3d", TSE, load_scanner(scanner_name)).seq


@functools.cache
def tse_file_for_peer(scanner_name: str) -> bytes:
    """The same without labels and as version 1.4.1, which is what marga_pulseq 0.2.2 reads."""
    return _as_141(tse_file(scanner_name))


@functools.cache
def tiny_file(scanner_name: str) -> bytes:
    """One train, for warming up."""
    tiny = {**TSE, "n_phase": 8, "n_slab": 1, "dummy_shots": 0}
    return _as_141(build("tse_3d", tiny, load_scanner(scanner_name)).seq)


def _as_141(data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "a.seq"
        path.write_bytes(data)
        sequence = pypulseq.Sequence()
        sequence.read(str(path), detect_rf_use=False)
        for events in sequence.block_events.values():
            events[6] = 0  # the block's extension list
        sequence.write(str(path), v141_compat=True)
        return path.read_bytes()
