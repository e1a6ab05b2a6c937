# SPDX-License-Identifier: MIT
"""Geometry in a field that is off by kilohertz; the object is made of points between the voxels, not of voxels."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.b0 import Undistortion, shift_px, undistort
from isocenter.recon.correct.b0_map import fit_at_true_places, measure_field
from isocenter.recon.correct.harmonics import basis, fit_field
from isocenter.recon.correct.unwrap import unwrap

N, FOV_M, DWELL_S = 64, 0.24, 50e-6
VOXEL_M = FOV_M / N


def field_hz(place_m: np.ndarray, spread_hz: float) -> np.ndarray:
    """A smooth field with second and third order parts."""
    x, y, z = (place_m / 0.12).T
    shape = 0.6 * (x**2 - 0.5 * (y**2 + z**2)) + 0.25 * x + 0.2 * (x**3 - 1.5 * x * (y**2 + z**2)) + 0.3 * y * z
    return spread_hz * shape / 1.4


def disc(rng, centre, radius, n=700):
    points = rng.uniform(-radius, radius, (4 * n, 2))
    points = points[(points**2).sum(axis=1) < radius**2][:n]
    return np.column_stack([points + centre, np.zeros(len(points))])


CENTRES_M = np.array([[-0.08, 0.0], [-0.05, 0.06], [-0.02, -0.05], [0.01, 0.02], [0.04, 0.07], [0.05, -0.04], [0.085, 0.01]])


def acquire(points_m, frequency_hz, *, echo_shift_s=0.0, noise=0.0, seed=0):
    """k-space of a spin echo, (row, sample): phase encoding along y, readout along x, summed over points."""
    rng = np.random.default_rng(seed)
    m = np.arange(N) - N // 2
    read = np.exp(2j * np.pi * np.outer(m, points_m[:, 0] / FOV_M + frequency_hz * DWELL_S))
    read = read * np.exp(2j * np.pi * frequency_hz * echo_shift_s)
    phase = np.exp(2j * np.pi * np.outer(m, points_m[:, 1] / FOV_M))
    kspace = phase @ read.T
    return kspace + noise * (rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N)))


def image_of(kspace):
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(kspace))).astype(np.complex64)[None] / N


def grid_m():
    axis = (np.arange(N) - N // 2) * VOXEL_M
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x, y, np.zeros_like(x)], axis=-1)[None]


def find_centres_m(image, near_m, reach_m):
    """Centre of brightness within reach of each expected place."""
    place = grid_m()[0]
    found = []
    power = np.abs(image[0]) ** 2
    for centre in near_m:
        inside = np.hypot(place[..., 0] - centre[0], place[..., 1] - centre[1]) < reach_m
        w = power * inside
        found.append([(w * place[..., 0]).sum() / w.sum(), (w * place[..., 1]).sum() / w.sum()])
    return np.array(found)


@pytest.fixture(scope="module")
def discs_m():
    rng = np.random.default_rng(3)
    return [disc(rng, centre, 0.010) for centre in CENTRES_M]


def position_error_m(image, discs_m, shifts_m):
    """Root mean square distance of discs from where they are, each looked for where it may be."""
    errors = []
    for points, moved in zip(discs_m, shifts_m, strict=True):
        true = points[:, :2].mean(axis=0)
        found = find_centres_m(image, [[*true, moved, 0]], 0.018)[0]
        errors.append(np.hypot(*(found - true)))
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize("method", [Undistortion.MODEL, Undistortion.CONJUGATE_PHASE])
def test_three_kilohertz_error_of_geometry_falls_by_80_percent_with_the_true_map(discs_m, method):
    points = np.concatenate(discs_m)
    spread_hz = 3000.0
    image = image_of(acquire(points, field_hz(points, spread_hz), noise=1.0))
    moved_m = [field_hz(p, spread_hz).mean() * DWELL_S * FOV_M for p in discs_m]
    shift = shift_px(field_hz(grid_m().reshape(-1, 3), spread_hz).reshape(1, N, N), DWELL_S, N)
    assert float(np.ptp(shift)) > 4
    result = undistort(image, shift, method=method)
    before = position_error_m(image, discs_m, moved_m)
    after = position_error_m(result.image, discs_m, [0.0] * len(discs_m))
    assert before > 1.0 * VOXEL_M
    assert after < 0.2 * before
    assert result.figure.ratio < (0.5 if method is Undistortion.MODEL else 0.9)


def test_map_measured_on_distorted_images_corrects_as_well(discs_m):
    spread_hz, echo_shift_s = 3000.0, 0.2e-3
    rng = np.random.default_rng(5)
    body = disc(rng, (0.0, 0.0), 0.1, 9000)  # the map's object is large
    first, second = (
        image_of(acquire(body, field_hz(body, spread_hz), echo_shift_s=t, noise=3.0)) for t in (0, echo_shift_s)
    )
    field = measure_field(first, second, echo_shift_s)
    at_grid = shift_px(field.frequency_hz, DWELL_S, N)
    model = fit_at_true_places(field, grid_m(), np.array([VOXEL_M, 0, 0]), at_grid, order=5)
    inside = np.hypot(grid_m()[..., 0], grid_m()[..., 1]) < 0.09
    error_hz = (model.frequency_hz(grid_m()) - field_hz(grid_m().reshape(-1, 3), spread_hz).reshape(1, N, N))[inside]
    assert np.sqrt(np.mean(error_hz**2)) < 0.02 * spread_hz

    points = np.concatenate(discs_m)
    image = image_of(acquire(points, field_hz(points, spread_hz), noise=1.0))
    moved_m = [field_hz(p, spread_hz).mean() * DWELL_S * FOV_M for p in discs_m]
    result = undistort(image, shift_px(model.frequency_hz(grid_m()), DWELL_S, N))
    assert result.method is Undistortion.MODEL
    assert position_error_m(result.image, discs_m, [0.0] * len(discs_m)) < 0.2 * position_error_m(image, discs_m, moved_m)


def test_brightness_of_squeezed_and_stretched_parts_is_restored():
    body = disc(np.random.default_rng(1), (0.0, 0.0), 0.09, 40_000)
    true = image_of(acquire(body, np.zeros(len(body))))
    image = image_of(acquire(body, field_hz(body, 2500.0)))
    shift = shift_px(field_hz(grid_m().reshape(-1, 3), 2500.0).reshape(1, N, N), DWELL_S, N)
    inside = np.hypot(grid_m()[..., 0], grid_m()[..., 1]) < 0.08

    def error(found):
        return np.linalg.norm(np.abs(found[inside]) - np.abs(true[inside])) / np.linalg.norm(true[inside])

    assert error(undistort(image, shift, method=Undistortion.MODEL).image) < 0.35 * error(image)
    assert error(undistort(image, shift, method=Undistortion.CONJUGATE_PHASE).image) < 0.45 * error(image)


def test_no_field_changes_nothing_and_axes_and_polarity_do_what_they_say():
    rng = np.random.default_rng(2)
    image = (rng.standard_normal((2, 16, 24)) + 1j * rng.standard_normal((2, 16, 24))).astype(np.complex64)
    still = undistort(image, np.zeros(image.shape, dtype=np.float32))
    assert still.method is Undistortion.CONJUGATE_PHASE
    np.testing.assert_allclose(still.image, image, atol=2e-5)
    whole = np.full(image.shape, 3.0, dtype=np.float32)
    for axis in (1, 2):
        moved = undistort(image, whole, axis=axis, method=Undistortion.MODEL, damping=0).image
        np.testing.assert_allclose(moved, np.roll(image, -3, axis=axis), atol=1e-4)
    assert shift_px(np.array([100.0]), 1e-4, 50, polarity=-1)[0] == pytest.approx(-0.5)


def test_odd_sizes_and_zero_filled_readouts():
    body = disc(np.random.default_rng(1), (0.02, 0.01), 0.06, 8000)
    kspace = acquire(body, field_hz(body, 2000.0))
    filled = np.zeros((N, 2 * N), dtype=complex)
    filled[:, N // 2 : 3 * N // 2] = kspace
    image = image_of(filled)
    fine = np.stack(
        np.meshgrid((np.arange(N) - N // 2) * VOXEL_M, (np.arange(2 * N) - N) * VOXEL_M / 2, indexing="ij")[::-1], -1
    )
    place = np.concatenate([fine, np.zeros((*fine.shape[:2], 1))], axis=-1)
    shift = shift_px(field_hz(place.reshape(-1, 3), 2000.0).reshape(1, N, 2 * N), DWELL_S, 2 * N)
    result = undistort(image, shift, n_measured=N, method=Undistortion.MODEL)
    assert result.figure.ratio < 0.3
    odd = np.random.default_rng(0).standard_normal((1, 3, 33)).astype(np.complex64)
    np.testing.assert_allclose(undistort(odd, np.zeros(odd.shape, dtype=np.float32)).image, odd, atol=2e-5)


def test_folded_places_are_counted():
    shift = np.zeros((1, 4, 32), dtype=np.float32)
    shift[:, :, 8:16] = -2.0 * np.arange(8)
    shift[:, :, 16:] = -16
    image = np.ones((1, 4, 32), dtype=np.complex64)
    result = undistort(image, shift)
    assert result.n_folded >= 4 * 6
    assert np.isfinite(result.image).all()


def test_harmonics_solve_laplace_and_fit_what_they_made():
    rng = np.random.default_rng(0)
    place = rng.uniform(-0.6, 0.6, (40, 3))
    step = 1e-3
    laplace = -6 * basis(place, 6)
    for axis in range(3):
        move = step * np.eye(3)[axis]
        laplace = laplace + basis(place + move, 6) + basis(place - move, 6)
    assert basis(place, 6).shape == (40, 49)
    np.testing.assert_allclose(laplace / step**2, 0, atol=2e-4)
    place_m = rng.uniform(-0.1, 0.1, (4000, 3))
    value = field_hz(place_m, 3000.0)
    value[::40] += 5000  # gross errors
    fitted = fit_field(value + rng.normal(0, 10, 4000), np.ones(4000), place_m, order=4, stiffness=1e-8)
    np.testing.assert_allclose(fitted.frequency_hz(place_m), field_hz(place_m, 3000.0), atol=15)
    with pytest.raises(ValueError, match="no value has any weight"):
        fit_field(value, np.zeros(4000), place_m)


def test_unwrapping_follows_many_turns_in_two_parts():
    _z, y, x = np.meshgrid(np.arange(3.0), np.arange(30.0), np.arange(40.0), indexing="ij")
    true = 0.05 * (x - 20) ** 2 + 0.4 * y
    quality = np.where(np.abs(x - 20) < 18, 1.0, 0.0)
    quality[:, 14:16] = 0
    wrapped = np.angle(np.exp(1j * true)).astype(np.float32)
    found = unwrap(wrapped, quality.astype(np.float32))
    for rows in (slice(0, 14), slice(16, 30)):
        off = (found - true)[:, rows][quality[:, rows] > 0]
        assert np.ptp(off) < 1e-3
        assert off[0] / (2 * np.pi) == pytest.approx(round(off[0] / (2 * np.pi)), abs=1e-4)


def test_images_of_noise_give_no_map():
    rng = np.random.default_rng(0)
    noise = [(rng.standard_normal((1, 32, 32)) + 1j * rng.standard_normal((1, 32, 32))).astype(np.complex64) for _ in "ab"]
    with pytest.raises(ReconError, match=r"voxels of the two images.*\n.*more averages"):
        measure_field(*noise, 1e-3)
