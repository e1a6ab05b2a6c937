# SPDX-License-Identifier: MIT
"""Every device whose output can hurt, on a pseudo-terminal and on TCP: the same promises from each driver."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sketch_device import SketchDevice

from isocenter.devices.catalogue import make_peripherals
from isocenter.devices.roles import Switched
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceError, WrongState
from isocenter.virtual.peripherals.amplifiers import VirtualBarthelBridge
from isocenter.virtual.peripherals.interlock import VirtualInterlock
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant, PlantState


@dataclass
class Rig:
    """One device with what is true of it."""

    device: Switched
    line: VirtualLine
    plant: Plant
    is_on: Callable[[PlantState], bool]


KINDS: dict[str, tuple[DeviceRole, str, Callable[[Plant], Any], Callable[[PlantState], bool]]] = {
    "gradient": (DeviceRole.GRADIENT_AMPLIFIER, "barthel", VirtualBarthelBridge, lambda s: s.gradient_amplifier_on),
    "rf": (DeviceRole.RF_AMPLIFIER, "barthel", VirtualBarthelBridge, lambda s: s.rf_amplifier_on),
    "interlock": (DeviceRole.INTERLOCK, "isocenter-line", VirtualInterlock, lambda s: not s.interlock_blanks_rf),
    "arduino": (DeviceRole.INTERLOCK, "isocenter-line", SketchDevice, lambda s: not s.interlock_blanks_rf),
}


@pytest.fixture(params=["pty", "tcp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ON_TCP = pytest.mark.parametrize("via", ["tcp"])  # what does not depend on the kind of line is tried on one


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, via: Any) -> Iterator[Rig]:
    role, driver, virtual, is_on = KINDS[request.param]
    plant = Plant()
    far_end = virtual(plant)
    with VirtualLine(far_end, via) as line:
        (device,) = make_peripherals((DeviceLink(role=role, driver=driver, url=line.url),))
        yield Rig(device=device, line=line, plant=plant, is_on=is_on)  # type: ignore[arg-type]
        device.close()
    if isinstance(far_end, SketchDevice):
        far_end.close()


def test_it_tells_who_it_is_and_opening_changes_nothing(rig: Rig) -> None:
    before = rig.plant.state
    assert len(rig.device.open()) > 5
    rig.device.poll()
    rig.device.open()
    assert rig.plant.state == before
    assert not rig.is_on(rig.plant.state)


def test_on_and_off_are_confirmed_and_true(rig: Rig) -> None:
    rig.device.open()
    assert rig.device.poll().condition is not Condition.READY
    rig.device.enable()
    assert rig.is_on(rig.plant.state)
    reading = rig.device.poll()
    assert (reading.condition, reading.faults) == (Condition.READY, ())
    assert reading.text
    assert reading.said.isprintable()
    rig.device.standby()
    assert not rig.is_on(rig.plant.state)
    assert rig.device.poll().condition is Condition.STANDBY


def test_a_trip_is_fast_and_stays_until_a_person_clears_it(rig: Rig) -> None:
    rig.device.open()
    rig.device.enable()
    asked_s = time.monotonic()
    rig.device.trip()
    assert time.monotonic() - asked_s < 0.3
    off_s = rig.plant.first(lambda s: not rig.is_on(s), asked_s)
    assert off_s is not None
    assert off_s - asked_s < 0.1
    assert rig.device.poll().condition is Condition.FAULT
    with pytest.raises(WrongState, match=r"clear|Reset"):
        rig.device.enable()
    assert not rig.is_on(rig.plant.state)
    rig.device.clear_fault()
    assert rig.device.poll().condition is Condition.STANDBY
    assert not rig.is_on(rig.plant.state)
    rig.device.enable()
    assert rig.is_on(rig.plant.state)


def test_a_trip_needs_no_open_line(rig: Rig) -> None:
    rig.device.open()
    rig.device.enable()
    rig.device.close()
    rig.device.trip()
    assert not rig.is_on(rig.plant.state)


@ON_TCP
@pytest.mark.parametrize(
    ("fault", "method"),
    [
        *(({"mute": True}, method) for method in ("enable", "standby", "trip", "clear_fault", "poll")),
        *(({"deaf": True, "mute": True}, method) for method in ("enable", "trip")),
        *(({"halved": True}, method) for method in ("enable", "trip")),
        *(({"garbled": 1}, method) for method in ("enable", "trip", "poll")),
    ],
)
def test_nothing_is_taken_for_done_that_was_not_confirmed(rig: Rig, fault: dict[str, Any], method: str) -> None:
    rig.device.open()
    rig.line.fail(**fault)
    asked_s = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        getattr(rig.device, method)()
    assert time.monotonic() - asked_s < {"enable": 3.0, "trip": 0.4}.get(method, 0.6)
    assert caught.value.remedy
    rig.line.heal()
    rig.device.open()
    assert rig.device.poll().condition is not Condition.READY or rig.is_on(rig.plant.state)


def test_a_trip_gets_through_a_line_that_only_hears(rig: Rig) -> None:
    rig.device.open()
    rig.device.enable()
    rig.line.fail(mute=True)
    asked_s = time.monotonic()
    with pytest.raises(DeviceError, match=r"did not"):
        rig.device.trip()
    assert rig.plant.first(lambda s: not rig.is_on(s), asked_s) is not None


def test_a_late_answer_does_not_answer_the_next_question(rig: Rig) -> None:
    rig.device.open()
    rig.line.stall()
    with pytest.raises(DeviceError):
        rig.device.poll()
    rig.line.stall(0.0)  # the answer to that comes now
    rig.line.received.clear()
    rig.line.fail(deaf=True)  # and whatever is asked from here on is not heard
    with pytest.raises(DeviceError):
        rig.device.enable()
    assert not rig.is_on(rig.plant.state)


def test_a_cut_line_is_said_and_works_again_when_plugged_in(rig: Rig) -> None:
    rig.device.open()
    rig.line.cut()
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"(?i)line|reached|within"):
            rig.device.poll()
    with pytest.raises(ConnectError, match=r"reached"):
        rig.device.open()
    rig.line.restore()
    rig.device.open()
    rig.device.enable()
    assert rig.is_on(rig.plant.state)
