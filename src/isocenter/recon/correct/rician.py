# SPDX-License-Identifier: MIT
"""A scale on which magnitudes have even noise, and the way back without bias."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
_TOP = 30.0


class RicianScale:
    """For magnitudes of complex values with noise of standard deviation 1 in each part.

    Source
    ------
    Moments of the Rice distribution (Laguerre function as in Gudbjartsson and Patz 1995); stabilisation by integrating one
    over the standard deviation along the mean; the inverse maps the mean of stabilised values to the true magnitude, after
    Foi 2011.
    """

    def __init__(self) -> None:
        from scipy.special import ive

        true = np.concatenate([np.linspace(0, 6, 301), np.linspace(6.05, _TOP, 300)])
        x = true**2 / 4
        mean = np.sqrt(np.pi / 2) * ((1 + 2 * x) * ive(0, x) + 2 * x * ive(1, x))
        deviation = np.sqrt(np.maximum(2 + true**2 - mean**2, 1e-12))
        # Below the lowest mean the scale goes on straight, so that dark voxels keep their spread.
        self._from = np.concatenate([[0.0], mean])
        slope = 1 / deviation
        rise = np.concatenate([[0.0], np.cumsum(np.diff(mean) * (slope[1:] + slope[:-1]) / 2)])
        self._to = np.concatenate([[0.0], mean[0] * slope[0] + rise])
        self._true = true
        self._expected = self._mean_of_scaled(true)

    def apply(self, magnitude: NDArray[np.floating]) -> Floats:
        """Magnitudes, on the scale."""
        value = np.asarray(magnitude, dtype=np.float64)
        above = value - self._from[-1]
        scaled = np.where(above > 0, self._to[-1] + above, np.interp(value, self._from, self._to))
        return np.asarray(scaled, dtype=np.float32)

    def undo(self, scaled: NDArray[np.floating]) -> Floats:
        """True magnitudes whose measured values have such means on the scale."""
        value = np.asarray(scaled, dtype=np.float64)
        above = value - self._expected[-1]
        true = np.where(above > 0, self._true[-1] + above, np.interp(value, self._expected, self._true))
        return np.asarray(true, dtype=np.float32)

    def _mean_of_scaled(self, true: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import ive

        offset = np.linspace(-7, 7, 281)
        values = np.maximum(np.maximum(true, 1.0)[:, None] + offset, 0.0)
        # Rice density: m exp(-(m - a)^2 / 2) times the scaled Bessel function of m a
        density = values * np.exp(-((values - true[:, None]) ** 2) / 2) * ive(0, values * true[:, None])
        scaled = self.apply(values).astype(np.float64)
        expected: NDArray[np.float64] = (scaled * density).sum(axis=1) / density.sum(axis=1)
        return np.maximum.accumulate(expected)
