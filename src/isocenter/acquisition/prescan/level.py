# SPDX-License-Identifier: MIT
"""How much of the receiver's range a signal uses, and which gain would use it well.

Source
------
Reference domain.md 2, step 8: peak at 50 to 90 % of full scale; clipped when three samples or more stand at full scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.domain.raw import RawScan

LOWEST: Final = 0.5
TARGET: Final = 0.56  # a whole-head localizer was seen to be 1.4 times as strong as the echo that is measured here
HIGHEST: Final = 0.9
CLIP_LEVEL: Final = 0.98
MIN_SNR: Final = 8.0

_CLIPPED_SAMPLES: Final = 3
_FLAT_TOP: Final = 0.02  # samples that stand still at the top by less than this are clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Of the strongest of some readouts.

    Attributes
    ----------
    peak
        Largest magnitude; 1 is full scale.
    snr
        Over the root mean square of the noise in one sample.
    is_clipped
        The receiver was at its end.
    """

    peak: float
    snr: float
    is_clipped: bool


def measure_level(raw: RawScan) -> Level:
    """Peak of the readouts, all channels."""
    magnitude = np.abs(raw.samples)
    if not magnitude.size:
        return Level(peak=0.0, snr=0.0, is_clipped=False)
    strongest = raw.samples[np.unravel_index(int(magnitude.argmax()), magnitude.shape)[:2]].astype(np.complex128)
    n = len(strongest)
    power = np.abs(np.fft.fftshift(np.fft.fft(strongest))) ** 2
    noise = float(np.sqrt(np.median(power[n // 10 : n - n // 10]) / np.log(2) / n))
    peak = float(magnitude.max())
    at_end = np.count_nonzero(magnitude >= CLIP_LEVEL) >= _CLIPPED_SAMPLES
    return Level(peak=peak, snr=peak / max(noise, 1e-12), is_clipped=bool(at_end) or _is_flat(np.abs(strongest)))


def _is_flat(magnitude: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Three or more equal samples beside each other at a peak that is near full scale, as a clipped converter gives."""
    if magnitude.max() < HIGHEST:
        return False
    top = magnitude >= magnitude.max() * (1 - _FLAT_TOP / 10)
    return bool(np.any(top[2:] & top[1:-1] & top[:-2]))


def best_gain_db(gains_db: Sequence[float], now_db: float, peak: float) -> float:
    """Gain at which a peak that was measured at ``now_db`` comes nearest to the target without passing the highest level."""
    if peak <= 0:
        return max(gains_db)
    room_db = 20 * float(np.log10(HIGHEST / peak))
    wanted_db = now_db + 20 * float(np.log10(TARGET / peak))
    allowed = [gain_db for gain_db in gains_db if gain_db <= now_db + room_db] or [min(gains_db)]
    least_db = now_db + 20 * float(np.log10(LOWEST / peak))
    enough = [gain_db for gain_db in allowed if gain_db >= least_db - 0.1] or allowed
    return min(enough, key=lambda gain_db: abs(gain_db - wanted_db))
