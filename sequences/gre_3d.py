# SPDX-License-Identifier: MIT
"""3D gradient echo with RF spoiling.

The phase of the pulse grows quadratically in steps of 117° and the receiver follows it; phase encodes are rewound and a
spoiler follows each readout, so that only the longitudinal magnetisation is in a steady state.

With a TE step each line is measured twice, the second time (SET 1) with a TE longer by that: the phase between the two is a
map of the field.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    dwell_for,
    encode,
    grid_lines,
    integer,
    kept_from,
    nearest,
    number,
    show,
    spoil_phase_deg,
    switch,
    up,
    usual,
)

TITLE = "3D gradient echo"
SUMMARY = "Spoiled gradient echo of the whole coil's volume: T1 contrast, fast."
RECON = "cartesian"
CLINICAL = True

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase()
    fov_slab_m: float = usual.fov_slab()
    n_read: int = usual.n_read(96)
    n_phase: int = usual.n_phase(80)
    n_slab: int = usual.n_slab(24)
    tr_s: float = number(0.03, "TR", unit="ms", low=0.003, high=5.0, help="From one pulse to the next.", group="Contrast")
    te_s: float = usual.te(0.008, low_s=0.001, high_s=0.2, until="the echo")
    flip_rad: float = usual.flip(PI / 6)
    bandwidth_hz: float = usual.bandwidth()
    averages: int = usual.averages()
    partial_phase: float = usual.partial_phase()
    partial_slab: float = usual.partial_slab()
    te_step_s: float = number(
        0.0,
        "TE step",
        unit="ms",
        low=0.0,
        high=0.02,
        help="Measure twice, the second time with TE longer by this, for a map of the field; 0 for once.",
        group="Readout",
    )
    dummy_shots: int = integer(
        20, "Dummy shots", low=0, high=200, help="Pulses before the first measurement.", group="Readout"
    )
    elliptical: bool = usual.elliptical()
    rf_spoiling: bool = switch(True, "RF spoiling", help="Change the phase of the pulse from shot to shot.", group="RF")
    rf_s: float = number(100e-6, "RF pulse length", unit="us", low=10e-6, high=2e-3, help="Of the hard pulse.", group="RF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Pulse
    readout: Readout
    largest_per_m: float
    spoil_per_m: float
    encode_s: float
    forth_s: float
    rewind_s: float
    last_s: float
    te_s: float
    tr_s: float
    step_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    forth, back = system.lobe(plan.largest_per_m, plan.forth_s), system.lobe(plan.largest_per_m, plan.rewind_s)
    gx_pre = player.once(forth.make("x", -plan.readout.area_per_m / 2))
    gx = player.once(plan.readout.gradient())
    gx_spoil = player.once(back.make("x", plan.spoil_per_m))
    lines = [encode(line, p.n_phase, p.fov_phase_m) for line in range(p.n_phase)]
    pars = [encode(par, p.n_slab, p.fov_slab_m) for par in range(p.n_slab)]
    gy = [(player.once(forth.make("y", area)), player.once(back.make("y", -area))) for area in lines]
    gz = [(player.once(forth.make("z", area)), player.once(back.make("z", -area))) for area in pars]
    phased: dict[int, tuple[Any, Any]] = {}

    def spoiled(count: int) -> tuple[Any, Any]:
        degrees = spoil_phase_deg(count) if p.rf_spoiling else 0
        if degrees not in phased:
            phase_rad = degrees / 180 * PI
            pulse = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation", phase_rad=phase_rad)
            phased[degrees] = player.once(pulse.event), player.once(plan.readout.adc(system, phase_rad))
        return phased[degrees]

    skip = kept_from(p.n_phase, p.partial_phase), kept_from(p.n_slab, p.partial_slab)
    grid = grid_lines(p.n_phase, p.n_slab, elliptical=p.elliptical, skip=skip)
    sets = (0, 1) if plan.step_s else (0,)
    shots = [(p.n_phase // 2, p.n_slab // 2, number_of, -1) for _ in range(p.dummy_shots) for number_of in sets]
    shots += [(line, par, number_of, avg) for avg in range(p.averages) for line, par in grid for number_of in sets]
    for count, (line, par, number_of, average) in enumerate(shots):
        rf, adc = spoiled(count)
        second = {"SET": number_of} if plan.step_s else {}
        taken = [adc, *player.labels(LIN=line, PAR=par, AVG=average, **second)] if average >= 0 else []
        player.block(plan.excite.block_s, rf)
        player.block(plan.encode_s + number_of * plan.step_s, gx_pre, gy[line][0], gz[par][0])
        player.block(plan.readout.duration_s, gx, *taken)
        player.block(plan.last_s - number_of * plan.step_s, gx_spoil, gy[line][1], gz[par][1])

    extra = {"EvolutionTimes": [plan.te_s, plan.te_s + plan.step_s]} if plan.step_s else {}
    return player.define(
        ScanningSequence="GR",
        FOV=[p.fov_read_m, p.fov_phase_m, p.fov_slab_m],
        Matrix=[p.n_read, p.n_phase, p.n_slab],
        RepetitionTime=plan.tr_s,
        EffectiveEchoTime=plan.te_s,
        EchoTrainLength=1,
        Bandwidth=1 / plan.readout.dwell_s,
        FlipAngle=p.flip_rad,
        Averages=p.averages,
        **extra,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse and timing, or what must change for them to be possible."""
    excite = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation")
    dwell_s = dwell_for(p.bandwidth_hz)
    readout = system.readout(p.fov_read_m, p.n_read, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_read_m")
    edges = (encode(0, p.n_phase, p.fov_phase_m), encode(0, p.n_slab, p.fov_slab_m))
    # Of the same sign as the readout, so that the two add up.
    spoil_per_m = max(2 * p.n_slab / p.fov_slab_m, readout.area_per_m)
    largest_per_m = max(spoil_per_m, *(abs(edge) for edge in edges))

    encode_needs_s = up(max(system.lobe_s(largest_per_m), system.dead_time_s + readout.guard_s))
    te_s, tr_s, half_s = nearest(p.te_s), nearest(p.tr_s), readout.duration_s / 2
    shortest_te_s = up(excite.after_s + encode_needs_s + half_s)
    if te_s < shortest_te_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulse, phase encoding and half the readout of "
            f"{show(readout.duration_s, 'ms', 4)} need {show(shortest_te_s, 'ms', 4)}.",
            f"Set TE to {shortest_te_s * 1e3:.2f} ms or more, or raise the bandwidth.",
        )
    rewind_s = up(max(system.lobe_s(largest_per_m), readout.guard_s))
    step_s = nearest(p.te_step_s)
    shot_s = round(excite.centre_s + te_s + step_s + half_s + rewind_s, 9)
    if tr_s < shot_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 4)} is too short: pulse, readout and spoiler take {show(shot_s, 'ms', 4)}.",
            f"Set TR to {shot_s * 1e3:.2f} ms or more, or shorten TE, or raise the bandwidth.",
        )
    encode_s = round(te_s - excite.after_s - half_s, 9)
    return Plan(
        excite=excite,
        readout=readout,
        largest_per_m=largest_per_m,
        spoil_per_m=spoil_per_m,
        encode_s=encode_s,
        forth_s=min(encode_s, max(2e-3, encode_needs_s)),
        rewind_s=rewind_s,
        last_s=rewind_s + step_s + tr_s - shot_s,
        te_s=te_s,
        tr_s=tr_s,
        step_s=step_s,
    )
