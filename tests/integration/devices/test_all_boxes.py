# SPDX-License-Identifier: MIT
"""A virtual scanner with every box there is, driven by the drivers that its hardware file names."""

import threading
import time

import pytest

from isocenter.config.drivers import DRIVERS
from isocenter.config.hardware import load_scanner
from isocenter.devices.catalogue import make_peripherals
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.virtual.peripherals.boxes import EVERYTHING, VirtualBoxes

R = DeviceRole


@pytest.mark.parametrize("via", ["pty", "tcp"])
def test_every_box_answers_with_its_name_and_its_state(via):
    threads = threading.active_count()
    with VirtualBoxes(2.0e6, via=via) as boxes:
        links = boxes.links
        assert {link.role for link in links} == set(R)
        assert boxes.line(R.RF_AMPLIFIER) is boxes.line(R.GRADIENT_AMPLIFIER)
        assert boxes.line(R.INTERLOCK) is boxes.line(R.SENSORS)
        assert len({link.url for link in links}) == 6
        for device in make_peripherals(links):
            assert device.open()
            reading = device.poll()
            assert reading.condition is not Condition.FAULT
            assert reading.text
            device.close()
        assert not boxes.plant.state.can_transmit
        assert not boxes.plant.state.can_drive_gradients
    assert threading.active_count() == threads


def test_protection_and_amplifiers_together_let_power_through():
    with VirtualBoxes(2.0e6) as boxes:
        devices = {device.role: device for device in make_peripherals(boxes.links)}
        order = (R.INTERLOCK, R.SAR_MONITOR, R.GRADIENT_AMPLIFIER, R.RF_AMPLIFIER)
        for role in order:
            devices[role].open()
        devices[R.SAR_MONITOR].set_limits(mean_10s_w=20.0, mean_6min_w=10.0, peak_w=1000.0)
        for role in order:
            assert not boxes.plant.state.can_transmit
            devices[role].enable()
        assert boxes.plant.state.can_transmit
        assert boxes.plant.state.can_drive_gradients
        since_s = time.monotonic()
        assert boxes.plant.wait_for(lambda s: s.is_safe, 2.0, since_s) - since_s < 1.1  # no heartbeat
        for device in devices.values():
            device.close()


@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_every_driver_has_a_virtual_box_that_it_knows(driver):
    needed = {name: 50.0 + 26 * n for n, name in enumerate(("min_gain_db", "max_gain_db"))}
    options = {"i3m-attenuator": needed, "ovgu-sar": {"w_per_adc2": 1e-4}}.get(driver, {})
    links = [DeviceLink(role=role, driver=driver, url="there", options=options) for role in DRIVERS[driver].roles]
    with VirtualBoxes(3.07e6, links) as boxes:
        for device in make_peripherals(boxes.links):
            assert device.open()
            device.close()


def test_devices_of_a_hardware_file_get_virtual_addresses():
    scanner = load_scanner("osii-one")
    assert scanner.devices == ()  # then the virtual scanner has everything
    with VirtualBoxes(scanner.magnet.larmor_hz, scanner.devices or EVERYTHING) as boxes:
        assert all(link.url.startswith("socket://127.0.0.1:") and link.usb is None for link in boxes.links)
