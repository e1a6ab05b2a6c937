# SPDX-License-Identifier: MIT
"""2D radial gradient echo: spokes through the centre of k-space, RF-spoiled, slice by slice.

Each spoke runs through the centre at its sample ``n // 2``. Spokes are spread evenly over half a turn, or each is the golden
angle further than the one before, so that any stretch of the scan covers k-space evenly; motion then smears instead of
making ghosts. Readouts are rewound and a spoiler along the slice follows. LIN counts spokes.
"""

from dataclasses import dataclass
from math import cos, sin
from typing import Any

from isocenter.sequences.kit import (
    Player,
    Readout,
    Selective,
    SequenceError,
    SpoiledPulses,
    System,
    Turns,
    dwell_for,
    integer,
    nearest,
    plan_turns,
    selective_pulse,
    show,
    switch,
    up,
    usual,
)

TITLE = "2D radial"
SUMMARY = "Spokes through the centre of k-space: motion smears instead of making ghosts."
RECON = "noncartesian"
CLINICAL = True

PI = 3.141592653589793
# 180 degrees times the golden section: Winkelmann et al., IEEE Trans Med Imaging 2007;26:68.
GOLDEN_RAD = PI * (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_m: float = usual.fov_plane()
    n_read: int = integer(64, "Matrix", low=8, high=512, help="Samples of a spoke.", group="Geometry")
    n_spokes: int = integer(
        101, "Spokes", low=2, high=4096, help="Half a turn is sampled in full by 1.6 times the matrix.", group="Geometry"
    )
    golden: bool = switch(True, "Golden angle", help="Each spoke turned by 111.2° rather than in order.", group="Geometry")
    slices: int = usual.slices()
    thickness_m: float = usual.thickness()
    gap_m: float = usual.gap()
    tr_s: float = usual.slice_tr(0.1, low_s=0.003, high_s=5.0)
    te_s: float = usual.te(0.008, low_s=0.001, high_s=0.2, until="the centre of k-space")
    flip_rad: float = usual.flip(PI / 4)
    bandwidth_hz: float = usual.bandwidth(text="Over the field of view.")
    averages: int = usual.averages()
    dummy_shots: int = usual.slice_dummies(10, high=200)
    rf_s: float = usual.selective_rf()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Selective
    readout: Readout
    spoil_per_m: float
    encode_s: float
    lobe_s: float
    spoil_s: float
    turns: Turns
    te_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    once, turns, readout, half_per_m = player.once, plan.turns, plan.readout, plan.readout.area_per_m / 2
    pre = system.lobe(max(half_per_m, plan.excite.half_area_per_m), plan.lobe_s)
    spoil = system.lobe(max(plan.spoil_per_m, half_per_m), plan.spoil_s)
    gz, gz_pre = once(plan.excite.gradient), once(pre.make("z", -plan.excite.half_area_per_m))
    gz_spoil = once(spoil.make("z", plan.spoil_per_m))
    read, spokes = readout.lobe, []
    for spoke in range(p.n_spokes):
        angle = spoke * (GOLDEN_RAD if p.golden else PI / p.n_spokes)
        parts = [("x", cos(angle)), ("y", sin(angle))]
        before, during, after = (
            [once(lobe.make(axis, area * share)) for axis, share in parts]
            for lobe, area in ((pre, -half_per_m), (read, 2 * half_per_m), (spoil, -half_per_m))
        )
        spokes.append((before, during, after))
    spoiled = SpoiledPulses(once, plan.excite, turns.positions_m, lambda phase_rad: readout.adc(system, phase_rad))
    shots = [(0, -1)] * p.dummy_shots
    shots += [(spoke, average) for average in range(p.averages) for spoke in range(p.n_spokes)]
    for count, (spoke, average) in enumerate(shots):
        for number_of in turns.order:
            rf, adc = spoiled.at(count, number_of)
            before, during, after = spokes[spoke]
            taken = [adc, *player.labels(LIN=spoke, SLC=number_of, AVG=average)] if average >= 0 else []
            player.block(plan.excite.pulse.block_s, rf, gz)
            player.block(plan.encode_s, *before, gz_pre)
            player.block(readout.duration_s, *during, *taken)
            player.block(plan.spoil_s + turns.fill_s(number_of), *after, gz_spoil)

    return player.define(
        ScanningSequence="GR",
        Trajectory="radial",
        FOV=[p.fov_m, p.fov_m, turns.stack_m],
        Matrix=[p.n_read, p.n_read, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        SlicePositions=turns.positions_m,
        RepetitionTime=turns.tr_s,
        EffectiveEchoTime=plan.te_s,
        EchoTrainLength=1,
        Bandwidth=1 / readout.dwell_s,
        FlipAngle=p.flip_rad,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse and timing, or what must change for them to be possible."""
    readout = system.readout(p.fov_m, p.n_read, dwell_for(p.bandwidth_hz), bandwidth_name="bandwidth_hz", fov_name="fov_m")
    excite = selective_pulse(system, p.flip_rad, rf_s=p.rf_s, thickness_m=p.thickness_m, use="excitation")
    half_per_m, half_s = readout.area_per_m / 2, readout.duration_s / 2
    te_s = nearest(p.te_s)
    lobe_needs_s = up(system.lobe_s(max(half_per_m, excite.half_area_per_m)))
    encode_needs_s = up(max(lobe_needs_s, system.dead_time_s + readout.guard_s))
    shortest_te_s = up(excite.pulse.after_s + encode_needs_s + half_s)
    if te_s < shortest_te_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulse, slice rephasing and half the readout of "
            f"{show(readout.duration_s, 'ms', 4)} need {show(shortest_te_s, 'ms', 4)}.",
            f"Set TE to {shortest_te_s * 1e3:.2f} ms or more, or raise the bandwidth, or shorten the RF pulse.",
        )
    spoil_per_m = 4 / p.thickness_m
    spoil_s = max(2e-3, up(max(system.lobe_s(max(spoil_per_m, half_per_m)), readout.guard_s)))
    shot_s = round(excite.pulse.centre_s + te_s + half_s + spoil_s, 9)
    encode_s = round(te_s - excite.pulse.after_s - half_s, 9)
    return Plan(
        excite=excite,
        readout=readout,
        spoil_per_m=spoil_per_m,
        encode_s=encode_s,
        lobe_s=min(encode_s, max(2e-3, encode_needs_s)),
        spoil_s=spoil_s,
        turns=plan_turns(p, system, shot_s, excite.pulse.event.shape_dur, "pulse, readout, spoiler"),
        te_s=te_s,
    )
