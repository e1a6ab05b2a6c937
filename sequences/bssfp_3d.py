# SPDX-License-Identifier: MIT
"""3D balanced steady-state free precession.

All gradients of a TR are balanced and the echo lies in its middle, so that all magnetisation is used again: the highest
signal per time, with a contrast of T2 over T1. Where the field is off by half a turn in a TR the signal is gone (bands):
keep TR well below the inverse of the field's spread, or move the bands with the phase step. A pulse of half the flip angle
half a TR before the first shortens the way to the steady state.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    RASTER_S,
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    dwell_for,
    encode,
    grid_lines,
    integer,
    nearest,
    number,
    show,
    turned,
    up,
    usual,
)

TITLE = "3D balanced SSFP"
SUMMARY = (
    "Balanced steady state of the whole coil's volume: much signal in little time, with bands where the field is uneven."
)
RECON = "cartesian"
CLINICAL = False

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase()
    fov_slab_m: float = usual.fov_slab()
    n_read: int = usual.n_read(64)
    n_phase: int = usual.n_phase(56)
    n_slab: int = usual.n_slab(20)
    tr_s: float = number(
        0.01, "TR", unit="ms", low=0.002, high=0.1, help="From one pulse to the next; TE is half of it.", group="Contrast"
    )
    flip_rad: float = usual.flip(PI / 3)
    phase_step_rad: float = number(
        PI,
        "Phase step",
        unit="deg",
        low=0.0,
        high=2 * PI,
        help="From one pulse to the next; 180° puts the bands half a turn off resonance.",
        group="Contrast",
    )
    bandwidth_hz: float = usual.bandwidth()
    averages: int = usual.averages()
    dummy_shots: int = integer(
        100, "Dummy shots", low=0, high=500, help="Pulses before the first measurement.", group="Readout"
    )
    elliptical: bool = usual.elliptical()
    rf_s: float = number(100e-6, "RF pulse length", unit="us", low=10e-6, high=2e-3, help="Of the hard pulse.", group="RF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Pulse
    readout: Readout
    largest_per_m: float
    encode_s: float
    rewind_s: float
    lobe_s: float
    tr_s: float


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    once, lobe, readout = player.once, system.lobe(plan.largest_per_m, plan.lobe_s), plan.readout
    gx, gx_half = once(readout.gradient()), once(lobe.make("x", -readout.area_per_m / 2))
    lines = [encode(line, p.n_phase, p.fov_phase_m) for line in range(p.n_phase)]
    pars = [encode(par, p.n_slab, p.fov_slab_m) for par in range(p.n_slab)]
    gy = [(once(lobe.make("y", area)), once(lobe.make("y", -area))) for area in lines]
    gz = [(once(lobe.make("z", area)), once(lobe.make("z", -area))) for area in pars]
    phased: dict[float, tuple[Any, Any]] = {}

    def stepped(count: int) -> tuple[Any, Any]:
        phase_rad = round(count * p.phase_step_rad % (2 * PI), 6)
        if phase_rad not in phased:
            phased[phase_rad] = once(turned(plan.excite.event, phase_rad)), once(readout.adc(system, phase_rad))
        return phased[phase_rad]

    half = system.hard_pulse(p.flip_rad / 2, p.rf_s, use="excitation", phase_rad=-p.phase_step_rad / 2 - PI / 2)
    player.block(half.block_s, once(half.event))
    player.block(plan.tr_s / 2 - half.after_s - plan.excite.centre_s)
    shots = [(p.n_phase // 2, p.n_slab // 2, -1)] * p.dummy_shots
    grid = grid_lines(p.n_phase, p.n_slab, elliptical=p.elliptical)
    shots += [(line, par, average) for average in range(p.averages) for line, par in grid]
    for count, (line, par, average) in enumerate(shots):
        rf, adc = stepped(count)
        taken = [adc, *player.labels(LIN=line, PAR=par, AVG=average)] if average >= 0 else []
        player.block(plan.excite.block_s, rf)
        player.block(plan.encode_s, gx_half, gy[line][0], gz[par][0])
        player.block(readout.duration_s, gx, *taken)
        player.block(plan.rewind_s, gx_half, gy[line][1], gz[par][1])
    return player.define(
        ScanningSequence="GR",
        SteadyState="balanced",
        FOV=[p.fov_read_m, p.fov_phase_m, p.fov_slab_m],
        Matrix=[p.n_read, p.n_phase, p.n_slab],
        RepetitionTime=plan.tr_s,
        EffectiveEchoTime=plan.tr_s / 2,
        EchoTrainLength=1,
        Bandwidth=1 / readout.dwell_s,
        FlipAngle=p.flip_rad,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse and timing, or what must change for them to be possible."""
    excite = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation")
    readout = system.readout(
        p.fov_read_m, p.n_read, dwell_for(p.bandwidth_hz), bandwidth_name="bandwidth_hz", fov_name="fov_read_m"
    )
    edges = (encode(0, p.n_phase, p.fov_phase_m), encode(0, p.n_slab, p.fov_slab_m))
    largest = max(readout.area_per_m / 2, *(abs(edge) for edge in edges))
    lobe_needs_s, half_s, tr_s = up(system.lobe_s(largest)), readout.duration_s / 2, nearest(p.tr_s, 2 * RASTER_S)
    before_s = excite.after_s + up(max(lobe_needs_s, system.dead_time_s + readout.guard_s)) + half_s
    behind_s = half_s + up(max(lobe_needs_s, readout.guard_s)) + excite.centre_s
    shortest_s = up(2 * max(before_s, behind_s), 2 * RASTER_S)
    shortest_s = max(shortest_s, up(system.amplifier_s(excite.event.shape_dur), 2 * RASTER_S))
    if tr_s < shortest_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 4)} is too short: pulse, readout of {show(readout.duration_s, 'ms', 4)} and "
            f"gradients, with the echo in the middle, take {show(shortest_s, 'ms', 4)}.",
            f"Set TR to {shortest_s * 1e3:.2f} ms or more, or raise the bandwidth.",
        )
    encode_s = round(tr_s / 2 - excite.after_s - half_s, 9)
    rewind_s = round(tr_s / 2 - half_s - excite.centre_s, 9)
    return Plan(
        excite=excite,
        readout=readout,
        largest_per_m=largest,
        encode_s=encode_s,
        rewind_s=rewind_s,
        lobe_s=min(encode_s, rewind_s, max(2e-3, lobe_needs_s)),
        tr_s=tr_s,
    )
