# SPDX-License-Identifier: MIT
"""2D spiral: a few long paths from the centre of k-space outwards, RF-spoiled, slice by slice.

Spirals are Archimedean and as fast as gradients and receiver allow. LIN counts interleaves. An uneven field blurs the
picture, the more the longer a readout lasts: use more interleaves. Samples are taken twice as fast as the field of view
needs, so that it may lie off the isocenter by half of itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from isocenter.sequences.kit import (
    GUARD_DWELLS,
    RASTER_S,
    Player,
    Selective,
    SequenceError,
    SpoiledPulses,
    System,
    Turns,
    dwell_for,
    integer,
    nearest,
    plan_turns,
    pp,
    ramp_down,
    selective_pulse,
    show,
    spiral_gradient,
    up,
    usual,
)

TITLE = "2D spiral"
SUMMARY = "A few long spirals through k-space: fast, but blurred where the field is uneven."
RECON = "noncartesian"
CLINICAL = False

PI = 3.141592653589793
LONGEST_S = 0.1
OVERSAMPLING = 2
SLEW_SHARE = 0.75  # steps of the board's staircase are up to half as steep again where a zero crossing makes them uneven


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_m: float = usual.fov_plane()
    n_matrix: int = integer(64, "Matrix", low=8, high=256, help="Voxels in each direction.", group="Geometry")
    n_interleaves: int = integer(
        16, "Interleaves", low=1, high=256, help="Spirals; more make each shorter.", group="Geometry"
    )
    slices: int = usual.slices()
    thickness_m: float = usual.thickness()
    gap_m: float = usual.gap()
    tr_s: float = usual.slice_tr(0.1, low_s=0.003, high_s=5.0)
    te_s: float = usual.te(0.004, low_s=0.001, high_s=0.2, until="the start of the spiral")
    flip_rad: float = usual.flip(PI / 4)
    bandwidth_hz: float = usual.bandwidth(
        50e3, low_hz=5e3, text="Over the field of view. Limits how fast the spiral may run."
    )
    averages: int = usual.averages()
    dummy_shots: int = usual.slice_dummies(10, high=200)
    rf_s: float = usual.selective_rf()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Selective
    wave: Any
    end_per_m: complex
    n_samples: int
    dwell_s: float
    wait_s: float
    pre_s: float
    read_s: float
    spoil_per_m: float
    spoil_s: float
    turns: Turns
    te_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    once, turns, rephase_per_m = player.once, plan.turns, -plan.excite.half_area_per_m
    gz, gz_pre = once(plan.excite.gradient), once(system.lobe(abs(rephase_per_m), plan.pre_s).make("z", rephase_per_m))
    spoil = system.lobe(max(plan.spoil_per_m, abs(plan.end_per_m)), plan.spoil_s)
    gz_spoil, spirals = once(spoil.make("z", plan.spoil_per_m)), []
    for interleaf in range(p.n_interleaves):
        turn = np.exp(2j * PI * interleaf / p.n_interleaves)
        read = [once(_shape(axis, part, system)) for axis, part in _axes(plan.wave * turn)]
        back = [once(spoil.make(axis, -part)) for axis, part in _axes(plan.end_per_m * turn)]
        spirals.append((read, back))

    def make_adc(phase_rad: float) -> Any:
        return pp.make_adc(
            num_samples=plan.n_samples, dwell=plan.dwell_s, phase_offset=phase_rad, delay=RASTER_S, system=system.opts
        )

    spoiled = SpoiledPulses(once, plan.excite, turns.positions_m, make_adc)
    shots = [(0, -1)] * p.dummy_shots
    shots += [(interleaf, average) for average in range(p.averages) for interleaf in range(p.n_interleaves)]
    for count, (interleaf, average) in enumerate(shots):
        for number_of in turns.order:
            rf, adc = spoiled.at(count, number_of)
            read, back = spirals[interleaf]
            taken = [adc, *player.labels(LIN=interleaf, SLC=number_of, AVG=average)] if average >= 0 else []
            player.block(plan.excite.pulse.block_s, rf, gz)
            player.block(plan.wait_s, gz_pre)
            player.block(plan.read_s, *read, *taken)
            player.block(plan.spoil_s + turns.fill_s(number_of), *back, gz_spoil)

    return player.define(
        ScanningSequence="GR",
        Trajectory="spiral",
        FOV=[p.fov_m, p.fov_m, turns.stack_m],
        Matrix=[p.n_matrix, p.n_matrix, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        SlicePositions=turns.positions_m,
        RepetitionTime=turns.tr_s,
        EffectiveEchoTime=round(plan.te_s + RASTER_S + plan.dwell_s / 2, 9),  # of the first sample
        EchoTrainLength=1,
        ReadoutDuration=plan.n_samples * plan.dwell_s,
        Bandwidth=1 / (OVERSAMPLING * plan.dwell_s),
        FlipAngle=p.flip_rad,
        Averages=p.averages,
    )


def _axes(value: Any) -> list[tuple[str, Any]]:
    return [("x", value.real), ("y", value.imag)]


def _shape(axis: str, values: Any, system: System) -> Any:
    """Pulseq event of a gradient given at times 0, raster, 2 raster ..., straight lines in between."""
    return pp.make_extended_trapezoid(
        axis,
        amplitudes=values,
        times=np.arange(len(values)) * RASTER_S,
        system=system.opts,
        max_grad=np.inf,
        max_slew=np.inf,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse, spiral and timing, or what must change for them to be possible."""
    dwell_s = dwell_for(OVERSAMPLING * p.bandwidth_hz)
    excite = selective_pulse(system, p.flip_rad, rf_s=p.rf_s, thickness_m=p.thickness_m, use="excitation")
    wave = _spiral(p, system, dwell_s)
    n_samples = int((len(wave) - 2) * RASTER_S / dwell_s + 1e-6)
    whole = np.concatenate([wave, ramp_down(wave[-1], SLEW_SHARE * system.max_slew_hz_per_m_s, RASTER_S)])
    end_per_m = complex(np.sum(0.5 * (whole[1:] + whole[:-1])) * RASTER_S)
    # The decimator's filters run on for a few dwell times; the gradient is over by then.
    read_s = up(max((len(whole) - 1) * RASTER_S, RASTER_S + (n_samples + GUARD_DWELLS) * dwell_s))
    te_s = nearest(p.te_s)
    pre_s = up(system.lobe_s(excite.half_area_per_m))
    shortest_te_s = up(excite.pulse.after_s + max(pre_s, system.dead_time_s + GUARD_DWELLS * dwell_s))
    if te_s < shortest_te_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulse, slice rephasing and dead time need "
            f"{show(shortest_te_s, 'ms', 4)}.",
            f"Set TE to {shortest_te_s * 1e3:.2f} ms or more, or shorten the RF pulse.",
        )
    spoil_per_m = 4 / p.thickness_m
    spoil_s = max(2e-3, up(system.lobe_s(max(spoil_per_m, abs(end_per_m)))))
    wait_s = round(te_s - excite.pulse.after_s, 9)
    shot_s = round(excite.pulse.block_s + wait_s + read_s + spoil_s, 9)
    return Plan(
        excite=excite,
        wave=whole,
        end_per_m=end_per_m,
        n_samples=n_samples,
        dwell_s=dwell_s,
        wait_s=wait_s,
        pre_s=pre_s,
        read_s=read_s,
        spoil_per_m=spoil_per_m,
        spoil_s=spoil_s,
        turns=plan_turns(p, system, shot_s, excite.pulse.event.shape_dur, "pulse, spiral, spoiler"),
        te_s=te_s,
    )


def _spiral(p: Parameters, system: System, dwell_s: float) -> Any:
    """The spiral, refused when it lasts longer than any signal at low field."""
    try:
        wave = spiral_gradient(
            p.fov_m,
            p.n_matrix,
            p.n_interleaves,
            max_hz_per_m=min(system.max_grad_hz_per_m, 1 / (OVERSAMPLING * dwell_s * p.fov_m)),
            max_hz_per_m_s=SLEW_SHARE * system.max_slew_hz_per_m_s,
            raster_s=RASTER_S,
        )
    except ValueError:
        wave = None
    if wave is None or len(wave) * RASTER_S > LONGEST_S:
        length = "more than 500 ms" if wave is None else show(len(wave) * RASTER_S, "ms", 4)
        raise SequenceError(
            f"With so few interleaves (n_interleaves), {p.n_interleaves}, a spiral lasts {length}.",
            f"Set interleaves to more than {p.n_interleaves}, so that it lasts {show(LONGEST_S, 'ms')} or less, or raise "
            "the bandwidth.",
        )
    return wave
