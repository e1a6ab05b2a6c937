# SPDX-License-Identifier: MIT
"""Sharing work among threads."""

import threading

import pytest

from isocenter.recon.nufft.sharing import share_with_number


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
