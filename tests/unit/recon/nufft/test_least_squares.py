# SPDX-License-Identifier: MIT
"""Conjugate gradients, the convolution that stands for the normal operator, coils, and an uneven field."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft import convolution
from isocenter.recon.nufft.coils import sensitivities
from isocenter.recon.nufft.encoder import Encoder
from isocenter.recon.nufft.offresonance import split_field
from isocenter.recon.nufft.solve import conjugate_gradients
from isocenter.recon.nufft.toeplitz import Toeplitz
from isocenter.recon.nufft.transform import Nufft


def noise(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def far(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_conjugate_gradients_solve_what_numpy_solves():
    rng = np.random.default_rng(1)
    root = noise(rng, 40, 30)
    matrix, right = root.conj().T @ root, noise(rng, 30)
    found = conjugate_gradients(lambda x: matrix @ x, right, n_iterations=60, tolerance=1e-5)
    assert found.is_converged
    assert far(found.image, np.linalg.solve(matrix, right)) < 1e-3
    assert found.residuals[0] == 1
    assert found.residuals[-1] < 1e-5
    assert len(found.residuals) < 61
    damped = conjugate_gradients(lambda x: matrix @ x, right, n_iterations=60, tolerance=1e-6, damping=5.0)
    assert far(damped.image, np.linalg.solve(matrix + 5 * np.eye(30), right)) < 1e-4


def test_the_residual_that_is_told_is_the_residual():
    rng = np.random.default_rng(2)
    root = noise(rng, 40, 30)
    matrix, right = root.conj().T @ root, noise(rng, 30)
    found = conjugate_gradients(lambda x: matrix @ x, right, n_iterations=5)
    assert not found.is_converged
    assert len(found.residuals) == 6
    assert found.residuals[-1] == pytest.approx(far(matrix @ found.image, right), rel=1e-3)


def test_nothing_measured_gives_nothing_and_damage_is_told():
    assert not conjugate_gradients(lambda x: x, np.zeros(5, np.complex64), n_iterations=3).image.any()
    with pytest.raises(ReconError, match=r"(?s)does not stay finite.*gridding"):
        conjugate_gradients(lambda x: x * np.complex64(np.nan), np.ones(5, np.complex64), n_iterations=3)


def test_iteration_can_be_stopped():
    asked = iter([False, False, True])
    found = conjugate_gradients(
        lambda x: x * np.arange(1, 6, dtype=np.float32),
        np.ones(5, np.complex64),
        n_iterations=5,
        is_cancelled=lambda: next(asked),
    )
    assert len(found.residuals) == 3


# Sizes around sixteen columns, of one voxel, and such as have large prime factors.
SHAPES = [(9, 8), (12, 7), (1, 7), (33, 16), (20, 37), (6, 5, 4), (9, 8, 1), (1, 3, 18), (12, 17, 35)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_shared", [False, True])
def test_convolution_is_the_normal_operator(shape, is_shared, monkeypatch):
    if is_shared:  # by three threads, as large ones are: first two images, then four
        monkeypatch.setattr(convolution, "_FEW", 0)
    rng = np.random.default_rng(3)
    points, weights = rng.uniform(-0.5, 0.5, (300, len(shape))), rng.uniform(0, 1, 300)
    voxel_m = (1.0,) * len(shape)
    images, coils = noise(rng, 2, *shape), noise(rng, 4, *shape)
    exact = Nufft(points, shape, voxel_m, engine="exact")
    expected = exact.adjoint(weights.astype(np.float32) * exact.forward(images))
    transform = Nufft(points, shape, voxel_m)
    convolve = Toeplitz(transform, points, weights, n_threads=3)
    copies = images.copy()
    found = convolve(images)
    assert found.dtype == np.complex64
    assert found.shape == images.shape
    assert far(found, expected) < 2e-4
    np.testing.assert_array_equal(convolve(images[1]), found[1])
    np.testing.assert_array_equal(images, copies)
    channels = exact.adjoint(weights.astype(np.float32) * exact.forward(coils * images[0]))
    combined = convolve.combined(images[0], coils)
    assert far(combined, (coils.conj() * channels).sum(axis=0)) < 2e-4
    np.testing.assert_array_equal(Toeplitz(transform, points, weights, n_threads=1).combined(images[0], coils), combined)


def test_convolution_does_not_keep_its_results():
    rng = np.random.default_rng(4)
    points = rng.uniform(-0.5, 0.5, (300, 2))
    convolve = Toeplitz(Nufft(points, (8, 9), (1.0, 1.0)), points, np.ones(300))
    image, coils = noise(rng, 8, 9), noise(rng, 2, 8, 9)
    first = convolve(image), convolve.combined(image, coils)
    copies = [one.copy() for one in first]
    convolve(noise(rng, 8, 9)), convolve.combined(image + 1, coils)
    for one, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


@pytest.mark.parametrize(("turns", "rank"), [(0.5, 4), (1, 5), (2, 6), (4, 9), (8, 13), (16, 22)])
def test_split_field_is_the_exponential_with_few_terms(turns, rank):
    # Ranks as found for an error of 1e-3 with a map of the same kind, turns + 5 or so: see the module's source.
    b0_hz = np.linspace(-0.5, 0.5, 40 * 30).reshape(40, 30) * turns * 1000 + 120.0
    time_s = np.linspace(2e-3, 3e-3, 111)
    split = split_field(b0_hz, time_s)
    exact = np.exp(2j * np.pi * np.outer(time_s, b0_hz.reshape(-1)))
    assert split.rank <= rank
    assert far(split.in_time.T @ split.in_space.reshape(split.rank, -1), exact) < 1.1e-3


@pytest.mark.parametrize(("low_s", "high_s"), [(2e-3, 2e-3), (40e-3, 40.5e-3), (-1e-3, 1e-3)])
@pytest.mark.parametrize("middle_hz", [0.0, 30e3])
def test_times_and_frequencies_may_lie_far_from_zero(low_s, high_s, middle_hz):
    b0_hz, time_s = middle_hz + np.linspace(-1500, 1500, 600).reshape(30, 20), np.linspace(low_s, high_s, 77)
    split = split_field(b0_hz, time_s)
    exact = np.exp(2j * np.pi * np.outer(time_s, b0_hz.reshape(-1)))
    assert far(split.in_time.T @ split.in_space.reshape(split.rank, -1), exact) < 1.1e-3
    assert split.rank <= 3e3 * (high_s - low_s) + 6


def test_an_even_field_takes_one_term():
    split = split_field(np.full((4, 4), 77.0), np.linspace(0, 0.01, 9))
    assert split.rank == 1
    expected = np.exp(2j * np.pi * 77.0 * np.linspace(0, 0.01, 9))
    np.testing.assert_allclose(split.in_time[0] * split.in_space[0, 0, 0], expected, atol=2e-4)


def test_a_field_that_cannot_be_is_refused():
    with pytest.raises(ReconError, match=r"(?s)differs by 2e\+05 Hz.*200 turns.*bandwidth"):
        split_field(np.array([[0.0, 2e5]]), np.array([0.0, 1e-3]))
    with pytest.raises(ReconError, match=r"(?s)not numbers.*Fill the map"):
        split_field(np.array([[0.0, np.nan]]), np.array([0.0, 1e-3]))


def test_encoder_with_coils_and_field_is_the_sum_written_out_and_has_its_adjoint():
    rng = np.random.default_rng(5)
    shape, n = (8, 7), 60
    points, time_s = rng.uniform(-0.5, 0.5, (n, 2)), rng.uniform(0, 2e-3, n)
    b0_hz, coils, image = rng.uniform(-900, 900, shape), noise(rng, 3, *shape), noise(rng, *shape)
    encoder = Encoder(Nufft(points, shape, (1.0, 1.0)), coils=coils, field=split_field(b0_hz, time_s))
    rows, columns = np.mgrid[-4:4, -3:4]
    turns = points[:, 0, None, None] * rows + points[:, 1, None, None] * columns + time_s[:, None, None] * b0_hz
    expected = np.einsum("jyx,cyx,yx->cj", np.exp(2j * np.pi * turns), coils, image)
    assert far(encoder.forward(image), expected) < 2e-3
    samples = noise(rng, 3, n)
    forward, adjoint = encoder.forward(image), encoder.adjoint(samples)
    assert adjoint.shape == shape
    scale = np.linalg.norm(forward) * np.linalg.norm(samples)
    assert abs(np.vdot(forward, samples) - np.vdot(image, adjoint)) < 1e-5 * scale


def test_sensitivities_are_found_from_images_of_the_channels():
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    true = np.stack([np.exp(-((x - cx) ** 2 + (y - cy) ** 2)) * np.exp(1j * (cx * y + p))
                     for cx, cy, p in ((1, 0, 0.3), (-1, 0, 2.0), (0, 1, -1.0))])  # fmt: skip
    true /= np.linalg.norm(true, axis=0)
    body = (x**2 / 0.7 + y**2 / 0.5 < 1) * (1 + 0.4 * np.cos(6 * x)) * np.exp(0.5j * y)
    found = sensitivities((true * body).astype(np.complex64))
    inside = x**2 / 0.6 + y**2 / 0.4 < 1
    agreement = np.abs(np.einsum("cyx,cyx->yx", found.conj(), true))[inside]
    assert agreement.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-3)
    # Where there is no signal the maps are finite, and no phase jumps within the body.
    assert np.isfinite(found).all()
    steps = np.angle(found[0, :, 1:] * found[0, :, :-1].conj())[inside[:, 1:] & inside[:, :-1]]
    assert np.abs(steps).max() < 0.5
