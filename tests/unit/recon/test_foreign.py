# SPDX-License-Identifier: MIT
"""K-space of unknown origin: the published head scans come out as published, and other shapes likewise."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from recon_scans import head
from recon_scans import kspace_of as kspace_of_object

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
        (np.full((8, 8), np.nan), {}, r"not numbers"),
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


def best(found, expected):
    """Correlation with whichever way round the other program would show it, a voxel's shift included."""
    return max(
        correlation(np.roll(found[:, ::down, ::right], (a, b), axis=(1, 2)), expected)
        for down in (1, -1)
        for right in (1, -1)
        for a in (0, 1)
        for b in (0, 1)
    )


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize(
    "way", ["conjugate", "flipped", "both axes swapped", "double", "scaled", "tiny", "huge", "turned in phase"]
)
def test_another_program_may_have_kept_it_another_way(contrast, way):
    kspace = kspace_of(contrast)
    expected = reconstruct_plain(kspace, (256, 256))
    other = {
        "conjugate": kspace.conj(),  # the transform the other way round
        "flipped": kspace[::-1, :, ::1],
        "both axes swapped": kspace.transpose(1, 0, 2),
        "double": kspace.astype(np.complex128),
        "scaled": 1e-9 * kspace,
        "tiny": kspace.astype(np.complex128) * 1e-60,
        "huge": kspace * np.complex64(1e25),
        "turned in phase": kspace * np.complex64(np.exp(2.1j)),
    }[way]
    found = reconstruct_plain(other, (256, 256))
    found = found.transpose(0, 2, 1) if way == "both axes swapped" else found
    assert best(found / found.max(), expected / expected.max()) >= 0.9995


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("margins", [((20, 0), (0, 0)), ((0, 0), (0, 30)), ((31, 5), (12, 3)), ((0, 40), (25, 0))])
def test_the_centre_is_found_wherever_zeros_put_it(contrast, margins):
    # Partial lines kept in a larger array: only the place of the centre in it changes
    kspace = kspace_of(contrast)
    expected = reconstruct_plain(kspace, (256, 256))
    padded = np.pad(kspace, (*margins, (0, 0)))
    np.testing.assert_allclose(reconstruct_plain(padded, (256, 256)), expected, atol=2e-4 * expected.max())


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_less_of_one_side_blurs_but_does_not_move(contrast):
    kspace = kspace_of(contrast)
    row, column = find_layout(kspace).centre
    expected = reconstruct_plain(kspace, (256, 256))
    for cut in (np.s_[row - 30 :], np.s_[: row + 35], np.s_[:, column - 40 :], np.s_[:, : column + 30]):
        found = reconstruct_plain(kspace[cut], (256, 256))
        assert correlation(found, expected) > 0.93


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_a_spark_in_the_data_is_not_taken_for_the_centre(contrast):
    kspace = kspace_of(contrast)
    centre = find_layout(kspace).centre
    for place in ((10, 20, 1), (100, 3, 0), (0, 0, 3)):
        struck = kspace.copy()
        struck[place] = 5 * np.abs(kspace).max()
        assert find_layout(struck).centre == centre
        assert find_layout(struck).encoded == (0, 1)


@pytest.mark.parametrize("n_partitions", [6, 8, 10, 16, 24])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("phase_rad", [0.0, 1.0])
def test_thin_3d_scans_are_told_from_slices(n_partitions, axis, phase_rad):
    shape = (n_partitions, 64, 48)
    rng = np.random.default_rng(n_partitions)
    kspace = kspace_of_object(head(shape, phase_rad=phase_rad), shape)
    kspace = kspace + 0.1 * np.abs(kspace).std() * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    kspace = kspace.astype(np.complex64)
    expected = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(kspace))))
    layout = find_layout(np.moveaxis(kspace, 0, axis))
    assert layout.encoded[0] == axis
    assert layout.slices is None
    found = reconstruct_plain(np.moveaxis(kspace, 0, axis))
    assert correlation(found, expected) > 0.9999
    # The same head as slices, partitions transformed already
    slices = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(kspace, axes=0), axis=0), axes=0).astype(np.complex64)
    assert find_layout(np.moveaxis(slices, 0, axis)).slices == axis
