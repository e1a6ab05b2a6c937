# SPDX-License-Identifier: MIT
"""Sixteen transforms at a time against numpy's, and sharing work among threads."""

import threading

import numpy as np
import pytest

from isocenter.recon.nufft import fft_kernels
from isocenter.recon.nufft.fft_plan import axis_plan, frequency_order, radices, smooth
from isocenter.recon.nufft.sharing import share_with_number

LANES = 16


def to_lanes(array):
    return np.stack([array.real, array.imag], axis=1).astype(np.float32).ravel()


def from_lanes(flat):
    pairs = flat.reshape(-1, 2, LANES)
    return pairs[:, 0] + 1j * pairs[:, 1]


def far(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6, 8, 9, 10, 15, 16, 25, 30, 32, 60, 81, 125, 128, 192, 256, 375, 1000])
def test_sixteen_transforms_are_numpys_and_the_inverse_undoes_them(m):
    rng = np.random.default_rng(m)
    values = rng.standard_normal((m, LANES)) + 1j * rng.standard_normal((m, LANES))
    work, axis = to_lanes(values), axis_plan(m)
    assert axis[1] == m
    fft_kernels.forward(work, 0, axis)
    assert far(from_lanes(work), np.fft.fft(values, axis=0)[frequency_order(m)]) < 5e-7
    fft_kernels.inverse(work, 0, axis)
    assert far(from_lanes(work) / m, values) < 5e-7


def test_sizes_with_other_factors_are_rounded_up():
    assert [smooth(n) for n in (1, 7, 11, 13, 17, 31, 97, 251, 256, 257)] == [1, 8, 12, 15, 18, 32, 100, 256, 256, 270]
    for m in (1, 2, 60, 256, 512, 1000):
        assert np.prod(radices(m), dtype=int) == m


@pytest.mark.parametrize("n_threads", [1, 3])
def test_shared_work_is_all_done_once_and_a_failure_is_told(n_threads):
    done, numbers, lock = [], set(), threading.Lock()

    def work(item, number):
        with lock:
            done.append(item)
            numbers.add(number)

    share_with_number(work, range(50), n_threads)
    assert sorted(done) == list(range(50))
    assert numbers <= set(range(n_threads))

    def fail(item, _number):
        raise RuntimeError(f"piece {item} failed")

    with pytest.raises(RuntimeError, match=r"piece \d failed"):
        share_with_number(fail, range(5), n_threads)
