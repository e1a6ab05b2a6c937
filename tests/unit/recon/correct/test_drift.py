# SPDX-License-Identifier: MIT
"""Drift of a magnet that warms by a kelvin during a scan."""

import numpy as np
import pytest
from ward import head_kspace

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.drift import (
    Differences,
    compare_readouts,
    drift_figure,
    fit_drift,
    measure_changes,
    remove_drift,
)
from isocenter.recon.correct.drift_sharpness import sharpest_drift

N, DWELL_S, TR_S = 96, 40e-6, 0.5
VOXEL_HZ = 1 / (N * DWELL_S)
TOTAL_HZ = -2154.0  # one kelvin at 46 mT


def drift_hz(time_s):
    """Warming that settles."""
    end_s = N * TR_S
    return TOTAL_HZ * (1 - np.exp(-time_s / (0.6 * end_s))) / (1 - np.exp(-1 / 0.6))


def drifting_head(evolution_s=0.0, noise=0.0, seed=0):
    """Lines, navigators and their times; the drift acts in continuous time, also within a readout."""
    rng = np.random.default_rng(seed)
    head = head_kspace(N, N)
    time_s = np.arange(N) * TR_S
    t_s = (np.arange(N) - N // 2) * DWELL_S

    def turn(lines, when_s):
        change = (drift_hz(when_s + 1e-4) - drift_hz(when_s)) / 1e-4
        f = drift_hz(when_s)[:, None] + change[:, None] * t_s
        spin = np.exp(2j * np.pi * (drift_hz(when_s)[:, None] * evolution_s + f * t_s))
        noisy = lines * spin + noise * (rng.standard_normal((len(lines), N)) + 1j * rng.standard_normal((len(lines), N)))
        return noisy.astype(np.complex64)[:, None]

    navigators_s = time_s[::8] + 0.02
    return turn(head, time_s), turn(np.tile(head[N // 2], (len(navigators_s), 1)), navigators_s), time_s, navigators_s


def image(lines):
    return np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(lines[:, 0]))))


@pytest.mark.parametrize("noise", [0.0, 2e-4])
def test_navigators_leave_less_than_a_tenth_of_a_voxel(noise):
    lines, navigators, time_s, navigators_s = drifting_head(noise=noise)
    changes = measure_changes(navigators, np.zeros(len(navigators), dtype=int), navigators_s, DWELL_S)
    curve = fit_drift(changes, 0.0, float(time_s[-1]))
    found = curve.frequency_hz(time_s)
    assert np.ptp(drift_hz(time_s)) / VOXEL_HZ > 8
    assert np.abs(found - drift_hz(time_s)).max() < 0.1 * VOXEL_HZ
    fixed = remove_drift(lines, found, DWELL_S, N // 2)
    true = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(head_kspace(N, N)))))
    before, after = (np.linalg.norm(image(part) - true) / np.linalg.norm(true) for part in (lines, fixed))
    assert before > 0.5
    assert after < 0.05 + 2 * noise * N / true.max()
    figure = drift_figure(curve, DWELL_S, N)
    assert figure.values[0] > 8
    assert figure.values[1] < 0.1


def test_gradient_echo_phase_is_removed_too():
    lines, navigators, time_s, navigators_s = drifting_head(evolution_s=8e-3)
    changes = measure_changes(navigators, np.zeros(len(navigators), dtype=int), navigators_s, DWELL_S)
    found = fit_drift(changes, 0.0, float(time_s[-1])).frequency_hz(time_s)
    true = head_kspace(N, N)
    fixed = remove_drift(lines, found, DWELL_S, N // 2, evolution_s=8e-3)[:, 0]
    only_readout = remove_drift(lines, found, DWELL_S, N // 2)[:, 0]
    assert np.linalg.norm(fixed - true) < 0.15 * np.linalg.norm(true)
    assert np.linalg.norm(only_readout - true) > 0.9 * np.linalg.norm(true)


def test_lines_measured_twice_serve_as_well():
    _lines, _, _, _ = drifting_head()
    rng = np.random.default_rng(1)
    order = np.concatenate([np.arange(N), np.arange(N)])  # two averages, one after the other
    time_s = np.arange(2 * N) * TR_S / 2
    t_s = (np.arange(N) - N // 2) * DWELL_S
    samples = head_kspace(N, N)[order] * np.exp(2j * np.pi * drift_hz(time_s)[:, None] * t_s)
    samples = samples + 2e-4 * (rng.standard_normal(samples.shape) + 1j * rng.standard_normal(samples.shape))
    changes = measure_changes(samples.astype(np.complex64)[:, None], order, time_s, DWELL_S)
    assert len(changes) > 10
    found = fit_drift(changes, 0.0, float(time_s[-1])).frequency_hz(time_s)
    error = found - drift_hz(time_s)
    assert np.abs(error - error[0]).max() < 0.5 * VOXEL_HZ  # half the scan apart: less sure than navigators
    assert np.ptp(error) < 0.05 * abs(TOTAL_HZ)


def test_sharpest_image_finds_drift_without_navigators():
    lines, _, time_s, _ = drifting_head(noise=1e-4)
    curve = sharpest_drift(lines, time_s, DWELL_S, N // 2, lambda part: image(part).astype(np.complex64))
    error = (curve.frequency_hz(time_s) - drift_hz(time_s))[N // 8 : -N // 8]
    # how the whole image moves cannot be seen; the rest must fit
    assert np.abs(error - np.median(error)).max() < 0.06 * abs(TOTAL_HZ)
    fixed = remove_drift(lines, curve.frequency_hz(time_s), DWELL_S, N // 2)
    true = image(head_kspace(N, N)[:, None])
    before, after = (np.sqrt(1 - _best_match(image(part), true) ** 2) for part in (lines, fixed))
    assert before > 0.15
    assert after < 0.2 * before


def _best_match(found, true):
    """Correlation of two images, however far apart they lie along the readout."""

    def one(shift):
        moved = np.fft.ifft(np.fft.fft(found, axis=1) * np.exp(2j * np.pi * np.fft.fftfreq(N) * shift), axis=1).real
        return float((moved * true).sum() / np.linalg.norm(moved) / np.linalg.norm(true))

    return max(one(shift) for shift in np.arange(-12, 12, 0.1))


def test_scan_without_drift_is_left_alone():
    head = head_kspace(N, N).astype(np.complex64)[:, None]
    time_s = np.arange(N) * TR_S
    curve = sharpest_drift(head, time_s, DWELL_S, N // 2, lambda part: image(part).astype(np.complex64))
    assert len(curve.coefficients) == 0
    np.testing.assert_array_equal(curve.frequency_hz(time_s), 0)
    rng = np.random.default_rng(0)
    steady = (head[N // 2] + 5e-4 * (rng.standard_normal((12, 1, N)) + 1j * rng.standard_normal((12, 1, N)))).astype(
        np.complex64
    )
    changes = measure_changes(steady, np.zeros(12, dtype=int), np.arange(12.0), DWELL_S)
    assert np.abs(fit_drift(changes, 0.0, 11.0).frequency_hz(np.arange(12.0))).max() < 0.1 * VOXEL_HZ


def test_comparison_is_unbiased_and_knows_its_uncertainty():
    rng = np.random.default_rng(0)
    line = head_kspace(N, N)[N // 2]
    t_s = np.arange(N) * DWELL_S
    errors, sds = [], []
    for _ in range(200):
        pair = [
            line * np.exp(2j * np.pi * f * t_s) + 5e-4 * (rng.standard_normal(N) + 1j * rng.standard_normal(N))
            for f in (0, 777.0)
        ]
        found, sd = compare_readouts(*(np.asarray(p, dtype=np.complex64)[None] for p in reversed(pair)), DWELL_S)
        errors.append(found - 777.0)
        sds.append(sd)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(200)
    assert 0.5 < np.std(errors) / np.median(sds) < 2


def test_outlier_and_noise_navigators_do_not_bend_the_curve():
    time_s = np.linspace(0, 40, 21)
    change = 10.0 * time_s
    change[7] += 4000
    curve = fit_drift(
        Differences(earlier_s=np.zeros(21), later_s=time_s, change_hz=change, sd_hz=np.full(21, 2.0)), 0.0, 40.0
    )
    assert np.abs(curve.frequency_hz(time_s) - 10 * time_s).max() < 3
    noise = np.random.default_rng(0).standard_normal((6, 1, N)).astype(np.complex64)
    changes = measure_changes(noise, np.zeros(6, dtype=int), np.arange(6.0), DWELL_S)
    with pytest.raises(ReconError, match=r"no navigators.*\n.*two averages"):
        fit_drift(changes, 0.0, 5.0)
