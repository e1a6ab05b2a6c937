# SPDX-License-Identifier: MIT
"""The SAR monitor on a real line, with power in the virtual scanner: every limit cuts the blanking, and is told."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from isocenter.devices.sar_monitor import OvguSarMonitor
from isocenter.domain.device import Condition, DeviceLink, DeviceReading, DeviceRole
from isocenter.domain.errors import DeviceFault, WrongState
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sar_monitor import VirtualSarMonitor


@dataclass
class Rig:
    """A monitor that watches: at most 20 W over its short window, 10 W over its long one, 100 W peak."""

    plant: Plant
    far: VirtualSarMonitor
    monitor: OvguSarMonitor
    line: VirtualLine

    def watch(self) -> None:
        self.monitor.set_limits(mean_10s_w=20, mean_6min_w=10, peak_w=100)
        self.monitor.enable()

    def wait_for_fault(self) -> DeviceReading:
        deadline_s = time.monotonic() + 5
        while (reading := self.monitor.poll()).condition is Condition.READY:
            assert time.monotonic() < deadline_s
        return reading


@pytest.fixture(params=["pty-tab", "tcp-plain"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    via, tail = request.param.split("-")
    plant = Plant()
    far = VirtualSarMonitor(plant, w_per_adc2=1e-4, windows_s=(0.2, 1.0), ends_with_tab=tail == "tab")
    with VirtualLine(far, via) as line:
        link = DeviceLink(role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url=line.url, options={"w_per_adc2": 1e-4})
        monitor = OvguSarMonitor(link)
        monitor.open()
        monitor.standby()
        yield Rig(plant, far, monitor, line)
        monitor.close()


def test_rf_is_blanked_until_it_watches(rig: Rig) -> None:
    assert rig.plant.state.rf_blanked
    rig.watch()
    assert not rig.plant.state.rf_blanked
    assert rig.far.limits == {"l10s": 200_000, "l6m": 100_000, "tran": 1000}
    rig.monitor.trip()
    assert rig.plant.state.rf_blanked


@pytest.mark.parametrize(
    ("power", "fault"),
    [
        ({"forward_w": 101.0}, "sar_peak"),
        ({"forward_w": 60.0}, "sar_10s"),  # reaches 20 W in the mean after a third of the window
        ({"forward_w": 15.0}, "sar_6min"),
        ({"forward_w": 5.0, "reflected_share": 0.25}, "reflected"),
    ],
)
def test_each_limit_cuts_the_blanking_and_is_told(rig: Rig, power: dict[str, float], fault: str) -> None:
    rig.watch()
    begin_s = time.monotonic()
    rig.plant.change("test", rf_playing=True, **power)
    reading = rig.wait_for_fault()
    assert (reading.condition, reading.faults) == (Condition.FAULT, (fault,))
    assert rig.plant.first(lambda state: state.rf_blanked, begin_s) is not None
    assert rig.plant.state.rf_blanked


def test_power_below_the_limits_goes_on(rig: Rig) -> None:
    rig.watch()
    rig.plant.change("test", rf_playing=True, forward_w=8.0, reflected_share=0.1)
    for _ in range(20):
        assert rig.monitor.poll().condition is Condition.READY


def test_a_trip_stays_until_the_button_on_the_box_and_a_person_here(rig: Rig) -> None:
    rig.watch()
    rig.plant.change("test", rf_playing=True, forward_w=200.0)
    rig.wait_for_fault()
    rig.plant.change("test", rf_playing=False, forward_w=0.0)
    rig.monitor.standby()
    rig.monitor.close()
    rig.monitor.open()  # a line that was lost meanwhile changes nothing
    assert rig.monitor.poll().faults == ("sar_peak",)
    with pytest.raises(WrongState, match=r"tripped.*\n.*reset button"):
        rig.monitor.enable()
    rig.monitor.clear_fault()  # the person forgot the button
    assert rig.monitor.poll().condition is Condition.STANDBY
    rig.monitor.set_limits(mean_10s_w=20, mean_6min_w=10, peak_w=100)
    with pytest.raises(DeviceFault, match=r"tripped at once: the peak.*\n.*reset button"):
        rig.monitor.enable()
    assert rig.plant.state.rf_blanked
    rig.far.press_reset()
    rig.monitor.clear_fault()
    rig.watch()
    assert rig.monitor.poll().condition is Condition.READY
    assert not rig.plant.state.rf_blanked


def test_new_limits_need_a_stop(rig: Rig) -> None:
    rig.watch()
    with pytest.raises(WrongState, match="is watching"):
        rig.watch()
    assert not rig.plant.state.rf_blanked


def test_a_box_that_was_left_watching_is_stopped_for_new_limits(rig: Rig) -> None:
    rig.watch()
    rig.monitor.open()  # as a program does that was started again: what the box was doing goes on, and is unknown
    assert not rig.plant.state.rf_blanked
    assert rig.monitor.poll().condition is Condition.UNKNOWN
    with pytest.raises(WrongState, match="no limits"):
        rig.monitor.enable()
    rig.watch()
    assert rig.monitor.poll().condition is Condition.READY
    blanked = [change.state.rf_blanked for change in rig.plant.log() if "sar_monitor_blanks_rf" in change.names]
    assert blanked[-3:] == [False, True, False]
