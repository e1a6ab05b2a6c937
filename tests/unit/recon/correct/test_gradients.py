# SPDX-License-Identifier: MIT
"""Gradients that bend, come late and bring fields of their own; objects are points or formulas, never voxels."""

import numpy as np
import pytest
from ward import ELLIPSES, head_kspace

from isocenter.domain.errors import ReconError
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.recon.correct.concomitant import (
    concomitant_hz,
    maxwell_functions_m2,
    maxwell_products,
    remove_line_phases,
    staircase_moments,
)
from isocenter.recon.correct.delays import compare_polarities, delay_trajectory, remove_delay, remove_polarity_difference
from isocenter.recon.correct.nonlinearity import ThirdOrderCoils, straighten

N = 48
FOV_M = 0.24
STEP_M = FOV_M / N
COILS = ThirdOrderCoils(shares=(0.2, 0.15, 0.1), radius_m=0.12)


def ball_volume(centres_m, radius_m, moved):
    """Image of balls, each voxel averaged over points; ``moved`` says where a point shows."""
    rng = np.random.default_rng(0)
    image = np.zeros((N, N, N))
    for centre in centres_m:
        points = rng.uniform(-radius_m, radius_m, (200_000, 3))
        points = points[(points**2).sum(axis=1) < radius_m**2] + centre
        index = np.rint(moved(points)[:, ::-1] / STEP_M).astype(int) + N // 2
        np.add.at(image, tuple(index.T), 1.0)
    return image.astype(np.float32)


def centres_of(image, near_m, reach_m):
    axis = (np.arange(N) - N // 2) * STEP_M
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    found = []
    for centre in near_m:
        w = image * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < reach_m**2)
        found.append([(w * part).sum() / w.sum() for part in (x, y, z)])
    return np.array(found)


BALLS_M = np.array(
    [
        [0, 0, 0],
        [0.08, 0, 0.01],
        [-0.07, 0.03, 0],
        [0.05, 0.06, -0.02],
        [0, -0.09, 0.02],
        [0.01, 0.02, 0.085],
        [-0.05, -0.05, -0.06],
    ]
)
GRID = {"first_voxel_m": np.full(3, -N // 2 * STEP_M), "steps_m": STEP_M * np.eye(3)[::-1]}


def test_bent_gradients_error_of_geometry_falls_by_80_percent_and_brightness_returns():
    bent = ball_volume(BALLS_M, 0.016, COILS.apparent_m)
    fixed = straighten(bent, field=COILS, **GRID)
    shown_m = COILS.apparent_m(BALLS_M)
    before = np.sqrt(np.mean((centres_of(bent, shown_m, 0.024) - BALLS_M) ** 2))
    after = np.sqrt(np.mean((centres_of(fixed, BALLS_M, 0.024) - BALLS_M) ** 2))
    assert before > 0.9e-3
    assert after < 0.2 * before
    true = ball_volume(BALLS_M, 0.016, lambda p: p)
    for centre in BALLS_M:
        index = tuple(np.rint(centre[::-1] / STEP_M).astype(int) + N // 2)
        core = tuple(slice(i - 1, i + 2) for i in index)
        assert fixed[core].mean() == pytest.approx(true[core].mean(), rel=0.03)


def test_complex_images_separate_slices_and_oblique_grids():
    rng = np.random.default_rng(1)
    image = (rng.standard_normal((4, 20, 24)) + 1j * rng.standard_normal((4, 20, 24))).astype(np.complex64)
    still = ThirdOrderCoils(shares=(0.0, 0.0, 0.0), radius_m=0.1)
    turn = np.array([[0, 0.6, 0.8], [1, 0, 0], [0, 0.8, -0.6]])
    for in_plane_only in (False, True):
        same = straighten(image, np.array([0.01, 0.02, -0.03]), 0.005 * turn, still, in_plane_only=in_plane_only)
        assert same.dtype == np.complex64
        np.testing.assert_allclose(same, image, atol=1e-4)
    # one slice without a step between slices
    steps = 0.005 * turn
    steps[0] = 0
    np.testing.assert_allclose(straighten(image[:1], np.zeros(3), steps, still), image[:1], atol=1e-4)


def readout(polarity, delay, frequency, phase, noise=0.0, n=96, seed=0):
    """One line of a head through the centre, in the order of time, from the formula."""
    from scipy.special import j1

    t = np.arange(n) - n // 2
    k = polarity * (t - delay)
    total = np.zeros(n, dtype=complex)
    for amplitude, x, _, a, b in ELLIPSES:
        radius = 2 * np.pi * np.abs(a * k) + 1e-9
        total += amplitude * 2 * np.pi * a * b * j1(radius) / radius * np.exp(2j * np.pi * k * (x + 0.11))
    rng = np.random.default_rng(seed)
    total *= np.exp(1j * (phase + 2 * np.pi * frequency * t))
    return (total + noise * (rng.standard_normal(n) + 1j * rng.standard_normal(n))).astype(np.complex64)[None]


@pytest.mark.parametrize(("delay", "frequency"), [(0.0, 0.0), (0.37, 0.0), (-2.6, 0.0), (1.4, 0.004), (0.8, -0.02)])
def test_delay_is_found_with_both_polarities_whatever_the_frequency(delay, frequency):
    dwell_s = 20e-6
    forward, backward = (readout(p, delay, frequency, 0.3 * p, noise=2e-4, seed=p + 1) for p in (1, -1))
    found = compare_polarities(forward, backward, dwell_s, 48)
    assert found.delay_s / dwell_s == pytest.approx(delay, abs=0.25 * 0.2)
    assert found.frequency_hz * dwell_s == pytest.approx(frequency, abs=1e-3)
    assert found.phase_rad == pytest.approx(0.6, abs=0.05)
    fixed = remove_delay(forward, found.delay_s, dwell_s)
    true = readout(1, 0.0, frequency, 0.3)
    before, after = (np.linalg.norm(line[:, 4:-4] - true[:, 4:-4]) for line in (forward, fixed))
    assert after < max(0.2 * before, 0.02 * np.linalg.norm(true))


def test_echo_planar_ghost_falls_by_80_percent():
    n, dwell_s = 64, 10e-6
    rows = head_kspace(n, n)
    t = np.arange(n) - n // 2
    delay, frequency, phase = 0.7, 0.003, 0.5
    acquired = np.empty((n, 1, n), dtype=np.complex64)
    is_backward = np.arange(n) % 2 == 1
    spectrum = np.fft.fft(np.concatenate([rows, np.zeros_like(rows)], axis=1), axis=1)
    for i in range(n):
        sign = -1 if is_backward[i] else 1
        # the line at k = sign (t - delay), band-limited
        k = sign * (t - delay)
        j = np.arange(2 * n)
        j = np.where(j >= n, j - 2 * n, j)
        kernel = np.exp(2j * np.pi * np.outer(k + n // 2, j) / (2 * n))
        acquired[i, 0] = (kernel @ spectrum[i]) / (2 * n) * np.exp(1j * (0.5 * sign * phase + 2 * np.pi * frequency * t))
    references = [readout(p, delay, frequency, 0.5 * p * phase, n=n) for p in (1, -1)]
    difference = compare_polarities(*references, dwell_s, n // 2)
    fixed = remove_polarity_difference(acquired, is_backward, difference, dwell_s, n // 2)

    def image(lines):
        sorted_lines = lines[:, 0].copy()
        sorted_lines[is_backward] = np.roll(sorted_lines[is_backward, ::-1], 1, axis=1)
        return np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(sorted_lines))))

    true = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(rows))))
    outside = true < 0.1 * true.max()
    ghost = [np.linalg.norm((image(lines) - true)[outside]) for lines in (acquired, fixed)]
    assert ghost[1] < 0.2 * ghost[0]


def test_readouts_that_do_not_belong_together_are_refused():
    rng = np.random.default_rng(0)
    noise = [(rng.standard_normal((1, 64)) + 1j * rng.standard_normal((1, 64))).astype(np.complex64) for _ in "ab"]
    with pytest.raises(ReconError, match=r"agree to \d+% only.*\n.*same line"):
        compare_polarities(*noise, 1e-5, 32)
    with pytest.raises(ReconError, match="0%"):
        compare_polarities(np.zeros((1, 64), dtype=np.complex64), noise[0], 1e-5, 32)


def test_trajectory_of_late_channels():
    dwell_s = 5e-6
    t = np.arange(200)

    def spiral(x_late, y_late):
        out = np.empty((2, 200, 3))
        for axis, late in enumerate((x_late, y_late)):
            s = t - late
            out[0, :, axis] = s * (np.cos, np.sin)[axis](s / 20)
            out[1, :, axis] = s * (np.cos, np.sin)[axis](s / 20 + 1)
        out[..., 2] = 0.3 * t
        return out

    axes = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])  # channel x drives device y
    found = delay_trajectory(spiral(0, 0), (0.6 * dwell_s, 1.3 * dwell_s, 0.0), dwell_s, axes)
    np.testing.assert_allclose(found[:, 3:], spiral(1.3, 0.6)[:, 3:], atol=0.05)
    np.testing.assert_allclose(found[:, :3], spiral(1.3, 0.6)[:, :3], atol=0.2)
    assert np.abs(spiral(0, 0) - spiral(1.3, 0.6)).max() > 5


def test_concomitant_field_of_known_figures():
    # reference domain.md 3.5: 10 mT/m at 10 cm is 463 Hz at 46 mT, 266 Hz at 80 mT
    for b0_t, want_hz in ((46e-3, 463.0), (80e-3, 266.0)):
        along = concomitant_hz(np.array([0.0, 0, 0.1]), np.array([0.01, 0, 0]), b0_t * GAMMA_HZ_PER_T, 2)
        assert along == pytest.approx(want_hz, rel=0.005)
    # across the bore: B0 along x, so that x takes the place of z
    turned = concomitant_hz(np.array([0.1, 0, 0]), np.array([0, 0.01, 0]), 46e-3 * GAMMA_HZ_PER_T, 0)
    assert turned == pytest.approx(463.0, rel=0.005)
    # every term, against the field's length: B0 z + transverse parts of symmetric coils
    rng = np.random.default_rng(0)
    place, g = rng.uniform(-0.1, 0.1, (50, 3)), np.array([4e-3, -3e-3, 6e-3])
    x, y, z = place.T
    bx, by = g[0] * z - g[2] * x / 2, g[1] * z - g[2] * y / 2
    bz = 1.0 + place @ g  # a high field, where only the first order counts
    length = np.sqrt(bx**2 + by**2 + bz**2) - bz
    np.testing.assert_allclose(concomitant_hz(place, g, GAMMA_HZ_PER_T, 2), GAMMA_HZ_PER_T * length, rtol=5e-3, atol=1e-3)


def test_moments_follow_the_staircase_and_the_pulses():
    times = np.array([0.0, 1e-3, 3e-3, 5e-3])
    g = np.array([[0, 0, 0], [5e-3, 0, 0], [0, 0, 0], [0, 2e-3, 1e-3]], dtype=float)
    one = maxwell_products(g, 2e6, 2)
    no_flip = staircase_moments(times, g, np.zeros(0), 7e-3, 2e6, 2)
    np.testing.assert_allclose(no_flip, 2e-3 * one[1] + 2e-3 * one[3])
    flipped = staircase_moments(times, g, np.array([4e-3]), 7e-3, 2e6, 2)
    np.testing.assert_allclose(flipped, -2e-3 * one[1] + 2e-3 * one[3])
    twice = staircase_moments(times, g, np.array([2e-3, 4e-3]), 6e-3, 2e6, 2)
    np.testing.assert_allclose(twice, (1e-3 - 1e-3) * one[1] + 1e-3 * one[3])


def test_phases_of_phase_encoding_lobes_are_taken_out():
    rng = np.random.default_rng(0)
    n, larmor_hz = 64, 46e-3 * GAMMA_HZ_PER_T
    points_m = rng.uniform(-1, 1, (3000, 2))
    points_m = 0.1 * points_m[(points_m**2).sum(axis=1) < 1][:1500]
    points_m = points_m[np.sin(points_m[:, 0] * 120) * np.cos(points_m[:, 1] * 120) > 0]  # some structure
    place = np.column_stack([points_m, np.full(len(points_m), 0.02)])
    m = np.arange(n) - n // 2
    lobe_s, g_max = 2e-3, 14e-3
    gradients = np.zeros((n, 3))
    gradients[:, 1] = g_max * m / (n // 2)
    gradients[:, 2] = 3e-3  # a slice rephaser at the same time brings the mixed terms
    moments = maxwell_products(gradients, larmor_hz, 0) * lobe_s
    turns = moments @ maxwell_functions_m2(place, 0)
    read = np.exp(2j * np.pi * np.outer(m, place[:, 0] / FOV_M))
    lines = (np.exp(2j * np.pi * (np.outer(m, place[:, 1] / FOV_M) + turns)) @ read.T).astype(np.complex64)
    clean = (np.exp(2j * np.pi * np.outer(m, place[:, 1] / FOV_M)) @ read.T).astype(np.complex64)

    def to_image(part):
        return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(part))).astype(np.complex64)

    axis = (np.arange(n) - n // 2) * FOV_M / n
    y, x = np.meshgrid(axis, axis, indexing="ij")
    functions = maxwell_functions_m2(np.stack([x, y, np.full_like(x, 0.02)], axis=-1), 0)
    fixed, rank = remove_line_phases(lines, moments, functions, to_image)
    true = np.abs(to_image(clean))
    before, after = (np.linalg.norm(np.abs(part) - true) / np.linalg.norm(true) for part in (to_image(lines), fixed))
    assert before > 0.2
    assert after < 0.2 * before
    assert 2 <= rank <= 16
    same, one = remove_line_phases(clean, 0 * moments, functions, to_image)
    assert one == 1
    np.testing.assert_allclose(same, to_image(clean), atol=1e-3 * true.max())
