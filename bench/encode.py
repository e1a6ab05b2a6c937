# SPDX-License-Identifier: MIT
"""Event table to instruction words: the encoder against a plain loop over changes with the same output."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np

from bench.measure import Row, compare
from isocenter.devices.marcos.encode import encode_segment
from isocenter.domain.events import Segment, Track
from isocenter.domain.scanner import GradientBoard

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "devices" / "support"))
import loop_encoder  # the tests' oracle
from marcos_tables import gradients, segment, track

N_POINTS = 700_000
N_POINTS_CHECKED_OCRA1 = 100_000
LO_HZ = 2.0e6


def dense_segment(n_points: int, spacing: int = 900) -> Segment:
    """Five channels with ``n_points`` changes in all: RF and three gradients at work all the time."""
    rng, n = np.random.default_rng(1), n_points // 5

    def wave(offset: int) -> Track:
        values = rng.integers(-32_767, 32_768, n)
        values[-1] = 0
        return track(3000 + offset + spacing * np.arange(n), values)

    third = spacing // 3
    offsets = {"tx0_i": 0, "tx0_q": 0, "grad_vx": 0, "grad_vy": third, "grad_vz": 2 * third}
    return segment({name: wave(offset) for name, offset in offsets.items()})


def _check(board: GradientBoard, divider: int, n_points: int) -> None:
    """Both encoders give the same words, or the comparison means nothing."""
    seg = dense_segment(n_points)
    ours = encode_segment(seg, LO_HZ, gradients(board, divider)).words
    theirs = np.array(loop_encoder.encode(seg, LO_HZ, board is GradientBoard.GPA_FHDO, divider), dtype=np.uint32)
    if not np.array_equal(ours, theirs):
        raise AssertionError(f"the two encoders disagree on {board}")


def run() -> list[Row]:
    """700 000 points for a GPA-FHDO; the words of both boards are compared first."""
    _check(GradientBoard.OCRA1, 7, N_POINTS_CHECKED_OCRA1)
    _check(GradientBoard.GPA_FHDO, 4, N_POINTS)
    seg, system = dense_segment(N_POINTS), gradients(GradientBoard.GPA_FHDO, 4)
    words = encode_segment(seg, LO_HZ, system).words
    tracemalloc.start()
    encode_segment(seg, LO_HZ, system)
    memory = tracemalloc.get_traced_memory()[1] / words.nbytes
    tracemalloc.stop()
    speed = compare(
        f"event table to words, {N_POINTS} points",
        lambda: encode_segment(seg, LO_HZ, system),
        "a plain loop over changes",
        lambda: loop_encoder.encode(seg, LO_HZ, True, 4),
        target=100,
        checked=f"all {len(words)} words equal, both boards",
        rounds=3,
    )
    peak = Row(
        what="  peak memory over the words",
        peer="",
        ours_s=float("nan"),
        peer_s=float("nan"),
        ratio=f"{memory:.2f}x",
        target="<= 5x",
        reached=memory <= 5,
        checked="tracemalloc",
    )
    return [speed, peak]
