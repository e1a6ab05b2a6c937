# SPDX-License-Identifier: MIT
"""Places in a lattice phantom, to measure how the gradients bend.

A turbo spin echo over the whole phantom that plays every train twice: SET 1 reads with the opposite gradient (REV). What an
uneven main field moves along the readout goes the other way then, so the mean place of each ball is the one that the
gradients give it. Spin echoes last in an uneven field.

``isocenter gradients SCAN --out coils.toml`` finds the balls and writes what the coils do.

- An odd number of samples, so that both ways have theirs at the same places of k-space.
- Encodes are rewound before the next 180°; crushers of equal area stand on both sides of each 180°.
- A higher bandwidth keeps the balls of an uneven magnet near their places.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    EMPTY,
    RASTER_S,
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    dwell_for,
    encode,
    grid_trains,
    integer,
    nearest,
    number,
    show,
    up,
    usual,
)

TITLE = "Gradient map"
SUMMARY = "A phantom with a lattice of balls, read both ways, to measure how the gradients bend."
RECON = "cartesian"
CLINICAL = False
PIPELINE = ("receive", "interference", "whiten", "average", "sort", "oversampling", "transform", "combine", "output")

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_m: float = number(
        0.18,
        "Field of view",
        unit="mm",
        low=0.01,
        high=0.5,
        help="Along all axes; must cover the phantom.",
        group="Geometry",
    )
    n_read: int = integer(
        65, "Matrix, read", low=9, high=255, help="Samples of a line; the next odd number is taken.", group="Geometry"
    )
    n_phase: int = usual.n_phase(64, low=8)
    n_slab: int = usual.n_slab(64)
    tr_s: float = number(0.3, "TR", unit="ms", low=0.01, high=5.0, help="From one excitation to the next.", group="Contrast")
    echo_spacing_s: float = number(
        0.008, "Echo spacing", unit="ms", low=0.001, high=0.1, help="From one spin echo to the next.", group="Contrast"
    )
    echo_train_length: int = integer(
        16, "Echo train length", low=1, high=128, help="Spin echoes after one excitation.", group="Contrast"
    )
    bandwidth_hz: float = usual.bandwidth(
        40e3, text="Over the field of view in read. Balls may move by less than half their distance."
    )
    dummy_shots: int = integer(2, "Dummy shots", low=0, high=20, help="Shots before the first measurement.", group="Readout")
    averages: int = usual.averages()
    rf_s: float = number(
        80e-6, "RF pulse length", unit="us", low=10e-6, high=1e-3, help="Of the 90° pulse; the 180° takes twice.", group="RF"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Pulses, readout, lengths of the blocks between them [s] and the order of lines."""

    excite: Pulse
    refocus: Pulse
    readout: Readout
    prephase_s: float
    encode_s: float
    rewind_s: float
    spoil_s: float
    wait_s: float
    tr_s: float
    spacing_s: float
    trains: list[list[tuple[int, int]]]


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    shot = _Shot(p, system, plan, player)
    n_echoes, centre = len(plan.trains[0]), (p.n_phase // 2, p.n_slab // 2)
    for _ in range(p.dummy_shots):
        shot.play([(EMPTY, centre[1])] * n_echoes, 0, {})
    for average in range(p.averages):
        for train in plan.trains:
            for way in (0, 1):
                shot.play(train, way, {"AVG": average, "SET": way, "REV": way})
    echo = next(train.index(centre) for train in plan.trains if centre in train)
    return player.define(
        ScanningSequence="SE",
        FOV=[p.fov_m] * 3,
        Matrix=[plan.readout.n_samples, p.n_phase, p.n_slab],
        RepetitionTime=plan.tr_s,
        EchoSpacing=plan.spacing_s,
        EffectiveEchoTime=round((echo + 1) * plan.spacing_s, 9),
        EchoTrainLength=n_echoes,
        Bandwidth=1 / plan.readout.dwell_s,
        FlipAngle=PI / 2,
        Averages=p.averages,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Everything that is settled before the first block, or what must change for it to be possible."""
    excite = system.hard_pulse(PI / 2, p.rf_s, use="excitation")
    refocus = system.hard_pulse(PI, p.rf_s, times=2, use="refocusing", phase_rad=PI / 2)
    n_read, dwell_s = p.n_read // 2 * 2 + 1, dwell_for(p.bandwidth_hz)
    readout = system.readout(p.fov_m, n_read, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_m")
    spacing_s, tr_s = nearest(p.echo_spacing_s, 2 * RASTER_S), nearest(p.tr_s)
    half_s, centre_s, lobe_s = spacing_s / 2, readout.duration_s / 2, system.lobe_s(_largest_area(p))
    shortest_s = up(
        2
        * max(
            excite.after_s + up(system.lobe_s(max(readout.area_per_m / 2, _crusher(p)))) + refocus.centre_s,
            refocus.after_s + up(max(lobe_s, system.dead_time_s + readout.guard_s)) + centre_s,
            centre_s + up(max(lobe_s, readout.guard_s)) + refocus.centre_s,
        ),
        2 * RASTER_S,
    )
    if spacing_s < shortest_s - 1e-9:
        raise SequenceError(
            f"Echo spacing (echo_spacing_s) {show(spacing_s, 'ms', 4)} is too short: pulses, encoding and the readout of "
            f"{show(readout.duration_s, 'ms', 4)} need {show(shortest_s, 'ms', 4)}.",
            f"Set echo spacing to {shortest_s * 1e3:.2f} ms or more.",
        )
    trains = grid_trains((p.n_phase, p.n_slab), (0, 0), p.echo_train_length, "centre-out", elliptical=False)
    spoil_s = max(2e-3, up(system.lobe_s(4 * _crusher(p))))
    shot_s = round(excite.centre_s + (len(trains[0]) + 0.5) * spacing_s - refocus.centre_s + spoil_s, 9)
    if tr_s < shot_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: {len(trains[0])} echoes take {show(shot_s, 'ms', 5)}.",
            f"Set TR to {up(shot_s, 1e-4) * 1e3:.1f} ms or more, or take fewer echoes.",
        )
    return Plan(
        excite=excite,
        refocus=refocus,
        readout=readout,
        prephase_s=round(half_s - excite.after_s - refocus.centre_s, 9),
        encode_s=round(half_s - refocus.after_s - centre_s, 9),
        rewind_s=round(half_s - centre_s - refocus.centre_s, 9),
        spoil_s=spoil_s,
        wait_s=round(tr_s - shot_s, 9),
        tr_s=tr_s,
        spacing_s=spacing_s,
        trains=trains,
    )


class _Shot:
    """Plays one excitation with its echo train, either way."""

    def __init__(self, p: Parameters, system: System, plan: Plan, player: Player) -> None:
        self._plan, self._player, once = plan, player, player.once
        self._centre, readout, crusher = (p.n_phase // 2, p.n_slab // 2), plan.readout, _crusher(p)
        prephase = system.lobe(max(readout.area_per_m / 2, crusher), plan.prephase_s)
        lobe = system.lobe(_largest_area(p), min(plan.encode_s, plan.rewind_s))
        self._gx_pre = [once(prephase.make("x", way * readout.area_per_m / 2)) for way in (1, -1)]
        self._gx = [once(readout.lobe.make("x", way * readout.area_per_m)) for way in (1, -1)]
        self._gz_pre, self._refocus = once(prephase.make("z", crusher)), once(plan.refocus.event)
        self._spoil = once(system.lobe(4 * crusher, plan.spoil_s).make("z", 4 * crusher))
        self._excite, self._adc = once(plan.excite.event), once(readout.adc(system))
        lines = [encode(line, p.n_phase, p.fov_m) for line in range(p.n_phase)]
        pars = [encode(par, p.n_slab, p.fov_m) for par in range(p.n_slab)]
        self._gy = [(once(lobe.make("y", area)), once(lobe.make("y", -area))) for area in lines]
        self._gz = [(once(lobe.make("z", crusher + area)), once(lobe.make("z", crusher - area))) for area in pars]

    def play(self, train: list[tuple[int, int]], way: int, labels: dict[str, int]) -> None:
        """Add one shot; an echo without a line, or without labels, is played but not received."""
        plan, player = self._plan, self._player
        player.block(plan.excite.block_s, self._excite)
        player.block(plan.prephase_s, self._gx_pre[way], self._gz_pre)
        for echo, (line, par) in enumerate(train):
            is_taken = bool(labels) and line != EMPTY
            taken = [self._adc, *player.labels(LIN=line, PAR=par, SEG=echo, **labels)] if is_taken else []
            forth, back = self._gy[line if line != EMPTY else self._centre[0]]
            crush, uncrush = self._gz[par if par != EMPTY else self._centre[1]]
            player.block(plan.refocus.block_s, self._refocus)
            player.block(plan.encode_s, forth, crush)
            player.block(plan.readout.duration_s, self._gx[way], *taken)
            player.block(plan.rewind_s, back, uncrush)
        player.block(plan.spoil_s, self._spoil)
        if plan.wait_s:
            player.block(plan.wait_s)


def _crusher(p: Parameters) -> float:
    """Area of one crusher [1/m]: two turns over a voxel."""
    return 2 * max(p.n_slab, 8) / p.fov_m


def _largest_area(p: Parameters) -> float:
    """Largest area of an encoding lobe, crusher included [1/m]."""
    return max(abs(encode(0, p.n_phase, p.fov_m)), abs(encode(0, p.n_slab, p.fov_m)) + _crusher(p))
