# SPDX-License-Identifier: MIT
"""What is left of a gradient after it was switched off, seen on the phase of a phantom's projection.

A long gradient pulse, a delay, then a gradient echo along the same axis. Each delay is measured after +G (PHS 0), nothing
(PHS 1) and -G (PHS 2); SET counts the delays, and the definition ``Delays`` says from the end of the pulse to the middle of
the excitation [s]. The phase between the two signs changes along the axis with what is left of the gradient and is equal
everywhere for what shifts the whole field; all other gradients of the shot are the same and cancel.

The excitations come at equal times whatever the delay, so that the magnetisation is always the same. Every second average
takes the signs in reverse order, so that a steady drift of the main field cancels.

In front of each gradient stands a pulse of a twentieth of a degree, a preparation. It does nothing to the spins, but a scan
with preparations is only cut into segments in front of them: a pause between the gradient and the excitation would be a
longer delay.
"""

from dataclasses import dataclass, replace
from typing import Any

from isocenter.sequences.kit import (
    GAMMA_HZ_PER_T,
    RASTER_S,
    Lobe,
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    choice,
    dwell_for,
    integer,
    nearest,
    number,
    show,
    up,
)

TITLE = "Eddy currents"
SUMMARY = "What is left of a gradient after it was switched off, over three decades of time."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793
AXES = ("x", "y", "z")
SIGNS = (1, 0, -1)
GENTLE_S = 200e-6
MARK_RAD = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    axis: str = choice("x", "Axis", choices=AXES, help="Direction of the gradient.")
    gradient_t_per_m: float = number(5e-3, "Gradient", unit="mT/m", low=0.1e-3, high=50e-3, help="Of the long pulse.")
    pulse_s: float = number(0.1, "Pulse length", unit="ms", low=0.001, high=0.5, help="Of the gradient, ramps included.")
    ramp_s: float = number(0.0003, "Ramp", unit="ms", low=0.0001, high=0.005, help="Of the gradient.")
    first_delay_s: float = number(
        0.00015, "First delay", unit="ms", low=0.00005, high=0.01, help="From the gradient to the pulse."
    )
    last_delay_s: float = number(0.16, "Last delay", unit="ms", low=0.001, high=1.0, help="Longest one.")
    n_delays: int = integer(14, "Delays", low=4, high=64, help="Spaced by equal ratios.")
    fov_m: float = number(0.24, "Field of view", unit="mm", low=0.02, high=0.6, help="Must be larger than the phantom.")
    n_read: int = integer(65, "Matrix", low=17, high=513, help="Samples of a line; the next odd number is taken.")
    bandwidth_hz: float = number(40e3, "Bandwidth", unit="kHz", low=2e3, high=250e3, help="Over the field of view.")
    te_s: float = number(0.005, "TE", unit="ms", low=0.001, high=0.05, help="From the pulse to the echo.")
    tr_s: float = number(0.6, "TR", unit="ms", low=0.02, high=5.0, help="From one excitation to the next.")
    rf_s: float = number(60e-6, "RF pulse length", unit="us", low=10e-6, high=1e-3, help="Of the hard pulse.")
    averages: int = integer(2, "Averages", low=1, high=32, help="Every second one with the signs in reverse order.")
    dummy_shots: int = integer(3, "Dummy shots", low=0, high=20, help="Shots before the first measurement.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Pulses, readout, and lengths of blocks [s]."""

    excite: Pulse
    mark: Pulse
    readout: Readout
    lobe: Lobe
    before_s: float
    spoil_s: float
    lead_s: float
    delays_s: list[float]


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    excite, adc = player.once(plan.excite.event), player.once(plan.readout.adc(system))
    mark = player.once(plan.mark.event)
    area = plan.readout.area_per_m
    prephase, read = player.once(plan.lobe.make(p.axis, -area / 2)), player.once(plan.readout.gradient(p.axis))
    other = AXES[(AXES.index(p.axis) + 1) % 3]
    spoil = player.once(system.lobe(4 * area, plan.spoil_s).make(other, 4 * area))
    tested = Lobe(duration_s=nearest(p.pulse_s), rise_s=nearest(p.ramp_s))
    whole = p.gradient_t_per_m * GAMMA_HZ_PER_T * (tested.duration_s - tested.rise_s)
    pulses = [player.once(tested.make(p.axis, sign * whole)) if sign else None for sign in SIGNS]

    def shot(number_of: int, phase: int, average: int) -> None:
        gap_s = round(plan.delays_s[number_of] - plan.excite.centre_s, 9)
        pulse = pulses[phase]
        player.block(round(plan.lead_s - plan.mark.block_s - tested.duration_s - gap_s, 9))
        player.block(plan.mark.block_s, mark)
        player.block(tested.duration_s, *([pulse] if pulse is not None else []))
        player.block(gap_s)
        player.block(plan.excite.block_s, excite)
        player.block(plan.before_s, prephase)
        taken = [adc, *player.labels(SET=number_of, PHS=phase, AVG=average)] if average >= 0 else []
        player.block(plan.readout.duration_s, read, *taken)
        player.block(plan.spoil_s, spoil)

    for _ in range(p.dummy_shots):
        shot(0, 1, -1)
    for average in range(p.averages):
        for number_of in range(p.n_delays):
            for phase in range(len(SIGNS)) if average % 2 == 0 else reversed(range(len(SIGNS))):
                shot(number_of, phase, average)
    return player.define(
        RepetitionTime=nearest(p.tr_s),
        EffectiveEchoTime=nearest(p.te_s),
        Delays=plan.delays_s,
        PulseLength=tested.duration_s,
        Ramp=tested.rise_s,
        TestGradient=p.gradient_t_per_m * GAMMA_HZ_PER_T,
        Gradient=plan.readout.amplitude_hz_per_m,
        Bandwidth=1 / plan.readout.dwell_s,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Everything that is settled before the first block, or what must change for it to be possible."""
    excite = system.hard_pulse(PI / 2, p.rf_s, use="excitation")
    mark = system.hard_pulse(MARK_RAD, p.rf_s, use="saturation")
    readout = system.readout(
        p.fov_m, p.n_read // 2 * 2 + 1, dwell_for(p.bandwidth_hz), bandwidth_name="bandwidth_hz", fov_name="fov_m"
    )
    readout = replace(
        readout,
        rise_s=round(readout.rise_s + GENTLE_S, 9),
        duration_s=round(readout.duration_s + 2 * GENTLE_S, 9),
        adc_delay_s=round(readout.adc_delay_s + GENTLE_S, 9),
    )
    _check_gradient(p, system)
    te_s, tr_s = nearest(p.te_s), nearest(p.tr_s)
    lobe_s = max(up(system.lobe_s(readout.area_per_m / 2)), up(system.dead_time_s + readout.guard_s))
    needs_s = up(excite.after_s + lobe_s + readout.duration_s / 2)
    if te_s < needs_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulse and readout need {show(needs_s, 'ms', 5)}.",
            f"Set TE to {needs_s * 1e3:.2f} ms or more, or take fewer samples.",
        )
    spoil_s = max(2e-3, up(system.lobe_s(4 * readout.area_per_m)))
    last_s = max(nearest(p.last_delay_s), nearest(p.first_delay_s))
    shot_s = round(excite.centre_s + te_s + readout.duration_s / 2 + spoil_s, 9)
    shortest_s = up(shot_s + mark.block_s + nearest(p.pulse_s) + last_s + RASTER_S)
    if tr_s < shortest_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: gradient, delay and readout take {show(shortest_s, 'ms', 5)}.",
            f"Set TR to {up(shortest_s, 1e-4) * 1e3:.1f} ms or more, or shorten the last delay.",
        )
    if nearest(p.first_delay_s) < excite.centre_s - 1e-9:
        raise SequenceError(
            f"First delay (first_delay_s) {show(p.first_delay_s, 'us', 4)} is too short for the pulse's amplifier.",
            f"Set it to {excite.centre_s * 1e6:.0f} us or more.",
        )
    ratio = (last_s / nearest(p.first_delay_s)) ** (1 / (p.n_delays - 1))
    return Plan(
        excite=excite,
        mark=mark,
        readout=readout,
        lobe=system.lobe(readout.area_per_m / 2, lobe_s),
        before_s=round(te_s - excite.after_s - readout.duration_s / 2, 9),
        spoil_s=spoil_s,
        lead_s=round(tr_s - shot_s, 9),
        delays_s=[nearest(p.first_delay_s * ratio**step) for step in range(p.n_delays)],
    )


def _check_gradient(p: Parameters, system: System) -> None:
    asked = p.gradient_t_per_m * GAMMA_HZ_PER_T
    if asked > system.max_grad_hz_per_m:
        allowed = show(system.max_grad_hz_per_m / GAMMA_HZ_PER_T, "mT/m")
        raise SequenceError(
            f"Gradient (gradient_t_per_m) {show(p.gradient_t_per_m, 'mT/m')} is more than this scanner's {allowed}.",
            f"Set it to {allowed} or less.",
        )
    slowest_s = up(asked / system.max_slew_hz_per_m_s)
    if nearest(p.ramp_s) < slowest_s - 1e-9 or 2 * nearest(p.ramp_s) > nearest(p.pulse_s):
        raise SequenceError(
            f"Ramp (ramp_s) {show(p.ramp_s, 'ms')} does not suit a gradient of {show(p.gradient_t_per_m, 'mT/m')} for "
            f"{show(p.pulse_s, 'ms')}.",
            f"Set it between {slowest_s * 1e3:.2f} ms and half of the pulse.",
        )
