# SPDX-License-Identifier: MIT
"""How the magnet of the scanner in use drifts, by its own history where that tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isocenter.acquisition.prescan.drift_model import learn_drift
from isocenter.acquisition.prescan.looks import drift_rate_hz_per_s
from isocenter.domain.calibration import CalibrationValue
from isocenter.domain.errors import StorageError
from isocenter.domain.scanner import Magnet

History = Callable[[], Sequence[CalibrationValue]]
"""Every frequency that was accepted, oldest first; raises StorageError when it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnetDrift:
    """What to expect of a magnet during a scan.

    Attributes
    ----------
    slope_hz_per_c
        Change of frequency with temperature.
    rate_hz_per_s
        Fastest drift, to either side.
    """

    slope_hz_per_c: float
    rate_hz_per_s: float


def drift_of(magnet: Magnet, history: History) -> MagnetDrift:
    """By the history; by the hardware file where there is none that can be read, which whoever measures is told."""
    try:
        values = history()
    except StorageError:
        values = ()
    slope_hz_per_c = learn_drift(values, magnet).slope_hz_per_c
    return MagnetDrift(slope_hz_per_c=slope_hz_per_c, rate_hz_per_s=drift_rate_hz_per_s(values, slope_hz_per_c))
