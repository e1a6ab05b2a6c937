# SPDX-License-Identifier: MIT
"""3D turbo spin echo with hard pulses.

Each shot: 90° (phase 0), then a train of 180° pulses (phase 90°, CPMG), one line of k-space per echo.

- Half the readout's area lies before the first 180°, so every echo has k = 0 at its centre sample, where the spin echo is.
- Phase encodes are rewound before the next 180°; crushers of equal area stand on both sides of each 180°.
- All shots of a partition measure the same band of lines at the same echo, see ``echo_trains``. SEG counts echoes.
- Every second average has the 90° and the receiver turned by 180°, which cancels what the 180° pulses alone give.
- The spoilers behind the trains point in other directions from shot to shot, so that none refocuses what one before has
  left: fluid would be brighter by it, and by how much depends on every rest being the same to a fraction of a turn.
- With a TI a 180° pulse and a spoiler come first: T1 weighting, or no fluid (FLAIR).
- Navigators are one more echo at the end of every train, without phase encoding, of which every so many are received (NAV).
- Reference shots come first, without phase encoding (REF and NAV): they show how the echoes of a train differ, which would
  give ghosts, and are no part of a picture. None with a readout shift, at every echo, or with one echo a train.
- With a readout shift each train is played twice, the second time (SET 1) with all readouts that much after the spin
  echo: the phase between the two is a map of the field.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    DWELL_RASTER_S,
    EMPTY,
    EVERY_ECHO,
    ORDERS,
    RASTER_S,
    Player,
    Pulse,
    Readout,
    SequenceError,
    System,
    choice,
    dwell_for,
    encode,
    grid_trains,
    integer,
    kept_from,
    nearest,
    number,
    show,
    spoil_directions,
    turned,
    up,
    usual,
)

TITLE = "3D turbo spin echo"
SUMMARY = "Echo trains after one excitation, the whole coil's volume in thin partitions: T2, proton density or T1 contrast."
RECON = "cartesian"
PIPELINE = (
    *("receive", "interference", "drift", "whiten"),
    ("echo_train", {"method": "measured", "amplitude": "even"}),
    *("average", "sort", "partial_fourier", "filter", "oversampling", "zero_fill", "transform", "combine", "output"),
)
CLINICAL = True

PI = 3.141592653589793


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase()
    fov_slab_m: float = usual.fov_slab(reason="The pulses excite everything in the coil, so this must cover it.")
    n_read: int = usual.n_read(96)
    n_phase: int = usual.n_phase(80)
    n_slab: int = usual.n_slab(24)
    tr_s: float = number(
        0.5, "TR", unit="ms", low=0.01, high=10.0, help="From one excitation to the next.", group="Contrast"
    )
    echo_spacing_s: float = number(
        0.012,
        "Echo spacing",
        unit="ms",
        low=0.001,
        high=0.1,
        help="From one echo of the train to the next.",
        group="Contrast",
    )
    echo_train_length: int = integer(
        8, "Echo train length", low=1, high=128, help="Echoes after one excitation.", group="Contrast"
    )
    order: str = choice(
        "linear",
        "Order",
        choices=(*ORDERS, EVERY_ECHO),
        help="When the centre of k-space is measured: in mid-train, first or last. This sets the effective echo time. Or at "
        "every echo, which gives an image for each (ECO), for a map of T2.",
        group="Contrast",
    )
    ti_s: float = number(
        0.0,
        "TI",
        unit="ms",
        low=0.0,
        high=5.0,
        help="From an inversion pulse to the excitation; 0 for none.",
        group="Contrast",
    )
    bandwidth_hz: float = number(
        20e3,
        "Bandwidth",
        unit="kHz",
        low=2e3,
        high=250e3,
        help="Over the field of view in read. More needs more gradient and gives more noise, less needs more time.",
        group="Readout",
    )
    averages: int = usual.averages()
    partial_phase: float = usual.partial_phase()
    partial_slab: float = usual.partial_slab()
    elliptical: bool = usual.elliptical()
    navigator_every: int = integer(
        0,
        "Navigators",
        low=0,
        high=100,
        help="One every so many shots, to follow the magnet's drift; 0 for none.",
        group="Readout",
    )
    reference_shots: int = integer(
        1,
        "Reference shots",
        low=0,
        high=16,
        help="Shots before the first measurement by which the echoes of a train are made alike; 0 for none.",
        group="Readout",
    )
    readout_shift_s: float = number(
        0.0,
        "Readout shift",
        unit="ms",
        low=0.0,
        high=0.01,
        help="Measure twice, the second time this long after the echo, for a map of the field; 0 for once.",
        group="Readout",
    )
    dummy_shots: int = integer(
        2,
        "Dummy shots",
        low=0,
        high=20,
        help="Shots before the first measurement, to reach the steady state.",
        group="Readout",
    )
    rf_s: float = number(
        80e-6,
        "RF pulse length",
        unit="us",
        low=10e-6,
        high=1e-3,
        help="Of the 90° pulse; the 180° pulse lasts twice as long at the same amplitude.",
        group="RF",
    )
    flip_rad: float = number(
        PI / 2, "Flip angle", unit="deg", low=PI / 36, high=PI / 2, help="Of the excitation.", group="RF"
    )
    crusher: float = number(
        2.0,
        "Crushers",
        unit="",
        low=0.0,
        high=8.0,
        help="Turns of phase across a partition on each side of a 180° pulse.",
        group="RF",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Lengths of the blocks between two pulses and the readout, for one dwell time."""

    readout: Readout
    prephase_s: float
    encode_s: float
    rewind_s: float
    shift_s: float
    shortest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is settled before the first block is added."""

    excite: Pulse
    refocus: Pulse
    timing: Timing
    spacing_s: float
    tr_s: float
    ti_s: float
    spoil_s: float
    wait_s: float
    last_s: float
    trains: list[list[tuple[int, int]]]


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    shot = _Shot(p, system, plan, player)
    n_echoes, centre = len(plan.trains[0]), (p.n_phase // 2, p.n_slab // 2)
    for _ in range(p.dummy_shots):
        shot.play([(EMPTY, centre[1])] * n_echoes, 0, {}, navigate=False)
    has_reference = n_echoes > 1 and p.order != EVERY_ECHO and not plan.timing.shift_s
    for average in range(p.reference_shots if has_reference else 0):
        shot.play([centre] * n_echoes, 0, {"AVG": average, "NAV": 1, "REF": 1}, navigate=False)
    sets = range(2 if plan.timing.shift_s else 1)
    trains = [(average, train, number_of) for average in range(p.averages) for train in plan.trains for number_of in sets]
    for count, (average, train, number_of) in enumerate(trains):
        labels = {"AVG": average} | ({"SET": number_of} if len(sets) > 1 else {})
        navigate = bool(p.navigator_every) and count % p.navigator_every == 0
        shot.play(train, number_of, labels, navigate=navigate)
    echo_s = round((next(train.index(centre) for train in plan.trains if centre in train) + 1) * plan.spacing_s, 9)
    extra: Any = {"InversionTime": plan.ti_s} if plan.ti_s else {}
    if p.order == EVERY_ECHO:
        extra["EchoTimes"] = [round((echo + 1) * plan.spacing_s, 9) for echo in range(n_echoes)]
    if plan.timing.shift_s:
        extra["EvolutionTimes"] = [0.0, plan.timing.shift_s]
    return player.define(
        ScanningSequence="SE",
        FOV=[p.fov_read_m, p.fov_phase_m, p.fov_slab_m],
        Matrix=[p.n_read, p.n_phase, p.n_slab],
        RepetitionTime=plan.tr_s,
        EchoSpacing=plan.spacing_s,
        EffectiveEchoTime=echo_s,
        EchoTrainLength=n_echoes,
        Bandwidth=1 / plan.timing.readout.dwell_s,
        FlipAngle=p.flip_rad,
        Averages=p.averages,
        Order=p.order,
        **extra,
    )


def _plan(p: Parameters, system: System) -> Plan:
    """Pulses, timing and order, or what must change for them to be possible."""
    excite = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation")
    refocus = system.hard_pulse(PI, p.rf_s, times=2, use="refocusing", phase_rad=PI / 2)
    spacing_s, tr_s, ti_s = nearest(p.echo_spacing_s, 2 * RASTER_S), nearest(p.tr_s), nearest(p.ti_s)
    timing = _timing(p, system, excite, refocus, spacing_s, dwell_for(p.bandwidth_hz))
    if spacing_s < timing.shortest_s - 1e-9:
        raise _too_short(p, system, excite, refocus, spacing_s, timing)
    skip = kept_from(p.n_phase, p.partial_phase), kept_from(p.n_slab, p.partial_slab)
    trains = grid_trains((p.n_phase, p.n_slab), skip, p.echo_train_length, p.order, elliptical=p.elliptical)
    n_echoes = len(trains[0]) + bool(p.navigator_every)
    spoil_s = max(2e-3, up(system.lobe_s(_spoiler(p))))
    shortest_ti_s = round(refocus.after_s + spoil_s + excite.centre_s, 9)
    if 0 < ti_s < shortest_ti_s - 1e-9:
        raise SequenceError(
            f"TI (ti_s) {show(ti_s, 'ms', 4)} is too short: pulses and spoiler take {show(shortest_ti_s, 'ms', 4)}.",
            f"Set TI to {shortest_ti_s * 1e3:.2f} ms or more, or to 0 for no inversion.",
        )
    before_s = refocus.centre_s + ti_s if ti_s else excite.centre_s
    overhead_s = before_s + spacing_s / 2 - refocus.centre_s + spoil_s
    shot_s = round(overhead_s + n_echoes * spacing_s, 9)
    if tr_s < shot_s - 1e-9:
        fits = int((tr_s - overhead_s) / spacing_s + 1e-9) - bool(p.navigator_every)
        fewer = f", or echo train length to {fits} or less" if fits >= 1 else ""
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: a train of {n_echoes} echoes takes {show(shot_s, 'ms', 5)}.",
            f"Set TR to {up(shot_s, 1e-4) * 1e3:.1f} ms or more{fewer}.",
        )
    return Plan(
        excite=excite,
        refocus=refocus,
        timing=timing,
        spacing_s=spacing_s,
        tr_s=tr_s,
        ti_s=ti_s,
        spoil_s=spoil_s,
        wait_s=round(ti_s - refocus.after_s - excite.centre_s, 9) if ti_s else 0.0,
        last_s=spoil_s + tr_s - shot_s,
        trains=trains,
    )


class _Shot:
    """Plays one excitation with its echo train."""

    def __init__(self, p: Parameters, system: System, plan: Plan, player: Player) -> None:
        self._plan, self._player, self._has_navigator = plan, player, p.navigator_every > 0
        self._is_every_echo = p.order == EVERY_ECHO
        self._centre, timing, readout, once = (p.n_phase // 2, p.n_slab // 2), plan.timing, plan.timing.readout, player.once
        crusher, largest = _crusher(p), _largest_area(p)
        lobe_s = min(timing.encode_s, timing.rewind_s - timing.shift_s, max(2e-3, up(system.lobe_s(largest))))
        lobe = system.lobe(largest, lobe_s)
        prephase = system.lobe(max(readout.area_per_m / 2, crusher), timing.prephase_s)
        self._gx_pre, self._gz_pre = once(prephase.make("x", readout.area_per_m / 2)), once(prephase.make("z", crusher))
        self._gx, self._refocus = once(readout.gradient()), once(plan.refocus.event)
        spoiler = system.lobe(_spoiler(p), plan.spoil_s)
        self._spoil, self._n_shots = once(spoiler.make("z", _spoiler(p))), 0
        self._spoilers = [
            [once(spoiler.make(axis, share * _spoiler(p))) for axis, share in zip("xyz", shares, strict=True)]
            for shares in spoil_directions()
        ]
        if plan.ti_s:
            self._invert = once(system.hard_pulse(PI, p.rf_s, times=2, use="inversion").event)
        self._turned = [(once(turned(plan.excite.event, phase)), once(readout.adc(system, phase))) for phase in (0.0, PI)]
        lines = [encode(line, p.n_phase, p.fov_phase_m) for line in range(p.n_phase)]
        pars = [encode(par, p.n_slab, p.fov_slab_m) for par in range(p.n_slab)]
        self._gy = [(once(lobe.make("y", area)), once(lobe.make("y", -area))) for area in lines]
        self._gz = [(once(lobe.make("z", crusher + area)), once(lobe.make("z", crusher - area))) for area in pars]

    def play(self, train: list[tuple[int, int]], number_of: int, labels: dict[str, int], *, navigate: bool) -> None:
        """Add one shot; an echo without a line, or without labels, is played but not received."""
        plan, player, shift_s = self._plan, self._player, number_of * self._plan.timing.shift_s
        excite, adc = self._turned[labels.get("AVG", 0) % 2]
        if plan.ti_s:
            player.block(plan.refocus.block_s, self._invert)
            player.block(plan.wait_s, self._spoil)
        player.block(plan.excite.block_s, excite)
        player.block(plan.timing.prephase_s, self._gx_pre, self._gz_pre)
        nav = {"NAV": 0} if self._has_navigator and "NAV" not in labels else {}
        for echo, (line, par) in enumerate(train):
            eco = {"SEG": echo} | ({"ECO": echo} if self._is_every_echo else {})
            taken = [adc, *player.labels(LIN=line, PAR=par, **labels, **nav, **eco)] if labels and line != EMPTY else []
            self._echo(line, par, shift_s, taken)
        if self._has_navigator:
            line, par = self._centre
            nav = {"NAV": 1, "SEG": len(train)}
            self._echo(line, par, shift_s, [adc, *player.labels(LIN=line, PAR=par, **labels, **nav)] if navigate else [])
        back = {name: 0 for name in ("NAV", "REF") if name in labels}
        spoilers = self._spoilers[self._n_shots % len(self._spoilers)]
        player.block(plan.last_s, *spoilers, *player.labels(**back))
        self._n_shots += 1

    def _echo(self, line: int, par: int, shift_s: float, taken: list[Any]) -> None:
        plan, player, timing = self._plan, self._player, self._plan.timing
        forth, back = self._gy[line if line != EMPTY else self._centre[0]]
        crush, uncrush = self._gz[par if par != EMPTY else self._centre[1]]
        player.block(plan.refocus.block_s, self._refocus)
        player.block(timing.encode_s + shift_s, forth, crush)
        player.block(timing.readout.duration_s, self._gx, *taken)
        player.block(timing.rewind_s - shift_s, back, uncrush)


def _crusher(p: Parameters) -> float:
    """Area of one crusher [1/m]."""
    return p.crusher * p.n_slab / p.fov_slab_m


def _spoiler(p: Parameters) -> float:
    """Area of the spoiler at the end of a shot [1/m]."""
    return 2 * _crusher(p) + 4 * p.n_slab / p.fov_slab_m


def _largest_area(p: Parameters) -> float:
    """Largest area of a phase-encoding lobe, crusher included [1/m]."""
    return max(abs(encode(0, p.n_phase, p.fov_phase_m)), abs(encode(0, p.n_slab, p.fov_slab_m)) + _crusher(p))


def _timing(p: Parameters, system: System, excite: Pulse, refocus: Pulse, spacing_s: float, dwell_s: float) -> Timing:
    """Blocks that put the spin echo and k = 0 on the same sample, and the shortest echo spacing."""
    readout = system.readout(p.fov_read_m, p.n_read, dwell_s, bandwidth_name="bandwidth_hz", fov_name="fov_read_m")
    half_s, centre_s, shift_s = spacing_s / 2, readout.duration_s / 2, nearest(p.readout_shift_s)
    encode_needs_s = up(max(system.lobe_s(_largest_area(p)), system.dead_time_s + readout.guard_s))
    rewind_needs_s = up(max(system.lobe_s(_largest_area(p)), readout.guard_s))
    prephase_needs_s = up(system.lobe_s(max(readout.area_per_m / 2, _crusher(p))))
    shortest_s = 2 * max(
        excite.after_s + prephase_needs_s + refocus.centre_s,
        refocus.after_s + encode_needs_s + centre_s,
        centre_s + shift_s + rewind_needs_s + refocus.centre_s,
    )
    return Timing(
        readout=readout,
        prephase_s=round(half_s - excite.after_s - refocus.centre_s, 9),
        encode_s=round(half_s - refocus.after_s - centre_s, 9),
        rewind_s=round(half_s - centre_s - refocus.centre_s, 9),
        shift_s=shift_s,
        shortest_s=up(shortest_s, 2 * RASTER_S),
    )


def _too_short(
    p: Parameters, system: System, excite: Pulse, refocus: Pulse, spacing_s: float, timing: Timing
) -> SequenceError:
    """The refusal, with the bandwidth that would do where there is one."""
    remedy = f"Set echo spacing to {timing.shortest_s * 1e3:.2f} ms or more"
    dwell_s = timing.readout.dwell_s - DWELL_RASTER_S
    while dwell_s > 0 and 1 / (dwell_s * p.fov_read_m) <= system.max_grad_hz_per_m and 1 / dwell_s <= 250e3:
        if _timing(p, system, excite, refocus, spacing_s, dwell_s).shortest_s <= spacing_s + 1e-9:
            remedy += f", or raise the bandwidth to {show(1 / dwell_s, 'kHz', 4)} or more"
            break
        dwell_s = round(dwell_s - DWELL_RASTER_S, 9)
    return SequenceError(
        f"Echo spacing (echo_spacing_s) {show(spacing_s, 'ms', 4)} is too short: pulses, phase encoding and this readout of "
        f"{show(timing.readout.duration_s, 'ms', 4)} need at least {timing.shortest_s * 1e3:.2f} ms.",
        f"{remedy}.",
    )
