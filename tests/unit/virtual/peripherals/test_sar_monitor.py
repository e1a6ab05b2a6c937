# SPDX-License-Identifier: MIT
"""The virtual SAR monitor adds up power over the time in which it was sent, however fast the scanner plays."""

import zlib

import pytest

from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sar_monitor import VirtualSarMonitor


def frame(text: str) -> bytes:
    return text.encode() + zlib.crc32(text.encode()).to_bytes(4, "big") + b"\r\n\t"


class Box:
    """A monitor that watches, on a clock that is moved by hand."""

    def __init__(self, *, is_real_time: bool) -> None:
        self.now_s, self.plant = 0.0, Plant()
        self.far = VirtualSarMonitor(self.plant, is_real_time=is_real_time, clock=lambda: self.now_s)
        for text in ("l10s100000", "l6m100000", "tran4095", "start"):
            self.far.feed(frame(text))
        assert self.far.is_watching

    def run(self, energy_j: float, ends_s: float, wall_s: float) -> list[bytes]:
        """The console plays until a moment of its own time, for which this computer needs so long."""
        before = self.plant.state
        self.plant.change("console", rf_playing=True, forward_w=energy_j / (ends_s - before.played_s))
        said = []
        for _ in range(4):
            self.now_s += wall_s / 4
            said += self.far.tick()
        self.plant.change("console", rf_playing=False, forward_w=0.0, played_s=ends_s, played_j=before.played_j + energy_j)
        return [reply.data for reply in (*said, *self.far.tick())]

    def means_w(self) -> tuple[float, float]:
        answers = [self.far.feed(frame(text))[0].data for text in ("r10sec", "r6min")]
        ten_s, six_min = (int(answer[:-7]) * 1e-4 for answer in answers)
        return ten_s, six_min


@pytest.mark.parametrize("wall_s", [0.004, 0.4, 40.0])
def test_what_a_fast_scanner_sends_counts_over_its_own_time(wall_s: float) -> None:
    box = Box(is_real_time=False)
    for number in range(1, 13):  # 12 s with 4 W
        assert box.run(4.0, float(number), wall_s) == []
    ten_s_w, six_min_w = box.means_w()
    assert ten_s_w == pytest.approx(4.0, rel=0.01)
    assert six_min_w == pytest.approx(4.0 * 12 / 360, rel=0.01)


def test_a_fast_scanner_trips_over_its_own_time_and_rest_is_rest() -> None:
    box = Box(is_real_time=False)
    said = [box.run(15.0, float(number), 0.004) for number in range(1, 8)]
    assert b"10slimit" in b"".join(said[6])  # 105 J of at most 100 J
    assert not any(said[:6])
    calm = Box(is_real_time=False)
    for number in range(1, 20):
        assert calm.run(15.0, float(number), 0.004) == []
        calm.now_s += 1.0  # nothing is played
        assert calm.far.tick() == ()
    assert calm.means_w()[0] == pytest.approx(7.5, rel=0.02)


def test_in_real_time_it_is_as_the_power_is_and_trips_while_a_run_is_played() -> None:
    box = Box(is_real_time=True)
    box.plant.change("console", rf_playing=True, forward_w=20.0)
    tripped_s = None
    for _ in range(200):
        box.now_s += 0.05
        if box.far.tick():
            tripped_s = box.now_s
            break
    assert tripped_s == pytest.approx(5.0, abs=0.11)


def test_a_tick_that_comes_late_never_counts_more_than_the_window() -> None:
    box = Box(is_real_time=True)
    box.plant.change("console", rf_playing=True, forward_w=9.0)
    box.now_s += 100.0
    assert box.far.tick() == ()
    assert box.means_w()[0] == pytest.approx(9.0)
