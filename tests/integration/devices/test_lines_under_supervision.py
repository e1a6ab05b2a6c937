# SPDX-License-Identifier: MIT
"""Supervisor, real drivers, real lines, virtual boxes: whatever happens to a line, power is off within a second of it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.devices.catalogue import line_key, make_peripherals
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.virtual.peripherals.amplifiers import VirtualBarthelBridge
from isocenter.virtual.peripherals.interlock import VirtualInterlock
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant, PlantState

DRIVERS = {
    DeviceRole.INTERLOCK: "isocenter-line",
    DeviceRole.SENSORS: "isocenter-line",
    DeviceRole.RF_AMPLIFIER: "barthel",
    DeviceRole.GRADIENT_AMPLIFIER: "barthel",
}


def is_off(state: PlantState) -> bool:
    return not state.can_transmit and not state.can_drive_gradients


@dataclass
class Rig:
    """An armed scanner."""

    plant: Plant
    lines: dict[str, VirtualLine]
    supervisor: Supervisor


@pytest.fixture
def rig(via: str) -> Iterator[Rig]:
    plant = Plant()
    with VirtualLine(VirtualInterlock(plant), via) as interlock, VirtualLine(VirtualBarthelBridge(plant), via) as bridge:  # type: ignore[arg-type]
        ends = {"isocenter-line": interlock, "barthel": bridge}
        links = [DeviceLink(role=role, driver=driver, url=ends[driver].url) for role, driver in DRIVERS.items()]
        supervisor = Supervisor(required=DRIVERS, journal=lambda _event, _details: None)
        sharing: dict[str, list] = {}
        for link, device in zip(links, make_peripherals(links), strict=True):
            sharing.setdefault(line_key(link), []).append((device, link.role.value, link.url))
        supervisor.console_zero(True)
        supervisor.connect(
            [DeviceThread(devices, supervisor.on_status, supervisor.may_beat) for devices in sharing.values()]
        )
        deadline_s = time.monotonic() + 5
        while supervisor.state is not ScannerState.READY:
            assert time.monotonic() < deadline_s, supervisor.missing()
        supervisor.arm(threading.Event())
        plant.change("console", gradients_zero=False, rf_playing=True)
        assert not is_off(plant.state)
        yield Rig(plant=plant, lines=ends, supervisor=supervisor)
        supervisor.close()
        assert is_off(plant.state)


def _off_after_s(rig: Rig, event_s: float) -> float:
    after_s = rig.plant.wait_for(is_off, 3.0, event_s) - event_s
    deadline_s = time.monotonic() + 2
    while rig.supervisor.state is not ScannerState.SAFE:
        assert time.monotonic() < deadline_s
    return after_s


@pytest.mark.parametrize("via", ["tcp", "pty"])
@pytest.mark.parametrize("box", ["isocenter-line", "barthel"])
@pytest.mark.parametrize("what", ["cut", "stall", "mute", "dead"])
def test_a_line_that_fails_stops_the_scanner_within_a_second(rig: Rig, box: str, what: str) -> None:
    line, event_s = rig.lines[box], time.monotonic()
    if what == "mute":
        line.fail(mute=True)
    elif what == "dead":
        line.fail(deaf=True, mute=True)
    else:
        getattr(line, what)()
    assert _off_after_s(rig, event_s) <= 1.0
    assert rig.supervisor.cause is not None
    assert rig.supervisor.cause.name == "device_lost"
    line.heal()


@pytest.mark.parametrize("via", ["tcp"])
@pytest.mark.parametrize(("contact", "fault"), [("emergency_stop", "emergency_stop"), ("door_open", "door_open")])
def test_button_and_door_stop_it_at_once_and_by_name(rig: Rig, contact: str, fault: str) -> None:
    event_s = time.monotonic()
    rig.plant.change("person", **{contact: True})
    assert _off_after_s(rig, event_s) < 0.1
    amplifiers_s = rig.plant.wait_for(lambda s: not s.rf_amplifier_on and not s.gradient_amplifier_on, 2.0, event_s)
    assert amplifiers_s - event_s < 1.0
    assert fault in {found.name for found in rig.supervisor.faults}


@pytest.mark.parametrize("via", ["tcp", "pty"])
def test_stop_reaches_amplifiers_over_their_own_line_at_once(rig: Rig) -> None:
    event_s = time.monotonic()
    rig.supervisor.stop()
    off_s = rig.plant.wait_for(lambda s: not s.rf_amplifier_on and not s.gradient_amplifier_on, 2.0, event_s)
    assert off_s - event_s < 0.5
    assert _off_after_s(rig, event_s) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("via", ["tcp"])
def test_stop_at_a_hundred_moments(rig: Rig) -> None:
    worst_s = 0.0
    for n in range(100):
        if n:
            deadline_s = time.monotonic() + 5
            rig.supervisor.reset("tester")
            while rig.supervisor.state is not ScannerState.READY:
                assert time.monotonic() < deadline_s
            rig.supervisor.arm(threading.Event())
        until_s = time.monotonic() + (n * 37 % 100) * 2e-3
        while time.monotonic() < until_s:
            pass
        event_s = time.monotonic()
        rig.supervisor.stop()
        worst_s = max(worst_s, _off_after_s(rig, event_s))
    assert worst_s < 0.5
