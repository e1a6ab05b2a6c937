# SPDX-License-Identifier: MIT
"""What the squares of the gradients leave behind: moments of concomitant fields at each readout, from what the DACs play."""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.interpret.pulses import Pulses
from isocenter.compiler.interpret.trajectory import Staircase
from isocenter.domain.events import Readouts

Floats = NDArray[np.float64]

_PAIRS: Final = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def find_square_moments(
    readouts: Readouts, pulses: Pulses, channels: tuple[Staircase, ...], clock_hz: float, lo_hz: float, turn: Floats
) -> NDArray[np.float32]:
    """Moments of gradient products at each readout's first sample, see ``CompiledScan.square_moments_per_m2``.

    Parameters
    ----------
    readouts, pulses
        On absolute ticks.
    channels
        What the gradients play.
    turn
        Device axes from channels, shape (3, 3).

    Source
    ------
    Phase of the concomitant field, Bernstein et al. 1998, Magn Reson Med 39:300, without its functions of space.
    """
    action = np.select([pulses.kind == "e", pulses.kind == "r"], [0.0, -1.0], default=1.0)
    ticks = np.concatenate([pulses.centre_tick, readouts.first_sample_tick])
    order = np.argsort(ticks, kind="stable")
    factor = np.concatenate([action, np.full(len(readouts), np.nan)])[order]
    per_tick = np.array([channel.per_m for channel in channels]) * clock_hz  # of one code [Hz/m]
    x, y, z = channels
    found = _follow_squares((x.ticks, y.ticks, z.ticks), (x.codes, y.codes, z.codes), per_tick, ticks[order], factor)
    matrix = np.zeros((len(readouts), 3, 3))
    where = order[np.isnan(factor)] - len(action)
    for column, (i, j) in enumerate(_PAIRS):
        matrix[where, i, j] = matrix[where, j, i] = found[:, column]
    matrix = turn @ matrix @ turn.T / (clock_hz * 2 * lo_hz)
    return np.stack([matrix[:, i, j] for i, j in _PAIRS], axis=1).astype(np.float32)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _add_squares(sums: Floats, now: Floats, held: float) -> None:
    """Add what the gradients did for some time."""
    if held <= 0.0 or (now[0] == 0.0 and now[1] == 0.0 and now[2] == 0.0):
        return
    sums[0] += now[0] * now[0] * held
    sums[1] += now[1] * now[1] * held
    sums[2] += now[2] * now[2] * held
    sums[3] += now[0] * now[1] * held
    sums[4] += now[0] * now[2] * held
    sums[5] += now[1] * now[2] * held


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _follow_squares(
    ticks: tuple[Floats, Floats, Floats],
    codes: tuple[Floats, Floats, Floats],
    per_code: Floats,
    event_ticks: Floats,
    factor: Floats,
) -> Floats:
    """Sums of products of the channels up to each event whose factor is not a number; others multiply the sums."""
    kept = np.zeros((np.count_nonzero(np.isnan(factor)), 6))
    sums, now, row = np.zeros(6), np.zeros(3), np.zeros(3, dtype=np.int64)
    at, out = 0.0, 0
    for event, end in enumerate(event_ticks):
        while True:
            next_axis, upto = -1, end
            for axis in range(3):
                if row[axis] < len(ticks[axis]) and ticks[axis][row[axis]] < upto:
                    next_axis, upto = axis, ticks[axis][row[axis]]
            _add_squares(sums, now, upto - at)
            at = upto
            if next_axis < 0:
                break
            now[next_axis] = codes[next_axis][row[next_axis]] * per_code[next_axis]
            row[next_axis] += 1
        if np.isnan(factor[event]):
            kept[out] = sums
            out += 1
        else:
            sums *= factor[event]
    return kept
