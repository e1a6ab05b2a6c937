# SPDX-License-Identifier: MIT
"""RF pulses: envelopes on the transmitter's codes, and the amplifier's gate.

Pulseq defines a pulse as amplitude · shape · exp(i (phase + 2π frequency t)), t from the start of the shape.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.kspace import Moments
from isocenter.compiler.interpret.timeline import Timeline
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.errors import CompileError, LimitError
from isocenter.domain.events import TX_FULL_SCALE, Track
from isocenter.domain.scanner import Calibration, Scanner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_HOLD_S: Final = 1e-6
"""Shapes finer than this are averaged, and lines are drawn in steps of it [s]."""
_EXCITATION_BELOW_RAD: Final = 1.75  # 100 degrees: a pulse of unknown use with less is taken as an excitation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulses:
    """Every RF pulse of the scan in order; arrays of length n.

    Attributes
    ----------
    block, event
        Rows of the block and of the RF event.
    start_tick, stop_tick, centre_tick
        Of the shape, on the scan's absolute ticks, float64.
    phase_rad, frequency_hz
        With ppm parts and the shift of the field of view; at the start of the shape [rad, Hz].
    offset_hz
        The frequency as the file has it, without the shift of the field of view [Hz].
    kind
        e, r, i, s, p or o; unknown ones are e or r by their flip angle.
    flip_rad
        Nominal flip angle [rad].
    """

    block: Ints
    event: Ints
    start_tick: Floats
    stop_tick: Floats
    centre_tick: Floats
    phase_rad: Floats
    frequency_hz: Floats
    offset_hz: Floats
    kind: NDArray[np.str_]
    flip_rad: Floats


def find_pulses(file: PulseqFile, timeline: Timeline, lo_hz: float) -> Pulses:
    """All pulses, not yet shifted to the field of view."""
    rf, clock_hz = file.rf, timeline.clock_hz
    block = np.flatnonzero(file.blocks.rf >= 0)
    event = file.blocks.rf[block]
    start = timeline.start_ticks[block] + rf.delay_s[event] * clock_hz
    flips = np.array([_flip_rad(file, row) for row in range(len(rf.amplitude_hz))])
    guess = np.where(flips <= _EXCITATION_BELOW_RAD, "e", "r")
    kinds = np.where(rf.use == "u", guess, rf.use) if len(flips) else np.empty(0, dtype="U1")
    offset_hz = (rf.frequency_hz + rf.frequency_ppm * lo_hz * 1e-6)[event]
    return Pulses(
        block=block,
        event=event,
        start_tick=start,
        stop_tick=start + rf.duration_s[event] * clock_hz,
        centre_tick=start + rf.center_s[event] * clock_hz,
        phase_rad=(rf.phase_rad + rf.phase_ppm * lo_hz * 1e-6)[event],
        frequency_hz=offset_hz,
        offset_hz=offset_hz,
        kind=kinds[event],
        flip_rad=flips[event],
    )


def _flip_rad(file: PulseqFile, row: int) -> float:
    """Flip angle on resonance for pulses of constant phase [rad]."""
    rf = file.rf
    if rf.on_raster[row]:
        area_s = complex(np.sum(rf.envelope[row])) * file.rf_raster_s
    else:
        area_s = complex(np.trapezoid(rf.envelope[row], rf.times_s[row]))
    return float(2 * np.pi * abs(rf.amplitude_hz[row] * area_s))


def shift_pulses(pulses: Pulses, moments: Moments, shift_m: Floats, clock_hz: float) -> Pulses:
    """Pulses that excite around ``shift_m`` (logical axes [m]) what they would have excited around the isocenter.

    The frequency gains γ/2π G·r0; the phase at the pulse's centre stays.

    Raises
    ------
    CompileError
        When a gradient along the shift changes during a pulse.
    """
    if not len(pulses.block) or not np.any(shift_m):
        return pulses
    at = np.linspace(0, 1, 5)[:, None] * (pulses.stop_tick - pulses.start_tick) + pulses.start_tick
    phase = moments.at(at.ravel()).reshape(5, -1, 3) @ shift_m  # cycles
    length_s = (pulses.stop_tick - pulses.start_tick) / clock_hz
    extra_hz = (phase[4] - phase[0]) / length_s
    bent = np.abs(phase - phase[0] - np.linspace(0, 1, 5)[:, None] * (phase[4] - phase[0])).max(axis=0)
    if np.any(bent > 1e-3):
        worst = int(np.argmax(bent))
        raise CompileError(
            f"The gradient changes during the RF pulse of block {pulses.block[worst] + 1} "
            f"(at {pulses.start_tick[worst] / clock_hz:.6g} s), so the pulse cannot be moved off the isocenter.",
            "Set the centre of the field of view to the isocenter, or use a sequence with constant gradients during pulses.",
        )
    centre_s = (pulses.centre_tick - pulses.start_tick) / clock_hz
    return _replace(pulses, pulses.frequency_hz + extra_hz, pulses.phase_rad - 2 * np.pi * extra_hz * centre_s)


def _replace(pulses: Pulses, frequency_hz: Floats, phase_rad: Floats) -> Pulses:
    from dataclasses import replace

    return replace(pulses, frequency_hz=frequency_hz, phase_rad=phase_rad)


def _held(file: PulseqFile, row: int, fine: bool) -> tuple[Floats, Floats, NDArray[np.complex128]]:
    """Steps of one shape: edges (n + 1), centres (n) [s after its start], complex values (n)."""
    rf = file.rf
    times_s, envelope = rf.times_s[row], rf.envelope[row]
    if rf.on_raster[row]:
        step_s = file.rf_raster_s
        group = max(1, round(MIN_HOLD_S / step_s)) if step_s < 0.999 * MIN_HOLD_S else 1
        edges_s = np.append(times_s - step_s / 2, times_s[-1] + step_s / 2)
        if group > 1:
            starts = np.arange(0, len(envelope), group)
            envelope = np.asarray(
                np.add.reduceat(envelope, starts) / np.diff(np.append(starts, len(envelope))), np.complex128
            )
            edges_s = np.append(edges_s[starts], edges_s[-1])
        return edges_s, 0.5 * (edges_s[1:] + edges_s[:-1]), envelope
    if not fine and np.ptp(envelope.real) < 1e-9 and np.ptp(envelope.imag) < 1e-9:
        edges_s = times_s[[0, -1]]
        return edges_s, edges_s[:1] + np.diff(edges_s) / 2, envelope[:1]
    steps = max(1, round((times_s[-1] - times_s[0]) / max(MIN_HOLD_S, file.rf_raster_s)))
    edges_s = np.linspace(times_s[0], times_s[-1], steps + 1)
    centres_s = 0.5 * (edges_s[1:] + edges_s[:-1])
    return edges_s, centres_s, np.interp(centres_s, times_s, envelope).astype(np.complex128)


def play_pulses(file: PulseqFile, pulses: Pulses, scanner: Scanner, calibration: Calibration) -> tuple[Track, Track]:
    """Codes of tx0_i and tx0_q over the whole scan, on its absolute ticks.

    Raises
    ------
    LimitError
        When a pulse needs more than the transmitter's full scale.
    """
    from isocenter.compiler.interpret.envelopes import modulate

    if not len(pulses.block):
        return Track(np.empty(0, np.int64), np.empty(0, np.int32)), Track(np.empty(0, np.int64), np.empty(0, np.int32))
    scale = _scales(file, pulses, scanner, calibration)
    fine = pulses.frequency_hz != 0
    keys, variant = np.unique(pulses.event * 2 + fine, return_inverse=True)
    shapes = [_held(file, int(key) // 2, bool(key % 2)) for key in keys]
    counts = np.array([len(values) for _, _, values in shapes], dtype=np.int64)
    first = np.cumsum(counts) - counts
    clock_hz = scanner.console.clock_hz
    i_t, i_v, q_t, q_v = modulate(
        (
            np.concatenate([edges[:-1] for edges, _, _ in shapes]) * clock_hz,
            np.array([e[-1] for e, _, _ in shapes]) * clock_hz,
        ),
        np.concatenate([centres for _, centres, _ in shapes]),
        np.concatenate([values for _, _, values in shapes]),
        (first, counts, variant.astype(np.int64)),
        (pulses.start_tick, pulses.phase_rad, pulses.frequency_hz, scale * TX_FULL_SCALE),
    )
    return Track(i_t, i_v), Track(q_t, q_v)


def _scales(file: PulseqFile, pulses: Pulses, scanner: Scanner, calibration: Calibration) -> NDArray[np.complex128]:
    """Factor from each pulse's shape to a fraction of full scale, RF shim weight included."""
    full_hz = scanner.rf.full_scale_hz * calibration.rf_scale
    weights = np.ones(len(file.extension_sets) + 1, dtype=np.complex128)
    for row, extension in enumerate(file.extension_sets):
        if extension.rf_shim:
            weights[row] = extension.rf_shim[0]
    scale = file.rf.amplitude_hz[pulses.event] / full_hz * weights[file.blocks.extension[pulses.block]]
    peak = np.array([np.abs(envelope).max(initial=0.0) for envelope in file.rf.envelope])[pulses.event] * np.abs(scale)
    if np.any(~(peak <= 1 + 1e-6)):
        worst = int(np.argmax(peak))
        raise LimitError(
            f"The RF pulse of block {file.blocks.number[pulses.block[worst]]} at "
            f"{pulses.start_tick[worst] / scanner.console.clock_hz:.6g} s needs {peak[worst] * full_hz:.5g} Hz of B1; the "
            f"transmitter's full scale is {full_hz:.5g} Hz.",
            f"Lower the flip angle by {100 * (1 - 1 / peak[worst]):.1f} %, or make it {peak[worst]:.2f} times longer.",
        )
    return np.asarray(scale)


def tx_gate_spans(pulses: Pulses, scanner: Scanner) -> tuple[Ints, Ints]:
    """When the RF amplifier is unblanked: from warm-up to hold; spans that touch are one."""
    clock_hz = scanner.console.clock_hz
    rise = np.floor(pulses.start_tick - scanner.rf.warmup_s * clock_hz).astype(np.int64)
    fall = np.ceil(pulses.stop_tick + scanner.rf.hold_s * clock_hz).astype(np.int64)
    return merge_spans(rise, fall)


def merge_spans(rise: Ints, fall: Ints) -> tuple[Ints, Ints]:
    """Union of spans."""
    if not len(rise):
        return rise, fall
    order = np.argsort(rise, kind="stable")
    rise, fall = rise[order], np.maximum.accumulate(fall[order])
    new = np.concatenate([[True], rise[1:] > fall[:-1] + 1])
    return rise[new], fall[np.append(np.flatnonzero(new)[1:] - 1, len(fall) - 1)]
