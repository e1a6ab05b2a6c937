# SPDX-License-Identifier: MIT
"""Memory of large k-space that is returned while it is still partly needed."""

import dataclasses
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from isocenter.domain.geometry import Orientation, place
from isocenter.domain.raw import RawScan
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.display import Display
from isocenter.recon.pages import empty_pages, give_back, pages_of, zero_pages
from isocenter.recon.pipeline import check_pipeline, run_pipeline
from isocenter.recon.steps import STEPS
from isocenter.recon.steps.base import Picture, Work

LARGE = (9, 2**20)  # 72 MiB
needs_advice = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes pages back at once")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@needs_advice
def test_what_is_given_back_leaves_memory_and_the_rest_stays():
    array = empty_pages(LARGE)
    array[:] = 3 + 1j
    before = resident_bytes()
    give_back(array, 5 * array[0].nbytes)
    assert before - resident_bytes() > 4.5 * array[0].nbytes
    assert np.all(array[5:] == 3 + 1j)


@needs_advice
def test_a_part_gives_back_nothing_before_or_after_it():
    array = empty_pages(LARGE)
    array[:] = 1
    part = array[3:5]
    give_back(part, part.nbytes)
    assert np.all(array[:3] == 1)
    assert np.all(array[5:] == 1)
    assert not np.any(array[3:5])


@needs_advice
def test_bytes_that_are_not_a_whole_step_stay():
    array = empty_pages(LARGE)
    array[:] = 1
    give_back(array, 2**21 - 8)
    assert np.all(array == 1)


def test_arrays_of_others_and_small_ones_stay():
    for array in (np.ones(2**22, dtype=np.complex64), zero_pages((4, 5)) + 1, empty_pages((4, 5))):
        array[:] = 2
        assert pages_of(array) is None
        give_back(array, array.nbytes)
        assert np.all(array == 2)


MIDDLE = (5, 2**18)  # 10 MiB


def address(array):
    return array.__array_interface__["data"][0]


@needs_advice
def test_memory_of_middle_size_is_used_again_when_nobody_holds_it():
    array = empty_pages(MIDDLE)
    where = address(array)
    array[:] = 1
    part = array[3:, 7:9]
    del array
    other = empty_pages(MIDDLE)  # a part still holds the first
    assert address(other) != where
    other[:] = 2
    assert np.all(part == 1)
    del part
    assert address(empty_pages((MIDDLE[1], MIDDLE[0]))) == where
    assert np.all(other == 2)


@needs_advice
def test_at_most_two_arrays_wait_and_only_for_their_own_size():
    arrays = [empty_pages((n, 2**20)) for n in (2, 3, 4)]
    wheres = [address(array) for array in arrays]
    for array in arrays:
        array[:] = 1
    before = resident_bytes()
    sizes = [array.nbytes for array in arrays]
    while arrays:
        del array
        array = arrays.pop(0)
    del array
    assert before - resident_bytes() > 0.9 * sizes[0]  # the oldest went back to the system
    fourth, third = empty_pages((4, 2**20)), empty_pages((3, 2**20))
    assert [address(third), address(fourth)] == wheres[1:]


@needs_advice
def test_threads_never_get_the_same_memory():
    def fill(number: int) -> bool:
        good = True
        for _ in range(20):
            array = empty_pages(MIDDLE)
            array[:, ::4096] = number
            good = good and bool(np.all(array[:, ::4096] == number))
        return good

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fill, range(8)))


def test_zero_pages_are_zero_large_and_small():
    used = empty_pages(MIDDLE)
    used[:] = 1
    del used
    for shape in ((3, 4), MIDDLE, LARGE):
        array = zero_pages(shape)
        assert array.shape == shape
        assert not np.any(array)


def test_strided_parts_give_back_nothing():
    array = zero_pages(LARGE)
    array[:] = 1
    give_back(array[:, ::2], array.nbytes)
    assert np.all(array == 1)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True), (False, True, True)])
def test_an_empty_array_in_display_order_is_shown_without_a_copy(transpose: bool, flip: tuple[bool, bool, bool]):
    display = Display(transpose=transpose, flip=flip, geometry=None)  # type: ignore[arg-type]  # the order needs none
    values = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    array = display.empty(values.shape, np.float32)
    array[:] = values
    shown = display.apply(array)
    np.testing.assert_array_equal(shown, display.apply(values))
    assert np.shares_memory(shown, array)


@needs_advice
@pytest.mark.parametrize("is_required", [True, False])
def test_pictures_go_only_where_nobody_needs_them(is_required: bool):
    """A step that may fail has to leave what it took as it was; of one that must not, nobody looks at it again."""
    image = empty_pages(LARGE).reshape(9, 1024, 1024)
    image[:] = 3 - 4j
    display = Display(transpose=True, flip=(True, False, False), geometry=None)  # type: ignore[arg-type]
    picture = Picture(key=(), data=image, stack=SimpleNamespace(display=display))  # type: ignore[arg-type]
    raw = RawScan(
        samples=np.zeros((0, 1, 0), np.complex64),
        labels={},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=None,
        placement=place(Orientation.AXIAL),
        facts=None,
    )
    planned = dataclasses.replace(check_pipeline(CARTESIAN)[-1], is_required=is_required)
    assert planned.step.name == "output"
    done = run_pipeline(Work(raw=raw, pictures=(picture,)), [planned])
    np.testing.assert_array_equal(done.pictures[0].data, np.full(image.shape, 5, np.float32))
    assert not done.is_spent
    assert np.any(image[:8]) != is_required


@needs_advice
def test_two_pictures_of_one_memory_are_both_whole():
    image = empty_pages(LARGE).reshape(9, 1024, 1024)
    image[:] = 3 - 4j
    display = Display(transpose=False, flip=(False, False, False), geometry=None)  # type: ignore[arg-type]
    picture = Picture(key=(), data=image, stack=SimpleNamespace(display=display))  # type: ignore[arg-type]
    work = Work(raw=None, pictures=(picture, picture), is_spent=True)  # type: ignore[arg-type]  # the step looks at images only
    for found in STEPS["output"].run(work, STEPS["output"].parameters()).pictures:
        assert np.all(found.data == 5)
