# SPDX-License-Identifier: MIT
"""How lengths are taken apart, the stages alone against numpy's transform, and what makes loops compile anew."""

import importlib.util

import numpy as np
import pytest

from isocenter.recon.fft import lanes
from isocenter.recon.fft.loops import stages
from isocenter.recon.fft.plan import LANES, SAMPLE, aligned, plan_of, radices_of, smooth


def to_lanes(values):
    work = aligned(len(values) * SAMPLE)
    work[:] = np.stack([values.real, values.imag], axis=1).astype(np.float32).ravel()
    return work


def in_order(work, order):
    samples = work.reshape(-1, 2, LANES)[order // SAMPLE]
    return samples[:, 0] + 1j * samples[:, 1]


def far(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 16, 32, 60, 81, 98, 125, 128, 192, 256, 375, 1000, 8192])
def test_stages_are_numpys_transform_and_exchanged_parts_undo_them(m):
    rng = np.random.default_rng(m)
    values = rng.standard_normal((m, LANES)) + 1j * rng.standard_normal((m, LANES))
    plan = plan_of(m).loops
    order = plan[2][:m]
    assert sorted(order) == list(range(0, m * SAMPLE, SAMPLE))
    work = to_lanes(values)
    stages(work, 0, plan)
    found = in_order(work, order)
    assert far(found, np.fft.fft(values, axis=0)) < 5e-7
    back = to_lanes(found.imag + 1j * found.real)
    stages(back, 0, plan)
    exchanged = in_order(back, order)
    assert far((exchanged.imag + 1j * exchanged.real) / m, values) < 5e-7


def test_sizes_with_other_factors_are_rounded_up():
    assert [smooth(n) for n in (1, 7, 11, 13, 17, 31, 97, 251, 256, 257)] == [1, 8, 12, 15, 18, 32, 100, 256, 256, 270]


def test_lengths_are_products_of_butterflies_with_eights_last():
    for m in (1, 2, 7, 60, 256, 448, 512, 1000):
        radices = radices_of(m)
        assert np.prod(radices, dtype=int) == m
        assert list(radices).count(8) == ((m & -m).bit_length() - 1) // 3
        assert m % 8 or radices[-1] == 8
    assert radices_of(22) is None
    assert radices_of(0) is None
    assert plan_of(13) is None


def test_memory_begins_where_a_line_of_the_cache_does():
    for n_numbers in (1, 64, 1000):
        memory = aligned(n_numbers)
        assert memory.size == n_numbers
        assert memory.ctypes.data % 64 == 0
        assert not memory.any()


def test_a_change_of_the_package_compiles_loops_anew(tmp_path, monkeypatch):
    (tmp_path / "some_loop.py").write_text("def double(a):\n    return 2 * a\n")
    source = tmp_path / "vectors.py"
    source.write_text("one way")
    monkeypatch.setattr(lanes, "_SOURCES", [source])
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))

    def compiled():
        spec = importlib.util.spec_from_file_location("some_loop", tmp_path / "some_loop.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function = lanes.loop(lanes.types.int64(lanes.types.int64))(module.double)
        assert function(21) == 42
        return sum(function.stats.cache_misses.values())

    assert compiled() == 1
    assert compiled() == 0
    source.write_text("another way")
    assert compiled() == 1
    assert compiled() == 0
