# SPDX-License-Identifier: MIT
"""Where in k-space each sample lies, from what the DACs play rather than from what the sequence asked for."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.encoding import image_rows
from isocenter.compiler.interpret.gradients import GradientTracks
from isocenter.compiler.interpret.kspace import track_origin
from isocenter.compiler.interpret.pulses import Pulses
from isocenter.domain.events import Readouts
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK: Final = 1 << 17  # samples at a time
_NOTHING_PER_M: Final = 1.0
"""A scan that stays within this of the centre of k-space encodes nothing: one turn over a metre."""


@dataclass(frozen=True, slots=True)
class Staircase:
    """What one gradient channel plays, and its running sum.

    Attributes
    ----------
    ticks
        When the spins see each change: the DAC's tick and the delay of amplifier and coil [ticks], float64.
    codes
        Value from then on, shim left out.
    sums
        Integral up to each change [codes x ticks]; whole numbers below 2^53, so exact.
    per_m
        k of one code held for one tick [1/m].
    """

    ticks: Floats
    codes: Floats
    sums: Floats
    per_m: float

    def at(self, ticks: Floats) -> Floats:
        """Moment from the start of the scan to each tick [1/m], any shape."""
        if not len(self.ticks):
            return np.zeros(ticks.shape)
        row = np.searchsorted(self.ticks, ticks, side="right") - 1
        before = row < 0
        row[before] = 0
        found = self.sums[row] + self.codes[row] * (ticks - self.ticks[row])
        found[before] = 0.0
        return np.asarray(found * self.per_m)


def staircases(gradients: GradientTracks, scanner: Scanner) -> tuple[Staircase, ...]:
    """What the three channels play over the whole scan.

    Parameters
    ----------
    gradients
        Tracks on absolute ticks, so before they are cut into segments.
    """
    clock_hz, found = scanner.console.clock_hz, []
    channels = zip(gradients.tracks, gradients.shim_codes, gradients.t_per_m_per_code, scanner.gradients.axes, strict=True)
    for track, shim, per_code, axis in channels:
        codes = track.values.astype(np.int64) - shim
        sums = np.zeros(len(codes), dtype=np.int64)
        np.cumsum(codes[:-1] * np.diff(track.ticks), out=sums[1:])
        found.append(
            Staircase(
                ticks=track.ticks.astype(np.float64) + axis.delay_s * clock_hz,
                codes=codes.astype(np.float64),
                sums=sums.astype(np.float64),
                per_m=per_code * GAMMA_HZ_PER_T / clock_hz,
            )
        )
    return tuple(found)


def find_trajectory(
    readouts: Readouts, pulses: Pulses, gradients: GradientTracks, scanner: Scanner
) -> NDArray[np.float32] | None:
    """Place in k-space of each sample of the imaging readouts; None where nothing is encoded.

    See ``CompiledScan.trajectory_per_m``.

    The spins' k is the integral of the played gradient since the pulse's centre, exact for a staircase; a refocusing
    pulse inverts it. The shim shifts nothing: it is part of the field. The centre of the field of view is where the
    compiler's demodulation puts it, so positions count from there.
    """
    rows = image_rows(readouts)
    if not len(rows):
        return None
    channels = staircases(gradients, scanner)
    after_pulse, _ = track_origin(np.stack([line.at(pulses.centre_tick) for line in channels], axis=1), pulses.kind)
    pulse = last_pulse(readouts, pulses)[rows]
    origin = (
        np.where(pulse[:, None] >= 0, after_pulse[np.maximum(pulse, 0)], 0.0)
        if len(after_pulse)
        else np.zeros((len(rows), 3))
    )
    turn = np.linalg.inv(scanner.gradients.channel_from_device)
    counts = readouts.n_samples[rows]
    longest = int(counts.max())
    found = np.full((len(rows), longest, 3), np.nan, dtype=np.float32)
    step, largest = max(1, _CHUNK // longest), 0.0
    for low in range(0, len(rows), step):
        part = slice(low, low + step)
        at = readouts.first_sample_tick[rows[part], None] + np.arange(longest) * readouts.dwell_ticks[rows[part], None]
        k = np.stack([line.at(at) for line in channels], axis=2) - origin[part, None, :]
        found[part] = k @ turn.T
        found[part][np.arange(longest) >= counts[part, None]] = np.nan
        largest = max(largest, float(np.nanmax(np.abs(found[part]))))
    return found if largest > _NOTHING_PER_M else None


def find_evolution_s(readouts: Readouts, pulses: Pulses, clock_hz: float) -> Floats:
    """Time of free evolution at each readout's first sample, see ``CompiledScan.evolution_s``."""
    if not len(pulses.kind):
        return np.full(len(readouts), np.nan)
    origin = track_origin(pulses.centre_tick[:, None], pulses.kind)[0][:, 0]
    excited = np.maximum.accumulate(pulses.kind == "e")
    pulse = last_pulse(readouts, pulses)
    known = (pulse >= 0) & excited[np.maximum(pulse, 0)]
    return np.where(known, (readouts.first_sample_tick - origin[np.maximum(pulse, 0)]) / clock_hz, np.nan)


def last_pulse(readouts: Readouts, pulses: Pulses) -> Ints:
    """Row of the pulse before each readout, -1 for none."""
    return np.searchsorted(pulses.centre_tick, readouts.first_sample_tick) - 1
