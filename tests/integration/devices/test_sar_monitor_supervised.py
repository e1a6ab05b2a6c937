# SPDX-License-Identifier: MIT
"""The SAR monitor under the supervisor: its alarm, its silence and its cable stop the scanner within a second."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

import pytest

from isocenter.acquisition.control.arming import RfLimits
from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.devices.catalogue import make_peripheral
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sar_monitor import VirtualSarMonitor


@dataclass
class Rig:
    """An armed scanner that has nothing but the monitor."""

    plant: Plant
    far: VirtualSarMonitor
    line: VirtualLine
    supervisor: Supervisor

    def wait_until(self, is_true: Callable[[], bool], timeout_s: float) -> float:
        """How long it took [s]."""
        begin_s = time.monotonic()
        while not is_true():
            assert time.monotonic() - begin_s < timeout_s, self.supervisor.state
            time.sleep(0.002)
        return time.monotonic() - begin_s


@pytest.fixture(params=["pty", "tcp"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    plant = Plant()
    far = VirtualSarMonitor(plant, windows_s=(0.2, 1.0))
    with VirtualLine(far, request.param) as line:
        link = DeviceLink(role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url=line.url, options={"w_per_adc2": 1e-4})
        supervisor = Supervisor(required=(DeviceRole.SAR_MONITOR,), journal=lambda _event, _details: None)
        thread = DeviceThread([(make_peripheral(link), "SAR monitor", line.url)], supervisor.on_status, supervisor.may_beat)
        rig = Rig(plant, far, line, supervisor)
        supervisor.console_zero(True)
        supervisor.connect([thread])
        rig.wait_until(lambda: supervisor.state is ScannerState.READY, 3.0)
        supervisor.arm(Event(), RfLimits(mean_10s_w=20, mean_6min_w=10, peak_w=100))
        assert supervisor.state is ScannerState.ARMED
        assert not plant.state.rf_blanked
        yield rig
        supervisor.close()


def test_an_alarm_makes_it_safe_and_names_the_cause(rig: Rig) -> None:
    rig.plant.change("test", rf_playing=True, forward_w=150.0)
    assert rig.wait_until(lambda: rig.supervisor.state is ScannerState.SAFE, 1.0) < 1.0
    assert rig.plant.state.rf_blanked
    assert "sar_peak" in {fault.name for fault in rig.supervisor.faults}


@pytest.mark.parametrize("fault", ["silent", "cut"])
def test_a_monitor_that_is_not_heard_of_stops_the_scanner_within_a_second(rig: Rig, fault: str) -> None:
    if fault == "cut":
        rig.line.cut()
    else:
        rig.line.fail(mute=True)
    assert rig.wait_until(lambda: rig.supervisor.state is ScannerState.SAFE, 1.5) < 1.0


def test_disarming_blanks_and_arming_again_works(rig: Rig) -> None:
    rig.supervisor.disarm()
    assert rig.plant.state.rf_blanked
    rig.supervisor.arm(Event(), RfLimits(mean_10s_w=20, mean_6min_w=10, peak_w=100))
    assert not rig.plant.state.rf_blanked
