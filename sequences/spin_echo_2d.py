# SPDX-License-Identifier: MIT
"""2D spin echo of several slices, interleaved.

Both pulses are slice-selective sinc pulses. The slices of a TR are excited in the order 0, 2, 4 ... 1, 3, 5 ..., each at its
own frequency. Crushers of equal area stand on both sides of the 180°. Slice 0 lies furthest towards negative z.
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
    dwell_for,
    encode,
    integer,
    interleaved,
    nearest,
    number,
    selective_pulse,
    show,
    slice_positions,
    up,
)

TITLE = "2D spin echo"
SUMMARY = "Slices one by one, each from a 90° and a 180° pulse; the plainest contrast."
RECON = "cartesian"
CLINICAL = True

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = number(
        0.22, "Field of view, read", unit="mm", low=0.01, high=0.5, help="Along the readout.", group="Geometry"
    )
    fov_phase_m: float = number(
        0.22, "Field of view, phase", unit="mm", low=0.01, high=0.5, help="Along the phase encoding.", group="Geometry"
    )
    n_read: int = integer(64, "Matrix, read", low=8, high=512, help="Samples of a line.", group="Geometry")
    n_phase: int = integer(64, "Matrix, phase", low=1, high=256, help="Lines.", group="Geometry")
    slices: int = integer(5, "Slices", low=1, high=64, help="Measured within one TR.", group="Geometry")
    thickness_m: float = number(0.008, "Thickness", unit="mm", low=0.001, high=0.1, help="Of one slice.", group="Geometry")
    gap_m: float = number(0.002, "Gap", unit="mm", low=0.0, high=0.1, help="Between two slices.", group="Geometry")
    tr_s: float = number(
        0.5, "TR", unit="ms", low=0.01, high=10.0, help="From one excitation of a slice to the next.", group="Contrast"
    )
    te_s: float = number(
        0.02, "TE", unit="ms", low=0.004, high=0.5, help="From the excitation to the echo.", group="Contrast"
    )
    bandwidth_hz: float = number(
        20e3, "Bandwidth", unit="kHz", low=2e3, high=250e3, help="Over the field of view in read.", group="Readout"
    )
    averages: int = integer(1, "Averages", low=1, high=64, help="Times that everything is measured.", group="Readout")
    dummy_shots: int = integer(
        1,
        "Dummy shots",
        low=0,
        high=20,
        help="Times that all slices are excited before the first measurement.",
        group="Readout",
    )
    rf_s: float = number(
        3e-3,
        "RF pulse length",
        unit="us",
        low=0.5e-3,
        high=20e-3,
        help="Of both pulses; longer pulses need less gradient.",
        group="RF",
    )
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
    slot_s: float
    shot_s: float
    te_s: float
    tr_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan = _plan(p, system)
    player = Player(system)
    once, readout = player.once, plan.readout
    before = system.lobe(max(abs(plan.before_per_m), readout.area_per_m / 2), plan.before_s)
    after = system.lobe(max(plan.crusher_per_m, plan.edge_per_m), plan.lobe_s)
    spoil = system.lobe(max(plan.spoil_per_m, plan.edge_per_m), plan.spoil_s)
    gx_pre, gz_pre = once(before.make("x", readout.area_per_m / 2)), once(before.make("z", plan.before_per_m))
    gz_crush, gz_spoil = once(after.make("z", plan.crusher_per_m)), once(spoil.make("z", plan.spoil_per_m))
    gx, gz90, gz180 = once(readout.gradient()), once(plan.excite.gradient), once(plan.refocus.gradient)
    lines = [encode(line, p.n_phase, p.fov_phase_m) for line in range(p.n_phase)]
    gy = [(once(after.make("y", area)), once(spoil.make("y", -area))) for area in lines]
    positions = slice_positions(p.slices, p.thickness_m, p.gap_m)
    adcs = [once(readout.adc(system, phase)) for phase in (0.0, PI)]
    rf90 = [[once(plan.excite.at(position, phase)) for position in positions] for phase in (0.0, PI)]
    rf180 = [once(plan.refocus.at(position, 0.0)) for position in positions]

    shots = [(p.n_phase // 2, -1)] * p.dummy_shots
    shots += [(line, average) for average in range(p.averages) for line in range(p.n_phase)]
    order = interleaved(p.slices)
    rest_s = round(plan.tr_s - p.slices * plan.slot_s, 9)
    for line, average in shots:
        for number_of in order:
            taken = [adcs[average % 2], *player.labels(LIN=line, SLC=number_of, AVG=average)] if average >= 0 else []
            fill_s = plan.slot_s - plan.shot_s + (rest_s if number_of == order[-1] else 0.0)
            player.block(plan.excite.pulse.block_s, rf90[average % 2][number_of], gz90)
            player.block(plan.before_s, gx_pre, gz_pre)
            player.block(plan.refocus.pulse.block_s, rf180[number_of], gz180)
            player.block(plan.after_s, gy[line][0], gz_crush)
            player.block(readout.duration_s, gx, *taken)
            player.block(plan.spoil_s + fill_s, gy[line][1], gz_spoil)

    return player.define(
        ScanningSequence="SE",
        FOV=[p.fov_read_m, p.fov_phase_m, p.slices * p.thickness_m + (p.slices - 1) * p.gap_m],
        Matrix=[p.n_read, p.n_phase, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        RepetitionTime=plan.tr_s,
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

    te_s, tr_s, half_s = nearest(p.te_s, 2 * RASTER_S), nearest(p.tr_s), readout.duration_s / 2
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
    slot_s = round(int(tr_s / p.slices / RASTER_S + 1e-6) * RASTER_S, 9)
    rf_s = excite.pulse.event.shape_dur + refocus.pulse.event.shape_dur
    needs_s = max(shot_s, up(system.amplifier_s(rf_s)))
    if slot_s < needs_s - 1e-9:
        fits = int(tr_s / needs_s)
        fewer = f", or measure {fits} slices or fewer" if fits >= 1 else ""
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short for {p.slices} slices: pulses, readout and the RF amplifier's "
            f"rest take {show(needs_s, 'ms', 4)} each.",
            f"Set TR to {up(needs_s * p.slices, 1e-4) * 1e3:.1f} ms or more{fewer}.",
        )
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
        slot_s=slot_s,
        shot_s=shot_s,
        te_s=te_s,
        tr_s=tr_s,
    )
