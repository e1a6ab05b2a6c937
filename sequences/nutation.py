# SPDX-License-Identifier: MIT
"""Echoes after excitations of growing strength, to find how much field the transmitter makes.

Only the excitation changes; the refocusing pulse stays as it is, so the echo is proportional to the sine of the flip angle
whatever the refocusing pulse really does. A train of spoiled pulses destroys all magnetisation at the start of each shot,
so it has recovered alike before every excitation and TR may be short against T1.

Amplitudes are fractions of what the transmitter gives: the scan must be compiled with ``rf_scale`` 1. SET counts them; the
definition ``Amplitudes`` says what they are.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.echo import plan_echo
from isocenter.sequences.kit import Player, System, dwell_for, integer, number, pp, up, usual

TITLE = "Nutation"
SUMMARY = "Signal against the strength of the excitation: how much field the transmitter makes."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793
CRUSHER_PER_M = 400.0
SATURATE_DEG = (150.0, 143.0, 133.0, 108.0, 68.0)
"""Together they leave at most 11 % for a transmitter from 0.45 to 2.2 times as strong as thought."""
SPOIL_PER_M = (900.0, 560.0, 1240.0, 740.0, 1560.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    steps: int = integer(16, "Steps", low=2, high=64, help="Amplitudes, evenly spaced from 0.")
    max_amplitude: float = number(0.95, "Largest amplitude", unit="%", low=0.01, high=1.0, help="Of the transmitter's own.")
    rf_s: float = number(180e-6, "RF pulse length", unit="us", low=10e-6, high=5e-3, help="Of every pulse.")
    refocus_rad: float = number(
        PI, "Refocusing angle", unit="deg", low=0.2, high=2 * PI, help="As it is thought to be; it need not be 180°."
    )
    bandwidth_hz: float = usual.spectrum_window(50e3)
    n_samples: int = integer(512, "Samples", low=32, high=8192, help="Of one echo.")
    te_s: float = number(0.016, "TE", unit="ms", low=0.002, high=1.0, help="From the pulse to the echo.")
    tr_s: float = number(0.6, "TR", unit="ms", low=0.05, high=20.0, help="From one excitation to the next.")
    averages: int = integer(2, "Averages", low=1, high=16, help="Every second one with pulse and receiver turned by 180°.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    player, dwell_s = Player(system), dwell_for(p.bandwidth_hz)
    full_hz = system.scanner.rf.full_scale_hz
    amplitudes = [p.max_amplitude * (step + 1) / p.steps for step in range(p.steps)]
    refocus = system.hard_pulse(p.refocus_rad, p.rf_s, use="refocusing", phase_rad=PI / 2, is_fixed=True)
    player.once(refocus.event)
    excites = [
        [
            system.hard_pulse(
                2 * PI * full_hz * amplitude * p.rf_s, p.rf_s, use="excitation", phase_rad=phase, is_fixed=True
            )
            for phase in (0.0, PI)
        ]
        for amplitude in amplitudes
    ]
    crush_s = max(1e-3, up(system.lobe_s(CRUSHER_PER_M)))
    crusher = player.once(system.lobe(CRUSHER_PER_M, crush_s).make("z", CRUSHER_PER_M))
    destroy = [
        (
            system.hard_pulse(degrees / 180 * PI, p.rf_s, use="saturation", phase_rad=number_of * PI / 2, is_fixed=True),
            up(system.lobe_s(area)),
            "xyz"[number_of % 3],
            area,
        )
        for number_of, (degrees, area) in enumerate(zip(SATURATE_DEG, SPOIL_PER_M, strict=True))
    ]
    destroy_s = sum(pulse.block_s + spoil_s for pulse, spoil_s, _, _ in destroy)
    rest_s = up(system.scanner.console.segment_gap_s + 0.02)  # here the scan is cut, where a pause does no harm
    shot = plan_echo(
        system,
        (excites[0][0], refocus),
        (p.n_samples, dwell_s),
        te_s=p.te_s,
        tr_s=p.tr_s,
        crush_s=crush_s,
        lead_s=destroy_s + rest_s + 0.02,
    )
    for step in range(p.steps):
        for average in range(p.averages):
            player.block(rest_s)
            for pulse, spoil_s, axis, area in destroy:
                player.block(pulse.block_s, pulse.event)
                player.block(spoil_s, system.lobe(area, spoil_s).make(axis, area))
            player.block(shot.lead_s - destroy_s - rest_s)
            excite = excites[step][average % 2]
            adc = pp.make_adc(
                num_samples=p.n_samples,
                dwell=dwell_s,
                delay=shot.adc_delay_s,
                phase_offset=(0.0, PI)[average % 2],
                system=system.opts,
            )
            player.block(excite.block_s, excite.event)
            player.block(shot.gap_s)
            player.block(crush_s, crusher)
            player.block(refocus.block_s, refocus.event)
            player.block(shot.window_s, crusher, adc, *player.labels(SET=step, AVG=average))
    return player.define(
        RepetitionTime=shot.tr_s,
        EffectiveEchoTime=shot.te_s,
        Bandwidth=1 / dwell_s,
        Samples=p.n_samples,
        Averages=p.averages,
        PulseLength=p.rf_s,
        Amplitudes=amplitudes,
    )
