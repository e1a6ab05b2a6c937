# SPDX-License-Identifier: MIT
"""What a technologist wants to know of a scan, measured on its events."""

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.encoding import excitation_before, image_rows
from isocenter.compiler.interpret.gradients import GradientLoad
from isocenter.compiler.interpret.pulses import Pulses
from isocenter.domain.events import TX_FULL_SCALE, Readouts, ScanFacts, Segment, Track

Floats = NDArray[np.float64]


def find_facts(
    segments: tuple[Segment, ...],
    loads: tuple[GradientLoad, GradientLoad, GradientLoad],
    tx: tuple[Track, Track],
    tx_t_per_code: float,
    events: tuple[Pulses, Readouts, tuple[Floats, Floats, NDArray[np.bool_]]],
    clock_hz: float,
) -> ScanFacts:
    """Times, angles and loads.

    Parameters
    ----------
    loads
        Load of each gradient channel.
    tx
        Both parts of the transmitter over the whole scan.
    events
        Pulses, readouts, and k of the readouts (``encoding.sample_k``).
    """
    from isocenter.compiler.interpret.envelopes import magnitude_load

    pulses, readouts, k_samples = events
    span = max(segments[-1].start_s - segments[0].start_s + segments[-1].end_tick / clock_hz, 1e-9)
    peak, square, on_ticks = magnitude_load((tx[0].ticks, tx[0].values), (tx[1].ticks, tx[1].values))
    excitations = pulses.flip_rad[pulses.kind == "e"]
    per_excitation = np.unique(excitation_before(readouts, pulses)[image_rows(readouts)], return_counts=True)[1]
    x, y, z = loads
    return ScanFacts(
        duration_s=span,
        tr_s=_repetition_s(pulses, readouts, clock_hz),
        te_s=_echo_s(pulses, readouts, k_samples, clock_hz),
        ti_s=_inversion_s(pulses, clock_hz),
        echo_train_length=int(np.median(per_excitation)) if len(per_excitation) else 0,
        flip_rad=float(np.median(excitations)) if len(excitations) else 0.0,
        peak_b1_t=min(peak, TX_FULL_SCALE) * tx_t_per_code,
        rf_duty=float(on_ticks / clock_hz / span),
        b1_rms_t=float(np.sqrt(square / clock_hz / span)) * tx_t_per_code,
        peak_gradient_t_per_m=(x[0], y[0], z[0]),
        peak_slew_t_per_m_s=(x[1], y[1], z[1]),
        rms_gradient_t_per_m=(_rms(x[2], span), _rms(y[2], span), _rms(z[2], span)),
    )


def _rms(square_s: float, span_s: float) -> float:
    """Root mean square from the integral of the square."""
    return float(np.sqrt(square_s / span_s))


def _repetition_s(pulses: Pulses, readouts: Readouts, clock_hz: float) -> float:
    """Median time between excitations of the same slice [s]."""
    rows = np.flatnonzero(pulses.kind == "e")
    if len(rows) < 2:
        return float("nan")
    centres = pulses.centre_tick[rows]
    following = np.searchsorted(readouts.first_sample_tick, centres)
    label = readouts.label("SLC")
    if len(readouts) and np.ptp(label):
        of_slice = label[np.minimum(following, len(readouts) - 1)].astype(np.float64)
    else:
        of_slice = np.round(pulses.offset_hz[rows], 3)
    order = np.lexsort((centres, of_slice))
    same = np.diff(of_slice[order]) == 0
    gaps = np.diff(centres[order])[same]
    return float(np.median(gaps)) / clock_hz if len(gaps) else float("nan")


def _echo_s(
    pulses: Pulses, readouts: Readouts, k_samples: tuple[Floats, Floats, NDArray[np.bool_]], clock_hz: float
) -> float:
    """Time from excitation to where a readout of the first set and echo passes closest to the centre of k-space [s]."""
    rows = image_rows(readouts)
    for name in ("SET", "ECO"):
        label = readouts.label(name)[rows]
        rows = rows[label == (label.min() if len(label) else 0)]
    excitation = excitation_before(readouts, pulses)[rows]
    rows, excitation = rows[excitation >= 0], excitation[excitation >= 0]
    if not len(rows):
        return float("nan")
    first, step = k_samples[0][rows], k_samples[1][rows]
    length2 = np.sum(step**2, axis=1)
    sample = np.where(length2 > 1e-12, -np.sum(first * step, axis=1) / np.maximum(length2, 1e-12), 0.0)
    end = readouts.n_samples[rows] - 1
    sample = np.where(k_samples[2][rows], sample, np.where(sample < end / 2, 0, end))  # a curved one: from or to the centre
    sample = np.clip(sample, 0, end)
    distance = np.linalg.norm(first + sample[:, None] * step, axis=1)
    echo = (
        readouts.first_sample_tick[rows] + sample * readouts.dwell_ticks[rows] - pulses.centre_tick[excitation]
    ) / clock_hz
    nearest = distance <= distance.min() + 0.5 * np.sqrt(length2.max()) + 1e-9
    return float(np.median(echo[nearest]))


def _inversion_s(pulses: Pulses, clock_hz: float) -> float:
    """Median time from an inversion to the next excitation [s]."""
    inversions = pulses.centre_tick[pulses.kind == "i"]
    excitations = pulses.centre_tick[pulses.kind == "e"]
    after = np.searchsorted(excitations, inversions)
    good = after < len(excitations)
    if not good.any():
        return float("nan")
    return float(np.median(excitations[after[good]] - inversions[good])) / clock_hz
