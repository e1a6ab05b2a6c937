# SPDX-License-Identifier: MIT
"""Echoes under a weak constant gradient that changes from shot to shot, to find the shim that makes the line narrowest.

The gradient is there from before the excitation until after the readout, as a shim would be, and comes on top of the shim
that the scan is compiled with. SET counts its values; the definition ``Offsets`` says what they are [T/m].
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.echo import plan_echo
from isocenter.sequences.kit import (
    GAMMA_HZ_PER_T,
    Player,
    SequenceError,
    System,
    choice,
    dwell_for,
    integer,
    number,
    pp,
    show,
    up,
    usual,
)

TITLE = "Shim sweep"
SUMMARY = "Spectra under a weak gradient that changes from shot to shot: which shim makes the line narrowest."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793
CRUSHER_PER_M = 400.0
RAMP_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    axis: str = choice("x", "Axis", choices=("x", "y", "z"), help="Direction of the gradient.")
    low_t_per_m: float = number(-0.1e-3, "From", unit="mT/m", low=-5e-3, high=5e-3, help="First value.")
    high_t_per_m: float = number(0.1e-3, "To", unit="mT/m", low=-5e-3, high=5e-3, help="Last value.")
    steps: int = integer(9, "Steps", low=2, high=65, help="Values, evenly spaced.")
    bandwidth_hz: float = usual.spectrum_window(50e3)
    n_samples: int = usual.echo_samples()
    te_s: float = number(0.03, "TE", unit="ms", low=0.002, high=1.0, help="From the pulse to the echo.")
    tr_s: float = number(0.25, "TR", unit="ms", low=0.01, high=20.0, help="From one excitation to the next.")
    rf_s: float = number(
        60e-6, "RF pulse length", unit="us", low=10e-6, high=1e-3, help="90° pulse; the 180° is twice that."
    )
    averages: int = integer(2, "Averages", low=1, high=16, help="Every second one with pulse and receiver turned by 180°.")
    dummy_shots: int = integer(2, "Dummy shots", low=0, high=20, help="Shots before the first measurement.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    player, dwell_s = Player(system), dwell_for(p.bandwidth_hz)
    offsets = [p.low_t_per_m + (p.high_t_per_m - p.low_t_per_m) * step / (p.steps - 1) for step in range(p.steps)]
    named = (("From", "low_t_per_m", p.low_t_per_m), ("To", "high_t_per_m", p.high_t_per_m))
    label, name, strongest = max(named, key=lambda one: abs(one[2]))
    if abs(strongest) * GAMMA_HZ_PER_T > system.max_grad_hz_per_m / 4:
        most = show(system.max_grad_hz_per_m / 4 / GAMMA_HZ_PER_T, "mT/m")
        raise SequenceError(
            f"{label} ({name}) {show(strongest, 'mT/m')} is more than a quarter of what this scanner gives.",
            f"Set From and To between -{most} and {most}.",
        )
    excites = [system.hard_pulse(PI / 2, p.rf_s, use="excitation", phase_rad=phase) for phase in (0.0, PI)]
    refocus = system.hard_pulse(PI, p.rf_s, times=2, use="refocusing", phase_rad=PI / 2)
    crush_s = max(1e-3, up(system.lobe_s(CRUSHER_PER_M)))
    crush_axis = "x" if p.axis == "z" else "z"
    crusher = player.once(system.lobe(CRUSHER_PER_M, crush_s).make(crush_axis, CRUSHER_PER_M))
    for pulse in (*excites, refocus):
        player.once(pulse.event)
    shot = plan_echo(
        system,
        (excites[0], refocus),
        (p.n_samples, dwell_s),
        te_s=p.te_s,
        tr_s=p.tr_s,
        crush_s=crush_s,
        lead_s=2 * RAMP_S,
    )

    def hold(duration_s: float, start: float, stop: float) -> list[Any]:
        """The gradient during a block; nothing where there is none."""
        if start == stop == 0.0:
            return []
        times, values = [0.0, duration_s], [start, stop]
        return [pp.make_extended_trapezoid(channel=p.axis, times=times, amplitudes=values, system=system.opts)]

    for number_of in range(-p.dummy_shots, p.steps * p.averages):
        step, average = divmod(max(number_of, 0), p.averages)
        if number_of < 0:
            average = number_of % 2
        g = offsets[step] * GAMMA_HZ_PER_T
        phase_rad = (0.0, PI)[average % 2]
        adc = pp.make_adc(
            num_samples=p.n_samples, dwell=dwell_s, delay=shot.adc_delay_s, phase_offset=phase_rad, system=system.opts
        )
        read = [adc, *player.labels(SET=step, AVG=average)] if number_of >= 0 else []
        player.block(shot.lead_s - 2 * RAMP_S)
        player.block(RAMP_S, *hold(RAMP_S, 0.0, g))
        for duration_s, events in (
            (excites[0].block_s, [excites[average % 2].event]),
            (shot.gap_s, []),
            (crush_s, [crusher]),
            (refocus.block_s, [refocus.event]),
            (shot.window_s, [crusher, *read]),
        ):
            player.block(duration_s, *events, *(hold(duration_s, g, g) if duration_s > 0 else []))
        player.block(RAMP_S, *hold(RAMP_S, g, 0.0))
    return player.define(
        RepetitionTime=shot.tr_s,
        EffectiveEchoTime=shot.te_s,
        Bandwidth=1 / dwell_s,
        Samples=p.n_samples,
        Averages=p.averages,
        Axis=p.axis,
        Offsets=offsets,
    )
