# SPDX-License-Identifier: MIT
"""The virtual decimator works on a few points a sample; a six-stage CIC at the full clock says what is right."""

import numpy as np
import pytest

from isocenter.domain.receiver import CIC_ORDER, CIC_SETTLING, cic_response, raw_sample_ticks
from isocenter.virtual.console.playback import RxWindow
from isocenter.virtual.console.receiver import Receiver, Stretch, cic_correction

OPENS = 3000


def cic(wave, decimation):
    """Integrators, every R-th value, combs: what the hardware does, in exact arithmetic on integers."""
    scaled = [np.rint(part * 2**20).astype(np.int64).astype(object) for part in (wave.real, wave.imag)]
    parts = []
    for part in scaled:
        sums = part
        for _ in range(CIC_ORDER):
            sums = np.cumsum(sums)
        sums = sums[decimation - 1 :: decimation]
        for _ in range(CIC_ORDER):
            sums = np.diff(sums, prepend=0)
        parts.append(sums.astype(np.float64) / decimation**CIC_ORDER / 2**20)
    return parts[0] + 1j * parts[1]


def decimated(function, decimation, n):
    """The virtual console's way with a function of ticks."""
    window = RxWindow(
        tick=OPENS,
        stop_tick=OPENS + n * decimation,
        decimation=decimation,
        sample_ticks=raw_sample_ticks(OPENS, decimation, n + 2)[2:],
    )
    emitted = OPENS + np.arange(1, n + 1) * decimation - 1
    stretch = Stretch(window=window, emit_ticks=emitted, is_fresh=True, lo=0)
    signal = function(window.sample_ticks).astype(np.complex64)
    return Receiver(0).filter([stretch], [signal])[0] * cic_correction(decimation)


@pytest.mark.parametrize("decimation", [16, 61, 300])
def test_a_band_of_signals_comes_out_as_from_the_hardware(decimation):
    rng = np.random.default_rng(decimation)
    cycles = rng.uniform(-0.16, 0.16, 12) / decimation  # the part of the band that the receive filter keeps
    weights = (rng.normal(size=12) + 1j * rng.normal(size=12)) / 8

    def signal(ticks):
        return np.exp(2j * np.pi * np.outer(np.asarray(ticks) - OPENS, cycles)) @ weights

    n = 40
    wanted = cic(signal(OPENS + np.arange(n * decimation)), decimation)
    got = decimated(signal, decimation, n)
    assert np.abs(got - wanted)[CIC_SETTLING:].max() < 6e-4 * np.abs(wanted).max()
    if decimation > 100:  # for a coarse clock a sum is not yet an integral
        response = cic_response(cycles * decimation)
        places = raw_sample_ticks(OPENS, decimation, n) - OPENS
        formula = np.exp(2j * np.pi * np.outer(places, cycles)) @ (weights * response)
        assert np.abs(formula - wanted)[CIC_SETTLING:].max() < 3e-4 * np.abs(wanted).max()
