# SPDX-License-Identifier: MIT
"""Projections of a phantom along each axis, read both ways, to measure strength, direction and delay of the gradients.

A spin echo without phase encoding. SET counts the logical axes x, y, z; REV 1 reads with the opposite gradient. What the
main field moves along the readout goes the other way then, while what the gradient does stays: the mean of both is the
gradient's.

- An odd number of samples, so that both ways have theirs at the same places of k-space.
- The gradient is flat long before and after the readout, so that one that comes late still is.
- The 180° pulse stands between crushers on another axis.
- The middle of the readout may lie after the spin echo, which shows a gradient that never ends (background).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from isocenter.sequences.kit import (
    RASTER_S,
    Lobe,
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    dwell_for,
    integer,
    nearest,
    number,
    pp,
    show,
    up,
)

TITLE = "Projections"
SUMMARY = "A phantom seen along three axes, each read both ways: strength, direction and delay of the gradients."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793
SPARE_S = 150e-6
GENTLE_S = 200e-6
CRUSHER_PER_M = 600.0
AXES = ("x", "y", "z")
WAYS = ((0, 1), (1, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_m: float = number(0.24, "Field of view", unit="mm", low=0.02, high=0.6, help="Must be larger than the phantom.")
    n_read: int = integer(129, "Matrix", low=17, high=1025, help="Samples of a line; the next odd number is taken.")
    bandwidth_hz: float = number(40e3, "Bandwidth", unit="kHz", low=2e3, high=250e3, help="Over the field of view.")
    te_s: float = number(0.016, "TE", unit="ms", low=0.002, high=0.2, help="From the pulse to the spin echo.")
    shift_s: float = number(
        0.0, "Shift", unit="ms", low=0.0, high=0.02, help="From the spin echo to the middle of the readout."
    )
    tr_s: float = number(0.3, "TR", unit="ms", low=0.02, high=5.0, help="From one excitation to the next.")
    rf_s: float = number(
        80e-6, "RF pulse length", unit="us", low=10e-6, high=1e-3, help="90° pulse; the 180° is twice that."
    )
    averages: int = integer(2, "Averages", low=1, high=32, help="Times that everything is measured.")
    dummy_shots: int = integer(2, "Dummy shots", low=0, high=20, help="Shots before the first measurement.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Pulses, readout, and lengths of the blocks between them [s]."""

    excite: Pulse
    refocus: Pulse
    wide: Readout
    adc_delay_s: float
    n_read: int
    lobe: Lobe
    before_s: float
    after_s: float
    spoil: Lobe
    wait_s: float
    te_s: float
    tr_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    player.once(plan.excite.event)
    player.once(plan.refocus.event)
    adc = player.once(
        pp.make_adc(num_samples=plan.n_read, dwell=plan.wide.dwell_s, delay=plan.adc_delay_s, system=system.opts)
    )
    area = plan.wide.area_per_m
    once = player.once
    crushers = {axis: once(plan.lobe.make(axis, CRUSHER_PER_M)) for axis in AXES}
    spoilers = {axis: once(plan.spoil.make(axis, 4 * CRUSHER_PER_M)) for axis in AXES}
    dephase = {(axis, way): once(plan.lobe.make(axis, sign * area / 2)) for axis in AXES for way, sign in WAYS}
    reads = {(axis, way): once(plan.wide.lobe.make(axis, sign * area)) for axis in AXES for way, sign in WAYS}

    def shot(number_of: int, way: int, average: int) -> None:
        axis, other = AXES[number_of], AXES[(number_of + 1) % 3]
        taken = [adc, *player.labels(SET=number_of, REV=way, AVG=average)] if average >= 0 else []
        player.block(plan.excite.block_s, plan.excite.event)
        player.block(plan.before_s, dephase[axis, way], crushers[other])
        player.block(plan.refocus.block_s, plan.refocus.event)
        player.block(plan.after_s, crushers[other])
        player.block(plan.wide.duration_s, reads[axis, way], *taken)
        player.block(plan.spoil.duration_s, spoilers[other])
        player.block(plan.wait_s)

    for _ in range(p.dummy_shots):
        shot(0, 0, -1)
    for average in range(p.averages):
        for number_of in range(len(AXES)):
            for way, _ in WAYS:
                shot(number_of, way, average)
    return player.define(
        FOV=[p.fov_m] * 3,
        RepetitionTime=plan.tr_s,
        EffectiveEchoTime=plan.te_s,
        Shift=p.shift_s,
        Bandwidth=1 / plan.wide.dwell_s,
        Gradient=plan.wide.amplitude_hz_per_m,
        Samples=plan.n_read,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Everything that is settled before the first block, or what must change for it to be possible."""
    excite = system.hard_pulse(PI / 2, p.rf_s, use="excitation")
    refocus = system.hard_pulse(PI, p.rf_s, times=2, use="refocusing", phase_rad=PI / 2)
    dwell_s, n_read = dwell_for(p.bandwidth_hz), p.n_read // 2 * 2 + 1
    spare = math.ceil(SPARE_S / dwell_s)
    wide = system.readout(p.fov_m, n_read + 2 * spare, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_m")
    wide = replace(  # gentle ramps, so that little is left of them in the readout
        wide,
        rise_s=round(wide.rise_s + GENTLE_S, 9),
        duration_s=round(wide.duration_s + 2 * GENTLE_S, 9),
        adc_delay_s=round(wide.adc_delay_s + GENTLE_S, 9),
    )
    te_s, shift_s, tr_s = nearest(p.te_s, 2 * RASTER_S), nearest(p.shift_s), nearest(p.tr_s)
    largest = max(wide.area_per_m / 2, CRUSHER_PER_M)
    lobe, half_s = _gentle(system, largest), wide.duration_s / 2
    late_s = max(lobe.duration_s, up(system.dead_time_s + wide.guard_s)) + up(SPARE_S)
    needs_s = 2 * max(excite.after_s + late_s + refocus.centre_s, refocus.after_s + late_s + half_s - shift_s)
    if te_s < needs_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulses and this readout need {show(up(needs_s), 'ms', 5)}.",
            f"Set TE to {up(needs_s, 2 * RASTER_S) * 1e3:.2f} ms or more, or take fewer samples.",
        )
    spoil = _gentle(system, 4 * CRUSHER_PER_M)
    shot_s = round(excite.centre_s + te_s + shift_s + half_s + spoil.duration_s, 9)
    if tr_s < shot_s + RASTER_S - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: pulses and readout take {show(shot_s + RASTER_S, 'ms', 5)}.",
            f"Set TR to {up(shot_s + RASTER_S, 1e-4) * 1e3:.1f} ms or more.",
        )
    return Plan(
        excite=excite,
        refocus=refocus,
        wide=wide,
        adc_delay_s=round(wide.adc_delay_s + spare * dwell_s, 9),
        n_read=n_read,
        lobe=lobe,
        before_s=round(te_s / 2 - excite.after_s - refocus.centre_s, 9),
        after_s=round(te_s / 2 + shift_s - refocus.after_s - half_s, 9),
        spoil=spoil,
        wait_s=round(tr_s - shot_s, 9),
        te_s=te_s,
        tr_s=tr_s,
    )


def _gentle(system: System, area_per_m: float) -> Lobe:
    """Lobe of an area whose ramps are well below what the scanner gives."""
    shortest_s = up(system.lobe_s(area_per_m))
    rise_s = system.lobe(area_per_m, shortest_s).rise_s
    return Lobe(duration_s=round(shortest_s + 2 * GENTLE_S, 9), rise_s=round(rise_s + GENTLE_S, 9))
