# SPDX-License-Identifier: MIT
"""Our own transform against numpy's in double precision, and the two ways into it against each other."""

import subprocess
import sys

import numpy as np
import pytest

from isocenter.recon import fourier
from isocenter.recon.fft.plan import plan_of, radices_of
from isocenter.recon.fft.transform import transform_axis
from isocenter.recon.fourier import to_image, to_images

ERROR = 1e-6
SHAPE = (2, 3, 36, 44, 50)


def noise(shape):
    rng = np.random.default_rng(1)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == np.complex64
    assert np.abs(found - expected).max() < ERROR * np.abs(expected).max()


@pytest.fixture
def without(monkeypatch):
    """Does something by scipy."""

    def call(work):
        with monkeypatch.context() as patch:
            patch.setattr(fourier, "_own", lambda array: None)
            return work()

    return call


@pytest.fixture
def used(monkeypatch):
    """How many axes went through our own loops."""
    from isocenter.recon.fft import transform

    calls = []
    monkeypatch.setattr(transform, "transform_axis", lambda *a, **k: (calls.append(a[2]), transform_axis(*a, **k))[1])
    return calls


@pytest.mark.parametrize(
    "size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 16, 25, 30, 49, 63, 64, 96, 105, 128, 200, 210, 256, 640]
)
@pytest.mark.parametrize("n_lines", [1, 3, 16, 37])
def test_every_length_is_the_exact_transform(size, n_lines):
    lines = noise((n_lines, size))
    expected = np.fft.fft(lines.astype(np.complex128), axis=1)
    how = plan_of(size)
    for threads in (1, 3):
        target = np.empty_like(lines)
        transform_axis(lines, target, 1, how, threads)
        close(target, expected)
        columns = lines.T.copy()
        transform_axis(columns, columns, 0, how, threads)
        close(columns, expected.T)


@pytest.mark.parametrize("size", [11, 13, 22, 128 * 11, 8192])
def test_lengths_that_are_not_for_our_loops_are_left_to_scipy(size, used):
    assert size > 4096 or radices_of(size) is None
    lines = noise((2**15 // size + 1, size))
    expected = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(lines.astype(np.complex128), axes=1), axis=1), axes=1)
    close(to_image(lines, 1, size=size, centre=size // 2), expected)
    assert used == []


@pytest.mark.parametrize("axis", [2, 3, 4, -1])
@pytest.mark.parametrize("change", [-8, 0, 6, 1.5])
@pytest.mark.parametrize("part", [0.5, 0.3])
def test_partial_and_zero_filled_axes_equal_the_other_engine(axis, change, part, without, used):
    kspace = noise(SHAPE)
    n = SHAPE[axis]
    size = n + change if isinstance(change, int) else int(n * change)
    size += next(more for more in range(size) if radices_of(size + more))
    for centre in (part * n, part * n - 0.5):
        for kept in (None, slice(size // 4, size // 4 + size // 2)):
            for with_phase in (True, False):

                def work(centre=centre, kept=kept, with_phase=with_phase):
                    return to_image(kspace, axis, size=size, centre=centre, kept=kept, with_phase=with_phase)

                close(work(), without(work))
    assert len(used) == 8


@pytest.mark.parametrize("overwrite", [False, True])
def test_several_axes_equal_the_other_engine_and_keep_what_is_still_needed(overwrite, without, used):
    axes = [(4, 50, 24.5), (3, 48, 22.0), (2, 36, 18)]
    kspace = noise(SHAPE)
    given = kspace.copy()
    image = to_images(given, axes, overwrite=overwrite)
    assert sorted(used) == [2, 3, 4]
    close(image, without(lambda: to_images(kspace, axes)))
    same = to_images(given, axes[::2], overwrite=overwrite)
    assert np.shares_memory(same, given) == overwrite
    assert np.array_equal(given, kspace) != overwrite


def test_what_may_not_be_written_or_lies_scattered_is_copied(used):
    kspace = noise(SHAPE)
    expected = to_images(kspace, [(4, 50, 25)])
    scattered = np.asfortranarray(kspace)
    kspace.flags.writeable = False
    for source in (kspace, scattered):
        np.testing.assert_array_equal(to_images(source, [(4, 50, 25)], overwrite=True), expected)
    assert len(used) == 3


def test_a_program_that_compiles_nothing_does_not_load_the_compiler():
    code = (
        "import sys, numpy as np; from isocenter.recon import compiled, fourier\n"
        "k = np.ones((8, 64, 128), np.complex64); a = fourier.to_images(k, [(2, 128, 64)])\n"
        "assert 'numba' not in sys.modules; compiled.warm_up(); assert 'numba' in sys.modules\n"
        "assert np.abs(a - fourier.to_images(k, [(2, 128, 64)])).max() < 1e-4"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
