# SPDX-License-Identifier: MIT
"""Spectra have the right sign and size; noise statistics see what is wrong."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.recon.spectrum import noise_statistics, spectrum

DWELL_S = 20e-6


def scan(samples):
    return RawScan(
        samples=np.asarray(samples, dtype=np.complex64),
        labels={},
        dwell_s=DWELL_S,
        lo_hz=2e6,
        encoding=None,
        placement=Placement(),
        facts=None,
    )


@pytest.mark.parametrize("n_samples", [1000, 1001])
@pytest.mark.parametrize("offset_hz", [0.0, 1500.0, -3250.0])
def test_peak_stands_at_the_offset_frequency(n_samples, offset_hz):
    time_s = np.arange(n_samples) * DWELL_S
    tone = 0.7 * np.exp(2j * np.pi * offset_hz * time_s)
    frequency_hz, magnitude = spectrum(scan(tone[np.newaxis, np.newaxis]), zero_fill=8)
    assert frequency_hz[len(frequency_hz) // 2] == 0
    assert frequency_hz[magnitude.argmax()] == pytest.approx(offset_hz, abs=1 / (8 * n_samples * DWELL_S))
    assert magnitude.max() == pytest.approx(0.7, rel=1e-2)


def test_channels_add_in_power_and_readouts_as_signals():
    tone = np.exp(2j * np.pi * 0.1 * np.arange(100))
    both = np.stack([np.stack([0.6 * tone, 0.8j * tone])] * 3)
    assert spectrum(scan(both))[1].max() == pytest.approx(1.0, rel=1e-4)
    opposite = np.stack([tone, -tone])[:, np.newaxis]
    assert spectrum(scan(opposite))[1].max() < 1e-6


def test_noise_statistics_of_known_noise():
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(20, 2, 2000)) + 1j * rng.normal(size=(20, 2, 2000))
    noise[:, 1] = 2 * noise[:, 1] + 0.5 * noise[:, 0] + (3 - 4j)
    found = noise_statistics(scan(noise))
    np.testing.assert_allclose(found.std, [1, np.sqrt(4.25)], rtol=0.02)
    np.testing.assert_allclose(found.mean, [0, 3 - 4j], atol=0.05)
    np.testing.assert_allclose(found.iq_ratio, 1, atol=0.03)
    np.testing.assert_allclose(found.covariance[1, 0], 1.0, atol=0.05)  # 0.5 of a variance of 2
    assert found.peak_over_mean.max() < 4


def test_interference_shows_as_a_peak():
    rng = np.random.default_rng(8)
    noise = rng.normal(size=(20, 1, 1000)) + 1j * rng.normal(size=(20, 1, 1000))
    noise += 0.5 * np.exp(2j * np.pi * 0.21 * np.arange(1000))
    assert noise_statistics(scan(noise)).peak_over_mean[0] > 50


def test_nothing_measured_is_said():
    with pytest.raises(ReconError, match=r"Not one readout[\s\S]*again"):
        spectrum(scan(np.zeros((0, 1, 10))))
    with pytest.raises(ReconError, match=r"1 samples[\s\S]*longer"):
        noise_statistics(scan(np.zeros((1, 1, 1))))
