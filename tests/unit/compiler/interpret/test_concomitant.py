# SPDX-License-Identifier: MIT
"""Square moments at readouts, against sums over every tick."""

from types import SimpleNamespace

import numpy as np

from isocenter.compiler.interpret.concomitant import find_square_moments
from isocenter.compiler.interpret.trajectory import Staircase
from isocenter.domain.units import GAMMA_HZ_PER_T

CLOCK_HZ, LO_HZ = 1e6, 2e6
PER_CODE_T_PER_M = (1e-6, 2e-6, -3e-6)


def staircase(ticks, codes, per_code):
    ticks, codes = np.asarray(ticks, dtype=float), np.asarray(codes, dtype=float)
    sums = np.concatenate([[0.0], np.cumsum(codes[:-1] * np.diff(ticks))])
    return Staircase(ticks=ticks, codes=codes, sums=sums, per_m=per_code * GAMMA_HZ_PER_T / CLOCK_HZ)


class Windows(SimpleNamespace):
    def __len__(self):
        return len(self.first_sample_tick)


def test_every_tick_is_counted_pulses_invert_and_excitations_begin_anew():
    rng = np.random.default_rng(0)
    channels, played = [], np.zeros((3, 4000))
    for axis in range(3):
        ticks = np.unique(rng.integers(0, 3900, 60 - 20 * axis))
        codes = rng.integers(-1000, 1000, len(ticks))
        channels.append(staircase(ticks, codes, PER_CODE_T_PER_M[axis]))
        for start, stop, code in zip(ticks, [*ticks[1:], 4000], codes, strict=True):
            played[axis, start:stop] = code * PER_CODE_T_PER_M[axis] * GAMMA_HZ_PER_T
    kind = np.array(["e", "r", "i", "r", "e", "r"])
    centre = np.array([300.0, 700.0, 1000.0, 1500.0, 2500.0, 3000.0])
    windows = np.array([200.0, 900.0, 1200.0, 1800.0, 2000.0, 2600.0, 3500.0])
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    found = find_square_moments(
        Windows(first_sample_tick=windows),
        SimpleNamespace(kind=kind, centre_tick=centre),
        tuple(channels),
        CLOCK_HZ,
        LO_HZ,
        turn,
    )
    device = turn @ played
    for row, window in zip(found, windows, strict=True):
        sums = np.zeros(6)
        for tick in range(int(window)):
            for what in kind[centre == tick]:
                sums *= {"e": 0.0, "r": -1.0}.get(what, 1.0)
            x, y, z = device[:, tick]
            sums += np.array([x * x, y * y, z * z, x * y, x * z, y * z]) / CLOCK_HZ / (2 * LO_HZ)
        np.testing.assert_allclose(row, sums, rtol=1e-5, atol=1e-4 * np.abs(sums).max())
    assert np.abs(found).max() > 0.5
