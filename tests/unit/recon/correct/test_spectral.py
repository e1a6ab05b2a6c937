# SPDX-License-Identifier: MIT
"""Tones removed without sensors; the object stays."""

import numpy as np
import pytest
from ward import background_rms, head_kspace

from isocenter.recon.correct.spectral import remove_tones

N, DWELL_S = 128, 25e-6
VIAL = ((1.0, 0.1, -0.05, 0.03, 0.03), (0.8, -0.2, 0.1, 0.02, 0.02))


def scan(tones=(), noise=2e-4, seed=0, wander=0.0, ellipses=None):
    """k-space of a head; tones (turns per sample, amplitude) with a phase of their own in each line."""
    rng = np.random.default_rng(seed)
    clean = head_kspace(N, N) if ellipses is None else head_kspace(N, N, ellipses)
    clean = clean + noise * (rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N)))
    dirty = clean.copy()
    for f, amplitude in tones:
        turns = f + wander * rng.standard_normal((N, 1))
        dirty += amplitude * np.exp(2j * np.pi * (rng.uniform(size=(N, 1)) + turns * np.arange(N)))
    return clean.astype(np.complex64)[:, None], dirty.astype(np.complex64)[:, None]


@pytest.mark.parametrize("tones", [[(0.1234, 5e-3)], [(-0.31, 3e-3), (0.02, 5e-3), (0.44, 2e-3)]])
def test_tones_go_and_the_head_stays(tones):
    clean, dirty = scan(tones)
    result = remove_tones(dirty, DWELL_S)
    assert len(result.frequencies_hz) == len(tones)
    np.testing.assert_allclose(result.frequencies_hz, sorted(f / DWELL_S for f, _ in tones), atol=0.1 / (N * DWELL_S))
    before, after = (np.linalg.norm(part - clean) for part in (dirty, result.samples))
    assert after < 0.25 * before
    floor = background_rms(clean[:, 0])
    assert background_rms(result.samples[:, 0]) < floor + 0.25 * (background_rms(dirty[:, 0]) - floor)
    assert result.figure.values[1] < result.figure.values[0] - 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ellipses", [None, VIAL])
@pytest.mark.parametrize("noise", [0.0, 2e-4, 2e-3])
def test_clean_record_is_left_as_it_is(seed, ellipses, noise):
    clean, _ = scan(noise=noise, seed=seed, ellipses=ellipses)
    result = remove_tones(clean, DWELL_S)
    assert np.linalg.norm(result.samples - clean) <= 1e-3 * np.linalg.norm(clean)
    if noise > 0:
        assert result.samples is clean
        assert not result.is_changed


def test_noise_readouts_show_what_the_object_hides():
    f = 0.0421
    clean, dirty = scan([(f, 1e-3)])
    rng = np.random.default_rng(9)
    noise = 2e-4 * (rng.standard_normal((16, 1, 256)) + 1j * rng.standard_normal((16, 1, 256)))
    noise = noise + 1e-3 * np.exp(2j * np.pi * (rng.uniform(size=(16, 1, 1)) + f * np.arange(256)))
    result = remove_tones(dirty, DWELL_S, noise=noise.astype(np.complex64))
    assert result.frequencies_hz == pytest.approx((f / DWELL_S,), abs=10)
    assert np.linalg.norm(result.samples - clean) < 0.3 * np.linalg.norm(dirty - clean)
    quiet = (noise - noise + 2e-4 * rng.standard_normal((16, 1, 256))).astype(np.complex64)
    assert not remove_tones(clean, DWELL_S, noise=quiet).is_changed


def test_tone_that_wanders_a_little_is_weakened():
    clean, dirty = scan([(0.2, 5e-3)], wander=0.1 / N)
    result = remove_tones(dirty, DWELL_S)
    assert np.linalg.norm(result.samples - clean) < 0.5 * np.linalg.norm(dirty - clean)
