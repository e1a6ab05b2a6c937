# SPDX-License-Identifier: MIT
"""A magnet that drifts in a scan whose oscillator was moved twice: each line's distance from the oscillator is found."""

import numpy as np
import pytest

from isocenter.recon.correct.drift_stretches import follow_stretches

N, N_SAMPLES, DWELL_S = 90, 64, 50e-6


def navigators(residual_hz, seed=1, noise=0.01):
    """The same line at every moment, turned by what the magnet is away from its oscillator."""
    rng = np.random.default_rng(seed)
    time = (np.arange(N_SAMPLES) - N_SAMPLES // 2) * DWELL_S
    line = np.exp(-((time / 4e-4) ** 2)) * (1 + 0.3j * np.sin(time * 9e3))
    lines = line * np.exp(2j * np.pi * np.asarray(residual_hz)[:, None] * time)
    lines += noise * (rng.normal(size=lines.shape) + 1j * rng.normal(size=lines.shape))
    return lines[:, None].astype(np.complex64)


@pytest.mark.parametrize("rate_hz_per_s", [0.0, 30.0, -55.0])
def test_what_each_line_is_away_is_found_in_every_stretch(rate_hz_per_s):
    time_s = np.linspace(0.0, 27.0, N)
    stretch = np.searchsorted([9.0, 20.0], time_s, side="right")
    passed_s = time_s + np.array([0.0, 4.0, 9.0])[stretch]  # the pauses take time, too
    set_s = np.array([0.0, 11.0, 27.0])[stretch]  # when the oscillator was set, 2 s before it went on
    residual_hz = rate_hz_per_s * (passed_s - set_s)
    groups = np.where(np.arange(N) % 3 == 0, 0, -1)  # every third line is a navigator
    found_hz = follow_stretches(navigators(residual_hz), groups, time_s, DWELL_S, stretch)
    assert found_hz == pytest.approx(residual_hz, abs=8.0)


def test_a_stretch_too_short_to_tell_stays_as_it_was_set():
    time_s = np.linspace(0.0, 27.0, N)
    stretch = (np.arange(N) >= N - 2).astype(int)
    groups = np.where(np.arange(N) < N - 2, 0, -1)
    found_hz = follow_stretches(navigators(20.0 * time_s), groups, time_s, DWELL_S, stretch)
    assert found_hz[-2:] == pytest.approx(0.0)
    assert found_hz[:-2] == pytest.approx(20.0 * time_s[:-2], abs=8.0)
