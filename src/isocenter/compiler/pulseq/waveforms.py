# SPDX-License-Identifier: MIT
"""A whole file as waveforms over the scan's time: for tests and plots. Costs memory for every point of every block."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.pulseq.model import Floats, Ints, PulseqFile

_HZ_PER_MHZ: Final = 1e6
_SAME_S: Final = 1e-12


def block_starts_s(file: PulseqFile) -> Floats:
    """Start of each block, and the end of the last [s], shape ``(n_blocks + 1,)``."""
    return np.concatenate(([0.0], np.cumsum(file.blocks.duration_s)))


def waveform(file: PulseqFile, axis: str) -> tuple[Floats, Floats]:
    """Gradient of one logical axis over the whole scan, as points joined by straight lines.

    Rotations are not applied: this is what the tables say.

    Parameters
    ----------
    axis
        ``x``, ``y`` or ``z``.

    Returns
    -------
        Times [s] and values [Hz/m], shape ``(n_points,)`` each. It is 0 before the first point, after the last, and between
        two events.
    """
    rows = {"x": file.blocks.gx, "y": file.blocks.gy, "z": file.blocks.gz}[axis]
    gradients = file.gradients
    where, times_s = _points(file, rows, gradients.times_s, gradients.delay_s)
    values = _gather(rows, gradients.shape) * gradients.amplitude_hz_per_m[rows[where]]
    # Events that touch share a point.
    is_new = np.ones(len(times_s), dtype=bool)
    is_new[1:] = (np.diff(times_s) > _SAME_S) | (np.abs(np.diff(values)) > 1e-6 * np.max(np.abs(values), initial=1.0))
    return times_s[is_new], values[is_new]


def rf_waveform(file: PulseqFile, larmor_hz: float = 0.0) -> tuple[Floats, NDArray[np.complex128]]:
    """All samples of all RF pulses: times [s] and nutation frequency with phase and frequency offsets applied [Hz].

    The offset frequency turns from the start of each shape on. ``larmor_hz`` resolves offsets in ppm.
    """
    rf, rows = file.rf, file.blocks.rf
    where, times_s = _points(file, rows, rf.times_s, rf.delay_s)
    inner_s = _gather(rows, rf.times_s)
    larmor_mhz = larmor_hz / _HZ_PER_MHZ
    row = rows[where]
    frequency_hz = rf.frequency_hz[row] + rf.frequency_ppm[row] * larmor_mhz
    phase_rad = rf.phase_rad[row] + rf.phase_ppm[row] * larmor_mhz
    samples = _gather(rows, rf.envelope) * rf.amplitude_hz[row]
    return times_s, samples * np.exp(1j * (phase_rad + 2 * np.pi * frequency_hz * inner_s))


def adc_times(file: PulseqFile) -> Floats:
    """Centre of every sample of every readout [s], shape ``(n_readouts * n_samples,)`` in order of time."""
    blocks = np.flatnonzero(file.blocks.adc >= 0)
    row = file.blocks.adc[blocks]
    counts = file.adc.n_samples[row]
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    start_s = block_starts_s(file)[blocks] + file.adc.delay_s[row]
    times_s: Floats = np.repeat(start_s, counts) + (place + 0.5) * np.repeat(file.adc.dwell_s[row], counts)
    return times_s


def _points(file: PulseqFile, rows: Ints, times_s: tuple[Floats, ...], delay_s: Floats) -> tuple[Ints, Floats]:
    """Block of each point, and its time in the scan [s]."""
    blocks = np.flatnonzero(rows >= 0)
    lengths = np.array([len(one) for one in times_s], dtype=np.int64)[rows[blocks]] if len(blocks) else blocks
    where = np.repeat(blocks, lengths)
    return where, block_starts_s(file)[where] + delay_s[rows[where]] + _gather(rows, times_s)


def _gather(rows: Ints, parts: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """The parts that the blocks use, one after the other."""
    used = rows[rows >= 0].tolist()
    return np.concatenate([parts[row] for row in used]) if used else np.zeros(0)
