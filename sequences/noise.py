# SPDX-License-Identifier: MIT
"""Noise: the receiver listens while nothing is transmitted and no gradient is on."""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import Player, System, dwell_for, integer, number, pp, up

TITLE = "Noise"
SUMMARY = "Receives without any pulse, to see what the coil picks up."
RECON = "noise"
CLINICAL = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    bandwidth_hz: float = number(
        50e3, "Bandwidth", unit="kHz", low=2e3, high=500e3, help="Width of the window of frequencies."
    )
    n_samples: int = integer(4096, "Samples", low=16, high=16384, help="Of one window.")
    windows: int = integer(8, "Windows", low=1, high=256, help="How often is listened.")
    pause_s: float = number(0.06, "Pause", unit="ms", low=0.001, high=10.0, help="Between two windows.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    dwell_s = dwell_for(p.bandwidth_hz)
    player = Player(system)
    start_s = up(max(4 * dwell_s, 1e-4))
    adc = player.once(pp.make_adc(num_samples=p.n_samples, dwell=dwell_s, delay=start_s, system=system.opts))
    window_s = up(start_s + p.n_samples * dwell_s + 4 * dwell_s + 1e-4)
    for window in range(p.windows):
        player.block(window_s, adc, *player.labels(NOISE=1, REP=window))
        player.block(up(p.pause_s))
    return player.define(Bandwidth=1 / dwell_s, Samples=p.n_samples, RepetitionTime=round(window_s + up(p.pause_s), 9))
