# SPDX-License-Identifier: MIT
"""Calibration of a gradient board's currents: what must be asked for so that the wanted current flows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from isocenter.domain.errors import AcquisitionError

SLOPE_RANGE: Final = (0.95, 1.05)
"""A slope outside says that the board, its supply or its shunt is not what the hardware file says."""
MAX_RESIDUAL: Final = 0.005
"""Largest rms deviation from the fit, of full scale."""
_REMEDY: Final = (
    "Check the board's supply voltage, the gradient cables and the board's full-scale current in the hardware file, then "
    "repeat the calibration. The old calibration stays in use."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFit:
    """One channel: ``asked = sum(coefficients[k] * wanted**k)``, both as fractions of full scale.

    Attributes
    ----------
    coefficients
        Four, of a cubic.
    slope
        Current that flows over the one that is asked for, around zero, before correction.
    offset_share
        Current that flows when zero is asked for, of full scale.
    residual_share
        Root mean square of what the fit leaves, of full scale.
    """

    coefficients: tuple[float, float, float, float]
    slope: float
    offset_share: float
    residual_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCurrents:
    """Channels x, y, z of a board.

    Attributes
    ----------
    full_scale_a
        Current at a code of full scale [A].
    """

    channels: tuple[ChannelFit, ChannelFit, ChannelFit]
    full_scale_a: float


def fit_channel(name: str, asked: NDArray[np.float64], measured: NDArray[np.float64]) -> ChannelFit:
    """Fit one channel.

    Parameters
    ----------
    name
        For messages, ``x``.
    asked, measured
        Fractions of full scale, shape ``(n,)``, at least six different values on both sides of zero.

    Raises
    ------
    AcquisitionError
        The fit cannot be trusted; nothing may be changed.

    Source
    ------
    reference domain.md 1.3, marcos.md 11.3: cubic fit of 20 points, accepted for a slope of 0.95 to 1.05.
    """
    if len(asked) < 6 or not (asked.min() < 0 < asked.max()) or not np.all(np.isfinite(measured)):
        raise AcquisitionError(f"There are too few currents to calibrate gradient channel {name}.", _REMEDY)
    line = polynomial.polyfit(asked, measured, 3)
    slope, offset = float(line[1]), float(line[0])
    if not SLOPE_RANGE[0] <= slope <= SLOPE_RANGE[1]:
        what = (
            "does not follow what it is told" if abs(slope) < 0.2 else f"gives {slope:.2f} times the current that it is told"
        )
        raise AcquisitionError(
            f"Gradient channel {name} {what}; between {SLOPE_RANGE[0]:g} and {SLOPE_RANGE[1]:g} times is accepted.", _REMEDY
        )
    inverse = polynomial.polyfit(measured, asked, 3)
    residual = float(np.sqrt(np.mean((polynomial.polyval(measured, inverse) - asked) ** 2)))
    if residual > MAX_RESIDUAL:
        raise AcquisitionError(
            f"The currents of gradient channel {name} scatter by {residual * 100:.2f} % of full scale; "
            f"at most {MAX_RESIDUAL * 100:g} % is accepted.",
            _REMEDY,
        )
    c0, c1, c2, c3 = (float(value) for value in inverse)
    return ChannelFit(coefficients=(c0, c1, c2, c3), slope=slope, offset_share=offset, residual_share=residual)
