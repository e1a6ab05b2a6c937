# SPDX-License-Identifier: MIT
"""Receive windows: decimation, where they open and close, phase and frequency of every readout."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.kspace import Moments
from isocenter.compiler.interpret.pulses import Pulses
from isocenter.compiler.interpret.timeline import Timeline, labels_at
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.errors import CompileError
from isocenter.domain.events import Readouts
from isocenter.domain.receiver import MAX_DECIMATION, MIN_DECIMATION
from isocenter.domain.scanner import Scanner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARGIN_DWELLS: Final = (1.0, 3.0)
"""Clean raw samples around the first and last sample, at least and where there is room [dwells]."""
GATE_LEAD_TICKS: Final = 64
"""The receiver is connected this long before a window where there is room [ticks]."""
BETWEEN_TICKS: Final = 160
"""Least distance of two windows; a new decimation is set in between [ticks]."""
_BENT_CYCLES: Final = 2e-3  # deviation of the shift's phase from a straight line, up to which it counts as one
_MOST_OF_BAND: Final = 0.25  # of the sample rate, that a shift may move the field of view
_CHUNK: Final = 1 << 17  # samples at a time
RATE_LEAD_TICKS: Final = 80
"""A new decimation is set this long before its window [ticks]; 20 clocks are needed (reference marcos.md 10)."""


@dataclass(frozen=True, slots=True)
class _Room:
    """What a window may use [ticks, absolute]."""

    earliest: Floats
    latest: Floats


def find_readouts(
    file: PulseqFile, timeline: Timeline, scanner: Scanner, pulses: Pulses, gates: tuple[Ints, Ints], lo_hz: float
) -> Readouts:
    """Every readout of the scan on its absolute ticks, not yet shifted to the field of view.

    Raises
    ------
    CompileError
        When the receiver cannot sample so fast or so slowly, or a window does not fit beside a pulse or another window.
    """
    adc, clock_hz = file.adc, timeline.clock_hz
    block = np.flatnonzero(file.blocks.adc >= 0)
    event = file.blocks.adc[block]
    if any(adc.phase_shape_rad[row].size for row in np.unique(event)):
        raise CompileError(
            "The sequence gives single samples of a readout a phase of their own (ADC phase shape), which is not supported.",
            "Leave the phase shape out, and correct the phase in the reconstruction.",
        )
    dwell = adc.dwell_s * clock_hz
    decimation = _decimation(dwell, scanner.receiver.oversampling, clock_hz)[event]
    dwell, samples = dwell[event], adc.n_samples[event]
    first = timeline.start_ticks[block] + adc.delay_s[event] * clock_hz + dwell / 2
    first = np.round(first * 1024) / 1024  # so that equal readouts are equal in spite of rounding
    last = first + (samples - 1) * dwell
    room = _room(first, last, pulses, gates, scanner)
    open_tick, n_raw = _fit(file, timeline, room, (block, first, last, dwell, decimation))
    return Readouts(
        block=block,
        window_tick=open_tick,
        decimation=decimation.astype(np.int32),
        n_raw=n_raw.astype(np.int32),
        n_samples=samples.astype(np.int32),
        first_sample_tick=first,
        dwell_ticks=dwell,
        phase_rad=(adc.phase_rad + adc.phase_ppm * lo_hz * 1e-6)[event],
        frequency_hz=(adc.frequency_hz + adc.frequency_ppm * lo_hz * 1e-6)[event],
        labels=labels_at(file, block),
    )


def _decimation(dwell: Floats, oversampling: int, clock_hz: float) -> Ints:
    """Decimation for each dwell [ticks]: the largest that still oversamples enough."""
    wanted = np.floor(dwell / oversampling + 1e-6).astype(np.int64)
    if np.any(wanted < MIN_DECIMATION):
        fastest_s = MIN_DECIMATION * oversampling / clock_hz
        raise CompileError(
            f"The sequence samples every {dwell.min() / clock_hz * 1e6:.4g} us; with {oversampling}-fold oversampling this "
            f"receiver's shortest dwell time is {fastest_s * 1e6:.4g} us.",
            f"Lower the receiver bandwidth to at most {1e-3 / fastest_s:.4g} kHz.",
        )
    return np.minimum(wanted, MAX_DECIMATION)


def _room(first: Floats, last: Floats, pulses: Pulses, gates: tuple[Ints, Ints], scanner: Scanner) -> _Room:
    """Limits that pulses, gates and neighbours set."""
    earliest, latest = np.full(len(first), -np.inf), np.full(len(first), np.inf)
    if len(pulses.start_tick):
        dead = np.ceil(pulses.stop_tick + scanner.rf.dead_time_s * scanner.console.clock_hz)
        row = np.searchsorted(pulses.start_tick, last) - 1  # last pulse that starts before the last sample
        earliest = np.where(row >= 0, dead[np.maximum(row, 0)], earliest)
        rise, fall = gates
        gate = np.searchsorted(rise, first) - 1
        earliest = np.maximum(earliest, np.where(gate >= 0, fall[np.maximum(gate, 0)], -np.inf))
        after = np.searchsorted(rise, first)
        latest = np.where(after < len(rise), rise[np.minimum(after, len(rise) - 1)], latest)
    if len(first) > 1:
        middle = 0.5 * (last[:-1] + first[1:])
        earliest[1:] = np.maximum(earliest[1:], middle + BETWEEN_TICKS / 2)
        latest[:-1] = np.minimum(latest[:-1], middle - BETWEEN_TICKS / 2)
    return _Room(earliest, latest)


def _fit(
    file: PulseqFile, timeline: Timeline, room: _Room, readouts: tuple[Ints, Floats, Floats, Floats, Ints]
) -> tuple[Ints, Ints]:
    """Opening tick and number of raw samples of each window."""
    block, first, last, dwell, decimation = readouts
    # The first clean raw sample lies 3 R + 2 ticks behind the opening, the last 3 R - 2 before the end: domain.receiver.
    settle = 3.0 * decimation + 3.0
    least, most = MARGIN_DWELLS
    open_tick = np.maximum(np.ceil(room.earliest), np.floor(first - most * dwell - settle))
    late = open_tick - np.floor(first - least * dwell - settle)
    if np.any(late > 0):
        _refuse(file, timeline, room, readouts, late)
    n_raw = np.ceil((last + most * dwell + settle - open_tick) / decimation)
    n_raw = np.minimum(n_raw, np.floor((room.latest - open_tick) / decimation))
    missing = last + least * dwell + settle - (open_tick + n_raw * decimation)
    if np.any(missing > 0):
        row = int(np.argmax(missing))
        raise CompileError(
            f"The readout of block {file.blocks.number[block[row]]} at {timeline.seconds(first[row]):.6g} s ends "
            f"{missing[row] / timeline.clock_hz * 1e6:.4g} us too late: the receiver needs "
            f"{(least * dwell[row] + settle[row]) / timeline.clock_hz * 1e6:.4g} us after the last sample before the RF "
            "amplifier is switched on or the next readout begins.",
            f"Put at least {np.ceil(missing[row] / timeline.clock_hz * 1e6):.0f} us more between it and what follows.",
        )
    return open_tick.astype(np.int64), n_raw.astype(np.int64)


def _refuse(
    file: PulseqFile,
    timeline: Timeline,
    room: _Room,
    readouts: tuple[Ints, Floats, Floats, Floats, Ints],
    late: Floats,
) -> None:
    """Say how much later a readout must start."""
    block, first, _, dwell, decimation = readouts
    row = int(np.argmax(late))
    to_us = 1e6 / timeline.clock_hz
    start = first[row] - dwell[row] / 2
    raise CompileError(
        f"The readout of block {file.blocks.number[block[row]]} at {timeline.seconds(start):.6g} s starts "
        f"{(start - room.earliest[row]) * to_us:.4g} us after reception becomes possible (dead time after a pulse, or the "
        f"readout before); the receiver's filter needs "
        f"{(MARGIN_DWELLS[0] * dwell[row] - dwell[row] / 2 + 3 * decimation[row] + 3) * to_us:.4g} us.",
        f"Start the readout at least {np.ceil(late[row] * to_us):.0f} us later.",
    )


def shift_readouts(readouts: Readouts, moments: Moments, origin: Floats, shift_m: Floats, clock_hz: float) -> Readouts:
    """Readouts demodulated so that the field of view is centred on ``shift_m`` (logical axes [m]).

    By one phase and one frequency where the gradient along the shift is constant, else sample by sample.

    Parameters
    ----------
    origin
        Moment at which k is zero for each readout, shape ``(n, 3)``.

    Raises
    ------
    CompileError
        When a gradient that changes during a readout would take the field of view out of the receiver's band.
    """
    if not np.any(shift_m) or not len(readouts):
        return readouts
    start = readouts.first_sample_tick - readouts.dwell_ticks / 2
    length = readouts.n_samples * readouts.dwell_ticks
    parts = np.linspace(0, 1, 5)
    ticks = start + parts[:, None] * length
    cycles = (moments.at(ticks.ravel()).reshape(5, -1, 3) - origin) @ shift_m
    bent = np.abs(cycles - cycles[0] - parts[:, None] * (cycles[4] - cycles[0])).max(axis=0) > _BENT_CYCLES
    return replace(
        readouts,
        phase_rad=readouts.phase_rad + np.where(bent, 0.0, 2 * np.pi * cycles[0]),
        frequency_hz=readouts.frequency_hz + np.where(bent, 0.0, (cycles[4] - cycles[0]) / (length / clock_hz)),
        bend_rad=_bend(readouts, moments, (origin, shift_m), np.flatnonzero(bent), clock_hz) if bent.any() else None,
    )


def _bend(
    readouts: Readouts, moments: Moments, shift: tuple[Floats, Floats], rows: Ints, clock_hz: float
) -> NDArray[np.float32]:
    """Phase of the shift at each sample of some rows, within half a turn; 0 for the others [rad]."""
    origin, shift_m = shift
    longest = int(readouts.n_samples.max())
    found = np.zeros((len(readouts), longest), dtype=np.float32)
    for part in np.array_split(rows, -(-len(rows) * longest // _CHUNK)):
        at = readouts.first_sample_tick[part, None] + np.arange(longest) * readouts.dwell_ticks[part, None]
        k = moments.at(at.ravel()).reshape(*at.shape, 3) - origin[part, None, :]
        cycles = k @ shift_m
        behind = np.arange(longest)[1:] >= readouts.n_samples[part, None]
        steps = np.where(behind, 0.0, np.abs(np.diff(cycles, axis=1))).max(axis=1)
        worst = int(np.argmax(steps))
        if steps[worst] > _MOST_OF_BAND:
            row, furthest_m = part[worst], _MOST_OF_BAND / steps[worst] * float(np.linalg.norm(shift_m))
            raise CompileError(
                f"With the field of view {np.linalg.norm(shift_m) * 1e3:.1f} mm off the isocenter, the changing gradient of "
                f"the readout of block {readouts.block[row] + 1} ({readouts.first_sample_tick[row] / clock_hz:.6g} s) would "
                "take it out of the receiver's band.",
                f"Move the field of view to within {np.floor(furthest_m * 1e4) / 10:.1f} mm of the isocenter in this "
                "direction, or raise the bandwidth.",
            )
        found[part] = 2 * np.pi * (cycles - np.round(cycles))
    return found
