# SPDX-License-Identifier: MIT
"""What can end or spoil a scan without any device: the disk, the clock, the battery, the temperature of the magnet."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.domain.device import DeviceRole
from isocenter.domain.scanner import Scanner

LOW_DISK_BYTES: Final = 2_000_000_000
CLOCK_JUMP_S: Final = 2.0
"""The clock on the wall and the steady one may part by so much between two looks [s]."""
BATTERY_LOW: Final = 0.2
FREQUENCY_JUMP_HZ: Final = 500.0
"""Source of all: reference domain.md 4.5; the share of the battery is ours."""


def free_bytes(folder: Path) -> float:
    """Free on the disk that a folder is on, or will be; NaN when nobody knows."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    return math.nan if existing is None else float(shutil.disk_usage(existing).free)


class ComputerWatch:
    """Looks at the computer and at readings that only matter over time, and tells the supervisor.

    Parameters
    ----------
    supervisor, scanner
        Whom to tell, and how far its frequency moves with temperature.
    free, wall_s, steady_s
        Where it looks: free bytes of a folder's disk, the clock on the wall and the steady one [s].

    Attributes
    ----------
    reference_c
        Temperature of the magnet when the frequency was measured [degree C]; NaN when nobody knows.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        scanner: Scanner,
        *,
        free: Callable[[Path], float] = free_bytes,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor, self._drift_hz_per_c = supervisor, scanner.magnet.drift_hz_per_c
        self.free, self.wall_s, self.steady_s = free, wall_s, steady_s
        self._clock_s = math.nan
        self.reference_c = math.nan

    def look(self, folder: Path, *, at_frequency: bool = True) -> None:
        """Look once; call it before a scan and between its segments. One that measures the frequency needs no old one."""
        self._disk(folder)
        self._clock()
        values = self._sensed()
        self._battery(values.get("battery_share", math.nan))
        if at_frequency:
            self._frequency(values.get("temperature_magnet_c", math.nan))

    @property
    def magnet_c(self) -> float:
        """Temperature of the magnet [degree C]; NaN when nobody knows."""
        return self._sensed().get("temperature_magnet_c", math.nan)

    @property
    def warmer_c(self) -> float:
        """How much the magnet is warmer than when the frequency was measured [K]; NaN when nobody knows."""
        return self.magnet_c - self.reference_c

    def frequency_measured(self) -> None:
        """The frequency has just been measured: from now on its change is counted from here."""
        self.reference_c = self.magnet_c
        self._supervisor.clear("frequency_jump")

    def _sensed(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for status in self._supervisor.devices:
            if status.reading is not None and status.role in (DeviceRole.SENSORS, DeviceRole.INTERLOCK):
                values |= status.reading.values
        return values

    def _disk(self, folder: Path) -> None:
        free = self.free(folder)
        if free < LOW_DISK_BYTES:
            self._supervisor.fault("disk_full", detail=f"{free / 1e9:.1f} GB are free.")
        else:
            self._supervisor.clear("disk_full")

    def _clock(self) -> None:
        now_s = self.wall_s() - self.steady_s()
        if abs(now_s - self._clock_s) > CLOCK_JUMP_S:  # false at the first look
            self._supervisor.fault("clock_jump", detail=f"It was moved by {now_s - self._clock_s:+.0f} s.")
        self._clock_s = now_s

    def _battery(self, share: float) -> None:
        if share < BATTERY_LOW:
            self._supervisor.fault("battery_low", detail=f"{share * 100:.0f} % are left.")
        else:
            self._supervisor.clear("battery_low")

    def _frequency(self, magnet_c: float) -> None:
        moved_hz = (magnet_c - self.reference_c) * self._drift_hz_per_c
        if abs(moved_hz) > FREQUENCY_JUMP_HZ:  # false while a temperature is unknown
            self._supervisor.fault("frequency_jump", detail=f"The magnet's temperature says {moved_hz:+.0f} Hz.")
