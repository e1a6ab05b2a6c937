# SPDX-License-Identifier: MIT
"""Band-limited functions of time, known on an even grid that never ends, evaluated at any even samples.

The values of the grid come from a period that repeats, or from random numbers that depend on nothing but their place, so a
function has the same value at the same time however often and in whatever order it is looked at.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

USED_BAND: Final = 0.8
"""Part of the grid's band that holds the function; the rest is room for the slope of the interpolating kernel."""
WIDEST_SLOPE: Final = 1 - USED_BAND
_BETA: Final = 7.0
_REACH: Final = 2.2  # half length of a kernel times its slope, for a ripple of -70 dB
_ROWS: Final = 512
_BLOCK: Final = 4096
_FIRST_BLOCK: Final = 1 << 40  # so that times before 0 have numbers above it


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """Interpolates and keeps one band.

    Attributes
    ----------
    table
        Weights of the neighbours by fraction of a grid step, complex128, shape ``(_ROWS + 1, n_taps)``.
    """

    table: Complex

    @staticmethod
    @lru_cache(maxsize=64)
    def for_band(low: float, high: float, slope: float) -> "Kernel":
        """Kernel for a band [cycles per grid step], half high at its edges, falling over ``slope`` around them."""
        half, middle = (high - low) / 2, (high + low) / 2
        reach = math.ceil(_REACH / slope)
        places = np.arange(_ROWS + 1)[:, None] / _ROWS + reach - 1 - np.arange(2 * reach)
        window = np.i0(_BETA * np.sqrt(np.clip(1 - (places / reach) ** 2, 0, None))) / np.i0(_BETA)
        weights = 2 * half * np.sinc(2 * half * places) * window
        return Kernel(np.ascontiguousarray(weights * np.exp(2j * np.pi * middle * places)))


@numba.njit(cache=True, nogil=True)
def _interpolate(values: Complex, start: float, step: float, table: Complex, out: Complex) -> None:
    """Weighted sums of neighbours; ``start`` and ``step`` in grid steps from ``values[0]``."""
    rows, taps = table.shape[0] - 1, table.shape[1]
    for i in range(len(out)):
        place = start + i * step
        whole = math.floor(place)
        fraction = (place - whole) * rows
        row = min(int(fraction), rows - 1)
        upper = fraction - row
        first = int(whole) - taps // 2 + 1
        total = 0j
        for tap in range(taps):
            total += values[first + tap] * ((1 - upper) * table[row, tap] + upper * table[row + 1, tap])
        out[i] = total


@dataclass(slots=True)
class Grid:
    """A function of time.

    Attributes
    ----------
    rate_hz
        Values a second [Hz].
    edge
        Where the function's own band ends [cycles per grid step]; a kernel for all of it ends there.
    values
        Gives the values with indices first ... stop - 1, counted from time 0.
    """

    rate_hz: float
    edge: float
    values: Callable[[int, int], Complex]

    def at(self, start_s: float, step_s: float, n: int, kernel: Kernel) -> Complex:
        """The function at n even times, the band of the kernel only, complex128, shape ``(n,)``."""
        start, step = start_s * self.rate_hz, step_s * self.rate_hz
        reach = kernel.table.shape[1] // 2
        first = math.floor(start) - reach
        stop = math.floor(start + step * (n - 1)) + reach + 2
        out = np.empty(n, dtype=np.complex128)
        _interpolate(self.values(first, stop), start - first, step, kernel.table, out)
        return out


def noise_grid(level: float, width_hz: float, seed: Sequence[int]) -> Grid:
    """White noise of a root mean square, half as strong at +-width/2 as inside."""
    edge = USED_BAND / 2
    table = Kernel.for_band(-edge, edge, WIDEST_SLOPE).table
    passed = float(np.mean(np.sum(np.abs(table) ** 2, axis=1)))  # share of the grid's power that the kernel leaves
    sigma = level / math.sqrt(2 * passed)

    @lru_cache(maxsize=8)
    def block(index: int) -> Complex:
        rng = np.random.default_rng([*seed, _FIRST_BLOCK + index])
        parts = rng.standard_normal((_BLOCK, 2))
        return np.asarray(sigma * (parts[:, 0] + 1j * parts[:, 1]))

    def values(first: int, stop: int) -> Complex:
        blocks = range(first // _BLOCK, (stop - 1) // _BLOCK + 1)
        joined = np.concatenate([block(index) for index in blocks])
        return np.asarray(joined[first - blocks[0] * _BLOCK : stop - blocks[0] * _BLOCK])

    return Grid(width_hz / USED_BAND, edge, values)


def periodic_grid(lines: Complex, spacing_hz: float) -> Grid:
    """A sum of lines at multiples of a spacing, the middle one at 0; ``lines`` holds an odd number of amplitudes."""
    n_side = len(lines) // 2
    n = max(math.ceil(len(lines) / USED_BAND), 8)
    spectrum = np.zeros(n, dtype=np.complex128)
    spectrum[np.arange(-n_side, n_side + 1)] = lines
    period = np.fft.ifft(spectrum) * n

    def values(first: int, stop: int) -> Complex:
        return np.asarray(period[np.arange(first, stop) % n])

    return Grid(n * spacing_hz, 0.5, values)
