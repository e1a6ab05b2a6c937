# SPDX-License-Identifier: MIT
"""Every engine against the exact sums, and what the seam promises."""

import threading

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.recon.nufft import engines
from isocenter.recon.nufft.density import spoke_weights
from isocenter.recon.nufft.transform import Nufft, warm_up

ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(not engines.is_installed(name), reason=f"{name} is not installed"))
    for name in ("numba", "finufft", "ducc0")
]
SHAPES = [(24, 20), (13, 9), (1, 7), (10, 12, 9), (9, 8, 1), (2, 3, 5)]


def noise(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def far(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_engine_equals_the_exact_sums_and_its_own_adjoint(engine, shape):
    rng = np.random.default_rng(len(shape) + shape[0])
    voxel_m = (1.0e-3, 2.5e-3, 0.7e-3)[-len(shape) :]
    points_per_m = rng.uniform(-0.5, 0.5, (700, len(shape))) / voxel_m
    image, samples = noise(rng, *shape), noise(rng, 700)
    exact, fast = (Nufft(points_per_m, shape, voxel_m, engine=name) for name in ("exact", engine))
    forward, adjoint = fast.forward(image), fast.adjoint(samples)
    assert fast.engine == engine
    assert forward.dtype == adjoint.dtype == np.complex64
    assert far(forward, exact.forward(image)) < 2e-4
    assert far(adjoint, exact.adjoint(samples)) < 2e-4
    scale = np.linalg.norm(forward) * np.linalg.norm(samples)
    assert abs(np.vdot(forward, samples) - np.vdot(image, adjoint)) < 1e-5 * scale


def test_exact_engine_is_the_formula_of_the_conventions():
    # Written out: r counts from n // 2 in each axis, last axis is x; measured signal has the plus sign.
    points_per_m, shape, voxel_m = np.array([[30.0, -70.0], [5.0, 12.0]]), (4, 5), (2e-3, 3e-3)
    image = noise(np.random.default_rng(3), *shape)
    expected = np.zeros(2, dtype=complex)
    for row in range(4):
        for column in range(5):
            y_m, x_m = (row - 2) * 2e-3, (column - 2) * 3e-3
            expected += image[row, column] * np.exp(2j * np.pi * (points_per_m[:, 0] * y_m + points_per_m[:, 1] * x_m))
    np.testing.assert_allclose(Nufft(points_per_m, shape, voxel_m, engine="exact").forward(image), expected, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cartesian_set_is_the_plain_transform(engine):
    # k = m / (n voxel): the adjoint of the samples of an image is the image times the number of samples.
    n, voxel_m = 16, 1.5e-3
    steps_per_m = (np.arange(n) - n // 2) / (n * voxel_m)
    points_per_m = np.stack(np.meshgrid(steps_per_m, steps_per_m, indexing="ij"), axis=-1).reshape(-1, 2)
    image = noise(np.random.default_rng(5), n, n)
    transform = Nufft(points_per_m, (n, n), (voxel_m, voxel_m), engine=engine)
    kspace = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(image))) * n * n
    assert far(transform.forward(image).reshape(n, n), kspace) < 2e-4
    assert far(transform.adjoint(transform.forward(image)) / n**2, image) < 4e-4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_channels_are_transformed_one_by_one(engine, lead):
    rng = np.random.default_rng(7)
    transform = Nufft(rng.uniform(-0.5, 0.5, (90, 2)), (8, 6), (1.0, 1.0), engine=engine)
    images, samples = noise(rng, *lead, 8, 6), noise(rng, *lead, 90)
    forward, adjoint = transform.forward(images), transform.adjoint(samples)
    assert forward.shape == (*lead, 90)
    assert adjoint.shape == (*lead, 8, 6)
    for index in np.ndindex(*lead):
        assert far(forward[index], transform.forward(images[index])) < 1e-6  # finufft's threads sum in any order
        assert far(adjoint[index], transform.adjoint(samples[index])) < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("place", [0.5, -0.5, 0.0, 0.25])
def test_one_point_is_one_wave_also_on_the_edge_of_the_band(engine, place):
    transform = Nufft(np.array([[place, place, -place]]), (6, 5, 4), (1.0, 1.0, 1.0), engine=engine)
    z, y, x = np.ogrid[-3:3, -2:3, -2:2]
    expected = np.exp(-2j * np.pi * place * (z + y - x))
    assert far(transform.adjoint(np.ones(1, dtype=np.complex64)), expected) < 3e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_no_point_gives_an_empty_picture(engine):
    transform = Nufft(np.zeros((0, 2)), (4, 4), (1.0, 1.0), engine=engine)
    assert transform.forward(np.ones((4, 4), dtype=np.complex64)).shape == (0,)
    np.testing.assert_array_equal(transform.adjoint(np.zeros(0, dtype=np.complex64)), np.zeros((4, 4)))


def test_points_beyond_what_voxels_resolve_are_refused_with_the_size_that_would_do():
    with pytest.raises(ReconError, match=r"(?s)reaches 300 per m, beyond what voxels of 2 mm.*at most 1\.67 mm"):
        Nufft(np.array([[0.0, 10.0], [300.0, 0.0]]), (8, 8), (2e-3, 2e-3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(ReconError, match=r"(?s)Sample 1 has no finite place.*compile the sequence again"):
        Nufft(np.array([[0.0, 0.0], [0.0, value]]), (8, 8), (1.0, 1.0))
    transform = Nufft(np.zeros((3, 2)), (8, 8), (1.0, 1.0))
    samples, image = np.ones(3, dtype=np.complex64), np.ones((8, 8), dtype=np.complex64)
    samples[2], image[1, 1] = value, 1j * value
    with pytest.raises(ReconError, match=r"(?s)1 samples are not finite.*raw file"):
        transform.adjoint(samples)
    with pytest.raises(ReconError, match="1 images are not finite"):
        transform.forward(image)


def test_huge_but_finite_samples_are_taken():
    samples = np.full(3, 3e38, dtype=np.complex64)
    with np.errstate(all="ignore"):
        assert Nufft(np.zeros((3, 2)), (4, 4), (1.0, 1.0)).adjoint(samples).shape == (4, 4)


def test_shapes_that_do_not_fit_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="do not fit an image of shape"):
        Nufft(np.zeros((3, 3)), (8, 8), (1.0, 1.0))
    with pytest.raises(ValueError, match="2 or 3 axes"):
        Nufft(np.zeros((3, 1)), (8,), (1.0,))
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 8, 8\)"):
        Nufft(np.zeros((3, 2)), (8, 8), (1.0, 1.0)).forward(np.ones((8, 7), dtype=np.complex64))


def test_choice_of_engine():
    assert engines.choose("auto", 1e-4) == "numba"
    with pytest.raises(ReconError, match=r"(?s)no NUFFT engine 'fast'.*numba"):
        engines.choose("fast", 1e-4)
    with pytest.raises(ReconError, match=r"(?s)numba reaches an error of 0.0001, not 1e-06.*exact"):
        engines.choose("numba", 1e-6)
    with pytest.raises(ReconError, match=r"(?s)reaches an error of 1e-09"):
        engines.choose("auto", 1e-9)


def test_an_engine_that_is_missing_says_so(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReconError, match=r"(?s)ducc0 is not installed.*pip install ducc0"):
        engines.choose("ducc0", 1e-4)
    with pytest.raises(ReconError, match=r"(?s)error of 1e-05.*install finufft"):
        engines.choose("auto", 1e-5)


@pytest.mark.skipif(not engines.is_installed("finufft"), reason="finufft is not installed")
def test_a_tighter_tolerance_is_met_by_another_engine():
    rng = np.random.default_rng(11)
    points, image = rng.uniform(-0.5, 0.5, (400, 2)), noise(rng, 32, 30)
    transform = Nufft(points, (32, 30), (1.0, 1.0), tolerance=1e-5)
    assert transform.engine in {"finufft", "ducc0"}
    assert far(transform.forward(image), Nufft(points, (32, 30), (1.0, 1.0), engine="exact").forward(image)) < 2e-5


def test_threads_change_nothing():
    rng = np.random.default_rng(13)
    points = rng.uniform(-0.5, 0.5, (160_000, 3)) ** 3 * 4  # dense in the middle, as spokes are
    image, samples = noise(rng, 20, 24, 22), noise(rng, 160_000)
    one, three = (Nufft(points, (20, 24, 22), (1.0,) * 3, engine="numba", n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.forward(image), three.forward(image))
    np.testing.assert_array_equal(one.adjoint(samples), three.adjoint(samples))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_transform_serves_several_threads(engine):
    rng = np.random.default_rng(17)
    transform = Nufft(rng.uniform(-0.5, 0.5, (30_000, 2)), (64, 64), (1.0, 1.0), engine=engine)
    samples = noise(rng, 4, 30_000)
    expected, found = transform.adjoint(samples), {}

    def work(index):
        for _ in range(5):
            found[index] = transform.adjoint(samples[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for index in range(4):
        assert far(found[index], expected[index]) < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("n_spokes", "n", "n_dim"), [(300, 64, 3), (3000, 32, 3), (1000, 128, 2)])
def test_spokes_weighted_by_their_density_are_as_exact_as_random_samples(engine, n_spokes, n, n_dim):
    # A smooth object puts large numbers of one sign in the middle of k-space: plain sums in single precision lose it.
    i, radius = np.arange(n_spokes) + 0.5, np.arange(n // 2) / n
    polar, azimuth = (np.arccos(1 - 2 * i / n_spokes) if n_dim == 3 else np.pi / 2), np.pi * (1 + 5**0.5) * i
    towards = [np.cos(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)][3 - n_dim :]
    points = (np.stack(towards, axis=1)[:, np.newaxis] * radius[:, np.newaxis]).reshape(-1, n_dim)
    weights = spoke_weights(points.reshape(n_spokes, -1, n_dim), (1.0,) * n_dim).reshape(-1)
    width = 0.25 * n
    samples = weights * (1 + 0.3j) * np.exp(-((np.pi * width * np.linalg.norm(points, axis=1)) ** 2)) * width**n_dim
    samples = samples.astype(np.complex64)
    transform = Nufft(points, (n,) * n_dim, (1.0,) * n_dim, engine=engine)
    some = np.random.default_rng(31).integers(0, n, (150, n_dim))
    expected = np.exp(-2j * np.pi * ((some - n // 2) @ points.T)) @ samples
    found = transform.adjoint(samples)
    assert far(found[tuple(some.T)], expected) < 3e-4
    place = np.ix_(*(np.arange(n) - n // 2 for _ in range(n_dim)))
    image = np.exp(-sum(axis**2 for axis in place) / width**2).astype(np.complex64)
    few = Nufft(points[::997], (n,) * n_dim, (1.0,) * n_dim, engine="exact").forward(image)
    assert far(transform.forward(image)[::997], few) < 3e-4


@pytest.mark.parametrize("n_dim", [2, 3])
def test_many_samples_in_one_place_do_not_lose_digits(n_dim):
    # The middle of a scan with 200 000 spokes: equal numbers at nearly one place. Added one by one they are off by 2e-3.
    rng = np.random.default_rng(23)
    points = 0.002 * rng.uniform(-0.5, 0.5, (200_000, n_dim))
    samples = np.full(200_000, 0.1 + 0.07j, dtype=np.complex64)
    shape = (8, 9, 10)[:n_dim]
    transform = Nufft(points, shape, (1.0,) * n_dim, engine="numba")
    assert far(transform.adjoint(samples), Nufft(points, shape, (1.0,) * n_dim, engine="exact").adjoint(samples)) < 1.5e-4


@pytest.mark.parametrize("shape", [(50, 37), (30, 23, 41)])
def test_full_tiles_at_every_edge_of_the_grid(shape):
    rng = np.random.default_rng(29)
    corners = rng.choice([-0.5, -0.47, 0.46, 0.49], (60_000, len(shape)))
    points = np.clip(corners + rng.uniform(-0.02, 0.02, corners.shape), -0.5, 0.5)
    samples, voxel = noise(rng, 60_000), (1.0,) * len(shape)
    found = Nufft(points, shape, voxel, engine="numba").adjoint(samples)
    some = tuple(rng.integers(0, n, 60) for n in shape)
    turns = points @ np.stack([index - n // 2 for index, n in zip(some, shape, strict=True)])
    expected = samples @ np.exp(-2j * np.pi * turns)
    assert far(found[some], expected) < 2e-4


def test_input_is_left_as_it_was():
    rng = np.random.default_rng(19)
    transform = Nufft(rng.uniform(-0.5, 0.5, (50, 2)), (8, 8), (1.0, 1.0))
    image, samples = noise(rng, 8, 8), noise(rng, 50)
    copies = image.copy(), samples.copy()
    transform.forward(image), transform.adjoint(samples)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(samples, copies[1])


def test_warm_up_runs():
    warm_up()
