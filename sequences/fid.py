# SPDX-License-Identifier: MIT
"""Free induction decay: one hard pulse, then the receiver listens.

Every second average has pulse and receiver turned by 180°, which cancels offsets of the receiver.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import Player, Pulse, SequenceError, System, dwell_for, integer, number, pp, show, up

TITLE = "Free induction decay"
SUMMARY = "One pulse and the signal after it, without gradients: frequency, line width, flip angle."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    flip_rad: float = number(PI / 2, "Flip angle", unit="deg", low=0.0, high=2 * PI, help="Of the pulse.")
    rf_s: float = number(
        100e-6, "RF pulse length", unit="us", low=10e-6, high=5e-3, help="Of the pulse; short pulses are wide."
    )
    bandwidth_hz: float = number(
        50e3, "Bandwidth", unit="kHz", low=2e3, high=500e3, help="Width of the window of frequencies."
    )
    n_samples: int = integer(1024, "Samples", low=16, high=16384, help="Of one signal.")
    tr_s: float = number(1.0, "TR", unit="ms", low=0.01, high=20.0, help="From one pulse to the next.")
    averages: int = integer(2, "Averages", low=1, high=256, help="Times that the signal is measured.")
    dummy_shots: int = integer(0, "Dummy shots", low=0, high=20, help="Pulses before the first measurement.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    dwell_s = dwell_for(p.bandwidth_hz)
    guard_s = 4 * dwell_s
    player = Player(system)
    start_s = up(system.dead_time_s + guard_s)
    window_s = up(start_s + p.n_samples * dwell_s + guard_s)
    turned: list[tuple[Pulse, Any]] = []
    for phase_rad in (0.0, PI):
        pulse = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation", phase_rad=phase_rad)
        adc = pp.make_adc(num_samples=p.n_samples, dwell=dwell_s, delay=start_s, phase_offset=phase_rad, system=system.opts)
        player.once(pulse.event)
        turned.append((pulse, player.once(adc)))
    pulse = turned[0][0]
    shortest_s = up(pulse.block_s + window_s)
    if p.tr_s < shortest_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(p.tr_s, 'ms', 5)} is too short: pulse and readout take {show(shortest_s, 'ms', 5)}.",
            f"Set TR to {up(shortest_s, 1e-4) * 1e3:.1f} ms or more, or take fewer samples.",
        )
    rest_s = up(p.tr_s) - shortest_s
    for shot in range(-p.dummy_shots, p.averages):
        pulse, adc = turned[shot % 2]
        player.block(pulse.block_s, pulse.event)
        player.block(window_s + rest_s, *([adc, *player.labels(AVG=shot)] if shot >= 0 else []))
    return player.define(
        RepetitionTime=up(p.tr_s), FlipAngle=p.flip_rad, Bandwidth=1 / dwell_s, Samples=p.n_samples, Averages=p.averages
    )
