# SPDX-License-Identifier: MIT
"""Samples at the receiver's full scale."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.protocols import DeviceMessage, Severity

CLIP_LEVEL: Final = 0.999
CLIPPED: Final = "samples at full scale on channel"
"""In the original words of a message about clipping."""
MIN_CLIPPED: Final = 3
"""So many raw samples at the receiver's full scale are no accident. Source: reference domain.md 2, step 8."""
_COIL_CLIPPED: Final = (
    "The signal is too strong for the receiver and was clipped. Lower the receiver's gain, then repeat the scan."
)
_SENSOR_CLIPPED: Final = (
    "The interference at the sensor is too strong for its receiver and was clipped, so images may keep some of it. "
    "Lower the sensor's gain or move it away from the source, then repeat the scan if the images have stripes."
)


class Clipping:
    """Tells of each channel once a scan."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def look(self, raw: NDArray[np.complex64]) -> Iterator[DeviceMessage]:
        """Messages about channels of a run that were clipped for the first time."""
        for channel, samples in enumerate(np.atleast_2d(raw)):
            # A carrier's amplitude is what meets the converter's full scale, whatever its phase.
            n_clipped = np.count_nonzero(samples.real**2 + samples.imag**2 >= CLIP_LEVEL**2)
            if n_clipped < MIN_CLIPPED or channel in self._told:
                continue
            self._told.add(channel)
            text = _SENSOR_CLIPPED if channel else _COIL_CLIPPED
            yield DeviceMessage(severity=Severity.WARNING, text=text, original=f"{n_clipped} {CLIPPED} {channel}")
