# SPDX-License-Identifier: MIT
"""2D spin echo of several slices, interleaved.

Both pulses are slice-selective sinc pulses. The slices of a TR are excited in the order 0, 2, 4 ... 1, 3, 5 ..., each at its
own frequency. Crushers of equal area stand on both sides of the 180°. Spoilers point in other directions from TR to TR, so
that none refocuses what one before has left. Slice 0 lies furthest towards negative z.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    RASTER_S,
    Player,
    Readout,
    Selective,
    SequenceError,
    System,
    Turns,
    dwell_for,
    encode,
    nearest,
    number,
    plan_turns,
    selective_pulse,
    show,
    spoil_directions,
    up,
    usual,
)

TITLE = "2D spin echo"
SUMMARY = "Slices one by one, each from a 90° and a 180° pulse; the plainest contrast."
RECON = "cartesian"
CLINICAL = True

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase(encoding="the phase encoding")
    n_read: int = usual.n_read(64)
    n_phase: int = usual.n_phase(64)
    slices: int = usual.slices(5)
    thickness_m: float = usual.thickness(0.008)
    gap_m: float = usual.gap(0.002)
    tr_s: float = usual.slice_tr(0.5, low_s=0.01, high_s=10.0)
    te_s: float = number(
        0.02, "TE", unit="ms", low=0.004, high=0.5, help="From the excitation to the echo.", group="Contrast"
    )
    bandwidth_hz: float = usual.bandwidth()
    averages: int = usual.averages()
    dummy_shots: int = usual.slice_dummies(1, high=20)
    rf_s: float = usual.selective_rf(3e-3, high_s=20e-3, text="Of both pulses; longer pulses need less gradient.")
    crusher: float = number(
        4.0,
        "Crushers",
        unit="",
        low=0.0,
        high=16.0,
        help="Turns of phase across a slice on each side of the 180° pulse.",
        group="RF",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Selective
    refocus: Selective
    readout: Readout
    crusher_per_m: float
    before_per_m: float
    spoil_per_m: float
    edge_per_m: float
    before_s: float
    after_s: float
    lobe_s: float
    spoil_s: float
    turns: Turns
    te_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan = _plan(p, system)
    player = Player(system)
    once, readout, turns = player.once, plan.readout, plan.turns
    before = system.lobe(max(abs(plan.before_per_m), readout.area_per_m / 2), plan.before_s)
    after = system.lobe(max(plan.crusher_per_m, plan.edge_per_m), plan.lobe_s)
    spoil = system.lobe(max(plan.spoil_per_m, plan.edge_per_m), plan.spoil_s)
    spoilers = [
        (once(spoil.make("x", across * plan.spoil_per_m)), once(spoil.make("z", along * plan.spoil_per_m)))
        for across, _, along in spoil_directions()
    ]
    gx_pre, gz_pre = once(before.make("x", readout.area_per_m / 2)), once(before.make("z", plan.before_per_m))
    gz_crush = once(after.make("z", plan.crusher_per_m))
    gx, gz90, gz180 = once(readout.gradient()), once(plan.excite.gradient), once(plan.refocus.gradient)
    lines = [encode(line, p.n_phase, p.fov_phase_m) for line in range(p.n_phase)]
    gy = [(once(after.make("y", area)), once(spoil.make("y", -area))) for area in lines]
    adcs = [once(readout.adc(system, phase)) for phase in (0.0, PI)]
    rf90 = [[once(plan.excite.at(position, phase)) for position in turns.positions_m] for phase in (0.0, PI)]
    rf180 = [once(plan.refocus.at(position, 0.0)) for position in turns.positions_m]

    shots = [(p.n_phase // 2, -1)] * p.dummy_shots
    shots += [(line, average) for average in range(p.averages) for line in range(p.n_phase)]
    for count, (line, average) in enumerate(shots):
        gx_spoil, gz_spoil = spoilers[count % len(spoilers)]
        for number_of in turns.order:
            taken = [adcs[average % 2], *player.labels(LIN=line, SLC=number_of, AVG=average)] if average >= 0 else []
            player.block(plan.excite.pulse.block_s, rf90[average % 2][number_of], gz90)
            player.block(plan.before_s, gx_pre, gz_pre)
            player.block(plan.refocus.pulse.block_s, rf180[number_of], gz180)
            player.block(plan.after_s, gy[line][0], gz_crush)
            player.block(readout.duration_s, gx, *taken)
            player.block(plan.spoil_s + turns.fill_s(number_of), gx_spoil, gy[line][1], gz_spoil)

    return player.define(
        ScanningSequence="SE",
        FOV=[p.fov_read_m, p.fov_phase_m, turns.stack_m],
        Matrix=[p.n_read, p.n_phase, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        RepetitionTime=turns.tr_s,
        EffectiveEchoTime=plan.te_s,
        EchoTrainLength=1,
        Bandwidth=1 / readout.dwell_s,
        FlipAngle=PI / 2,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulses and timing, or what must change for them to be possible."""
    dwell_s = dwell_for(p.bandwidth_hz)
    readout = system.readout(p.fov_read_m, p.n_read, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_read_m")
    size = {"rf_s": p.rf_s, "thickness_m": p.thickness_m}
    excite = selective_pulse(system, PI / 2, use="excitation", **size)
    refocus = selective_pulse(system, PI, use="refocusing", phase_rad=PI / 2, **size)
    crusher = p.crusher / p.thickness_m
    before = crusher - excite.half_area_per_m
    edge = abs(encode(0, p.n_phase, p.fov_phase_m))

    te_s, half_s = nearest(p.te_s, 2 * RASTER_S), readout.duration_s / 2
    before_needs_s = up(system.lobe_s(max(abs(before), readout.area_per_m / 2)))
    after_needs_s = up(max(system.lobe_s(max(crusher, edge)), system.dead_time_s + readout.guard_s))
    first_half_s = excite.pulse.after_s + before_needs_s + refocus.pulse.centre_s
    shortest_te_s = up(2 * max(first_half_s, refocus.pulse.after_s + after_needs_s + half_s), 2 * RASTER_S)
    if te_s < shortest_te_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulses, crushers and half the readout of "
            f"{show(readout.duration_s, 'ms', 4)} need {show(shortest_te_s, 'ms', 5)}.",
            f"Set TE to {shortest_te_s * 1e3:.2f} ms or more, or raise the bandwidth, or shorten the RF pulses.",
        )
    spoil = 4 / p.thickness_m
    spoil_s = max(2e-3, up(max(system.lobe_s(max(spoil, edge)), readout.guard_s)))
    shot_s = round(excite.pulse.centre_s + te_s + half_s + spoil_s, 9)
    rf_s = excite.pulse.event.shape_dur + refocus.pulse.event.shape_dur
    return Plan(
        excite=excite,
        refocus=refocus,
        readout=readout,
        crusher_per_m=crusher,
        before_per_m=before,
        spoil_per_m=spoil,
        edge_per_m=edge,
        before_s=round(te_s / 2 - excite.pulse.after_s - refocus.pulse.centre_s, 9),
        lobe_s=min(round(te_s / 2 - refocus.pulse.after_s - half_s, 9), max(2e-3, after_needs_s)),
        after_s=round(te_s / 2 - refocus.pulse.after_s - half_s, 9),
        spoil_s=spoil_s,
        turns=plan_turns(p, system, shot_s, rf_s, "pulses, readout"),
        te_s=te_s,
    )
