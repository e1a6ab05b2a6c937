# SPDX-License-Identifier: MIT
"""Noise and interference: level, lines and combs by their frequencies."""

import math

import numpy as np
import pytest

from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.acquisition.prescan.noise import NoiseFigures, measure_noise, thermal_rms_v
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan

BAND_HZ, LO_HZ, N = 50e3, 2.0e6, 8192


def raw_of(windows):
    samples = np.asarray(windows, dtype=np.complex64)[:, None]
    return RawScan(
        samples=samples, labels={}, dwell_s=1 / BAND_HZ, lo_hz=LO_HZ, encoding=None, placement=Placement(), facts=None
    )


def windows_of(tones=(), sigma=1e-3, n_windows=4, seed=0):
    """Noise of root mean square ``sigma`` and tones of (offset, amplitude), of another phase in each window."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(N) / BAND_HZ
    out = sigma / np.sqrt(2) * (rng.normal(size=(n_windows, N)) + 1j * rng.normal(size=(n_windows, N)))
    for offset_hz, amplitude in tones:
        phase = rng.uniform(0, 2 * np.pi, (n_windows, 1))
        out += amplitude * np.exp(1j * (2 * np.pi * offset_hz * time_s + phase))
    return out


def found(windows):
    got = measure_noise(raw_of(windows))
    assert isinstance(got, NoiseFigures), got
    return got


@pytest.mark.parametrize("seed", range(5))
def test_white_noise_has_its_level_and_no_lines(seed):
    got = found(windows_of(seed=seed))
    assert got.rms == pytest.approx(1e-3, rel=0.02)
    assert got.broadband_rms == pytest.approx(1e-3, rel=0.05)
    assert got.lines == ()
    assert math.isnan(got.comb_hz)


def test_tones_are_found_with_frequency_and_strength_strongest_first():
    got = found(windows_of([(4321.0, 2e-3), (-17_000.0, 5e-4), (0.0, 1e-3)]))
    assert [line.frequency_hz - LO_HZ for line in got.lines] == pytest.approx([4321.0, 0.0, -17_000.0], abs=6.2)
    assert [line.rms for line in got.lines] == pytest.approx([2e-3, 1e-3, 5e-4], rel=0.2)
    assert got.broadband_rms == pytest.approx(1e-3, rel=0.1)
    assert math.isnan(got.comb_hz)


@pytest.mark.parametrize("spacing_hz", [50.0, 60.0, 100.0, 120.0])
def test_a_mains_comb_is_told_by_its_distance(spacing_hz):
    rng = np.random.default_rng(1)
    tones = [(2500.0 + k * spacing_hz, 3e-4 * rng.uniform(0.5, 2.0)) for k in range(-8, 9)]
    got = found(windows_of(tones))
    assert got.comb_hz == pytest.approx(spacing_hz, abs=1.5)
    assert got.is_mains
    assert abs((got.comb_middle_hz - LO_HZ - 2500.0) / spacing_hz % 1.0 + 0.5) % 1.0 == pytest.approx(0.5, abs=0.2)


def test_a_comb_that_is_not_the_mains_is_no_mains_comb():
    got = found(windows_of([(k * 1730.0 + 400.0, 1e-3) for k in range(-6, 7)]))
    assert got.comb_hz == pytest.approx(1730.0, rel=0.01)
    assert not got.is_mains


def test_a_few_lines_anywhere_are_no_comb():
    assert math.isnan(found(windows_of([(-9170.0, 1e-3), (1234.0, 1e-3), (8881.0, 1e-3)])).comb_hz)


def test_correlated_channels_show_in_the_covariance():
    one, other = windows_of(seed=1), windows_of(seed=2)
    samples = np.stack([one, 0.5 * one + 0.1 * other], axis=1).astype(np.complex64)
    got = measure_noise(
        RawScan(
            samples=samples, labels={}, dwell_s=1 / BAND_HZ, lo_hz=LO_HZ, encoding=None, placement=Placement(), facts=None
        )
    )
    assert got.covariance[0, 1] / got.covariance[0, 0] == pytest.approx(0.5, abs=0.02)


def test_too_few_windows_zeros_and_clipping_are_refused():
    for windows, doubt in (
        (windows_of(n_windows=2), Doubt.NO_SIGNAL),
        (np.zeros((4, N)), Doubt.SILENT),
        (windows_of([(100.0, 1.2)]), Doubt.CLIPPED),
    ):
        got = measure_noise(raw_of(windows))
        assert isinstance(got, Refusal)
        assert got.doubt is doubt
        assert got.remedy


def test_thermal_noise_of_fifty_ohms():
    # 0.9 nV per root hertz is the textbook value of 50 ohms, both parts of a matched receiver together: half of 4 k T R
    assert thermal_rms_v(1.0) == pytest.approx(0.636e-9, rel=0.01)
    assert thermal_rms_v(1e4, 20.0) == pytest.approx(0.636e-9 * 100 * 10, rel=0.01)
