# SPDX-License-Identifier: MIT
"""Noise filter, noise measurement and even brightness."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.denoise import denoise, filter_volume
from isocenter.recon.correct.intensity import even_out
from isocenter.recon.correct.noise import background_sigma, difference_sigma
from isocenter.recon.correct.rician import RicianScale


def head_volume(shape=(16, 56, 56)):
    """Ellipsoids with some texture, float32, brightest about 1."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n, endpoint=False) for n in shape], indexing="ij")
    volume = np.zeros(shape)
    for amplitude, (cz, cy, cx), (rz, ry, rx) in (
        (0.8, (0, 0, 0), (1.2, 0.8, 0.65)),
        (-0.3, (0, 0, 0), (1.1, 0.74, 0.6)),
        (0.25, (0.1, -0.2, 0.2), (0.8, 0.3, 0.15)),
        (0.3, (-0.1, 0.2, -0.25), (0.6, 0.4, 0.1)),
        (0.4, (0.2, -0.3, -0.1), (0.3, 0.1, 0.1)),
    ):
        volume += amplitude * (((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)
    return volume.astype(np.float32)


def psnr(found, true):
    return 20 * np.log10(true.max() / np.sqrt(np.mean((found - true) ** 2)))


def noise_like(shape, sigma, seed):
    return (sigma * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(("sigma", "gain_db"), [(0.05, 8.0), (0.1, 9.5), (0.2, 10.0)])
def test_gaussian_noise_falls_by_ten_decibels_and_edges_stay(sigma, gain_db):
    true = head_volume()
    noisy = true + noise_like(true.shape, sigma, 1)
    found = filter_volume(noisy / np.float32(sigma)) * sigma
    assert psnr(found, true) > psnr(noisy, true) + gain_db
    # nothing is invented and no edge is smeared: what was removed is as large as the noise, and does not look like the head
    removed = noisy - found
    assert removed.std() == pytest.approx(sigma, rel=0.08)
    assert abs(np.corrcoef(removed.ravel(), true.ravel())[0, 1]) < 0.1


def test_magnitude_is_unbiased_in_bright_and_dark_places():
    true, sigma = head_volume(), 0.15
    noise = noise_like(true.shape, sigma, 2) + 1j * noise_like(true.shape, sigma, 3)
    magnitude = np.abs(true + noise).astype(np.float32)
    result = denoise(magnitude)
    assert result.label == "denoised"
    assert result.noise == pytest.approx(sigma, rel=0.1)
    assert result.image.dtype == np.float32
    assert psnr(result.image, true) > psnr(magnitude, true) + 8
    for level in (0.0, 0.5, 0.75):
        inside = np.abs(true - level) < 1e-6
        assert result.image[inside].mean() == pytest.approx(level, abs=0.05)
    assert magnitude[true == 0].mean() > 0.15  # what the plain mean would be
    assert result.figure.ratio < 0.5


def test_complex_images_keep_their_phase():
    true = head_volume() * np.exp(1j * np.linspace(-3, 3, 56))
    noisy = (true + noise_like(true.shape, 0.1, 4) + 1j * noise_like(true.shape, 0.1, 5)).astype(np.complex64)
    result = denoise(noisy, sigma=0.1)
    assert result.image.dtype == np.complex64
    assert np.linalg.norm(result.image - true) < 0.45 * np.linalg.norm(noisy - true)


def test_noise_filter_is_repeatable_and_takes_thin_volumes():
    noisy = head_volume((2, 40, 33)) + noise_like((2, 40, 33), 0.1, 6)
    one, two = (filter_volume(noisy * 10) for _ in "ab")
    np.testing.assert_array_equal(one, two)
    assert one.shape == (2, 40, 33)
    assert filter_volume(noise_like((1, 3, 20), 1.0, 7)).shape == (1, 3, 20)


def test_noise_filter_refuses_what_it_cannot_judge():
    with pytest.raises(ReconError, match=r"noise of the image cannot be told.*\n.*as a parameter"):
        denoise(np.zeros((4, 8, 8), dtype=np.float32))
    damaged = np.ones((4, 8, 8), dtype=np.float32)
    damaged[0, 0, 0] = np.inf
    with pytest.raises(ReconError, match=r"no numbers"):
        denoise(damaged, sigma=1.0)


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_noise_is_measured_in_the_air(sigma):
    true = head_volume()
    noise = noise_like(true.shape, sigma, 2) + 1j * noise_like(true.shape, sigma, 3)
    assert background_sigma(np.abs(true + noise)) == pytest.approx(sigma, rel=0.08)
    assert difference_sigma((true + noise).real) == pytest.approx(sigma, rel=0.2)
    assert background_sigma(np.zeros((4, 4))) == 0.0


def test_rician_scale_has_even_noise_and_an_unbiased_way_back():
    scale = RicianScale()
    rng = np.random.default_rng(0)
    for true in (0.0, 1.0, 2.0, 4.0, 10.0, 50.0):
        measured = np.abs(true + rng.standard_normal(200_000) + 1j * rng.standard_normal(200_000))
        scaled = scale.apply(measured)
        assert scaled.std() == pytest.approx(1.0, abs=0.12)
        assert scale.undo(np.array([scaled.mean()]))[0] == pytest.approx(true, abs=0.05 if true > 1.5 else 0.3)


def test_brightness_of_a_surface_coil_is_evened_out():
    true = head_volume((12, 48, 48))
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in true.shape], indexing="ij")
    bias = np.exp(-0.8 * y - 0.3 * x + 0.3 * z - 0.3 * x**2 + 0.2 * y * z)
    image = np.abs(true * bias + noise_like(true.shape, 0.01, 1) + 1j * noise_like(true.shape, 0.01, 2)).astype(np.float32)
    result = even_out(image, (5e-3, 3e-3, 3e-3))
    inside = true > 0.2

    def unevenness(found):
        ratio = np.log(found[inside] / true[inside])
        return float(ratio.std())

    assert unevenness(image) > 0.35
    assert unevenness(result.image) < 0.15 * unevenness(image)
    assert result.figure.values[0] > 2
    assert result.image.dtype == np.float32


def test_even_image_stays_even_and_single_slices_work():
    true = head_volume((1, 48, 48))
    image = np.abs(true + noise_like(true.shape, 0.01, 1) + 1j * noise_like(true.shape, 0.01, 2)).astype(np.float32)
    result = even_out(image, (5e-3, 3e-3, 3e-3))
    inside = true > 0.2
    assert np.log(result.image[inside] / true[inside]).std() < 0.05
    with pytest.raises(ReconError, match=r"Only 0 voxels.*\n.*Leave out"):
        even_out(np.zeros((1, 8, 8), dtype=np.float32), (1e-3, 1e-3, 1e-3))
