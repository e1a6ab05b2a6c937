# SPDX-License-Identifier: MIT
"""Noise: the receiver listens while nothing is transmitted and no gradient is on.

A spoiler on all axes comes first: what is left of the signal of a scan just before, seconds in fluid, is no noise. It is
played once, at half the gradient and half its slew, so that it is within the limits in any orientation.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import Lobe, Player, System, dwell_for, integer, number, pp, up

TITLE = "Noise"
SUMMARY = "Receives without any pulse, to see what the coil picks up."
RECON = "noise"
CLINICAL = False
SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    bandwidth_hz: float = number(
        50e3, "Bandwidth", unit="kHz", low=2e3, high=500e3, help="Width of the window of frequencies."
    )
    n_samples: int = integer(4096, "Samples", low=16, high=16384, help="Of one window.")
    windows: int = integer(8, "Windows", low=1, high=256, help="How often is listened.")
    pause_s: float = number(0.06, "Pause", unit="ms", low=0.001, high=10.0, help="Between two windows.")
    spoiler_s: float = number(
        0.02,
        "Spoiler",
        unit="ms",
        low=0.0,
        high=0.1,
        help="Gradients before the first window, which end the signal of a scan just before; 0 for none.",
    )
    wait_s: float = number(0.02, "Wait", unit="ms", low=0.0, high=10.0, help="Before the first window, after the spoiler.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    dwell_s = dwell_for(p.bandwidth_hz)
    player = Player(system)
    _spoil(player, system, p.spoiler_s)
    player.block(up(p.wait_s))
    start_s = up(max(4 * dwell_s, 1e-4))
    adc = player.once(pp.make_adc(num_samples=p.n_samples, dwell=dwell_s, delay=start_s, system=system.opts))
    window_s = up(start_s + p.n_samples * dwell_s + 4 * dwell_s + 1e-4)
    for window in range(p.windows):
        player.block(window_s, adc, *player.labels(NOISE=1, REP=window))
        player.block(up(p.pause_s))
    return player.define(Bandwidth=1 / dwell_s, Samples=p.n_samples, RepetitionTime=round(window_s + up(p.pause_s), 9))


def _spoil(player: Player, system: System, asked_s: float) -> None:
    """Gradients on all axes."""
    rise_s = up(system.max_grad_hz_per_m / system.max_slew_hz_per_m_s)
    if asked_s <= 0:
        return
    lobe = Lobe(duration_s=max(up(asked_s), 3 * rise_s), rise_s=rise_s)
    area_per_m = SHARE * system.max_grad_hz_per_m * (lobe.duration_s - rise_s)
    player.block(lobe.duration_s, *(player.once(lobe.make(axis, area_per_m)) for axis in "xyz"))
