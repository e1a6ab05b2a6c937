# SPDX-License-Identifier: MIT
"""Frequency of a magnet whose temperature changes: known in closed form, so that no phase depends on how time is cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import Magnet
from isocenter.domain.scenario import MagnetFaults

Times = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Change of frequency over virtual time, zero at time zero.

    Attributes
    ----------
    rate_hz_per_s
        At time zero [Hz/s].
    settling_s
        Time constant with which the change dies out [s]; 0: never.
    jump_hz, jump_s
        A sudden change [Hz], and when it comes [s].
    """

    rate_hz_per_s: float = 0.0
    settling_s: float = 0.0
    jump_hz: float = 0.0
    jump_s: float = 0.0

    def offset_hz(self, time_s: float) -> float:
        """Deviation of the frequency at a time [Hz]."""
        jumped_hz = self.jump_hz if time_s >= self.jump_s else 0.0
        if self.settling_s > 0:
            return jumped_hz + float(-self.rate_hz_per_s * self.settling_s * np.expm1(-time_s / self.settling_s))
        return jumped_hz + self.rate_hz_per_s * time_s

    def turns(self, start_s: float, since_s: Times) -> NDArray[np.float64]:
        """Turns that the deviation adds between ``start_s`` and ``start_s + since_s`` (negative: before it)."""
        since = np.asarray(since_s, dtype=np.float64)
        jumped = np.zeros(since.shape)
        if self.jump_hz:
            behind_s = np.maximum(start_s + since - self.jump_s, 0.0) - max(start_s - self.jump_s, 0.0)
            jumped = np.asarray(self.jump_hz * behind_s)
        if not self.rate_hz_per_s:
            return jumped
        if self.settling_s > 0:
            tau = self.settling_s
            decayed = tau * np.exp(-start_s / tau) * np.expm1(-since / tau)
            return np.asarray(jumped + self.rate_hz_per_s * tau * (since + decayed))
        return np.asarray(jumped + self.rate_hz_per_s * since * (start_s + since / 2))


def magnet_drift(magnet: Magnet, faults: MagnetFaults) -> Drift:
    """Drift of a magnet whose temperature changes as its faults say."""
    slope = magnet.drift_hz_per_c
    return Drift(
        rate_hz_per_s=slope * faults.drift_c_per_s,
        settling_s=faults.drift_settling_s,
        jump_hz=slope * faults.jump_c,
        jump_s=faults.jump_s,
    )


def temperature_c(faults: MagnetFaults, time_s: float) -> float:
    """Temperature of the magnet at a virtual time [degree C]."""
    change = Drift(
        rate_hz_per_s=faults.drift_c_per_s,
        settling_s=faults.drift_settling_s,
        jump_hz=faults.jump_c,
        jump_s=faults.jump_s,
    )
    return faults.temperature_c + change.offset_hz(time_s)
