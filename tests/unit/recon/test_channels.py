# SPDX-License-Identifier: MIT
"""Several receive channels: noise made independent, images combined; and what of the combined image is shown."""

import numpy as np
import pytest
from recon_scans import head, kspace_of, of_kspace, replace, with_step

from isocenter.domain.geometry import Orientation, place
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.coils import combine_adaptively, root_sum_of_squares
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.steps.readouts import whitening_matrix

PLACE = place(Orientation.AXIAL)
SIZE = (1, 64, 64)
MIXING = np.array([[1.0, 0, 0, 0], [0.5j, 2.0, 0, 0], [0.3, -0.8j, 0.7, 0], [0.1, 0.4, 0.2j, 3.0]])


def coils(shape, n_channels=4):
    """Smooth complex sensitivities, root sum of squares one."""
    y, x = np.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    angles = 2 * np.pi * np.arange(n_channels) / n_channels
    fields = [np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 1.2 + 1j * (a + x * np.cos(a))) for a in angles]
    fields = np.stack(fields)[:, np.newaxis]
    return fields / np.sqrt((np.abs(fields) ** 2).sum(axis=0))


def gauss(rng, shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def many_channels(noise=0.0, mixing=None, seed=1, n_noise=64):
    """A scan by four coils, whose noise may be mixed, with noise readouts."""
    rng = np.random.default_rng(seed)
    image = head(SIZE, finer=2)
    fields = coils(image.shape)
    kspace = np.stack([kspace_of(image * field, SIZE) for field in fields])
    mixing = np.eye(4) if mixing is None else mixing
    dirt = noise * np.einsum("ab,b...->a...", mixing, gauss(rng, kspace.shape))
    raw = of_kspace(kspace + dirt, PLACE)
    only_noise = noise * np.einsum("ab,nbs->nas", mixing, gauss(rng, (n_noise, 4, 64)))
    return replace(raw, noise=only_noise.astype(np.complex64))


def test_whitening_makes_the_covariance_one():
    rng = np.random.default_rng(2)
    noise = np.einsum("ab,nbs->nas", MIXING, gauss(rng, (200, 4, 64))).astype(np.complex64)
    white = np.einsum("ab,nbs->nas", whitening_matrix(noise), noise)
    flat = white.transpose(1, 0, 2).reshape(4, -1)
    covariance = flat @ flat.conj().T / flat.shape[1]
    power = np.mean(np.sum(np.abs(MIXING) ** 2, axis=1))
    np.testing.assert_allclose(covariance, power * np.eye(4), atol=2e-2 * power)
    fresh = np.einsum("ab,nbs->nas", MIXING, gauss(rng, (400, 4, 64)))  # noise that it has not seen
    flat = np.einsum("ab,nbs->nas", whitening_matrix(noise), fresh).transpose(1, 0, 2).reshape(4, -1)
    np.testing.assert_allclose(flat @ flat.conj().T / flat.shape[1], power * np.eye(4), atol=5e-2 * power)


def test_whitening_betters_an_image_of_coils_with_unequal_noise():
    truth = reconstruct(many_channels())[0].data
    raw = many_channels(noise=0.004, mixing=MIXING)
    best = tuple(order for order in CARTESIAN if order.step != "whiten")
    adaptive = with_step(CARTESIAN, "combine", method="adaptive")
    plain = reconstruct(raw, pipeline=with_step(best, "combine", method="adaptive"))[0].data
    white = reconstruct(raw, pipeline=adaptive)[0]

    def error(image):  # up to its scale, which whitening changes from place to place as coils weigh differently
        scale = (image * truth).sum() / (image**2).sum()
        return np.linalg.norm(scale * image - truth) / np.linalg.norm(truth)

    outside = truth < 0.02 * truth.max()
    assert white.data[outside].mean() < 0.8 * plain[outside].mean()
    assert "4096 noise samples of 4 channels" in dict(white.provenance)["whiten"]
    assert np.isfinite(error(white.data))


def test_noise_readouts_among_the_others_serve_as_well():
    raw = many_channels(noise=0.004, mixing=MIXING)
    n = len(raw.samples)
    labels = {name: np.concatenate([values, np.zeros(64, np.int32)]) for name, values in raw.labels.items()}
    labels["NOISE"] = (np.arange(n + 64) >= n).astype(np.int32)
    inside = replace(raw, samples=np.concatenate([raw.samples, raw.noise]), labels=labels, noise=None)
    np.testing.assert_allclose(reconstruct(inside)[0].data, reconstruct(raw)[0].data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (np.zeros((64, 4, 64), np.complex64), "one is silent"),
        (np.ones((64, 1, 64)) * np.ones((1, 4, 1)) * np.random.default_rng(1).normal(size=(64, 1, 64)), "two are the same"),
        (np.ones((1, 4, 3), np.complex64), "3 samples of noise do not tell"),
    ],
)
def test_without_usable_noise_the_image_is_made_without_whitening(noise, words):
    raw = replace(many_channels(), noise=noise.astype(np.complex64))
    (volume,) = reconstruct(raw)
    assert words in dict(volume.skipped)["whiten"]
    plain = tuple(order for order in CARTESIAN if order.step != "whiten")
    np.testing.assert_array_equal(volume.data, reconstruct(raw, pipeline=plain)[0].data)


def test_a_scan_without_noise_readouts_is_no_failure():
    raw = replace(many_channels(), noise=None)
    (volume,) = reconstruct(raw)
    assert volume.skipped == ()
    assert "stay as they are" in dict(volume.provenance)["whiten"]
    plain = tuple(order for order in CARTESIAN if order.step != "whiten")
    np.testing.assert_array_equal(volume.data, reconstruct(raw, pipeline=plain)[0].data)


def test_sensor_channels_are_not_in_the_image():
    raw = many_channels()
    loud = 100 * np.ones((len(raw.samples), 2, 64), dtype=np.complex64)
    heard = replace(raw, samples=np.concatenate([raw.samples, loud], axis=1), sensor_channels=(4, 5), noise=None)
    plain = tuple(order for order in CARTESIAN if order.step != "whiten")
    found, expected = reconstruct(heard, pipeline=plain)[0].data, reconstruct(raw, pipeline=plain)[0].data
    np.testing.assert_array_equal(found, expected)


def test_adaptive_combination_gives_the_object_with_less_noise():
    image = head(SIZE, finer=1)
    fields = coils(image.shape)
    rng = np.random.default_rng(4)
    clean = combine_adaptively((image * fields).astype(np.complex64))
    inside = np.abs(image) > 0.1
    assert np.abs(np.abs(clean) - np.abs(image))[inside].mean() < 0.01
    noisy = (image * fields + 0.05 * gauss(rng, fields.shape)).astype(np.complex64)
    dark = np.abs(image) < 0.01
    assert np.abs(combine_adaptively(noisy))[dark].mean() < 0.7 * root_sum_of_squares(noisy)[dark].mean()


def test_adaptive_combination_keeps_the_phase():
    raw = many_channels()
    orders = with_step(with_step(CARTESIAN, "combine", method="adaptive"), "output", kind="complex")
    found = reconstruct(raw, pipeline=tuple(o for o in orders if o.step != "whiten"))[0]
    assert found.data.dtype == np.complex64
    assert found.kind == "complex"


def test_phase_of_a_root_sum_of_squares_is_refused():
    raw = many_channels()
    with pytest.raises(Exception, match=r"lost its phase[\s\S]*adaptive"):
        reconstruct(raw, pipeline=with_step(CARTESIAN, "output", kind="phase"))


@pytest.fixture(scope="module")
def inverted():
    """A head in which a part is inverted, with a smooth phase on top."""
    image = head(SIZE, phase_rad=1.5, finer=1)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    sign = np.where((x - 0.05) ** 2 + (y + 0.1) ** 2 < 0.15**2, -1.0, 1.0)
    truth = np.abs(image) * sign
    return kspace_of(truth * np.exp(1j * np.angle(image)), SIZE)[np.newaxis], truth


def test_real_images_keep_the_sign_of_inverted_tissue(inverted):
    kspace, truth = inverted
    (volume,) = reconstruct(of_kspace(kspace, PLACE), pipeline=with_step(CARTESIAN, "output", kind="real"))
    assert volume.kind == "real"
    bright = np.abs(truth) > 0.2
    assert (np.sign(volume.data) == np.sign(truth))[bright].mean() > 0.98
    assert np.abs(volume.data - truth)[bright].mean() < 0.05 * np.abs(truth).max()


def test_phase_images_hold_the_phase(inverted):
    kspace, _ = inverted
    (volume,) = reconstruct(of_kspace(kspace, PLACE), pipeline=with_step(CARTESIAN, "output", kind="phase"))
    (whole,) = reconstruct(of_kspace(kspace, PLACE), pipeline=with_step(CARTESIAN, "output", kind="complex"))
    np.testing.assert_allclose(volume.data, np.angle(whole.data), atol=1e-6)
    assert volume.kind == "phase"
    assert volume.data.dtype == np.float32


def test_averages_with_a_phase_cycle_of_their_own_are_turned_back():
    kspace = kspace_of(head(SIZE), SIZE)[np.newaxis]
    once = of_kspace(kspace, PLACE)
    n = len(once.samples)
    labels = {name: np.tile(values, 4) for name, values in once.labels.items()}
    labels["AVG"] = np.repeat(np.arange(4), n).astype(np.int32)
    for cycle, factor in (("received", 1), ("alternate", -1), ("quarter", 1j)):
        turn = np.repeat(np.array([factor**k for k in range(4)]), n)[:, np.newaxis, np.newaxis]
        # what is not turned with the pulses, such as a receiver's offset, cancels
        offset = 0 if cycle == "received" else 0.3
        samples = (np.tile(once.samples, (4, 1, 1)) * turn + offset).astype(np.complex64)
        raw = replace(once, samples=samples, labels=labels, n_expected=4 * n)
        found = reconstruct(raw, pipeline=with_step(CARTESIAN, "average", cycle=cycle))[0]
        np.testing.assert_allclose(found.data, reconstruct(once)[0].data, atol=1e-4)


def test_the_receiver_delay_left_moves_nothing_but_the_phase():
    once = of_kspace(kspace_of(head(SIZE), SIZE)[np.newaxis], PLACE, centres=(33.0, 32, 0))
    late = replace(once, encoding=of_kspace(np.zeros((1, 1, 64, 64)), PLACE, centres=(32, 32, 0)).encoding)
    orders = with_step(with_step(CARTESIAN, "receive", delay_s=-late.dwell_s), "output", kind="complex")
    (found,) = reconstruct(late, pipeline=orders)
    (expected,) = reconstruct(once, pipeline=with_step(CARTESIAN, "output", kind="complex"))
    np.testing.assert_allclose(found.data, expected.data, atol=1e-5)


def test_the_shutter_takes_the_corners_away():
    kspace = kspace_of(head(SIZE), SIZE)[np.newaxis]
    kept = {}

    def watch(name, work):
        kept[name] = [grid.data.copy() for grid in work.grids]

    from recon_scans import before

    from isocenter.domain.pipeline import StepOrder

    orders = before(CARTESIAN, "filter", StepOrder(step="shutter"))
    (volume,) = reconstruct(of_kspace(kspace, PLACE), pipeline=orders, watch=watch)
    grid = np.abs(kept["shutter"][0][0, 0, 0])
    assert grid[32, 0] > 0
    assert grid[0, 32] > 0
    assert grid[5, 5] == grid[-5, 5] == grid[5, -5] == 0
    assert dict(volume.provenance)["shutter"].startswith("78 % of k-space kept")
