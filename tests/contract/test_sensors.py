# SPDX-License-Identifier: MIT
"""A box of sensors on a pseudo-terminal and on TCP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from isocenter.devices.catalogue import make_peripheral
from isocenter.devices.roles import Peripheral
from isocenter.domain.device import Condition, DeviceFaultName, DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceError
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sensors import VirtualSensors


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture(params=["pty", "tcp"])
def line(request: pytest.FixtureRequest, plant: Plant) -> Iterator[VirtualLine]:
    with VirtualLine(VirtualSensors(plant), request.param) as line:
        yield line


@pytest.fixture
def sensors(line: VirtualLine) -> Iterator[Peripheral]:
    options = {"magnet_min_c": 20.0, "magnet_max_c": 30.0, "gradient_amplifier_max_c": 60.0}
    device = make_peripheral(DeviceLink(role=DeviceRole.SENSORS, driver="isocenter-line", url=line.url, options=options))
    device.open()
    yield device
    device.close()


def test_it_tells_who_it_is_and_what_it_measures(sensors: Peripheral) -> None:
    assert sensors.open() == "virtual-sensors 1.0"
    reading = sensors.poll()
    assert (reading.condition, reading.faults) == (Condition.READY, ())
    assert reading.values == {
        "temperature_magnet_c": 25.0,
        "temperature_room_c": 22.0,
        "temperature_gradient_amplifier_c": 30.0,
        "battery_share": 1.0,
    }


@pytest.mark.parametrize(
    ("truth", "fault"),
    [
        ({"emergency_stop": True}, DeviceFaultName.EMERGENCY_STOP),
        ({"door_open": True}, DeviceFaultName.DOOR_OPEN),
        ({"gradient_amplifier_fault": True}, DeviceFaultName.GRADIENT_FAULT),
        ({"gradient_amplifier_hot": True}, DeviceFaultName.GRADIENT_HOT),
        ({"gradient_amplifier_c": 60.5}, DeviceFaultName.GRADIENT_HOT),
        ({"rf_amplifier_fault": True}, DeviceFaultName.RF_FAULT),
        ({"on_battery": True}, DeviceFaultName.ON_BATTERY),
        ({"magnet_c": 31.0}, DeviceFaultName.MAGNET_TEMPERATURE),
        ({"magnet_c": 12.0}, DeviceFaultName.MAGNET_TEMPERATURE),
    ],
)
def test_each_fault_has_its_name_and_goes_when_it_is_gone(
    sensors: Peripheral, plant: Plant, truth: dict[str, Any], fault: DeviceFaultName
) -> None:
    before = {name: getattr(plant.state, name) for name in truth}
    plant.change("test", **truth)
    reading = sensors.poll()
    assert (reading.condition, reading.faults) == (Condition.FAULT, (fault,))
    plant.change("test", **before)
    assert sensors.poll().condition is Condition.READY


def test_a_broken_sensor_is_unknown(sensors: Peripheral, plant: Plant) -> None:
    plant.change("test", magnet_c=None)
    assert sensors.poll().condition is Condition.UNKNOWN


@pytest.mark.parametrize("fault", [{"mute": True}, {"halved": True}, {"garbled": 1}, {"delay_s": 0.3}])
def test_silence_and_damage_are_errors_soon(sensors: Peripheral, line: VirtualLine, fault: dict[str, Any]) -> None:
    line.fail(**fault)
    asked_s = time.monotonic()
    with pytest.raises(DeviceError, match=r"did not answer|damaged"):
        sensors.poll()
    assert time.monotonic() - asked_s < 0.5
    line.heal()
    sensors.open()
    assert sensors.poll().condition is Condition.READY


def test_slow_lines_are_read_to_their_end(sensors: Peripheral, line: VirtualLine) -> None:
    line.fail(slow_s=0.0005)
    assert sensors.poll().condition is Condition.READY


def test_a_cut_line_is_said(sensors: Peripheral, line: VirtualLine) -> None:
    line.cut()
    with pytest.raises(DeviceError, match=r"(?i)line|within"):
        sensors.poll()
    with pytest.raises(ConnectError, match="reached"):
        sensors.open()
    line.restore()
    sensors.open()
    assert sensors.poll().condition is Condition.READY
