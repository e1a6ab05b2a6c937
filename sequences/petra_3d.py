# SPDX-License-Identifier: MIT
"""3D PETRA: half spokes with the gradient already on during the pulse, and the centre point by point.

The signal is read as soon as coil and receiver allow, so that tissue of very short T2 is seen: bone, tendon, teeth, solids.
What the dead time hides of each spoke, a ball around the centre of k-space, is measured on a Cartesian grid, one point a
shot: with a weaker gradient the same time after the pulse leads to the grid point.

- SET 0 marks half spokes, evenly spread over all directions; SET 1 the points, whose sample 0 lies on the grid. LIN counts.
- The pulse must be short, since the gradient would make a long one selective; its flip angle is small therefore.
- The pulse's phase grows quadratically in steps of 117°, and a spoiler follows each readout.
"""

import math
from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import (
    DWELL_RASTER_S,
    GUARD_DWELLS,
    RF_RASTER_S,
    Lobe,
    Player,
    Pulse,
    SequenceError,
    System,
    dwell_for,
    integer,
    nearest,
    number,
    pp,
    show,
    sphere_directions,
    spoil_phase_deg,
    up,
)

TITLE = "3D PETRA"
SUMMARY = "Signal within a fraction of a millisecond after the pulse: tissue of very short T2."
RECON = "noncartesian"
CLINICAL = True

PI = 3.141592653589793
OVERSAMPLING = 4
SETTLE_S = 100e-6  # from the end of a ramp to the pulse
SELECTIVE = 0.6  # turns across the field of view during the pulse; the edge then gets 86 % of the flip angle


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_m: float = number(
        0.22,
        "Field of view",
        unit="mm",
        low=0.01,
        high=0.5,
        help="In all directions; must cover what the coil sees.",
        group="Geometry",
    )
    n_matrix: int = integer(48, "Matrix", low=8, high=256, help="Voxels in each direction.", group="Geometry")
    n_spokes: int = integer(
        3000,
        "Half spokes",
        low=50,
        high=60000,
        help="All is sampled in full by 3.1 times the matrix squared.",
        group="Geometry",
    )
    tr_s: float = number(0.01, "TR", unit="ms", low=0.002, high=5.0, help="From one pulse to the next.", group="Contrast")
    flip_rad: float = number(
        PI / 18, "Flip angle", unit="deg", low=PI / 180, high=PI / 2, help="Of each pulse.", group="Contrast"
    )
    bandwidth_hz: float = number(
        20e3,
        "Bandwidth",
        unit="kHz",
        low=2e3,
        high=250e3,
        help="Over the field of view. More is sharper in an uneven field, and hides more of the centre in the dead time.",
        group="Readout",
    )
    averages: int = integer(1, "Averages", low=1, high=64, help="Times that everything is measured.", group="Readout")
    dummy_shots: int = integer(
        50, "Dummy shots", low=0, high=500, help="Pulses before the first measurement.", group="Readout"
    )
    rf_s: float = number(10e-6, "RF pulse length", unit="us", low=4e-6, high=100e-6, help="Of the hard pulse.", group="RF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Timing of a shot, counted from the start of its block."""

    pulse: Pulse
    lobe: Lobe
    pulse_at_s: float
    adc_delay_s: float
    first_s: float
    n_samples: int
    dwell_s: float
    amplitude_hz_per_m: float
    spoil_per_m: float
    spoil_s: float
    rest_s: float
    tr_s: float

    @property
    def hidden(self) -> float:
        """Radius of what the dead time hides, in steps of the grid."""
        return self.first_s / (self.dwell_s * OVERSAMPLING)


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    plan, player = _plan(p, system), Player(system)
    area = plan.amplitude_hz_per_m * (plan.lobe.duration_s - plan.lobe.rise_s)
    spoiler = player.once(system.lobe(plan.spoil_per_m, plan.spoil_s).make("z", plan.spoil_per_m))
    points = grid_ball(plan.hidden)
    shots = [(1, index, [step / plan.hidden for step in point]) for index, point in enumerate(points)]
    shots += [(0, index, direction) for index, direction in enumerate(sphere_directions(p.n_spokes))]
    played = [(part, index, _gradients(player, plan, area, direction)) for part, index, direction in shots]
    phased: dict[int, tuple[Any, Any]] = {}

    def spoiled(count: int) -> tuple[Any, Any]:
        degrees = spoil_phase_deg(count)
        if degrees not in phased:
            phased[degrees] = _events(p, system, plan, player, degrees / 180 * PI)
        return phased[degrees]

    count = 0
    for average in range(-1 if p.dummy_shots else 0, p.averages):
        for part, index, gradients in played if average >= 0 else played[-1:] * p.dummy_shots:
            rf, adc = spoiled(count)
            taken = [adc, *player.labels(SET=part, LIN=index, AVG=average)] if average >= 0 else []
            player.block(plan.lobe.duration_s, rf, *gradients, *taken)
            player.block(plan.rest_s, spoiler)
            count += 1
    return player.define(
        ScanningSequence="GR",
        Trajectory="petra",
        FOV=[p.fov_m] * 3,
        Matrix=[p.n_matrix] * 3,
        CentrePoints=len(points),
        HiddenRadius=plan.hidden,
        RepetitionTime=plan.tr_s,
        EffectiveEchoTime=plan.first_s,
        EchoTrainLength=1,
        Bandwidth=1 / (plan.dwell_s * OVERSAMPLING),
        FlipAngle=p.flip_rad,
        Averages=p.averages,
    )


def grid_ball(radius: float) -> list[tuple[int, int, int]]:
    """Points of the grid within a ball, from the centre outwards."""
    span = range(-int(radius), int(radius) + 1)
    inside = [(x, y, z) for x in span for y in span for z in span if x * x + y * y + z * z <= radius * radius]
    return sorted(inside, key=lambda point: sum(step * step for step in point))


def _gradients(player: Player, plan: Plan, area_per_m: float, share: Any) -> list[Any]:
    return [player.once(plan.lobe.make(axis, area_per_m * part)) for axis, part in zip("xyz", share, strict=True)]


def _events(p: Parameters, system: System, plan: Plan, player: Player, phase_rad: float) -> tuple[Any, Any]:
    """Pulse and readout with a phase."""
    rf = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation", phase_rad=phase_rad).event
    rf.delay = plan.pulse_at_s
    adc = pp.make_adc(
        num_samples=plan.n_samples,
        dwell=plan.dwell_s,
        delay=plan.adc_delay_s,
        phase_offset=phase_rad,
        system=system.opts,
    )
    return player.once(rf), player.once(adc)


def _plan(p: Parameters, system: System) -> Plan:
    """Pulse and timing, or what must change for them to be possible."""
    dwell_s = dwell_for(p.bandwidth_hz * OVERSAMPLING)
    bandwidth_hz = 1 / (dwell_s * OVERSAMPLING)
    line = system.readout(p.fov_m, p.n_matrix, dwell_s * OVERSAMPLING, bandwidth_name="bandwidth_hz", fov_name="fov_m")
    pulse = system.hard_pulse(p.flip_rad, p.rf_s, use="excitation")
    length_s = pulse.event.shape_dur
    if bandwidth_hz * length_s > SELECTIVE and length_s > p.rf_s + RF_RASTER_S:
        smaller_deg = math.floor(math.degrees(p.flip_rad) * SELECTIVE / (bandwidth_hz * length_s))
        raise SequenceError(
            f"The pulse has to last {show(length_s, 'us', 4)}, which is too long for a bandwidth of "
            f"{show(bandwidth_hz, 'kHz', 4)}: with the gradient on, the edge of the field of view would not be excited.",
            f"Lower the flip angle to {smaller_deg}° or less, or the bandwidth to "
            f"{int(SELECTIVE / length_s / 10) / 100:.2f} kHz or less.",
        )
    if bandwidth_hz * length_s > SELECTIVE:
        raise SequenceError(
            f"The pulse of {show(length_s, 'us', 4)} (rf_s) is too long for a bandwidth of {show(bandwidth_hz, 'kHz', 4)}: "
            "with the gradient on, the edge of the field of view would not be excited.",
            f"Set the RF pulse length to {int(SELECTIVE / bandwidth_hz * 5e5) * 2} us or less, or lower the bandwidth.",
        )
    pulse_at_s = round(up(max(line.rise_s + SETTLE_S, system.warmup_s) + length_s / 2) - length_s / 2, 9)
    after_s = up(length_s + system.dead_time_s + GUARD_DWELLS * dwell_s, RF_RASTER_S)
    first_s = round(after_s + dwell_s / 2 - length_s / 2, 9)
    n_samples = math.ceil(p.n_matrix / 2 * OVERSAMPLING - first_s / dwell_s) + 1
    if n_samples < OVERSAMPLING * p.n_matrix / 8:
        raise SequenceError(
            f"At a bandwidth (bandwidth_hz) of {show(bandwidth_hz, 'kHz', 4)} the dead time hides "
            f"{first_s * bandwidth_hz:.1f} of the {p.n_matrix / 2:g} steps from the centre of k-space to its edge.",
            f"Set the bandwidth to {_widest_hz(p, system, length_s) / 1e3:.2f} kHz or less.",
        )
    adc_delay_s = round(pulse_at_s + after_s, 9)
    flat_end_s = up(adc_delay_s + (n_samples + GUARD_DWELLS) * dwell_s)
    lobe = Lobe(duration_s=round(flat_end_s + line.rise_s, 9), rise_s=line.rise_s)
    spoil_per_m = 2 * p.n_matrix / p.fov_m
    spoil_s = up(max(1e-3, system.lobe_s(spoil_per_m)))
    tr_s, shot_s = nearest(p.tr_s), round(lobe.duration_s + spoil_s, 9)
    if tr_s < shot_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 4)} is too short: pulse, readout and spoiler take {show(shot_s, 'ms', 4)}.",
            f"Set TR to {shot_s * 1e3:.2f} ms or more, or raise the bandwidth.",
        )
    return Plan(
        pulse=pulse,
        lobe=lobe,
        pulse_at_s=pulse_at_s,
        adc_delay_s=adc_delay_s,
        first_s=first_s,
        n_samples=n_samples,
        dwell_s=dwell_s,
        amplitude_hz_per_m=line.amplitude_hz_per_m,
        spoil_per_m=spoil_per_m,
        spoil_s=spoil_s,
        rest_s=spoil_s + tr_s - shot_s,
        tr_s=tr_s,
    )


def _widest_hz(p: Parameters, system: System, length_s: float) -> float:
    """Largest bandwidth, on whole 10 Hz, at which no more than three quarters of the way to the edge are hidden."""
    dwell_s = DWELL_RASTER_S
    while True:
        first_s = system.dead_time_s + (GUARD_DWELLS + 0.5) * dwell_s + length_s / 2 + RF_RASTER_S
        n_samples = math.ceil(p.n_matrix / 2 * OVERSAMPLING - first_s / dwell_s) + 1
        bandwidth_hz = 1 / (dwell_s * OVERSAMPLING)
        if n_samples >= OVERSAMPLING * p.n_matrix / 8 and bandwidth_hz * length_s <= SELECTIVE:
            return math.floor(bandwidth_hz / 10) * 10
        dwell_s = round(dwell_s + DWELL_RASTER_S, 9)
