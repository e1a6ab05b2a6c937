# SPDX-License-Identifier: MIT
"""Playing tables with the calibration of a GPA-FHDO's currents."""

from typing import Final

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.queues import Table
from isocenter.domain.currents import BoardCurrents
from isocenter.domain.errors import CompileError, WrongState
from isocenter.domain.events import CHANNELS, GRADIENT_CHANNELS
from isocenter.domain.scanner import GradientBoard

FULL_SCALE: Final = 32_767


class CurrentCorrection:
    """Codes that make the wanted currents flow: one table a channel, from wanted code to the one to send."""

    def __init__(self, currents: BoardCurrents) -> None:
        wanted = np.arange(-FULL_SCALE - 1, FULL_SCALE + 1) / FULL_SCALE
        self._codes = np.stack(
            [
                np.rint(polynomial.polyval(wanted, fit.coefficients) * FULL_SCALE).astype(np.int32)
                for fit in currents.channels
            ]
        )
        if np.any(np.diff(self._codes, axis=1) < 0):
            raise WrongState("The gradient calibration is not monotonic.", "Repeat the gradient calibration.")

    def code(self, channel: int, wanted: int) -> int:
        """Code for one wanted code."""
        return int(self._codes[channel, wanted + FULL_SCALE + 1])

    def apply(self, table: Table) -> Table:
        """A segment's table with its gradients corrected.

        Raises
        ------
        CompileError
            A current is beyond what the board can give.
        """
        values: NDArray[np.int32] = table.values.copy()
        low, high = isa.gradient_code_range(GradientBoard.GPA_FHDO)
        for channel, name in enumerate(GRADIENT_CHANNELS):
            index = CHANNELS.index(name)
            part = slice(int(table.bounds[index]), int(table.bounds[index + 1]))
            corrected = self._codes[channel, table.values[part] + FULL_SCALE + 1]
            if len(corrected) and (corrected.min() < low or corrected.max() > high):
                share = float(np.abs(corrected).max()) / FULL_SCALE
                raise CompileError(
                    f"Gradient channel {name[-1]}, as calibrated, would need {share * 100:.1f} % of its board's range.",
                    "Use a larger field of view or thicker slices, or lower the gradient's limit in the hardware file.",
                )
            values[part] = corrected
        return Table(table.ticks, values, table.bounds)
