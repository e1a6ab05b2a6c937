# SPDX-License-Identifier: MIT
"""How a scan samples k-space, found from its gradients; times and loads found from its events."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.kspace import Moments
from isocenter.compiler.interpret.pulses import Pulses
from isocenter.compiler.pulseq.model import PulseqFile
from isocenter.domain.events import Encoding, Readouts
from isocenter.domain.geometry import Placement

Floats = NDArray[np.float64]

_TOLERANCE: Final = 0.02  # of the smallest step
_NOT_IMAGE: Final = ("NOISE", "NAV")


def image_rows(readouts: Readouts) -> NDArray[np.int64]:
    """Rows of readouts that make the image."""
    other = np.zeros(len(readouts), dtype=bool)
    for name in _NOT_IMAGE:
        other |= readouts.label(name) != 0
    return np.flatnonzero(~other)


def sample_k(readouts: Readouts, moments: Moments, origin: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """First sample's k, step from sample to sample, shape ``(n, 3)`` each on logical axes, and whether they are even."""
    span = (readouts.n_samples - 1) * readouts.dwell_ticks
    at = readouts.first_sample_tick + np.array([0.0, 0.25, 0.5, 0.75, 1.0])[:, None] * span
    k = moments.at(at.ravel()).reshape(5, -1, 3) - origin
    steps = (k[4] - k[0]) / np.maximum(readouts.n_samples - 1, 1)[:, None]
    line = k[0] + np.array([0.0, 0.25, 0.5, 0.75, 1.0])[:, None, None] * (k[4] - k[0])
    size = np.maximum(np.linalg.norm(steps, axis=1), 1e-12)
    even = np.abs(k - line).max(axis=(0, 2)) < _TOLERANCE * size
    return k[0], steps, even


def find_encoding(
    file: PulseqFile,
    readouts: Readouts,
    k_samples: tuple[Floats, Floats, NDArray[np.bool_]],
    pulses: Pulses,
    moments: Moments,
    placement: Placement,
) -> Encoding | None:
    """Cartesian encoding that explains every image readout, None when there is none."""
    rows = image_rows(readouts)
    if not len(rows) or len(np.unique(readouts.n_samples[rows])) != 1:
        return None
    n = int(readouts.n_samples[rows[0]])
    first, steps, even = k_samples[0][rows], k_samples[1][rows], k_samples[2][rows]
    turned = readouts.label("REV")[rows] != 0
    first = np.where(turned[:, None], first + (n - 1) * steps, first)
    steps = np.where(turned[:, None], -steps, steps)
    read = np.median(steps, axis=0)
    size = float(np.linalg.norm(read))
    if n < 2 or size * n < 1e-3 or not even.all() or np.abs(steps - read).max() * n > 0.5 * size:
        return None
    lin, par = readouts.label("LIN")[rows].astype(np.float64), readouts.label("PAR")[rows].astype(np.float64)
    fit = _fit_lines(first, read, lin, par)
    if fit is None:
        return None
    step_lin, step_par, centres = fit
    turn = placement.device_from_logical
    is_volume = bool(np.any(step_par))
    positions, normal, thickness_m = (np.empty(0), np.zeros(3), 0.0)
    if not is_volume:
        positions, normal, thickness_m = _slices(file, readouts, rows, pulses, moments)
    n_lin, n_par = _extents(file, lin, par, is_volume)
    return Encoding(
        step_read_per_m=turn @ read,
        step_lin_per_m=turn @ step_lin,
        step_par_per_m=turn @ step_par,
        centre_sample=centres[0],
        centre_lin=centres[1],
        centre_par=centres[2],
        n_samples=n,
        n_lin=n_lin,
        n_par=n_par,
        slice_positions_m=positions,
        slice_normal_device=turn @ normal,
        slice_thickness_m=thickness_m,
        centre_device_m=np.asarray(placement.centre_device_m, dtype=np.float64),
    )


def _fit_lines(
    first: Floats, read: Floats, lin: Floats, par: Floats
) -> tuple[Floats, Floats, tuple[float, float, float]] | None:
    """Steps of LIN and PAR, and sample and labels of the centre; None when they do not explain the readouts."""
    columns = [np.ones(len(lin))] + [label - label.mean() for label in (lin, par) if np.ptp(label) > 0]
    design = np.stack(columns, axis=1)
    solved = np.linalg.lstsq(design, first, rcond=None)[0]
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    found = iter(solved[1:])
    step_lin = next(found) if np.ptp(lin) > 0 else np.zeros(3)
    step_par = next(found) if np.ptp(par) > 0 else np.zeros(3)
    sizes = [float(np.linalg.norm(read))] + [
        float(np.linalg.norm(step)) for step, label in ((step_lin, lin), (step_par, par)) if np.ptp(label)
    ]
    if np.abs(first - design @ solved).max() > _TOLERANCE * max(min(sizes), 1e-3):
        return None
    step_lin, step_par = (step if np.linalg.norm(step) > 1e-6 * sizes[0] else np.zeros(3) for step in (step_lin, step_par))
    # k(0, 0, 0) = -(cs read + cl step_lin + cp step_par)
    corner = solved[0] - lin.mean() * step_lin - par.mean() * step_par
    basis = np.stack([read, step_lin, step_par], axis=1)
    sample, line, partition = np.linalg.lstsq(basis, -corner, rcond=None)[0]
    return step_lin, step_par, (float(sample), float(line), float(partition))


def _extents(file: PulseqFile, lin: Floats, par: Floats, is_volume: bool) -> tuple[int, int]:
    """Full extent of LIN and PAR."""
    n_lin, n_par = int(lin.max()) + 1, int(par.max()) + 1
    try:
        matrix = [int(float(word)) for word in file.definitions.get("Matrix", "").split()]
    except ValueError:
        matrix = []
    if len(matrix) > 1:
        n_lin = max(n_lin, matrix[1])
    if len(matrix) > 2 and is_volume:
        n_par = max(n_par, matrix[2])
    return n_lin, n_par


def excitation_before(readouts: Readouts, pulses: Pulses) -> NDArray[np.int64]:
    """Row of the excitation of each readout, -1 for none."""
    rows = np.flatnonzero(pulses.kind == "e")
    at = np.searchsorted(pulses.centre_tick[rows], readouts.first_sample_tick) - 1
    return np.where(at >= 0, rows[np.maximum(at, 0)], -1) if len(rows) else np.full(len(readouts), -1)


def _slices(
    file: PulseqFile, readouts: Readouts, rows: NDArray[np.int64], pulses: Pulses, moments: Moments
) -> tuple[Floats, Floats, float]:
    """Slice positions along the normal (relative to the field of view's centre), normal (logical) and thickness."""
    nothing = np.empty(0), np.zeros(3), 0.0
    excitation = excitation_before(readouts, pulses)[rows]
    if not len(rows) or np.any(excitation < 0):
        return nothing
    start, stop = pulses.start_tick[excitation], pulses.stop_tick[excitation]
    gradient = (moments.at(stop) - moments.at(start)) / ((stop - start) / moments.clock_hz)[:, None]
    size = np.linalg.norm(gradient, axis=1)
    normal = gradient[0] / max(size[0], 1e-12)
    if size.min() < 1.0 or np.abs(gradient - size[:, None] * normal).max() > 0.01 * size.max():
        return nothing
    if normal[np.argmax(np.abs(normal))] < 0:  # the same slice; its normal points along the positive axis
        normal, size = -normal, -size
    label = readouts.label("SLC")[rows]
    at = pulses.offset_hz[excitation] / size
    positions = np.array(
        [at[label == value].mean() if np.any(label == value) else np.nan for value in range(label.max() + 1)]
    )
    thickness_m = _definition_m(file) or _bandwidth_hz(file, int(pulses.event[excitation[0]])) / abs(float(size[0]))
    return positions, normal, thickness_m


def _definition_m(file: PulseqFile) -> float:
    """Slice thickness that the file states, 0 for none."""
    try:
        value = float(file.definitions.get("SliceThickness", "0").split()[0])
    except (ValueError, IndexError):
        return 0.0
    return value if 0 < value < 1 else 0.0


def _bandwidth_hz(file: PulseqFile, row: int) -> float:
    """Full width at half maximum of a pulse's spectrum [Hz]."""
    rf = file.rf
    duration_s = float(rf.duration_s[row])
    times_s = np.linspace(0, duration_s, 1024)
    shape = np.interp(times_s, rf.times_s[row], rf.envelope[row])
    spectrum = np.abs(np.fft.fft(shape, 1 << 16))
    frequencies = np.fft.fftfreq(1 << 16, times_s[1])
    above = frequencies[spectrum > 0.5 * spectrum.max()]
    return float(np.ptp(above)) + float(frequencies[1])
