# SPDX-License-Identifier: MIT
"""How a comparison is measured: right first, then interleaved, then medians.

A and B run in turn, so that a machine whose speed drifts treats both alike; the figure is the median of the pairwise ratios.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what, peer
        What was measured, against what.
    ours_s, peer_s
        Medians [s]; NaN where there is none.
    ratio, target
        Figure and what it should reach, as text.
    reached
        Whether it does.
    checked
        How correctness was checked before the clock.
    """

    what: str
    peer: str
    ours_s: float
    peer_s: float
    ratio: str
    target: str
    reached: bool
    checked: str


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call [s]."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    what: str,
    ours: Callable[[], object],
    peer_name: str,
    peer: Callable[[], object],
    *,
    target: float,
    checked: str,
    rounds: int = 5,
) -> Row:
    """Interleaved comparison; the ratio says how many times faster ours is."""
    return compare_timed(
        what, lambda: seconds(ours), peer_name, lambda: seconds(peer), target=target, checked=checked, rounds=rounds
    )


def compare_timed(
    what: str,
    ours: Callable[[], float],
    peer_name: str,
    peer: Callable[[], float],
    *,
    target: float,
    checked: str,
    rounds: int = 5,
) -> Row:
    """The same for work that times itself [s], because something around it is not to be counted."""
    ours(), peer()  # warm both
    pairs = [(ours(), peer()) for _ in range(rounds)]
    ratio = statistics.median(b / a for a, b in pairs)
    return Row(
        what=what,
        peer=peer_name,
        ours_s=statistics.median(a for a, _ in pairs),
        peer_s=statistics.median(b for _, b in pairs),
        ratio=f"{ratio:.1f}x",
        target=f">= {target:g}x",
        reached=ratio >= target,
        checked=checked,
    )


def absolute(what: str, figure_s: float, *, target_s: float, checked: str) -> Row:
    """A time that has a limit of its own."""
    return Row(
        what=what,
        peer="",
        ours_s=figure_s,
        peer_s=float("nan"),
        ratio=f"{figure_s:.3f} s",
        target=f"< {target_s:g} s",
        reached=figure_s < target_s,
        checked=checked,
    )
