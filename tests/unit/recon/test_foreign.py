# SPDX-License-Identifier: MIT
"""K-space of unknown origin: the published head scans come out as published, and other shapes likewise."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from isocenter.domain.errors import ReconError
from isocenter.recon.foreign import find_layout, plain_volume, reconstruct_plain

ULF = Path(__file__).resolve().parents[2] / "golden" / "ulf"
CONTRASTS = ("flair", "fse", "gre")


def kspace_of(contrast):
    return scipy.io.loadmat(ULF / f"{contrast}_kspace.mat")["kspace"].astype(np.complex64)


def flips(image):
    """All four ways to look at it; a transform the other way round also moves the centre of an even axis by one voxel."""
    for rows in (False, True):
        for columns in (False, True):
            turned = np.roll(image[:, ::-1], 1, axis=1) if rows else image
            yield np.roll(turned[:, :, ::-1], 1, axis=2) if columns else turned


def correlation(first, second):
    return float(np.corrcoef(first.ravel().astype(np.float64), second.ravel().astype(np.float64))[0, 1])


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_published_images_come_out(contrast):
    with np.load(ULF / "published_magnitude.npz") as published:
        expected = published[contrast].transpose(2, 0, 1)
    images = reconstruct_plain(kspace_of(contrast), (256, 256))
    assert images.shape == (4, 256, 256)
    assert images.dtype == np.float32
    for found, wanted in zip(images, expected, strict=True):
        assert max(correlation(turned[0], wanted) for turned in flips(found[np.newaxis])) >= 0.9995


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1), (1, 0, 2)])
def test_slices_may_be_in_any_axis(order):
    kspace = kspace_of("fse")
    expected = reconstruct_plain(kspace, (256, 256))
    found = reconstruct_plain(kspace.transpose(order), (256, 256))
    wanted = expected.transpose(0, 2, 1) if order == (1, 0, 2) else expected
    np.testing.assert_allclose(found, wanted, atol=1e-4 * expected.max())


def with_coils(kspace, n_channels, noise, seed=0):
    """Smooth sensitivities of several coils and noise on the images, and back to k-space (row, column, slice, coil)."""
    rng = np.random.default_rng(seed)
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(0, 1)), axes=(0, 1)), axes=(0, 1))
    rows, columns = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    angles = 2 * np.pi * np.arange(n_channels) / n_channels
    coils = [
        np.exp(-((rows - np.sin(a)) ** 2 + (columns - np.cos(a)) ** 2) / 1.5 + 1j * (a + columns * np.cos(a)))
        for a in angles
    ]
    coils = np.stack(coils, axis=-1)
    coils /= np.sqrt((np.abs(coils) ** 2).sum(axis=-1, keepdims=True))
    seen = image[..., np.newaxis] * coils[:, :, np.newaxis]
    seen = seen + noise * np.abs(image).std() * (rng.normal(size=seen.shape) + 1j * rng.normal(size=seen.shape))
    back = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(seen, axes=(0, 1)), axes=(0, 1)), axes=(0, 1))
    return back.astype(np.complex64)


ORDERS = {
    "row, column, slice, coil": (0, 1, 2, 3),
    "row, column, coil, slice": (0, 1, 3, 2),
    "coil, slice, row, column": (3, 2, 0, 1),
    "slice, coil, row, column": (2, 3, 0, 1),
    "slice, row, column, coil": (2, 0, 1, 3),
    "coil, row, column, slice": (3, 0, 1, 2),
}


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize(("n_channels", "noise"), [(2, 0.0), (4, 0.05), (8, 0.02)])
def test_channels_are_found_in_any_axis_and_combined(contrast, order, n_channels, noise):
    kspace = kspace_of(contrast)
    expected = reconstruct_plain(kspace, (128, 128))
    found = reconstruct_plain(with_coils(kspace, n_channels, noise).transpose(ORDERS[order]), (128, 128))
    assert found.shape == (4, 128, 128)
    assert correlation(found, expected) > 0.99


def test_one_slice_needs_no_slice_axis():
    kspace = kspace_of("flair")
    expected = reconstruct_plain(kspace, (256, 256))
    for single in (kspace[..., 0], kspace[..., :1], kspace[np.newaxis, ..., 0]):
        np.testing.assert_allclose(reconstruct_plain(single, (256, 256)), expected[:1], rtol=1e-4, atol=1e-3)


def test_one_strong_channel_among_weak_ones_is_no_encoding():
    kspace = kspace_of("gre")
    gains = np.array([1.0, 0.3, 0.2, 0.2, 0.3, 0.2, 0.1, 0.1], dtype=np.complex64)
    images = reconstruct_plain(kspace[..., np.newaxis] * gains, (256, 256))
    assert images.shape == (4, 256, 256)
    expected = np.linalg.norm(gains) * reconstruct_plain(kspace, (256, 256))
    np.testing.assert_allclose(images, expected, rtol=1e-3, atol=1e-2)


def test_three_encoded_axes_are_a_3d_scan():
    # A block off the middle of a 3D field of view; k-space of it by another library, its centre moved aside.
    block = np.zeros((24, 32, 40), dtype=np.complex64)
    block[10:16, 8:18, 18:32] = 1
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(block))).astype(np.complex64)
    kspace = kspace[:, 5:, :-3]
    layout = find_layout(kspace)
    assert layout.encoded == (0, 1, 2)
    assert layout.centre == (12, 11, 20)
    images = reconstruct_plain(kspace, (32, 40))
    assert images.shape == (24, 32, 40)
    mirrored = np.roll(block.real[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    assert correlation(images, mirrored) > 0.98


@pytest.mark.parametrize("shift", [(0, 0), (7, -5), (-11, 9)])
def test_centre_is_found_where_it_is(shift):
    kspace = np.roll(kspace_of("fse"), shift, axis=(0, 1))
    assert find_layout(kspace).centre == (66 + shift[0], 63 + shift[1])


def test_sizes_stay_without_a_matrix_and_may_be_smaller_or_odd():
    kspace = kspace_of("gre")
    assert reconstruct_plain(kspace).shape == (4, 128, 196)
    small = reconstruct_plain(kspace, (64, 99))
    assert small.shape == (4, 64, 99)
    large = reconstruct_plain(kspace, (128, 198))
    coarse = large.reshape(4, 64, 2, 99, 2).mean(axis=(2, 4))
    assert correlation(small, coarse) > 0.97


def test_images_given_as_kspace_are_refused():
    with np.load(ULF / "published_magnitude.npz") as published:
        image = published["fse"].astype(np.complex64)
    with pytest.raises(ReconError, match=r"256 x 256 x 4 does not look like k-space[\s\S]*not images"):
        reconstruct_plain(image, (256, 256))


def test_axes_that_could_mean_several_things_are_asked_for():
    kspace = kspace_of("flair")
    # The same slices twice, so that nothing tells the two axes apart
    same = np.stack([kspace[..., 0]] * 4, axis=-1)
    between = np.stack([same, same], axis=0)
    with pytest.raises(ReconError, match=r"2 x 128 x 126 x 4.*either of the axes \[0, 3\][\s\S]*Name the channel axis"):
        reconstruct_plain(between, (256, 256))
    images = reconstruct_plain(between, (256, 256), channel_axis=0)
    np.testing.assert_allclose(images, np.sqrt(2) * reconstruct_plain(same, (256, 256)), rtol=1e-3, atol=1e-2)
    with pytest.raises(ReconError, match=r"could be slices, channels or repetitions"):
        reconstruct_plain(np.stack([between, between]), (256, 256))
    named = reconstruct_plain(kspace, (256, 256), encoded_axes=(1, 0))
    np.testing.assert_allclose(named, reconstruct_plain(kspace, (256, 256)).transpose(0, 2, 1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("array", "arguments", "text"),
    [
        (np.zeros((8, 8)), {}, r"all samples are zero"),
        (np.ones(16), {}, r"fewer than two axes"),
        (np.eye(8)[:1].T * np.eye(8)[:1], {"matrix": (0, 8)}, r"0x8 is not possible"),
        (np.eye(8), {"encoded_axes": (0, 5)}, r"do not fit an array of 8 x 8[\s\S]*0 to 1"),
    ],
)
def test_what_cannot_be_is_said(array, arguments, text):
    with pytest.raises(ReconError, match=text):
        reconstruct_plain(array.astype(np.complex64), **arguments)


def test_images_without_a_place_say_so():
    volume = plain_volume(np.ones((2, 4, 6), dtype=np.float32), "file.mat")
    assert not volume.is_placed
    assert ("source", "file.mat") in volume.provenance
