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
    RASTER_S,
    Player,
    Readout,
    Selective,
    SequenceError,
    System,
    dwell_for,
    integer,
    interleaved,
    nearest,
    number,
    selective_pulse,
    show,
    slice_positions,
    spoil_phase_deg,
    switch,
    up,
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

    fov_m: float = number(0.22, "Field of view", unit="mm", low=0.01, high=0.5, help="In both directions.", group="Geometry")
    n_read: int = integer(64, "Matrix", low=8, high=512, help="Samples of a spoke.", group="Geometry")
    n_spokes: int = integer(
        101, "Spokes", low=2, high=4096, help="Half a turn is sampled in full by 1.6 times the matrix.", group="Geometry"
    )
    golden: bool = switch(True, "Golden angle", help="Each spoke turned by 111.2° rather than in order.", group="Geometry")
    slices: int = integer(1, "Slices", low=1, high=64, help="Measured within one TR.", group="Geometry")
    thickness_m: float = number(0.01, "Thickness", unit="mm", low=0.001, high=0.1, help="Of one slice.", group="Geometry")
    gap_m: float = number(0.0, "Gap", unit="mm", low=0.0, high=0.1, help="Between two slices.", group="Geometry")
    tr_s: float = number(
        0.1, "TR", unit="ms", low=0.003, high=5.0, help="From one excitation of a slice to the next.", group="Contrast"
    )
    te_s: float = number(
        0.008, "TE", unit="ms", low=0.001, high=0.2, help="From the pulse to the centre of k-space.", group="Contrast"
    )
    flip_rad: float = number(
        PI / 4, "Flip angle", unit="deg", low=PI / 180, high=PI / 2, help="Of each pulse.", group="Contrast"
    )
    bandwidth_hz: float = number(
        20e3, "Bandwidth", unit="kHz", low=2e3, high=250e3, help="Over the field of view.", group="Readout"
    )
    averages: int = integer(1, "Averages", low=1, high=64, help="Times that everything is measured.", group="Readout")
    dummy_shots: int = integer(
        10,
        "Dummy shots",
        low=0,
        high=200,
        help="Times that all slices are excited before the first measurement.",
        group="Readout",
    )
    rf_s: float = number(
        2e-3,
        "RF pulse length",
        unit="us",
        low=0.5e-3,
        high=5e-3,
        help="Longer pulses need less gradient.",
        group="RF",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Selective
    readout: Readout
    spoil_per_m: float
    encode_s: float
    lobe_s: float
    spoil_s: float
    slot_s: float
    shot_s: float
    te_s: float
    tr_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    once, readout, half_per_m = player.once, plan.readout, plan.readout.area_per_m / 2
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
    positions = slice_positions(p.slices, p.thickness_m, p.gap_m)
    phased: dict[tuple[int, int], tuple[Any, Any]] = {}

    def spoiled(count: int, number_of: int) -> tuple[Any, Any]:
        key = spoil_phase_deg(count), number_of
        if key not in phased:
            phase_rad = key[0] / 180 * PI
            phased[key] = once(plan.excite.at(positions[number_of], phase_rad)), once(readout.adc(system, phase_rad))
        return phased[key]

    shots = [(0, -1)] * p.dummy_shots
    shots += [(spoke, average) for average in range(p.averages) for spoke in range(p.n_spokes)]
    order = interleaved(p.slices)
    rest_s = round(plan.tr_s - p.slices * plan.slot_s, 9)
    for count, (spoke, average) in enumerate(shots):
        for number_of in order:
            rf, adc = spoiled(count, number_of)
            before, during, after = spokes[spoke]
            taken = [adc, *player.labels(LIN=spoke, SLC=number_of, AVG=average)] if average >= 0 else []
            fill_s = plan.slot_s - plan.shot_s + (rest_s if number_of == order[-1] else 0.0)
            player.block(plan.excite.pulse.block_s, rf, gz)
            player.block(plan.encode_s, *before, gz_pre)
            player.block(readout.duration_s, *during, *taken)
            player.block(plan.spoil_s + fill_s, *after, gz_spoil)

    return player.define(
        ScanningSequence="GR",
        Trajectory="radial",
        FOV=[p.fov_m, p.fov_m, p.slices * p.thickness_m + (p.slices - 1) * p.gap_m],
        Matrix=[p.n_read, p.n_read, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        SlicePositions=positions,
        RepetitionTime=plan.tr_s,
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
    te_s, tr_s = nearest(p.te_s), nearest(p.tr_s)
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
    slot_s = round(int(tr_s / p.slices / RASTER_S + 1e-6) * RASTER_S, 9)
    needs_s = max(shot_s, up(system.amplifier_s(excite.pulse.event.shape_dur)))
    if slot_s < needs_s - 1e-9:
        fits = int(tr_s / needs_s)
        fewer = f", or measure {fits} slices or fewer" if fits >= 1 else ""
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short for {p.slices} slices: pulse, readout, spoiler and the RF "
            f"amplifier's rest take {show(needs_s, 'ms', 4)} each.",
            f"Set TR to {up(needs_s * p.slices, 1e-4) * 1e3:.1f} ms or more{fewer}.",
        )
    encode_s = round(te_s - excite.pulse.after_s - half_s, 9)
    return Plan(
        excite=excite,
        readout=readout,
        spoil_per_m=spoil_per_m,
        encode_s=encode_s,
        lobe_s=min(encode_s, max(2e-3, encode_needs_s)),
        spoil_s=spoil_s,
        slot_s=slot_s,
        shot_s=shot_s,
        te_s=te_s,
        tr_s=tr_s,
    )
