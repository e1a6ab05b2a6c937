# SPDX-License-Identifier: MIT
"""How the console's decimator (a sixth-order CIC) maps time to raw samples. One place, so that all who need it agree.

Source: reference marcos.md 10: N = 6, M = 1, R = 4 ... 4095; one output per R enabled ticks, the first after R - 1;
group delay 6 (R - 1) / 2 ticks; ``rx_en`` gates the decimator's input, so the filter still holds the end of the window
before when a window opens.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CIC_ORDER: Final = 6
CIC_SETTLING: Final = CIC_ORDER - 1
"""Raw samples at the start of a window that still contain what came before it."""
MIN_DECIMATION: Final = 4
MAX_DECIMATION: Final = 4095


def raw_sample_ticks(window_tick: float, decimation: int, n_raw: int) -> NDArray[np.float64]:
    """Centre of each raw sample of a window [ticks], shape ``(n_raw,)``."""
    emitted = np.arange(1, n_raw + 1, dtype=np.float64) * decimation - 1.0
    return window_tick + emitted - CIC_ORDER * (decimation - 1) / 2


def cic_response(frequency_per_raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude response at a frequency given in cycles per raw sample, 1 at zero."""
    return np.asarray(np.sinc(frequency_per_raw) ** CIC_ORDER, dtype=np.float64)
