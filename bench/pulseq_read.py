# SPDX-License-Identifier: MIT
"""Reading a large .seq file, against pypulseq's reader."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pypulseq

from bench.files import tse_file
from bench.measure import Row, compare
from isocenter.compiler.pulseq.reader import read_pulseq


def run() -> list[Row]:
    """26 600 blocks of a 3D TSE."""
    data = tse_file()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "tse.seq"
        path.write_bytes(data)

        def theirs() -> pypulseq.Sequence:
            sequence = pypulseq.Sequence()
            sequence.read(str(path))
            return sequence

        ours, peer = read_pulseq(data), theirs()
        assert len(ours.blocks.duration_s) == len(peer.block_events)
        durations = np.array(list(peer.block_durations.values()))
        np.testing.assert_allclose(ours.blocks.duration_s, durations, atol=1e-12)
        row = compare(
            f"read a .seq of {len(durations)} blocks",
            lambda: read_pulseq(data),
            "pypulseq Sequence.read",
            theirs,
            target=5,
            checked="block count and every duration equal",
        )
    return [row]
