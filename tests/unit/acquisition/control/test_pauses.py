# SPDX-License-Identifier: MIT
"""What the link needs between two segments, as measured during scans."""

import pytest

from isocenter.acquisition.control.pauses import PauseMeter


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def play(meter, clock, duration_s, need_s, wait_s=0.5):
    meter.is_ready()
    clock.now_s += wait_s  # until the sequence's own time has come: that is no need
    meter.asked(duration_s)
    clock.now_s += duration_s + need_s


def test_the_need_is_what_lies_between_two_segments_but_not_the_wait_for_the_sequence():
    meter = PauseMeter(clock := Clock())
    assert meter.need() is None
    for need_s in [0.012] * 19 + [0.09, 0.012]:
        play(meter, clock, 0.4, need_s)
    need = meter.need()
    assert need.n == 20, "behind the last one nothing follows"
    assert need.median_s == pytest.approx(0.012)
    assert 0.012 <= need.most_s < 0.05, "once is no rule"


def test_the_longest_need_that_happens_often_counts():
    meter = PauseMeter(clock := Clock())
    for number in range(41):
        play(meter, clock, 0.4, 0.03 if number % 5 == 0 else 0.01)
    assert meter.need().most_s == pytest.approx(0.03)


def test_a_console_that_is_faster_than_time_says_nothing_about_a_link():
    meter = PauseMeter(clock := Clock())
    for _ in range(5):
        play(meter, clock, 0.4, -0.3)
    assert meter.need() is None
