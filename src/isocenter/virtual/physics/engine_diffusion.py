# SPDX-License-Identifier: MIT
"""Diffusion of spins, exact for any gradient: where a spin goes in a gap and the phase it gathers are jointly normal.

A spin moves by ``w`` in a gap of length T, normal with variance ``2 D T`` along each axis. Given that, its phase has the
mean ``lever . w`` turns, where ``lever`` is the mean of ``k(T) - k(t)``, and a rest of its own that no later event can tell
from a loss of signal. The kernels draw ``w``; lever and loss are integrals of k and its square, in closed form between the
gradient's changes. A readout inside a gap needs no draw at all: its loss is ``exp(-b D)`` since the start of the gap.

Source of b: Stejskal and Tanner, J. Chem. Phys. 42 (1965) 288.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.waveforms import Waveforms

N_QUANTILES: Final = 4096
_FOUR_PI_SQUARED: Final = (2 * np.pi) ** 2


def normal_quantiles() -> NDArray[np.float32]:
    """Equally likely values of a normal distribution with unit variance, float32, shape (N_QUANTILES,)."""
    from scipy.special import ndtri

    values = np.asarray(ndtri((np.arange(N_QUANTILES) + 0.5) / N_QUANTILES), dtype=np.float64)
    return np.asarray(values / values.std(), dtype=np.float32)


class _Integrals:
    """k, its integral and that of its square at any tick, for one run; shapes (n, 3)."""

    def __init__(self, waves: Waveforms, first_tick: int, last_tick: int) -> None:
        inside = [ticks[(ticks > first_tick) & (ticks < last_tick)] for ticks in (c.ticks for c in waves.gradients.channels)]
        self._ticks = np.unique(np.concatenate([[first_tick, last_tick], *inside]))
        self._tick_s = waves.tick_s
        self._k = waves.k_per_m(self._ticks)
        length = (np.diff(self._ticks) * waves.tick_s)[:, None]
        low, high = self._k[:-1], self._k[1:]
        self._slope = np.vstack([(high - low) / np.maximum(length, 1e-12), np.zeros((1, 3))])
        zero = np.zeros((1, 3))
        self._first = np.concatenate([zero, np.cumsum((low + high) / 2 * length, axis=0)])
        self._second = np.concatenate([zero, np.cumsum((low * low + low * high + high * high) / 3 * length, axis=0)])

    def at(self, ticks: NDArray[np.floating] | NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        index = np.clip(np.searchsorted(self._ticks, ticks, side="right") - 1, 0, len(self._ticks) - 1)
        t = ((ticks - self._ticks[index]) * self._tick_s)[:, None]
        k, slope = self._k[index], self._slope[index]
        first = self._first[index] + k * t + slope * t**2 / 2
        second = self._second[index] + k**2 * t + k * slope * t**2 + slope**2 * t**3 / 3
        return k + slope * t, first, second


class WanderMoments:
    """What diffusion does in the gaps of one run and up to the rows of its readouts.

    Attributes
    ----------
    gap_wander_m
        Standard deviation of a displacement, float32, shape (n_gaps, n_tissues); no rows when nothing diffuses.
    gap_lever_per_m
        Phase per displacement along three channels [turns/m], float32, shape (n_gaps, 3).
    gap_loss
        Exponent of what else is lost, shape (n_gaps, n_tissues), or 0.

    Spins diffuse through pulses as well; k stands still there.
    """

    def __init__(
        self,
        waves: Waveforms,
        gap_ticks: tuple[NDArray[np.int64], NDArray[np.int64]],
        halves_s: tuple[NDArray[np.float64], NDArray[np.float64]],
        diffusion_m2_per_s: NDArray[np.float64],
    ) -> None:
        self._diffusion, self._tick_s = diffusion_m2_per_s, waves.tick_s
        self.is_on = bool(len(diffusion_m2_per_s)) and bool(np.any(diffusion_m2_per_s > 0))
        self.gap_wander_m = np.zeros((0, 1), dtype=np.float32)
        self.gap_lever_per_m = np.zeros((0, 3), dtype=np.float32)
        self.gap_loss: NDArray[np.float64] | float = 0.0
        if not self.is_on:
            return
        start, end = gap_ticks
        self._before_s = halves_s[0]
        self._integrals = _Integrals(waves, int(start[0]), int(end[-1]))
        self._start_tick, self._start = start, self._integrals.at(start)
        k, first, second = self._since(np.arange(len(start)), end)
        gap_s = (end - start) * waves.tick_s
        still = (gap_s + self._before_s)[:, None]
        whole = np.maximum(still + halves_s[1][:, None], 1e-12)
        lever = (k * still - first) / whole
        rest = (k**2 * still - 2 * k * first + second - whole * lever**2).sum(axis=1)
        self.gap_loss = _FOUR_PI_SQUARED * np.maximum(rest, 0.0)[:, None] * diffusion_m2_per_s
        self.gap_lever_per_m = lever.astype(np.float32)
        self.gap_wander_m = np.sqrt(2 * whole * diffusion_m2_per_s).astype(np.float32)

    def _since(
        self, gap: NDArray[np.int64], ticks: NDArray[np.floating] | NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], ...]:
        """Position in k-space and its integrals since the start of a gap."""
        k, first, second = self._integrals.at(ticks)
        k0, first0, second0 = (part[gap] for part in self._start)
        passed = ((ticks - self._start_tick[gap]) * self._tick_s)[:, None]
        return k - k0, first - first0 - k0 * passed, second - second0 - 2 * k0 * (first - first0) + k0**2 * passed

    def row_loss(self, gap: NDArray[np.int64], time_s: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Exponent of the loss from the start of a gap to a time after it, shape (n, n_tissues), or 0."""
        if not self.is_on or not len(gap):
            return 0.0
        k, first, second = self._since(gap, self._start_tick[gap] + np.maximum(time_s, 0.0) / self._tick_s)
        since_s = (np.maximum(time_s, 0.0) + self._before_s[gap])[:, None]
        b = _FOUR_PI_SQUARED * np.maximum((k**2 * since_s - 2 * k * first + second).sum(axis=1), 0.0)
        return np.asarray(b[:, None] * self._diffusion)
