# SPDX-License-Identifier: MIT
"""2D echo-planar imaging: many lines after one pulse, read forth and back.

Gradient echo, slice by slice, in one shot or in several that interleave. Lines read backwards carry REV. The middle of every
readout is at k = 0, between two samples for an even number, so that samples of both directions lie at the same places. In an
uneven field the pictures are stretched along phase: by the field's offset in hertz times the echo spacing times the lines of
a shot, in pixels.

- Three lines without phase encoding (NAV), forth, back and forth, come first in every shot: they show how the two directions
  differ, which would give a ghost half a field of view away.
- Later shots start a fraction of the echo spacing later, so that phase and signal change smoothly over interleaved lines.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    GUARD_DWELLS,
    RASTER_S,
    Lobe,
    Player,
    Readout,
    Selective,
    SequenceError,
    System,
    Turns,
    dwell_for,
    encode,
    integer,
    nearest,
    plan_turns,
    selective_pulse,
    show,
    up,
    usual,
)

TITLE = "2D EPI"
SUMMARY = "Many lines after one pulse: fast, but stretched where the field is uneven."
RECON = "cartesian"
PIPELINE = (
    *("receive", "interference", "drift", "whiten"),
    ("ghost", {"method": "auto"}),
    *("average", "sort", "partial_fourier", "filter", "oversampling", "zero_fill", "transform", "combine", "output"),
)
CLINICAL = False

PI = 3.141592653589793
REFERENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase(encoding="the phase encoding")
    n_read: int = usual.n_read(48, high=256)
    n_phase: int = usual.n_phase(48, low=2)
    slices: int = usual.slices()
    thickness_m: float = usual.thickness()
    gap_m: float = usual.gap()
    shots: int = integer(
        4, "Shots", low=1, high=256, help="Pulses for one picture; more are slower and less stretched.", group="Geometry"
    )
    tr_s: float = usual.slice_tr(0.5, low_s=0.01, high_s=10.0)
    te_s: float = usual.te(0.03, low_s=0.002, high_s=0.5, until="the centre of k-space")
    flip_rad: float = usual.flip(PI / 2)
    bandwidth_hz: float = usual.bandwidth(50e3)
    averages: int = usual.averages()
    dummy_shots: int = usual.slice_dummies(2, high=20)
    rf_s: float = usual.selective_rf()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Selective
    readout: Readout
    echoes: int
    blip_s: float
    pre: Lobe
    wait_s: float
    stagger_s: float
    spoil_per_m: float
    spoil_s: float
    late_s: float
    turns: Turns
    te_s: float

    @property
    def spacing_s(self) -> float:
        """From one echo to the next [s]."""
        return round(self.readout.duration_s + self.blip_s, 9)


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan = _plan(p, system)
    player = Player(system)
    train = _Train(p, system, plan, player)
    turns = plan.turns
    pulses = [[player.once(plan.excite.at(position, phase)) for position in turns.positions_m] for phase in (0.0, PI)]
    gz = player.once(plan.excite.gradient)
    rounds = [(0, -1)] * p.dummy_shots
    rounds += [(shot, average) for average in range(p.averages) for shot in range(p.shots)]
    for shot, average in rounds:
        for number_of in turns.order:
            player.block(plan.excite.pulse.block_s, pulses[average % 2][number_of], gz)
            train.play(shot, average, number_of, turns.fill_s(number_of))
    return player.define(
        ScanningSequence="EP",
        FOV=[p.fov_read_m, p.fov_phase_m, turns.stack_m],
        Matrix=[p.n_read, p.n_phase, p.slices],
        SliceThickness=p.thickness_m,
        SliceGap=p.gap_m,
        RepetitionTime=turns.tr_s,
        EffectiveEchoTime=plan.te_s,
        EchoSpacing=plan.spacing_s,
        EchoTrainLength=plan.echoes,
        Bandwidth=1 / plan.readout.dwell_s,
        FlipAngle=p.flip_rad,
        Averages=p.averages,
    )


class _Train:
    """Plays what follows a pulse: references, lines and spoiler."""

    def __init__(self, p: Parameters, system: System, plan: Plan, player: Player) -> None:
        self._p, self._plan, self._player, once = p, plan, player, player.once
        half_per_m = plan.readout.area_per_m / 2
        self._before = once(plan.pre.make("x", -half_per_m)), once(plan.pre.make("z", -plan.excite.half_area_per_m))
        read = plan.readout
        self._gx = once(read.gradient()), once(read.lobe.make("x", -read.area_per_m))
        late_s = 0.0 if p.n_read % 2 else read.dwell_s / 2
        self._adc = [_late(once, read.adc(system, phase), late_s) for phase in (0.0, PI)]
        edges = [encode(shot, p.n_phase, p.fov_phase_m) for shot in range(p.shots)]
        self._gy = [once(plan.pre.make("y", edge)) for edge in edges]
        step = p.shots / p.fov_phase_m
        self._blip = once(system.lobe(step, plan.blip_s).make("y", step))
        spoil = system.lobe(max(plan.spoil_per_m, abs(edges[0])), plan.spoil_s)
        self._spoil = once(spoil.make("z", plan.spoil_per_m))

    def play(self, shot: int, average: int, number_of: int, fill_s: float) -> None:
        """Add one train; with an average below zero nothing is received."""
        p, plan, player = self._p, self._plan, self._player
        late_s = shot * plan.stagger_s
        player.block(plan.pre.duration_s + plan.wait_s, *self._before)
        for echo in range(REFERENCES):
            labels = {"LIN": p.n_phase // 2, "SLC": number_of, "AVG": average, "NAV": 1}
            self._read(echo % 2, labels if average >= 0 else {})
            if echo + 1 < REFERENCES:
                player.block(plan.blip_s)
        player.block(plan.pre.duration_s + late_s, self._gy[shot])
        for echo in range(plan.echoes):
            line = shot + echo * p.shots
            labels = {"LIN": line, "SLC": number_of, "AVG": average, "NAV": 0}
            self._read((REFERENCES + echo) % 2, labels if average >= 0 and line < p.n_phase else {})
            if echo + 1 < plan.echoes:
                player.block(plan.blip_s, self._blip)
        player.block(plan.spoil_s + plan.late_s + fill_s - late_s, self._spoil)

    def _read(self, is_back: int, labels: dict[str, int]) -> None:
        taken = []
        if labels:
            taken = [self._adc[labels["AVG"] % 2], *self._player.labels(**labels, REV=is_back)]
        self._player.block(self._plan.readout.duration_s, self._gx[is_back], *taken)


def _late(once: Any, adc: Any, late_s: float) -> Any:
    adc.delay = round(adc.delay + late_s, 9)
    return once(adc)


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse and timing, or what must change for them to be possible."""
    if p.shots > p.n_phase:
        raise SequenceError(
            f"There are more shots (shots) than lines: {p.shots} and {p.n_phase}.", f"Set shots to {p.n_phase} or less."
        )
    dwell_s = dwell_for(p.bandwidth_hz)
    readout = system.readout(p.fov_read_m, p.n_read, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_read_m")
    excite = selective_pulse(system, p.flip_rad, rf_s=p.rf_s, thickness_m=p.thickness_m, use="excitation")
    edge_per_m = abs(encode(0, p.n_phase, p.fov_phase_m))
    largest = max(readout.area_per_m / 2, edge_per_m, excite.half_area_per_m)
    pre_s = up(system.lobe_s(largest))
    blip_s = max(up(system.lobe_s(p.shots / p.fov_phase_m)), up(GUARD_DWELLS * dwell_s))
    echoes, half_s = -(-p.n_phase // p.shots), readout.duration_s / 2
    spacing_s = round(readout.duration_s + blip_s, 9)
    wait_least_s = up(max(0.0, system.dead_time_s + readout.guard_s - pre_s))
    # From the end of the pulse's block to the centre line, in the shot that measures it, without waiting.
    shot, echo = p.n_phase // 2 % p.shots, p.n_phase // 2 // p.shots
    stagger_s = round(int(spacing_s / p.shots / RASTER_S) * RASTER_S, 9)
    to_centre_s = round(2 * pre_s + REFERENCES * spacing_s - blip_s + shot * stagger_s + echo * spacing_s + half_s, 9)
    te_s = nearest(p.te_s)
    shortest_te_s = up(excite.pulse.after_s + wait_least_s + to_centre_s)
    if te_s < shortest_te_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulse, reference lines and {echo} echoes of "
            f"{show(spacing_s, 'ms', 4)} before the centre of k-space need {show(shortest_te_s, 'ms', 4)}.",
            f"Set TE to {shortest_te_s * 1e3:.2f} ms or more, or use more shots, or raise the bandwidth.",
        )
    wait_s = round(te_s - excite.pulse.after_s - to_centre_s, 9)
    spoil_per_m = 4 / p.thickness_m
    spoil_s = max(2e-3, up(system.lobe_s(max(spoil_per_m, edge_per_m))))
    train_s = 2 * pre_s + wait_s + (REFERENCES + echoes) * spacing_s - 2 * blip_s + (p.shots - 1) * stagger_s + spoil_s
    shot_s = round(excite.pulse.block_s + train_s, 9)
    return Plan(
        excite=excite,
        readout=readout,
        echoes=echoes,
        blip_s=blip_s,
        pre=system.lobe(largest, pre_s),
        wait_s=wait_s,
        stagger_s=stagger_s,
        spoil_per_m=spoil_per_m,
        spoil_s=spoil_s,
        late_s=(p.shots - 1) * stagger_s,
        turns=plan_turns(p, system, shot_s, excite.pulse.event.shape_dur, "pulse, echo train, spoiler"),
        te_s=te_s,
    )
