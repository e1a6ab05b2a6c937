# SPDX-License-Identifier: MIT
"""Drift of a scan without navigators: the one that makes its image sharpest."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.correct.drift import Complex, DriftCurve, remove_drift

_LEAST_GAIN: Final = 0.02
"""By which the entropy must fall; noise makes it wander by some thousandths."""
_ORDER: Final = 3


def sharpest_drift(
    samples: Complex,
    time_s: NDArray[np.floating],
    dwell_s: float,
    centre_sample: float,
    to_image: Callable[[Complex], Complex],
    *,
    largest_hz: float = 3000.0,
    evolution_s: float = 0.0,
) -> DriftCurve:
    """Drift that makes an image sharpest; no drift unless it becomes clearly sharper.

    Parameters
    ----------
    samples
        complex64, shape ``(n_readouts, n_channels, n_samples)``.
    time_s
        When each was taken [s].
    dwell_s, centre_sample, evolution_s
        As in ``remove_drift``.
    to_image
        Makes an image of any shape of such samples.
    largest_hz
        Drift over the scan that is thought possible [Hz].

    Returns
    -------
        Zero at the first readout. A drift that only moves the whole image cannot be seen this way.
    """
    from scipy.optimize import minimize

    start_s, end_s = float(np.min(time_s)), float(np.max(time_s))
    duration_s = max(end_s - start_s, 1e-9)
    part = (np.asarray(time_s, dtype=np.float64) - start_s) / duration_s
    powers = part[:, None] ** np.arange(1, _ORDER + 1)

    def dullness(coefficients: NDArray[np.float64]) -> float:
        """Entropy of the brightness."""
        lines = remove_drift(samples, powers @ coefficients, dwell_s, centre_sample, evolution_s=evolution_s)
        magnitude = np.abs(to_image(lines)).astype(np.float64)
        share = magnitude / max(float(magnitude.sum()), 1e-30)
        return -float((share * np.log(share + 1e-30)).sum())

    step_hz = 0.5 / (dwell_s * samples.shape[-1])  # half a voxel over the scan
    n = int(np.ceil(largest_hz / step_hz))
    trials = [total * shape for shape in _shapes() for total in np.arange(-n, n + 1) * step_hz]
    first = trials[int(np.argmin([dullness(trial) for trial in trials]))]
    simplex = first + step_hz * np.array([[0, 0, 0], [1, 0, 0], [-1, 1.5, 0], [1, -3, 2]])
    limits = {"initial_simplex": simplex, "xatol": step_hz / 50, "fatol": 1e-9, "maxiter": 200}
    result = minimize(dullness, first, method="Nelder-Mead", options=limits)
    gained = dullness(np.zeros(_ORDER)) - result.fun
    is_inside = abs(float(np.sum(result.x))) < largest_hz
    coefficients = np.asarray(result.x) if gained > _LEAST_GAIN and is_inside else np.zeros(0)
    return DriftCurve(coefficients=coefficients, start_s=start_s, duration_s=duration_s, rms_hz=0.0)


def _shapes() -> list[NDArray[np.float64]]:
    """Drifts of 1 over the scan: steady, and ever sooner settled, as polynomials."""
    part = np.linspace(0, 1, 65)
    table = part[:, None] ** np.arange(1, _ORDER + 1)
    shapes = [np.array([1.0] + [0.0] * (_ORDER - 1))]
    for time in (0.7, 0.3):
        settled = (1 - np.exp(-part / time)) / (1 - np.exp(-1 / time))
        shapes.append(np.linalg.lstsq(table, settled, rcond=None)[0])
    return shapes
