# SPDX-License-Identifier: MIT
"""Flip angles from signals at one angle and at twice that. Arrays in, values out."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import AcquisitionError

MAX_LEFT: Final = 0.02
"""Of the magnetisation that has not come back after TR: more makes flip angles wrong by more than a hundredth."""
_MIN_SNR: Final = 20.0

Floats = NDArray[np.float64]
Complex = NDArray[np.complexfloating]


def angle_rad(single: Complex, double: Complex) -> Floats:
    """Flip angle behind the first of two signals, 0 to pi; NaN where the two contradict each other.

    Parameters
    ----------
    single, double
        Signals after a pulse and after one of twice the angle, from full magnetisation; same shape.

    Source
    ------
    ``acos(S(2a) / (2 S(a)))``, reference domain.md 2, row 7; with its sign, so that angles above 90° are right too.
    """
    ratio = np.real(np.asarray(double) * np.conj(single)) / np.maximum(np.abs(single) ** 2, 1e-300) / 2
    angle: Floats = np.where(np.abs(ratio) <= 1.1, np.arccos(np.clip(ratio, -1, 1)), np.nan)
    return angle


def total(shots: Complex, others: Complex) -> complex:
    """Strength of a signal as a multiple of another one, least squares over all samples; shapes ``(n_shots, n_samples)``."""
    first, second = shots.mean(axis=0), others.mean(axis=0)
    return complex(np.vdot(first, second) / np.vdot(first, first))


def require_signal(shots: Complex) -> float:
    """Signal over noise of the mean of at least two equal shots.

    Raises
    ------
    AcquisitionError
        It is too little.
    """
    mean = shots.mean(axis=0)
    noise = float(np.linalg.norm(shots - mean)) / max(len(shots) - 1, 1) ** 0.5
    snr: float = float(np.linalg.norm(mean)) / max(noise / len(shots) ** 0.5, 1e-30)
    if len(shots) < 2 or not snr > _MIN_SNR:
        raise AcquisitionError(
            f"There is too little signal: {snr:.1f} times the noise, needed {_MIN_SNR:g}.",
            "Put the service phantom into the coil, find the frequency, then repeat with more averages.",
        )
    return snr


def left_after_tr(full: complex, half: complex, flip_rad: float) -> float:
    """Share of the magnetisation that has not come back after TR, from signals at TR and at half of it.

    Parameters
    ----------
    full, half
        Signals in the steady state of pulses of ``flip_rad`` every TR and every TR / 2.

    Source
    ------
    ``S = (1 - E) / (1 - E cos a)`` with ``E = exp(-TR / T1)``; the ratio of both is ``(1 - E2^2 c) / ((1 - E2 c)(1 + E2))``
    with ``E2 = exp(-TR / (2 T1))``, which falls from 1 as E2 grows.
    """
    from scipy.optimize import brentq

    ratio = abs(half) / max(abs(full), 1e-300)
    c = float(np.cos(flip_rad))

    def excess(e: float) -> float:
        return float((1 - e * e * c) / ((1 - e * c) * (1 + e)) - ratio)

    if excess(0.0) <= 0:
        return 0.0
    if excess(1 - 1e-9) >= 0:
        return 1.0
    e2 = float(brentq(excess, 0.0, 1 - 1e-9))
    return e2 * e2


def require_recovery(full: complex, half: complex, flip_rad: float, tr_s: float) -> None:
    """Refuse a phantom whose magnetisation does not come back within TR."""
    left = left_after_tr(full, half, flip_rad)
    if left > MAX_LEFT:
        raise AcquisitionError(
            f"After {tr_s:g} s {left * 100:.0f} % of the magnetisation have not come back; at most {MAX_LEFT * 100:g} % are "
            "accepted, since flip angles come out wrong.",
            "Use a phantom with a shorter T1 (doped water), or a longer TR.",
        )
