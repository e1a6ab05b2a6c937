# SPDX-License-Identifier: MIT
"""Where in k-space the spins are: gradient moments since the excitation, inverted by each refocusing pulse."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Line = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Moments:
    """Running integral of the gradients on logical axes.

    Attributes
    ----------
    lines
        Waveforms of logical x, y, z [ticks, Hz/m].
    sums
        Integral up to each point [1/m].
    clock_hz
        Ticks per second.
    """

    lines: tuple[Line, Line, Line]
    sums: tuple[Floats, Floats, Floats]
    clock_hz: float

    def at(self, ticks: Floats) -> Floats:
        """Integral from the start of the scan to each tick, shape ``(n, 3)`` [1/m]."""
        from isocenter.compiler.interpret.lines import running_area

        found, area = np.zeros((len(ticks), 3)), np.empty(len(ticks))
        for axis, ((times, values), sums) in enumerate(zip(self.lines, self.sums, strict=True)):
            if len(times) < 2:
                continue
            running_area((times, values), sums, self.clock_hz, ticks, area)
            found[:, axis] = area
        return found


def make_moments(lines: tuple[Line, Line, Line], clock_hz: float) -> Moments:
    """Running integral of three waveforms."""
    x, y, z = (
        np.concatenate([[0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(t))]) / clock_hz if len(t) else np.zeros(0)
        for t, v in lines
    )
    return Moments(lines=lines, sums=(x, y, z), clock_hz=clock_hz)


def track_origin(moments_at_pulses: Floats, kind: NDArray[np.str_]) -> tuple[Floats, NDArray[np.float64]]:
    """Moment at which k is zero after each pulse, shape ``(n, 3)``, so that k(t) = moment(t) - origin.

    Excitation: k restarts at zero at the pulse's centre. Refocusing: k becomes -k there. Others leave it alone.
    """
    from isocenter.compiler.interpret.lines import follow

    n = len(kind)
    sign, constant = np.ones(n), np.zeros((n, 3))
    excites, refocuses = kind == "e", kind == "r"
    sign[excites], constant[excites] = 0.0, moments_at_pulses[excites]
    sign[refocuses], constant[refocuses] = -1.0, 2 * moments_at_pulses[refocuses]
    return follow(sign, constant), sign
